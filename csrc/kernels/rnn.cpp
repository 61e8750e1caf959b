// The simple (Elman) cell:  h_t = f(W_ih·x_t + b_ih + W_hh·h_{t−1} + b_hh)
//
// f is tanh, relu or elu (α = 1). All three derivatives follow from h itself:
//   tanh' = 1 − h²     relu' = [h > 0]     elu' = h > 0 ? 1 : 1 + h
// Source: Elman, "Finding structure in time", Cognitive Science 14 (1990).
#include "cell_kernels.h"
#include "math.h"

namespace fastrnn {
namespace FASTRNN_NS {

struct Rnn : OnePhase {
  static constexpr int G = 1;
  static constexpr int kGrads = 1;  // dz
  static constexpr int kTape = 0;
  static constexpr bool kTapeC = false;
  static constexpr Carry kCarry = Carry::kNothing;
  static constexpr Size kInputGrads = 0, kHiddenGrads = 0;
  static constexpr int kOnlyInputBias = G;

  template <class T>
  explicit Rnn(const CellOptions<T>& options) : activation(options.activation) {}

  template <class T>
  FASTRNN_INLINE void forward(const Vec<T>* z, const ForwardRow<T>& row, const T*,
                              Size j, Size lanes, Size) const {
    Vec<T> h;
    if (activation == Activation::kTanh) {
      h = tanh<T>(z[0]);
    } else if (activation == Activation::kRelu) {
      h = maximum(Vec<T>{}, z[0]);
    } else {
      h = z[0] > Vec<T>{} ? z[0] : expm1<T>(z[0]);
    }
    store_some(row.h + j, h, lanes);
  }

  template <class T>
  FASTRNN_INLINE void backward(Vec<T> dh, const BackwardRow<T>& row, Size j, Size lanes,
                               Size) const {
    const Vec<T> one = broadcast(T(1)), zero = {};
    const Vec<T> h = load_some(row.h + j, lanes);
    Vec<T> dz;
    if (activation == Activation::kTanh) {
      dz = dh * fma(-h, h, one);
    } else if (activation == Activation::kRelu) {
      dz = h <= zero ? zero : dh;  // NaN lets dh pass, as in PyTorch
    } else {
      dz = h > zero ? dh : dh * (one + h);
    }
    store_some(row.dz + j, dz, lanes);
  }

  Activation activation;  // the same for all rows: its branch is always predicted
};

constexpr CellKernels<float> rnn_f32 = cell_kernels<float, Rnn>();
constexpr CellKernels<double> rnn_f64 = cell_kernels<double, Rnn>();

}  // namespace FASTRNN_NS
}  // namespace fastrnn
