// Packing: copies of matrices in the order in which a tile reads them, padded with
// zeros.
#pragma once

#include "bfloat16.h"
#include "cell.h"
#include "rows.h"
#include "simd.h"

namespace fastrnn {
namespace FASTRNN_NS {

// Which block of H rows a gate has; see weight_block in cell.h.
using BlockOf = int (*)(int gate);
inline int same_block(int gate) { return gate; }

// to [units / lanes][K][G][lanes] = w [G·H, K] transposed, for the unit vectors
// [begin, end). G = 1 packs any matrix whose rows are the outputs.
template <int G, class T>
void pack_gates(const T* w, Size H, Size K, Range unit_vectors, T* to,
                BlockOf block_of = same_block) {
  constexpr Size L = kLanes<T>;
  for (Size u = unit_vectors.begin; u < unit_vectors.end; ++u) {
    const Size units = at_most(L, H - u * L);
    for (int g = 0; g < G; ++g) {
      const T* from = w + (block_of(g) * H + u * L) * K;
      T* panel = to + (u * K * G + g) * L;
      for (Size k = 0; k < K; k += L) {
        const Size columns = at_most(L, K - k);
        Vec<T> block[L];
#pragma GCC unroll 16
        for (Size i = 0; i < L; ++i) {
          block[i] = i < units ? load_some(from + i * K + k, columns) : Vec<T>{};
        }
        transpose<T>(block);
#pragma GCC unroll 16
        for (Size i = 0; i < L; ++i) {
          if (i < columns) store(panel + (k + i) * G * L, block[i]);
        }
      }
    }
  }
}

// to [units / lanes][G][lanes] = b_ih + b_hh, either of which may be null. Gates from
// `only_ih` on take b_ih alone (GRU's candidate, whose b_hh is inside the reset).
template <int G, class T>
void pack_bias(const T* b_ih, const T* b_hh, Size H, int only_ih, T* to,
               BlockOf block_of = same_block) {
  constexpr Size L = kLanes<T>;
  for (Size u = 0; u < divide_up(H, L); ++u) {
    for (int g = 0; g < G; ++g) {
      for (Size i = 0; i < L; ++i) {
        const Size h = u * L + i;
        const Size row = block_of(g) * H + h;
        const T a = b_ih && h < H ? b_ih[row] : T(0);
        const T b = b_hh && h < H && g < only_ih ? b_hh[row] : T(0);
        to[(u * G + g) * L + i] = a + b;
      }
    }
  }
}

// The numbers that a phase has and reads, forward.
template <class Phase>
FASTRNN_INLINE Size units_of(Size H, Size P) {
  return Phase::kProjection ? P : H;
}
template <class Phase>
FASTRNN_INLINE Size depth_of(Size H, Size P) {
  return Phase::kProjection ? H : P;
}

// The weights of a phase, in the order of pack_gates.
template <class Phase, class Number, class T>
FASTRNN_INLINE Number* place_of_phase(const PackedWeights<T>& w) {
  if (Phase::kProjection) return static_cast<Number*>(w.w_hr);
  return static_cast<Number*>(w.w_hh) +
         divide_up(w.H, kLanes<T>) * kLanes<T> * w.P * Phase::kFirst;
}
template <class Phase, class T>
FASTRNN_INLINE const void* packed_phase(const PackedWeights<T>& w) {
  if constexpr (sizeof(T) == sizeof(float)) {
    if (w.bfloat16) return place_of_phase<Phase, Bfloat16>(w);
  }
  return place_of_phase<Phase, T>(w);
}

// The matrices of a layer, in the shares of a member; W_ih only if to.w_ih is not null.
template <class Cell, class T>
void pack_matrices(const Cell& cell, const Weights<T>& w, Size I, Team team,
                   const PackedWeights<T>& to) {
  const auto share = [&](Size units) {
    return share_of(divide_up(units, kLanes<T>), team.rank, team.size);
  };
  for_phases(cell, [&](auto phase, bool) {
    using Phase = decltype(phase);
    const Size units = units_of<Phase>(w.H, w.P), depth = depth_of<Phase>(w.H, w.P);
    pack_gates<Phase::G>(Phase::kProjection ? w.w_hr : w.w_hh, units, depth,
                         share(units), place_of_phase<Phase, T>(to),
                         Phase::weight_block);
    return false;
  });
  if (!to.w_ih) return;
  pack_gates<Cell::G>(w.w_ih, w.H, I, share(w.H), static_cast<T*>(to.w_ih),
                      Cell::weight_block);
}

template <class Cell, class T>
void pack_biases(const Weights<T>& w, const PackedWeights<T>& to) {
  constexpr int G = Cell::G;
  pack_bias<G>(w.b_ih, w.b_hh, w.H, Cell::kOnlyInputBias, to.bias, Cell::weight_block);
  const T* last = w.b_hh ? w.b_hh + Cell::weight_block(G - 1) * w.H : nullptr;
  pack_bias<1>(static_cast<const T*>(nullptr), last, w.H, 1, to.b_hidden);
}

// The matrix of pack_gates for all units, rounded.
template <int G>
void pack_bfloat16(const float* w, Size H, Size K, Bfloat16* packed, BlockOf block_of) {
  constexpr Size L = kLanes<float>;
  for (Size u = 0; u < divide_up(H, L); ++u) {
    for (Size k = 0; k < K; ++k) {
      for (int g = 0; g < G; ++g) {
        for (Size h = u * L; h < (u + 1) * L; ++h) {
          const Size row = block_of(g) * H + h;
          *packed++ = h < H ? to_bfloat16(w[row * K + k]) : Bfloat16(0);
        }
      }
    }
  }
}

// Numbers in the widest panel of a layer's matrices.
template <class Cell, class T>
FASTRNN_INLINE Size widest_panel(const PackedWeights<T>& w) {
  const Size inputs = (w.I > w.P ? w.I : w.P) * Cell::G;
  return (kHasProjection<Cell> && w.H > inputs ? w.H : inputs) * kLanes<T>;
}

// A whole layer.
template <class Cell, class T>
void pack_weights(const Cell& cell, const Weights<T>& w, Size I, PackedWeights<T>* to) {
  pack_biases<Cell>(w, *to);
  if constexpr (kHasBfloat16<T>) {
    if (to->bfloat16) {
      pack_bfloat16<Cell::G>(w.w_ih, w.H, I, static_cast<Bfloat16*>(to->w_ih),
                             Cell::weight_block);
      for_phases(cell, [&](auto phase, bool) {
        using Phase = decltype(phase);
        pack_bfloat16<Phase::G>(Phase::kProjection ? w.w_hr : w.w_hh,
                                units_of<Phase>(w.H, w.P), depth_of<Phase>(w.H, w.P),
                                place_of_phase<Phase, Bfloat16>(*to),
                                Phase::weight_block);
        return false;
      });
      return;
    }
  }
  pack_matrices(cell, w, I, Team{0, 1, nullptr}, *to);
}

// to [columns / lanes][K][lanes] = the K given rows, for the column vectors
// [begin, end).
template <class T, class RowOf>
FASTRNN_INLINE void pack_columns(RowOf row_of, Size K, Size columns,
                                 Range column_vectors, T* to) {
  constexpr Size L = kLanes<T>;
  for (Size k = 0; k < K; ++k) {
    const T* row = row_of(k);
    for (Size v = column_vectors.begin; v < column_vectors.end; ++v) {
      store(to + (v * K + k) * L, load_some(row + v * L, at_most(L, columns - v * L)));
    }
  }
}

// The same for products row_of(k) ⊙ scale_of(k).
template <class T, class RowOf, class ScaleOf>
FASTRNN_INLINE void pack_scaled_columns(RowOf row_of, ScaleOf scale_of, Size K,
                                        Size columns, Range column_vectors, T* to) {
  constexpr Size L = kLanes<T>;
  for (Size k = 0; k < K; ++k) {
    const T *row = row_of(k), *scale = scale_of(k);
    for (Size v = column_vectors.begin; v < column_vectors.end; ++v) {
      const Size lanes = at_most(L, columns - v * L);
      store(to + (v * K + k) * L,
            load_some(row + v * L, lanes) * load_some(scale + v * L, lanes));
    }
  }
}

// to [columns, rows] = from [rows, columns] transposed, for the given columns.
template <class T>
void transpose_matrix(const T* from, Size rows, Size columns, Range range, T* to) {
  constexpr Size L = kLanes<T>;
  for (Size c = range.begin; c < range.end; c += L) {
    const Size width = at_most(L, range.end - c);
    for (Size r = 0; r < rows; r += L) {
      const Size height = at_most(L, rows - r);
      Vec<T> block[L];
#pragma GCC unroll 16
      for (Size i = 0; i < L; ++i) {
        block[i] =
            i < height ? load_some(from + (r + i) * columns + c, width) : Vec<T>{};
      }
      transpose<T>(block);
#pragma GCC unroll 16
      for (Size i = 0; i < L; ++i) {
        if (i < width) store_some(to + (c + i) * rows + r, block[i], height);
      }
    }
  }
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
