// exp of rows relative to their maxima, and the sums: the first half of a softmax.
//
// Maximum and sum of a row first lie in lanes. Joining the lanes of one row takes
// longer than exp of 50 numbers; so as many rows as a vector has lanes are joined at
// once, after a transposition: lane r of the result is that of row r.
#pragma once

#include "log.h"
#include "math.h"
#include "rows.h"

namespace fastrnn {
namespace FASTRNN_NS {

// to = function(x), number by number; `to` may be x.
template <class T, class Function>
FASTRNN_INLINE void map_row(const T* x, Size width, T* to, const Function& function) {
  constexpr Size L = kLanes<T>;
  for (Size i = 0; i < width; i += L) {
    const Size here = at_most(L, width - i);
    store_some(to + i, function(load_some(x + i, here)), here);
  }
}

// Row r lies in lanes[r], lanes[L + r] and so on, number by number. The numbers of a
// row are joined in pairs, the first half with the second, until one is left.
template <class T, Size parts, class Join>
FASTRNN_INLINE Vec<T> join_lanes(Vec<T> (&lanes)[parts], const Join& join) {
  constexpr Size L = kLanes<T>;
#pragma GCC unroll 8
  for (Size p = 0; p < parts; p += L) {
    transpose<T>(reinterpret_cast<Vec<T>(&)[L]>(lanes[p]));
  }
#pragma GCC unroll 4
  for (Size half = parts / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
    for (Size l = 0; l < half; ++l) lanes[l] = join(lanes[l], lanes[l + half]);
  }
  return lanes[0];
}

template <class T>
struct SoftmaxRows {
  static constexpr Size L = kLanes<T>;
  static constexpr Size kSumLanes = 16;  // whatever the vector width

  // The bytes of a group of rows, which are gone through three times.
  static constexpr Size kGroupBytes = Size(1) << 16;

  T most[L], sum[L];  // of each row: the maximum, and Σ exp(x − maximum)
  double log_sum[L];  // log Σ exp(x − maximum)

  // How many of the rows that are left to take at once.
  static Size group(Size left, Size width) {
    const Size fit = kGroupBytes / (width * Size(sizeof(T)));
    return at_most(left, at_most(L, fit < 1 ? 1 : fit));
  }

  // Reads `count` rows, `stride` apart; to = exp(x − maximum), laid out alike, if not
  // null. NaN anywhere in a row makes its sum NaN.
  FASTRNN_INLINE void read(const T* x, Size stride, Size count, Size width, T* to) {
    Vec<T> tops[L], sums[kSumLanes];
    for (Size r = 0; r < L; ++r) {
      tops[r] = r < count ? largest(x + r * stride, width) : Vec<T>{};
    }
    const auto maximum_of = [](Vec<T> a, Vec<T> b) { return maximum(a, b); };
    store(most, join_lanes<T>(tops, maximum_of));
    for (Size r = 0; r < L; ++r) {
      Vec<T> row[kSumLanes / L] = {};
      if (r < count) {
        T* exps = to ? to + r * stride : nullptr;
        add_exps(x + r * stride, width, broadcast(most[r]), exps, row);
      }
      for (Size s = 0; s < kSumLanes / L; ++s) sums[s * L + r] = row[s];
    }
    store(sum, join_lanes<T>(sums, [](Vec<T> a, Vec<T> b) { return a + b; }));
    for (Size r = 0; r < L; r += kLanes<double>) {
      store(log_sum + r, log(as_doubles(sum + r)));
    }
  }

 private:
  // Beyond the end of a row: the smallest number, whose exp is 0.
  static FASTRNN_INLINE Vec<T> numbers(const T* x, Size left) {
    return load_some(x, at_most(L, left), T(-__builtin_inf()));
  }

  static FASTRNN_INLINE Vec<T> largest(const T* x, Size width) {
    Vec<T> top = numbers(x, width);
    for (Size i = L; i < width; i += L) top = maximum(top, numbers(x + i, width - i));
    return top;
  }

  static FASTRNN_INLINE void add_exps(const T* x, Size width, Vec<T> shift, T* to,
                                      Vec<T> (&sums)[kSumLanes / L]) {
    for (Size i = 0; i < width; i += kSumLanes) {
#pragma GCC unroll 8
      for (Size s = 0; s < kSumLanes / L; ++s) {
        const Size at = i + s * L;
        if (at >= width) break;
        const Vec<T> e = exp<T>(numbers(x + at, width - at) - shift);
        sums[s] += e;
        if (to) store_some(to + at, e, at_most(L, width - at));
      }
    }
  }
};

}  // namespace FASTRNN_NS
}  // namespace fastrnn
