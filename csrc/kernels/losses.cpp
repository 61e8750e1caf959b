// Losses of numbers, with their gradients in the same pass; softmax of rows.
//
//   e = y − t            loss                             dloss/dy
//   squared              e²                               2e
//   absolute             |e|                              sign(e)
//   Huber                c·(e − c/2), c = e cut at ±δ     c
//   quantile             q·(−e) if e < 0, else (1 − q)·e  −q if e < 0, 1 − q if e > 0
//   binary (y = logits)  |y|·(y > 0 ? 1 − t : t)          σ(y) − t
//                          + log(1 + e^−|y|)
//
// total = Σ w·loss, dy = scale·w·dloss/dy; where w = 0, y and t are not read as numbers
// (NaN there does no harm). The squares, the weighting and all sums are in double, in
// an order that depends on the sizes alone: element i of a block goes to lane i mod 32,
// the lanes are added in pairs, the blocks in order. = everywhere; nothing may alias.
#include "entry.h"
#include "log.h"
#include "math.h"
#include "rows.h"
#include "softmax_row.h"

namespace fastrnn {
namespace FASTRNN_NS {

namespace {

constexpr Size kSumLanes = 32;
constexpr Size kBlock = Size(1) << 12;
constexpr Size kWorthSharing = Size(1) << 15;  // some 15 µs on one core

// Each rule returns the loss of y and t, and its derivative through `slope`. With
// kSquare the sum is that of the squares of what it returns.

template <class T>
struct Squared {
  static constexpr bool kSquare = true;
  explicit Squared(const LossArgs<T>&) {}
  FASTRNN_INLINE Vec<T> operator()(Vec<T> y, Vec<T> t, Vec<T>& slope) const {
    slope = y - t;  // the 2 is in the scale
    return slope;
  }
};

template <class T>
struct Absolute {
  static constexpr bool kSquare = false;
  explicit Absolute(const LossArgs<T>&) {}
  FASTRNN_INLINE Vec<T> operator()(Vec<T> y, Vec<T> t, Vec<T>& slope) const {
    const Vec<T> e = y - t, one = broadcast(T(1)), zero = {};
    slope = e > zero ? one : e < zero ? -one : e;  // 0 and NaN as they are
    return e < zero ? -e : e;
  }
};

template <class T>
struct Huber {
  static constexpr bool kSquare = false;
  explicit Huber(const LossArgs<T>& a) : delta(broadcast(T(a.parameter))) {}
  FASTRNN_INLINE Vec<T> operator()(Vec<T> y, Vec<T> t, Vec<T>& slope) const {
    const Vec<T> e = y - t;
    slope = minimum(delta, maximum(-delta, e));
    return slope * (e - broadcast(T(0.5)) * slope);
  }
  Vec<T> delta;
};

template <class T>
struct Quantile {
  static constexpr bool kSquare = false;
  explicit Quantile(const LossArgs<T>& a)
      : low(broadcast(T(-a.parameter))), high(broadcast(T(1 - a.parameter))) {}
  FASTRNN_INLINE Vec<T> operator()(Vec<T> y, Vec<T> t, Vec<T>& slope) const {
    const Vec<T> e = y - t, zero = {};
    slope = e > zero ? high : e < zero ? low : e;
    return e > zero ? high * e : low * e;
  }
  Vec<T> low, high;
};

template <class T>
struct Binary {
  static constexpr bool kSquare = false;
  explicit Binary(const LossArgs<T>&) {}
  FASTRNN_INLINE Vec<T> operator()(Vec<T> y, Vec<T> t, Vec<T>& slope) const {
    const Vec<T> zero = {}, one = broadcast(T(1));
    const Vec<T> e = exp<T>(negative_magnitude<T>(y));
    slope = (y < zero ? e : one) * reciprocal<T>(one + e) - t;  // sigmoid, as in math.h
    // |y| times the share of the other answer: 0, not NaN, of an infinite y that is
    // right.
    const Vec<T> share = y > zero ? one - t : t, size = y < zero ? -y : y;
    return (share == zero ? zero : size * share) + log1p<T>(e);
  }
};

template <class T, class Rule>
struct Block {
  const LossArgs<T>& a;
  const Rule rule;
  T weights[kBlock];

  // The weighted sum of `count` losses from `first` on.
  double run(Size first, Size count) {
    constexpr Size L = kLanes<double>;
    if (a.weights) spread_weights(first, count);
    Vec<double> sums[kSumLanes / L] = {};
    T losses[kSumLanes];
    for (Size i = 0; i < count; i += kSumLanes) {
      const Size here = at_most(kSumLanes, count - i);
      a.weights ? some<true>(first, i, here, losses)
                : some<false>(first, i, here, losses);
      for (Size l = here; l < kSumLanes; ++l) losses[l] = T(0);
#pragma GCC unroll 16
      for (Size k = 0; k < kSumLanes / L; ++k) {
        Vec<double> loss = as_doubles(losses + k * L);
        if (Rule::kSquare) loss *= loss;
        if (a.weights) loss *= as_doubles(weights + i + k * L);
        sums[k] += loss;
      }
    }
    double lanes[kSumLanes];
    for (Size k = 0; k < kSumLanes / L; ++k) store(lanes + k * L, sums[k]);
    for (Size half = kSumLanes / 2; half > 0; half /= 2) {
      for (Size k = 0; k < half; ++k) lanes[k] += lanes[k + half];
    }
    return lanes[0];
  }

  // The losses of up to kSumLanes elements, and their gradients.
  template <bool kWeighted>
  FASTRNN_INLINE void some(Size first, Size i, Size here, T* losses) {
    const Vec<T> scale = broadcast(a.scale);
    for (Size l = 0; l < here; l += kLanes<T>) {
      const Size at = first + i + l, lanes = at_most(kLanes<T>, here - l);
      Vec<T> y = load_some(a.y + at, lanes), t = load_some(a.targets + at, lanes);
      Vec<T> slope, factor = scale;
      if (kWeighted) {
        const Vec<T> w = load(weights + i + l), zero = {};
        y = w == zero ? zero : y;
        t = w == zero ? zero : t;
        factor *= w;
      }
      store(losses + l, rule(y, t, slope));
      store_some(a.dy + at, slope * factor, lanes);
    }
  }

  // The weight of each element, and 0 after the last, to whole vectors.
  void spread_weights(Size first, Size count) {
    const Size padded = divide_up(count, kSumLanes) * kSumLanes;
    Size row = first / a.width, left = a.width - first % a.width;
    for (Size i = 0; i < count;) {
      const Size run = at_most(left, count - i);
      for (Size k = 0; k < run; ++k) weights[i + k] = a.weights[row];
      i += run;
      ++row;
      left = a.width;
    }
    for (Size i = count; i < padded; ++i) weights[i] = T(0);
  }
};

template <class Rule, class T>
double sum_up(const LossArgs<T>& a, Scratch& scratch) {
  const Size blocks = divide_up(a.count, kBlock);
  struct Job {
    const LossArgs<T>& a;
    Size blocks;
    double* sums;
  } job{a, blocks, scratch.take<double>(blocks)};
  run_team(
      a.count < kWorthSharing ? 1 : a.threads,
      [](Team team, void* context) {
        const Job& j = *static_cast<const Job*>(context);
        Block<T, Rule> block{j.a, Rule(j.a), {}};
        const Range mine = share_of(j.blocks, team.rank, team.size);
        for (Size b = mine.begin; b < mine.end; ++b) {
          const Size first = b * kBlock;
          j.sums[b] = block.run(first, at_most(kBlock, j.a.count - first));
        }
      },
      &job);
  double total = 0;
  for (Size b = 0; b < blocks; ++b) total += job.sums[b];
  return total;
}

}  // namespace

template <class T>
double loss(const LossArgs<T>& a, Scratch& scratch) {
  switch (a.rule) {
    case LossRule::kSquared:
      return sum_up<Squared<T>>(a, scratch);
    case LossRule::kAbsolute:
      return sum_up<Absolute<T>>(a, scratch);
    case LossRule::kHuber:
      return sum_up<Huber<T>>(a, scratch);
    case LossRule::kQuantile:
      return sum_up<Quantile<T>>(a, scratch);
    case LossRule::kBinary:
      return sum_up<Binary<T>>(a, scratch);
  }
  return 0;
}

// to = softmax of each row, or its logarithm; `to` may not be x.
template <class T>
void softmax(const T* x, Size rows, Size width, bool log, T* to, int threads) {
  struct Job {
    const T* x;
    Size rows, width;
    bool log;
    T* to;
  } job{x, rows, width, log, to};
  run_team(
      rows * width < kWorthSharing ? 1 : threads,
      [](Team team, void* context) {
        const Job& j = *static_cast<const Job*>(context);
        const Range mine = share_of(j.rows, team.rank, team.size);
        SoftmaxRows<T> s;
        for (Size first = mine.begin, count; first < mine.end; first += count) {
          const T* from = j.x + first * j.width;
          T* out = j.to + first * j.width;
          count = s.group(mine.end - first, j.width);
          s.read(from, j.width, count, j.width, j.log ? nullptr : out);
          for (Size r = 0; r < count; ++r, from += j.width, out += j.width) {
            if (j.log) {
              const Vec<T> most = broadcast(s.most[r]);
              const Vec<T> less = broadcast(T(s.log_sum[r]));
              map_row(from, j.width, out, [&](Vec<T> v) { return (v - most) - less; });
            } else {
              const Vec<T> sum = broadcast(s.sum[r]);
              map_row(out, j.width, out, [&](Vec<T> v) { return v / sum; });
            }
          }
        }
      },
      &job);
}

template double loss(const LossArgs<float>&, Scratch&);
template double loss(const LossArgs<double>&, Scratch&);
template void softmax(const float*, Size, Size, bool, float*, int);
template void softmax(const double*, Size, Size, bool, double*, int);

}  // namespace FASTRNN_NS
}  // namespace fastrnn
