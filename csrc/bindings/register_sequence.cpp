// <cell>_forward and <cell>_backward.
#include <string>
#include <type_traits>

#include "arrays.h"
#include "fastrnn/schedule.h"
#include "packed_layers.h"
#include "register.h"

namespace fastrnn {

namespace {

// The fields of fastrnn._types.Sequence, by position.
enum Field {
  kCell,
  kT,
  kN,
  kI,
  kH,
  kG,
  kV,
  kDtype,
  kX,
  kTokens,
  kWIh,
  kWHh,
  kBIh,
  kBHh,
  kH0,
  kC0,
  kNonlinearity,
  kLengths,
  kPadding,
  kResets,
  kReverse,
  kEmbedding,
  kTraining,
  kRecurrentMask,
  kKeepH,
  kKeepC,
  kZoneoutRate,
  kLayout,
  kThreads
};

Layout layout_of(std::string_view name) {
  return name == "time"    ? Layout::kTimeFirst
         : name == "batch" ? Layout::kBatchFirst
                           : Layout::kPacked;
}

// A checked call: sizes, schedule and pointers.
struct Call {
  explicit Call(const py::tuple& s)
      : fields(s),
        T(s[kT].cast<Size>()),
        N(s[kN].cast<Size>()),
        I(s[kI].cast<Size>()),
        H(s[kH].cast<Size>()),
        GH(s[kG].cast<Size>() * H),
        V(s[kV].cast<Size>()),
        layout(layout_of(s[kLayout].cast<std::string_view>())),
        schedule(layout, T, N, data<std::int64_t>(s[kLengths]),
                 s[kPadding].cast<std::string_view>() == "left" ? Padding::kLeft
                                                                : Padding::kRight,
                 data<std::uint8_t>(s[kResets]), s[kReverse].cast<bool>()) {
    activation = activation_named(s[kNonlinearity].cast<std::string_view>());
  }

  // What forward and backward have in common.
  template <class T, class Args>
  void fill(Args& args) const {
    args.schedule = schedule.view();
    args.input = {I, V, data<T>(fields[kX]), data<std::int64_t>(fields[kTokens]),
                  data<T>(fields[kEmbedding])};
    args.weights = {H, data<T>(fields[kWIh]), data<T>(fields[kWHh]),
                    data<T>(fields[kBIh]), data<T>(fields[kBHh])};
    args.regularisers = {data<T>(fields[kRecurrentMask]),
                         data<std::uint8_t>(fields[kKeepH]),
                         data<std::uint8_t>(fields[kKeepC]),
                         static_cast<T>(fields[kZoneoutRate].cast<double>())};
    args.activation = activation;
    args.h0 = data<T>(fields[kH0]);
    args.c0 = data<T>(fields[kC0]);
    args.threads = threads_or_default(fields[kThreads].cast<int>());
  }

  // [T, N, width] in the call's layout.
  std::vector<Size> shape(Size width) const {
    if (layout == Layout::kPacked) return {schedule.view().positions, width};
    if (layout == Layout::kBatchFirst) return {N, T, width};
    return {T, N, width};
  }

  py::dtype dtype() const { return py::reinterpret_borrow<py::dtype>(fields[kDtype]); }

  const py::tuple& fields;
  Size T, N, I, H, GH, V;
  Layout layout;
  Schedule schedule;
  Activation activation;
};

// find: the same weights, packed and kept, into args; false if they are others.
template <CellKind kCell, class Find>
py::object run_forward(const py::tuple& sequence, const Find& find) {
  const Call call(sequence);
  const bool training = sequence[kTraining].cast<bool>();
  return by_dtype(call.dtype(), [&](auto type) -> py::object {
    using T = decltype(type);
    const Output<T> y(true, call.shape(call.H));
    const Output<T> h_n(true, {call.N, call.H});
    const Output<T> c_n(kCell == CellKind::kLstm, {call.N, call.H});
    const Output<T> gates(training && kCell != CellKind::kRnn, call.shape(call.GH));
    const Output<T> c(training && kCell != CellKind::kRnn, call.shape(call.H));
    ForwardArgs<T> args{};
    call.fill<T>(args);
    args.y = y.data;
    args.h_n = h_n.data;
    args.c_n = c_n.data;
    args.gates = gates.data;
    args.c = c.data;
    bool found;
    {
      const py::gil_scoped_release unlocked;
      found = find(args);
      if (found) {
        Scratch scratch;
        forward_of(kernels<T>(), kCell)(args, scratch);
      }
    }
    if (!found) return py::none();
    return py::make_tuple(y.array, h_n.array, c_n.array, gates.array, c.array);
  });
}

// packed: the same weights, kept; those of one layer and direction of it.
template <CellKind kCell>
py::object forward(const py::tuple& sequence, const PackedLayers* packed,
                   Size layer_and_direction) {
  return run_forward<kCell>(sequence, [&](auto& args) {
    using T = std::remove_pointer_t<decltype(args.y)>;
    args.packed = packed ? packed->weights<T>(layer_and_direction) : nullptr;
    return true;
  });
}

// None if `kept` are not the sequence's weights.
template <CellKind kCell>
py::object forward_kept(const py::tuple& sequence, const KeptLayer& kept) {
  return run_forward<kCell>(sequence, [&](auto& args) {
    args.packed = kept.find(kCell, args.input.I, args.weights, args.threads);
    return args.packed != nullptr;
  });
}

template <CellKind kCell>
KeptLayer keep(const py::tuple& sequence) {
  const Call call(sequence);
  return by_dtype(call.dtype(), [&](auto type) {
    using T = decltype(type);
    ForwardArgs<T> args{};
    call.fill<T>(args);
    const py::gil_scoped_release unlocked;
    return KeptLayer(kCell, call.I, args.weights);
  });
}

// Which gradients are wanted, as bits. The others are None, and are not computed.
enum Wanted : unsigned { kDx = 1, kDwIh = 2, kDwHh = 4, kDbIh = 8, kDbHh = 16 };

template <CellKind kCell>
py::tuple backward(const py::tuple& sequence, const py::object& y,
                   const py::object& gates, const py::object& c, const py::object& dy,
                   const py::object& dh_n, const py::object& dc_n, const py::object& dc,
                   bool return_dh, unsigned wanted) {
  const Call call(sequence);
  const auto wants = [&](Wanted gradient, Field of) {
    return (wanted & gradient) != 0 && !sequence[of].is_none();
  };
  return by_dtype(call.dtype(), [&](auto type) {
    using T = decltype(type);
    const bool embedded = !sequence[kEmbedding].is_none();
    const Output<T> dx(wants(kDx, kX), call.shape(call.I));
    const Output<T> dembedding(embedded, {call.V, call.I});
    const Output<T> dw_ih(wants(kDwIh, kWIh), {call.GH, call.I});
    const Output<T> dw_hh(wants(kDwHh, kWHh), {call.GH, call.H});
    const Output<T> db_ih(wants(kDbIh, kBIh), {call.GH});
    const Output<T> db_hh(wants(kDbHh, kBHh), {call.GH});
    const Output<T> dh0(true, {call.N, call.H});
    const Output<T> dc0(kCell == CellKind::kLstm, {call.N, call.H});
    const Output<T> dh(return_dh, call.shape(call.H));
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
    args.dh = dh.data;
    {
      const py::gil_scoped_release unlocked;
      Scratch scratch;
      const Kernels<T>& k = kernels<T>();
      (kCell == CellKind::kRnn   ? k.rnn_backward
       : kCell == CellKind::kGru ? k.gru_backward
                                 : k.lstm_backward)(args, scratch);
    }
    return py::make_tuple(dx.array, dw_ih.array, dw_hh.array, db_ih.array, db_hh.array,
                          dh0.array, dc0.array, dembedding.array, dh.array);
  });
}

template <CellKind kCell>
void register_cell(py::module_& m, const std::string& name) {
  const auto define = [&](const char* what, auto function, auto... arguments) {
    m.def((name + what).c_str(), function, arguments...);
  };
  define("_forward", forward<kCell>, py::arg("sequence"),
         py::arg("packed") = py::none(), py::arg("layer_and_direction") = 0);
  define("_forward_kept", forward_kept<kCell>);
  define("_keep", keep<kCell>);
  define("_backward", backward<kCell>);
}

}  // namespace

void register_sequence(py::module_& m) {
  py::class_<KeptLayer>(m, "KeptLayer");
  register_cell<CellKind::kRnn>(m, "rnn");
  register_cell<CellKind::kGru>(m, "gru");
  register_cell<CellKind::kLstm>(m, "lstm");
}

}  // namespace fastrnn
