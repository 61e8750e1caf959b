// A phase of one step of a single row: every weight is used once, so reading the
// weights is the whole cost. The input product, unless it is given, comes first in the
// same registers; sums have the order of forward.h.
#pragma once

#include "bfloat16.h"
#include "cell.h"
#include "rows.h"

namespace fastrnn {
namespace FASTRNN_NS {

// Unit vectors side by side, if the weights are in the nearest cache: 8 independent
// sums or more, as two multiply-add ports of latency 4 require.
template <int G>
constexpr int kOneRowPanels = G == 1              ? 8
                              : kVectorBytes < 64 ? 3
                                                  : 2;

// The same for larger weights. Sums that consume 256 bytes in a latency of 4 cycles
// keep up with the next cache. The fewer there are, the more of the cell's arithmetic
// overlaps with the arrival of weights, and the more of the last panels are still there
// for a step that begins with them.
template <int G>
constexpr int kStreamedPanels =
    256 / (G * int(kVectorBytes)) < 1                  ? 1
    : 256 / (G * int(kVectorBytes)) > kOneRowPanels<G> ? kOneRowPanels<G>
                                                       : 256 / (G * int(kVectorBytes));

constexpr Size kNearCache = 32 << 10;  // bytes

// bfloat16 weights from far memory are prefetched this many k ahead, which saves a
// tenth of a step with 2048 units. Floats gain nothing by it.
constexpr Size kFarAhead = 32;

// W is T, or Bfloat16.
template <class T, class W>
struct OneRow {
  const T* x;                    // [I], or null: row.z holds the input product
  Size token;                    // if x is null and w_ih given: x is one-hot
  const W* w_ih;                 // packed, or null: row.z holds the input product
  const T* bias;                 // as PackedWeights
  const W* w;                    // of the phase, packed
  const T* b_hidden;             // as PackedWeights
  Size I, units, depth, z_step;  // z_step: between unit vectors of row.z
  // Not a copy, which would read in wide words data just written in narrow ones, and
  // wait for these to reach the cache.
  const ForwardRow<T>& row;
};

// acc[p·G + g] += Σ_k a[k] · w_p[k][g]
template <int P, int G, class T, class W>
FASTRNN_INLINE void add_products(Vec<T> (&acc)[P * G], const T* a, Size K, const W* w,
                                 Size ahead) {
  constexpr Size L = kLanes<T>;
  const Size panel = K * G * L;
  for (Size k = 0; k < K; ++k) {
    const Vec<T> every_lane = broadcast(a[k]);
    if constexpr (sizeof(W) < sizeof(T)) {
#pragma GCC unroll 8
      for (int i = 0; i < P * G; i += 2) {
        prefetch<1>(w, i / G * panel + (ahead * G + i % G) * L);
      }
    }
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) {
        acc[p * G + g] =
            fma(every_lane, load_weights(w + p * panel + g * L), acc[p * G + g]);
      }
    }
    w += G * L;
  }
}

template <class Phase, int P, class T, class W>
__attribute__((noinline)) void one_row_tile(const Phase& phase, const OneRow<T, W>& x,
                                            Size u, Size ahead) {
  constexpr Size L = kLanes<T>;
  constexpr int G = Phase::G;
  Vec<T> acc[P * G];
  T z_input[Size(P) * G * L];  // for the gate that adds to it later
  const T* z = z_input;
  Size z_step = G * L;
  if (!Phase::kInner && x.w_ih) {
    const Size panel = x.I * G * L;
#pragma GCC unroll 32
    for (int i = 0; i < P * G; ++i) acc[i] = load(x.bias + (u * G + i) * L);
    if (x.x) {
      add_products<P, G, T, W>(acc, x.x, x.I, x.w_ih + u * panel, ahead);
    } else {
#pragma GCC unroll 32
      for (int i = 0; i < P * G; ++i) {
        acc[i] = acc[i] +
                 load_weights(x.w_ih + (u + i / G) * panel + (x.token * G + i % G) * L);
      }
    }
#pragma GCC unroll 32
    for (int i = 0; i < P * G; ++i) {
      if (i % G >= Phase::kOnlyInputBias) store(z_input + i * L, acc[i]);
    }
  } else if constexpr (Phase::kProjection) {
    for (int i = 0; i < P * G; ++i) acc[i] = Vec<T>{};
  } else {
    z = x.row.z + u * x.z_step;
    z_step = x.z_step;
#pragma GCC unroll 32
    for (int i = 0; i < P * G; ++i) {
      acc[i] = load(z + (i / G) * z_step + (Phase::kFirst + i % G) * L);
    }
  }
#pragma GCC unroll 32
  for (int i = 0; i < P * G; ++i) {
    if (i % G >= Phase::kOnlyInputBias) acc[i] = load(x.b_hidden + (u + i / G) * L);
  }
  const T* h_in = Phase::kInner ? x.row.inner : x.row.h_prev;
  add_products<P, G, T, W>(acc, h_in, x.depth, x.w + u * x.depth * G * L, ahead);
#pragma GCC unroll 2
  for (int p = 0; p < P; ++p) {
    const Size j = (u + p) * L;
    phase.template forward<T>(acc + p * G, x.row, z + p * z_step, j,
                              at_most(L, x.units - j), x.units);
  }
}

template <class Phase, int P, class T, class W>
FASTRNN_INLINE void one_row_tiles(const Phase& phase, const OneRow<T, W>& x, Size u,
                                  Size panels, Size ahead) {
  if (panels == P) return one_row_tile<Phase, P, T, W>(phase, x, u, ahead);
  if constexpr (P > 1) one_row_tiles<Phase, P - 1, T, W>(phase, x, u, panels, ahead);
}

// The given unit vectors of the phase, in tiles as even as possible; `backwards` as in
// for_tiles.
template <class Phase, class T, class W>
void one_row_step(const Phase& phase, const OneRow<T, W>& x, Range units,
                  bool backwards) {
  constexpr int kMost = kOneRowPanels<Phase::G>;
  const Size inputs = x.depth + (x.x ? x.I : 0), vectors = units.end - units.begin;
  const Size bytes = vectors * inputs * Phase::G * kLanes<T> * Size(sizeof(W));
  const bool near = bytes <= kNearCache;
  const Size ahead = bytes > kPrivateCache ? kFarAhead : 0;
  // Without a division, which takes 3 ns.
  if (near && vectors <= kMost) {
    return one_row_tiles<Phase, kMost, T, W>(phase, x, units.begin, vectors, ahead);
  }
  const Tiles tiles = split(vectors, near ? kMost : kStreamedPanels<Phase::G>);
  for (Size i = 0; i < tiles.count; ++i) {
    const Size tile = backwards ? tiles.count - 1 - i : i;
    one_row_tiles<Phase, kMost, T, W>(phase, x, units.begin + tiles.first(tile),
                                      tiles.size(tile), ahead);
  }
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
