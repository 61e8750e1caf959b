#include "lstm.h"

#include "backward.h"
#include "entry.h"
#include "forward.h"

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

template void lstm_forward(const ForwardArgs<float>&, Scratch&);
template void lstm_forward(const ForwardArgs<double>&, Scratch&);
template void lstm_backward(const BackwardArgs<float>&, Scratch&);
template void lstm_backward(const BackwardArgs<double>&, Scratch&);

}  // namespace FASTRNN_NS
}  // namespace fastrnn
