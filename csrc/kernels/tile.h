// The tile: the one inner loop of all matrix products here.
//
//   acc[r][p·G + g] += Σ_k a_r[k] · b_p[k][g]     r < R rows, p < P panels, g < G
//
// a_r[k] is one number, broadcast; b_p[k][g] one vector of units out of a packed panel.
// The sum runs over k in order, in one lane per output, by fused multiply-add: its bits
// depend on neither R, P nor the vector width.
//
// With 24 accumulators (AVX-512, NEON) a step of k is 24 multiply-adds and 10 or 11
// loads: two multiply-add ports of latency 4 need 8 accumulators to stay busy, two load
// ports 12 cycles' worth of work to keep up with. 16 registers hold 12 accumulators.
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

// The most rows of a tile of G gates, and the most panels with R rows. With one gate
// there are as many rows as registers for their pointers: 12 rows × 2 panels read half
// as much of b from the private cache as 6 × 4, and leave bandwidth for streams.
template <int G, Rows kRows>
constexpr int kTileRows = kAccumulators / (G > 1                      ? G
                                           : kRows == Rows::kTogether ? 2
                                                                      : 3);

constexpr int most_panels(int rows, int gates) {
  const int fit = kAccumulators / (rows * gates);
  return fit < 1 ? 1 : fit > kMostPanels ? kMostPanels : fit;
}

// Data to prefetch: `step` numbers per k, from `from` on. If everything is near
// already, step is 0 and the same line is requested again, which costs almost nothing.
template <class T>
struct Ahead {
  const T* from;
  Size step;
};

// b: P panels, b_step apart, each [K][G][lanes].
template <int R, int P, int G, Rows kRows, class T>
FASTRNN_INLINE void multiply_add(Vec<T> (&acc)[R][P * G], const T* const* a,
                                 Size a_step, const T* b, Size b_step, Size begin,
                                 Size end, Ahead<T> ahead) {
  constexpr Size L = kLanes<T>;
  constexpr int kPointers = kRows == Rows::kEach ? R : 1;
  const T* row[kPointers];
  for (int r = 0; r < kPointers; ++r) row[r] = a[r];
  for (Size k = begin; k < end; ++k) {
    __builtin_prefetch(ahead.from + k * ahead.step, 0, 2);
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
// registers. The largest tile is the most frequent, and is tried first.
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

// Calls run(Constant<R>, Constant<P>, first row, first panel, ahead) for tiles that
// cover rows × panels. Panels lie b_step apart; `depth` steps of k are read of each.
// The panels of one tile stay in the near cache for all rows, while the next panels are
// fetched. `backwards` begins at the last panels: a sweep that starts where the
// previous one ended finds those still in the cache.
template <int G, Rows kRows, class T, class Run>
FASTRNN_INLINE void for_tiles(Size rows, Range panels, const T* b, Size b_step,
                              Size depth, bool backwards, const Run& run) {
  constexpr int kMost = kTileRows<G, kRows>;
  const Tiles tiles = split(rows, kMost);
  if (tiles.count == 0) return;
  const int rows_of_tile = int(tiles.small + (tiles.larger > 0));
  const Tiles groups = split(panels.end - panels.begin, most_panels(rows_of_tile, G));
  const bool near =
      (panels.end - panels.begin) * b_step * Size(sizeof(T)) <= kPrivateCache;
  const Size step = near ? 0 : 64 / Size(sizeof(T));
  for (Size i = 0; i < groups.count; ++i) {
    const Size group = backwards ? groups.count - 1 - i : i;
    const Size next = i + 1 == groups.count ? group : backwards ? group - 1 : group + 1;
    const Size panel = panels.begin + groups.first(group);
    Ahead<T> ahead{b + (panels.begin + groups.first(next)) * b_step, step};
    for (Size tile = 0; tile < tiles.count; ++tile) {
      with_tile<G, kMost, most_panels(kMost, G)>(
          tiles.size(tile), groups.size(group),
          [&](auto r, auto p) { run(r, p, tiles.first(tile), panel, ahead); });
      ahead.from += depth * step;
    }
  }
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
