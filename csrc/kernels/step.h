// One step of one layer with packed weights.
//
//   h = cell(W_ih·x + b, W_hh·h_prev)
//
// A single row goes through one_row.h, several through the tiles of input.h and
// forward_step.h: the bits are those of the same step in a sequence. No memory is
// taken.
#pragma once

#include "forward.h"

namespace fastrnn {
namespace FASTRNN_NS {

// The scratch memory of a step of several rows.
template <class Cell, class T>
struct StepScratch {
  static constexpr Size kWidth = Cell::G * kLanes<T>;

  StepScratch(const PackedWeights<T>& w, Size N, int threads)
      : z_size(divide_up(w.H, kLanes<T>) * N * kWidth),
        panel_size(w.bfloat16 ? (w.I > w.H ? w.I : w.H) * kWidth : 0),
        bytes(N < 2 ? 0
                    : (z_size + threads * panel_size) * Size(sizeof(T)) +
                          threads * N * kRowBytes) {}

  static constexpr Size kRowBytes = sizeof(ForwardRow<T>) + sizeof(const T*);

  Size z_size;      // of z [unit vectors][N][G][lanes]
  Size panel_size;  // of a widened panel, one for each thread
  Size bytes;       // of all, with each thread's rows and pointers to x
};

template <class Cell, class T>
Size step_scratch(Size N, const PackedWeights<T>& w, int threads) {
  return StepScratch<Cell, T>(w, N, threads).bytes;
}

// Row n, except its z.
template <class T>
ForwardRow<T> row_of(const StepArgs<T>& a, Size n) {
  const Size state = n * a.weights->H;
  ForwardRow<T> row{};
  row.h_prev = row.h_in = a.h_prev + state;
  row.h = a.h + state;
  row.c_prev = row.c = a.c ? a.c + state : nullptr;
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
void step_rows(const Cell& cell, const StepArgs<T>& a, int rank, int size,
               Range units) {
  constexpr int G = Cell::G;
  constexpr Size kWidth = G * kLanes<T>;
  const PackedWeights<T>& w = *a.weights;
  const StepScratch<Cell, T> s(w, a.N, size);
  T* z = static_cast<T*>(a.scratch);
  T* panel = z + s.z_size + rank * s.panel_size;
  auto* rows =
      reinterpret_cast<ForwardRow<T>*>(z + s.z_size + size * s.panel_size) + rank * a.N;
  auto* x = reinterpret_cast<const T**>(rows + (size - rank) * a.N) + rank * a.N;
  const Size z_step = (a.table ? a.vocabulary : a.N) * kWidth;
  for (Size n = 0; n < a.N; ++n) {
    rows[n] = row_of(a, n);
    rows[n].z = a.table ? a.table + a.tokens[n] * kWidth : z + n * kWidth;
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
  with_panels(w.w_hh, w.bfloat16, w.H * kWidth, panel, units,
              [&](const T* w_hh, Size first, Range part) {
                const ForwardStep<Cell, T> step{cell,   rows,  w_hh,  w.b_hidden, w.H,
                                                z_step, first, false, T(0)};
                forward_step<Cell, T>(step, a.N, part, a.backwards);
              });
}

template <class Cell, class T>
void step(const Cell& cell, const StepArgs<T>& a, int rank, int size) {
  const PackedWeights<T>& w = *a.weights;
  const Range units = share_of(divide_up(w.H, kLanes<T>), rank, size);
  if (a.N != 1) return step_rows<Cell, T>(cell, a, rank, size, units);
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
                         a.vocabulary * Cell::G * kLanes<T>,
                         row};
    one_row_step<Cell, T, W>(cell, x, units, a.backwards);
  });
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
