// A row of layers that goes one step at a time, with its state.
//
// fastrnn.stepper (Cython) reaches it through a table of plain functions that the
// module _core hands out in a capsule, so that the kernels are in one module only.
#pragma once

#include "fastrnn/packed.h"

namespace fastrnn {

// STEPPED and CHANGED in fastrnn/stepper.pxd.
enum StepResult {
  kStepped = 0,
  kChanged = 1,  // the parameters are no longer those that were packed
};

// KINDS in _layers/stepping.py.
enum class StepKind {
  kEmbedding,  // the first layer only
  kRecurrent,
  kLinear,
  kRelu,
  kTanh,
  kSigmoid,
  kGelu,
  kLayerNorm,
  kBatchNorm,
};

// A layer as its owner describes it. The arrays stay where they are, of the dtype of
// all layers; null means absent.
struct StepLayer {
  StepKind kind;
  Size I, O;           // numbers of a row's input and output; I: tokens of an embedding
  Network network;     // of a recurrent layer
  const void* weight;  // [O, I] (linear), [I, O] (embedding) or [O] (norms)
  const void* bias;    // [O]
  const void* mean;    // [O] (batch norm)
  const void* variance;  // [O] (batch norm)
  double eps;            // norms
};

// An array that the layers read: a step compares a part of it with what was packed.
struct WatchedArray {
  const void* values;
  Size count;
};

struct StepModel {
  const StepLayer* layers;
  Size layer_count;
  const WatchedArray* watched;
  Size watched_count;
  bool is_double;
};

// For one thread at a time; fastrnn.stepper sees to that.
class Stepper {
 public:
  virtual ~Stepper() = default;

  // x: [N, I], of the model's dtype, or tokens [N], each < I. y: = [N, O] or null, what
  // the last layer gives. Any result except kStepped means that nothing was done.
  virtual int step(const void* x, const std::int64_t* tokens, void* y) noexcept = 0;

  // A stepper with the same packed weights and a state of zeros; null: no memory.
  virtual Stepper* with_rows(Size N) const noexcept = 0;
  // Whether all parameters are those that were packed. A step compares only a part of
  // them.
  virtual bool is_current() const noexcept = 0;

  // The state of a recurrent layer, counted from 0: [its layers, N, P] and [its layers,
  // N, H], to be read or written between steps. c is null if cells have none.
  virtual void* h(Size recurrent) noexcept = 0;
  virtual void* c(Size recurrent) noexcept = 0;
  virtual double flops() const noexcept = 0;  // of a step
};

struct StepperApi {
  Stepper* (*create)(const StepModel&, Size N);  // null: no memory
  void (*destroy)(Stepper*);
};
const StepperApi& stepper_api();

}  // namespace fastrnn
