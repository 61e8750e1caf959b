// The functions of one instruction set, gathered in table.cpp.
#pragma once

#include "fastrnn/kernels.h"

namespace fastrnn {
namespace FASTRNN_NS {

template <class T>
void rnn_forward(const ForwardArgs<T>& args, Scratch& scratch);
template <class T>
void rnn_backward(const BackwardArgs<T>& args, Scratch& scratch);
template <class T>
void rnn_pack(const Weights<T>& weights, Size I, PackedWeights<T>* to);
template <class T>
void rnn_step(const StepArgs<T>& args, int rank, int size);
template <class T>
Size rnn_step_scratch(Size N, const PackedWeights<T>& weights, int threads);
template <class T>
void gru_forward(const ForwardArgs<T>& args, Scratch& scratch);
template <class T>
void gru_backward(const BackwardArgs<T>& args, Scratch& scratch);
template <class T>
void gru_pack(const Weights<T>& weights, Size I, PackedWeights<T>* to);
template <class T>
void gru_step(const StepArgs<T>& args, int rank, int size);
template <class T>
Size gru_step_scratch(Size N, const PackedWeights<T>& weights, int threads);
template <class T>
void lstm_forward(const ForwardArgs<T>& args, Scratch& scratch);
template <class T>
void lstm_backward(const BackwardArgs<T>& args, Scratch& scratch);
template <class T>
void lstm_pack(const Weights<T>& weights, Size I, PackedWeights<T>* to);
template <class T>
void lstm_step(const StepArgs<T>& args, int rank, int size);
template <class T>
Size lstm_step_scratch(Size N, const PackedWeights<T>& weights, int threads);
template <class T>
void linear_forward(const LinearArgs<T>& args, Scratch& scratch);
template <class T>
void linear_backward(const LinearBackwardArgs<T>& args, Scratch& scratch);
template <class T>
void cross_entropy(const CrossEntropyArgs<T>& args, Scratch& scratch);
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
