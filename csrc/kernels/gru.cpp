#include "gru.h"

#include "backward.h"
#include "entry.h"
#include "step.h"

namespace fastrnn {
namespace FASTRNN_NS {

template <class T>
void gru_forward(const ForwardArgs<T>& args, Scratch& scratch) {
  Forward<Gru, T>(Gru{}, args, scratch).run();
}

template <class T>
void gru_backward(const BackwardArgs<T>& args, Scratch& scratch) {
  Backward<Gru, T>(Gru{}, args, scratch).run();
}

template <class T>
void gru_pack(const Weights<T>& weights, Size I, PackedWeights<T>* to) {
  pack_weights<Gru, T>(weights, I, to);
}

template <class T>
void gru_step(const StepArgs<T>& args, int rank, int size) {
  step<Gru, T>(Gru{}, args, rank, size);
}

template <class T>
Size gru_step_scratch(Size N, const PackedWeights<T>& weights, int threads) {
  return step_scratch<Gru, T>(N, weights, threads);
}

template void gru_forward(const ForwardArgs<float>&, Scratch&);
template void gru_forward(const ForwardArgs<double>&, Scratch&);
template void gru_backward(const BackwardArgs<float>&, Scratch&);
template void gru_backward(const BackwardArgs<double>&, Scratch&);
template void gru_pack(const Weights<float>&, Size, PackedWeights<float>*);
template void gru_step(const StepArgs<float>&, int, int);
template Size gru_step_scratch(Size, const PackedWeights<float>&, int);
template void gru_pack(const Weights<double>&, Size, PackedWeights<double>*);
template void gru_step(const StepArgs<double>&, int, int);
template Size gru_step_scratch(Size, const PackedWeights<double>&, int);

}  // namespace FASTRNN_NS
}  // namespace fastrnn
