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
#include "tile.h"

namespace fastrnn {
namespace FASTRNN_NS {

template <class Phase, class T>
struct BackwardStep {
  Phase phase;
  const BackwardRow<T>* rows;  // [rows]
  const T* w;                  // packed
  Size units, H;               // units: numbers of outputs
  Size depth, K;               // K = depth, or 0 if nothing comes back from a next step
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

// The same for some rows; see forward_cells.
template <bool kUsual, class Phase, class T>
__attribute__((noinline)) void backward_cells(const BackwardStep<Phase, T>& x, Size row,
                                              int count, const Vec<T>* dh, Size apart,
                                              Size u) {
  constexpr Size L = kLanes<T>;
  const Size j = u * L, lanes = kUsual ? L : at_most(L, x.units - j);
#pragma GCC unroll 2
  for (int i = 0; i < count; ++i) {
    const BackwardRow<T>& r = x.rows[row + i];
    if constexpr (!Phase::kInner) {
      backward_cell<kUsual, Phase, T>(x.phase, dh[i * apart], r, j, lanes, x.H);
    } else if (!kUsual && r.held && Phase::kCarry == Carry::kCellState) {
      backward_zoneout<Phase, T>(x.phase, dh[i * apart], r, j, lanes, x.H);
    } else {
      x.phase.template backward<T>(dh[i * apart], r, j, lanes, x.H);
    }
  }
}

template <class Phase, int R, int P, class T>
__attribute__((noinline)) void backward_tile(const BackwardStep<Phase, T>& x, Size row,
                                             Size u, Ahead<T> ahead) {
  constexpr Size L = kLanes<T>;
  const BackwardRow<T>* rows = x.rows + row;
  Vec<T> acc[R][P] = {};
  const T* dz_next[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    dz_next[r] = Phase::kInner ? rows[r].dz + Phase::kFirst * x.H : rows[r].dz_next;
  }
  // The cell's operands are in far memory: they are fetched while the product runs, a
  // row at a time, so as not to hold up the weights.
  const Size panel = x.depth * L;
  const T* w = x.w + u * panel;
  for (int r = 0; r < R; ++r) {
    for (int g = 0; g < Phase::kTape; ++g) prefetch<P>(rows[r].gates, g * x.H + u * L);
    prefetch<P>(Phase::kCarry == Carry::kCellState ? rows[r].c_prev : rows[r].c, u * L);
    prefetch<P>(rows[r].dy, u * L);
    if (rows[r].held) {
      prefetch<1>(rows[r].zoneout_h, u * L);
      prefetch<1>(rows[r].zoneout_c, u * L);
    }
    const Size k = x.K * r / R, end = x.K * (r + 1) / R;
    multiply_add<R, P, 1, Rows::kEach, T>(acc, dz_next, 0, w, panel, k, end, ahead);
  }
  Vec<T> dh[R][P];
#pragma GCC unroll 24
  for (int i = 0; i < R * P; ++i) dh[i / P][i % P] = acc[i / P][i % P];
  for (int p = 0; p < P; ++p) {
    if ((u + p + 1) * L <= x.units && !rows[0].held) {
      backward_cells<true>(x, row, R, &dh[0][p], P, u + p);
    } else {
      backward_cells<false>(x, row, R, &dh[0][p], P, u + p);
    }
  }
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
