#include "rnn.h"

#include "backward.h"
#include "entry.h"
#include "forward.h"

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

template void rnn_forward(const ForwardArgs<float>&, Scratch&);
template void rnn_forward(const ForwardArgs<double>&, Scratch&);
template void rnn_backward(const BackwardArgs<float>&, Scratch&);
template void rnn_backward(const BackwardArgs<double>&, Scratch&);

}  // namespace FASTRNN_NS
}  // namespace fastrnn
