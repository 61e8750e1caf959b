// The GRU cell, gates in the order r, z, n, reset after the matrix product:
//
//   r = σ(W_ir·x + b_ir + W_hr·h_{t−1} + b_hr)      z = σ(likewise)
//   q = W_hn·h_{t−1} + b_hn
//   n = tanh(W_in·x + b_in + r ⊙ q)
//   h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}
//
// Backward, with dh the gradient that reaches h_t:
//   dn = dh ⊙ (1 − z) ⊙ (1 − n²)         dz = dh ⊙ (h_{t−1} − n) ⊙ z(1 − z)
//   dr = dn ⊙ q ⊙ r(1 − r)               dq = dn ⊙ r
//   dh_{t−1} = dh ⊙ z + (dr, dz, dq)·W_hh
// A row has its four blocks in the order dn, dr, dz, dq, so that those of the input's
// products (dn, dr, dz) and those of the recurrent ones (dr, dz, dq) are contiguous.
// Source: Cho et al. (2014), in the variant of cuDNN and PyTorch.
//
// GruBefore has the reset before the matrix product, and thus two phases:
//
//   r, z as above                  q = r ⊙ h_{t−1}
//   n = tanh(W_in·x + b_in + W_hn·q + b_hn)
//   h_t as above
//
// Backward:
//   dn, dz as above                dq = dn·W_hn
//   dr = dq ⊙ h_{t−1} ⊙ r(1 − r)
//   dh_{t−1} = dh ⊙ z + dq ⊙ r + (dr, dz)·W_h(r, z)
// With a recurrent mask m, W_hh multiplies m ⊙ h_{t−1} in place of h_{t−1}.
// Source: Cho et al. (2014) as written; ONNX's default, Keras's reset_after=False.
#include "cell_kernels.h"
#include "math.h"

namespace fastrnn {
namespace FASTRNN_NS {

struct Gru : OnePhase {
  static constexpr int G = 3;
  static constexpr int kGrads = 4;
  static constexpr int kTape = 3;
  static constexpr bool kTapeC = true;
  static constexpr Carry kCarry = Carry::kHidden;
  static constexpr Size kInputGrads = 0, kHiddenGrads = 1;
  static constexpr int kOnlyInputBias = 2;  // b_hn is inside the reset

  template <class T>
  explicit Gru(const CellOptions<T>&) {}

  template <class T>
  static bool serves(const CellOptions<T>& options) {
    return !options.reset_before;
  }

  // The place of a gate's gradient among the input's blocks.
  static constexpr int input_block(int gate) { return gate == 2 ? 0 : gate + 1; }

  // The accumulators of the candidate hold q: they start at b_hn, and W_in·x + b_in
  // waits in the input product.
  template <class T>
  FASTRNN_INLINE void forward(const Vec<T>* z_acc, const ForwardRow<T>& row,
                              const T* z_input, Size j, Size lanes, Size H) const {
    const Vec<T> one = broadcast(T(1));
    const Vec<T> q = z_acc[2];
    const Vec<T> r = sigmoid<T>(z_acc[0]);
    const Vec<T> z = sigmoid<T>(z_acc[1]);
    const Vec<T> n = tanh<T>(fma(r, q, load(z_input + 2 * kLanes<T>)));
    const Vec<T> h_prev = load_some(row.h_prev + j, lanes);
    store_some(row.h + j, fma(z, h_prev, (one - z) * n), lanes);
    if (row.gates) {
      store_some(row.gates + 0 * H + j, r, lanes);
      store_some(row.gates + 1 * H + j, z, lanes);
      store_some(row.gates + 2 * H + j, n, lanes);
      store_some(row.c + j, q, lanes);
    }
  }

  template <class T>
  FASTRNN_INLINE void backward(Vec<T> dh, const BackwardRow<T>& row, Size j, Size lanes,
                               Size H) const {
    const Vec<T> one = broadcast(T(1));
    const Vec<T> r = load_some(row.gates + 0 * H + j, lanes);
    const Vec<T> z = load_some(row.gates + 1 * H + j, lanes);
    const Vec<T> n = load_some(row.gates + 2 * H + j, lanes);
    const Vec<T> q = load_some(row.c + j, lanes);
    const Vec<T> h_prev = load_some(row.h_prev + j, lanes);
    const Vec<T> dn = dh * (one - z) * fma(-n, n, one);
    store_some(row.dz + 0 * H + j, dn, lanes);
    store_some(row.dz + 1 * H + j, dn * q * fma(-r, r, r), lanes);
    store_some(row.dz + 2 * H + j, dh * (h_prev - n) * fma(-z, z, z), lanes);
    store_some(row.dz + 3 * H + j, dn * r, lanes);
    store_some(row.carry + j, dh * z, lanes);
  }
};

struct GruBefore : OnePhase {
  static constexpr int G = 3;
  static constexpr int kGrads = 3;  // dr, dz, dn
  static constexpr int kTape = 3;
  static constexpr bool kTapeC = true;
  static constexpr Carry kCarry = Carry::kHidden;
  static constexpr Size kInputGrads = 0, kHiddenGrads = 0;
  static constexpr int kOnlyInputBias = G;

  template <class T>
  explicit GruBefore(const CellOptions<T>&) {}

  struct Reset;
  struct Candidate;
};

struct GruBefore::Reset : GruBefore {
  static constexpr int G = 2;
  static constexpr int kOnlyInputBias = G;
  static constexpr bool kForwardH = false;

  explicit Reset(const GruBefore& cell) : GruBefore(cell) {}

  // z waits in the place of h.
  template <class T>
  FASTRNN_INLINE void forward(const Vec<T>* z_acc, const ForwardRow<T>& row, const T*,
                              Size j, Size lanes, Size H) const {
    const Vec<T> r = sigmoid<T>(z_acc[0]);
    const Vec<T> z = sigmoid<T>(z_acc[1]);
    store_some(row.inner + j, r * load_some(row.h_in + j, lanes), lanes);
    store_some(row.h + j, z, lanes);
    if (row.gates) {
      store_some(row.gates + 0 * H + j, r, lanes);
      store_some(row.gates + 1 * H + j, z, lanes);
    }
  }

  template <class T>
  FASTRNN_INLINE void backward(Vec<T> dh, const BackwardRow<T>& row, Size j, Size lanes,
                               Size H) const {
    const Vec<T> one = broadcast(T(1));
    const Vec<T> z = load_some(row.gates + 1 * H + j, lanes);
    const Vec<T> n = load_some(row.gates + 2 * H + j, lanes);
    const Vec<T> h_prev = load_some(row.h_prev + j, lanes);
    store_some(row.dz + 1 * H + j, dh * (h_prev - n) * fma(-z, z, z), lanes);
    store_some(row.dz + 2 * H + j, dh * (one - z) * fma(-n, n, one), lanes);
    store_some(row.carry + j, dh * z, lanes);
  }
};

struct GruBefore::Candidate : GruBefore {
  static constexpr int G = 1;
  static constexpr int kFirst = 2;
  static constexpr int kOnlyInputBias = G;
  static constexpr bool kInner = true;
  static constexpr int weight_block(int) { return 2; }

  explicit Candidate(const GruBefore& cell) : GruBefore(cell) {}

  template <class T>
  FASTRNN_INLINE void forward(const Vec<T>* z_acc, const ForwardRow<T>& row, const T*,
                              Size j, Size lanes, Size H) const {
    const Vec<T> n = tanh<T>(z_acc[0]);
    const Vec<T> z = load_some(row.h + j, lanes);
    const Vec<T> h_prev = load_some(row.h_prev + j, lanes);
    store_some(row.h + j, fma(z, h_prev, (broadcast(T(1)) - z) * n), lanes);
    if (row.gates) store_some(row.gates + 2 * H + j, n, lanes);
  }

  // dq: the gradient of the operand, q = r ⊙ (m ⊙) h_{t−1}.
  template <class T>
  FASTRNN_INLINE void backward(Vec<T> dq, const BackwardRow<T>& row, Size j, Size lanes,
                               Size H) const {
    const Vec<T> r = load_some(row.gates + 0 * H + j, lanes);
    if (row.mask) dq *= load_some(row.mask + j, lanes);
    const Vec<T> h_prev = load_some(row.h_prev + j, lanes);
    store_some(row.dz + 0 * H + j, dq * h_prev * fma(-r, r, r), lanes);
    store_some(row.carry + j, fma(dq, r, load_some(row.carry + j, lanes)), lanes);
  }
};

template <>
struct PhasesOf<GruBefore> {
  using Type = Phases<GruBefore::Reset, GruBefore::Candidate>;
};

constexpr CellKernels<float> gru_f32 = cell_kernels<float, Gru, GruBefore>();
constexpr CellKernels<double> gru_f64 = cell_kernels<double, Gru, GruBefore>();

}  // namespace FASTRNN_NS
}  // namespace fastrnn
