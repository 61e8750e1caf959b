// The gradients of weights and biases, from dz of a chunk of steps at a time:
//
//   dW_hh += dz[t]ᵀ·h[t−1]    dW_ih += dz[t]ᵀ·x[t]    db += dz[t]
//   dW_hr += dh[t]ᵀ·m[t]      with a projection of m = o ⊙ tanh c
//
// where an inner phase has its operand of step t, c[t] of the tape, in place of h[t−1];
// summed over (t descending, row ascending) in that order, whatever the chunk. Threads
// share the elements of dW and db. All outputs are =. dW_ih of one-hot tokens is in
// input_gradients.h. Layout:
//   h, x packed  [unit or input vectors][rows of the chunk][lanes]
#pragma once

#include "chunk.h"
#include "pack.h"
#include "product.h"
#include "tile.h"

namespace fastrnn {
namespace FASTRNN_NS {

// Rows of dW that are multiplied at a time, while packed h or x stays in the private
// cache.
constexpr Size kGradientRows = 96;

template <class Cell, class T>
class WeightGradients {
 public:
  WeightGradients(const BackwardArgs<T>& args, const Chunk<T>& chunk)
      : a_(args),
        chunk_(chunk),
        H_(args.weights.H),
        P_(args.weights.P),
        I_(args.input.I),
        vectors_(divide_up(P_, L)),
        input_vectors_(divide_up(I_, L)),
        dense_input_(!args.input.tokens || args.input.embedding) {}

  // Bytes of dW that every chunk adds to.
  Size bytes() const {
    return Size(G) * H_ * (P_ + (dense_input_ ? I_ : 0)) * Size(sizeof(T));
  }

  // Takes memory for chunks of chunk.most_rows.
  void prepare(int threads, Scratch& scratch) {
    const Size rows = chunk_.most_rows;
    columns_ = scratch.take<T>(threads * rows * kGradientRows);
    bias_ = scratch.take<T>(Cell::kGrads * H_ + (kHasProjection<Cell> ? P_ : 0));
    h_packed_ = scratch.take<T>(vectors_ * rows * L);
    if (kHasProjection<Cell>) m_packed_ = scratch.take<T>(divide_up(H_, L) * rows * L);
    if (kInnerBlock < G) inner_packed_ = scratch.take<T>(vectors_ * rows * L);
    if (dense_input_) x_packed_ = scratch.take<T>(input_vectors_ * rows * L);
    dz_columns_ = scratch.take<const T*>(threads * kGradientRows);
    dw_rows_ = scratch.take<T*>(threads * kGradientRows);
  }

  // Where m of a row of the chunk goes, packed: see BackwardRow::inner.
  T* inner(Size row) const { return m_packed_ ? m_packed_ + row * L : nullptr; }

  // Everything that is summed into, unless the first chunk sets it.
  void clear(Team team, Size valid) {
    clear_share(bias_, Cell::kGrads * H_, team);
    if constexpr (Cell::kUnread >= 0) {
      if (a_.dw_hh) clear_share(a_.dw_hh + Cell::kUnread * H_ * P_, H_ * P_, team);
      if (a_.dw_ih) clear_share(a_.dw_ih + Cell::kUnread * H_ * I_, H_ * I_, team);
      if (a_.db_hh) clear_share(a_.db_hh + Cell::kUnread * H_, H_, team);
      if (a_.db_ih) clear_share(a_.db_ih + Cell::kUnread * H_, H_, team);
    }
    if (valid > 0) return;
    clear_share(a_.dw_hh, kWeightBlocks<Cell> * H_ * P_, team);
    clear_share(a_.dw_hr, P_ * H_, team);
    if (dense_input_) clear_share(a_.dw_ih, kWeightBlocks<Cell> * H_ * I_, team);
  }

  // h and x of the chunk, as the right sides of the products.
  void pack_chunk(Team team, Size rows) {
    if (a_.dw_hh) pack_h(team, rows);
    if (!adds_to_dw_ih()) return;
    pack_columns([&](Size k) { return input_row(chunk_.rows[k].at); }, rows, I_,
                 share_of(input_vectors_, team.rank, team.size), x_packed_);
  }

  // `first`: dW is =, not +=. The columns of h and x together are taken in blocks
  // that stay in the private cache while this thread's columns of dz pass by.
  void add_chunk(Team team, Size rows, bool first) {
    const bool wants_input = adds_to_dw_ih();
    if (!a_.dw_hh && !wants_input && !a_.db_ih && !a_.db_hh) return;
    const Size all = vectors_ + (wants_input ? input_vectors_ : 0);
    const Size fit = kPrivateCache / (rows * kVectorBytes);
    const Tiles blocks = split(all, fit > kMostPanels ? fit : kMostPanels);
    for (Size i = 0; i < blocks.count; ++i) {
      const Range columns{blocks.first(i), blocks.first(i) + blocks.size(i)};
      for (Region region{}; region.end < Cell::kGrads;) {
        region = region_from(region.end);
        region.hidden &= a_.dw_hh && columns.begin < vectors_;
        region.input &= a_.dw_ih && columns.end > vectors_;
        if (i > 0 && !region.hidden && !region.input) continue;
        const Range share = share_of((region.end - region.begin) * H_, team.rank,
                                     team.size, kTileRows<1, Rows::kTogether>);
        const Size offset = region.begin * H_;
        for (Size m = share.begin; m < share.end; m += kGradientRows) {
          if (team.is_stopped()) return;
          const Range part{offset + m, offset + at_most(share.end, m + kGradientRows)};
          add_part(team, part, region, columns, rows, first, i == 0);
        }
      }
    }
  }

  // dW_hr: dh lies behind the blocks of dz.
  void add_projection(Team team, Size rows, bool first) {
    if (!a_.dw_hr) return;
    const Size offset = Cell::kGrads * H_, vectors = divide_up(H_, L);
    const Range share =
        share_of(P_, team.rank, team.size, kTileRows<1, Rows::kTogether>);
    T* columns = columns_ + team.rank * chunk_.most_rows * kGradientRows;
    const T** dh_columns = dz_columns_ + team.rank * kGradientRows;
    T** dw_rows = dw_rows_ + team.rank * kGradientRows;
    for (Size p = share.begin; p < share.end; p += kGradientRows) {
      const Size count = at_most(share.end - p, kGradientRows);
      copy_columns({offset + p, offset + p + count}, rows, columns, false);
      for (Size m = 0; m < count; ++m) {
        dh_columns[m] = columns + m;
        dw_rows[m] = a_.dw_hr + (p + m) * H_;
      }
      multiply(Product<T>{dh_columns, kGradientRows, m_packed_, dw_rows, count, rows,
                          H_, !first},
               {0, vectors});
    }
  }

  // The biases.
  void finish(Team team) {
    const Range part = share_of(G * H_, team.rank, team.size);
    for (Size m = part.begin; m < part.end; ++m) {
      const Size hh = row_of_w_hh<Cell>(m, H_), ih = row_of_w_ih<Cell>(m, H_);
      if (a_.db_hh) a_.db_hh[hh] = bias_[Cell::kHiddenGrads * H_ + m];
      if (a_.db_ih) a_.db_ih[ih] = bias_[Cell::kInputGrads * H_ + m];
    }
  }

 private:
  static constexpr Size L = kLanes<T>;
  static constexpr Size G = Cell::G;
  // The first of the hidden blocks whose operand is that of an inner phase, or G.
  static constexpr Size kInnerBlock = PhasesOf<Cell>::Type::kInnerGate;

  bool adds_to_dw_ih() const { return dense_input_ && a_.dw_ih; }

  const T* input_row(Size at) const {
    return a_.input.x ? a_.input.x + at * I_
                      : a_.input.embedding + a_.input.tokens[at] * I_;
  }

  void pack_h(Team team, Size rows) {
    const auto h_prev = [&](Size k) { return chunk_.rows[k].h_prev; };
    const Range vectors = share_of(vectors_, team.rank, team.size);
    if (a_.regularisers.mask) {
      const auto mask = [&](Size k) { return chunk_.rows[k].mask; };
      pack_scaled_columns(h_prev, mask, rows, P_, vectors, h_packed_);
    } else {
      pack_columns(h_prev, rows, P_, vectors, h_packed_);
    }
    if (kInnerBlock == G) return;
    pack_columns([&](Size k) { return a_.c + chunk_.rows[k].at * H_; }, rows, H_,
                 vectors, inner_packed_);
  }

  // Blocks of dz that belong to the same weights: W_ih, W_hh or both, with the same
  // operand. A flag is cleared later if its product is not wanted, or not for the
  // columns at hand.
  struct Region {
    int begin, end;
    bool input, hidden, inner;
  };
  static constexpr Region region_from(int begin) {
    const auto input = [](int b) {
      return b >= Cell::kInputGrads && b < Cell::kInputGrads + G;
    };
    const auto hidden = [](int b) {
      return b >= Cell::kHiddenGrads && b < Cell::kHiddenGrads + G;
    };
    const auto inner = [](int b) { return b - Cell::kHiddenGrads >= kInnerBlock; };
    int end = begin + 1;
    while (end < Cell::kGrads && input(end) == input(begin) &&
           hidden(end) == hidden(begin) && inner(end) == inner(begin)) {
      ++end;
    }
    return {begin, end, input(begin), hidden(begin), inner(begin)};
  }

  void add_part(Team team, Range part, Region region, Range columns, Size rows,
                bool first, bool with_bias) {
    T* side_by_side = columns_ + team.rank * chunk_.most_rows * kGradientRows;
    copy_columns(part, rows, side_by_side, with_bias);
    const Size count = part.end - part.begin;
    const T** dz_columns = dz_columns_ + team.rank * kGradientRows;
    T** dw_rows = dw_rows_ + team.rank * kGradientRows;
    for (Size m = 0; m < count; ++m) dz_columns[m] = side_by_side + m;
    if (region.hidden) {
      const Range h{columns.begin, at_most(columns.end, vectors_)};
      const Size column = part.begin - Cell::kHiddenGrads * H_;
      for (Size m = 0; m < count; ++m) {
        dw_rows[m] = a_.dw_hh + row_of_w_hh<Cell>(column + m, H_) * P_;
      }
      multiply(Product<T>{dz_columns, kGradientRows,
                          region.inner ? inner_packed_ : h_packed_, dw_rows, count,
                          rows, P_, !first},
               h);
    }
    if (region.input) {
      const Range x{columns.begin > vectors_ ? columns.begin - vectors_ : 0,
                    columns.end - vectors_};
      for (Size m = 0; m < count; ++m) {
        const Size row = row_of_w_ih<Cell>(part.begin + m - Cell::kInputGrads * H_, H_);
        dw_rows[m] = a_.dw_ih + row * I_;
      }
      multiply(Product<T>{dz_columns, kGradientRows, x_packed_, dw_rows, count, rows,
                          I_, !first},
               x);
    }
  }

  // Some columns of dz side by side: read in place, each k would be on another page.
  // On the way their sums are added to the biases'.
  void copy_columns(Range part, Size rows, T* to, bool with_bias) {
    constexpr Size kVectors = kGradientRows / L;
    const Size width = chunk_.dz_width;
    const T* from = chunk_.dz + part.begin;
    T* bias = bias_ + part.begin;
    const Size count = part.end - part.begin;
    Vec<T> sum[kVectors];
    const auto lanes = [&](Size v) {
      return v * L < count ? at_most(L, count - v * L) : 0;
    };
    for (Size v = 0; v < kVectors; ++v) sum[v] = load_some(bias + v * L, lanes(v));
    for (Size k = 0; k < rows; ++k, from += width, to += kGradientRows) {
#pragma GCC unroll 12
      for (Size v = 0; v < kVectors; ++v) {
        const Vec<T> dz = load(from + v * L);
        store(to + v * L, dz);
        sum[v] += dz;
      }
    }
    for (Size v = 0; with_bias && v < kVectors; ++v) {
      store_some(bias + v * L, sum[v], lanes(v));
    }
  }

  const BackwardArgs<T>& a_;
  const Chunk<T>& chunk_;
  const Size H_, P_, I_, vectors_, input_vectors_;  // vectors_: of h
  const bool dense_input_;
  T* h_packed_ = nullptr;      // of the chunk
  T* inner_packed_ = nullptr;  // of the chunk, with an inner phase
  T* m_packed_ = nullptr;      // of the chunk, with a projection
  T* x_packed_ = nullptr;      // of the chunk
  T* columns_ = nullptr;       // [threads][rows of the chunk][kGradientRows]: of dz
  T* bias_ = nullptr;          // [kGrads·H]: the sum of dz
  const T** dz_columns_ = nullptr;  // [threads][kGradientRows]
  T** dw_rows_ = nullptr;           // [threads][kGradientRows]
};

}  // namespace FASTRNN_NS
}  // namespace fastrnn
