// A phase of one step of some rows forward, by tiles:  h = cell(z + W_hh·h_prev)
//
// The sums stay in registers until the cell takes them. Layout:
//   w packed  [unit vectors][depth][G of the phase][lanes]
#pragma once

#include "cell.h"
#include "rows.h"

namespace fastrnn {
namespace FASTRNN_NS {

// A phase of a step of a few rows. Its tiles depend on the number of gates alone, so
// that all phases with as many share them: the rest of a phase is data.
template <class T>
struct ForwardStep {
  // The cell for one vector of units and some rows, whose sums z lie `apart` vectors
  // from each other.
  using Cells = void (*)(const ForwardStep& x, Size row, int count, const Vec<T>* z,
                         Size apart, Size u);

  const ForwardRow<T>* rows;  // [rows]
  const T* w;                 // packed, from unit vector `first` on
  const T* b_hidden;          // [unit vectors][lanes]: b_hh of the last gate, if apart
  Size units, depth;          // numbers of outputs and of the operand
  Size z_step;                // between unit vectors of a row's z
  Size first;
  bool zoneout;  // units keep their states: where the rows' bytes say so, or
  T rate;        // without bytes this share of each state
  // Of the phase: see take.
  const void* phase = nullptr;
  Cells cells = nullptr, usual_cells = nullptr;  // usual: all lanes, and no zoneout
  Size z_first = 0;  // where the phase's gates begin in a unit vector of z
  bool inner = false, from_zero = false, last_apart = false;

  template <class Phase>
  void take(const Phase& of);
};

// Zoneout of a vector of units: the state just computed, or the old one.
template <class T>
FASTRNN_INLINE void zone_out(Vec<T> old, const std::uint8_t* flags, T rate, T* state,
                             Size lanes) {
  const Vec<T> fresh = load_some(state, lanes);
  const Vec<T> mixed = flags
                           ? (load_flags<T>(flags, lanes) ? old : fresh)
                           : fma(broadcast(rate), old, broadcast(T(1) - rate) * fresh);
  store_some(state, mixed, lanes);
}

template <bool kUsual, class Phase, class T>
void forward_cells(const ForwardStep<T>& x, Size row, int count, const Vec<T>* z,
                   Size apart, Size u) {
  const Phase& phase = *static_cast<const Phase*>(x.phase);
  constexpr Size L = kLanes<T>;
  constexpr bool kKeepsC = Phase::kCarry == Carry::kCellState && Phase::kForwardC;
  const Size j = u * L, lanes = kUsual ? L : at_most(L, x.units - j);
#pragma GCC unroll 2
  for (int i = 0; i < count; ++i) {
    const ForwardRow<T>& r = x.rows[row + i];
    const T* z_input = r.z + u * x.z_step;
    Vec<T> c_prev = {};
    if (!kUsual && kKeepsC && x.zoneout) c_prev = load_some(r.c_prev + j, lanes);
    phase.template forward<T>(z + i * apart, r, z_input, j, lanes, x.units);
    if (kUsual || !x.zoneout) continue;
    if (Phase::kForwardH) {
      const Vec<T> h_prev = load_some(r.h_prev + j, lanes);
      zone_out<T>(h_prev, r.zoneout_h ? r.zoneout_h + j : nullptr, x.rate, r.h + j,
                  lanes);
    }
    if (!kKeepsC) continue;
    zone_out<T>(c_prev, r.zoneout_c ? r.zoneout_c + j : nullptr, x.rate, r.c + j,
                lanes);
  }
}

template <class T>
template <class Phase>
void ForwardStep<T>::take(const Phase& of) {
  phase = &of;
  cells = forward_cells<false, Phase, T>;
  usual_cells = forward_cells<true, Phase, T>;
  z_first = Phase::kFirst * kLanes<T>;
  inner = Phase::kInner;
  from_zero = Phase::kProjection;
  last_apart = Phase::kOnlyInputBias < Phase::G;
}

// The given unit vectors of a phase with G gates, for the first `rows` of x.rows.
// Compiled in step_tiles.cpp.
template <int G, class T>
void forward_tiles(const ForwardStep<T>& x, Size rows, Range unit_vectors,
                   bool backwards);

}  // namespace FASTRNN_NS
}  // namespace fastrnn
