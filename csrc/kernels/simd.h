// Vectors of one instruction set, for float and double.
//
// Every file of csrc/kernels is compiled once per instruction set, inside the namespace
// FASTRNN_NS, so that the linker cannot pick code of a wider instruction set for a
// narrower machine. For the same reason there are no standard-library templates here.
//
// Arithmetic uses the compilers' vector extension, and intrinsics only for operations
// without an operator (fused multiply-add, min, max, sqrt). All operations are
// lane-wise IEEE, so a lane's result does not depend on the vector width.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace fastrnn {
namespace FASTRNN_NS {

using Size = std::ptrdiff_t;

#if defined(FASTRNN_ISA_AVX512)
constexpr Size kVectorBytes = 64;
constexpr int kRegisters = 32;
#elif defined(FASTRNN_ISA_AVX2)
constexpr Size kVectorBytes = 32;
constexpr int kRegisters = 16;
#elif defined(FASTRNN_ISA_NEON)
constexpr Size kVectorBytes = 16;
constexpr int kRegisters = 32;
#else
constexpr Size kVectorBytes = 16;
constexpr int kRegisters = 16;
#endif

// The accumulators of a tile fill three quarters of the registers; the rest hold the
// weights of one k and a broadcast input.
constexpr int kAccumulators = kRegisters * 3 / 4;

template <class T>
struct VectorTypes;
template <>
struct VectorTypes<float> {
  typedef float Vec __attribute__((vector_size(kVectorBytes)));
  typedef float Unaligned
      __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
  typedef int32_t Int __attribute__((vector_size(kVectorBytes)));
  typedef uint32_t Bits __attribute__((vector_size(kVectorBytes)));
};
template <>
struct VectorTypes<double> {
  typedef double Vec __attribute__((vector_size(kVectorBytes)));
  typedef double Unaligned
      __attribute__((vector_size(kVectorBytes), aligned(8), may_alias));
  typedef int64_t Int __attribute__((vector_size(kVectorBytes)));
  typedef uint64_t Bits __attribute__((vector_size(kVectorBytes)));
};

template <class T>
using Vec = typename VectorTypes<T>::Vec;
template <class T>
using IntVec = typename VectorTypes<T>::Int;
template <class T>
using BitsVec = typename VectorTypes<T>::Bits;  // its sums may overflow

template <class T>
constexpr Size kLanes = kVectorBytes / Size(sizeof(T));

#define FASTRNN_INLINE inline __attribute__((always_inline))

template <class T>
FASTRNN_INLINE Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename VectorTypes<T>::Unaligned*>(p);
}

template <class T>
FASTRNN_INLINE void store(T* p, Vec<T> v) {
  *reinterpret_cast<typename VectorTypes<T>::Unaligned*>(p) = v;
}

// Prefetches n vectors from p[offset] on. p may be null: the address is computed as a
// number and never dereferenced.
template <int n, class T>
FASTRNN_INLINE void prefetch(const T* p, Size offset) {
  const auto from = reinterpret_cast<std::uintptr_t>(p) +
                    static_cast<std::uintptr_t>(offset) * sizeof(T);
  for (int i = 0; i < n * kVectorBytes; i += 64) {
    __builtin_prefetch(reinterpret_cast<const void*>(from + std::uintptr_t(i)));
  }
}

// x − 0 keeps the bits of every x, −0 included; 0 + x would not.
FASTRNN_INLINE Vec<float> broadcast(float x) { return x - Vec<float>{}; }
FASTRNN_INLINE Vec<double> broadcast(double x) { return x - Vec<double>{}; }

FASTRNN_INLINE Vec<double> as_doubles(const double* p) { return load(p); }
FASTRNN_INLINE Vec<double> as_doubles(const float* p) {
  typedef float Half
      __attribute__((vector_size(kVectorBytes / 2), aligned(4), may_alias));
  return __builtin_convertvector(*reinterpret_cast<const Half*>(p), Vec<double>);
}

// --- Parts of a vector ---------------------------------------------------------------

// load_part and store_part reach the first `lanes` lanes and no memory beyond; the
// others of load_part are those of `rest`. Lane by lane they would take 50 ns.
#if defined(FASTRNN_ISA_AVX512)
FASTRNN_INLINE __mmask16 first_lanes(Size lanes) {
  return __mmask16((1u << unsigned(lanes)) - 1);
}
FASTRNN_INLINE Vec<float> load_part(const float* p, Size lanes, Vec<float> rest) {
  return (Vec<float>)_mm512_mask_loadu_ps((__m512)rest, first_lanes(lanes), p);
}
FASTRNN_INLINE Vec<double> load_part(const double* p, Size lanes, Vec<double> rest) {
  const __mmask8 mask = __mmask8(first_lanes(lanes));
  return (Vec<double>)_mm512_mask_loadu_pd((__m512d)rest, mask, p);
}
FASTRNN_INLINE void store_part(float* p, Vec<float> v, Size lanes) {
  _mm512_mask_storeu_ps(p, first_lanes(lanes), (__m512)v);
}
FASTRNN_INLINE void store_part(double* p, Vec<double> v, Size lanes) {
  _mm512_mask_storeu_pd(p, __mmask8(first_lanes(lanes)), (__m512d)v);
}
#elif defined(FASTRNN_ISA_AVX2)
FASTRNN_INLINE IntVec<float> first_lanes(Size lanes, float) {
  return IntVec<float>{0, 1, 2, 3, 4, 5, 6, 7} < std::int32_t(lanes);
}
FASTRNN_INLINE IntVec<double> first_lanes(Size lanes, double) {
  return IntVec<double>{0, 1, 2, 3} < std::int64_t(lanes);
}
FASTRNN_INLINE Vec<float> load_part(const float* p, Size lanes, Vec<float> rest) {
  const IntVec<float> mask = first_lanes(lanes, float());
  return mask ? (Vec<float>)_mm256_maskload_ps(p, (__m256i)mask) : rest;
}
FASTRNN_INLINE Vec<double> load_part(const double* p, Size lanes, Vec<double> rest) {
  const IntVec<double> mask = first_lanes(lanes, double());
  return mask ? (Vec<double>)_mm256_maskload_pd(p, (__m256i)mask) : rest;
}
FASTRNN_INLINE void store_part(float* p, Vec<float> v, Size lanes) {
  _mm256_maskstore_ps(p, (__m256i)first_lanes(lanes, float()), (__m256)v);
}
FASTRNN_INLINE void store_part(double* p, Vec<double> v, Size lanes) {
  _mm256_maskstore_pd(p, (__m256i)first_lanes(lanes, double()), (__m256d)v);
}
#else
template <class T>
FASTRNN_INLINE Vec<T> load_part(const T* p, Size lanes, Vec<T> rest) {
  for (Size i = 0; i < lanes; ++i) rest[i] = p[i];
  return rest;
}
template <class T>
FASTRNN_INLINE void store_part(T* p, Vec<T> v, Size lanes) {
  for (Size i = 0; i < lanes; ++i) p[i] = v[i];
}
#endif

// The first `lanes` lanes; the others are `rest`.
template <class T>
FASTRNN_INLINE Vec<T> load_some(const T* p, Size lanes, T rest = T(0)) {
  return lanes == kLanes<T> ? load(p) : load_part(p, lanes, broadcast(rest));
}

template <class T>
FASTRNN_INLINE void store_some(T* p, Vec<T> v, Size lanes) {
  lanes == kLanes<T> ? store(p, v) : store_part(p, v, lanes);
}

// --- Arithmetic ----------------------------------------------------------------------

// a·b + c with one rounding (two on a machine without fused multiply-add). minimum and
// maximum return x if x is NaN. (GCC 12 warns of an uninitialised value in its own
// unmasked 512-bit min, max and sqrt.)
#if defined(FASTRNN_ISA_AVX512)
FASTRNN_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return (Vec<float>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
FASTRNN_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return (Vec<double>)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
}
FASTRNN_INLINE Vec<float> minimum(Vec<float> bound, Vec<float> x) {
  return (Vec<float>)_mm512_maskz_min_ps(-1, (__m512)bound, (__m512)x);
}
FASTRNN_INLINE Vec<double> minimum(Vec<double> bound, Vec<double> x) {
  return (Vec<double>)_mm512_maskz_min_pd(-1, (__m512d)bound, (__m512d)x);
}
FASTRNN_INLINE Vec<float> maximum(Vec<float> bound, Vec<float> x) {
  return (Vec<float>)_mm512_maskz_max_ps(-1, (__m512)bound, (__m512)x);
}
FASTRNN_INLINE Vec<double> maximum(Vec<double> bound, Vec<double> x) {
  return (Vec<double>)_mm512_maskz_max_pd(-1, (__m512d)bound, (__m512d)x);
}
FASTRNN_INLINE Vec<float> sqrt(Vec<float> x) {
  return (Vec<float>)_mm512_maskz_sqrt_ps(-1, (__m512)x);
}
FASTRNN_INLINE Vec<double> sqrt(Vec<double> x) {
  return (Vec<double>)_mm512_maskz_sqrt_pd(-1, (__m512d)x);
}
#elif defined(FASTRNN_ISA_AVX2)
FASTRNN_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return (Vec<float>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
FASTRNN_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return (Vec<double>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
}
FASTRNN_INLINE Vec<float> minimum(Vec<float> bound, Vec<float> x) {
  return (Vec<float>)_mm256_min_ps((__m256)bound, (__m256)x);
}
FASTRNN_INLINE Vec<double> minimum(Vec<double> bound, Vec<double> x) {
  return (Vec<double>)_mm256_min_pd((__m256d)bound, (__m256d)x);
}
FASTRNN_INLINE Vec<float> maximum(Vec<float> bound, Vec<float> x) {
  return (Vec<float>)_mm256_max_ps((__m256)bound, (__m256)x);
}
FASTRNN_INLINE Vec<double> maximum(Vec<double> bound, Vec<double> x) {
  return (Vec<double>)_mm256_max_pd((__m256d)bound, (__m256d)x);
}
FASTRNN_INLINE Vec<float> sqrt(Vec<float> x) {
  return (Vec<float>)_mm256_sqrt_ps((__m256)x);
}
FASTRNN_INLINE Vec<double> sqrt(Vec<double> x) {
  return (Vec<double>)_mm256_sqrt_pd((__m256d)x);
}
#elif defined(FASTRNN_ISA_NEON)
FASTRNN_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return (Vec<float>)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
FASTRNN_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return (Vec<double>)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
}
FASTRNN_INLINE Vec<float> minimum(Vec<float> bound, Vec<float> x) {
  return x > bound ? bound : x;
}
FASTRNN_INLINE Vec<double> minimum(Vec<double> bound, Vec<double> x) {
  return x > bound ? bound : x;
}
FASTRNN_INLINE Vec<float> maximum(Vec<float> bound, Vec<float> x) {
  return x < bound ? bound : x;
}
FASTRNN_INLINE Vec<double> maximum(Vec<double> bound, Vec<double> x) {
  return x < bound ? bound : x;
}
FASTRNN_INLINE Vec<float> sqrt(Vec<float> x) {
  return (Vec<float>)vsqrtq_f32((float32x4_t)x);
}
FASTRNN_INLINE Vec<double> sqrt(Vec<double> x) {
  return (Vec<double>)vsqrtq_f64((float64x2_t)x);
}
#else
template <class V>
FASTRNN_INLINE V fma(V a, V b, V c) {
  return a * b + c;
}
template <class V>
FASTRNN_INLINE V minimum(V bound, V x) {
  return x > bound ? bound : x;
}
template <class V>
FASTRNN_INLINE V maximum(V bound, V x) {
  return x < bound ? bound : x;
}
#if defined(__x86_64__)
FASTRNN_INLINE Vec<float> sqrt(Vec<float> x) {
  return (Vec<float>)_mm_sqrt_ps((__m128)x);
}
FASTRNN_INLINE Vec<double> sqrt(Vec<double> x) {
  return (Vec<double>)_mm_sqrt_pd((__m128d)x);
}
#else
FASTRNN_INLINE Vec<float> sqrt(Vec<float> x) {
  for (Size i = 0; i < kLanes<float>; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
}
FASTRNN_INLINE Vec<double> sqrt(Vec<double> x) {
  for (Size i = 0; i < kLanes<double>; ++i) x[i] = __builtin_sqrt(x[i]);
  return x;
}
#endif
#endif

// --- Flags: one byte per lane --------------------------------------------------------

// kLanes bytes, each widened to its lane. (GCC 12 converts vectors lane by lane, and
// warns about the forms without a mask.)
#if defined(FASTRNN_ISA_AVX512)
FASTRNN_INLINE IntVec<float> widen(const std::uint8_t* p, float) {
  return (IntVec<float>)_mm512_maskz_cvtepu8_epi32(0xffff,
                                                   _mm_loadu_si128((const __m128i*)p));
}
FASTRNN_INLINE IntVec<double> widen(const std::uint8_t* p, double) {
  return (IntVec<double>)_mm512_maskz_cvtepu8_epi64(0xff,
                                                    _mm_loadl_epi64((const __m128i*)p));
}
#elif defined(FASTRNN_ISA_AVX2)
FASTRNN_INLINE IntVec<float> widen(const std::uint8_t* p, float) {
  return (IntVec<float>)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p));
}
FASTRNN_INLINE IntVec<double> widen(const std::uint8_t* p, double) {
  int four;
  __builtin_memcpy(&four, p, sizeof(four));
  return (IntVec<double>)_mm256_cvtepu8_epi64(_mm_cvtsi32_si128(four));
}
#else
template <class T>
FASTRNN_INLINE IntVec<T> widen(const std::uint8_t* p, T) {
  IntVec<T> v = {};
  for (Size i = 0; i < kLanes<T>; ++i) v[i] = p[i];
  return v;
}
#endif

// All bits set in the lanes whose byte is not 0; 0 in the others and from `lanes` on.
template <class T>
FASTRNN_INLINE IntVec<T> load_flags(const std::uint8_t* p, Size lanes) {
  if (lanes == kLanes<T>) return widen(p, T()) != IntVec<T>{};
  IntVec<T> v = {};
  for (Size i = 0; i < lanes; ++i) v[i] = p[i];
  return v != IntVec<T>{};
}

// --- Transposition of a square block held in registers -------------------------------

template <int... I>
struct Indices {};
template <int N, int... I>
struct MakeIndices : MakeIndices<N - 1, N - 1, I...> {};
template <int... I>
struct MakeIndices<0, I...> {
  using type = Indices<I...>;
};

#if defined(__clang__)
#define FASTRNN_SHUFFLE(T, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define FASTRNN_SHUFFLE(T, a, b, ...) __builtin_shuffle(a, b, IntVec<T>{__VA_ARGS__})
#endif

// a0 b0 a1 b1 …: the low halves of a and b, and their high halves.
template <class T, int... I>
FASTRNN_INLINE Vec<T> interleave_low(Vec<T> a, Vec<T> b, Indices<I...>) {
  return FASTRNN_SHUFFLE(T, a, b, (I / 2 + (I % 2) * int(sizeof...(I)))...);
}
template <class T, int... I>
FASTRNN_INLINE Vec<T> interleave_high(Vec<T> a, Vec<T> b, Indices<I...>) {
  constexpr int n = int(sizeof...(I));
  return FASTRNN_SHUFFLE(T, a, b, (n / 2 + I / 2 + (I % 2) * n)...);
}

// rows[i][j] ← rows[j][i]. Interleaving the first half of the rows with the second
// log2(lanes) times is a transposition.
template <class T>
FASTRNN_INLINE void transpose(Vec<T> (&rows)[kLanes<T>]) {
  constexpr int n = int(kLanes<T>);
  typename MakeIndices<n>::type indices;
  Vec<T> other[n];
#pragma GCC unroll 8
  for (int half = n; half > 1; half /= 2) {
#pragma GCC unroll 16
    for (int i = 0; i < n / 2; ++i) {
      other[2 * i] = interleave_low<T>(rows[i], rows[i + n / 2], indices);
      other[2 * i + 1] = interleave_high<T>(rows[i], rows[i + n / 2], indices);
    }
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) rows[i] = other[i];
  }
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
