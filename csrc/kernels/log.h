// Logarithms on vectors: log1p and, in double, log and log(Σ eˣ) of three numbers.
//
//   function      range        worst error in ulp (fused)
//   log1p         0 ≤ e ≤ 1    2.0 (float), 1.9 (double)
//   log           1 ≤ x < ∞    2.1
//   log_sum_exp   all finite   of max(a, b, c) + log(1 … 3)
//
// log(1 + e) = 2·atanh(s), s = e / (2 + e): 2s + s³·P(s²) with a polynomial P near the
// minimax one (Chebyshev interpolation, worked out to 50 digits).
#pragma once

#include "math.h"

namespace fastrnn {
namespace FASTRNN_NS {

template <class T>
struct LogConstants;

template <>
struct LogConstants<float> {
  // s² ≤ 1/9, relative error 1.6e-8
  static constexpr int kTerms = 4;
  static constexpr float kP[kTerms] = {0.66666640336699239788f, 0.40007560644911205765f,
                                       0.28236619805310481437f,
                                       0.26851498022837151807f};
};

template <>
struct LogConstants<double> {
  // s² ≤ 1/9, relative error 5e-18
  static constexpr int kTerms = 10;
  static constexpr double kP[kTerms] = {
      0.66666666666666658561, 0.40000000000014582673, 0.28571428567108757162,
      0.22222222717427862989, 0.18181789436132858169, 0.15385570064958623103,
      0.1331414420965493615,  0.12001072809590712535, 0.088007384861446738822,
      0.16164045611943532221};
  // s² ≤ 1/25, relative error 6e-17
  static constexpr int kNearTerms = 7;
  static constexpr double kNear[kNearTerms] = {
      0.66666666666666933848, 0.39999999999345645741, 0.28571428832679727111,
      0.22222183180681264286, 0.18184588603804437978, 0.15284232657100631552,
      0.15113680893531199185};
  static constexpr double kLn2 = 0.69314718055994530942;
};

// 2·atanh(s)
template <class T, int terms>
FASTRNN_INLINE Vec<T> twice_atanh(Vec<T> s, const T (&p)[terms]) {
  const Vec<T> z = s * s;
  Vec<T> q = broadcast(p[terms - 1]);
#pragma GCC unroll 10
  for (int i = terms - 2; i >= 0; --i) q = fma(q, z, broadcast(p[i]));
  return fma(s * z, q, s + s);
}

template <class T>
FASTRNN_INLINE Vec<T> log1p(Vec<T> e) {
  return twice_atanh<T>(e / (broadcast(T(2)) + e), LogConstants<T>::kP);
}

// log(x), x ≥ 1; NaN gives NaN.
FASTRNN_INLINE Vec<double> log(Vec<double> x) {
  // x = 2ⁿ·m, √½ ≤ m < √2, so that |s| < 0.172.
  const BitsVec<double> all = bits<double>(x),
                        root_half = bits<double>(broadcast(0x1.6a09e667f3bcdp-1));
  const BitsVec<double> n = (all - root_half) >> 52;
  const Vec<double> m = (Vec<double>)(all - (n << 52)), one = broadcast(1.0);
  const Vec<double> two52 = broadcast(0x1p52);
  const Vec<double> count = (Vec<double>)(n | bits<double>(two52)) - two52;
  using E = ExpConstants<double>;
  const Vec<double> s = (m - one) / (m + one);
  const Vec<double> low = fma(count, broadcast(E::kLn2Low),
                              twice_atanh<double>(s, LogConstants<double>::kNear));
  return x == x ? fma(count, broadcast(E::kLn2High), low) : x;
}

// log(eᵃ + eᵇ + eᶜ), of finite numbers.
FASTRNN_INLINE Vec<double> log_sum_exp(Vec<double> a, Vec<double> b, Vec<double> c) {
  using K = LogConstants<double>;
  const Vec<double> high = maximum(a, b), low = minimum(a, b);
  const Vec<double> most = maximum(high, c), middle = minimum(high, c);
  const Vec<double> e = exp<double>(low - most) + exp<double>(middle - most);  // 0 … 2
  // 1 + e is halved above 1.5, so that s is within -1/7 … 1/5.
  const Vec<double> zero = {}, half = broadcast(0.5), one = broadcast(1.0);
  const auto large = e > half;
  const Vec<double> d = large ? (e - one) * half : e;  // the argument of log1p
  const Vec<double> log = twice_atanh<double>(d / (broadcast(2.0) + d), K::kNear);
  return most + (log + (large ? broadcast(K::kLn2) : zero));
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
