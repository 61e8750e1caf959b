#include "product.h"

#include "tile.h"

namespace fastrnn {
namespace FASTRNN_NS {

namespace {

// Sums are cut into runs of this many k, so that rows of a stay in the private cache
// for all panels. Between runs the sums are in c, with the same bits.
constexpr Size kDepth = 2048;

template <int R, int P, Rows kRows, class T>
__attribute__((noinline)) void product_tile(const Product<T>& x, Range k, Size m,
                                            Size v, Ahead<T> ahead) {
  constexpr Size L = kLanes<T>;
  const bool accumulate = x.accumulate || k.begin > 0;
  const Size last = at_most(L, x.columns - (v + P - 1) * L);
  Vec<T> acc[R][P];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      const T* c = x.c[m + r] + (v + p) * L;
      acc[r][p] = accumulate ? load_some(c, p < P - 1 ? L : last) : Vec<T>{};
    }
  }
  // Prefetch the rows of c that the next tile adds to.
  if (accumulate) {
    const bool more = m + R < x.M;
    const Size next = more ? m + R : 0, column = (more ? v : v + P) * L;
    const Size rows = at_most(R, x.M - next);
    for (Size r = 0; r < rows; ++r) prefetch<P>(x.c[next + r], column);
  }
  multiply_add<R, P, 1, kRows, T>(acc, x.a + m, x.a_step, x.b + v * x.K * L, x.K * L,
                                  k.begin, k.end, ahead);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      store_some(x.c[m + r] + (v + p) * L, acc[r][p], p < P - 1 ? L : last);
    }
  }
}

}  // namespace

template <class T>
void multiply(const Product<T>& x, Range column_vectors) {
  constexpr Size kHalfLine = 32 / Size(sizeof(T));  // per k: more would stall
  const T *next = x.next, *const end = x.next + x.next_count;
  const auto run = [&](auto rows, Range k) {
    constexpr Rows kRows = decltype(rows)::value;
    for_tiles<1, kRows>(
        x.M, column_vectors, x.b + k.begin * kLanes<T>, x.K * kLanes<T>,
        k.end - k.begin, false, [&](auto r, auto p, Size m, Size v, Ahead<T> ahead) {
          if (next < end) {
            ahead = {next - k.begin * kHalfLine, kHalfLine};
            next += (k.end - k.begin) * kHalfLine;
          }
          product_tile<decltype(r)::value, decltype(p)::value, kRows, T>(x, k, m, v,
                                                                         ahead);
        });
  };
  Size begin = 0;
  do {
    const Range k{begin, at_most(begin + kDepth, x.K)};
    if (x.a_step) {
      if constexpr (kTrains) run(Constant<Rows::kTogether>{}, k);  // backward only
    } else {
      run(Constant<Rows::kEach>{}, k);
    }
    begin = k.end;
  } while (begin < x.K);
}

template void multiply(const Product<float>&, Range);
#if !defined(FASTRNN_INFERENCE_ONLY)
template void multiply(const Product<double>&, Range);
#endif

}  // namespace FASTRNN_NS
}  // namespace fastrnn
