// exp, sigmoid, tanh and expm1 on vectors, for float and double.
//
//   function   range   limits                       worst error in ulp
//                                                   fused   not fused
//   exp        x ≤ 0   0 below −87.3 (−708.3)       1.1     1.1
//   expm1      x ≤ 0   −1                           1.2     1.3
//   sigmoid    all     0 below −87.3 (−708.3), 1    2.9     3.8
//   tanh       all     ±1                           3.3     3.8
//
// The worst over every float in the range (every fifth if not fused) and over some 30
// million doubles; "not fused" is baseline x86-64. tests/test_math.py checks these
// bounds against a reference of higher precision.
//
// NaN gives NaN, ±∞ the limit. All are built from e^a, a ≤ 0, so the denominators 1 +
// e^a and 1 + e^(2a) lie in [1, 2], where a polynomial and a cubic iteration replace
// the division (16 cycles for one AVX-512 register on Intel, about 3 here) with the
// same bits on every machine. The polynomials are minimax, by the Remez algorithm.
#pragma once

#include "simd.h"

namespace fastrnn {
namespace FASTRNN_NS {

template <class T>
struct ExpConstants;

template <>
struct ExpConstants<float> {
  static constexpr float kLog2e = 1.44269504f;
  static constexpr float kRound = 12582912.0f;  // 1.5·2²³: adding it rounds to integer
  static constexpr float kLn2High = 0x1.62e000p-1f;  // n·kLn2High is exact
  static constexpr float kLn2Low = 0.000031946184945309417232f;
  static constexpr uint32_t kBias = 127, kMantissa = 23;
  static constexpr float kUnderflow = -87.3f;
  static constexpr float kSaturation = -20.0f;  // expm1 is −1 below this
  static constexpr int kReciprocalSteps = 1;
  // expm1(r) = r + r²·q(r), |r| ≤ ln2/2, relative error 2.6e-8
  static constexpr int kTerms = 5;
  static constexpr float kQ[kTerms] = {
      0.50000000270965128143f, 0.16666576646356393069f, 0.041666374080262346532f,
      0.0083632350732558517923f, 0.0013941218348860967107f};
};

template <>
struct ExpConstants<double> {
  static constexpr double kLog2e = 1.4426950408889634074;
  static constexpr double kRound = 6755399441055744.0;  // 1.5·2⁵²
  static constexpr double kLn2High = 0x1.62e42fee00000p-1;
  static constexpr double kLn2Low = 1.90821492927058781614e-10;
  static constexpr uint64_t kBias = 1023, kMantissa = 52;
  static constexpr double kUnderflow = -708.3;
  static constexpr double kSaturation = -40.0;
  static constexpr int kReciprocalSteps = 2;
  // relative error 4.3e-17
  static constexpr int kTerms = 10;
  static constexpr double kQ[kTerms] = {
      0.50000000000000010315,     0.166666666666666746,     0.041666666666623816474,
      0.0083333333333221283777,   0.0013888888917368759575, 0.00019841269886831662331,
      0.000024801521055647438806, 2.755724206490074062e-6,  2.7620202510719166101e-7,
      2.5110152192401849428e-8};
};

template <class T>
FASTRNN_INLINE BitsVec<T> bits(Vec<T> x) {
  return (BitsVec<T>)x;
}

template <class T>
FASTRNN_INLINE Vec<T> negative_magnitude(Vec<T> x) {
  return (Vec<T>)(bits<T>(x) | bits<T>(broadcast(T(-0.0))));
}

template <class T>
FASTRNN_INLINE Vec<T> with_sign_of(Vec<T> magnitude, Vec<T> x) {
  const BitsVec<T> sign = bits<T>(broadcast(T(-0.0)));
  return (Vec<T>)((bits<T>(magnitude) & ~sign) | (bits<T>(x) & sign));
}

// e^x = scale·(1 + p): scale = 2ⁿ, p = expm1(x − n·ln2).
template <class T>
FASTRNN_INLINE void exp_parts(Vec<T> x, Vec<T>& scale, Vec<T>& p) {
  using K = ExpConstants<T>;
  const Vec<T> shifted = fma(x, broadcast(K::kLog2e), broadcast(K::kRound));
  const Vec<T> n = shifted - broadcast(K::kRound);
  Vec<T> r = fma(n, broadcast(-K::kLn2High), x);
  r = fma(n, broadcast(-K::kLn2Low), r);
  Vec<T> q = broadcast(K::kQ[K::kTerms - 1]);
#pragma GCC unroll 10
  for (int i = K::kTerms - 2; i >= 0; --i) q = fma(q, r, broadcast(K::kQ[i]));
  p = fma(r * r, q, r);
  // The low bits of `shifted` hold n; the rest is shifted out. Far below kUnderflow the
  // sum overflows, and is not used.
  scale = (Vec<T>)((bits<T>(shifted) << K::kMantissa) + (K::kBias << K::kMantissa));
}

// 1/d for 1 ≤ d ≤ 2.
template <class T>
FASTRNN_INLINE Vec<T> reciprocal(Vec<T> d) {
  Vec<T> r = broadcast(T(-0.22183708842327977437));
  r = fma(r, d, broadcast(T(1.3310225305396786462)));
  r = fma(r, d, broadcast(T(-2.9393414216084570104)));
  r = fma(r, d, broadcast(T(2.8284228773968171232)));  // relative error 1.8e-3
#pragma GCC unroll 2
  for (int i = 0; i < ExpConstants<T>::kReciprocalSteps; ++i) {
    const Vec<T> e = fma(-d, r, broadcast(T(1)));
    r = fma(r, fma(e, e, e), r);  // cubes the error
  }
  return r;
}

template <class T>
FASTRNN_INLINE Vec<T> exp(Vec<T> x) {
  Vec<T> scale, p;
  exp_parts<T>(x, scale, p);
  return x < broadcast(ExpConstants<T>::kUnderflow) ? Vec<T>{} : fma(p, scale, scale);
}

template <class T>
FASTRNN_INLINE Vec<T> expm1(Vec<T> x) {
  Vec<T> scale, p;
  exp_parts<T>(maximum(broadcast(ExpConstants<T>::kSaturation), x), scale, p);
  return fma(p, scale, scale - broadcast(T(1)));
}

template <class T>
FASTRNN_INLINE Vec<T> sigmoid(Vec<T> x) {
  const Vec<T> one = broadcast(T(1));
  const Vec<T> e = exp<T>(negative_magnitude<T>(x));
  return (x < Vec<T>{} ? e : one) * reciprocal<T>(one + e);
}

template <class T>
FASTRNN_INLINE Vec<T> tanh(Vec<T> x) {
  const Vec<T> a = negative_magnitude<T>(x);
  const Vec<T> u = expm1<T>(a + a);
  return with_sign_of<T>(u * reciprocal<T>(broadcast(T(2)) + u), x);
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
