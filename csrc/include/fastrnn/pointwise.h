// The layers between the products: activations and norms. In a sequence they are
// computed by NumPy (fastrnn/_layers/activation.py, normalise.py), and here with the
// same operations in the same order, in the caller's floating-point mode.
#pragma once

#include "fastrnn/stepper.h"

namespace fastrnn {

// y = [N, width] from x [N, width], which may be y. `scratch` has room for `width`
// doubles. Of a batch norm `slope` is 1 / sqrt(variance + eps), [width].
template <class T>
void run_pointwise(const StepLayer& layer, const T* slope, Size N, Size width,
                   const T* x, T* y, double* scratch);

template <class T>
void slope_of_batch_norm(const StepLayer& layer, T* slope);

}  // namespace fastrnn
