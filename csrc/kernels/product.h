// A matrix product by tiles:  c_m[n] = or +=  Σ_k a_m[k·a_step] · b[k][n]
#pragma once

#include "pack.h"
#include "tile.h"

namespace fastrnn {
namespace FASTRNN_NS {

template <class T>
struct Product {
  const T* const* a;  // [M] rows
  Size a_step;        // 1, or the row length of the matrix whose columns a points at
  const T* b;         // [columns / lanes][K][lanes], packed
  T* const* c;        // [M] rows of `columns` numbers; may not overlap a or b
  Size M, K, columns;
  bool accumulate;    // += instead of =
};

template <int R, int P, class T>
__attribute__((noinline)) void product_tile(const Product<T>& x, Size m, Size v, const T* ahead) {
  constexpr Size L = kLanes<T>;
  const Size last = at_most(L, x.columns - (v + P - 1) * L);
  Vec<T> acc[R][P];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      const T* c = x.c[m + r] + (v + p) * L;
      acc[r][p] = x.accumulate ? load_some(c, p < P - 1 ? L : last) : Vec<T>{};
    }
  }
  // The rows of c that the next tile adds to come from far memory: they set out now.
  if (x.accumulate) {
    const bool more = m + R < x.M;
    const Size next = more ? m + R : 0, column = (more ? v : v + P) * L;
    const Size rows = at_most(R, x.M - next);
    for (Size r = 0; r < rows; ++r) prefetch<P>(x.c[next + r] + column);
  }
  multiply_add<R, P, 1, T>(acc, x.a + m, x.a_step, x.b + v * x.K * L, x.K * L, 0, x.K,
                           ahead);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      store_some(x.c[m + r] + (v + p) * L, acc[r][p], p < P - 1 ? L : last);
    }
  }
}

// The given column vectors of the product.
template <class T>
void multiply(const Product<T>& x, Range column_vectors) {
  for_tiles<1>(x.M, column_vectors, x.b, x.K * kLanes<T>, false,
               [&](auto r, auto p, Size m, Size v, const T* ahead) {
                 product_tile<decltype(r)::value, decltype(p)::value, T>(x, m, v, ahead);
               });
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
