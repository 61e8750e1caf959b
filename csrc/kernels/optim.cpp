#include "entry.h"
namespace fastrnn {
namespace FASTRNN_NS {
template <class T> void optimizer_step(const OptimizerArgs<T>&) {}
template <class T> double sum_of_squares(const T*, Size) {return 0;}
template <class T> void scale(T*, Size, T) {}
template <class T> void clip(T*, Size, T) {}
#define I(T) template void optimizer_step(const OptimizerArgs<T>&); template double sum_of_squares(const T*, Size); template void scale(T*,Size,T); template void clip(T*,Size,T);
I(float) I(double)
}
}
