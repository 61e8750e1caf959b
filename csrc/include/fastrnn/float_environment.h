// While a FloatEnvironment lives, its thread computes in the mode in which results are
// the same everywhere: rounding to nearest, denormals flushed to zero, no traps. Then
// all is as before, the flags of what happened too.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <cstdint>
#endif

namespace fastrnn {

class FloatEnvironment {
 public:
#if defined(__x86_64__)
  FloatEnvironment() : FloatEnvironment(0x9fc0) {}
  ~FloatEnvironment() { _mm_setcsr(saved_); }

 protected:
  explicit FloatEnvironment(unsigned mode) : saved_(_mm_getcsr()) { _mm_setcsr(mode); }
  static constexpr unsigned kDefault = 0x1f80;

 private:
  unsigned saved_;
#elif defined(__aarch64__)
  FloatEnvironment() : FloatEnvironment(std::uint64_t(1) << 24) {}
  ~FloatEnvironment() {
    asm volatile("msr fpcr, %0" : : "r"(mode_));
    asm volatile("msr fpsr, %0" : : "r"(flags_));
  }

 protected:
  explicit FloatEnvironment(std::uint64_t mode) {
    asm volatile("mrs %0, fpcr" : "=r"(mode_));
    asm volatile("mrs %0, fpsr" : "=r"(flags_));
    asm volatile("msr fpcr, %0" : : "r"(mode));
  }
  static constexpr std::uint64_t kDefault = 0;

 private:
  std::uint64_t mode_, flags_;  // a register holds 64 bits, a long of Windows 32
#else
  FloatEnvironment() {}

 protected:
  explicit FloatEnvironment(int) {}
  static constexpr int kDefault = 0;
#endif

 public:
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;
};

// The mode in which a thread begins, for code that is not ours.
class DefaultFloatEnvironment : FloatEnvironment {
 public:
  DefaultFloatEnvironment() : FloatEnvironment(kDefault) {}
};

}  // namespace fastrnn
