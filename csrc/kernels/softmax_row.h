// exp of a row relative to its maximum, and the sum: the first half of a softmax.
#pragma once

#include "math.h"
#include "rows.h"

namespace fastrnn {
namespace FASTRNN_NS {

// Calls body(i, lanes) for whole vectors of [0, n), and once for what is left.
template <class T, class Body>
FASTRNN_INLINE void for_vectors(Size n, const Body& body) {
  const Size whole = n / kLanes<T> * kLanes<T>;
  for (Size i = 0; i < whole; i += kLanes<T>) body(i, kLanes<T>);
  if (whole < n) body(whole, n - whole);
}

template <class T>
struct SoftmaxRow {
  T most, sum;  // the maximum, and Σ exp(x − maximum)
};

// to = exp(x − maximum). The sum is in 16 lanes that are joined in order, whatever the
// vector width. NaN anywhere makes the sum NaN. `to` may not be x.
template <class T>
FASTRNN_INLINE SoftmaxRow<T> softmax_row(const T* x, Size width, T* to) {
  constexpr Size L = kLanes<T>, kSums = 16 / L;
  T lanes[16];
  Vec<T> highest = broadcast(x[0]);
  for_vectors<T>(width, [&](Size i, Size here) {
    Vec<T> v = broadcast(x[0]);
    if (here == L) {
      v = load(x + i);
    } else {
      for (Size l = 0; l < here; ++l) v[l] = x[i + l];
    }
    highest = maximum(highest, v);
  });
  store(lanes, highest);
  T most = lanes[0];
  for (Size l = 1; l < L; ++l) most = lanes[l] > most ? lanes[l] : most;
  const Vec<T> shift = broadcast(most);
  Vec<T> sums[kSums] = {};
  Size i = 0;
  for (; i + 16 <= width; i += 16) {
#pragma GCC unroll 8
    for (Size s = 0; s < kSums; ++s) {
      const Vec<T> e = exp<T>(load(x + i + s * L) - shift);
      store(to + i + s * L, e);
      sums[s] += e;
    }
  }
  for (Size s = 0; s < kSums; ++s) store(lanes + s * L, sums[s]);
  for (Size first = i; i < width; i += L) {
    const Size here = at_most(L, width - i);
    T some[L];
    const Vec<T> e = exp<T>(load_some(x + i, here) - shift);
    store(some, e);
    store_some(to + i, e, here);
    for (Size l = 0; l < here; ++l) lanes[i - first + l] += some[l];
  }
  T sum = T(0);
  for (Size l = 0; l < 16; ++l) sum += lanes[l];
  return {most, sum};
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
