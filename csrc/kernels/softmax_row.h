// exp of a row relative to its maximum, and the sum: the first half of a softmax.
//
// Rows have any width, and the end of one is not the end of a vector. The last vector
// then overlaps the one before, where that is harmless; a vector that is filled number
// by number takes 50 ns, as long as the whole softmax of 100 numbers.
#pragma once

#include "math.h"
#include "rows.h"

namespace fastrnn {
namespace FASTRNN_NS {

// to = function(x), number by number; `to` may not be x.
template <class T, class Function>
FASTRNN_INLINE void map_row(const T* x, Size width, T* to, const Function& function) {
  constexpr Size L = kLanes<T>;
  if (width < L) {
    T some[L] = {};
    for (Size l = 0; l < width; ++l) some[l] = x[l];
    store(some, function(load(some)));
    for (Size l = 0; l < width; ++l) to[l] = some[l];
    return;
  }
  for (Size i = 0; i + L <= width; i += L) store(to + i, function(load(x + i)));
  if (width % L) store(to + width - L, function(load(x + width - L)));
}

template <class T>
FASTRNN_INLINE T largest(const T* x, Size width) {
  constexpr Size L = kLanes<T>;
  T lanes[L];
  if (width < L) {
    for (Size l = 0; l < L; ++l) lanes[l] = x[l < width ? l : 0];
  } else {
    Vec<T> most = load(x + width - L);
    for (Size i = 0; i + L <= width; i += L) most = maximum(most, load(x + i));
    store(lanes, most);
  }
  for (Size half = L / 2; half > 0; half /= 2) {
    for (Size l = 0; l < half; ++l) {
      lanes[l] = lanes[l + half] < lanes[l] ? lanes[l] : lanes[l + half];
    }
  }
  return lanes[0];
}

template <class T>
struct SoftmaxRow {
  T most, sum;  // the maximum, and Σ exp(x − maximum)
};

// to = exp(x − maximum). The sum is in 16 lanes that are joined in pairs, whatever the
// vector width. NaN anywhere makes the sum NaN. `to` may not be x.
template <class T>
FASTRNN_INLINE SoftmaxRow<T> softmax_row(const T* x, Size width, T* to) {
  constexpr Size L = kLanes<T>, kSums = 16 / L;
  const T most = largest(x, width);
  const Vec<T> shift = broadcast(most);
  map_row(x, width, to, [&](Vec<T> v) { return exp<T>(v - shift); });
  Vec<T> sums[kSums] = {};
  const Size whole = width / 16 * 16;
  for (Size i = 0; i < whole; i += 16) {
#pragma GCC unroll 8
    for (Size s = 0; s < kSums; ++s) sums[s] += load(to + i + s * L);
  }
  T lanes[16];
  for (Size s = 0; s < kSums; ++s) store(lanes + s * L, sums[s]);
  for (Size i = whole; i < width; ++i) lanes[i - whole] += to[i];
  for (Size half = 8; half > 0; half /= 2) {
    for (Size l = 0; l < half; ++l) lanes[l] += lanes[l + half];
  }
  return {most, lanes[0]};
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
