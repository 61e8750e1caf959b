// How fast this machine reads memory of a given size again and again: what a product
// with one row cannot exceed, since it uses every weight once.
//
// Compiled by bandwidth.py. Threads read a part each, begin together, and the slowest
// one's time counts.

#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

namespace {

typedef float V __attribute__((vector_size(VECTOR_BYTES)));
constexpr long kStreams = 8;  // independent sums

float read_all(const char* from, long bytes) {
  V sums[kStreams] = {};
  for (long i = 0; i + kStreams * long(sizeof(V)) <= bytes;
       i += kStreams * long(sizeof(V))) {
    for (long s = 0; s < kStreams; ++s) {
      sums[s] += *reinterpret_cast<const V*>(from + i + s * long(sizeof(V)));
    }
  }
  V sum = {};
  for (const V& s : sums) sum += s;
  return sum[0];
}

}  // namespace

extern "C" {

void* bandwidth_allocate(long bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 1 << 21, std::size_t(bytes))) return nullptr;
  madvise(memory, std::size_t(bytes), MADV_HUGEPAGE);
  std::memset(memory, 0, std::size_t(bytes));
  return memory;
}

void bandwidth_free(void* memory) { std::free(memory); }

// Bytes a second.
double bandwidth(const void* memory, long bytes, int threads, long repeats) {
  using Clock = std::chrono::steady_clock;
  std::atomic<int> waiting{threads};
  std::atomic<float> sink{0};
  std::vector<double> seconds(static_cast<std::size_t>(threads));
  const long part = bytes / threads / 4096 * 4096;
  const auto work = [&](int k) {
    --waiting;
    while (waiting.load() > 0) {
    }
    const auto start = Clock::now();
    for (long r = 0; r < repeats; ++r) {
      sink = read_all(static_cast<const char*>(memory) + k * part, part);
    }
    seconds[std::size_t(k)] =
        std::chrono::duration<double>(Clock::now() - start).count();
  };
  std::vector<std::thread> others;
  for (int k = 1; k < threads; ++k) others.emplace_back(work, k);
  work(0);
  for (auto& other : others) other.join();
  double slowest = 0;
  for (const double s : seconds) slowest = s > slowest ? s : slowest;
  return double(part) * threads * double(repeats) / slowest;
}
}
