// A linear layer with the cross-entropy loss, forward and backward at once:
//
//   logits = y·wᵀ + b      nats_rv = log Σ_u exp(logits_ru) − logits_rv
//   loss_r = weight_r·nats_r,target + share_r·Σ_v smoothing_v·nats_rv
//   dlogits_rv = scale·((weight_r + share_r·Σ_u smoothing_u)·softmax_rv
//                       − weight_r·[v = target_r] − share_r·smoothing_v)
//   dy = dlogits·w         dw = dlogitsᵀ·y         db_v = Σ_r dlogits_rv
//
// Without weights every weight_r is 1; without smoothing its terms are not there.
//
// Logits exist for one block of rows at a time, as [V][block]: a vector holds one
// word's logits for some rows. So maximum and sum over the vocabulary stay in their
// lanes, w needs no packing, and memory does not grow with the rows.
//
// The vocabulary is cut into parts of fixed size. exp is taken relative to the maximum
// of the part, while it is still in the private cache; the parts' sums are joined in
// order. So the bits depend on neither the threads nor the vector width. loss, dy =;
// dw, db = for the first block and += afterwards. Rows with a negative target are zeros
// throughout. Gradients that are null are not computed.
#include "entry.h"
#include "math.h"
#include "pack.h"
#include "plan.h"
#include "product.h"
#include "tile.h"

namespace fastrnn {
namespace FASTRNN_NS {

namespace {

// The most rows of a block: w and dw come from far memory once per block (some 5 GB/s),
// and a block over 10 000 words takes 6 MB.
constexpr Size kBlockRows = 160;

// Words of a part: its logits take 128 KiB in float32.
constexpr Size kPartWords = 256;

template <class T>
struct CrossEntropy {
  const CrossEntropyArgs<T>& a;
  Size parts = 0, width = 0;  // width: a block's rows, in whole vectors
  T* logits = nullptr;        // [V][width], then their exp, then dlogits
  T* y_rows = nullptr;        // [kBlockRows][H]: y, zeros where the target is ignored
  T* y_by_word = nullptr;     // y transposed, packed [width / lanes][H][lanes]
  T* y_by_row = nullptr;      // y packed [H / lanes][kBlockRows][lanes]
  T* w_packed = nullptr;      // [H / lanes][kPartWords][lanes]
  T* maximum_of = nullptr;    // [parts][width]
  T* sum_of = nullptr;        // [parts][width]
  T* factor_of = nullptr;  // [parts][width]: exp(part's maximum − maximum)·scale / sum
  T* target_logit = nullptr;   // [width]
  T* softmax_scale = nullptr;  // [width]: what multiplies softmax in dlogits
  T* smooth_scale = nullptr;   // [width]: what multiplies smoothing in dlogits
  T* smooth_of = nullptr;  // [parts][width]: Σ_v smoothing_v·(part's maximum − logit)
  T* smoothing_of = nullptr;  // [parts]: Σ_v smoothing_v of the part
  T smoothing = T(0);         // their sum
  const T** w_row = nullptr;  // [V]
  T** logit_row = nullptr;    // [V]
  T** dw_row = nullptr;       // [V]

  static constexpr Size L = kLanes<T>;

  Range words(Size part) const {
    return {part * kPartWords, at_most(a.V, (part + 1) * kPartWords)};
  }

  void work(Team team) {
    const Range mine = share_of(parts, team.rank, team.size);
    for (Size p = mine.begin; p < mine.end; ++p) {
      for (Size v = words(p).begin; v < words(p).end; ++v) {
        w_row[v] = a.w + v * a.H;
        logit_row[v] = logits + v * width;
        if (a.dw) dw_row[v] = a.dw + v * a.H;
      }
    }
    if (a.smoothing && team.rank == 0) sum_smoothing();
    const Tiles blocks = split(a.rows, kBlockRows);
    for (Size i = 0; i < blocks.count; ++i) {
      if (!block(team, mine, blocks.first(i), blocks.size(i))) return;
    }
    if (a.rows == 0 && team.rank == 0) {
      for (Size i = 0; a.dw && i < a.V * a.H; ++i) a.dw[i] = T(0);
      for (Size v = 0; a.db && v < a.V; ++v) a.db[v] = T(0);
    }
  }

  // False if the call is to be given up.
  bool block(Team team, Range mine, Size first, Size rows) {
    const Range columns = share_of(divide_up(a.H, L), team.rank, team.size);
    if (team.rank == 0) gather_rows(first, rows);
    if (team.barrier()) return false;
    const Size vectors = divide_up(rows, L);
    pack_gates<1>(y_rows, rows, a.H, share_of(vectors, team.rank, team.size),
                  y_by_word);
    if (a.dw) {
      pack_columns([&](Size r) { return y_rows + r * a.H; }, rows, a.H, columns,
                   y_by_row);
    }
    team.barrier();
    for (Size p = mine.begin; p < mine.end && !team.is_stopped(); ++p) {
      part_forward(p, first, rows, vectors, weights_of(p + 1, mine.end));
    }
    if (team.barrier()) return false;
    join_parts(team, first, rows, vectors);
    team.barrier();
    if (!a.dy && !a.dw && !a.db) return true;
    // With one thread, a part serves dw and dy while it is near. In a team, each thread
    // has its own parts of dw, but its own columns of dy, to which all parts add in
    // order.
    const bool alone = team.size == 1;
    for (Size p = mine.begin; p < mine.end && !team.is_stopped(); ++p) {
      part_backward(p, first, rows, vectors,
                    alone ? weights_of(p, parts) : logits_of(p + 1, mine.end));
      if (alone) row_gradient(p, columns, first, rows);
    }
    if (alone) return true;
    if (team.barrier()) return false;
    for (Size p = 0; p < parts && !team.is_stopped(); ++p) {
      row_gradient(p, columns, first, rows);
    }
    return !team.barrier();
  }

  void gather_rows(Size first, Size rows) {
    for (Size r = 0; r < rows; ++r) {
      const bool ignored = a.targets[first + r] < 0;
      const T* y = a.y + (first + r) * a.H;
      for (Size h = 0; h < a.H; ++h) y_rows[r * a.H + h] = ignored ? T(0) : y[h];
      softmax_scale[r] = a.scale;
      if (a.weights) {
        softmax_scale[r] *= weight(first + r) + share(first + r) * smoothing;
      }
      if (a.smoothing) smooth_scale[r] = a.scale * share(first + r);
    }
    for (Size r = rows; r < width; ++r) {
      softmax_scale[r] = T(0);
      if (a.smoothing) smooth_scale[r] = T(0);
    }
  }

  void sum_smoothing() {
    for (Size p = 0; p < parts; ++p) {
      T sum = T(0);
      for (Size v = words(p).begin; v < words(p).end; ++v) sum += a.smoothing[v];
      smoothing_of[p] = sum;
      smoothing += sum;
    }
  }

  T weight(Size row) const { return a.weights ? a.weights[row] : T(1); }
  T share(Size row) const { return a.smoothing ? a.shares[row] : T(0); }

  // Data to prefetch from far memory.
  struct Next {
    const T* from = nullptr;
    Size count = 0;
  };
  Next weights_of(Size p, Size end) const {
    if (p >= end) return {};
    return {a.w + words(p).begin * a.H, (words(p).end - words(p).begin) * a.H};
  }
  Next logits_of(Size p, Size end) const {
    if (p >= end) return {};
    return {logits + words(p).begin * width, (words(p).end - words(p).begin) * width};
  }

  // Logits of a part; their maximum; exp against it and the sum.
  void part_forward(Size p, Size first, Size rows, Size vectors, Next next) {
    const Range v = words(p);
    multiply(
        Product<T>{w_row + v.begin, 0, y_by_word, logit_row + v.begin, v.end - v.begin,
                   a.H, vectors * L, false, next.from, next.count},
        {0, vectors});
    for (Size r = 0; r < rows; ++r) {
      const Size target = a.targets[first + r];
      if (target >= v.begin && target < v.end) {
        target_logit[r] = logit_row[target][r] + bias(target);
      }
    }
    for (Size i = 0; i < vectors; ++i) {
      T* column = logits + i * L;
      Vec<T> most = logit(column, v.begin);
      for (Size word = v.begin + 1; word < v.end; ++word) {
        most = maximum(most, logit(column, word));
      }
      if (a.smoothing) {
        Vec<T> smooth = {};
        for (Size word = v.begin; word < v.end; ++word) {
          const Vec<T> below = most - logit(column, word);
          smooth = fma(broadcast(a.smoothing[word]), below, smooth);
        }
        store(smooth_of + p * width + i * L, smooth);
      }
      Vec<T> sum = {};
      for (Size word = v.begin; word < v.end; ++word) {
        const Vec<T> e = exp<T>(logit(column, word) - most);
        store(column + word * width, e);
        sum += e;
      }
      store(maximum_of + p * width + i * L, most);
      store(sum_of + p * width + i * L, sum);
    }
  }

  T bias(Size word) const { return a.b ? a.b[word] : T(0); }
  Vec<T> logit(const T* column, Size word) const {
    return load(column + word * width) + broadcast(bias(word));
  }

  // The loss of each row, and the factor from a part's exp to scale·softmax.
  void join_parts(Team team, Size first, Size rows, Size vectors) {
    const Range mine = share_of(vectors, team.rank, team.size);
    for (Size i = mine.begin * L; i < mine.end * L; i += L) {
      Vec<T> most = load(maximum_of + i), sum = {};
      for (Size p = 1; p < parts; ++p)
        most = maximum(most, load(maximum_of + p * width + i));
      for (Size p = 0; p < parts; ++p) {
        const Vec<T> to_most = exp<T>(load(maximum_of + p * width + i) - most);
        store(factor_of + p * width + i, to_most);
        sum = fma(load(sum_of + p * width + i), to_most, sum);
      }
      const Vec<T> scaled = load(softmax_scale + i) / sum;
      for (Size p = 0; p < parts; ++p) {
        T* factor = factor_of + p * width + i;
        store(factor, load(factor) * scaled);
      }
      for (Size l = 0; l < L && i + l < rows; ++l) {
        const bool ignored = a.targets[first + i + l] < 0;
        const double log_sum = __builtin_log(double(sum[l]));
        const double nats = (double(most[l]) - double(target_logit[i + l])) + log_sum;
        double loss = double(weight(first + i + l)) * nats;
        if (a.smoothing && !ignored) {
          loss += double(share(first + i + l)) * smooth_nats(i + l, most[l], log_sum);
        }
        a.loss[first + i + l] = ignored ? T(0) : T(loss);
      }
    }
  }

  // Σ_v smoothing_v·nats_v of one row.
  double smooth_nats(Size row, T most, double log_sum) const {
    double sum = double(smoothing) * log_sum;
    for (Size p = 0; p < parts; ++p) {
      const T below = most - maximum_of[p * width + row];
      sum += double(smooth_of[p * width + row]);
      if (smoothing_of[p] != T(0)) sum += double(smoothing_of[p]) * double(below);
    }
    return sum;
  }

  // dlogits of a part, and with them its rows of dw and db.
  void part_backward(Size p, Size first, Size rows, Size vectors, Next next) {
    const Range v = words(p);
    for (Size i = 0; i < vectors * L; i += L) {
      const Vec<T> factor = load(factor_of + p * width + i);
      for (Size word = v.begin; word < v.end; ++word) {
        T* at = logit_row[word] + i;
        Vec<T> d = load(at) * factor;
        if (a.smoothing) d -= load(smooth_scale + i) * broadcast(a.smoothing[word]);
        store(at, d);
      }
    }
    for (Size r = 0; r < vectors * L; ++r) {
      const Size target = r < rows ? a.targets[first + r] : -1;
      if (target < 0) {
        for (Size word = v.begin; word < v.end; ++word) logit_row[word][r] = T(0);
      } else if (target >= v.begin && target < v.end) {
        logit_row[target][r] -= a.weights ? a.scale * weight(first + r) : a.scale;
      }
    }
    if (a.dw) {
      multiply(Product<T>{const_cast<const T* const*>(logit_row) + v.begin, 0, y_by_row,
                          dw_row + v.begin, v.end - v.begin, rows, a.H, first > 0,
                          next.from, next.count},
               {0, divide_up(a.H, L)});
    }
    if (!a.db) return;
    for (Size word = v.begin; word < v.end; ++word) {
      const T sum = sum_of_row(logit_row[word], rows);
      a.db[word] = first > 0 ? a.db[word] + sum : sum;
    }
  }

  // A sum in sixteen lanes, joined in order, whatever the vector width.
  static T sum_of_row(const T* x, Size count) {
    constexpr Size kSums = 16 / L > 0 ? 16 / L : 1;
    T lanes[kSums * L];
    Vec<T> sums[kSums] = {};
    for (Size i = 0; i < count; i += kSums * L) {
#pragma GCC unroll 8
      for (Size s = 0; s < kSums; ++s) {
        const Size left = count - i - s * L;
        if (left > 0) sums[s] += load_some(x + i + s * L, at_most(L, left));
      }
    }
    for (Size s = 0; s < kSums; ++s) store(lanes + s * L, sums[s]);
    T sum = T(0);
    for (Size i = 0; i < kSums * L; ++i) sum += lanes[i];
    return sum;
  }

  // A part's contribution to some column vectors of dy.
  void row_gradient(Size p, Range columns, Size first, Size rows) {
    if (!a.dy || columns.begin == columns.end) return;
    const Range v = words(p);
    const Size K = v.end - v.begin;
    // Each thread's columns begin kPartWords apart, in the shorter last part, too:
    // other threads may still be at the part before.
    T* w = w_packed + columns.begin * (kPartWords - K) * L;
    pack_columns([&](Size k) { return w_row[v.begin + k]; }, K, a.H, columns, w);
    const T* column[kBlockRows];
    T* dy[kBlockRows];
    for (Size r = 0; r < rows; ++r) {
      column[r] = logit_row[v.begin] + r;
      dy[r] = a.dy + (first + r) * a.H;
    }
    const Next next = logits_of(p + 1, parts);
    multiply(
        Product<T>{column, width, w, dy, rows, K, a.H, p > 0, next.from, next.count},
        columns);
  }
};

}  // namespace

template <class T>
void cross_entropy(const CrossEntropyArgs<T>& args, Scratch& scratch) {
  constexpr Size L = kLanes<T>;
  CrossEntropy<T> job{args};
  const Size vectors = divide_up(args.H, L);
  job.parts = divide_up(args.V, kPartWords);
  job.width = divide_up(at_most(kBlockRows, args.rows), L) * L;
  job.logits = scratch.take<T>(args.V * job.width);
  job.y_rows = scratch.take<T>(kBlockRows * args.H);
  job.y_by_word = scratch.take<T>(job.width * args.H);
  if (args.dw) job.y_by_row = scratch.take<T>(vectors * kBlockRows * L);
  if (args.dy) job.w_packed = scratch.take<T>(vectors * kPartWords * L);
  job.maximum_of = scratch.take<T>(job.parts * job.width);
  job.sum_of = scratch.take<T>(job.parts * job.width);
  job.factor_of = scratch.take<T>(job.parts * job.width);
  job.target_logit = scratch.take<T>(job.width);
  job.softmax_scale = scratch.take<T>(job.width);
  if (args.smoothing) {
    job.smooth_scale = scratch.take<T>(job.width);
    job.smooth_of = scratch.take<T>(job.parts * job.width);
    job.smoothing_of = scratch.take<T>(job.parts);
  }
  job.w_row = scratch.take<const T*>(args.V);
  job.logit_row = scratch.take<T*>(args.V);
  job.dw_row = scratch.take<T*>(args.V);
  const double flops = 6.0 * double(args.rows) * double(args.V * args.H);
  run_team(
      team_for(args.threads, flops),
      [](Team team, void* self) { static_cast<CrossEntropy<T>*>(self)->work(team); },
      &job);
}

template void cross_entropy(const CrossEntropyArgs<float>&, Scratch&);
template void cross_entropy(const CrossEntropyArgs<double>&, Scratch&);

}  // namespace FASTRNN_NS
}  // namespace fastrnn
