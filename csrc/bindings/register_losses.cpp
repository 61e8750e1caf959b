// Losses of numbers, softmax, and connectionist temporal classification.
#include <string>

#include "arrays.h"
#include "fastrnn/float_environment.h"
#include "names.h"
#include "register.h"

namespace fastrnn {

namespace {

// The sum of weighted losses, and dy of the shape of y; weights may be None.
py::tuple loss(const std::string& rule, const py::array& y, const py::array& targets,
               const py::object& weights, Size width, double scale, double parameter) {
  const auto run = [&](auto type) -> py::tuple {
    using T = decltype(type);
    auto dy = empty<T>({y.shape(), y.shape() + y.ndim()});
    LossArgs<T> args{};
    args.rule = named("rule", kLossNames, rule);
    args.count = y.size();
    args.width = width;
    args.y = data<T>(y);
    args.targets = data<T>(targets);
    args.weights = data<T>(weights);
    args.parameter = parameter;
    args.dy = dy.mutable_data();
    args.threads = get_num_threads();
    double total = 0;
    without_gil([&] {
      args.scale = T(scale);
      Scratch scratch;
      total = kernels<T>().loss(args, scratch);
    });
    return py::make_tuple(total, dy);
  };
  const auto what = [&] { return no_memory("loss", "(count)", {y.size()}); };
  return with_memory(what, [&] { return by_dtype(y, run); });
}

py::array softmax(const py::array& x, Size rows, Size width, bool log) {
  const auto run = [&](auto type) -> py::array {
    using T = decltype(type);
    auto to = empty<T>({x.shape(), x.shape() + x.ndim()});
    const T* from = data<T>(x);
    T* into = to.mutable_data();
    without_gil(
        [&] { kernels<T>().softmax(from, rows, width, log, into, get_num_threads()); });
    return std::move(to);
  };
  const auto what = [&] { return no_memory("softmax", "(rows, V)", {rows, width}); };
  return with_memory(what, [&] { return by_dtype(x, run); });
}

// ids [N] drawn from logits [N, V] with uniforms [N]; an int, the number of a row,
// where its largest logit is not finite.
py::object draw_ids(const py::array& logits, const py::array& uniforms,
                    double temperature, Size top_k, double top_p) {
  const Size N = logits.shape(0), V = logits.shape(1);
  const auto run = [&](auto type) -> py::object {
    using T = decltype(type);
    auto ids = empty<std::int64_t>({N});
    const DrawArgs<T> args{N,           V,     data<T>(logits), data<double>(uniforms),
                           temperature, top_k, top_p,           ids.mutable_data()};
    Size wrong = -1;
    auto draw = [&] {
      Scratch scratch;
      // Small temperatures are denormal.
      const DefaultFloatEnvironment environment;
      wrong = kernels<T>().draw_ids(args, scratch);
    };
    // A thread that gives the GIL up may wait 5 ms to get it back.
    if (N * V < 4096) {
      draw();
    } else {
      without_gil(draw);
    }
    if (wrong >= 0) return py::int_(wrong);
    return std::move(ids);
  };
  const auto what = [&] { return no_memory("logits", "(N, V)", {N, V}); };
  return with_memory(what, [&] { return by_dtype(logits, run); });
}

// The loss of each row, in double, and dlogits.
py::tuple ctc(const py::array& logits, const py::array& targets,
              const py::array& lengths, const py::array& target_lengths, Size blank,
              const py::array& scale) {
  const Size steps = logits.shape(0), N = logits.shape(1), V = logits.shape(2);
  const Size S = targets.shape(1);
  const auto run = [&](auto type) -> py::tuple {
    using T = decltype(type);
    auto losses = empty<double>({N});
    auto dlogits = empty<T>({steps, N, V});
    CtcArgs<T> args{};
    args.steps = steps;
    args.N = N;
    args.V = V;
    args.S = S;
    args.logits = data<T>(logits);
    args.targets = data<std::int64_t>(targets);
    args.lengths = data<std::int64_t>(lengths);
    args.target_lengths = data<std::int64_t>(target_lengths);
    args.blank = blank;
    args.scale = data<T>(scale);
    args.loss = losses.mutable_data();
    args.dlogits = dlogits.mutable_data();
    args.threads = get_num_threads();
    without_gil([&] {
      Scratch scratch;
      kernels<T>().ctc(args, scratch);
    });
    return py::make_tuple(losses, dlogits);
  };
  const auto what = [&] {
    return no_memory("ctc_loss", "(T, N, V, S)", {steps, N, V, S});
  };
  return with_memory(what, [&] { return by_dtype(logits, run); });
}

}  // namespace

void register_losses(py::module_& m) {
  m.def("loss", loss);
  m.def("draw_ids", draw_ids);
  m.def("softmax", softmax);
  m.def("ctc", ctc);
}

}  // namespace fastrnn
