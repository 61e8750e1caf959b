// Packed weights, for Python.
#pragma once

#include <memory>
#include <string>
#include <tuple>

#include "arrays.h"
#include "fastrnn/packed.h"
#include "names.h"

namespace fastrnn {

// One for the dtype in use; the other is null.
template <template <class> class Packed>
using OfADtype =
    std::tuple<std::unique_ptr<Packed<float>>, std::unique_ptr<Packed<double>>>;

// PackedLayers of either dtype. It keeps the array alive that it was packed from.
class AnyPackedLayers {
 public:
  AnyPackedLayers(const std::string& cell, const std::string& nonlinearity,
                  const std::string& reset, bool coupled, bool peephole, Size P, Size I,
                  Size H, Size layers, Size directions, bool bias, bool bfloat16,
                  py::array params)
      : params_(std::move(params)) {
    const Network network{named("cell", kCellNames, cell),
                          named("nonlinearity", kActivationNames, nonlinearity),
                          named("reset", kResetNames, reset) == Reset::kBefore,
                          coupled,
                          peephole,
                          P > 0,
                          P > 0 ? P : H,
                          I,
                          H,
                          layers,
                          directions,
                          bias,
                          bfloat16,
                          params_.data()};
    with_memory(
        [&] {
          return no_memory(layer_name(network.cell), "the packed weights of (I, H, L)",
                           {I, H, layers});
        },
        [&] {
          by_dtype(params_, [&](auto type) {
            using T = decltype(type);
            without_gil([&] {
              std::get<std::unique_ptr<PackedLayers<T>>>(packed_) =
                  std::make_unique<PackedLayers<T>>(network);
            });
          });
        });
  }

  // Calls function(float{}, packed) or function(double{}, packed).
  template <class Function>
  auto visit(Function&& function) const {
    return of<float>() ? function(float{}, *of<float>())
                       : function(double{}, *of<double>());
  }

  // Whether the parameters, and the instruction set, are still those; without the GIL.
  bool is_current() const {
    return visit([](auto type, const auto& packed) {
      return &packed.kernels() == &kernels<decltype(type)>() && packed.is_current();
    });
  }

  const Network& network() const {
    return of<float>() ? of<float>()->network() : of<double>()->network();
  }

  template <class T>
  const PackedWeights<T>* weights(Size layer_and_direction) const {
    return &(*of<T>())[layer_and_direction];
  }

 private:
  template <class T>
  const std::unique_ptr<PackedLayers<T>>& of() const {
    return std::get<std::unique_ptr<PackedLayers<T>>>(packed_);
  }

  py::array params_;
  OfADtype<PackedLayers> packed_;
};

// PackedLayer of either dtype.
class AnyPackedLayer {
 public:
  template <class T>
  void pack(CellKind cell, Size I, const Weights<T>& weights,
            const CellOptions<T>& options) {
    std::get<std::unique_ptr<PackedLayer<T>>>(packed_) =
        std::make_unique<PackedLayer<T>>(cell, I, weights, options);
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
