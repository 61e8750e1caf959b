// A phase of one step of some rows backward, by tiles:
//
//   dh = dz_next·W_hh + dy (+ dh_n at a row's last step)
//   dz = the cell's pointwise part, on the tile's registers
//
// The operand of an inner phase is its block of this step's dz, and nothing is added.
// Layout:
//   w packed  [unit vectors][depth][lanes]
#pragma once

#include "cell.h"
#include "rows.h"

namespace fastrnn {
namespace FASTRNN_NS {

// As in forward_step.h, all phases share the tiles.
template <class T>
struct BackwardStep {
  using Cells = void (*)(const BackwardStep& x, Size row, int count, const Vec<T>* dh,
                         Size apart, Size u);

  const BackwardRow<T>* rows;  // [rows]
  const T* w;                  // packed
  Size units, H;               // units: numbers of outputs
  Size depth, K;               // K = depth, or 0 if nothing comes back from a next step
  // Of the phase: see take.
  const void* phase = nullptr;
  Cells cells = nullptr, usual_cells = nullptr;  // usual: all lanes, and no zoneout
  Size dz_first = 0;  // where an inner phase's operand begins in dz
  int tape = 0;       // blocks of H numbers in the tape's gates
  bool inner = false, cell_state = false;

  template <class Phase>
  void take(const Phase& of);
};

// The cell's part under zoneout: gradients of states that were carried over pass it by.
template <class Phase, class T>
FASTRNN_INLINE void backward_zoneout(Phase phase, Vec<T> dh, const BackwardRow<T>& row,
                                     Size j, Size lanes, Size H) {
  constexpr bool kC = Phase::kCarry == Carry::kCellState && Phase::kBackwardC;
  const Vec<T> none = {};
  if constexpr (!Phase::kInner) {
    const auto h_is_old = load_flags<T>(row.zoneout_h + j, lanes);
    store_some(row.held + j, h_is_old ? dh : none, lanes);
    dh = h_is_old ? none : dh;
  }
  Vec<T> dc_held = none;
  if constexpr (kC) {
    const auto c_is_old = load_flags<T>(row.zoneout_c + j, lanes);
    const Vec<T> dc = row.cut ? none : load_some(row.carry + j, lanes);
    store_some(row.carry + j, c_is_old ? none : dc, lanes);
    dc_held = c_is_old ? dc : none;
  }
  phase.template backward<T>(dh, row, j, lanes, H);
  if constexpr (kC) {
    store_some(row.carry + j, load_some(row.carry + j, lanes) + dc_held, lanes);
  }
}

// dh comes from the next step; the other gradients that reach h here are added.
template <bool kUsual, class Cell, class T>
FASTRNN_INLINE void backward_cell(Cell cell, Vec<T> dh, const BackwardRow<T>& row,
                                  Size j, Size lanes, Size H) {
  if (row.mask) dh *= load_some(row.mask + j, lanes);
  if (Cell::kCarry == Carry::kHidden) dh += load_some(row.carry + j, lanes);
  if (!kUsual && row.held) dh += load_some(row.held + j, lanes);
  if (row.cut) dh = Vec<T>{};
  if (row.dy) dh += load_some(row.dy + j, lanes);
  if (row.dh_n) dh += load_some(row.dh_n + j, lanes);
  if (row.dh_out) store_some(row.dh_out + j, dh, lanes);
  if (!row.dz) return;
  if (kUsual || !row.held) {
    cell.template backward<T>(dh, row, j, lanes, H);
  } else {
    backward_zoneout<Cell, T>(cell, dh, row, j, lanes, H);
  }
}

// The same for some rows.
template <bool kUsual, class Phase, class T>
void backward_cells(const BackwardStep<T>& x, Size row, int count, const Vec<T>* dh,
                    Size apart, Size u) {
  const Phase& phase = *static_cast<const Phase*>(x.phase);
  constexpr Size L = kLanes<T>;
  const Size j = u * L, lanes = kUsual ? L : at_most(L, x.units - j);
#pragma GCC unroll 2
  for (int i = 0; i < count; ++i) {
    const BackwardRow<T>& r = x.rows[row + i];
    if constexpr (!Phase::kInner) {
      backward_cell<kUsual, Phase, T>(phase, dh[i * apart], r, j, lanes, x.H);
    } else if (!kUsual && r.held && Phase::kCarry == Carry::kCellState) {
      backward_zoneout<Phase, T>(phase, dh[i * apart], r, j, lanes, x.H);
    } else {
      phase.template backward<T>(dh[i * apart], r, j, lanes, x.H);
    }
  }
}

template <class T>
template <class Phase>
void BackwardStep<T>::take(const Phase& of) {
  phase = &of;
  cells = backward_cells<false, Phase, T>;
  usual_cells = backward_cells<true, Phase, T>;
  dz_first = Phase::kFirst * H;
  tape = Phase::kTape;
  inner = Phase::kInner;
  cell_state = Phase::kCarry == Carry::kCellState;
}

// The given unit vectors of a phase, for the first `rows` of x.rows. Compiled in
// step_tiles.cpp.
template <class T>
void backward_tiles(const BackwardStep<T>& x, Size rows, Range unit_vectors,
                    bool backwards);

}  // namespace FASTRNN_NS
}  // namespace fastrnn
