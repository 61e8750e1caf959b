// Losses of numbers, softmax, and connectionist temporal classification.
#include <string>

#include "arrays.h"
#include "names.h"
#include "register.h"

namespace fastrnn {

namespace {

// The sum of weighted losses, and dy of the shape of y; weights may be None.
py::tuple loss(const std::string& rule, const py::array& y, const py::array& targets,
               const py::object& weights, Size width, double scale, double parameter) {
  return by_dtype(y, [&](auto type) -> py::tuple {
    using T = decltype(type);
    auto dy = empty<T>({y.shape(), y.shape() + y.ndim()});
    LossArgs<T> args{};
    args.rule = named("rule", kLossNames, rule);
    args.count = y.size();
    args.width = width;
    args.y = data<T>(y);
    args.targets = data<T>(targets);
    args.weights = data<T>(weights);
    args.scale = T(scale);
    args.parameter = parameter;
    args.dy = dy.mutable_data();
    args.threads = get_num_threads();
    double total = 0;
    {
      const py::gil_scoped_release unlocked;
      Scratch scratch;
      total = kernels<T>().loss(args, scratch);
    }
    return py::make_tuple(total, dy);
  });
}

py::array softmax(const py::array& x, Size rows, Size width, bool log) {
  return by_dtype(x, [&](auto type) -> py::array {
    using T = decltype(type);
    auto to = empty<T>({x.shape(), x.shape() + x.ndim()});
    const T* from = data<T>(x);
    T* into = to.mutable_data();
    {
      const py::gil_scoped_release unlocked;
      Scratch scratch;
      kernels<T>().softmax(from, rows, width, log, into, get_num_threads(), scratch);
    }
    return std::move(to);
  });
}

// The loss of each row, in double, and dlogits.
py::tuple ctc(const py::array& logits, const py::array& targets,
              const py::array& lengths, const py::array& target_lengths, Size blank,
              const py::array& scale) {
  return by_dtype(logits, [&](auto type) -> py::tuple {
    using T = decltype(type);
    CtcArgs<T> args{};
    args.steps = logits.shape(0);
    args.N = logits.shape(1);
    args.V = logits.shape(2);
    args.S = targets.shape(1);
    auto losses = empty<double>({args.N});
    auto dlogits = empty<T>({args.steps, args.N, args.V});
    args.logits = data<T>(logits);
    args.targets = data<std::int64_t>(targets);
    args.lengths = data<std::int64_t>(lengths);
    args.target_lengths = data<std::int64_t>(target_lengths);
    args.blank = blank;
    args.scale = data<T>(scale);
    args.loss = losses.mutable_data();
    args.dlogits = dlogits.mutable_data();
    args.threads = get_num_threads();
    {
      const py::gil_scoped_release unlocked;
      Scratch scratch;
      kernels<T>().ctc(args, scratch);
    }
    return py::make_tuple(losses, dlogits);
  });
}

}  // namespace

void register_losses(py::module_& m) {
  m.def("loss", loss);
  m.def("softmax", softmax);
  m.def("ctc", ctc);
}

}  // namespace fastrnn
