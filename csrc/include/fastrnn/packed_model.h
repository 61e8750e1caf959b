// The weights of a row of layers, packed once for any number of steppers.
#pragma once

#include <memory>
#include <vector>

#include "fastrnn/stepper.h"

namespace fastrnn {

// Digests of the arrays that a model reads, in parts. They are compared one after the
// other in rounds of kRound steps, few or none in a step.
template <class T>
class Watch {
 public:
  static constexpr int kRound = 256;

  // Takes the digest.
  void add(const Kernels<T>& kernels, const WatchedArray& array);
  void plan();  // when all have been added

  // From one comparison to the next, in steps; each begins at a part and returns the
  // next one, or -1 if a part is not as it was.
  int pause() const { return pause_; }
  Size compare(Size part) const;
  bool all_match(int threads) const;

 private:
  // The least bytes of a part, as each costs some 20 ns.
  static constexpr Size kLeast = 4 << 10;

  struct Part {
    const T* values;
    Size count;
    Digest digest;
  };

  bool matches(Size part) const {
    const Part& p = parts_[std::size_t(part)];
    return kernels_->has_digest(p.values, p.count, p.digest);
  }

  const Kernels<T>* kernels_ = nullptr;
  std::vector<Part> parts_;
  Size at_once_ = 0;
  int pause_ = kRound;
};

// A layer with its packed weights.
template <class T>
struct PackedStepLayer {
  StepLayer layer;
  std::unique_ptr<const PackedLayers<T>> recurrent;
  PackedLinear<T> linear;
  T* slope;        // of a batch norm
  const T* table;  // of a recurrent layer after a small embedding: see StepArgs
};

template <class T>
class PackedModel {
 public:
  // Takes memory, and packs. Throws std::bad_alloc.
  explicit PackedModel(const StepModel& model);
  PackedModel(const PackedModel&) = delete;
  PackedModel& operator=(const PackedModel&) = delete;

  const std::vector<PackedStepLayer<T>>& layers() const { return layers_; }
  const Watch<T>& watch() const { return watch_; }
  const Kernels<T>& kernels() const { return *kernels_; }  // whose order it is
  double flops() const;                                    // of a step of one row

 private:
  void pack_linear(PackedStepLayer<T>& packed);
  void fill_table(PackedStepLayer<T>& packed, const StepLayer& embedding);

  const Kernels<T>* kernels_;
  Scratch memory_;
  std::vector<PackedStepLayer<T>> layers_;
  Watch<T> watch_;
};

// A stepper with these weights and a state of zeros; null: no memory.
template <class T>
Stepper* make_stepper(std::shared_ptr<const PackedModel<T>> model, Size N) noexcept;

}  // namespace fastrnn
