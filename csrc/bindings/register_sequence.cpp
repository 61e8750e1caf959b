// Whole sequences, forward and backward.
#include <string>
#include <type_traits>

#include "packed_layers.h"
#include "register.h"
#include "sequence.h"

namespace fastrnn {

namespace {

// Describes the lack of memory in a call, whose sizes are perhaps too large for it.
auto memory_of(const py::tuple& sequence, const char* direction) {
  return [=] {
    const SequenceFields& f = SequenceFields::get();
    const auto size = [&](Py_ssize_t field) { return sequence[field].cast<Size>(); };
    return no_memory(sequence[f.cell].cast<std::string>() + direction, "(T, N, I, H)",
                     {size(f.T), size(f.N), size(f.I), size(f.H)});
  };
}

// find_packed(args): sets args.packed; false if other weights were packed.
template <class FindPacked>
py::object run_forward(const SequenceCall& call, const FindPacked& find_packed) {
  const bool training = call.flag(call.fields.training);
  return by_dtype(call.dtype(), [&](auto type) -> py::object {
    using T = decltype(type);
    const CellKernels<T>& cell = kernels<T>().cell(call.cell);
    const Output<T> y(true, call.shape(call.P));
    const Output<T> h_n(true, {call.N, call.P});
    const Output<T> c_n(cell.has_c, {call.N, call.H});
    const Output<T> gates(training && cell.tape_gates > 0,
                          call.shape(cell.tape_gates * call.H));
    const Output<T> c(training && cell.tape_c, call.shape(call.H));
    ForwardArgs<T> args{};
    call.fill<T>(args);
    args.y = y.data;
    args.h_n = h_n.data;
    args.c_n = c_n.data;
    args.gates = gates.data;
    args.c = c.data;
    bool found = false;
    without_gil([&] {
      args.regularisers.rate = T(call.zoneout_rate);
      found = find_packed(args);
      if (found) {
        Scratch scratch;
        cell.forward(args, scratch);
      }
    });
    if (!found) return py::none();
    return py::make_tuple(y.array, h_n.array, c_n.array, gates.array, c.array);
  });
}

// packed: the same weights, in one of its layers and directions.
py::object forward(const py::tuple& sequence, const AnyPackedLayers* packed,
                   Size layer_and_direction) {
  return with_memory(memory_of(sequence, "_forward"), [&] {
    return run_forward(SequenceCall(sequence), [&](auto& args) {
      using T = std::remove_pointer_t<decltype(args.y)>;
      args.packed = packed ? packed->weights<T>(layer_and_direction) : nullptr;
      return true;
    });
  });
}

// None if the sequence's weights are not those that were packed.
py::object forward_of_packed(const AnyPackedLayer& packed, const py::tuple& sequence) {
  return with_memory(memory_of(sequence, "_forward"), [&] {
    const SequenceCall call(sequence);
    return run_forward(call, [&](auto& args) {
      args.packed = packed.find(call.cell, args.input.I, args.weights, args.threads);
      return args.packed != nullptr;
    });
  });
}

AnyPackedLayer pack(const py::tuple& sequence) {
  return with_memory(memory_of(sequence, "_forward"), [&] {
    const SequenceCall call(sequence);
    AnyPackedLayer packed;
    by_dtype(call.dtype(), [&](auto type) {
      using T = decltype(type);
      ForwardArgs<T> args{};
      call.fill<T>(args);
      without_gil([&] { packed.pack(call.cell, call.I, args.weights, args.options); });
    });
    return packed;
  });
}

// Which gradients are wanted, as bits. The others are None, and are not computed.
enum Wanted : unsigned { kDx = 1, kDwIh = 2, kDwHh = 4, kDbIh = 8, kDbHh = 16 };

// The tape of fastrnn.reference lacks what only the kernels of some cells compute.
[[noreturn]] void refuse_tape(const SequenceCall& call) {
  const std::string cell = py::str(call[call.fields.cell]);
  throw py::type_error("tape: expected that of fastrnn." + cell +
                       "_forward, got that of fastrnn.reference");
}

py::tuple backward(const py::tuple& sequence, unsigned wanted, bool return_dh,
                   const py::object& y, const py::object& gates, const py::object& c,
                   const py::object& dy, const py::object& dh_n, const py::object& dc_n,
                   const py::object& dc) {
  const auto run = [&](auto type) {
    using T = decltype(type);
    const SequenceCall call(sequence);
    const SequenceFields& f = call.fields;
    const CellKernels<T>& cell = kernels<T>().cell(call.cell);
    if (cell.tape_c && c.is_none()) refuse_tape(call);
    const auto wants = [&](Wanted gradient, Py_ssize_t of) {
      return (wanted & gradient) != 0 && call.has(of);
    };
    const Output<T> dx(wants(kDx, f.x), call.shape(call.I));
    const Output<T> dembedding(call.has(f.embedding), {call.V, call.I});
    const Output<T> dw_ih(wants(kDwIh, f.w_ih), {call.GH, call.I});
    const Output<T> dw_hh(wants(kDwHh, f.w_hh), {call.GH, call.P});
    const Output<T> db_ih(wants(kDbIh, f.b_ih), {call.GH});
    const Output<T> db_hh(wants(kDbHh, f.b_hh), {call.GH});
    const Output<T> dh0(true, {call.N, call.P});
    const Output<T> dc0(cell.has_c, {call.N, call.H});
    const Output<T> dpeephole(call.has(f.peephole), {3, call.H});
    const Output<T> dprojection(call.has(f.projection), {call.P, call.H});
    const Output<T> dh(return_dh, call.shape(call.P));
    BackwardArgs<T> args{};
    call.fill<T>(args);
    args.y = data<T>(y);
    args.gates = data<T>(gates);
    args.c = data<T>(c);
    args.dc = data<T>(dc);
    args.dy = data<T>(dy);
    args.dh_n = data<T>(dh_n);
    args.dc_n = data<T>(dc_n);
    args.dx = dx.data;
    args.dembedding = dembedding.data;
    args.dw_ih = dw_ih.data;
    args.dw_hh = dw_hh.data;
    args.db_ih = db_ih.data;
    args.db_hh = db_hh.data;
    args.dh0 = dh0.data;
    args.dc0 = dc0.data;
    args.dpeephole = dpeephole.data;
    args.dw_hr = dprojection.data;
    args.dh = dh.data;
    without_gil([&] {
      Scratch scratch;
      cell.backward(args, scratch);
    });
    return py::make_tuple(dx.array, dw_ih.array, dw_hh.array, db_ih.array, db_hh.array,
                          dh0.array, dc0.array, dembedding.array, dh.array,
                          dpeephole.array, dprojection.array);
  };
  return with_memory(memory_of(sequence, "_backward"),
                     [&] { return by_dtype(SequenceCall::dtype_of(sequence), run); });
}

// The table of cells as Python knows it: {name: (gates, whether the state has c)}.
py::dict cells() {
  py::dict found;
  for (const Name<CellKind>& cell : kCellNames) {
    const CellKernels<float>& facts = kernels<float>().cell(cell.value);
    found[py::str(cell.name)] = py::make_tuple(facts.gates, facts.has_c);
  }
  return found;
}

}  // namespace

void register_sequence(py::module_& m) {
  m.def("cells", cells);
  m.def("forward", forward, py::arg("sequence"), py::arg("packed") = py::none(),
        py::arg("layer_and_direction") = 0);
  m.def("backward", backward);
  py::class_<AnyPackedLayer>(m, "PackedLayer")
      .def(py::init(&pack))
      .def("forward", forward_of_packed);
}

}  // namespace fastrnn
