// Ids drawn from logits: the likeliest first, cut off after the k likeliest (top_k) and
// after those whose probabilities add up to a share (top_p).
//
// Where a running sum over ids in order passes a bound is found by partition, as in
// quickselect: the ids are never sorted, and each pass halves what is left, about.
#include "entry.h"
#include "softmax_row.h"

namespace fastrnn {
namespace FASTRNN_NS {

namespace {

// The ids of one row. Of two equal logits the one of the smaller id comes first.
template <class T>
class Ranked {
 public:
  Ranked(const T* logits, const double* p, std::int32_t* ids)
      : logits_(logits), p_(p), ids_(ids) {}

  // Arranges [0, end) so that the first m places hold the first m ids in order of rank,
  // and returns m, the fewest whose weights add up to `bound`, or to more than it; all,
  // if there is no such m. A weight is p, or 1.
  template <bool kCount, bool kMore>
  Size fewest(Size end, double bound) {
    Size begin = 0;
    double sum = 0;  // of what lies before `begin`
    while (begin < end) {
      const Size middle = partition(begin, end);
      double before = sum;
      for (Size i = begin; i < middle; ++i) before += weight<kCount>(i);
      if (reaches<kMore>(before, bound)) {
        end = middle;
        continue;
      }
      sum = before + weight<kCount>(middle);
      if (reaches<kMore>(sum, bound)) return middle + 1;
      begin = middle + 1;
    }
    return end;
  }

  double sum(Size end) const {
    double s = 0;
    for (Size i = 0; i < end; ++i) s += p_[ids_[i]];
    return s;
  }

  std::int32_t last_of(Size end) const {
    std::int32_t last = ids_[0];
    for (Size i = 1; i < end; ++i) {
      if (is_before(last, ids_[i])) last = ids_[i];
    }
    return last;
  }

 private:
  template <bool kMore>
  static bool reaches(double sum, double bound) {
    return kMore ? sum > bound : sum >= bound;
  }
  template <bool kCount>
  double weight(Size i) const {
    return kCount ? 1 : p_[ids_[i]];
  }
  bool is_before(std::int32_t a, std::int32_t b) const {
    return logits_[a] > logits_[b] || (logits_[a] == logits_[b] && a < b);
  }

  // Puts what comes before a pivot before it; returns the pivot's place.
  Size partition(Size begin, Size end) {
    const Size last = end - 1;
    const std::int32_t pivot =
        median(ids_[begin], ids_[begin + (last - begin) / 2], ids_[last]);
    Size place = begin, at = begin;
    for (Size i = begin; i < end; ++i) {
      const std::int32_t id = ids_[i];
      if (id == pivot) at = i;
    }
    ids_[at] = ids_[last];
    for (Size i = begin; i < last; ++i) {
      const std::int32_t id = ids_[i];
      const bool before = is_before(id, pivot);
      ids_[i] = ids_[place];
      ids_[place] = id;
      place += before;
    }
    ids_[last] = ids_[place];
    ids_[place] = pivot;
    return place;
  }

  std::int32_t median(std::int32_t a, std::int32_t b, std::int32_t c) const {
    if (is_before(b, a)) {
      const std::int32_t swap = a;
      a = b;
      b = swap;
    }
    return is_before(c, a) ? a : is_before(c, b) ? c : b;
  }

  const T* logits_;
  const double* p_;
  std::int32_t* ids_;
};

template <class T>
std::int64_t draw_id(const DrawArgs<T>& a, const T* logits, T most, double uniform,
                     double* scores, double* p, std::int32_t* ids) {
  if (a.temperature == 0) {
    Size i = 0;
    while (logits[i] != most) ++i;
    return i;
  }
  for (Size i = 0; i < a.V; ++i) {
    scores[i] = (double(logits[i]) - double(most)) / a.temperature;
    ids[i] = std::int32_t(i);
  }
  map_row(scores, a.V, p, [](Vec<double> v) { return exp<double>(v); });
  Ranked<T> ranked(logits, p, ids);
  Size kept = a.V;
  if (a.top_k > 0 && a.top_k < kept) {
    kept = ranked.template fewest<true, false>(kept, double(a.top_k));
  }
  double sum = ranked.sum(kept);
  if (a.top_p < 1) {
    kept = ranked.template fewest<false, false>(kept, a.top_p * sum);
    sum = ranked.sum(kept);
  }
  return ranked.last_of(ranked.template fewest<false, true>(kept, uniform * sum));
}

}  // namespace

template <class T>
Size draw_ids(const DrawArgs<T>& a, Scratch& scratch) {
  double* scores = scratch.take<double>(a.V);
  double* p = scratch.take<double>(a.V);
  std::int32_t* ids = scratch.take<std::int32_t>(a.V);
  for (Size n = 0; n < a.N; ++n) {
    const T* logits = a.logits + n * a.V;
    T most = logits[0], zero = T(0);
    for (Size i = 0; i < a.V; ++i) {
      most = logits[i] > most ? logits[i] : most;
      zero += logits[i] * T(0);  // NaN, if anything is not finite
    }
    if (zero != zero) {
      bool nan = false;
      for (Size i = 0; i < a.V; ++i) nan |= logits[i] != logits[i];
      if (nan || most - most != T(0)) return n;
    }
    a.ids[n] = draw_id(a, logits, most, a.uniforms[n], scores, p, ids);
  }
  return -1;
}

template Size draw_ids(const DrawArgs<float>&, Scratch&);
template Size draw_ids(const DrawArgs<double>&, Scratch&);

}  // namespace FASTRNN_NS
}  // namespace fastrnn
