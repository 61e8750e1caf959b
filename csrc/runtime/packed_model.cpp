#include "fastrnn/packed_model.h"

#include <algorithm>
#include <atomic>

#include "fastrnn/float_environment.h"
#include "fastrnn/pointwise.h"

namespace fastrnn {

template <class T>
void Watch<T>::add(const Kernels<T>& kernels, const WatchedArray& array) {
  kernels_ = &kernels;
  const T* values = static_cast<const T*>(array.values);
  const Size least = kLeast / Size(sizeof(T)), count = array.count;
  // Whole cache lines, except the last.
  const Size size = (std::max(least, (count + kRound - 1) / kRound) + 15) / 16 * 16;
  for (Size begin = 0; begin < count; begin += size) {
    Part part{values + begin, std::min(size, count - begin), {}};
    kernels.digest(part.values, part.count, &part.digest);
    parts_.push_back(part);
  }
}

template <class T>
void Watch<T>::plan() {
  const Size count = Size(parts_.size());
  at_once_ = (count + kRound - 1) / kRound;
  pause_ = count > 0 ? int(std::max(Size(1), kRound / count)) : kRound;
}

template <class T>
Size Watch<T>::compare(Size part) const {
  const Size count = Size(parts_.size());
  for (Size i = 0; i < at_once_; ++i) {
    if (!matches(part)) return -1;
    if (++part == count) part = 0;
  }
  return part;
}

template <class T>
bool Watch<T>::all_match(int threads) const {
  // Limited by memory: several threads share a large model.
  constexpr Size kLarge = Size(1) << 22;  // bytes
  Size bytes = 0;
  for (const Part& part : parts_) bytes += part.count * Size(sizeof(T));
  struct Work {
    const Watch* self;
    std::atomic<bool> differs;
  } work{this, {false}};
  run_team(
      bytes > kLarge ? threads : 1,
      [](Team team, void* context) {
        Work& w = *static_cast<Work*>(context);
        const Size count = Size(w.self->parts_.size());
        for (Size i = team.rank; i < count && !w.differs; i += team.size) {
          if (!w.self->matches(i)) w.differs = true;
        }
      },
      &work);
  return !work.differs;
}

template <class T>
PackedModel<T>::PackedModel(const StepModel& model)
    : kernels_(&fastrnn::kernels<T>()), layers_(std::size_t(model.layer_count)) {
  // The digests come first, so that a concurrent write is noticed later.
  for (Size i = 0; i < model.watched_count; ++i) {
    watch_.add(*kernels_, model.watched[i]);
  }
  watch_.plan();
  for (Size i = 0; i < model.layer_count; ++i) {
    PackedStepLayer<T>& packed = layers_[std::size_t(i)];
    packed.layer = model.layers[i];
    switch (packed.layer.kind) {
      case StepKind::kRecurrent:
        packed.recurrent =
            std::make_unique<const PackedLayers<T>>(packed.layer.network);
        if (i == 1 && layers_[0].layer.kind == StepKind::kEmbedding) {
          fill_table(packed, layers_[0].layer);
        }
        break;
      case StepKind::kLinear:
        pack_linear(packed);
        break;
      case StepKind::kBatchNorm:
        packed.slope = memory_.take<T>(packed.layer.O);
        slope_of_batch_norm(packed.layer, packed.slope);
        break;
      default:;  // read where they are
    }
  }
}

// The products of a small embedding with W_ih need not be computed at every step.
template <class T>
void PackedModel<T>::fill_table(PackedStepLayer<T>& packed,
                                const StepLayer& embedding) {
  constexpr Size kMostBytes = 1 << 20;
  const Network& network = packed.layer.network;
  const Size lanes = kernels_->lanes, V = embedding.I;
  const Size columns = network.gates() * ((network.H + lanes - 1) / lanes * lanes);
  if (V > kMostBytes / (columns * Size(sizeof(T)))) return;
  T* table = memory_.take<T>(V * columns);
  const FloatEnvironment environment;
  Scratch scratch;
  const PackedWeights<T>& weights = (*packed.recurrent)[0];
  packed.recurrent->cell().fill_table(weights, network.options(weights),
                                      static_cast<const T*>(embedding.weight), V, table,
                                      scratch);
  packed.table = table;
}

template <class T>
void PackedModel<T>::pack_linear(PackedStepLayer<T>& packed) {
  const FloatEnvironment environment;
  const Size lanes = kernels_->lanes, I = packed.layer.I, O = packed.layer.O;
  const Size padded = (O + lanes - 1) / lanes * lanes;
  packed.linear = {I, O, memory_.take<T>(padded * I), memory_.take<T>(padded)};
  kernels_->pack_linear(static_cast<const T*>(packed.layer.weight),
                        static_cast<const T*>(packed.layer.bias), &packed.linear);
}

template <class T>
double PackedModel<T>::flops() const {
  double sum = 0;
  for (const PackedStepLayer<T>& packed : layers_) {
    const StepLayer& layer = packed.layer;
    if (packed.recurrent) sum += 2.0 * double(layer.network.count());
    if (layer.kind == StepKind::kLinear) sum += 2.0 * double(layer.I * layer.O);
  }
  return sum;
}

template class Watch<float>;
template class Watch<double>;
template class PackedModel<float>;
template class PackedModel<double>;

}  // namespace fastrnn
