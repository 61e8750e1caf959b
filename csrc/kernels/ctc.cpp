// Connectionist temporal classification (Graves et al. 2006), with the gradient.
//
//   l = blank, target_1, blank, target_2, …, blank        S' = 2S + 1 states
//   e_t(s) = logits_t,l(s) − log Σ_v exp(logits_tv)
//   α_t(s) = e_t(s) + log(exp α_t−1(s) + exp α_t−1(s−1) + skip(s)·exp α_t−1(s−2))
//   β_t(s) = log(exp q(s) + exp q(s+1) + skip(s+2)·exp q(s+2)),  q = β_t+1 + e_t+1
//   loss   = −log(exp α_T(S'−1) + exp α_T(S'−2))
//   dlogits_tv = scale·(softmax_tv − Σ_{l(s) = v} exp(α_t(s) + β_t(s) + loss))
//
// where skip(s) is 1 if l(s) is neither blank nor l(s−2), else 0. A vector holds some
// states of one row; the lattice is in double whatever T is, since its numbers grow
// with the length. "Impossible" is −1e30 in place of −∞, which makes no NaN. loss,
// dlogits =. Rows are independent: threads share them, and the bits depend on neither.
#include "entry.h"
#include "log.h"
#include "plan.h"
#include "rows.h"
#include "softmax_row.h"

namespace fastrnn {
namespace FASTRNN_NS {

namespace {

constexpr double kImpossible = -1e30;
constexpr Size kEdge = 2;  // impossible states on either side: l(s − 2), l(s + 2)

template <class T>
struct CtcRow {
  const CtcArgs<T>& a;
  Size stride;          // of a step's states: whole vectors and the edges
  double* alpha;        // [1 + T][stride]: before the first step, and after each
  double* emission;     // [T][stride]
  double* q;            // [stride]
  double* skip;         // [stride]: 0 or impossible
  std::int64_t* label;  // [stride]
  static constexpr Size L = kLanes<double>;

  double run(Size n) {
    const Size length = a.lengths[n], states = 2 * a.target_lengths[n] + 1;
    const Size vectors = divide_up(states, L);
    for (Size t = length; t < a.steps; ++t) clear_row(a.dlogits, t * a.N + n, a.V);
    set_states(n, states);
    double broken = emit(n, length, states);  // NaN or 0
    if (broken != 0) {
      for (Size t = 0; t < length; ++t) fill(n, t, T(broken));
      return broken;
    }
    go_forward(length, vectors);
    const double* end = alpha + length * stride + kEdge;
    const Vec<double> last = broadcast(end[states - 1]);
    const Vec<double> before = broadcast(states > 1 ? end[states - 2] : kImpossible);
    const double log_sum = log_sum_exp(last, before, broadcast(kImpossible))[0];
    if (log_sum < kImpossible / 2) {
      for (Size t = 0; t < length; ++t) fill(n, t, T(0));
      return __builtin_inf();
    }
    go_back(n, length, states, vectors, log_sum);
    return 0 - log_sum;
  }

  void fill(Size n, Size t, T value) {
    T* row = a.dlogits + (t * a.N + n) * a.V;
    for (Size v = 0; v < a.V; ++v) row[v] = value;
  }

  void set_states(Size n, Size states) {
    for (Size i = 0; i < stride; ++i) skip[i] = alpha[i] = q[i] = kImpossible;
    const std::int64_t* targets = a.targets + n * a.S;
    for (Size s = 0; s < states; ++s) {
      const bool is_blank = s % 2 == 0;
      label[s] = is_blank ? a.blank : targets[s / 2];
      if (!is_blank && s > 1 && label[s] != label[s - 2]) skip[kEdge + s] = 0;
    }
    alpha[kEdge] = 0;  // before the first step
  }

  // Emissions, and scale·softmax as the first part of dlogits; NaN if there is a NaN.
  double emit(Size n, Size length, Size states) {
    const Size step = a.N * a.V;
    SoftmaxRows<T> s;
    for (Size first = 0, count; first < length; first += count) {
      const T* logits = a.logits + n * a.V + first * step;
      T* dlogits = a.dlogits + n * a.V + first * step;
      count = s.group(length - first, a.V);
      s.read(logits, step, count, a.V, dlogits);
      for (Size r = 0; r < count; ++r, logits += step, dlogits += step) {
        const double log_sum = double(s.most[r]) + s.log_sum[r];
        if (log_sum != log_sum) return log_sum;
        const Vec<T> factor = broadcast(a.scale[n]) / broadcast(s.sum[r]);
        map_row(dlogits, a.V, dlogits, [&](Vec<T> p) { return p * factor; });
        double* e = emission + (first + r) * stride;
        for (Size i = 0; i < stride; ++i) e[i] = kImpossible;
        for (Size i = 0; i < states; ++i) {
          const double value = double(logits[label[i]]) - log_sum;
          e[kEdge + i] = value > kImpossible ? value : kImpossible;
        }
      }
    }
    return 0;
  }

  void go_forward(Size length, Size vectors) {
    for (Size t = 0; t < length; ++t) {
      const double* from = alpha + t * stride + kEdge;
      double* to = alpha + (t + 1) * stride + kEdge;
      to[-1] = to[-2] = kImpossible;
      for (Size i = 0; i < vectors * L; i += L) {
        const Vec<double> skipped = load(from + i - 2) + load(skip + kEdge + i);
        const Vec<double> sum =
            log_sum_exp(load(from + i), load(from + i - 1), skipped);
        store(to + i, possible(sum + load(emission + t * stride + kEdge + i)));
      }
    }
  }

  void go_back(Size n, Size length, Size states, Size vectors, double log_sum) {
    double some[L];
    for (Size t = length - 1; t >= 0; --t) {
      const double* after = alpha + (t + 1) * stride + kEdge;
      const double* e = emission + t * stride + kEdge;
      T* dlogits = a.dlogits + (t * a.N + n) * a.V;
      // In place, upwards: q of states that follow is still that of the next step.
      for (Size i = 0; i < vectors * L; i += L) {
        Vec<double> beta;
        if (t == length - 1) {
          for (Size l = 0; l < L; ++l)
            some[l] = is_end(i + l, states) ? 0 : kImpossible;
          beta = load(some);
        } else {
          const double* from = q + kEdge + i;
          beta = log_sum_exp(load(from), load(from + 1),
                             load(from + 2) + load(skip + kEdge + i + 2));
        }
        const Vec<double> through = load(after + i) + (beta - broadcast(log_sum));
        store(some, exp<double>(minimum(Vec<double>{}, through)));
        const Size here = at_most(L, states - i);
        for (Size l = 0; l < here; ++l) {
          dlogits[label[i + l]] -= T(double(a.scale[n]) * some[l]);
        }
        store(q + kEdge + i, possible(beta + load(e + i)));
      }
    }
  }

  static bool is_end(Size s, Size states) { return s < states && s >= states - 2; }

  // Sums of impossible numbers do not grow with the length.
  static FASTRNN_INLINE Vec<double> possible(Vec<double> x) {
    return maximum(broadcast(kImpossible), x);
  }
};

}  // namespace

template <class T>
void ctc(const CtcArgs<T>& a, Scratch& scratch) {
  struct Job {
    const CtcArgs<T>& a;
    Size stride;
    char* memory;
    Size bytes;
  };
  const Size stride = divide_up(2 * a.S + 1, 8) * 8 + 2 * kEdge + 8;
  const Size doubles = stride * (2 * a.steps + 3);
  const Size bytes = divide_up((doubles + stride) * 8, 64) * 64;
  const double flops =
      double(a.steps * a.N) * (60.0 * double(stride) + 20.0 * double(a.V));
  const int threads = int(at_most(team_for(a.threads, flops), a.N > 0 ? a.N : 1));
  Job job{a, stride, scratch.take<char>(bytes * threads), bytes};
  run_team(
      threads,
      [](Team team, void* context) {
        const Job& j = *static_cast<const Job*>(context);
        double* at = reinterpret_cast<double*>(j.memory + team.rank * j.bytes);
        CtcRow<T> row{j.a, j.stride, at, nullptr, nullptr, nullptr, nullptr};
        row.emission = row.alpha + (j.a.steps + 1) * j.stride;
        row.q = row.emission + j.a.steps * j.stride;
        row.skip = row.q + j.stride;
        row.label = reinterpret_cast<std::int64_t*>(row.skip + j.stride);
        for (Size n = team.rank; n < j.a.N && !team.is_stopped(); n += team.size) {
          j.a.loss[n] = row.run(n);
        }
      },
      &job);
}

template void ctc(const CtcArgs<float>&, Scratch&);
template void ctc(const CtcArgs<double>&, Scratch&);

}  // namespace FASTRNN_NS
}  // namespace fastrnn
