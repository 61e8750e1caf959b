// Waiting for another thread that is about to be ready.
#pragma once

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace fastrnn {

inline void wait_a_moment() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Looks for about 20 µs whether something is so; going to sleep would take longer.
template <class IsSo>
bool wait_briefly(const IsSo& is_so) {
  constexpr int kLooks = 500;
  for (int looks = 0; looks < kLooks; ++looks) {
    if (is_so()) return true;
    wait_a_moment();
  }
  return false;
}

}  // namespace fastrnn
