#include "fastrnn/pointwise.h"

#include <cmath>

#include "fastrnn/float_environment.h"

namespace fastrnn {

namespace {

// In the order of NumPy's sum of contiguous numbers.
template <class T>
T sum(const T* x, Size count) {
  if (count < 8) {
    T s = T(-0.0);
    for (Size i = 0; i < count; ++i) s += x[i];
    return s;
  }
  if (count <= 128) {
    T r[8];
    for (Size j = 0; j < 8; ++j) r[j] = x[j];
    Size i = 8;
    for (; i < count - count % 8; i += 8) {
      for (Size j = 0; j < 8; ++j) r[j] += x[i + j];
    }
    T s = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    for (; i < count; ++i) s += x[i];
    return s;
  }
  const Size half = count / 2 / 8 * 8;
  return sum(x, half) + sum(x + half, count - half);
}

// `squares` has room for H numbers.
template <class T>
void layer_norm(const StepLayer& layer, Size H, const T* x, T* y, T* squares) {
  const T* gain = static_cast<const T*>(layer.weight);
  const T* shift = static_cast<const T*>(layer.bias);
  const T mean = (T(0) + sum(x, H)) / T(H);
  for (Size i = 0; i < H; ++i) {
    y[i] = x[i] - mean;
    squares[i] = y[i] * y[i];
  }
  const T variance = (T(0) + sum(squares, H)) / T(H);
  const T slope = T(1) / std::sqrt(variance + T(layer.eps));
  for (Size i = 0; i < H; ++i) y[i] = y[i] * slope * gain[i] + shift[i];
}

template <class T>
void batch_norm(const StepLayer& layer, const T* slope, Size H, const T* x, T* y) {
  const T* gain = static_cast<const T*>(layer.weight);
  const T* shift = static_cast<const T*>(layer.bias);
  const T* mean = static_cast<const T*>(layer.mean);
  for (Size i = 0; i < H; ++i) y[i] = (x[i] - mean[i]) * slope[i] * gain[i] + shift[i];
}

template <class T>
void apply(const char* function, const T* x, T* y, Size count) {
  const DefaultFloatEnvironment environment;
  kernels<T>().apply_math(function, x, y, count);
}

// See normal_distribution in activation.py.
constexpr double kTail[] = {
    0.47205320650984467,    -0.09670347732652579,    0.013999634724430356,
    0.02860036405355274,    -0.0321978374283102,     0.01793609747950764,
    -0.005002378587116524,  -0.0002856230944321861,  0.0006948970697612711,
    -9.443028888601637e-05, -8.785300671505195e-05,  2.1250241889757066e-05,
    1.3626321688909283e-05, -3.4328382916146516e-06, -2.611858307579318e-06,
    4.0580524875156294e-07, 5.507887683089697e-07,   -2.2103572445430463e-10,
    -1.10233768116029e-07,  -1.8643150877103823e-08, 1.744682183478039e-08,
    5.758385702078858e-09,  -1.5463815545201715e-09, -7.255460695851768e-10};
constexpr int kTerms = sizeof kTail / sizeof *kTail;

template <class T>
void gelu(const T* x, T* y, Size count, double* density) {
  for (Size i = 0; i < count; ++i) density[i] = -0.5 * double(x[i]) * double(x[i]);
  apply("exp", density, density, count);
  for (Size i = 0; i < count; ++i) {
    const double a = double(x[i]), magnitude = std::fabs(a);
    const double distance = magnitude > 40 ? 40 : magnitude;
    const double t = (distance - 4) / (distance + 4);
    double tail = kTail[kTerms - 1];
    for (int k = kTerms - 2; k >= 0; --k) tail = tail * t + kTail[k];
    tail *= density[i] / (1 + distance);
    y[i] = T(a * (a < 0 ? tail : 1 - tail));
  }
}

}  // namespace

template <class T>
void run_pointwise(const StepLayer& layer, const T* slope, Size N, Size width,
                   const T* x, T* y, double* scratch) {
  for (Size n = 0; n < N; ++n, x += width, y += width) {
    switch (layer.kind) {
      case StepKind::kRelu:
        for (Size i = 0; i < width; ++i) y[i] = x[i] > T(0) || x[i] != x[i] ? x[i] : 0;
        break;
      case StepKind::kTanh:
        apply("tanh", x, y, width);
        break;
      case StepKind::kSigmoid:
        apply("sigmoid", x, y, width);
        break;
      case StepKind::kGelu:
        gelu(x, y, width, scratch);
        break;
      case StepKind::kLayerNorm:
        layer_norm(layer, width, x, y, reinterpret_cast<T*>(scratch));
        break;
      default:
        batch_norm(layer, slope, width, x, y);
    }
  }
}

template <class T>
void slope_of_batch_norm(const StepLayer& layer, T* slope) {
  const T* variance = static_cast<const T*>(layer.variance);
  for (Size i = 0; i < layer.O; ++i) {
    slope[i] = T(1) / std::sqrt(variance[i] + T(layer.eps));
  }
}

template void run_pointwise(const StepLayer&, const float*, Size, Size, const float*,
                            float*, double*);
template void run_pointwise(const StepLayer&, const double*, Size, Size, const double*,
                            double*, double*);
template void slope_of_batch_norm(const StepLayer&, float*);
template void slope_of_batch_norm(const StepLayer&, double*);

}  // namespace fastrnn
