#include "fastrnn/stepper.h"

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#include "fastrnn/float_environment.h"
#include "fastrnn/packed_model.h"
#include "fastrnn/pointwise.h"

namespace fastrnn {

namespace {

// The state of a recurrent layer: [its layers, N, P or H], and [2] as h is read in one
// and written in the other, in turn.
template <class T>
struct State {
  T* h[2];
  T* c;  // or null
};

// A layer's part of a step. x and y of the first and the last are the caller's.
template <class T>
struct Op {
  StepKind kind;
  const PackedStepLayer<T>* packed;
  void (*recurrent)(const StepArgs<T>&, Team);
  StepArgs<T> args;          // of one layer of a recurrent one
  LinearStepArgs<T> linear;  // its x, y and scratch are those of a pointwise one too
};

template <class T>
bool is_pointwise(const Op<T>& op) {
  return op.kind != StepKind::kRecurrent && op.kind != StepKind::kLinear;
}

template <class T>
class StepperOf final : public Stepper {
 public:
  StepperOf(std::shared_ptr<const PackedModel<T>> packed, Size N)
      : packed_(std::move(packed)), rows_(N) {
    threads_ = get_num_threads();
    if (flops() < kWorthATeam || get_sharing() == Sharing::kNone) threads_ = 1;
    take_states();
    take_scratch();
    for (int turn = 0; turn < 2; ++turn) make_ops(turn);
  }

  int step(const void* x, const std::int64_t* tokens, void* y) noexcept override {
    if (--until_comparison_ <= 0 && !compare()) return kChanged;
    std::vector<Op<T>>& ops = ops_[turn_];
    enter(ops, static_cast<const T*>(x), tokens);
    const Size count = Size(ops.size());
    const Op<T>& last = ops[std::size_t(count - 1)];
    Size end = count;
    if (last.kind != StepKind::kRecurrent) {
      ops[std::size_t(count - 1)].linear.y = static_cast<T*>(y);
      if (!y) end = after_states_;
    }
    turn_ = 1 - turn_;
    for (Size i = 0; i < end;) i = run_some(ops.data(), i, end);
    if (y && last.kind == StepKind::kRecurrent) {
      std::memcpy(y, last.args.h,
                  std::size_t(rows_ * last.args.weights->P) * sizeof(T));
    }
    return kStepped;
  }

  Stepper* with_rows(Size N) const noexcept override { return make(packed_, N); }

  static Stepper* make(std::shared_ptr<const PackedModel<T>> packed, Size N) noexcept {
    // No size may wrap round: bytes of a row, with scratch memory, at the most.
    Size row = 8 * 64;
    for (const PackedStepLayer<T>& one : packed->layers()) {
      row += one.layer.I + 3 * one.layer.O + 8;
      if (one.recurrent) {
        const Network& n = one.layer.network;
        row += 3 * n.layers * (n.H + n.P) + 8 * (n.H + n.P + 64);
      }
    }
    if (N > PTRDIFF_MAX / (row * Size(sizeof(double)) + kMostThreads * 512)) {
      return nullptr;
    }
    try {
      return new StepperOf(std::move(packed), N);
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
  }

  bool is_current() const noexcept override {
    return packed_->watch().all_match(get_num_threads());
  }
  void* h(Size recurrent) noexcept override {
    return states_[std::size_t(recurrent)].h[turn_];
  }
  void* c(Size recurrent) noexcept override {
    return states_[std::size_t(recurrent)].c;
  }
  double flops() const noexcept override { return double(rows_) * packed_->flops(); }

 private:
  static constexpr Size kMostThreads = 1024;  // that _runtime.py allows

  // Compares the next part of the parameters. After a change every step finds it again.
  bool compare() {
    const Size next = packed_->watch().compare(part_);
    if (next < 0) {
      until_comparison_ = 0;
      return false;
    }
    part_ = next;
    until_comparison_ = packed_->watch().pause();
    return true;
  }

  // Gives the input to the first layer.
  void enter(std::vector<Op<T>>& ops, const T* x, const std::int64_t* tokens) {
    const StepLayer& first = packed_->layers().front().layer;
    if (first.kind == StepKind::kEmbedding && !ops.front().args.table) {
      const T* vectors = static_cast<const T*>(first.weight);
      if (rows_ == 1) {
        x = vectors + tokens[0] * first.O;
      } else {
        x = embedded_;
        for (Size n = 0; n < rows_; ++n) {
          std::memcpy(embedded_ + n * first.O, vectors + tokens[n] * first.O,
                      std::size_t(first.O) * sizeof(T));
        }
      }
      tokens = nullptr;
    }
    ops.front().args.x = ops.front().linear.x = x;
    ops.front().args.tokens = tokens;
  }

  // Runs ops from i on and returns the first that is left. Pointwise ones run in the
  // caller's floating-point mode, as in a sequence; the others together in ours.
  Size run_some(const Op<T>* ops, Size i, Size end) {
    if (is_pointwise(ops[i])) {
      const LinearStepArgs<T>& a = ops[i].linear;
      const PackedStepLayer<T>& packed = *ops[i].packed;
      run_pointwise(packed.layer, packed.slope, rows_, packed.layer.O, a.x, a.y,
                    static_cast<double*>(a.scratch));
      return i + 1;
    }
    Size next = i + 1;
    while (next < end && !is_pointwise(ops[next])) ++next;
    if (threads_ == 1) {
      const FloatEnvironment environment;
      for (; i < next; ++i) run(ops[i], Team{0, 1, nullptr});
      return next;
    }
    Work work{this, ops + i, ops + next};
    run_team(
        threads_,
        [](Team team, void* context) {
          const Work& w = *static_cast<Work*>(context);
          for (const Op<T>* op = w.begin; op < w.end; ++op) {
            w.self->run(*op, team);
            team.barrier();
          }
        },
        &work);
    return next;
  }

  void run(const Op<T>& op, Team team) const {
    if (op.kind == StepKind::kRecurrent) return op.recurrent(op.args, team);
    packed_->kernels().linear_step(op.linear, team.rank, team.size);
  }

  struct Work {
    StepperOf* self;
    const Op<T>*begin, *end;
  };

  void take_states() {
    for (const PackedStepLayer<T>& one : packed_->layers()) {
      if (!one.recurrent) continue;
      const Network& network = one.layer.network;
      const Size rows = network.layers * rows_, size = rows * network.P;
      State<T> state{{take_zeros(size), take_zeros(size)}, nullptr};
      if (one.recurrent->cell().has_c) state.c = take_zeros(rows * network.H);
      states_.push_back(state);
    }
  }

  // Memory that layers use one after the other, and the buffers between them.
  void take_scratch() {
    Size scratch = 2 * threads_ * rows_ * Size(sizeof(void*));
    for (const PackedStepLayer<T>& one : packed_->layers()) {
      const StepLayer& layer = one.layer;
      scratch = larger(scratch, layer.O * Size(sizeof(double)));
      for (Size k = 0; one.recurrent && k < layer.network.layers; ++k) {
        const PackedWeights<T>& w = (*one.recurrent)[k];
        const CellOptions<T> options = layer.network.options(w);
        scratch = larger(
            scratch, one.recurrent->cell().step_scratch(rows_, w, options, threads_));
      }
      if (layer.kind == StepKind::kEmbedding && rows_ > 1) {
        embedded_ = memory_.take<T>(rows_ * layer.O);
      }
      T* between = nullptr;
      if (!one.recurrent && layer.kind != StepKind::kEmbedding) {
        between = memory_.take<T>(rows_ * layer.O);
      }
      between_.push_back(between);
    }
    scratch_ = memory_.take<char>(scratch);
  }

  static Size larger(Size a, Size b) { return a > b ? a : b; }

  void make_ops(int turn) {
    std::vector<Op<T>>& ops = ops_[turn];
    const T* x = nullptr;
    std::size_t i = 0, recurrent = 0;
    for (const PackedStepLayer<T>& one : packed_->layers()) {
      T* y = between_[i++];
      if (one.layer.kind == StepKind::kEmbedding) continue;
      if (one.recurrent) {
        x = make_recurrent_ops(one, states_[recurrent++], turn, x);
        after_states_ = Size(ops.size());
        continue;
      }
      Op<T> op{one.layer.kind,
               &one,
               nullptr,
               {},
               {&one.linear, rows_, x, y, scratch_, turn == 1}};
      ops.push_back(op);
      x = y;
    }
  }

  const T* make_recurrent_ops(const PackedStepLayer<T>& one, const State<T>& state,
                              int turn, const T* x) {
    const Network& network = one.layer.network;
    const Size size = rows_ * network.P;
    for (Size k = 0; k < network.layers; ++k) {
      const Size at = k * size;
      T* h = state.h[1 - turn] + at;
      Op<T> op{StepKind::kRecurrent, &one, one.recurrent->cell().step, {}, {}};
      op.args.weights = &(*one.recurrent)[k];
      op.args.options = network.options(*op.args.weights);
      op.args.N = rows_;
      op.args.x = x;
      op.args.h_prev = state.h[turn] + at;
      op.args.h = h;
      op.args.c = state.c ? state.c + k * rows_ * network.H : nullptr;
      op.args.scratch = scratch_;
      op.args.backwards = turn == 1;
      op.args.table = k == 0 ? one.table : nullptr;
      op.args.vocabulary = packed_->layers().front().layer.I;
      ops_[turn].push_back(op);
      x = h;
    }
    return x;
  }

  T* take_zeros(Size count) {
    T* zeros = memory_.take<T>(count);
    std::memset(zeros, 0, std::size_t(count) * sizeof(T));
    return zeros;
  }

  const std::shared_ptr<const PackedModel<T>> packed_;
  const Size rows_;
  int threads_;
  Scratch memory_;
  std::vector<State<T>> states_;  // of the recurrent layers
  std::vector<T*> between_;       // [N, O] of the other layers
  T* embedded_ = nullptr;         // [N, O] of the embedding
  void* scratch_ = nullptr;
  // For each turn. Every other step goes through the weights in the opposite direction,
  // and begins with those that the cache still has.
  std::vector<Op<T>> ops_[2];
  Size after_states_ = 0;  // the first op after all recurrent ones
  int turn_ = 0;
  int until_comparison_ = 1;
  Size part_ = 0;  // of the parameters, that is compared next
};

template <class T>
Stepper* create_of(const StepModel& model, Size N) {
  try {
    return StepperOf<T>::make(std::make_shared<const PackedModel<T>>(model), N);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

Stepper* create(const StepModel& model, Size N) {
  return model.is_double ? create_of<double>(model, N) : create_of<float>(model, N);
}

void destroy(Stepper* stepper) { delete stepper; }

}  // namespace

template <class T>
Stepper* make_stepper(std::shared_ptr<const PackedModel<T>> model, Size N) noexcept {
  return StepperOf<T>::make(std::move(model), N);
}
template Stepper* make_stepper(std::shared_ptr<const PackedModel<float>>,
                               Size) noexcept;

const StepperApi& stepper_api() {
  static const StepperApi api{create, destroy};
  return api;
}

}  // namespace fastrnn
