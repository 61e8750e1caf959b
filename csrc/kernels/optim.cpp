// One step of an optimizer, and the passes of gradient clipping, over flat arrays.
//
//   weight decay   g ← g + λp        decoupled (AdamW):  p ← (1 − lr·λ)p, g as it is
//   SGD            p ← p − lr·g
//     momentum     u ← μu + g                            p ← p − lr·u
//     Nesterov     u ← μu + g                            p ← p − lr·(g + μu)
//   RMSprop        v ← αv + (1 − α)g²                    p ← p − lr·g / (√v + ε)
//     momentum     u ← μu + g / (√v + ε)                 p ← p − lr·u
//   Adagrad        v ← v + g²                            p ← p − lr·g / (√v + ε)
//   Adam           m ← m + (1 − β1)(g − m)
//                  v ← β2·v + (1 − β2)g²
//                  p ← p − lr/(1 − β1ᵗ) · m / (√v/√(1 − β2ᵗ) + ε)
//
// as in torch.optim. Parameters and state change in place, in one pass; params may not
// overlap grads. Memory limits the speed (Adam moves 28 bytes per float), so products
// and sums are rounded separately, without fused multiply-add: then every instruction
// set gives the same bits, the baseline included. Threads share elements.
#include "entry.h"
#include "rows.h"
#include "simd.h"

namespace fastrnn {
namespace FASTRNN_NS {

namespace {

constexpr Size kGrain = 64;  // a member of a team gets whole cache lines

// Fewer numbers are not worth a team: these take one core some 15 µs, in the cache, in
// a step of an optimizer and in a pass with one operation (4 bytes and 0.1 ns each).
constexpr Size kWorthSharingStep = Size(1) << 15;
constexpr Size kWorthSharingPass = Size(1) << 17;

// Calls body(range) for one range of [0, n) on each thread.
template <class Body>
void share_out(Size n, Size grain, int threads, const Body& body) {
  struct Job {
    Size n, grain;
    const Body& body;
  } job{n, grain, body};
  run_team(
      threads,
      [](Team team, void* context) {
        const Job& j = *static_cast<const Job*>(context);
        j.body(share_of(j.n, team.rank, team.size, j.grain));
      },
      &job);
}

// --- Optimizers ----------------------------------------------------------------------

// The same elements of all arrays.
template <class T>
struct Elements {
  Vec<T> p, g, u, m, v;
};

// A rule names its state, and its step changes p and that state.

template <class T>
struct Sgd {
  static constexpr bool kVelocity = false, kMean = false, kSquares = false;
  explicit Sgd(const OptimizerArgs<T>& a) : lr(broadcast(T(a.lr))) {}

  FASTRNN_INLINE void step(Elements<T>& x) const { x.p -= lr * x.g; }

  Vec<T> lr;
};

template <class T>
struct SgdMomentum {
  static constexpr bool kVelocity = true, kMean = false, kSquares = false;
  explicit SgdMomentum(const OptimizerArgs<T>& a)
      : lr(broadcast(T(a.lr))), mu(broadcast(T(a.momentum))), nesterov(a.nesterov) {}

  FASTRNN_INLINE void step(Elements<T>& x) const {
    x.u = mu * x.u + x.g;
    x.p -= lr * (nesterov ? x.g + mu * x.u : x.u);
  }

  Vec<T> lr, mu;
  bool nesterov;
};

template <class T, bool kMomentum>
struct Rmsprop {
  static constexpr bool kVelocity = kMomentum, kMean = false, kSquares = true;
  explicit Rmsprop(const OptimizerArgs<T>& a)
      : lr(broadcast(T(a.lr))),
        mu(broadcast(T(a.momentum))),
        alpha(broadcast(T(a.beta2))),
        rest(broadcast(T(1 - a.beta2))),
        eps(broadcast(T(a.eps))) {}

  FASTRNN_INLINE void step(Elements<T>& x) const {
    x.v = alpha * x.v + rest * x.g * x.g;
    const Vec<T> d = sqrt(x.v) + eps;
    if constexpr (kMomentum) {
      x.u = mu * x.u + x.g / d;
      x.p -= lr * x.u;
    } else {
      x.p -= lr * x.g / d;
    }
  }

  Vec<T> lr, mu, alpha, rest, eps;
};

template <class T>
struct Adagrad {
  static constexpr bool kVelocity = false, kMean = false, kSquares = true;
  explicit Adagrad(const OptimizerArgs<T>& a)
      : lr(broadcast(T(a.lr))), eps(broadcast(T(a.eps))) {}

  FASTRNN_INLINE void step(Elements<T>& x) const {
    x.v += x.g * x.g;
    x.p -= lr * x.g / (sqrt(x.v) + eps);
  }

  Vec<T> lr, eps;
};

template <class T>
struct Adam {
  static constexpr bool kVelocity = false, kMean = true, kSquares = true;
  explicit Adam(const OptimizerArgs<T>& a)
      : lr(broadcast(T(a.lr / a.correction1))),
        rest1(broadcast(T(1 - a.beta1))),
        beta2(broadcast(T(a.beta2))),
        rest2(broadcast(T(1 - a.beta2))),
        root(broadcast(T(1 / __builtin_sqrt(a.correction2)))),
        eps(broadcast(T(a.eps))) {}

  FASTRNN_INLINE void step(Elements<T>& x) const {
    x.m += rest1 * (x.g - x.m);
    x.v = beta2 * x.v + rest2 * x.g * x.g;
    x.p -= lr * x.m / (sqrt(x.v) * root + eps);
  }

  Vec<T> lr, rest1, beta2, rest2, root, eps;
};

template <class T, class Rule>
void step_range(const OptimizerArgs<T>& a, const Rule& rule, Range range) {
  const bool decays = a.weight_decay != 0;
  const Vec<T> decay = broadcast(T(a.weight_decay));
  const Vec<T> shrink = broadcast(T(1 - a.lr * a.weight_decay));
  for (Size i = range.begin; i < range.end; i += kLanes<T>) {
    const Size lanes = at_most(kLanes<T>, range.end - i);
    Elements<T> x = {};
    x.p = load_some(a.params + i, lanes);
    x.g = load_some(a.grads + i, lanes);
    if constexpr (Rule::kVelocity) x.u = load_some(a.velocity + i, lanes);
    if constexpr (Rule::kMean) x.m = load_some(a.mean + i, lanes);
    if constexpr (Rule::kSquares) x.v = load_some(a.squares + i, lanes);
    if (decays) {
      if (a.decoupled) {
        x.p *= shrink;
      } else {
        x.g += decay * x.p;
      }
    }
    rule.step(x);
    store_some(a.params + i, x.p, lanes);
    if constexpr (Rule::kVelocity) store_some(a.velocity + i, x.u, lanes);
    if constexpr (Rule::kMean) store_some(a.mean + i, x.m, lanes);
    if constexpr (Rule::kSquares) store_some(a.squares + i, x.v, lanes);
  }
}

template <class Rule, class T>
void step_all(const OptimizerArgs<T>& a) {
  const Rule rule(a);
  share_out(a.count, kGrain, a.count < kWorthSharingStep ? 1 : a.threads,
            [&](Range range) { step_range(a, rule, range); });
}

// --- Sums of squares -----------------------------------------------------------------

// The order of the sum does not depend on vectors or threads: element i of a block is
// added to lane i mod 32, the lanes of a block are added in pairs, the blocks in order.
// 32 lanes are four AVX-512 accumulators, enough to hide the latency of a sum.
constexpr Size kSumLanes = 32;
constexpr Size kSumBlock = Size(1) << 12;

// kLanes<double> numbers as doubles.
FASTRNN_INLINE Vec<double> load_doubles(const double* p) { return load(p); }
FASTRNN_INLINE Vec<double> load_doubles(const float* p) {
  typedef float Half
      __attribute__((vector_size(kVectorBytes / 2), aligned(4), may_alias));
  return __builtin_convertvector(*reinterpret_cast<const Half*>(p), Vec<double>);
}

template <class T>
double sum_block(const T* x, Size count) {
  constexpr Size L = kLanes<double>;
  constexpr Size vectors = kSumLanes / L;
  Vec<double> sums[vectors] = {};
  const Size whole = count / kSumLanes * kSumLanes;
  for (Size i = 0; i < whole; i += kSumLanes) {
#pragma GCC unroll 16
    for (Size k = 0; k < vectors; ++k) {
      const Vec<double> values = load_doubles(x + i + k * L);
      sums[k] += values * values;
    }
  }
  double lanes[kSumLanes];
  for (Size k = 0; k < vectors; ++k) store(lanes + k * L, sums[k]);
  for (Size i = whole; i < count; ++i) lanes[i - whole] += double(x[i]) * double(x[i]);
  for (Size half = kSumLanes / 2; half > 0; half /= 2) {
    for (Size k = 0; k < half; ++k) lanes[k] += lanes[k + half];
  }
  return lanes[0];
}

}  // namespace

template <class T>
void optimizer_step(const OptimizerArgs<T>& a) {
  switch (a.rule) {
    case OptimizerRule::kSgd:
      return a.velocity ? step_all<SgdMomentum<T>>(a) : step_all<Sgd<T>>(a);
    case OptimizerRule::kRmsprop:
      return a.velocity ? step_all<Rmsprop<T, true>>(a)
                        : step_all<Rmsprop<T, false>>(a);
    case OptimizerRule::kAdagrad:
      return step_all<Adagrad<T>>(a);
    case OptimizerRule::kAdam:
      return step_all<Adam<T>>(a);
  }
}

template <class T>
double sum_of_squares(const T* values, Size count, int threads, Scratch& scratch) {
  const Size blocks = divide_up(count, kSumBlock);
  double* sums = scratch.take<double>(blocks);
  share_out(blocks, 1, count < kWorthSharingPass ? 1 : threads, [&](Range range) {
    for (Size b = range.begin; b < range.end; ++b) {
      const Size first = b * kSumBlock;
      sums[b] = sum_block(values + first, at_most(kSumBlock, count - first));
    }
  });
  double total = 0;
  for (Size b = 0; b < blocks; ++b) total += sums[b];
  return total;
}

// values ← factor·values
template <class T>
void scale(T* values, Size count, T factor, int threads) {
  share_out(count, kGrain, count < kWorthSharingPass ? 1 : threads, [&](Range range) {
    const Vec<T> factors = broadcast(factor);
    for (Size i = range.begin; i < range.end; i += kLanes<T>) {
      const Size lanes = at_most(kLanes<T>, range.end - i);
      store_some(values + i, load_some(values + i, lanes) * factors, lanes);
    }
  });
}

// values ← min(max(values, −bound), bound); NaN stays.
template <class T>
void clip(T* values, Size count, T bound, int threads) {
  share_out(count, kGrain, count < kWorthSharingPass ? 1 : threads, [&](Range range) {
    const Vec<T> high = broadcast(bound), low = -high;
    for (Size i = range.begin; i < range.end; i += kLanes<T>) {
      const Size lanes = at_most(kLanes<T>, range.end - i);
      const Vec<T> x = load_some(values + i, lanes);
      store_some(values + i, minimum(high, maximum(low, x)), lanes);
    }
  });
}

template void optimizer_step(const OptimizerArgs<float>&);
template void optimizer_step(const OptimizerArgs<double>&);
template double sum_of_squares(const float*, Size, int, Scratch&);
template double sum_of_squares(const double*, Size, int, Scratch&);
template void scale(float*, Size, float, int);
template void scale(double*, Size, double, int);
template void clip(float*, Size, float, int);
template void clip(double*, Size, double, int);

}  // namespace FASTRNN_NS
}  // namespace fastrnn
