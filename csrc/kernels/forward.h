// A whole sequence forward, for any cell.
//
//   z[t] = W_ih·x[t] + b              for a chunk of steps at once
//   h[t] = cell(z[t] + W_hh·h[t−1])   step by step, the sums in registers
//
// All outputs are =. Nothing may alias. Layouts:
//   w_ih packed  [unit vectors][I][G][lanes]
//   w_hh packed  [unit vectors][H][G][lanes]
//   z            [unit vectors][rows of the chunk or vocabulary][G][lanes]
#pragma once

#include "one_row.h"
#include "pack.h"
#include "plan.h"
#include "product.h"
#include "tile.h"

namespace fastrnn {
namespace FASTRNN_NS {

// Rows of a chunk: enough to read W_ih once for many steps, few enough that z stays in
// the private cache.
constexpr Size kForwardChunkRows = 256;

// The input product of a few rows:  z = bias + x·w
template <class T>
struct InputProduct {
  const T* const* x;  // [rows] of I numbers
  const T* w;         // packed
  const T* bias;      // [unit vectors][G][lanes]
  T* z;               // = at z_step a unit vector, G·lanes a row
  Size rows, I, z_step;
  Size first;  // the unit vector that w begins with
};

template <int R, int P, int G, class T>
__attribute__((noinline)) void input_tile(const InputProduct<T>& x, Size row, Size u,
                                          Ahead<T> ahead) {
  constexpr Size L = kLanes<T>;
  Vec<T> acc[R][P * G];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int c = 0; c < P * G; ++c) acc[r][c] = load(x.bias + (u * G + c) * L);
  }
  const Size panel = x.I * G * L;
  multiply_add<R, P, G, Rows::kEach, T>(acc, x.x + row, 0, x.w + (u - x.first) * panel,
                                        panel, 0, x.I, ahead);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      T* z = x.z + (u + p) * x.z_step + (row + r) * G * L;
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) store(z + g * L, acc[r][p * G + g]);
    }
  }
}

template <int G, class T>
void input_product(const InputProduct<T>& x, Range unit_vectors) {
  const Range panels{unit_vectors.begin - x.first, unit_vectors.end - x.first};
  for_tiles<G, Rows::kEach>(x.rows, panels, x.w, x.I * G * kLanes<T>, x.I, false,
                            [&](auto r, auto p, Size row, Size u, Ahead<T> ahead) {
                              input_tile<decltype(r)::value, decltype(p)::value, G, T>(
                                  x, row, x.first + u, ahead);
                            });
}

// z = bias + the tokens' columns of packed weights, which lie side by side there.
template <int G, class T, class W>
void gather_columns(const W* w, Size I, const T* bias, const std::int64_t* tokens,
                    Size rows, Range unit_vectors, T* z) {
  constexpr Size L = kLanes<T>;
  for (Size u = unit_vectors.begin; u < unit_vectors.end; ++u) {
    for (Size row = 0; row < rows; ++row) {
      for (int g = 0; g < G; ++g) {
        const W* column = w + ((u * I + tokens[row]) * G + g) * L;
        store(z + ((u * rows + row) * G + g) * L,
              load(bias + (u * G + g) * L) + load_weights(column));
      }
    }
  }
}

// One step of a few rows.
template <class Cell, class T>
struct ForwardStep {
  Cell cell;
  const ForwardRow<T>* rows;
  const T* w;         // W_hh packed
  const T* b_hidden;  // [unit vectors][lanes]: b_hh of the last gate, where it is apart
  Size H, z_step;
  Size first;    // the unit vector that w begins with
  bool zoneout;  // states are partly kept: where the rows' bytes say so, or
  T rate;        // without bytes this share of each
};

// The state of zoneout: what was just computed, or the old one.
template <class T>
FASTRNN_INLINE void keep_old(Vec<T> old, const std::uint8_t* keep, T rate, T* state,
                             Size lanes) {
  const Vec<T> fresh = load_some(state, lanes);
  const Vec<T> mixed = keep ? (load_flags<T>(keep, lanes) ? old : fresh)
                            : fma(broadcast(rate), old, broadcast(T(1) - rate) * fresh);
  store_some(state, mixed, lanes);
}

// The cell, for one vector of units and some rows whose sums z lie `apart` vectors from
// each other. It stands here and not in the tile, so that it is there once a cell;
// kUsual: all lanes, and no zoneout.
template <bool kUsual, class Cell, class T>
__attribute__((noinline)) void forward_cells(const ForwardStep<Cell, T>& x, Size row,
                                             int count, const Vec<T>* z, Size apart,
                                             Size u) {
  constexpr Size L = kLanes<T>;
  constexpr bool kCellState = Cell::kCarry == Carry::kCellState;
  const Size j = u * L, lanes = kUsual ? L : at_most(L, x.H - j);
#pragma GCC unroll 2
  for (int i = 0; i < count; ++i) {
    const ForwardRow<T>& r = x.rows[row + i];
    const T* z_input = r.z + u * x.z_step;
    Vec<T> c_prev = {};
    if (!kUsual && kCellState && x.zoneout) c_prev = load_some(r.c_prev + j, lanes);
    x.cell.template forward<T>(z + i * apart, r, z_input, j, lanes, x.H);
    if (kUsual || !x.zoneout) continue;
    const Vec<T> h_prev = load_some(r.h_prev + j, lanes);
    keep_old<T>(h_prev, r.keep_h ? r.keep_h + j : nullptr, x.rate, r.h + j, lanes);
    if (!kCellState) continue;
    keep_old<T>(c_prev, r.keep_c ? r.keep_c + j : nullptr, x.rate, r.c + j, lanes);
  }
}

template <class Cell, int R, int P, class T>
__attribute__((noinline)) void forward_tile(const ForwardStep<Cell, T>& x, Size row,
                                            Size u, Ahead<T> ahead) {
  constexpr Size L = kLanes<T>;
  constexpr int G = Cell::G;
  const ForwardRow<T>* rows = x.rows + row;
  Vec<T> acc[R][P * G];
  const T* h_in[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    h_in[r] = rows[r].h_in;
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      const T* z = rows[r].z + (u + p) * x.z_step;
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) {
        acc[r][p * G + g] =
            load(g < Cell::kOnlyInputBias ? z + g * L : x.b_hidden + (u + p) * L);
      }
    }
  }
  if (x.zoneout) {
    for (int r = 0; r < R; ++r) {
      prefetch<1>(rows[r].keep_h, u * L);
      prefetch<1>(rows[r].keep_c, u * L);
    }
  }
  const Size panel = x.H * G * L;
  multiply_add<R, P, G, Rows::kEach, T>(acc, h_in, 0, x.w + (u - x.first) * panel,
                                        panel, 0, x.H, ahead);
  Vec<T> z[R][P][G];
#pragma GCC unroll 24
  for (int i = 0; i < R * P * G; ++i) (&z[0][0][0])[i] = acc[i / (P * G)][i % (P * G)];
  for (int p = 0; p < P; ++p) {
    if ((u + p + 1) * L <= x.H && !x.zoneout) {
      forward_cells<true>(x, row, R, z[0][p], P * G, u + p);
    } else {
      forward_cells<false>(x, row, R, z[0][p], P * G, u + p);
    }
  }
}

// The given unit vectors of the step, for the first `rows` of x.rows.
template <class Cell, class T>
void forward_step(const ForwardStep<Cell, T>& x, Size rows, Range unit_vectors,
                  bool backwards) {
  constexpr int G = Cell::G;
  const Range panels{unit_vectors.begin - x.first, unit_vectors.end - x.first};
  for_tiles<G, Rows::kEach>(
      rows, panels, x.w, x.H * G * kLanes<T>, x.H, backwards,
      [&](auto R, auto P, Size row, Size u, Ahead<T> ahead) {
        forward_tile<Cell, decltype(R)::value, decltype(P)::value, T>(
            x, row, x.first + u, ahead);
      });
}

template <class Cell, class T>
class Forward {
 public:
  Forward(Cell cell, const ForwardArgs<T>& args, Scratch& scratch)
      : cell_(cell),
        a_(args),
        s_(args.schedule),
        H_(args.weights.H),
        I_(args.input.I),
        vectors_(divide_up(H_, L)),
        scratch_(scratch) {}

  void run() {
    prepare();
    run_team(
        plan_.threads,
        [](Team team, void* self) { static_cast<Forward*>(self)->work(team); }, this);
  }

 private:
  static constexpr Size L = kLanes<T>;
  static constexpr int G = Cell::G;
  static constexpr Size kWidth = G * L;  // of one row in one unit vector
  static constexpr bool kCellState = Cell::kCarry == Carry::kCellState;

  void prepare() {
    const Size valid = valid_steps(s_);
    const double flops = 2.0 * double(valid) * double((I_ + H_) * G * H_);
    plan_ = make_plan<T>(a_.threads, s_, flops, G * H_ * H_, vectors_);
    const bool tokens = a_.input.tokens != nullptr;
    // A table over the vocabulary, unless it is longer than the sequence, or the
    // weights are kept, where no bias may be added to them.
    one_hot_ = tokens && !a_.input.embedding;
    table_ = tokens && a_.input.V <= valid && !(one_hot_ && a_.packed);
    chunk_rows_ = table_ ? 0 : at_most(valid, kForwardChunkRows + s_.N);

    if (a_.packed) {
      w_ = *a_.packed;
      if (w_.bfloat16) {
        panel_size_ = (I_ > H_ ? I_ : H_) * kWidth;
        widened_ = scratch_.take<T>(plan_.threads * panel_size_);
      }
    } else {
      if (!one_hot_ || table_) w_.w_ih = scratch_.take<T>(vectors_ * I_ * kWidth);
      w_.w_hh = scratch_.take<T>(vectors_ * H_ * kWidth);
      w_.bias = scratch_.take<T>(vectors_ * kWidth);
      w_.b_hidden = scratch_.take<T>(vectors_ * L);
    }
    zeros_ = scratch_.take<T>(H_);
    if (kCellState && !a_.c) c_running_ = scratch_.take<T>(s_.N * H_);
    const Size workers = plan_.share_units ? 1 : plan_.threads;
    if (table_ && !one_hot_) {
      z_ = scratch_.take<T>(vectors_ * a_.input.V * kWidth);
    } else if (!table_) {
      z_ = scratch_.take<T>(workers * vectors_ * chunk_rows_ * kWidth);
    }
    const Size table_rows = table_ ? a_.input.V : 0;
    row_pointers_ = scratch_.take<const T*>(
        plan_.threads * (chunk_rows_ > table_rows ? chunk_rows_ : table_rows));
    tokens_ = scratch_.take<std::int64_t>(plan_.threads * chunk_rows_);
    rows_ = scratch_.take<ForwardRow<T>>(plan_.threads * s_.N);
    if (a_.regularisers.mask) masked_ = scratch_.take<T>(plan_.threads * s_.N * H_);
  }

  void work(Team team) {
    const Range packed = share_of(vectors_, team.rank, team.size);
    pack(team, packed);
    clear_padding(team);
    team.barrier();
    const Slice slice = slice_of(team, plan_.share_units);
    const Range units = share_of(vectors_, slice.unit_rank, slice.unit_ways);
    Size s = 0;
    while (s < s_.steps) {
      Size end = s, rows = 0;
      while (end < s_.steps) {
        const Size more = slice.count(s_.active[end]);
        if (end > s && !table_ && rows + more > kForwardChunkRows) break;
        rows += more;
        ++end;
      }
      if (!table_) input_of_chunk(team, slice, units, s, end, rows);
      for (Size base = 0; s < end; ++s) {
        const Size count = slice.count(s_.active[s]);
        step(team, slice, units, s, base, rows);
        base += count;
        if (slice.unit_ways > 1) team.barrier();
      }
    }
    final_states(team, slice);
  }

  void clear_padding(Team team) {
    if (valid_steps(s_) == s_.positions) return;
    for_padding(s_, team, [&](Size at) { clear_row(a_.y, at, H_); });
  }

  // Weights, bias and, for a small vocabulary, its table of input products.
  void pack(Team team, Range units) {
    if (team.rank == 0) {
      for (Size j = 0; j < H_; ++j) zeros_[j] = T(0);
    }
    if (!a_.packed) {
      pack_matrices<G>(a_.weights, I_, units, w_);
      if (team.rank == 0) pack_biases<Cell>(a_.weights, w_);
    }
    if (!table_) return;
    team.barrier();
    const Size V = a_.input.V;
    if (one_hot_) {  // W_ih·one_hot(v) is column v of W_ih: add the bias in place
      for (Size u = units.begin; u < units.end; ++u) {
        for (Size i = 0; i < V * G; ++i) {
          T* z = static_cast<T*>(w_.w_ih) + (u * V * G + i) * L;
          store(z, load(w_.bias + (u * G + i % G) * L) + load(z));
        }
      }
    } else {
      const T** rows = row_pointers_ + team.rank * V;
      for (Size v = 0; v < V; ++v) rows[v] = a_.input.embedding + v * I_;
      multiply_input(team,
                     InputProduct<T>{rows, nullptr, w_.bias, z_, V, I_, V * kWidth, 0},
                     units);
    }
  }

  void multiply_input(Team team, InputProduct<T> x, Range units) {
    with_panels(w_.w_ih, w_.bfloat16, I_ * kWidth, widened(team), units,
                [&](const T* w, Size first, Range part) {
                  x.w = w;
                  x.first = first;
                  input_product<G>(x, part);
                });
  }

  T* widened(Team team) const { return widened_ + team.rank * panel_size_; }

  // z of the steps [begin, end), which are `rows` rows of this thread's slice.
  void input_of_chunk(Team team, const Slice& slice, Range units, Size begin, Size end,
                      Size rows) {
    const T** x = row_pointers_ + team.rank * chunk_rows_;
    std::int64_t* tokens = tokens_ + team.rank * chunk_rows_;
    Size i = 0;
    for (Size s = begin; s < end; ++s) {
      const Size count = slice.count(s_.active[s]);
      for (Size j = 0; j < count; ++j, ++i) {
        const Size at = position(s_, slice.sorted(j), s);
        if (a_.input.x) {
          x[i] = a_.input.x + at * I_;
        } else if (one_hot_) {
          tokens[i] = a_.input.tokens[at];
        } else {
          x[i] = a_.input.embedding + a_.input.tokens[at] * I_;
        }
      }
    }
    T* z = chunk_z(slice);
    if (one_hot_) {
      gather_columns(tokens, rows, units, z);
    } else {
      multiply_input(
          team, InputProduct<T>{x, nullptr, w_.bias, z, rows, I_, rows * kWidth, 0},
          units);
    }
  }

  // z = bias + the tokens' columns of W_ih, straight from W_ih as it lies, or as it is
  // kept.
  void gather_columns(const std::int64_t* tokens, Size rows, Range units, T* z) {
    if (a_.packed) {
      with_weight_type<T>(w_.bfloat16, [&](auto type) {
        using W = decltype(type);
        FASTRNN_NS::gather_columns<G>(static_cast<const W*>(w_.w_ih), I_, w_.bias,
                                      tokens, rows, units, z);
      });
      return;
    }
    for (Size u = units.begin; u < units.end; ++u) {
      const Size lanes = at_most(L, H_ - u * L);
      for (int g = 0; g < G; ++g) {
        const T* w = a_.weights.w_ih + (g * H_ + u * L) * I_;
        const T* bias = w_.bias + (u * G + g) * L;
        for (Size i = 0; i < rows; ++i) {
          T* out = z + u * rows * kWidth + i * kWidth + g * L;
          for (Size l = 0; l < L; ++l) {
            out[l] = l < lanes ? bias[l] + w[l * I_ + tokens[i]] : T(0);
          }
        }
      }
    }
  }

  T* chunk_z(const Slice& slice) const {
    return z_ + slice.row_rank * vectors_ * chunk_rows_ * kWidth;
  }

  void step(Team team, const Slice& slice, Range units, Size s, Size base, Size rows) {
    ForwardRow<T>* r = rows_ + team.rank * s_.N;
    const Size count = slice.count(s_.active[s]);
    const T* table = one_hot_ ? static_cast<const T*>(w_.w_ih) : z_;
    const T* z = table_ ? table : chunk_z(slice);
    for (Size j = 0; j < count; ++j) {
      const Size i = slice.sorted(j), at = position(s_, i, s);
      const Size z_row = table_ ? Size(a_.input.tokens[at]) : base + j;
      const bool fresh = is_cut(s_, i, s);
      const Size before = s > 0 ? position(s_, i, s - 1) * H_ : 0;
      const Size state = s_.row[i] * H_;
      r[j].z = z + z_row * kWidth;
      r[j].h_prev = fresh ? zeros_ : s > 0 ? a_.y + before : initial(a_.h0, state);
      r[j].h_in = r[j].h_prev;
      if (a_.regularisers.mask && !fresh) {
        r[j].h_in = mask(r[j].h_prev, state, masked_ + (team.rank * s_.N + j) * H_);
      }
      r[j].keep_h = flags(a_.regularisers.keep_h, at);
      r[j].keep_c = flags(a_.regularisers.keep_c, at);
      r[j].h = a_.y + at * H_;
      r[j].gates = a_.gates ? a_.gates + at * Cell::kTape * H_ : nullptr;
      if (kCellState) {
        r[j].c = a_.c ? a_.c + at * H_ : c_running_ + i * H_;
        r[j].c_prev = fresh   ? zeros_
                      : s > 0 ? (a_.c ? a_.c + before : r[j].c)
                              : initial(a_.c0, state);
      } else {
        r[j].c = a_.c ? a_.c + at * H_ : nullptr;
        r[j].c_prev = nullptr;
      }
    }
    const Size z_step = (table_ ? a_.input.V : rows) * kWidth;
    const T rate = a_.regularisers.rate;
    const bool zoneout = a_.regularisers.keep_h || rate > T(0);
    const bool backwards = s % 2 != 0;
    if (count == 1 && !zoneout && !masked_) {
      with_weight_type<T>(w_.bfloat16, [&](auto type) {
        using W = decltype(type);
        const OneRow<T, W> x{
            nullptr,     0,  nullptr, nullptr, static_cast<const W*>(w_.w_hh),
            w_.b_hidden, I_, H_,      z_step,  r[0]};
        one_row_step<Cell, T, W>(cell_, x, units, backwards);
      });
      return;
    }
    with_panels(w_.w_hh, w_.bfloat16, H_ * kWidth, widened(team), units,
                [&](const T* w, Size first, Range part) {
                  const ForwardStep<Cell, T> x{cell_,  r,     w,       w_.b_hidden, H_,
                                               z_step, first, zoneout, rate};
                  forward_step<Cell, T>(x, count, part, backwards);
                });
  }

  // masked = h ⊙ the mask of the row whose state begins at that offset.
  const T* mask(const T* h, Size state, T* masked) const {
    const T* scale = a_.regularisers.mask + state;
    for (Size k = 0; k < H_; k += L) {
      const Size lanes = at_most(L, H_ - k);
      store_some(masked + k, load_some(h + k, lanes) * load_some(scale + k, lanes),
                 lanes);
    }
    return masked;
  }

  const std::uint8_t* flags(const std::uint8_t* all, Size at) const {
    return all ? all + at * H_ : nullptr;
  }

  const T* initial(const T* state, Size offset) const {
    return state ? state + offset : zeros_;
  }

  void final_states(Team team, const Slice& slice) {
    if (slice.unit_ways > 1 && team.rank > 0) return;
    for (Size j = 0; j < slice.count(s_.N); ++j) {
      const Size i = slice.sorted(j), length = s_.length[i];
      const Size state = s_.row[i] * H_;
      const Size last = length > 0 ? position(s_, i, length - 1) * H_ : 0;
      const T* h = length > 0 ? a_.y + last : initial(a_.h0, state);
      for (Size k = 0; k < H_; ++k) a_.h_n[state + k] = h[k];
      if (!kCellState) continue;
      const T* running = a_.c ? a_.c + last : c_running_ + i * H_;
      const T* c = length > 0 ? running : initial(a_.c0, state);
      for (Size k = 0; k < H_; ++k) a_.c_n[state + k] = c[k];
    }
  }

  const Cell cell_;
  const ForwardArgs<T>& a_;
  const ScheduleView& s_;
  const Size H_, I_, vectors_;
  Scratch& scratch_;
  Plan plan_ = {1, false};
  bool table_ = false, one_hot_ = false;
  Size chunk_rows_ = 0;
  PackedWeights<T> w_ = {};  // a_.packed, or packed in this call
  T* widened_ = nullptr;     // a panel of bfloat16 weights for each thread
  Size panel_size_ = 0;
  T *zeros_ = nullptr, *c_running_ = nullptr, *z_ = nullptr, *masked_ = nullptr;
  const T** row_pointers_ = nullptr;
  std::int64_t* tokens_ = nullptr;
  ForwardRow<T>* rows_ = nullptr;
};

}  // namespace FASTRNN_NS
}  // namespace fastrnn
