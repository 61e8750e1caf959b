// Packed weights that later calls use again, and digests that tell whether the
// parameters have changed since.
#pragma once

#include <vector>

#include "fastrnn/isa.h"

namespace fastrnn {

// A network with the parameter layout of fastrnn's layers: all in one array, in the
// order w_ih, w_hh, b_ih, b_hh, w_hr, peephole of each layer and direction.
struct Network {
  CellKind cell;
  Activation activation;  // RNN
  bool reset_before;      // GRU
  bool coupled;           // LSTM
  bool peephole;          // LSTM
  bool projection;        // LSTM
  Size P;                 // the width of h: H, unless there is a projection
  Size I, H, layers, directions;
  bool bias;
  bool bfloat16;  // the type of packed matrices; only with float
  const void* params;

  Size gates() const { return kernels<float>().cell(cell).gates; }
  Size inputs(Size layer) const { return layer == 0 ? I : directions * P; }
  Size count() const;  // parameters

  // For the layer and direction with these weights.
  template <class T>
  CellOptions<T> options(const PackedWeights<T>& w) const {
    return {activation, reset_before, coupled, projection, w.peephole};
  }
};

// The digest of an array in parts, to be compared by several threads.
template <class T>
class ArrayDigest {
 public:
  // least: numbers in a part, except the last.
  void take(const Kernels<T>& kernels, const T* values, Size count, Size least = 1);
  // Whether these are the numbers that the digest was taken from.
  bool matches(const T* values, int threads) const;

 private:
  static constexpr Size kParts = 32;

  bool part_matches(const T* values, Size part) const;
  // Parts are whole cache lines, except the last; in a small array some are empty.
  Size used() const { return size_ > 0 ? (count_ + size_ - 1) / size_ : 0; }
  Size begin(Size part) const { return part * size_ < count_ ? part * size_ : count_; }

  const Kernels<T>* kernels_ = nullptr;
  Size count_ = 0, size_ = 0;  // numbers in all, and in a part
  Digest parts_[kParts];
};

// One layer and direction, whose weights lie in separate arrays, as tensors do. Their
// addresses may change between calls, so each call passes them.
template <class T>
class PackedLayer {
 public:
  // Takes memory, and packs. Throws std::bad_alloc.
  PackedLayer(CellKind cell, Size I, const Weights<T>& weights,
              const CellOptions<T>& options);
  PackedLayer(const PackedLayer&) = delete;
  PackedLayer& operator=(const PackedLayer&) = delete;

  // Whether these weights were packed, for the instruction set in use.
  bool is_current(CellKind cell, Size I, const Weights<T>& weights, int threads) const;
  const PackedWeights<T>& weights() const { return weights_; }

 private:
  const CellKind cell_;
  const Kernels<T>* kernels_;  // whose order it is
  Scratch memory_;
  PackedWeights<T> weights_;
  bool has_b_ih_, has_b_hh_;
  ArrayDigest<T> w_ih_, w_hh_, b_ih_, b_hh_;
};

// All layers and directions of a network.
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

  // Whether the parameters are those that were packed.
  bool is_current() const { return digest_.matches(params(), get_num_threads()); }

  const Network& network() const { return network_; }
  const Kernels<T>& kernels() const { return *kernels_; }  // whose order it is
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
