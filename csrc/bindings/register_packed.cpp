// Packed weights of a whole network, and the function table for fastrnn.stepper.
#include "fastrnn/schedule.h"
#include "fastrnn/stepper.h"
#include "packed_layers.h"
#include "register.h"

namespace fastrnn {

namespace {

// All layers of one direction over whole sequences of equal length, without a tape. x
// [T, N, I] or tokens [T, N]; h0 [L, N, P] and c0 [L, N, H] or None. Returns y, h_n and
// c_n, or None if the parameters are no longer those that were packed.
py::object forward_all(const AnyPackedLayers& layers, Size steps, Size N,
                       const py::object& x, const py::object& tokens,
                       const py::object& h0, const py::object& c0) {
  const auto run = [&](auto type, const auto& packed) -> py::object {
    using T = decltype(type);
    const Network& network = packed.network();
    const Size L = network.layers, H = network.H, P = network.P;
    const Output<T> y(true, {steps, N, P});
    const Output<T> h_n(true, {L, N, P});
    const Output<T> c_n(packed.cell().has_c, {L, N, H});
    ForwardArgs<T> args{};
    args.weights.H = H;
    args.weights.P = P;
    args.threads = get_num_threads();
    args.input.x = data<T>(x);
    args.input.tokens = data<std::int64_t>(tokens);
    const T *h = data<T>(h0), *c = data<T>(c0);
    without_gil([&](Unlocked& unlocked) {
      if (layers.is_current()) {
        const Schedule schedule(Layout::kTimeFirst, steps, N, nullptr, Padding::kRight,
                                nullptr, false);
        args.schedule = schedule.view();
        Scratch between;
        T* outputs[2] = {};  // of the layers in between, in turn
        for (Size k = 0; k + 1 < L && k < 2; ++k) {
          outputs[k] = between.take<T>(steps * N * P);
        }
        for (Size k = 0; k < L && !unlocked.is_stopped(); ++k) {
          const Size h_state = k * N * P, c_state = k * N * H;
          args.packed = &packed[k];
          args.options = network.options(*args.packed);
          args.input.I = args.input.V = args.packed->I;
          args.h0 = h ? h + h_state : nullptr;
          args.c0 = c ? c + c_state : nullptr;
          args.y = k + 1 < L ? outputs[k % 2] : y.data;
          args.h_n = h_n.data + h_state;
          args.c_n = c_n.data ? c_n.data + c_state : nullptr;
          Scratch scratch;
          packed.cell().forward(args, scratch);
          args.input.x = args.y;
          args.input.tokens = nullptr;
        }
      }
    });
    if (!args.packed) return py::none();
    return py::make_tuple(y.array, h_n.array, c_n.array);
  };
  const auto what = [&] {
    const Network& network = layers.network();
    return no_memory(layer_name(network.cell), "(T, N, I, H)",
                     {steps, N, network.I, network.H});
  };
  return with_memory(what, [&] { return layers.visit(run); });
}

}  // namespace

void register_packed(py::module_& m) {
  py::class_<AnyPackedLayers>(m, "PackedLayers")
      .def(py::init<const std::string&, const std::string&, const std::string&, bool,
                    bool, Size, Size, Size, Size, Size, bool, bool, py::array>(),
           py::arg("cell"), py::kw_only(), py::arg("nonlinearity") = "tanh",
           py::arg("reset") = "after", py::arg("coupled") = false,
           py::arg("peephole") = false, py::arg("proj_size") = 0, py::arg("input_size"),
           py::arg("hidden_size"), py::arg("num_layers"), py::arg("directions"),
           py::arg("bias"), py::arg("bfloat16"), py::arg("flat_params"))
      .def("is_current",
           [](const AnyPackedLayers& layers) {
             bool current = false;
             without_gil([&] { current = layers.is_current(); });
             return current;
           })
      .def("forward", forward_all);
  m.def("cell_kind",
        [](const std::string& name) { return int(named("cell", kCellNames, name)); });
  m.def("activation", [](const std::string& name) {
    return int(named("nonlinearity", kActivationNames, name));
  });
  m.attr("stepper_api") = py::capsule(&stepper_api(), "fastrnn._core.stepper_api");
}

}  // namespace fastrnn
