// The choice of the instruction set.
#include "fastrnn/isa.h"

#include <cstring>
#include <stdexcept>
#include <string>

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

struct Available {
  Isa isas[4];
  int count = 0;

  Available() {
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
#if defined(FASTRNN_HAVE_AVX512)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("fma")) {
      isas[count++] = {"avx512", &avx512::kernels_f32, &avx512::kernels_f64};
    }
#endif
#if defined(FASTRNN_HAVE_AVX2)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
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
