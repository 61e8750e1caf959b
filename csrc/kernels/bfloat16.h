// Weights as bfloat16, the upper half of a float: half the bytes to read, for steps
// whose time is spent on reading them. They are widened, by a shift and exactly, and
// summed in float, so the result is that of a float layer with rounded weights.
#pragma once

#include "rows.h"

namespace fastrnn {
namespace FASTRNN_NS {

typedef std::uint16_t HalfVec __attribute__((vector_size(kVectorBytes / 2)));
typedef std::uint16_t UnalignedHalfVec
    __attribute__((vector_size(kVectorBytes / 2), aligned(2), may_alias));
typedef std::uint32_t WideVec __attribute__((vector_size(kVectorBytes)));

// One vector of weights from a panel of either type.
FASTRNN_INLINE Vec<float> load_weights(const float* p) { return load(p); }
FASTRNN_INLINE Vec<double> load_weights(const double* p) { return load(p); }
FASTRNN_INLINE Vec<float> load_weights(const Bfloat16* p) {
#if defined(FASTRNN_ISA_AVX512)
  // One shuffle puts each number into the upper half of a lane, and zero below.
  const __m512i places =
      _mm512_set_epi16(15, 0, 14, 0, 13, 0, 12, 0, 11, 0, 10, 0, 9, 0, 8, 0, 7, 0, 6, 0,
                       5, 0, 4, 0, 3, 0, 2, 0, 1, 0, 0, 0);
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  const __m512i wide = _mm512_castsi256_si512(half);
  return (Vec<float>)_mm512_maskz_permutexvar_epi16(0xaaaaaaaa, places, wide);
#elif defined(FASTRNN_ISA_AVX2)
  const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return (Vec<float>)_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16);
#else
  const HalfVec half = *reinterpret_cast<const UnalignedHalfVec*>(p);
  return (Vec<float>)(__builtin_convertvector(half, WideVec) << 16);
#endif
}

// Rounded to nearest, ties to even; NaN stays NaN.
inline Bfloat16 to_bfloat16(float x) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  if (x != x) return Bfloat16((bits >> 16) | 0x40);
  return Bfloat16((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// `count` is a multiple of the lanes.
inline void widen(const Bfloat16* from, Size count, float* to) {
  for (Size i = 0; i < count; i += kLanes<float>) store(to + i, load_weights(from + i));
}

// Whether weights may be halves: of floats, where the whole library is built.
template <class T>
constexpr bool kHasBfloat16 = kTrains && sizeof(T) == sizeof(float);

// Calls call(T{}) or call(Bfloat16{}), by the type of the weights.
template <class T, class Call>
FASTRNN_INLINE void with_weight_type(bool bfloat16, const Call& call) {
  if constexpr (kHasBfloat16<T>) {
    if (bfloat16) return call(Bfloat16{});
  }
  call(T{});
}

// Calls run(w, first, part) for parts of the panels [begin, end), as T: w holds them
// from panel `first` on. bfloat16 panels come one at a time, widened into `place`,
// where they stay in the cache for all rows.
template <class T, class Run>
FASTRNN_INLINE void with_panels(const void* packed, bool bfloat16, Size panel, T* place,
                                Range panels, const Run& run) {
  Size u = panels.begin;
  while (u < panels.end) {
    Range part{u, panels.end};
    const T* w = static_cast<const T*>(packed);
    if constexpr (kHasBfloat16<T>) {
      if (bfloat16) {
        part.end = u + 1;
        widen(static_cast<const Bfloat16*>(packed) + u * panel, panel, place);
        w = place;
      }
    }
    run(w, bfloat16 ? u : 0, part);
    u = part.end;
  }
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
