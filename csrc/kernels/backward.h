// A whole sequence backward, for any cell.
//
//   dh[t] = dy[t] + dz[t+1]·W_hh (+ dh_n at a row's last step)
//   dz[t] = cell's pointwise part, on the tile's registers
//
// step by step; then, for a chunk of steps at once, the large products
//
//   dW_hh += dz[t]ᵀ·h[t−1]    dW_ih += dz[t]ᵀ·x[t]    db += dz[t]
//   dx[t]  = dz[t]·W_ih
//
// summed over (t descending, row ascending) in that order, whatever the chunk. dW, db
// are shared out among threads by output element. All outputs are =. Nothing may alias.
//
// Layouts:
//   w_hh packed  [unit vectors][G·H][lanes]
//   w_ih packed  [input vectors][G·H][lanes]
//   dz           [rows of the chunk][dz_width]
#pragma once

#include "cell.h"
#include "pack.h"
#include "plan.h"
#include "product.h"
#include "tile.h"

namespace fastrnn {
namespace FASTRNN_NS {

// Rows of a chunk: the more, the less often dW is read and written; the fewer, the
// nearer the cache that holds dz. Where dW is near in any case, dz is to be so too.
constexpr Size kMostChunkRows = 512, kFewestChunkRows = 128;

// The rows of dW that are multiplied at a time, while packed h or x stays in the
// private cache.
constexpr Size kGradientRows = 96;

template <class Cell, class T>
struct BackwardStep {
  Cell cell;
  const BackwardRow<T>* rows;
  const T* w;  // W_hh packed
  Size H, K;   // K = G·H, or 0 where nothing comes back from a next step
};

// The cell's part where zoneout kept some units' states: their gradients pass it by.
template <class Cell, class T>
FASTRNN_INLINE void backward_zoneout(Cell cell, Vec<T> dh, const BackwardRow<T>& row,
                                     Size j, Size lanes, Size H) {
  const Vec<T> none = {};
  const auto keep_h = load_flags<T>(row.keep_h + j, lanes);
  store_some(row.held + j, keep_h ? dh : none, lanes);
  Vec<T> dc_held = none;
  if (Cell::kCarry == Carry::kCellState) {
    const auto keep_c = load_flags<T>(row.keep_c + j, lanes);
    const Vec<T> dc = row.cut ? none : load_some(row.carry + j, lanes);
    store_some(row.carry + j, keep_c ? none : dc, lanes);
    dc_held = keep_c ? dc : none;
  }
  cell.template backward<T>(keep_h ? none : dh, row, j, lanes, H);
  if (Cell::kCarry == Carry::kCellState) {
    store_some(row.carry + j, load_some(row.carry + j, lanes) + dc_held, lanes);
  }
}

// dh = what came back from the next step, and all else that reaches h here.
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

// The same for some rows, as forward.
template <bool kUsual, class Cell, class T>
__attribute__((noinline)) void backward_cells(const BackwardStep<Cell, T>& x, Size row,
                                              int count, const Vec<T>* dh, Size apart,
                                              Size u) {
  constexpr Size L = kLanes<T>;
  const Size j = u * L, lanes = kUsual ? L : at_most(L, x.H - j);
#pragma GCC unroll 2
  for (int i = 0; i < count; ++i) {
    backward_cell<kUsual, Cell, T>(x.cell, dh[i * apart], x.rows[row + i], j, lanes,
                                   x.H);
  }
}

template <class Cell, int R, int P, class T>
__attribute__((noinline)) void backward_tile(const BackwardStep<Cell, T>& x, Size row,
                                             Size u, Ahead<T> ahead) {
  constexpr Size L = kLanes<T>;
  const BackwardRow<T>* rows = x.rows + row;
  Vec<T> acc[R][P] = {};
  const T* dz_next[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) dz_next[r] = rows[r].dz_next;
  // What the cell reads is in far memory; it comes while the product runs, a row's
  // worth at a time, lest it hold up the weights.
  const Size panel = Size(Cell::G) * x.H * L;
  const T* w_hh = x.w + u * panel;
  for (int r = 0; r < R; ++r) {
    for (int g = 0; g < Cell::kTape; ++g) prefetch<P>(rows[r].gates, g * x.H + u * L);
    prefetch<P>(Cell::kCarry == Carry::kCellState ? rows[r].c_prev : rows[r].c, u * L);
    prefetch<P>(rows[r].dy, u * L);
    if (rows[r].held) {
      prefetch<1>(rows[r].keep_h, u * L);
      prefetch<1>(rows[r].keep_c, u * L);
    }
    const Size k = x.K * r / R, end = x.K * (r + 1) / R;
    multiply_add<R, P, 1, Rows::kEach, T>(acc, dz_next, 0, w_hh, panel, k, end, ahead);
  }
  Vec<T> dh[R][P];
#pragma GCC unroll 24
  for (int i = 0; i < R * P; ++i) dh[i / P][i % P] = acc[i / P][i % P];
  for (int p = 0; p < P; ++p) {
    if ((u + p + 1) * L <= x.H && !rows[0].held) {
      backward_cells<true>(x, row, R, &dh[0][p], P, u + p);
    } else {
      backward_cells<false>(x, row, R, &dh[0][p], P, u + p);
    }
  }
}

template <class Cell, class T>
class Backward {
 public:
  Backward(Cell cell, const BackwardArgs<T>& args, Scratch& scratch)
      : cell_(cell),
        a_(args),
        s_(args.schedule),
        H_(args.weights.H),
        I_(args.input.I),
        vectors_(divide_up(H_, L)),
        input_vectors_(divide_up(I_, L)),
        scratch_(scratch) {}

  void run() {
    prepare();
    run_team(
        plan_.threads,
        [](Team team, void* self) { static_cast<Backward*>(self)->work(team); }, this);
  }

 private:
  static constexpr Size L = kLanes<T>;
  static constexpr Size G = Cell::G;
  static constexpr bool kCellState = Cell::kCarry == Carry::kCellState;
  static constexpr bool kHasCarry = Cell::kCarry != Carry::kNothing;

  // One-hot: dz of all steps with the same token is added up in a table over the
  // vocabulary, unless that is longer than the sequence.
  void prepare() {
    const Size valid = valid_steps(s_);
    const double flops = 4.0 * double(valid) * double((I_ + H_) * G * H_);
    plan_ = make_plan<T>(a_.threads, s_, flops, G * H_ * H_, vectors_);
    tokens_ = a_.input.tokens != nullptr;
    table_ = tokens_ && !a_.input.embedding && a_.input.V <= valid && a_.dw_ih;
    dense_input_ = !tokens_ || a_.input.embedding;
    // A row length of a power of two would put a column into few cache sets.
    dz_width_ = divide_up(Cell::kGrads * H_, L) * L + 64 / Size(sizeof(T));
    const Size dw_bytes = G * H_ * (H_ + (dense_input_ ? I_ : 0)) * Size(sizeof(T));
    const Size near = kPrivateCache / 2 / (dz_width_ * Size(sizeof(T)));
    const Size most = dw_bytes > kPrivateCache  ? kMostChunkRows
                      : near > kFewestChunkRows ? at_most(near, kMostChunkRows)
                                                : kFewestChunkRows;
    // Chunks as even as can be.
    even_rows_ = divide_up(valid, divide_up(valid, most) + (valid == 0));
    chunk_rows_ = at_most(valid, even_rows_ + s_.N);

    w_hh_ = scratch_.take<T>(vectors_ * G * H_ * L);
    dz_ = scratch_.take<T>((chunk_rows_ + s_.N) * dz_width_ + kGradientRows);
    parts_ = scratch_.take<T>(plan_.threads * chunk_rows_ * kGradientRows);
    bias_ = scratch_.take<T>(Cell::kGrads * H_);
    zeros_ = scratch_.take<T>(H_);
    h_packed_ = scratch_.take<T>(vectors_ * chunk_rows_ * L);
    if (kHasCarry) carry_ = scratch_.take<T>(s_.N * H_);
    if (dense_input_) {
      w_ih_ = scratch_.take<T>(input_vectors_ * G * H_ * L);
      x_packed_ = scratch_.take<T>(input_vectors_ * chunk_rows_ * L);
      if (tokens_) dx_rows_ = scratch_.take<T>(chunk_rows_ * I_);
    }
    if (table_) table_sum_ = scratch_.take<T>(a_.input.V * G * H_);
    rows_ = scratch_.take<BackwardRow<T>>(plan_.threads * s_.N);
    chunk_ = scratch_.take<ChunkRow>(chunk_rows_);
    if (a_.regularisers.keep_h) held_ = scratch_.take<T>(s_.N * H_);
    most_rows_ = chunk_rows_ > G * H_ ? chunk_rows_ : G * H_;
    a_rows_ = scratch_.take<const T*>(plan_.threads * most_rows_);
    c_rows_ = scratch_.take<T*>(plan_.threads * most_rows_);
  }

  // One (step, row) of a chunk.
  struct ChunkRow {
    Size at;          // its position
    const T* h_prev;  // [H]
    const T* mask;    // [H] or null: a factor of h_prev
  };

  void work(Team team) {
    const Slice slice = slice_of(team, plan_.share_units);
    const Range units = share_of(vectors_, slice.unit_rank, slice.unit_ways);
    pack(team);
    clear(team);
    team.barrier();
    Size end = s_.steps, last_base = 0;  // rows of step `end` begin at last_base
    while (end > 0) {
      Size begin = end, rows = 0;
      while (begin > 0 && (begin == end || rows + s_.active[begin - 1] <= even_rows_)) {
        rows += s_.active[--begin];
      }
      // The last step of the chunk before it waits behind this one's rows.
      if (team.rank == 0) list_chunk(begin, end);
      if (team.rank == team.size - 1) keep_last_step(end, last_base);
      team.barrier();
      pack_chunk(team, rows);
      Size base = 0;
      for (Size s = end - 1; s >= begin; --s) {
        const Size next = s + 1 == end ? chunk_rows_ : base - s_.active[s + 1];
        step(team, slice, units, s, base, next);
        last_base = base;
        base += s_.active[s];
        if (slice.unit_ways > 1) team.barrier();
      }
      team.barrier();
      gradients_of_chunk(team, rows, end == s_.steps);
      end = begin;
      team.barrier();
    }
    if (s_.steps > 0) initial_step(team, slice, units, last_base);
    team.barrier();
    finish(team);
  }

  void pack(Team team) {
    const Weights<T>& w = a_.weights;
    pack_columns([&](Size k) { return w.w_hh + k * H_; }, G * H_, H_,
                 share_of(vectors_, team.rank, team.size), w_hh_);
    if (!a_.dx && !a_.dembedding) return;
    // Rows of W_ih in the order of the input's blocks in dz.
    pack_columns([&](Size k) { return w.w_ih + weight_row(k) * I_; }, G * H_, I_,
                 share_of(input_vectors_, team.rank, team.size), w_ih_);
  }

  // The row of W_ih that the k-th column of the input's blocks belongs to.
  Size weight_row(Size k) const {
    for (int gate = 0; gate < G; ++gate) {
      if (k / H_ == Cell::input_block(gate)) return gate * H_ + k % H_;
    }
    return 0;
  }

  // What is summed into, and what padding leaves untouched.
  void clear(Team team) {
    const auto zero = [&](T* to, Size count) {
      if (!to) return;
      const Range part = share_of(count, team.rank, team.size);
      for (Size i = part.begin; i < part.end; ++i) to[i] = T(0);
    };
    const Size valid = valid_steps(s_);
    zero(zeros_, H_);
    zero(bias_, Cell::kGrads * H_);
    if (valid == 0) zero(a_.dw_hh, G * H_ * H_);
    if (valid == 0 || !dense_input_) zero(a_.dw_ih, G * H_ * I_);
    if (table_) zero(table_sum_, a_.input.V * G * H_);
    zero(a_.dembedding, a_.input.V * I_);
    if (valid < s_.positions) {
      for_padding(s_, team, [&](Size at) {
        clear_row(a_.dx, at, I_);
        clear_row(a_.dh, at, H_);
      });
    }
    const Range part = share_of(s_.N, team.rank, team.size);
    for (Size i = part.begin; i < part.end; ++i) {
      const Size state = s_.row[i] * H_;
      const bool none = s_.length[i] == 0;
      for (Size j = 0; j < H_; ++j) {
        const T dc = kCellState && a_.dc_n ? a_.dc_n[state + j] : T(0);
        if (kHasCarry) carry_[i * H_ + j] = dc;
        if (held_) held_[i * H_ + j] = T(0);
        if (none) a_.dh0[state + j] = a_.dh_n ? a_.dh_n[state + j] : T(0);
        if (none && kCellState) a_.dc0[state + j] = dc;
      }
    }
  }

  const T* before(Size i, Size s) const {
    if (is_cut(s_, i, s)) return zeros_;
    if (s > 0) return a_.y + position(s_, i, s - 1) * H_;
    return a_.h0 ? a_.h0 + s_.row[i] * H_ : zeros_;
  }

  const T* cell_before(Size i, Size s) const {
    if (is_cut(s_, i, s)) return zeros_;
    if (s > 0) return a_.c + position(s_, i, s - 1) * H_;
    return a_.c0 ? a_.c0 + s_.row[i] * H_ : zeros_;
  }

  void list_chunk(Size begin, Size end) {
    ChunkRow* row = chunk_;
    for (Size s = end - 1; s >= begin; --s) {
      for (Size i = 0; i < s_.active[s]; ++i) {
        *row++ = {position(s_, i, s), before(i, s), mask_of(i)};
      }
    }
  }

  const T* mask_of(Size i) const {
    const T* mask = a_.regularisers.mask;
    return mask ? mask + s_.row[i] * H_ : nullptr;
  }

  void keep_last_step(Size end, Size base) {
    if (end == s_.steps) return;
    const T* from = dz_ + base * dz_width_;
    T* to = dz_ + chunk_rows_ * dz_width_;
    for (Size i = 0; i < s_.active[end] * dz_width_; ++i) to[i] = from[i];
  }

  const T* input_row(Size at) const {
    return a_.input.x ? a_.input.x + at * I_
                      : a_.input.embedding + a_.input.tokens[at] * I_;
  }

  void pack_h(Team team, Size rows) {
    const auto h_prev = [&](Size k) { return chunk_[k].h_prev; };
    const Range vectors = share_of(vectors_, team.rank, team.size);
    if (a_.regularisers.mask) {
      const auto mask = [&](Size k) { return chunk_[k].mask; };
      pack_scaled_columns(h_prev, mask, rows, H_, vectors, h_packed_);
    } else {
      pack_columns(h_prev, rows, H_, vectors, h_packed_);
    }
  }

  // h and x of the chunk, as the right sides of the weight gradients.
  void pack_chunk(Team team, Size rows) {
    if (a_.dw_hh) pack_h(team, rows);
    if (!dense_input_ || !a_.dw_ih) return;
    pack_columns([&](Size k) { return input_row(chunk_[k].at); }, rows, I_,
                 share_of(input_vectors_, team.rank, team.size), x_packed_);
  }

  // dz of step s into the rows from `base` on; dz of step s + 1 begins at row `next`.
  void step(Team team, const Slice& slice, Range units, Size s, Size base, Size next) {
    BackwardRow<T>* r = rows_ + team.rank * s_.N;
    const Size count = slice.count(s_.active[s]);
    for (Size j = 0; j < count; ++j) {
      const Size i = slice.sorted(j), at = position(s_, i, s);
      const bool last = s + 1 == s_.length[i];
      r[j].dz_next = dz_ + (next + i) * dz_width_ + Cell::kHiddenGrads * H_;
      r[j].dy = a_.dy ? a_.dy + at * H_ : nullptr;
      r[j].dh_n = last && a_.dh_n ? a_.dh_n + s_.row[i] * H_ : nullptr;
      r[j].dc = a_.dc ? a_.dc + at * H_ : nullptr;
      r[j].gates = a_.gates ? a_.gates + at * Cell::kTape * H_ : nullptr;
      r[j].h = a_.y + at * H_;
      r[j].h_prev = before(i, s);
      r[j].c = a_.c && !kCellState ? a_.c + at * H_ : nullptr;
      r[j].c_prev = kCellState ? cell_before(i, s) : nullptr;
      r[j].dz = dz_ + (base + i) * dz_width_;
      r[j].carry = kHasCarry ? carry_ + i * H_ : nullptr;
      r[j].dh_out = a_.dh ? a_.dh + at * H_ : nullptr;
      r[j].cut = !last && is_cut(s_, i, s + 1);
      r[j].mask = mask_of(i);
      r[j].keep_h = a_.regularisers.keep_h ? a_.regularisers.keep_h + at * H_ : nullptr;
      r[j].keep_c = a_.regularisers.keep_c ? a_.regularisers.keep_c + at * H_ : nullptr;
      r[j].held = held_ ? held_ + i * H_ : nullptr;
    }
    const Size going_on = slice.count(s_.active[s + 1]);
    product(r, going_on, units, G * H_, s);
    product(r + going_on, count - going_on, units, 0, s);
  }

  void product(const BackwardRow<T>* rows, Size count, Range units, Size K, Size s) {
    const BackwardStep<Cell, T> x{cell_, rows, w_hh_, H_, K};
    for_tiles<1, Rows::kEach>(
        count, units, w_hh_, G * H_ * L, K, s % 2 != 0,
        [&](auto R, auto P, Size row, Size u, Ahead<T> ahead) {
          backward_tile<Cell, decltype(R)::value, decltype(P)::value, T>(x, row, u,
                                                                         ahead);
        });
  }

  // The gradients of the initial states: the product of step 0, and no cell before it.
  void initial_step(Team team, const Slice& slice, Range units, Size base) {
    BackwardRow<T>* r = rows_ + team.rank * s_.N;
    const Size count = slice.count(s_.active[0]);
    for (Size j = 0; j < count; ++j) {
      const Size i = slice.sorted(j);
      r[j] = BackwardRow<T>{};
      r[j].dz_next = dz_ + (base + i) * dz_width_ + Cell::kHiddenGrads * H_;
      r[j].carry = kHasCarry ? carry_ + i * H_ : nullptr;
      r[j].dh_out = a_.dh0 + s_.row[i] * H_;
      r[j].mask = mask_of(i);
      r[j].held = held_ ? held_ + i * H_ : nullptr;
      r[j].cut = is_cut(s_, i, 0);
      if (!kCellState || slice.unit_rank > 0) continue;
      T* dc0 = a_.dc0 + s_.row[i] * H_;
      for (Size k = 0; k < H_; ++k) dc0[k] = r[j].cut ? T(0) : r[j].carry[k];
    }
    product(r, count, units, G * H_, 0);
  }

  void gradients_of_chunk(Team team, Size rows, bool first) {
    weight_gradients(team, rows, first);
    if (table_) {
      sum_by_token(share_of(G * H_, team.rank, team.size, L), rows);
    } else if (!dense_input_ && a_.dw_ih) {
      add_to_columns(share_of(G * H_, team.rank, team.size, L), rows);
    } else if (a_.dx || a_.dembedding) {
      input_gradient(team, share_of(rows, team.rank, team.size), rows);
    }
  }

  // Blocks of dz that belong to the same weights: W_ih, W_hh or both. Of the flags,
  // those are cleared later whose product is not wanted, or not of the columns at hand.
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

  // dW_hh, dW_ih and the biases. Of all columns that h and x have between them, so many
  // at a time as stay in the private cache while this thread's columns of dz pass by.
  void weight_gradients(Team team, Size rows, bool first) {
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
          const Range part{offset + m, offset + at_most(share.end, m + kGradientRows)};
          gradients_of_part(team, part, region, columns, rows, first, i == 0);
        }
      }
    }
  }

  void gradients_of_part(Team team, Range part, Region region, Range columns, Size rows,
                         bool first, bool with_bias) {
    T* side_by_side = parts_ + team.rank * chunk_rows_ * kGradientRows;
    copy_part(part, rows, side_by_side, with_bias);
    const Size count = part.end - part.begin;
    const T** dz_columns = a_rows_ + team.rank * most_rows_;
    T** dw_rows = c_rows_ + team.rank * most_rows_;
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
  void copy_part(Range part, Size rows, T* to, bool with_bias) {
    constexpr Size kVectors = kGradientRows / L;
    const T* from = dz_ + part.begin;
    T* bias = bias_ + part.begin;
    const Size count = part.end - part.begin;
    Vec<T> sum[kVectors];
    const auto lanes = [&](Size v) {
      return v * L < count ? at_most(L, count - v * L) : 0;
    };
    for (Size v = 0; v < kVectors; ++v) sum[v] = load_some(bias + v * L, lanes(v));
    for (Size k = 0; k < rows; ++k, from += dz_width_, to += kGradientRows) {
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
    const T* dz = dz_ + Cell::kInputGrads * H_;
    for (Size k = 0; k < rows; ++k, dz += dz_width_) {
      T* sum = table_sum_ + a_.input.tokens[chunk_[k].at] * G * H_;
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
      const T* dz = dz_ + k * dz_width_ + Cell::kInputGrads * H_;
      T* column = a_.dw_ih + a_.input.tokens[chunk_[k].at];
      for (Size m = part.begin; m < part.end; ++m) column[weight_row(m) * I_] += dz[m];
    }
  }

  // dx of some of the chunk's rows; with an embedding, added to its rows in order.
  void input_gradient(Team team, Range part, Size rows) {
    const Size count = part.end - part.begin;
    const T** dz_rows = a_rows_ + team.rank * most_rows_;
    T** dx_rows = c_rows_ + team.rank * most_rows_;
    for (Size k = 0; k < count; ++k) {
      const Size row = part.begin + k;
      dz_rows[k] = dz_ + row * dz_width_ + Cell::kInputGrads * H_;
      dx_rows[k] = tokens_ ? dx_rows_ + row * I_ : a_.dx + chunk_[row].at * I_;
    }
    const Product<T> x{dz_rows, 0, w_ih_, dx_rows, count, G * H_, I_, false};
    multiply(x, {0, input_vectors_});
    if (!tokens_) return;
    team.barrier();
    const Range columns = share_of(I_, team.rank, team.size, L);
    for (Size k = 0; k < rows; ++k) {
      T* row = a_.dembedding + a_.input.tokens[chunk_[k].at] * I_;
      for (Size i = columns.begin; i < columns.end; ++i) row[i] += dx_rows_[k * I_ + i];
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

  const Cell cell_;
  const BackwardArgs<T>& a_;
  const ScheduleView& s_;
  const Size H_, I_, vectors_, input_vectors_;
  Scratch& scratch_;
  Plan plan_ = {1, false};
  bool tokens_ = false, table_ = false, dense_input_ = false;
  Size dz_width_ = 0, chunk_rows_ = 0, even_rows_ = 0, most_rows_ = 0;
  T *w_hh_ = nullptr, *w_ih_ = nullptr, *dz_ = nullptr, *zeros_ = nullptr;
  T *bias_ = nullptr, *h_packed_ = nullptr, *x_packed_ = nullptr, *carry_ = nullptr;
  T *dx_rows_ = nullptr, *table_sum_ = nullptr, *parts_ = nullptr, *held_ = nullptr;
  BackwardRow<T>* rows_ = nullptr;
  ChunkRow* chunk_ = nullptr;
  const T** a_rows_ = nullptr;
  T** c_rows_ = nullptr;
};

}  // namespace FASTRNN_NS
}  // namespace fastrnn
