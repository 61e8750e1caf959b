// The LSTM cell, gates in the order i, f, g, o:
//
//   z = W_ih·x_t + b_ih + W_hh·h_{t−1} + b_hh
//   i = σ(z_i + p_i ⊙ c_{t−1})   f = σ(z_f + p_f ⊙ c_{t−1})   g = tanh(z_g)
//   c_t = f ⊙ c_{t−1} + i ⊙ g
//   o = σ(z_o + p_o ⊙ c_t)
//   h_t = o ⊙ tanh(c_t)
//
// where p, the peepholes, may be absent; with coupled gates f = 1 − i, and the weights
// have a block for f that is not read.
//
// Backward, with dh and dc the gradients that reach h_t and c_t:
//   dz_o  = dh ⊙ tanh(c_t) ⊙ o(1 − o)
//   dc   += dh ⊙ o ⊙ (1 − tanh²(c_t)) + dz_o ⊙ p_o
//   dz_i  = dc ⊙ g ⊙ i(1 − i)            dz_f = dc ⊙ c_{t−1} ⊙ f(1 − f)
//   dz_g  = dc ⊙ i ⊙ (1 − g²)
//   dc_{t−1} = dc ⊙ f + dz_i ⊙ p_i + dz_f ⊙ p_f
// and with coupled gates dz_i = dc ⊙ (g − c_{t−1}) ⊙ i(1 − i), without dz_f.
// c_t and tanh(c_t) are recomputed: 12 cycles per vector instead of a load from far
// memory, and c_t before zoneout is not stored.
//
// With a projection, h_t = W_hr·m with m = o ⊙ tanh(c_t): a second phase. Backward, dh
// of W_hh and from outside comes first, then dm = dh·W_hr takes its place above.
// Sources: Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000);
// peepholes: Gers & Schmidhuber (2000), as in ONNX; coupled gates: Greff et al. (2017);
// projection: Sak et al. (2014).
#include "cell_kernels.h"
#include "math.h"

namespace fastrnn {
namespace FASTRNN_NS {

// kCoupled: gates i, g, o. kPeepholes: there may be some; the plain cell has no
// branches.
template <bool kCoupled, bool kProjected, bool kPeepholes>
struct Lstm : OnePhase {
  static constexpr int G = kCoupled ? 3 : 4;
  static constexpr int kGrads = G;  // dz_i, dz_f unless coupled, dz_g, dz_o
  static constexpr int kTape = 4;
  static constexpr bool kTapeC = true;
  static constexpr Carry kCarry = Carry::kCellState;
  static constexpr Size kInputGrads = 0, kHiddenGrads = 0;
  static constexpr int kOnlyInputBias = G;
  static constexpr int kUnread = kCoupled ? 1 : -1;
  static constexpr int kPlaceOfG = G - 2, kPlaceOfO = G - 1;

  template <class T>
  explicit Lstm(const CellOptions<T>& options) : peephole(options.peephole) {}

  template <class T>
  static bool serves(const CellOptions<T>& options) {
    return kCoupled == options.coupled && kProjected == options.projection &&
           (kPeepholes || !options.peephole);
  }

  static constexpr int weight_block(int gate) {
    return kCoupled && gate > 0 ? gate + 1 : gate;
  }

  // z + p ⊙ c, p of the gate i, f or o.
  template <class T>
  FASTRNN_INLINE Vec<T> peep(Vec<T> z, int gate, Vec<T> c, Size j, Size lanes,
                             Size H) const {
    if (!kPeepholes || !peephole) return z;
    return fma(load_some(static_cast<const T*>(peephole) + gate * H + j, lanes), c, z);
  }

  template <class T>
  FASTRNN_INLINE void forward(const Vec<T>* z, const ForwardRow<T>& row, const T*,
                              Size j, Size lanes, Size H) const {
    const Vec<T> c_prev = load_some(row.c_prev + j, lanes);
    const Vec<T> i = sigmoid<T>(peep<T>(z[0], 0, c_prev, j, lanes, H));
    Vec<T> f = broadcast(T(1)) - i;
    if constexpr (!kCoupled) f = sigmoid<T>(peep<T>(z[1], 1, c_prev, j, lanes, H));
    const Vec<T> g = tanh<T>(z[kPlaceOfG]);
    const Vec<T> c = fma(f, c_prev, i * g);
    store_some(row.c + j, c, lanes);
    // Not earlier: tanh(c) is on the critical path.
    const Vec<T> o = sigmoid<T>(peep<T>(z[kPlaceOfO], 2, c, j, lanes, H));
    store_some((kProjected ? row.inner : row.h) + j, o * tanh<T>(c), lanes);
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
    if (kProjected) {
      store(row.inner + j / kLanes<T> * row.inner_step, o * tanh_c);
    }
    Vec<T> dc_next = row.cut ? Vec<T>{} : load_some(row.carry + j, lanes);
    if (row.dc) dc_next += load_some(row.dc + j, lanes);
    const Vec<T> dz_o = dh * tanh_c * fma(-o, o, o);
    dc_next = peep<T>(dc_next, 2, dz_o, j, lanes, H);
    const Vec<T> dc = fma(dh * o, fma(-tanh_c, tanh_c, one), dc_next);
    const Vec<T> dz_i = dc * (kCoupled ? g - c_prev : g) * fma(-i, i, i);
    Vec<T> carry = peep<T>(dc * f, 0, dz_i, j, lanes, H);
    store_some(row.dz + j, dz_i, lanes);
    if constexpr (!kCoupled) {
      const Vec<T> dz_f = dc * c_prev * fma(-f, f, f);
      carry = peep<T>(carry, 1, dz_f, j, lanes, H);
      store_some(row.dz + 1 * H + j, dz_f, lanes);
    }
    store_some(row.dz + kPlaceOfG * H + j, dc * i * fma(-g, g, one), lanes);
    store_some(row.dz + kPlaceOfO * H + j, dz_o, lanes);
    store_some(row.carry + j, carry, lanes);
  }

  const void* peephole;  // T [3, H] or null: the same for all rows
};

// The phases of a cell with a projection: its own, whose product leads to dh backward,
// and the projection, whose product leads to dm.
template <bool kCoupled>
struct GatesPhase : Lstm<kCoupled, true, true> {
  using Cell = Lstm<kCoupled, true, true>;
  static constexpr bool kForwardH = false, kBackwardC = false;

  explicit GatesPhase(const Cell& cell) : Cell(cell) {}

  template <class T>
  FASTRNN_INLINE void backward(Vec<T> dh, const BackwardRow<T>& row, Size j, Size lanes,
                               Size H) const {
    store_some(row.dz + Cell::kGrads * H + j, dh, lanes);
  }
};

template <bool kCoupled>
struct ProjectionPhase : Lstm<kCoupled, true, true> {
  using Cell = Lstm<kCoupled, true, true>;
  static constexpr int G = 1;
  static constexpr int kOnlyInputBias = G;
  static constexpr int kFirst = Cell::G;
  static constexpr bool kInner = true, kProjection = true, kForwardC = false;
  static constexpr int weight_block(int gate) { return gate; }

  explicit ProjectionPhase(const Cell& cell) : Cell(cell) {}

  template <class T>
  FASTRNN_INLINE void forward(const Vec<T>* h, const ForwardRow<T>& row, const T*,
                              Size j, Size lanes, Size) const {
    store_some(row.h + j, h[0], lanes);
  }
};

template <bool kCoupled>
struct PhasesOf<Lstm<kCoupled, true, true>> {
  using Type = Phases<GatesPhase<kCoupled>, ProjectionPhase<kCoupled>>;
};

template <class T>
constexpr CellKernels<T> lstm_kernels() {
  return cell_kernels<T, Lstm<false, false, false>, Lstm<false, true, true>,
                      Lstm<true, true, true>, Lstm<true, false, true>,
                      Lstm<false, false, true>>();
}
constexpr CellKernels<float> lstm_f32 = lstm_kernels<float>();
constexpr CellKernels<double> lstm_f64 = lstm_kernels<double>();

}  // namespace FASTRNN_NS
}  // namespace fastrnn
