// The gradients of a layer's input, from dz of a chunk of steps at a time:
//
//   dx[t] = dz[t]·W_ih             dense rows
//   dE[token] += dx[t]             tokens with an embedding
//   dW_ih[:, token] += dz[t]       one-hot tokens
//
// summed over (t descending, row ascending) in that order, whatever the chunk. Threads
// share the elements of a result. All outputs are =. Layout:
//   w_ih packed  [input vectors][G·H][lanes]
#pragma once

#include "chunk.h"
#include "pack.h"
#include "product.h"

namespace fastrnn {
namespace FASTRNN_NS {

template <class Cell, class T>
class InputGradients {
 public:
  InputGradients(const BackwardArgs<T>& args, const Chunk<T>& chunk)
      : a_(args),
        chunk_(chunk),
        H_(args.weights.H),
        I_(args.input.I),
        input_vectors_(divide_up(I_, L)),
        tokens_(args.input.tokens != nullptr),
        one_hot_(tokens_ && !args.input.embedding) {}

  // Takes memory for chunks of chunk.most_rows. One-hot: dz of all steps with the same
  // token are added up in a table over the vocabulary, unless that is longer than the
  // sequence.
  void prepare(int threads, Size valid, Scratch& scratch) {
    table_ = one_hot_ && a_.input.V <= valid && a_.dw_ih;
    if (table_) table_sum_ = scratch.take<T>(a_.input.V * G * H_);
    if (one_hot_) return;
    const Size rows = chunk_.most_rows;
    w_ih_ = scratch.take<T>(input_vectors_ * G * H_ * L);
    if (tokens_) dx_ = scratch.take<T>(rows * I_);
    dz_rows_ = scratch.take<const T*>(threads * rows);
    dx_rows_ = scratch.take<T*>(threads * rows);
  }

  // W_ih for dx, its rows in the order of the input's blocks in dz.
  void pack_weights(Team team) {
    if (!a_.dx && !a_.dembedding) return;
    const T* w = a_.weights.w_ih;
    pack_columns([&](Size k) { return w + row_of_w_ih<Cell>(k, H_) * I_; }, G * H_, I_,
                 share_of(input_vectors_, team.rank, team.size), w_ih_);
  }

  // Everything that is summed into.
  void clear(Team team) {
    if (one_hot_) clear_share(a_.dw_ih, kWeightBlocks<Cell> * H_ * I_, team);
    if (table_) clear_share(table_sum_, a_.input.V * G * H_, team);
    clear_share(a_.dembedding, a_.input.V * I_, team);
  }

  void add_chunk(Team team, Size rows) {
    if (table_) {
      sum_by_token(share_of(G * H_, team.rank, team.size, L), rows);
    } else if (one_hot_ && a_.dw_ih) {
      add_to_columns(share_of(G * H_, team.rank, team.size, L), rows);
    } else if (a_.dx || a_.dembedding) {
      input_gradient(team, share_of(rows, team.rank, team.size), rows);
    }
  }

  // dW_ih out of the table over the vocabulary, each gate's block transposed.
  void finish(Team team) {
    if (!table_) return;
    const Size V = a_.input.V;
    for (int gate = 0; gate < G; ++gate) {
      transpose_matrix(table_sum_ + Cell::input_block(gate) * H_, V, G * H_,
                       share_of(H_, team.rank, team.size, L),
                       a_.dw_ih + Cell::weight_block(gate) * H_ * V);
    }
  }

 private:
  static constexpr Size L = kLanes<T>;
  static constexpr Size G = Cell::G;

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
      for (Size m = part.begin; m < part.end; ++m) {
        column[row_of_w_ih<Cell>(m, H_) * I_] += dz[m];
      }
    }
  }

  // dx of some of the chunk's rows; with an embedding, added to its rows in order.
  void input_gradient(Team team, Range part, Size rows) {
    const Size count = part.end - part.begin;
    const T** dz_rows = dz_rows_ + team.rank * chunk_.most_rows;
    T** dx_rows = dx_rows_ + team.rank * chunk_.most_rows;
    for (Size k = 0; k < count; ++k) {
      const Size row = part.begin + k;
      dz_rows[k] = chunk_.dz + row * chunk_.dz_width + Cell::kInputGrads * H_;
      dx_rows[k] = tokens_ ? dx_ + row * I_ : a_.dx + chunk_.rows[row].at * I_;
    }
    const Product<T> x{dz_rows, 0, w_ih_, dx_rows, count, G * H_, I_, false};
    multiply(x, {0, input_vectors_});
    if (!tokens_) return;
    team.barrier();
    const Range columns = share_of(I_, team.rank, team.size, L);
    for (Size k = 0; k < rows; ++k) {
      T* row = a_.dembedding + a_.input.tokens[chunk_.rows[k].at] * I_;
      for (Size i = columns.begin; i < columns.end; ++i) row[i] += dx_[k * I_ + i];
    }
  }

  const BackwardArgs<T>& a_;
  const Chunk<T>& chunk_;
  const Size H_, I_, input_vectors_;
  const bool tokens_, one_hot_;
  bool table_ = false;
  T* w_ih_ = nullptr;            // packed
  T* dx_ = nullptr;              // [rows of the chunk][I], with an embedding
  T* table_sum_ = nullptr;       // [V][G·H]
  const T** dz_rows_ = nullptr;  // [threads][rows of the chunk]
  T** dx_rows_ = nullptr;        // [threads][rows of the chunk]
};

}  // namespace FASTRNN_NS
}  // namespace fastrnn
