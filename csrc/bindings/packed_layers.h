// The packed weights of a layer, for Python: they keep the array alive that they were
// packed from, and never change.
#pragma once

#include <memory>
#include <string>
#include <tuple>

#include "arrays.h"
#include "fastrnn/packed.h"

namespace fastrnn {

// One for the dtype in use; the other is null.
template <template <class> class Packed>
using OfADtype =
    std::tuple<std::unique_ptr<Packed<float>>, std::unique_ptr<Packed<double>>>;

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

  // Calls function(float{}, packed) or function(double{}, packed).
  template <class Function>
  auto visit(Function&& function) const {
    return of<float>() ? function(float{}, *of<float>())
                       : function(double{}, *of<double>());
  }

  // Whether the parameters, and the instruction set, are still those.
  bool is_current() const {
    return visit([](auto type, const auto& packed) {
      return &packed.kernels() == &kernels<decltype(type)>() && packed.is_current();
    });
  }

  template <class T>
  const PackedWeights<T>* weights(Size layer_and_direction) const {
    return &(*of<T>())[layer_and_direction];
  }

 private:
  template <class T>
  void make(const Network& network) {
    const py::gil_scoped_release unlocked;
    std::get<std::unique_ptr<PackedNetwork<T>>>(packed_) =
        std::make_unique<PackedNetwork<T>>(network);
  }

  template <class T>
  const std::unique_ptr<PackedNetwork<T>>& of() const {
    return std::get<std::unique_ptr<PackedNetwork<T>>>(packed_);
  }

  py::array params_;
  OfADtype<PackedNetwork> packed_;
};

// The packed weights of a layer and direction, of which nobody knows where they will be
// at the next call.
class KeptLayer {
 public:
  template <class T>
  KeptLayer(CellKind cell, Size I, const Weights<T>& weights) {
    std::get<std::unique_ptr<PackedLayer<T>>>(packed_) =
        std::make_unique<PackedLayer<T>>(cell, I, weights);
  }

  // Null if these are not the weights that were packed.
  template <class T>
  const PackedWeights<T>* find(CellKind cell, Size I, const Weights<T>& weights,
                               int threads) const {
    const auto& packed = std::get<std::unique_ptr<PackedLayer<T>>>(packed_);
    const bool current = packed && packed->is_current(cell, I, weights, threads);
    return current ? &packed->weights() : nullptr;
  }

 private:
  OfADtype<PackedLayer> packed_;
};

}  // namespace fastrnn
