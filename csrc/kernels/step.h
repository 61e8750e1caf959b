// One step of one layer with packed weights.
//
//   h = cell(W_ih·x + b, W_hh·h_prev)
//
// A single row of a cell with one phase goes through one_row.h, everything else through
// the tiles of input.h and forward_step.h: the bits are those of the same step in a
// sequence. No memory is taken.
#pragma once

#include "forward.h"

namespace fastrnn {
namespace FASTRNN_NS {

// The scratch memory of a step, unless it is of a single row in one phase.
template <class Cell, class T>
struct StepScratch {
  static constexpr Size kWidth = Cell::G * kLanes<T>;

  StepScratch(const PackedWeights<T>& w, Size N, int threads)
      : z_size(divide_up(w.H, kLanes<T>) * N * kWidth),
        panel_size(w.bfloat16 ? widest_panel<Cell>(w) : 0),
        inner_size(kSeveralPhases<Cell> ? N * w.H : 0),
        bytes(is_one_row(N)
                  ? 0
                  : (z_size + threads * panel_size + inner_size) * Size(sizeof(T)) +
                        threads * N * kRowBytes) {}

  static constexpr bool is_one_row(Size N) { return N < 2 && !kSeveralPhases<Cell>; }

  static constexpr Size kRowBytes = sizeof(ForwardRow<T>) + sizeof(const T*);

  Size z_size;      // of z [unit vectors][N][G][lanes]
  Size panel_size;  // of a widened panel, one for each thread
  Size inner_size;  // of row.inner
  Size bytes;       // of all, with each thread's rows and pointers to x
};

template <class Cell, class T>
Size step_scratch(Size N, const PackedWeights<T>& w, int threads) {
  return StepScratch<Cell, T>(w, N, threads).bytes;
}

// Row n, except its z.
template <class T>
ForwardRow<T> row_of(const StepArgs<T>& a, Size n) {
  const Size h = n * a.weights->P, c = n * a.weights->H;
  ForwardRow<T> row{};
  row.h_prev = row.h_in = a.h_prev + h;
  row.h = a.h + h;
  row.c_prev = row.c = a.c ? a.c + c : nullptr;
  return row;
}

template <class Cell, class T>
void fill_step_table(const PackedWeights<T>& w, const T* vectors, Size V, T* table,
                     Scratch& scratch) {
  constexpr Size kWidth = Cell::G * kLanes<T>;
  const T** x = scratch.take<const T*>(V);
  for (Size v = 0; v < V; ++v) x[v] = vectors + v * w.I;
  T* panel = scratch.take<T>(w.I * kWidth);
  with_panels(
      w.w_ih, w.bfloat16, w.I * kWidth, panel, Range{0, divide_up(w.H, kLanes<T>)},
      [&](const T* w_ih, Size first, Range part) {
        input_product<Cell::G>(
            InputProduct<T>{x, w_ih, w.bias, table, V, w.I, V * kWidth, first}, part);
      });
}

template <class Cell, class T>
void step_rows(const Cell& cell, const StepArgs<T>& a, Team team, Range units) {
  constexpr int G = Cell::G;
  constexpr Size kWidth = G * kLanes<T>;
  const PackedWeights<T>& w = *a.weights;
  const int rank = team.rank, size = team.size;
  const StepScratch<Cell, T> s(w, a.N, size);
  T* z = static_cast<T*>(a.scratch);
  T* panel = z + s.z_size + rank * s.panel_size;
  T* inner = z + s.z_size + size * s.panel_size;
  auto* rows = reinterpret_cast<ForwardRow<T>*>(inner + s.inner_size) + rank * a.N;
  auto* x = reinterpret_cast<const T**>(rows + (size - rank) * a.N) + rank * a.N;
  const Size z_step = (a.table ? a.vocabulary : a.N) * kWidth;
  for (Size n = 0; n < a.N; ++n) {
    rows[n] = row_of(a, n);
    rows[n].z = a.table ? a.table + a.tokens[n] * kWidth : z + n * kWidth;
    if (s.inner_size) rows[n].inner = inner + n * w.H;
    if (a.x) x[n] = a.x + n * w.I;
  }
  if (a.table) {
    // The input product is there.
  } else if (a.tokens) {
    with_weight_type<T>(w.bfloat16, [&](auto type) {
      using W = decltype(type);
      gather_packed_columns<G>(static_cast<const W*>(w.w_ih), w.I, w.bias, a.tokens,
                               a.N, units, z);
    });
  } else {
    with_panels(w.w_ih, w.bfloat16, w.I * kWidth, panel, units,
                [&](const T* w_ih, Size first, Range part) {
                  input_product<G>(
                      InputProduct<T>{x, w_ih, w.bias, z, a.N, w.I, z_step, first},
                      part);
                });
  }
  for_phases(cell, [&](auto phase, bool last) {
    using Phase = decltype(phase);
    const Size outputs = units_of<Phase>(w.H, w.P), depth = depth_of<Phase>(w.H, w.P);
    const Range part_of_outputs = share_of(divide_up(outputs, kLanes<T>), rank, size);
    with_panels(packed_phase<Phase>(w), w.bfloat16, depth * Phase::G * kLanes<T>, panel,
                part_of_outputs, [&](const T* panels, Size first, Range part) {
                  ForwardStep<T> step{rows,   panels, w.b_hidden, outputs, depth,
                                      z_step, first,  false,      T(0)};
                  step.take(phase);
                  forward_tiles<Phase::G>(step, a.N, part, a.backwards);
                });
    if (!last && size > 1) team.barrier();
    return false;
  });
}

// The step of a single row, in a cell with one phase.
template <class Cell, class T>
void step_row(const Cell& cell, const StepArgs<T>& a, Range units) {
  const PackedWeights<T>& w = *a.weights;
  with_weight_type<T>(w.bfloat16, [&](auto type) {
    using W = decltype(type);
    ForwardRow<T> row = row_of(a, 0);
    if (a.table) row.z = a.table + a.tokens[0] * Cell::G * kLanes<T>;
    const OneRow<T, W> x{a.x,
                         a.tokens ? Size(a.tokens[0]) : 0,
                         a.table ? nullptr : static_cast<const W*>(w.w_ih),
                         w.bias,
                         static_cast<const W*>(w.w_hh),
                         w.b_hidden,
                         w.I,
                         w.H,
                         w.P,
                         a.vocabulary * Cell::G * kLanes<T>,
                         row};
    one_row_step<Cell, T, W>(cell, x, units, a.backwards);
  });
}

template <class Cell, class T>
void step(const Cell& cell, const StepArgs<T>& a, Team team) {
  const Size vectors = divide_up(a.weights->H, kLanes<T>);
  const Range units = share_of(vectors, team.rank, team.size);
  if constexpr (!kSeveralPhases<Cell>) {
    if (a.N == 1) return step_row<Cell, T>(cell, a, units);
  }
  step_rows<Cell, T>(cell, a, team, units);
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
