// Optimizer steps and gradient clipping, in place.
#include <cmath>
#include <string>

#include "arrays.h"
#include "names.h"
#include "register.h"

namespace fastrnn {

namespace {

// State that the rule does not have is None. `step` counts from 1.
void optimizer_step(const std::string& rule, const py::array& params,
                    const py::array& grads, const py::object& u, const py::object& m,
                    const py::object& v, Size step, double lr, double momentum,
                    double beta1, double beta2, double eps, double weight_decay,
                    bool decoupled, bool nesterov) {
  by_dtype(params, [&](auto type) {
    using T = decltype(type);
    OptimizerArgs<T> args{};
    args.rule = named("rule", kRuleNames, rule);
    args.count = params.size();
    args.params = mutable_data<T>(params);
    args.grads = data<T>(grads);
    args.velocity = mutable_data<T>(u);
    args.mean = mutable_data<T>(m);
    args.squares = mutable_data<T>(v);
    args.lr = lr;
    args.momentum = momentum;
    args.beta1 = beta1;
    args.beta2 = beta2;
    args.eps = eps;
    args.weight_decay = weight_decay;
    args.decoupled = decoupled;
    args.nesterov = nesterov;
    args.threads = get_num_threads();
    without_gil([&] {
      args.correction1 = 1 - std::pow(beta1, double(step));
      args.correction2 = 1 - std::pow(beta2, double(step));
      kernels<T>().optimizer_step(args);
    });
  });
}

double sum_of_squares(const py::array& values) {
  const Size count = values.size();
  const auto what = [&] { return no_memory("sum of squares", "(count)", {count}); };
  return with_memory(what, [&] {
    return by_dtype(values, [&](auto type) {
      using T = decltype(type);
      const T* first = data<T>(values);
      double sum = 0;
      without_gil([&] {
        Scratch scratch;
        sum = kernels<T>().sum_of_squares(first, count, get_num_threads(), scratch);
      });
      return sum;
    });
  });
}

void scale(const py::array& values, double factor) {
  by_dtype(values, [&](auto type) {
    using T = decltype(type);
    T* first = mutable_data<T>(values);
    const Size count = values.size();
    without_gil(
        [&] { kernels<T>().scale(first, count, T(factor), get_num_threads()); });
  });
}

void clip(const py::array& values, double bound) {
  by_dtype(values, [&](auto type) {
    using T = decltype(type);
    T* first = mutable_data<T>(values);
    const Size count = values.size();
    without_gil([&] { kernels<T>().clip(first, count, T(bound), get_num_threads()); });
  });
}

}  // namespace

void register_optim(py::module_& m) {
  m.def("optimizer_step", optimizer_step);
  m.def("sum_of_squares", sum_of_squares);
  m.def("scale", scale);
  m.def("clip", clip);
}

}  // namespace fastrnn
