#include "fastrnn/stepper.h"

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#include "fastrnn/float_environment.h"

namespace fastrnn {

namespace {

template <class T>
class StepperOf final : public Stepper {
 public:
  StepperOf(std::shared_ptr<const PackedLayers<T>> packed, Size N)
      : packed_(std::move(packed)),
        network_(packed_->network()),
        rows_(N),
        layer_size_(N * network_.P),
        step_(packed_->cell().step) {
    const Network& network = network_;
    const Size L = network.layers, size = L * layer_size_;
    for (T*& h : h_) h = take_zeros(size);
    if (packed_->cell().has_c) c_ = take_zeros(L * N * network.H);
    threads_ = get_num_threads();
    if (flops() < kWorthATeam || get_sharing() == Sharing::kNone) threads_ = 1;
    Size scratch = 0;
    for (Size k = 0; k < L; ++k) {
      const PackedWeights<T>& w = (*packed_)[k];
      const Size needed =
          packed_->cell().step_scratch(N, w, network.options(w), threads_);
      if (needed > scratch) scratch = needed;
    }
    void* shared = memory_.take<char>(scratch);
    args_ = memory_.take<StepArgs<T>>(2 * L);
    for (int turn = 0; turn < 2; ++turn) {
      for (Size k = 0; k < L; ++k) {
        const Size at = k * layer_size_;
        T* below = k > 0 ? h_[1 - turn] + at - layer_size_ : nullptr;
        args_[turn * L + k] = {&(*packed_)[k],
                               network.options((*packed_)[k]),
                               N,
                               below,
                               nullptr,
                               h_[turn] + at,
                               h_[1 - turn] + at,
                               c_ ? c_ + k * N * network.H : nullptr,
                               shared};
      }
    }
  }

  int step(const void* x, const std::int64_t* tokens, void* h) noexcept override {
    if (!packed_->is_current(part_)) return kChanged;
    part_ = (part_ + 1) % PackedLayers<T>::kParts;
    StepArgs<T>* args = args_ + turn_ * network_.layers;
    args[0].x = static_cast<const T*>(x);
    args[0].tokens = tokens;
    turn_ = 1 - turn_;
    if (threads_ == 1) {
      const FloatEnvironment environment;
      const Team alone{0, 1, nullptr};
      for (Size k = 0; k < network_.layers; ++k) step_(args[k], alone);
    } else {
      Work work{this, args};
      run_team(
          threads_,
          [](Team team, void* context) {
            const Work& w = *static_cast<Work*>(context);
            for (Size k = 0; k < w.self->network_.layers; ++k) {
              w.self->step_(w.args[k], team);
              team.barrier();
            }
          },
          &work);
    }
    if (h) {
      const T* last = h_[turn_] + (network_.layers - 1) * layer_size_;
      std::memcpy(h, last, std::size_t(layer_size_) * sizeof(T));
    }
    return kStepped;
  }

  Stepper* with_rows(Size N) const noexcept override { return make(packed_, N); }

  static Stepper* make(std::shared_ptr<const PackedLayers<T>> packed, Size N) noexcept {
    // No size may wrap round: bytes of a row, with scratch memory, at the most.
    const Network& n = packed->network();
    const Size row =
        (3 * n.layers * (n.H + n.P) + 8 * (n.H + n.P + 64)) * Size(sizeof(T));
    if (N > PTRDIFF_MAX / (row + kMostThreads * 512)) return nullptr;
    try {
      return new StepperOf(std::move(packed), N);
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
  }

  bool is_current() const noexcept override { return packed_->is_current(); }
  void* h() noexcept override { return h_[turn_]; }
  void* c() noexcept override { return c_; }
  double flops() const noexcept override {
    return 2.0 * double(rows_) * double(network_.count());
  }

 private:
  struct Work {
    StepperOf* self;
    const StepArgs<T>* args;
  };

  T* take_zeros(Size count) {
    T* zeros = memory_.take<T>(count);
    std::memset(zeros, 0, std::size_t(count) * sizeof(T));
    return zeros;
  }

  static constexpr Size kMostThreads = 1024;  // that _runtime.py allows

  const std::shared_ptr<const PackedLayers<T>> packed_;
  const Network network_;
  const Size rows_, layer_size_;
  void (*const step_)(const StepArgs<T>&, Team);
  Scratch memory_;
  T* h_[2];            // [layers, N, P]: read in h_[turn_], written in the other
  T* c_ = nullptr;     // [layers, N, H]
  StepArgs<T>* args_;  // [2, layers]: for each turn
  int turn_ = 0;
  int threads_;
  Size part_ = 0;  // the part of the parameters that the next step compares
};

template <class T>
Stepper* create_of(const Network& network, Size N) {
  try {
    return StepperOf<T>::make(std::make_shared<const PackedLayers<T>>(network), N);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

Stepper* create(const Network& network, Size N, bool is_double) {
  return is_double ? create_of<double>(network, N) : create_of<float>(network, N);
}

void destroy(Stepper* stepper) { delete stepper; }

}  // namespace

const StepperApi& stepper_api() {
  static const StepperApi api{create, destroy};
  return api;
}

}  // namespace fastrnn
