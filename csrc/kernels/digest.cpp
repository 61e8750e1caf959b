// The digest of an array, to notice changes: see Digest.
//
// Numbers are dealt out in turn over 64 sums, each s ← (s ⊕ s≫15)·m + number. For any
// number the step is a bijection of s, so sums that differ once keep differing unless
// another change makes up for it. The shift brings down high bits (signs), which would
// cancel in pairs under the product alone.
#include "entry.h"
#include "rows.h"

namespace fastrnn {
namespace FASTRNN_NS {

namespace {

typedef std::uint32_t Words __attribute__((vector_size(kVectorBytes)));
constexpr Size kSums = Size(sizeof(Digest)) / kVectorBytes;

FASTRNN_INLINE void add(const char* block, Words (&sums)[kSums]) {
  constexpr std::uint32_t kFactor = 2654435769u;  // 2³² over the golden ratio, odd
#pragma GCC unroll 16
  for (Size i = 0; i < kSums; ++i) {
    Words words;
    __builtin_memcpy(&words, block + i * kVectorBytes, kVectorBytes);
    sums[i] = (sums[i] ^ (sums[i] >> 15)) * kFactor + words;
  }
}

FASTRNN_INLINE void add_all(const void* values, Size size, Words (&sums)[kSums]) {
  constexpr Size kBlock = sizeof(Digest);
  const char* bytes = static_cast<const char*>(values);
#pragma GCC unroll 16
  for (Size i = 0; i < kSums; ++i) sums[i] = Words{} + std::uint32_t(size + i);
  Size at = 0;
  for (; at + kBlock <= size; at += kBlock) add(bytes + at, sums);
  if (at < size) {
    char rest[kBlock] = {};
    __builtin_memcpy(rest, bytes + at, std::size_t(size - at));
    add(rest, sums);
  }
}

}  // namespace

template <class T>
void digest(const T* values, Size count, Digest* to) {
  Words sums[kSums];
  add_all(values, count * Size(sizeof(T)), sums);
  __builtin_memcpy(to->words, sums, sizeof sums);
}

template <class T>
bool has_digest(const T* values, Size count, const Digest& digest) {
  Words sums[kSums], differ = {};
  add_all(values, count * Size(sizeof(T)), sums);
#pragma GCC unroll 16
  for (Size i = 0; i < kSums; ++i) {
    Words expected;
    __builtin_memcpy(&expected, digest.words + i * kVectorBytes / 4, kVectorBytes);
    differ |= sums[i] ^ expected;
  }
  std::uint32_t any = 0;
  for (Size i = 0; i < kVectorBytes / 4; ++i) any |= differ[i];
  return any == 0;
}

template bool has_digest(const float*, Size, const Digest&);
template void digest(const float*, Size, Digest*);
#if !defined(FASTRNN_INFERENCE_ONLY)
template bool has_digest(const double*, Size, const Digest&);
template void digest(const double*, Size, Digest*);
#endif

}  // namespace FASTRNN_NS
}  // namespace fastrnn
