// A whole sequence forward, for any cell.
//
//   z[t] = W_ih·x[t] + b              for a chunk of steps at once (input.h)
//   h[t] = cell(z[t] + W_hh·h[t−1])   step by step (forward_step.h, one_row.h)
//
// All outputs are =. Nothing may alias.
#pragma once

#include "forward_step.h"
#include "input.h"
#include "one_row.h"
#include "pack.h"

namespace fastrnn {
namespace FASTRNN_NS {

template <class Cell, class T>
class Forward {
 public:
  Forward(Cell cell, const ForwardArgs<T>& args, Scratch& scratch)
      : cell_(cell),
        a_(args),
        s_(args.schedule),
        H_(args.weights.H),
        P_(args.weights.P),
        I_(args.input.I),
        vectors_(divide_up(H_, L)),
        scratch_(scratch),
        input_(args, w_) {}

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
  static constexpr bool kInner = kSeveralPhases<Cell>;

  void prepare() {
    const Size valid = valid_steps(s_);
    const double flops = 2.0 * double(valid) * double((I_ + P_) * G * H_);
    plan_ = make_plan<T>(a_.threads, s_, flops, G * H_ * P_, vectors_);
    input_.prepare(plan_, valid, scratch_);
    between_looks_ = 1 + Size(kBetweenLooks * double(s_.steps) / (flops + 1));
    if (a_.packed) {
      w_ = *a_.packed;
      if (w_.bfloat16) {
        panel_size_ = widest_panel<Cell>(w_);
        widened_ = scratch_.take<T>(plan_.threads * panel_size_);
      }
    } else {
      w_.I = I_;
      w_.H = H_;
      w_.P = P_;
      if (input_.reads_packed()) w_.w_ih = scratch_.take<T>(vectors_ * I_ * kWidth);
      w_.w_hh = scratch_.take<T>(vectors_ * P_ * kWidth);
      if (kHasProjection<Cell>) {
        w_.w_hr = scratch_.take<T>(divide_up(P_, L) * L * H_);
      }
      w_.bias = scratch_.take<T>(vectors_ * kWidth);
      w_.b_hidden = scratch_.take<T>(vectors_ * L);
    }
    zeros_ = scratch_.take<T>(longest());
    if (kCellState && !a_.c) c_running_ = scratch_.take<T>(s_.N * H_);
    if (kInner && (kCellState || !a_.c)) inner_ = scratch_.take<T>(s_.N * H_);
    rows_ = scratch_.take<ForwardRow<T>>(plan_.threads * s_.N);
    if (a_.regularisers.mask) masked_ = scratch_.take<T>(plan_.threads * s_.N * P_);
  }

  void work(Team team) {
    pack(team);
    clear_padding(team);
    team.barrier();
    const Slice slice = slice_of(team, plan_.share_units);
    const Range units = share_of(vectors_, slice.unit_rank, slice.unit_ways);
    Size s = 0, until_look = between_looks_;
    while (s < s_.steps) {
      Size end = s, rows = 0;
      while (end < s_.steps) {
        const Size more = slice.count(s_.active[end]);
        if (end > s && !input_.has_table() && rows + more > kForwardChunkRows) break;
        rows += more;
        ++end;
      }
      if (!input_.has_table()) {
        input_.fill_chunk(team, slice, units, {s, end}, rows, panel_of(team));
      }
      for (Size base = 0; s < end; ++s) {
        const Size count = list_rows(team, slice, s, base);
        if (step(team, slice, s, count, rows)) return;
        base += count;
        bool stopped = false;
        if (--until_look == 0) {
          until_look = between_looks_;
          stopped = team.is_stopped();
        }
        if (slice.unit_ways > 1) stopped = team.barrier();
        if (stopped) return;
      }
    }
    final_states(team, slice);
  }

  void clear_padding(Team team) {
    if (valid_steps(s_) == s_.positions) return;
    for_padding(s_, team, [&](Size at) { clear_row(a_.y, at, P_); });
  }

  // Weights and biases and, for a small vocabulary, its table of z.
  void pack(Team team) {
    if (team.rank == 0) {
      for (Size j = 0; j < longest(); ++j) zeros_[j] = T(0);
    }
    if (!a_.packed) {
      pack_matrices(cell_, a_.weights, I_, team, w_);
      if (team.rank == 0) pack_biases<Cell>(a_.weights, w_);
    }
    if (!input_.has_table()) return;
    team.barrier();
    const Range units = share_of(vectors_, team.rank, team.size);
    input_.fill_table(team, units, panel_of(team));
  }

  // Where a thread widens a panel of bfloat16 weights.
  T* panel_of(Team team) const { return widened_ + team.rank * panel_size_; }

  // This thread's rows of step s, whose z begins at row `base` of the chunk. Returns
  // how many they are.
  Size list_rows(Team team, const Slice& slice, Size s, Size base) {
    ForwardRow<T>* r = rows_ + team.rank * s_.N;
    const Size count = slice.count(s_.active[s]);
    for (Size j = 0; j < count; ++j) {
      const Size i = slice.sorted(j), at = position(s_, i, s);
      const bool fresh = is_cut(s_, i, s);
      const Size before = s > 0 ? position(s_, i, s - 1) : 0;
      const Size h_state = s_.row[i] * P_;
      r[j].z = input_.of_row(slice, at, base + j);
      r[j].h_prev = fresh   ? zeros_
                    : s > 0 ? a_.y + before * P_
                            : initial(a_.h0, h_state);
      r[j].h_in = r[j].h_prev;
      if (a_.regularisers.mask && !fresh) {
        r[j].h_in = mask(r[j].h_prev, h_state, masked_ + (team.rank * s_.N + j) * P_);
      }
      r[j].zoneout_h = flags(a_.regularisers.zoneout_h, at, P_);
      r[j].zoneout_c = flags(a_.regularisers.zoneout_c, at, H_);
      r[j].h = a_.y + at * P_;
      r[j].gates = a_.gates ? a_.gates + at * Cell::kTape * H_ : nullptr;
      r[j].c = a_.c ? a_.c + at * H_ : nullptr;
      r[j].c_prev = nullptr;
      if (kInner) r[j].inner = inner_ ? inner_ + i * H_ : r[j].c;
      if (kCellState) {
        if (!a_.c) r[j].c = c_running_ + i * H_;
        r[j].c_prev = fresh   ? zeros_
                      : s > 0 ? (a_.c ? a_.c + before * H_ : r[j].c)
                              : initial(a_.c0, s_.row[i] * H_);
      }
    }
    return count;
  }

  // True if the call is to be given up. Threads that share the units meet between
  // phases, as they do between steps.
  bool step(Team team, const Slice& slice, Size s, Size count, Size chunk_rows) {
    const ForwardRow<T>* r = rows_ + team.rank * s_.N;
    const Size z_step = input_.step_between_vectors(chunk_rows);
    const T rate = a_.regularisers.rate;
    const bool zoneout = a_.regularisers.zoneout_h || rate > T(0);
    const bool one_row = count == 1 && !zoneout && !masked_;
    const bool backwards = s % 2 != 0;
    return for_phases(cell_, [&](auto phase, bool last) {
      using Phase = decltype(phase);
      const Size outputs = units_of<Phase>(H_, P_), depth = depth_of<Phase>(H_, P_);
      const Range units =
          share_of(divide_up(outputs, L), slice.unit_rank, slice.unit_ways);
      const void* w = packed_phase<Phase>(w_);
      if (one_row) {
        with_weight_type<T>(w_.bfloat16, [&](auto type) {
          using W = decltype(type);
          const OneRow<T, W> x{
              nullptr,     0,  nullptr, nullptr, static_cast<const W*>(w),
              w_.b_hidden, I_, outputs, depth,   z_step,
              r[0]};
          one_row_step<Phase, T, W>(phase, x, units, backwards);
        });
      } else {
        const Size panel = depth * Phase::G * L;
        with_panels(w, w_.bfloat16, panel, panel_of(team), units,
                    [&](const T* panels, Size first, Range part) {
                      ForwardStep<T> x{r,      panels, w_.b_hidden, outputs, depth,
                                       z_step, first,  zoneout,     rate};
                      x.take(phase);
                      forward_tiles<Phase::G>(x, count, part, backwards);
                    });
      }
      return !last && slice.unit_ways > 1 && team.barrier();
    });
  }

  // masked = h ⊙ the mask of the row whose state begins at that offset.
  const T* mask(const T* h, Size state, T* masked) const {
    const T* scale = a_.regularisers.mask + state;
    for (Size k = 0; k < P_; k += L) {
      const Size lanes = at_most(L, P_ - k);
      store_some(masked + k, load_some(h + k, lanes) * load_some(scale + k, lanes),
                 lanes);
    }
    return masked;
  }

  const std::uint8_t* flags(const std::uint8_t* all, Size at, Size width) const {
    return all ? all + at * width : nullptr;
  }

  Size longest() const { return H_ > P_ ? H_ : P_; }

  const T* initial(const T* state, Size offset) const {
    return state ? state + offset : zeros_;
  }

  void final_states(Team team, const Slice& slice) {
    if (slice.unit_ways > 1 && team.rank > 0) return;
    for (Size j = 0; j < slice.count(s_.N); ++j) {
      const Size i = slice.sorted(j), length = s_.length[i];
      const Size state = s_.row[i];
      const Size last = length > 0 ? position(s_, i, length - 1) : 0;
      const T* h = length > 0 ? a_.y + last * P_ : initial(a_.h0, state * P_);
      for (Size k = 0; k < P_; ++k) a_.h_n[state * P_ + k] = h[k];
      if (!kCellState) continue;
      const T* running = a_.c ? a_.c + last * H_ : c_running_ + i * H_;
      const T* c = length > 0 ? running : initial(a_.c0, state * H_);
      for (Size k = 0; k < H_; ++k) a_.c_n[state * H_ + k] = c[k];
    }
  }

  const Cell cell_;
  const ForwardArgs<T>& a_;
  const ScheduleView& s_;
  const Size H_, P_, I_, vectors_;
  Scratch& scratch_;
  Plan plan_ = {1, false};
  Size between_looks_ = 1;   // steps
  PackedWeights<T> w_ = {};  // a_.packed, or packed in this call
  ForwardInput<Cell, T> input_;
  Size panel_size_ = 0;            // 0 unless weights are bfloat16
  T* widened_ = nullptr;           // [threads][panel_size]
  T* zeros_ = nullptr;             // [H] or [P]
  T* c_running_ = nullptr;         // [N, H]: the cell state, without a tape
  T* inner_ = nullptr;             // [N, H]: row.inner, unless the tape has it
  T* masked_ = nullptr;            // [threads][N, P]: h ⊙ mask
  ForwardRow<T>* rows_ = nullptr;  // [threads][N]
};

}  // namespace FASTRNN_NS
}  // namespace fastrnn
