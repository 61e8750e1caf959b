// The functions of one instruction set, gathered in table.cpp.
#pragma once

#include "fastrnn/kernels.h"

namespace fastrnn {
namespace FASTRNN_NS {

// <name>_f32 and <name>_f64 of each cell. Hidden, so that one without a file is an
// error of the linker, not of the import.
#define FASTRNN_DECLARE_CELL(kind, name)                                            \
  extern const CellKernels<float> name##_f32 __attribute__((visibility("hidden"))); \
  extern const CellKernels<double> name##_f64 __attribute__((visibility("hidden")));
FASTRNN_CELLS(FASTRNN_DECLARE_CELL)
#undef FASTRNN_DECLARE_CELL

template <class T>
void linear_forward(const LinearArgs<T>& args, Scratch& scratch);
template <class T>
void linear_backward(const LinearBackwardArgs<T>& args, Scratch& scratch);
template <class T>
void pack_linear(const T* w, const T* b, PackedLinear<T>* to);
template <class T>
void linear_step(const LinearStepArgs<T>& args, int rank, int size);
template <class T>
void cross_entropy(const CrossEntropyArgs<T>& args, Scratch& scratch);
template <class T>
double loss(const LossArgs<T>& args, Scratch& scratch);
template <class T>
void softmax(const T* x, Size rows, Size width, bool log, T* to, int threads);
template <class T>
void ctc(const CtcArgs<T>& args, Scratch& scratch);
template <class T>
Size draw_ids(const DrawArgs<T>& args, Scratch& scratch);
template <class T>
void optimizer_step(const OptimizerArgs<T>& args);
template <class T>
double sum_of_squares(const T* values, Size count, int threads, Scratch& scratch);
template <class T>
void scale(T* values, Size count, T factor, int threads);
void draw_flags(const std::uint32_t* state, std::uint32_t threshold,
                std::uint8_t* flags, Size count);
template <class T>
void digest(const T* values, Size count, Digest* to);
template <class T>
bool has_digest(const T* values, Size count, const Digest& digest);
template <class T>
void clip(T* values, Size count, T bound, int threads);

}  // namespace FASTRNN_NS
}  // namespace fastrnn
