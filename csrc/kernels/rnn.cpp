#include "rnn.h"

#include "backward.h"
#include "entry.h"
#include "step.h"

namespace fastrnn {
namespace FASTRNN_NS {

template <class T>
void rnn_forward(const ForwardArgs<T>& args, Scratch& scratch) {
  Forward<Rnn, T>(Rnn{args.activation}, args, scratch).run();
}

template <class T>
void rnn_backward(const BackwardArgs<T>& args, Scratch& scratch) {
  Backward<Rnn, T>(Rnn{args.activation}, args, scratch).run();
}

template <class T>
void rnn_pack(const Weights<T>& weights, Size I, PackedWeights<T>* to) {
  pack_weights<Rnn, T>(weights, I, to);
}

template <class T>
void rnn_step(const StepArgs<T>& args, int rank, int size) {
  step<Rnn, T>(Rnn{args.activation}, args, rank, size);
}

template <class T>
Size rnn_step_scratch(Size N, const PackedWeights<T>& weights, int threads) {
  return step_scratch<Rnn, T>(N, weights, threads);
}

template void rnn_forward(const ForwardArgs<float>&, Scratch&);
template void rnn_forward(const ForwardArgs<double>&, Scratch&);
template void rnn_backward(const BackwardArgs<float>&, Scratch&);
template void rnn_backward(const BackwardArgs<double>&, Scratch&);
template void rnn_pack(const Weights<float>&, Size, PackedWeights<float>*);
template void rnn_step(const StepArgs<float>&, int, int);
template Size rnn_step_scratch(Size, const PackedWeights<float>&, int);
template void rnn_pack(const Weights<double>&, Size, PackedWeights<double>*);
template void rnn_step(const StepArgs<double>&, int, int);
template Size rnn_step_scratch(Size, const PackedWeights<double>&, int);

}  // namespace FASTRNN_NS
}  // namespace fastrnn
