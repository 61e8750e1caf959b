// The packed weights of all layers and directions of a network, and what says whether
// its parameters are still those.
#pragma once

#include <vector>

#include "fastrnn/isa.h"

namespace fastrnn {

// A network as fastrnn's layers keep it: all parameters in one array, in the order
// w_ih, w_hh, b_ih, b_hh of each layer and direction.
struct Network {
  CellKind cell;
  Activation activation;  // RNN
  Size I, H, layers, directions;
  bool bias;
  bool bfloat16;  // what matrices are packed as; float only
  const void* params;

  Size gates() const { return kernels<float>().cell(cell).gates; }
  Size inputs(Size layer) const { return layer == 0 ? I : directions * H; }
  Size count() const;  // parameters
};

// The digest of an array, in parts that may be looked at one by one, or by several
// threads.
template <class T>
class ArrayDigest {
 public:
  static constexpr Size kParts = 32;

  // least: numbers that a part has at the least, but for the last.
  void take(const Kernels<T>& kernels, const T* values, Size count, Size least = 1);
  // Whether these are the numbers that it was taken of; the same of a part.
  bool matches(const T* values, int threads) const;
  bool part_matches(const T* values, Size part) const;

 private:
  // Of whole cache lines, but for the last; parts of a small array may be empty.
  Size used() const { return size_ > 0 ? (count_ + size_ - 1) / size_ : 0; }
  Size begin(Size part) const { return part * size_ < count_ ? part * size_ : count_; }

  const Kernels<T>* kernels_ = nullptr;
  Size count_ = 0, size_ = 0;  // numbers in all, and in a part
  Digest parts_[kParts];
};

// A layer and direction whose weights lie anywhere, as tensors do. Nothing points to
// them afterwards: where they are is said at each call.
template <class T>
class PackedLayer {
 public:
  // Takes memory, and packs. Throws std::bad_alloc.
  PackedLayer(CellKind cell, Size I, const Weights<T>& weights);
  PackedLayer(const PackedLayer&) = delete;
  PackedLayer& operator=(const PackedLayer&) = delete;

  // Whether these are the weights that were packed, and for the instruction set in use.
  bool is_current(CellKind cell, Size I, const Weights<T>& weights, int threads) const;
  const PackedWeights<T>& weights() const { return weights_; }

 private:
  const CellKind cell_;
  const Kernels<T>* kernels_;  // whose packing it is
  Scratch memory_;
  PackedWeights<T> weights_;
  bool has_b_ih_, has_b_hh_;
  ArrayDigest<T> w_ih_, w_hh_, b_ih_, b_hh_;
};

template <class T>
class PackedLayers {
 public:
  // Takes memory, and packs. Throws std::bad_alloc.
  explicit PackedLayers(const Network& network);
  PackedLayers(const PackedLayers&) = delete;
  PackedLayers& operator=(const PackedLayers&) = delete;

  void pack();  // the parameters as they are now
  const PackedWeights<T>& operator[](Size layer_and_direction) const {
    return weights_[std::size_t(layer_and_direction)];
  }

  // Whether the parameters are those that were packed: all of them, or a part.
  static constexpr Size kParts = ArrayDigest<T>::kParts;
  bool is_current() const { return digest_.matches(params(), get_num_threads()); }
  bool is_current(Size part) const { return digest_.part_matches(params(), part); }

  const Network& network() const { return network_; }
  const Kernels<T>& kernels() const { return *kernels_; }  // whose packing it is
  const CellKernels<T>& cell() const { return kernels_->cell(network_.cell); }

 private:
  const T* params() const { return static_cast<const T*>(network_.params); }

  Network network_;
  const Kernels<T>* kernels_;
  Scratch memory_;
  std::vector<PackedWeights<T>> weights_;
  ArrayDigest<T> digest_;
};

}  // namespace fastrnn
