#include "fastrnn/packed.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace fastrnn {

Size Network::count() const {
  Size sum = 0;
  for (Size k = 0; k < layers; ++k) {
    sum += directions * gates() * H * (inputs(k) + H + (bias ? 2 : 0));
  }
  return sum;
}

namespace {

template <class T>
const Kernels<T>* kernels_in_use();
template <>
const Kernels<float>* kernels_in_use<float>() {
  return isa().f32;
}
template <>
const Kernels<double>* kernels_in_use<double>() {
  return isa().f64;
}

}  // namespace

template <class T>
PackedNetwork<T>::PackedNetwork(const Network& network)
    : network_(network),
      count_(network.count()),
      part_size_(((count_ + kParts - 1) / kParts + 15) / 16 * 16),
      kernels_(kernels_in_use<T>()) {
  const Size L = kernels_->lanes, H = network.H;
  const Size units = (H + L - 1) / L * L, columns = network.gates() * units;
  const Size number = network.bfloat16 ? Size(sizeof(Bfloat16)) : Size(sizeof(T));
  for (Size k = 0; k < network.layers; ++k) {
    for (Size d = 0; d < network.directions; ++d) {
      PackedWeights<T> w{};
      w.I = network.inputs(k);
      w.H = H;
      w.w_ih = memory_.take<char>(columns * w.I * number);
      w.w_hh = memory_.take<char>(columns * H * number);
      w.bias = memory_.take<T>(columns);
      w.b_hidden = memory_.take<T>(units);
      w.bfloat16 = network.bfloat16;
      weights_.push_back(w);
    }
  }
  pack();
}

template <class T>
void PackedNetwork<T>::pack() {
  const Size GH = network_.gates() * network_.H;
  const T* p = static_cast<const T*>(network_.params);
  const auto next = [&](Size count) {
    const T* from = p;
    p += count;
    return from;
  };
  for (PackedWeights<T>& to : weights_) {
    Weights<T> w{};
    w.H = network_.H;
    w.w_ih = next(GH * to.I);
    w.w_hh = next(GH * to.H);
    if (network_.bias) {
      w.b_ih = next(GH);
      w.b_hh = next(GH);
    }
    kernels_->pack[int(network_.cell)](w, to.I, &to);
  }
  for (Size i = 0; i < kParts; ++i) {
    kernels_->digest(part(i).values, part(i).count, &digests_[i]);
  }
}

// Of whole cache lines, but for the last; parts of a small network may be empty.
template <class T>
typename PackedNetwork<T>::Part PackedNetwork<T>::part(Size i) const {
  const T* values = static_cast<const T*>(network_.params);
  const Size begin = std::min(count_, i * part_size_);
  return {values + begin, std::min(part_size_, count_ - begin)};
}

template <class T>
bool PackedNetwork<T>::is_current(Size i) const {
  const Part p = part(i);
  return kernels_->has_digest(p.values, p.count, digests_[i]);
}

template <class T>
bool PackedNetwork<T>::is_current() const {
  // A pass over memory: large ones are shared out.
  constexpr Size kLarge = Size(1) << 22;  // bytes
  struct Work {
    const PackedNetwork* self;
    std::atomic<bool> differs;
  } work{this, {false}};
  const bool large = network_.count() * Size(sizeof(T)) > kLarge;
  run_team(
      large ? get_num_threads() : 1,
      [](Team team, void* context) {
        Work& w = *static_cast<Work*>(context);
        for (Size i = team.rank; i < kParts && !w.differs; i += team.size) {
          if (!w.self->is_current(i)) w.differs = true;
        }
      },
      &work);
  return !work.differs;
}

template class PackedNetwork<float>;
template class PackedNetwork<double>;

}  // namespace fastrnn
