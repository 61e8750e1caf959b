#include "lstm.h"

#include "backward.h"
#include "entry.h"
#include "step.h"

namespace fastrnn {
namespace FASTRNN_NS {

template <class T>
void lstm_forward(const ForwardArgs<T>& args, Scratch& scratch) {
  Forward<Lstm, T>(Lstm{}, args, scratch).run();
}

template <class T>
void lstm_backward(const BackwardArgs<T>& args, Scratch& scratch) {
  Backward<Lstm, T>(Lstm{}, args, scratch).run();
}

template <class T>
void lstm_pack(const Weights<T>& weights, Size I, PackedWeights<T>* to) {
  pack_weights<Lstm, T>(weights, I, to);
}

template <class T>
void lstm_step(const StepArgs<T>& args, int rank, int size) {
  step<Lstm, T>(Lstm{}, args, rank, size);
}

template <class T>
Size lstm_step_scratch(Size N, const PackedWeights<T>& weights, int threads) {
  return step_scratch<Lstm, T>(N, weights, threads);
}

template void lstm_forward(const ForwardArgs<float>&, Scratch&);
template void lstm_forward(const ForwardArgs<double>&, Scratch&);
template void lstm_backward(const BackwardArgs<float>&, Scratch&);
template void lstm_backward(const BackwardArgs<double>&, Scratch&);
template void lstm_pack(const Weights<float>&, Size, PackedWeights<float>*);
template void lstm_step(const StepArgs<float>&, int, int);
template Size lstm_step_scratch(Size, const PackedWeights<float>&, int);
template void lstm_pack(const Weights<double>&, Size, PackedWeights<double>*);
template void lstm_step(const StepArgs<double>&, int, int);
template Size lstm_step_scratch(Size, const PackedWeights<double>&, int);

}  // namespace FASTRNN_NS
}  // namespace fastrnn
