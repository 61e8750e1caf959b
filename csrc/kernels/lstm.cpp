// The LSTM cell, gates in the order i, f, g, o:
//
//   z = W_ih·x_t + b_ih + W_hh·h_{t−1} + b_hh
//   i = σ(z_i)   f = σ(z_f)   g = tanh(z_g)   o = σ(z_o)
//   c_t = f ⊙ c_{t−1} + i ⊙ g
//   h_t = o ⊙ tanh(c_t)
//
// Backward, with dh and dc the gradients that reach h_t and c_t:
//   dc   += dh ⊙ o ⊙ (1 − tanh²(c_t))
//   dz_i  = dc ⊙ g ⊙ i(1 − i)            dz_f = dc ⊙ c_{t−1} ⊙ f(1 − f)
//   dz_g  = dc ⊙ i ⊙ (1 − g²)            dz_o = dh ⊙ tanh(c_t) ⊙ o(1 − o)
//   dc_{t−1} = dc ⊙ f
// c_t and tanh(c_t) are recomputed: 12 cycles per vector instead of a load from far
// memory, and c_t before zoneout is not stored.
// Source: Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000).
#include "cell_kernels.h"
#include "math.h"

namespace fastrnn {
namespace FASTRNN_NS {

struct Lstm {
  static constexpr int G = 4;
  static constexpr int kGrads = 4;  // dz_i, dz_f, dz_g, dz_o
  static constexpr int kTape = 4;
  static constexpr bool kTapeC = true;
  static constexpr Carry kCarry = Carry::kCellState;
  static constexpr Size kInputGrads = 0, kHiddenGrads = 0;
  static constexpr int kOnlyInputBias = G;

  explicit Lstm(Activation) {}

  static constexpr int input_block(int gate) { return gate; }

  template <class T>
  FASTRNN_INLINE void forward(const Vec<T>* z, const ForwardRow<T>& row, const T*,
                              Size j, Size lanes, Size H) const {
    const Vec<T> i = sigmoid<T>(z[0]);
    const Vec<T> f = sigmoid<T>(z[1]);
    const Vec<T> g = tanh<T>(z[2]);
    const Vec<T> c = fma(f, load_some(row.c_prev + j, lanes), i * g);
    store_some(row.c + j, c, lanes);
    const Vec<T> o = sigmoid<T>(z[3]);  // not earlier: tanh(c) is on the critical path
    store_some(row.h + j, o * tanh<T>(c), lanes);
    if (row.gates) {
      store_some(row.gates + 0 * H + j, i, lanes);
      store_some(row.gates + 1 * H + j, f, lanes);
      store_some(row.gates + 2 * H + j, g, lanes);
      store_some(row.gates + 3 * H + j, o, lanes);
    }
  }

  template <class T>
  FASTRNN_INLINE void backward(Vec<T> dh, const BackwardRow<T>& row, Size j, Size lanes,
                               Size H) const {
    const Vec<T> one = broadcast(T(1));
    const Vec<T> i = load_some(row.gates + 0 * H + j, lanes);
    const Vec<T> f = load_some(row.gates + 1 * H + j, lanes);
    const Vec<T> g = load_some(row.gates + 2 * H + j, lanes);
    const Vec<T> o = load_some(row.gates + 3 * H + j, lanes);
    const Vec<T> c_prev = load_some(row.c_prev + j, lanes);
    const Vec<T> tanh_c = tanh<T>(fma(f, c_prev, i * g));
    Vec<T> dc_next = row.cut ? Vec<T>{} : load_some(row.carry + j, lanes);
    if (row.dc) dc_next += load_some(row.dc + j, lanes);
    const Vec<T> dc = fma(dh * o, fma(-tanh_c, tanh_c, one), dc_next);
    store_some(row.dz + 0 * H + j, dc * g * fma(-i, i, i), lanes);
    store_some(row.dz + 1 * H + j, dc * c_prev * fma(-f, f, f), lanes);
    store_some(row.dz + 2 * H + j, dc * i * fma(-g, g, one), lanes);
    store_some(row.dz + 3 * H + j, dh * tanh_c * fma(-o, o, o), lanes);
    store_some(row.carry + j, dc * f, lanes);
  }
};

constexpr CellKernels<float> lstm_f32 = cell_kernels<Lstm, float>();
constexpr CellKernels<double> lstm_f64 = cell_kernels<Lstm, double>();

}  // namespace FASTRNN_NS
}  // namespace fastrnn
