// A network that goes one step at a time, with its state.
//
// This is what fastrnn.stepper (Cython) sees, through a table of plain functions that
// the module _core hands out in a capsule: kernels are in one module only.
#pragma once

#include "fastrnn/packed.h"

namespace fastrnn {

// What fastrnn/stepper.pxd calls STEPPED, CHANGED and BUSY.
enum StepResult {
  kStepped = 0,
  kChanged = 1,  // the parameters are no longer those that were packed
  kBusy = 2,     // another thread is at work in this stepper
};

class Stepper {
 public:
  virtual ~Stepper() = default;

  // x: [N, I] floats or doubles as the network's; or tokens [N], each < I. h: = [N, H]
  // or null, the last layer's state. Unless it is kStepped, nothing was done.
  virtual int step(const void* x, const std::int64_t* tokens, void* h) noexcept = 0;

  // Another with the same packed weights and a state of zeros; null: no memory.
  virtual Stepper* with_rows(Size N) const noexcept = 0;
  // From now on the parameters may change, and a step is kChanged.
  virtual void release() noexcept = 0;
  virtual bool is_released() const noexcept = 0;
  // Whether the parameters are, or until release() were, those that were packed: all
  // of them, where a step looks at a part only.
  virtual bool is_current() const noexcept = 0;

  // For what is no step: false if another thread is at work in it.
  virtual bool enter() noexcept = 0;
  virtual void leave() noexcept = 0;

  // [layers, N, H], to be read or written between steps; c is null without one.
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
