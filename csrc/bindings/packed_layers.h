// The packed weights of a layer, for Python: they keep the array alive that they were
// packed from, and never change.
#pragma once

#include <memory>
#include <string>

#include "arrays.h"
#include "fastrnn/packed.h"

namespace fastrnn {

class PackedLayers {
 public:
  PackedLayers(const std::string& cell, const std::string& nonlinearity, Size I, Size H,
               Size layers, Size directions, bool bias, bool bfloat16, py::array params)
      : params_(std::move(params)) {
    Network network{};
    network.cell = cell == "rnn"   ? CellKind::kRnn
                   : cell == "gru" ? CellKind::kGru
                                   : CellKind::kLstm;
    network.activation = activation_named(nonlinearity);
    network.I = I;
    network.H = H;
    network.layers = layers;
    network.directions = directions;
    network.bias = bias;
    network.bfloat16 = bfloat16;
    network.params = params_.data();
    by_dtype(params_, [&](auto type) { make<decltype(type)>(network); });
  }

  // Whether the parameters, and the instruction set, are still those.
  bool is_current() const {
    return f32_ ? &f32_->kernels() == isa().f32 && f32_->is_current()
                : &f64_->kernels() == isa().f64 && f64_->is_current();
  }

  template <class T>
  const PackedWeights<T>* weights(Size layer_and_direction) const;

  // Calls function(float{}, packed) or function(double{}, packed).
  template <class Function>
  auto visit(Function&& function) const {
    return f32_ ? function(float{}, *f32_) : function(double{}, *f64_);
  }

 private:
  template <class T>
  void make(const Network& network) {
    const py::gil_scoped_release unlocked;
    if constexpr (sizeof(T) == sizeof(float)) {
      f32_ = std::make_unique<PackedNetwork<float>>(network);
    } else {
      f64_ = std::make_unique<PackedNetwork<double>>(network);
    }
  }

  py::array params_;
  std::unique_ptr<PackedNetwork<float>> f32_;
  std::unique_ptr<PackedNetwork<double>> f64_;
};

// The packed weights of a layer and direction, of which nobody knows where they will be
// at the next call.
class KeptLayer {
 public:
  template <class T>
  KeptLayer(CellKind cell, Size I, const Weights<T>& weights) {
    if constexpr (sizeof(T) == sizeof(float)) {
      f32_ = std::make_unique<PackedLayer<T>>(cell, I, weights);
    } else {
      f64_ = std::make_unique<PackedLayer<T>>(cell, I, weights);
    }
  }

  // Null if these are not the weights that were packed.
  template <class T>
  const PackedWeights<T>* find(CellKind cell, Size I, const Weights<T>& weights,
                               int threads) const {
    const PackedLayer<T>* packed;
    if constexpr (sizeof(T) == sizeof(float)) {
      packed = f32_.get();
    } else {
      packed = f64_.get();
    }
    const bool current = packed && packed->is_current(cell, I, weights, threads);
    return current ? &packed->weights() : nullptr;
  }

 private:
  std::unique_ptr<PackedLayer<float>> f32_;
  std::unique_ptr<PackedLayer<double>> f64_;
};

template <>
inline const PackedWeights<float>* PackedLayers::weights<float>(Size i) const {
  return &(*f32_)[i];
}
template <>
inline const PackedWeights<double>* PackedLayers::weights<double>(Size i) const {
  return &(*f64_)[i];
}

}  // namespace fastrnn
