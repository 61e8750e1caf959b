// The linear layer and the loss on it.
#include "arrays.h"
#include "register.h"

namespace fastrnn {

namespace {

// Matrices arrive flattened to two dimensions; callers restore the leading sizes.
py::array linear_forward(Size rows, Size I, Size O, const py::object& x,
                         const py::object& w, const py::object& b) {
  const auto run = [&](auto type) -> py::array {
    using T = decltype(type);
    auto y = empty<T>({rows, O});
    const LinearArgs<T> args{rows,
                             I,
                             O,
                             data<T>(x),
                             data<T>(w),
                             data<T>(b),
                             y.mutable_data(),
                             get_num_threads()};
    without_gil([&] {
      Scratch scratch;
      kernels<T>().linear_forward(args, scratch);
    });
    return std::move(y);
  };
  const auto what = [&] {
    return no_memory("linear_forward", "(rows, I, O)", {rows, I, O});
  };
  return with_memory(what, [&] { return by_dtype(w, run); });
}

py::tuple linear_backward(Size rows, Size I, Size O, const py::object& x,
                          const py::object& w, const py::object& dy, bool bias) {
  const auto run = [&](auto type) {
    using T = decltype(type);
    const Output<T> dx(true, {rows, I});
    const Output<T> dw(true, {O, I});
    const Output<T> db(bias, {O});
    const LinearBackwardArgs<T> args{
        rows,        I,       O,       data<T>(x), data<T>(w),
        data<T>(dy), dx.data, dw.data, db.data,    get_num_threads()};
    without_gil([&] {
      Scratch scratch;
      kernels<T>().linear_backward(args, scratch);
    });
    return py::make_tuple(dx.array, dw.array, db.array);
  };
  const auto what = [&] {
    return no_memory("linear_backward", "(rows, I, O)", {rows, I, O});
  };
  return with_memory(what, [&] { return by_dtype(w, run); });
}

// targets: int64, negative for rows to leave out. Gradients that are not wanted are
// None. weights, smoothing and shares may be.
py::tuple linear_cross_entropy(Size rows, Size H, Size V, const py::object& y,
                               const py::object& w, const py::object& b,
                               const py::object& targets, double scale, bool want_dy,
                               bool want_dw, bool want_db, int threads,
                               const py::object& weights, const py::object& smoothing,
                               const py::object& shares) {
  const auto run = [&](auto type) {
    using T = decltype(type);
    const Output<T> loss(true, {rows});
    const Output<T> dy(want_dy, {rows, H});
    const Output<T> dw(want_dw, {V, H});
    const Output<T> db(want_db && !b.is_none(), {V});
    CrossEntropyArgs<T> args{};
    args.rows = rows;
    args.H = H;
    args.V = V;
    args.y = data<T>(y);
    args.w = data<T>(w);
    args.b = data<T>(b);
    args.targets = data<std::int64_t>(targets);
    args.weights = data<T>(weights);
    args.smoothing = data<T>(smoothing);
    args.shares = data<T>(shares);
    args.loss = loss.data;
    args.dy = dy.data;
    args.dw = dw.data;
    args.db = db.data;
    args.threads = threads_or_default(threads);
    without_gil([&] {
      args.scale = T(scale);
      Scratch scratch;
      kernels<T>().cross_entropy(args, scratch);
    });
    return py::make_tuple(loss.array, dy.array, dw.array, db.array);
  };
  const auto what = [&] {
    return no_memory("linear_cross_entropy", "(rows, H, V)", {rows, H, V});
  };
  return with_memory(what, [&] { return by_dtype(w, run); });
}

}  // namespace

void register_linear(py::module_& m) {
  m.def("linear_forward", linear_forward);
  m.def("linear_backward", linear_backward);
  m.def("linear_cross_entropy", linear_cross_entropy);
}

}  // namespace fastrnn
