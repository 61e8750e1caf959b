// The gradients of weights, biases and inputs, from dz of a chunk of steps at a time:
//
//   dW_hh += dz[t]ᵀ·h[t−1]    dW_ih += dz[t]ᵀ·x[t]    db += dz[t]
//   dx[t]  = dz[t]·W_ih
//
// summed over (t descending, row ascending) in that order, whatever the chunk. Threads
// share out the elements of dW and db. All outputs are =. Layouts:
//   w_ih packed  [input vectors][G·H][lanes]
//   h, x packed  [unit or input vectors][rows of the chunk][lanes]
#pragma once

#include "cell.h"
#include "pack.h"
#include "product.h"
#include "rows.h"
#include "tile.h"

namespace fastrnn {
namespace FASTRNN_NS {

// Rows of dW that are multiplied at a time, while packed h or x stays in the private
// cache.
constexpr Size kGradientRows = 96;

// Some steps of a sequence: t descending, rows ascending.
template <class T>
struct Chunk {
  struct Row {
    Size at;          // its position
    const T* h_prev;  // [H]
    const T* mask;    // [H] or null: a factor of h_prev
  };

  Size most_rows = 0;  // that a chunk may have
  Size dz_width = 0;
  Row* rows = nullptr;  // [most_rows]
  // [most_rows + N][dz_width]; the last N are a copy of the step after the chunk
  T* dz = nullptr;
};

template <class Cell, class T>
class ChunkGradients {
 public:
  ChunkGradients(const BackwardArgs<T>& args, const Chunk<T>& chunk)
      : a_(args),
        chunk_(chunk),
        H_(args.weights.H),
        I_(args.input.I),
        vectors_(divide_up(H_, L)),
        input_vectors_(divide_up(I_, L)),
        tokens_(args.input.tokens != nullptr),
        dense_input_(!tokens_ || args.input.embedding) {}

  // Bytes of dW that every chunk adds to.
  Size weight_bytes() const {
    return G * H_ * (H_ + (dense_input_ ? I_ : 0)) * Size(sizeof(T));
  }

  // Takes memory for chunks of chunk.most_rows. One-hot: dz of all steps with the same
  // token are added up in a table over the vocabulary, unless that is longer than the
  // sequence.
  void prepare(int threads, Size valid, Scratch& scratch) {
    table_ = tokens_ && !a_.input.embedding && a_.input.V <= valid && a_.dw_ih;
    const Size rows = chunk_.most_rows;
    columns_ = scratch.take<T>(threads * rows * kGradientRows);
    bias_ = scratch.take<T>(Cell::kGrads * H_);
    h_packed_ = scratch.take<T>(vectors_ * rows * L);
    if (dense_input_) {
      w_ih_ = scratch.take<T>(input_vectors_ * G * H_ * L);
      x_packed_ = scratch.take<T>(input_vectors_ * rows * L);
      if (tokens_) dx_rows_ = scratch.take<T>(rows * I_);
    }
    if (table_) table_sum_ = scratch.take<T>(a_.input.V * G * H_);
    pointers_ = rows > G * H_ ? rows : G * H_;
    from_ = scratch.take<const T*>(threads * pointers_);
    to_ = scratch.take<T*>(threads * pointers_);
  }

  // W_ih for dx, its rows in the order of the input's blocks in dz.
  void pack_weights(Team team) {
    if (!a_.dx && !a_.dembedding) return;
    const T* w = a_.weights.w_ih;
    pack_columns([&](Size k) { return w + weight_row(k) * I_; }, G * H_, I_,
                 share_of(input_vectors_, team.rank, team.size), w_ih_);
  }

  // Everything that is summed into.
  void clear(Team team, Size valid) {
    clear_share(bias_, Cell::kGrads * H_, team);
    if (valid == 0) clear_share(a_.dw_hh, G * H_ * H_, team);
    if (valid == 0 || !dense_input_) clear_share(a_.dw_ih, G * H_ * I_, team);
    if (table_) clear_share(table_sum_, a_.input.V * G * H_, team);
    clear_share(a_.dembedding, a_.input.V * I_, team);
  }

  // h and x of the chunk, as the right sides of the products for dW.
  void pack_chunk(Team team, Size rows) {
    if (a_.dw_hh) pack_h(team, rows);
    if (!dense_input_ || !a_.dw_ih) return;
    pack_columns([&](Size k) { return input_row(chunk_.rows[k].at); }, rows, I_,
                 share_of(input_vectors_, team.rank, team.size), x_packed_);
  }

  // `first`: dW is =, not +=.
  void add_chunk(Team team, Size rows, bool first) {
    add_weight_gradients(team, rows, first);
    if (table_) {
      sum_by_token(share_of(G * H_, team.rank, team.size, L), rows);
    } else if (!dense_input_ && a_.dw_ih) {
      add_to_columns(share_of(G * H_, team.rank, team.size, L), rows);
    } else if (a_.dx || a_.dembedding) {
      input_gradient(team, share_of(rows, team.rank, team.size), rows);
    }
  }

  // The biases; dW_ih out of the table over the vocabulary, each gate's block
  // transposed.
  void finish(Team team) {
    const Range part = share_of(G * H_, team.rank, team.size);
    for (Size m = part.begin; m < part.end; ++m) {
      if (a_.db_hh) a_.db_hh[m] = bias_[Cell::kHiddenGrads * H_ + m];
      if (a_.db_ih) a_.db_ih[weight_row(m)] = bias_[Cell::kInputGrads * H_ + m];
    }
    if (!table_) return;
    const Size V = a_.input.V;
    for (int gate = 0; gate < G; ++gate) {
      transpose_matrix(table_sum_ + Cell::input_block(gate) * H_, V, G * H_,
                       share_of(H_, team.rank, team.size, L), a_.dw_ih + gate * H_ * V);
    }
  }

 private:
  static constexpr Size L = kLanes<T>;
  static constexpr Size G = Cell::G;

  static void clear_share(T* to, Size count, Team team) {
    if (!to) return;
    const Range part = share_of(count, team.rank, team.size);
    for (Size i = part.begin; i < part.end; ++i) to[i] = T(0);
  }

  // The row of W_ih that the k-th column of the input's blocks belongs to.
  Size weight_row(Size k) const {
    for (int gate = 0; gate < G; ++gate) {
      if (k / H_ == Cell::input_block(gate)) return gate * H_ + k % H_;
    }
    return 0;
  }

  const T* input_row(Size at) const {
    return a_.input.x ? a_.input.x + at * I_
                      : a_.input.embedding + a_.input.tokens[at] * I_;
  }

  void pack_h(Team team, Size rows) {
    const auto h_prev = [&](Size k) { return chunk_.rows[k].h_prev; };
    const Range vectors = share_of(vectors_, team.rank, team.size);
    if (a_.regularisers.mask) {
      const auto mask = [&](Size k) { return chunk_.rows[k].mask; };
      pack_scaled_columns(h_prev, mask, rows, H_, vectors, h_packed_);
    } else {
      pack_columns(h_prev, rows, H_, vectors, h_packed_);
    }
  }

  // Blocks of dz that belong to the same weights: W_ih, W_hh or both. A flag is cleared
  // later if its product is not wanted, or not for the columns at hand.
  struct Region {
    int begin, end;
    bool input, hidden;
  };
  static constexpr Region region_from(int begin) {
    const auto input = [](int b) {
      return b >= Cell::kInputGrads && b < Cell::kInputGrads + G;
    };
    const auto hidden = [](int b) {
      return b >= Cell::kHiddenGrads && b < Cell::kHiddenGrads + G;
    };
    int end = begin + 1;
    while (end < Cell::kGrads && input(end) == input(begin) &&
           hidden(end) == hidden(begin)) {
      ++end;
    }
    return {begin, end, input(begin), hidden(begin)};
  }

  // dW_hh, dW_ih and the biases. The columns of h and x together are taken in blocks
  // that stay in the private cache while this thread's columns of dz pass by.
  void add_weight_gradients(Team team, Size rows, bool first) {
    const bool wants_input = dense_input_ && a_.dw_ih;
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

  void add_part(Team team, Range part, Region region, Range columns, Size rows,
                bool first, bool with_bias) {
    T* side_by_side = columns_ + team.rank * chunk_.most_rows * kGradientRows;
    copy_columns(part, rows, side_by_side, with_bias);
    const Size count = part.end - part.begin;
    const T** dz_columns = from_ + team.rank * pointers_;
    T** dw_rows = to_ + team.rank * pointers_;
    for (Size m = 0; m < count; ++m) dz_columns[m] = side_by_side + m;
    if (region.hidden) {
      const Range h{columns.begin, at_most(columns.end, vectors_)};
      T* dw = a_.dw_hh + (part.begin - Cell::kHiddenGrads * H_) * H_;
      for (Size m = 0; m < count; ++m) dw_rows[m] = dw + m * H_;
      multiply(Product<T>{dz_columns, kGradientRows, h_packed_, dw_rows, count, rows,
                          H_, !first},
               h);
    }
    if (region.input) {
      const Range x{columns.begin > vectors_ ? columns.begin - vectors_ : 0,
                    columns.end - vectors_};
      for (Size m = 0; m < count; ++m) {
        const Size row = weight_row(part.begin + m - Cell::kInputGrads * H_);
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

  // table[token] += dz, in the order of the input's blocks.
  void sum_by_token(Range part, Size rows) {
    const T* dz = chunk_.dz + Cell::kInputGrads * H_;
    for (Size k = 0; k < rows; ++k, dz += chunk_.dz_width) {
      T* sum = table_sum_ + a_.input.tokens[chunk_.rows[k].at] * G * H_;
      for (Size m = part.begin; m < part.end; m += L) {
        const Size lanes = at_most(L, part.end - m);
        store_some(sum + m, load_some(sum + m, lanes) + load_some(dz + m, lanes),
                   lanes);
      }
    }
  }

  // dW_ih[:, token] += dz, for a vocabulary longer than the sequence.
  void add_to_columns(Range part, Size rows) {
    for (Size k = 0; k < rows; ++k) {
      const T* dz = chunk_.dz + k * chunk_.dz_width + Cell::kInputGrads * H_;
      T* column = a_.dw_ih + a_.input.tokens[chunk_.rows[k].at];
      for (Size m = part.begin; m < part.end; ++m) column[weight_row(m) * I_] += dz[m];
    }
  }

  // dx of some of the chunk's rows; with an embedding, added to its rows in order.
  void input_gradient(Team team, Range part, Size rows) {
    const Size count = part.end - part.begin;
    const T** dz_rows = from_ + team.rank * pointers_;
    T** dx_rows = to_ + team.rank * pointers_;
    for (Size k = 0; k < count; ++k) {
      const Size row = part.begin + k;
      dz_rows[k] = chunk_.dz + row * chunk_.dz_width + Cell::kInputGrads * H_;
      dx_rows[k] = tokens_ ? dx_rows_ + row * I_ : a_.dx + chunk_.rows[row].at * I_;
    }
    const Product<T> x{dz_rows, 0, w_ih_, dx_rows, count, G * H_, I_, false};
    multiply(x, {0, input_vectors_});
    if (!tokens_) return;
    team.barrier();
    const Range columns = share_of(I_, team.rank, team.size, L);
    for (Size k = 0; k < rows; ++k) {
      T* row = a_.dembedding + a_.input.tokens[chunk_.rows[k].at] * I_;
      for (Size i = columns.begin; i < columns.end; ++i) row[i] += dx_rows_[k * I_ + i];
    }
  }

  const BackwardArgs<T>& a_;
  const Chunk<T>& chunk_;
  const Size H_, I_, vectors_, input_vectors_;
  const bool tokens_, dense_input_;
  bool table_ = false;
  T* w_ih_ = nullptr;       // packed
  T* h_packed_ = nullptr;   // of the chunk
  T* x_packed_ = nullptr;   // of the chunk
  T* columns_ = nullptr;    // [threads][rows of the chunk][kGradientRows]: of dz
  T* bias_ = nullptr;       // [kGrads·H]: the sum of dz
  T* dx_rows_ = nullptr;    // [rows of the chunk][I], with an embedding
  T* table_sum_ = nullptr;  // [V][G·H]
  Size pointers_ = 0;       // that each thread has in from_ and to_
  const T** from_ = nullptr;
  T** to_ = nullptr;
};

}  // namespace FASTRNN_NS
}  // namespace fastrnn
