// The packed weights of all layers and directions of a network, and what says whether
// its parameters are still those.
#pragma once

#include <vector>

#include "fastrnn/kernels.h"

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

  Size gates() const {
    return cell == CellKind::kRnn ? 1 : cell == CellKind::kGru ? 3 : 4;
  }
  Size inputs(Size layer) const { return layer == 0 ? I : directions * H; }
  Size count() const;  // parameters
};

template <class T>
class PackedNetwork {
 public:
  // Takes memory, and packs. Throws std::bad_alloc.
  explicit PackedNetwork(const Network& network);
  PackedNetwork(const PackedNetwork&) = delete;
  PackedNetwork& operator=(const PackedNetwork&) = delete;

  void pack();  // the parameters as they are now
  const PackedWeights<T>& operator[](Size layer_and_direction) const {
    return weights_[std::size_t(layer_and_direction)];
  }

  // Whether the parameters are those that were packed: all of them, or a part.
  static constexpr Size kParts = 32;
  bool is_current() const;
  bool is_current(Size part) const;

  const Network& network() const { return network_; }
  const Kernels<T>& kernels() const { return *kernels_; }  // whose packing it is

 private:
  struct Part {
    const T* values;
    Size count;
  };
  Part part(Size i) const;

  Network network_;
  Size count_, part_size_;
  const Kernels<T>* kernels_;
  Scratch memory_;
  std::vector<PackedWeights<T>> weights_;
  Digest digests_[kParts];
};

}  // namespace fastrnn
