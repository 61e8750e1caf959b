// The table of this instruction set, and its vector functions for the accuracy tests.
#include "entry.h"
#include "log.h"
#include "math.h"

namespace fastrnn {
namespace FASTRNN_NS {

namespace {

bool same(const char* a, const char* b) {
  while (*a && *a == *b) ++a, ++b;
  return *a == *b;
}

template <class T, class Function>
bool apply(Function function, const T* x, T* y, Size count) {
  for (Size i = 0; i < count; i += kLanes<T>) {
    const Size lanes = count - i < kLanes<T> ? count - i : kLanes<T>;
    store_some(y + i, function(load_some(x + i, lanes)), lanes);
  }
  return true;
}

template <class T>
bool apply_math(const char* name, const T* x, T* y, Size count) {
  using V = Vec<T>;
  if (same(name, "exp")) return apply([](V v) { return exp<T>(v); }, x, y, count);
  if (same(name, "sigmoid"))
    return apply([](V v) { return sigmoid<T>(v); }, x, y, count);
  if (same(name, "tanh")) return apply([](V v) { return tanh<T>(v); }, x, y, count);
  if (same(name, "log1p")) return apply([](V v) { return log1p<T>(v); }, x, y, count);
  if (same(name, "expm1")) return apply([](V v) { return expm1<T>(v); }, x, y, count);
  if constexpr (sizeof(T) == sizeof(double)) {
    if (same(name, "log")) return apply([](V v) { return log(v); }, x, y, count);
  }
  return false;
}

template <class T>
constexpr Kernels<T> make_kernels(const CellKernels<T>* const (&cells)[kCells]) {
  Kernels<T> kernels = {};
  kernels.lanes = kLanes<T>;
  kernels.apply_math = apply_math<T>;
  for (int i = 0; i < kCells; ++i) kernels.cells[i] = cells[i];
  if constexpr (kHasKernels<T>) {
    kernels.linear_forward = linear_forward<T>;
    kernels.pack_linear = pack_linear<T>;
    kernels.linear_step = linear_step<T>;
    kernels.digest = digest<T>;
    kernels.has_digest = has_digest<T>;
  }
  if constexpr (kTrains) {
    kernels.linear_backward = linear_backward<T>;
    kernels.cross_entropy = cross_entropy<T>;
    kernels.loss = loss<T>;
    kernels.softmax = softmax<T>;
    kernels.ctc = ctc<T>;
    kernels.draw_ids = draw_ids<T>;
    kernels.optimizer_step = optimizer_step<T>;
    kernels.sum_of_squares = sum_of_squares<T>;
    kernels.scale = scale<T>;
    kernels.clip = clip<T>;
    kernels.draw_flags = draw_flags;
  }
  return kernels;
}

}  // namespace

#define FASTRNN_F32(kind, name) &name##_f32,
#define FASTRNN_F64(kind, name) &name##_f64,
extern const Kernels<float> kernels_f32;
extern const Kernels<double> kernels_f64;
constexpr Kernels<float> kernels_f32 =
    make_kernels<float>({FASTRNN_CELLS(FASTRNN_F32)});
constexpr Kernels<double> kernels_f64 =
    make_kernels<double>({FASTRNN_CELLS(FASTRNN_F64)});

}  // namespace FASTRNN_NS
}  // namespace fastrnn
