// The kernels of the instruction set in use.
#pragma once

#include <type_traits>

#include "fastrnn/kernels.h"

namespace fastrnn {

struct Isa {
  const char* name;
  const Kernels<float>* f32;
  const Kernels<double>* f64;
};

// The instruction sets of this build that this machine has, widest first.
int available_isas(const Isa** isas);
// The one in use: the widest, or the one that FASTRNN_ISA names.
const Isa& isa();
void select_isa(const char* name);  // throws std::invalid_argument

template <class T>
const Kernels<T>& kernels() {
  if constexpr (std::is_same_v<T, float>) {
    return *isa().f32;
  } else {
    return *isa().f64;
  }
}

}  // namespace fastrnn
