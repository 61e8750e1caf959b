// The tile: the one inner loop of all matrix products here.
//
//   acc[r][p·G + g] += Σ_k a_r[k] · b_p[k][g]     r < R rows, p < P panels, g < G
//
// a_r[k] is one number, broadcast; b_p[k][g] one vector of units out of a packed panel.
// The sum runs over k in order, in one lane per output, by fused multiply-add: its bits
// depend on neither R, P nor the vector width.
//
// With 24 accumulators (AVX-512, NEON) a k step is 24 multiply-adds and 10 or 11 loads:
// two multiply-add ports of latency 4 need 8 accumulators to stay busy, two load ports
// 12 cycles' worth of work to keep up with. 16 registers hold 12 accumulators.
#pragma once

#include "rows.h"
#include "simd.h"

namespace fastrnn {
namespace FASTRNN_NS {

constexpr int kMostPanels = 4;

// How a tile finds a_r[k].
enum class Rows {
  kEach,      // each row by its own pointer, its numbers side by side: a[r][k]
  kTogether,  // all rows from one pointer, side by side in each k: a[0][k·a_step + r]
};

// The most rows of a tile of G gates, and the most panels at R rows. With one gate it
// is as many rows as there are registers for pointers to them: 12 rows × 2 panels read
// half as much of b from the private cache as 6 × 4 do, and leave room for what streams
// by.
template <int G, Rows kRows>
constexpr int kTileRows = kAccumulators / (G > 1                      ? G
                                           : kRows == Rows::kTogether ? 2
                                                                      : 3);

constexpr int most_panels(int rows, int gates) {
  const int fit = kAccumulators / (rows * gates);
  return fit < 1 ? 1 : fit > kMostPanels ? kMostPanels : fit;
}

// b: P panels, b_step apart, each [K][G][lanes].
// ahead: what will be read next; a cache line a k from there on is asked for.
template <int R, int P, int G, Rows kRows, class T>
FASTRNN_INLINE void multiply_add(Vec<T> (&acc)[R][P * G], const T* const* a,
                                 Size a_step, const T* b, Size b_step, Size begin,
                                 Size end, const T* ahead) {
  constexpr Size L = kLanes<T>;
  constexpr Size line = 64 / Size(sizeof(T));
  constexpr int kPointers = kRows == Rows::kEach ? R : 1;
  const T* row[kPointers];
  for (int r = 0; r < kPointers; ++r) row[r] = a[r];
  for (Size k = begin; k < end; ++k) {
    __builtin_prefetch(ahead + k * line, 0, 2);
    Vec<T> w[P * G];
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) w[p * G + g] = load(b + p * b_step + (k * G + g) * L);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const T a_rk =
          kRows == Rows::kEach ? row[r % kPointers][k] : row[0][k * a_step + r];
      const Vec<T> every_lane = broadcast(a_rk);
#pragma GCC unroll 16
      for (int c = 0; c < P * G; ++c) acc[r][c] = fma(every_lane, w[c], acc[r][c]);
    }
  }
}

template <auto v>
struct Constant {
  static constexpr auto value = v;
};

// Calls call(Constant<R>, Constant<P>) with R = rows and P = panels, which must fit the
// registers; the largest tile, the most frequent, is found first.
template <int G, int R, int P, class Call>
FASTRNN_INLINE void with_tile(Size rows, Size panels, const Call& call) {
  if (rows == R && panels == P) {
    call(Constant<R>{}, Constant<P>{});
  } else if constexpr (P > 1) {
    if (rows == R) {
      with_tile<G, R, P - 1>(rows, panels, call);
    } else if constexpr (R > 1) {
      with_tile<G, R - 1, most_panels(R - 1, G)>(rows, panels, call);
    }
  } else if constexpr (R > 1) {
    with_tile<G, R - 1, most_panels(R - 1, G)>(rows, panels, call);
  }
}

// Runs run(tile, first row, first panel, what to read ahead) over rows × panels, where
// tile = (Constant<R>, Constant<P>). The panels of one tile, b_step apart, of which it
// reads `depth` steps of k, stay in the near cache while all rows pass by; meanwhile
// the next panels are fetched. `backwards` begins at the last panels: a sweep that
// starts where the one before it ended finds those still in the cache.
template <int G, Rows kRows, class T, class Run>
FASTRNN_INLINE void for_tiles(Size rows, Range panels, const T* b, Size b_step,
                              Size depth, bool backwards, const Run& run) {
  constexpr int kMost = kTileRows<G, kRows>;
  const Tiles tiles = split_rows(rows, kMost);
  if (tiles.count == 0) return;
  const Size width = most_panels(int(tiles.small + (tiles.larger > 0)), G);
  const Size groups = divide_up(panels.end - panels.begin, width);
  for (Size i = 0; i < groups; ++i) {
    const Size group = backwards ? groups - 1 - i : i;
    const Size next = i + 1 == groups ? group : backwards ? group - 1 : group + 1;
    const Size panel = panels.begin + group * width;
    const Size P = at_most(width, panels.end - panel);
    const T* ahead = b + (panels.begin + next * width) * b_step;
    for (Size tile = 0, row = 0; tile < tiles.count; ++tile) {
      const Size R = tiles.small + (tile < tiles.larger);
      with_tile<G, kMost, most_panels(kMost, G)>(
          R, P, [&](auto r, auto p) { run(r, p, row, panel, ahead); });
      ahead += depth * (64 / Size(sizeof(T)));
      row += R;
    }
  }
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
