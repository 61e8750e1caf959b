#include "fastrnn/packed.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "fastrnn/float_environment.h"

namespace fastrnn {

Size Network::count() const {
  Size sum = 0;
  for (Size k = 0; k < layers; ++k) {
    const Size rows = gates() * H;
    const Size own = (projection ? P * H : 0) + (peephole ? 3 * H : 0);
    sum += directions * (rows * (inputs(k) + P + (bias ? 2 : 0)) + own);
  }
  return sum;
}

namespace {

// Memory for the packed weights of a layer; w has their sizes, and says which there
// are.
template <class T>
PackedWeights<T> take_packed(const Kernels<T>& kernels, CellKind cell, Size I,
                             const Weights<T>& w, bool bfloat16, Scratch& memory) {
  const Size L = kernels.lanes, units = (w.H + L - 1) / L * L;
  const Size columns = kernels.cell(cell).gates * units;
  const Size number = bfloat16 ? Size(sizeof(Bfloat16)) : Size(sizeof(T));
  PackedWeights<T> to{};
  to.I = I;
  to.H = w.H;
  to.P = w.P;
  to.w_ih = memory.take<char>(columns * I * number);
  to.w_hh = memory.take<char>(columns * w.P * number);
  if (w.w_hr) to.w_hr = memory.take<char>((w.P + L - 1) / L * L * w.H * number);
  to.bias = memory.take<T>(columns);
  to.b_hidden = memory.take<T>(units);
  to.bfloat16 = bfloat16;
  return to;
}

}  // namespace

template <class T>
void ArrayDigest<T>::take(const Kernels<T>& kernels, const T* values, Size count,
                          Size least) {
  kernels_ = &kernels;
  count_ = count;
  size_ = (std::max(least, (count + kParts - 1) / kParts) + 15) / 16 * 16;
  for (Size i = 0; i < kParts; ++i) {
    kernels.digest(values + begin(i), begin(i + 1) - begin(i), &parts_[i]);
  }
}

template <class T>
bool ArrayDigest<T>::part_matches(const T* values, Size part) const {
  const Size first = begin(part);
  return kernels_->has_digest(values + first, begin(part + 1) - first, parts_[part]);
}

template <class T>
bool ArrayDigest<T>::matches(const T* values, int threads) const {
  // Limited by memory: several threads share a large array.
  constexpr Size kLarge = Size(1) << 22;  // bytes
  struct Work {
    const ArrayDigest* self;
    const T* values;
    std::atomic<bool> differs;
  } work{this, values, {false}};
  run_team(
      count_ * Size(sizeof(T)) > kLarge ? threads : 1,
      [](Team team, void* context) {
        Work& w = *static_cast<Work*>(context);
        const Size used = w.self->used();
        for (Size i = team.rank; i < used && !w.differs; i += team.size) {
          if (!w.self->part_matches(w.values, i)) w.differs = true;
        }
      },
      &work);
  return !work.differs;
}

template <class T>
PackedLayer<T>::PackedLayer(CellKind cell, Size I, const Weights<T>& w,
                            const CellOptions<T>& options)
    : cell_(cell),
      kernels_(&kernels<T>()),
      weights_(take_packed(*kernels_, cell, I, w, false, memory_)),
      has_b_ih_(w.b_ih != nullptr),
      has_b_hh_(w.b_hh != nullptr) {
  constexpr Size kLeast = 4096;  // each part costs some 20 ns
  const Size GH = kernels_->cell(cell).gates * w.H;
  w_ih_.take(*kernels_, w.w_ih, GH * I, kLeast);
  w_hh_.take(*kernels_, w.w_hh, GH * w.P, kLeast);
  if (w.b_ih) b_ih_.take(*kernels_, w.b_ih, GH, kLeast);
  if (w.b_hh) b_hh_.take(*kernels_, w.b_hh, GH, kLeast);
  // After the digests, so that a concurrent write is noticed later.
  kernels_->cell(cell).pack(w, I, options, &weights_);
}

template <class T>
bool PackedLayer<T>::is_current(CellKind cell, Size I, const Weights<T>& w,
                                int threads) const {
  return kernels_ == &kernels<T>() && cell == cell_ && I == weights_.I &&
         w.H == weights_.H && w.P == weights_.P && (w.b_ih != nullptr) == has_b_ih_ &&
         (w.b_hh != nullptr) == has_b_hh_ && w_hh_.matches(w.w_hh, threads) &&
         w_ih_.matches(w.w_ih, threads) &&
         (!w.b_ih || b_ih_.matches(w.b_ih, threads)) &&
         (!w.b_hh || b_hh_.matches(w.b_hh, threads));
}

template <class T>
PackedLayers<T>::PackedLayers(const Network& network)
    : network_(network), kernels_(&fastrnn::kernels<T>()) {
  Weights<T> w{};
  w.H = network.H;
  w.P = network.P;
  if (network.projection) w.w_hr = params();
  for (Size k = 0; k < network.layers; ++k) {
    for (Size d = 0; d < network.directions; ++d) {
      weights_.push_back(take_packed(*kernels_, network.cell, network.inputs(k), w,
                                     network.bfloat16, memory_));
      if (network.peephole) weights_.back().peephole = memory_.take<T>(3 * network.H);
    }
  }
  pack();
}

template <class T>
void PackedLayers<T>::pack() {
  const FloatEnvironment environment;
  digest_.take(*kernels_, params(), network_.count());
  const Size GH = network_.gates() * network_.H;
  const T* p = params();
  const auto next = [&](Size count) {
    const T* from = p;
    p += count;
    return from;
  };
  for (PackedWeights<T>& to : weights_) {
    Weights<T> w{};
    w.H = network_.H;
    w.P = network_.P;
    w.w_ih = next(GH * to.I);
    w.w_hh = next(GH * w.P);
    if (network_.bias) {
      w.b_ih = next(GH);
      w.b_hh = next(GH);
    }
    if (network_.projection) w.w_hr = next(w.P * w.H);
    if (to.peephole) {
      std::memcpy(to.peephole, next(3 * w.H), std::size_t(3 * w.H) * sizeof(T));
    }
    cell().pack(w, to.I, network_.options(to), &to);
  }
}

template class ArrayDigest<float>;
template class ArrayDigest<double>;
template class PackedLayer<float>;
template class PackedLayer<double>;
template class PackedLayers<float>;
template class PackedLayers<double>;

}  // namespace fastrnn
