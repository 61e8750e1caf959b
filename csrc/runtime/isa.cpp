// The choice of the instruction set.
#include "fastrnn/isa.h"

#include <cstring>
#include <stdexcept>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace fastrnn {

#define FASTRNN_DECLARE(ns)                 \
  namespace ns {                            \
  extern const Kernels<float> kernels_f32;  \
  extern const Kernels<double> kernels_f64; \
  }
#if defined(FASTRNN_HAVE_AVX512)
FASTRNN_DECLARE(avx512)
#endif
#if defined(FASTRNN_HAVE_AVX2)
FASTRNN_DECLARE(avx2)
#endif
#if defined(FASTRNN_HAVE_NEON)
FASTRNN_DECLARE(neon)
#endif
#if defined(FASTRNN_HAVE_BASELINE)
FASTRNN_DECLARE(baseline)
#endif

namespace {

#if defined(__x86_64__)
// What the processor has, and of it what the system saves when it switches threads. Not
// by __builtin_cpu_supports: clang-cl links no library that has it.
class Processor {
 public:
  bool has_avx2() const { return saves(kAvxState) && has(b7_, 5) && has(c1_, 12); }
  bool has_avx512() const {  // F, DQ, BW and VL
    return has_avx2() && saves(kAvx512State) && has(b7_, 16) && has(b7_, 17) &&
           has(b7_, 30) && has(b7_, 31);
  }

  Processor() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid(1, &a, &b, &c1_, &d)) return;
    __get_cpuid_count(7, 0, &a, &b7_, &c, &d);
    if (!has(c1_, 27)) return;  // no xgetbv
    unsigned high = 0;
    asm volatile("xgetbv" : "=a"(saved_), "=d"(high) : "c"(0));
#if defined(__APPLE__)
    if (saves(kAvxState))
      saved_ |= kAvx512State;  // from a thread's first such instruction on
#endif
  }

 private:
  static constexpr unsigned kAvxState = 0x6, kAvx512State = 0xe6;

  static bool has(unsigned word, int bit) { return (word >> bit & 1) != 0; }
  bool saves(unsigned state) const { return (saved_ & state) == state; }

  unsigned c1_ = 0, b7_ = 0, saved_ = 0;
};
#endif

struct Available {
  Isa isas[4];
  int count = 0;

  Available() {
#if defined(__x86_64__)
    const Processor processor;
#endif
#if defined(FASTRNN_HAVE_AVX512)
    if (processor.has_avx512()) {
      isas[count++] = {"avx512", &avx512::kernels_f32, &avx512::kernels_f64};
    }
#endif
#if defined(FASTRNN_HAVE_AVX2)
    if (processor.has_avx2()) {
      isas[count++] = {"avx2", &avx2::kernels_f32, &avx2::kernels_f64};
    }
#endif
#if defined(FASTRNN_HAVE_NEON)
    isas[count++] = {"neon", &neon::kernels_f32, &neon::kernels_f64};
#endif
#if defined(FASTRNN_HAVE_BASELINE)
    isas[count++] = {"baseline", &baseline::kernels_f32, &baseline::kernels_f64};
#endif
  }
};

const Available& available() {
  static const Available instance;
  return instance;
}

const Isa* selected = nullptr;

}  // namespace

int available_isas(const Isa** isas) {
  *isas = available().isas;
  return available().count;
}

const Isa& isa() { return selected ? *selected : available().isas[0]; }

void select_isa(const char* name) {
  std::string usable;
  for (int i = 0; i < available().count; ++i) {
    if (std::strcmp(name, available().isas[i].name) == 0) {
      selected = &available().isas[i];
      return;
    }
    usable += (i ? ", " : "") + std::string(available().isas[i].name);
  }
  throw std::invalid_argument("FASTRNN_ISA: expected one of " + usable + ", got '" +
                              name + "'");
}

}  // namespace fastrnn
