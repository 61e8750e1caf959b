// A network that goes one step at a time, with its state.
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

// For one thread at a time; fastrnn.stepper sees to that.
class Stepper {
 public:
  virtual ~Stepper() = default;

  // x: [N, I], of the network's dtype, or tokens [N], each < I. h: = [N, P] or null,
  // the last layer's state. Any result except kStepped means that nothing was done.
  virtual int step(const void* x, const std::int64_t* tokens, void* h) noexcept = 0;

  // A stepper with the same packed weights and a state of zeros; null: no memory.
  virtual Stepper* with_rows(Size N) const noexcept = 0;
  // Whether all parameters are those that were packed. A step compares only a part of
  // them.
  virtual bool is_current() const noexcept = 0;

  // [layers, N, P] and [layers, N, H], to be read or written between steps; c is null
  // if cells have none.
  virtual void* h() noexcept = 0;
  virtual void* c() noexcept = 0;
  virtual double flops() const noexcept = 0;  // of a step
};

struct StepperApi {
  Stepper* (*create)(const Network&, Size N, bool is_double);  // null: no memory
  void (*destroy)(Stepper*);
};
const StepperApi& stepper_api();

}  // namespace fastrnn
