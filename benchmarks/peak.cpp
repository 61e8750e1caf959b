// The multiply-add peak of this machine: what no kernel can exceed.
//
//   acc[i] = acc[i] * a + b        for i in [0, CHAINS), repeated
//
// Compiled once per instruction set by peak.py, which passes -DVECTOR_BYTES=16|32|64.
// Nothing is loaded or stored inside the loop: its time is that of the arithmetic.
// Counted as 2 floating-point operations a lane, also where the instruction set has no
// fused multiply-add and the compiler emits a multiplication and an addition.

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace {

// A fused multiply-add takes 4 cycles and two start every cycle: 8 chains keep both
// units busy, the rest covers machines with longer latency. 12 accumulators, a and b
// still fit 16 registers.
constexpr int CHAINS = 12;

template <typename T>
struct Vector {
  typedef T type __attribute__((vector_size(VECTOR_BYTES)));
  static constexpr int LANES = VECTOR_BYTES / sizeof(T);
};

// The result is returned so that the loop cannot be removed. Values stay near 1: a, b
// have 1 as their fixed point, so no denormal and no infinity ever slows it down.
template <typename T>
T run_chains(long repeats, T seed) {
  using V = typename Vector<T>::type;
  const V a = V{} + T(0.5) * seed;
  const V b = V{} + T(0.5) * seed;
  V acc[CHAINS];
  for (int i = 0; i < CHAINS; ++i) acc[i] = V{} + T(1 + 0.01 * i);
  for (long r = 0; r < repeats; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; ++i) acc[i] = acc[i] * a + b;
  }
  T sum = 0;
  for (int i = 0; i < CHAINS; ++i) sum += acc[i][0];
  return sum;
}

// GFLOP/s of `threads` threads that start together, over the slowest one's time.
template <typename T>
double measure(int threads, long repeats) {
  using Clock = std::chrono::steady_clock;
  std::atomic<int> waiting{threads};
  std::atomic<double> sink{0};
  std::vector<double> seconds(threads);
  const auto work = [&](int k) {
    --waiting;
    while (waiting.load() > 0) {
    }
    const auto start = Clock::now();
    sink = double(run_chains<T>(repeats, T(1)));
    seconds[k] = std::chrono::duration<double>(Clock::now() - start).count();
  };
  std::vector<std::thread> others;
  for (int k = 1; k < threads; ++k) others.emplace_back(work, k);
  work(0);
  for (auto& other : others) other.join();
  double slowest = 0;
  for (double s : seconds) slowest = s > slowest ? s : slowest;
  const double flops = 2.0 * CHAINS * Vector<T>::LANES * double(repeats) * threads;
  return flops / slowest * 1e-9;
}

}  // namespace

extern "C" {
double peak_float32(int threads, long repeats) {
  return measure<float>(threads, repeats);
}
double peak_float64(int threads, long repeats) {
  return measure<double>(threads, repeats);
}
}
