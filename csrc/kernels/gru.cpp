#include "gru.h"

#include "backward.h"
#include "entry.h"
#include "forward.h"

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

template void gru_forward(const ForwardArgs<float>&, Scratch&);
template void gru_forward(const ForwardArgs<double>&, Scratch&);
template void gru_backward(const BackwardArgs<float>&, Scratch&);
template void gru_backward(const BackwardArgs<double>&, Scratch&);

}  // namespace FASTRNN_NS
}  // namespace fastrnn
