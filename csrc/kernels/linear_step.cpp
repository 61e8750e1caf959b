// One step of a linear layer with packed weights:  y = x·wᵀ + b
//
// The sums have the order of linear.cpp: they begin with the bias.
#include "entry.h"
#include "one_row.h"
#include "pack.h"
#include "product.h"

namespace fastrnn {
namespace FASTRNN_NS {

namespace {

template <int P, class T>
FASTRNN_INLINE void one_row_outputs(const LinearStepArgs<T>& a, Size v) {
  constexpr Size L = kLanes<T>;
  const PackedLinear<T>& w = *a.weights;
  Vec<T> acc[P];
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) acc[p] = load(w.bias + (v + p) * L);
  add_products<P, 1, T, T>(acc, a.x, w.I, w.w + v * w.I * L, 0);
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
    store_some(a.y + (v + p) * L, acc[p], at_most(L, w.O - (v + p) * L));
  }
}

template <int P, class T>
void one_row_tile_of(const LinearStepArgs<T>& a, Size v, Size panels) {
  if (panels == P) return one_row_outputs<P>(a, v);
  if constexpr (P > 1) one_row_tile_of<P - 1>(a, v, panels);
}

template <class T>
void one_row(const LinearStepArgs<T>& a, Range vectors) {
  const Size bytes = (vectors.end - vectors.begin) * a.weights->I * kVectorBytes;
  const Tiles tiles =
      split(vectors.end - vectors.begin,
            bytes <= kNearCache ? kOneRowPanels<1> : kStreamedPanels<1>);
  for (Size i = 0; i < tiles.count; ++i) {
    const Size tile = a.backwards ? tiles.count - 1 - i : i;
    one_row_tile_of<kOneRowPanels<1>>(a, vectors.begin + tiles.first(tile),
                                      tiles.size(tile));
  }
}

}  // namespace

template <class T>
void pack_linear(const T* w, const T* b, PackedLinear<T>* to) {
  const Size vectors = divide_up(to->O, kLanes<T>);
  pack_gates<1>(w, to->O, to->I, Range{0, vectors}, to->w);
  for (Size o = 0; o < vectors * kLanes<T>; ++o) {
    to->bias[o] = b && o < to->O ? b[o] : T(0);
  }
}

template <class T>
void linear_step(const LinearStepArgs<T>& a, int rank, int size) {
  constexpr Size L = kLanes<T>;
  const PackedLinear<T>& w = *a.weights;
  const Range vectors = share_of(divide_up(w.O, L), rank, size);
  if (a.N == 1) return one_row(a, vectors);
  const T** x = static_cast<const T**>(a.scratch) + 2 * rank * a.N;
  T** y = const_cast<T**>(x + a.N);
  for (Size n = 0; n < a.N; ++n) {
    x[n] = a.x + n * w.I;
    y[n] = a.y + n * w.O;
    for (Size v = vectors.begin; v < vectors.end; ++v) {
      store_some(y[n] + v * L, load(w.bias + v * L), at_most(L, w.O - v * L));
    }
  }
  multiply(Product<T>{x, 0, w.w, y, a.N, w.I, w.O, true}, vectors);
}

template void pack_linear(const float*, const float*, PackedLinear<float>*);
template void linear_step(const LinearStepArgs<float>&, int, int);
#if !defined(FASTRNN_INFERENCE_ONLY)
template void pack_linear(const double*, const double*, PackedLinear<double>*);
template void linear_step(const LinearStepArgs<double>&, int, int);
#endif

}  // namespace FASTRNN_NS
}  // namespace fastrnn
