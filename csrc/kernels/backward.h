// A whole sequence backward, for any cell.
//
//   dz[t] from dy[t] and dz[t+1]     step by step (backward_step.h)
//   gradients of weights and inputs  for a chunk of steps (weight_gradients.h,
//                                    input_gradients.h)
//
// All outputs are =. Nothing may alias.
#pragma once

#include "backward_step.h"
#include "input_gradients.h"
#include "peephole.h"
#include "plan.h"
#include "weight_gradients.h"

namespace fastrnn {
namespace FASTRNN_NS {

// Rows of a chunk: the more, the less often dW is read and written; the fewer, the
// nearer the cache that holds dz. If dW is near in any case, dz should be, too.
constexpr Size kMostChunkRows = 512, kFewestChunkRows = 128;

template <class Cell, class T>
class Backward {
 public:
  Backward(Cell cell, const BackwardArgs<T>& args, Scratch& scratch)
      : cell_(cell),
        a_(args),
        s_(args.schedule),
        H_(args.weights.H),
        P_(args.weights.P),
        I_(args.input.I),
        vectors_(divide_up(H_, L)),
        scratch_(scratch),
        weights_(args, chunk_),
        inputs_(args, chunk_) {}

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

  void prepare() {
    const Size valid = valid_steps(s_);
    const double flops = 4.0 * double(valid) * double((I_ + P_) * G * H_);
    plan_ = make_plan<T>(a_.threads, s_, flops, G * H_ * P_, vectors_);
    // A row length of a power of two would put a column into few cache sets.
    chunk_.dz_width = divide_up(dz_numbers(), L) * L + 64 / Size(sizeof(T));
    const Size near = kPrivateCache / 2 / (chunk_.dz_width * Size(sizeof(T)));
    const Size most = weights_.bytes() > kPrivateCache ? kMostChunkRows
                      : near > kFewestChunkRows        ? at_most(near, kMostChunkRows)
                                                       : kFewestChunkRows;
    // Chunks as even as possible.
    even_rows_ = divide_up(valid, divide_up(valid, most) + (valid == 0));
    chunk_.most_rows = at_most(valid, even_rows_ + s_.N);
    between_looks_ = 1 + Size(kBetweenLooks * double(s_.steps) / (flops + 1));

    chunk_.rows = scratch_.take<typename Chunk<T>::Row>(chunk_.most_rows);
    chunk_.dz =
        scratch_.take<T>((chunk_.most_rows + s_.N) * chunk_.dz_width + kGradientRows);
    weights_.prepare(plan_.threads, scratch_);
    inputs_.prepare(plan_.threads, valid, scratch_);
    w_hh_ = scratch_.take<T>(divide_up(P_, L) * L * G * H_);
    if (kHasProjection<Cell>) w_hr_ = scratch_.take<T>(vectors_ * L * P_);
    zeros_ = scratch_.take<T>(H_ > P_ ? H_ : P_);
    if (kHasCarry) carry_ = scratch_.take<T>(s_.N * H_);
    rows_ = scratch_.take<BackwardRow<T>>(plan_.threads * s_.N);
    if (a_.regularisers.zoneout_h) held_ = scratch_.take<T>(s_.N * P_);
  }

  void work(Team team) {
    const Slice slice = slice_of(team, plan_.share_units);
    pack(team);
    clear(team);
    team.barrier();
    Size end = s_.steps, last_base = 0;  // rows of step `end` begin at last_base
    Size until_look = between_looks_;
    while (end > 0) {
      Size begin = end, rows = 0;
      while (begin > 0 && (begin == end || rows + s_.active[begin - 1] <= even_rows_)) {
        rows += s_.active[--begin];
      }
      if (team.rank == 0) list_chunk(begin, end);
      if (team.rank == team.size - 1) save_next_step(end, last_base);
      if (team.barrier()) return;
      weights_.pack_chunk(team, rows);
      Size base = 0;
      for (Size s = end - 1; s >= begin; --s) {
        const Size next = s + 1 == end ? chunk_.most_rows : base - s_.active[s + 1];
        if (step(team, slice, s, base, next, rows)) return;
        last_base = base;
        base += s_.active[s];
        if (--until_look == 0) {
          until_look = between_looks_;
          if (team.is_stopped() && slice.unit_ways == 1) break;
        }
        if (slice.unit_ways > 1 && team.barrier()) return;
      }
      if (team.barrier()) return;
      weights_.add_chunk(team, rows, end == s_.steps);
      if constexpr (kHasProjection<Cell>) {
        weights_.add_projection(team, rows, end == s_.steps);
      }
      if constexpr (kCellState) {
        if (a_.dpeephole) add_peephole_gradients<Cell>(a_, chunk_, rows, team);
      }
      inputs_.add_chunk(team, rows);
      end = begin;
      if (team.barrier()) return;
    }
    if (s_.steps > 0) initial_step(team, slice, last_base);
    team.barrier();
    weights_.finish(team);
    inputs_.finish(team);
  }

  void pack(Team team) {
    for_phases(cell_, [&](auto phase, bool) {
      using Phase = decltype(phase);
      const T* w = Phase::kProjection ? a_.weights.w_hr : a_.weights.w_hh;
      const Size outputs = outputs_of<Phase>();
      const auto row = [&](Size k) {
        if (Phase::kProjection) return w + k * outputs;
        return w + (Phase::weight_block(int(k / H_)) * H_ + k % H_) * outputs;
      };
      pack_columns(row, depth_of<Phase>(), outputs,
                   share_of(divide_up(outputs, L), team.rank, team.size),
                   packed<Phase>());
      return false;
    });
    inputs_.pack_weights(team);
  }

  // The numbers that a phase has and reads, backward.
  template <class Phase>
  Size outputs_of() const {
    return Phase::kProjection ? H_ : P_;
  }
  template <class Phase>
  Size depth_of() const {
    return Phase::kProjection ? P_ : Phase::G * H_;
  }
  template <class Phase>
  T* packed() const {
    if (Phase::kProjection) return w_hr_;
    return w_hh_ + divide_up(P_, L) * L * Phase::kFirst * H_;
  }

  // Of a row of dz.
  Size dz_numbers() const {
    return Cell::kGrads * H_ + (kHasProjection<Cell> ? P_ : 0);
  }

  // Everything that is summed into, or that padding leaves untouched.
  void clear(Team team) {
    const Size valid = valid_steps(s_);
    weights_.clear(team, valid);
    inputs_.clear(team);
    clear_share(a_.dpeephole, 3 * H_, team);
    if (team.rank == 0) {
      for (Size j = 0; j < (H_ > P_ ? H_ : P_); ++j) zeros_[j] = T(0);
    }
    if (valid < s_.positions) {
      for_padding(s_, team, [&](Size at) {
        clear_row(a_.dx, at, I_);
        clear_row(a_.dh, at, P_);
      });
    }
    const Range part = share_of(s_.N, team.rank, team.size);
    for (Size i = part.begin; i < part.end; ++i) {
      const Size h = s_.row[i] * P_, c = s_.row[i] * H_;
      const bool empty = s_.length[i] == 0;
      for (Size j = 0; j < P_; ++j) {
        if (held_) held_[i * P_ + j] = T(0);
        if (empty) a_.dh0[h + j] = a_.dh_n ? a_.dh_n[h + j] : T(0);
      }
      for (Size j = 0; j < H_; ++j) {
        const T dc = kCellState && a_.dc_n ? a_.dc_n[c + j] : T(0);
        if (kHasCarry) carry_[i * H_ + j] = dc;
        if (empty && kCellState) a_.dc0[c + j] = dc;
      }
    }
  }

  // The states that step s of row i began with.
  const T* h_before(Size i, Size s) const {
    if (is_cut(s_, i, s)) return zeros_;
    if (s > 0) return a_.y + position(s_, i, s - 1) * P_;
    return a_.h0 ? a_.h0 + s_.row[i] * P_ : zeros_;
  }
  const T* c_before(Size i, Size s) const {
    if (is_cut(s_, i, s)) return zeros_;
    if (s > 0) return a_.c + position(s_, i, s - 1) * H_;
    return a_.c0 ? a_.c0 + s_.row[i] * H_ : zeros_;
  }

  void list_chunk(Size begin, Size end) {
    auto* row = chunk_.rows;
    for (Size s = end - 1; s >= begin; --s) {
      for (Size i = 0; i < s_.active[s]; ++i) {
        const T* c = kCellState && a_.dpeephole ? c_before(i, s) : nullptr;
        *row++ = {position(s_, i, s), h_before(i, s), c, mask_of(i)};
      }
    }
  }

  const T* mask_of(Size i) const {
    const T* mask = a_.regularisers.mask;
    return mask ? mask + s_.row[i] * P_ : nullptr;
  }

  // dz of step `end`, the first of the chunk before, is copied behind this chunk's
  // rows.
  void save_next_step(Size end, Size base) {
    if (end == s_.steps) return;
    const T* from = chunk_.dz + base * chunk_.dz_width;
    T* to = chunk_.dz + chunk_.most_rows * chunk_.dz_width;
    for (Size i = 0; i < s_.active[end] * chunk_.dz_width; ++i) to[i] = from[i];
  }

  // dz of step s into the rows from `base` on; dz of step s + 1 begins at row `next`.
  // True if the call is to be given up.
  bool step(Team team, const Slice& slice, Size s, Size base, Size next, Size rows) {
    BackwardRow<T>* r = rows_ + team.rank * s_.N;
    const Regularisers<T>& reg = a_.regularisers;
    const Size count = slice.count(s_.active[s]);
    for (Size j = 0; j < count; ++j) {
      const Size i = slice.sorted(j), at = position(s_, i, s);
      const bool last = s + 1 == s_.length[i];
      r[j].dz_next = hidden_dz(next + i);
      r[j].dy = a_.dy ? a_.dy + at * P_ : nullptr;
      r[j].dh_n = last && a_.dh_n ? a_.dh_n + s_.row[i] * P_ : nullptr;
      r[j].dc = a_.dc ? a_.dc + at * H_ : nullptr;
      r[j].gates = a_.gates ? a_.gates + at * Cell::kTape * H_ : nullptr;
      r[j].h = a_.y + at * P_;
      r[j].h_prev = h_before(i, s);
      r[j].c = a_.c && !kCellState ? a_.c + at * H_ : nullptr;
      r[j].c_prev = kCellState ? c_before(i, s) : nullptr;
      r[j].dz = chunk_.dz + (base + i) * chunk_.dz_width;
      r[j].inner = weights_.inner(base + i);
      r[j].inner_step = rows * L;
      r[j].carry = kHasCarry ? carry_ + i * H_ : nullptr;
      r[j].dh_out = a_.dh ? a_.dh + at * P_ : nullptr;
      r[j].cut = !last && is_cut(s_, i, s + 1);
      r[j].mask = mask_of(i);
      r[j].zoneout_h = reg.zoneout_h ? reg.zoneout_h + at * P_ : nullptr;
      r[j].zoneout_c = reg.zoneout_c ? reg.zoneout_c + at * H_ : nullptr;
      r[j].held = held_ ? held_ + i * P_ : nullptr;
    }
    const Size going_on = slice.count(s_.active[s + 1]);
    return for_phases(cell_, [&](auto phase, bool last) {
      if (phase.kInner) {
        product(phase, slice, r, count, true, s);
      } else {
        product(phase, slice, r, going_on, true, s);
        product(phase, slice, r + going_on, count - going_on, false, s);
      }
      return !last && slice.unit_ways > 1 && team.barrier();
    });
  }

  // The blocks of a row of dz that multiply W_hh.
  const T* hidden_dz(Size row) const {
    return chunk_.dz + row * chunk_.dz_width + Cell::kHiddenGrads * H_;
  }

  // comes_back: whether there is a product, or nothing to be multiplied.
  template <class Phase>
  void product(const Phase& phase, const Slice& slice, const BackwardRow<T>* rows,
               Size count, bool comes_back, Size s) {
    if (count == 0) return;
    const Size outputs = outputs_of<Phase>(), depth = depth_of<Phase>();
    const Range units =
        share_of(divide_up(outputs, L), slice.unit_rank, slice.unit_ways);
    const T* w = packed<Phase>();
    const Size K = comes_back ? depth : 0;
    BackwardStep<T> x{rows, w, outputs, H_, depth, K};
    x.take(phase);
    backward_tiles(x, count, units, s % 2 != 0);
  }

  // The gradients of the initial states: the product of step 0, and no cell before it.
  void initial_step(Team team, const Slice& slice, Size base) {
    BackwardRow<T>* r = rows_ + team.rank * s_.N;
    const Size count = slice.count(s_.active[0]);
    for (Size j = 0; j < count; ++j) {
      const Size i = slice.sorted(j);
      r[j] = BackwardRow<T>{};
      r[j].dz_next = hidden_dz(base + i);
      r[j].carry = kHasCarry ? carry_ + i * H_ : nullptr;
      r[j].dh_out = a_.dh0 + s_.row[i] * P_;
      r[j].mask = mask_of(i);
      r[j].held = held_ ? held_ + i * P_ : nullptr;
      r[j].cut = is_cut(s_, i, 0);
      if (!kCellState || slice.unit_rank > 0) continue;
      T* dc0 = a_.dc0 + s_.row[i] * H_;
      for (Size k = 0; k < H_; ++k) dc0[k] = r[j].cut ? T(0) : r[j].carry[k];
    }
    for_phases(cell_, [&](auto phase, bool) {
      if (!phase.kInner) product(phase, slice, r, count, true, 0);
      return false;
    });
  }

  const Cell cell_;
  const BackwardArgs<T>& a_;
  const ScheduleView& s_;
  const Size H_, P_, I_, vectors_;
  Scratch& scratch_;
  Plan plan_ = {1, false};
  Chunk<T> chunk_;
  WeightGradients<Cell, T> weights_;
  InputGradients<Cell, T> inputs_;
  Size even_rows_ = 0;              // rows of a chunk, unless a single step has more
  Size between_looks_ = 1;          // steps
  T* w_hh_ = nullptr;               // packed
  T* w_hr_ = nullptr;               // packed
  T* zeros_ = nullptr;              // [H] or [P]
  T* carry_ = nullptr;              // [N, H]: see BackwardRow
  T* held_ = nullptr;               // [N, P], with zoneout: see BackwardRow
  BackwardRow<T>* rows_ = nullptr;  // [threads][N]
};

}  // namespace FASTRNN_NS
}  // namespace fastrnn
