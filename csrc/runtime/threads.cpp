// The one file that knows OpenMP.
#include <pthread.h>

#include <atomic>
#include <thread>

#include "fastrnn/runtime.h"
#include "flush_denormals.h"

#if defined(_OPENMP)
#include <omp.h>
#endif
namespace fastrnn {

// Counts who has come, on a cache line of its own, and what was the last round.
struct Meeting {
  alignas(64) std::atomic<int> arrived{0};
  alignas(64) std::atomic<unsigned> round{0};
};

namespace {

std::atomic<int> num_threads{1};
std::atomic<Sharing> sharing{Sharing::kBest};

// About as long as 20 µs.
constexpr int kLooks = 500;

inline void wait_a_moment() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

#if defined(_OPENMP)
std::atomic<bool> pool_is_gone{false};

// A forked child inherits OpenMP's record of the pool but not its threads, and would
// wait for them for ever. The record belongs to the thread that called, so in a child
// teams are started from a new thread.
const int at_fork = pthread_atfork(nullptr, nullptr, [] { pool_is_gone = true; });

void run_openmp(int threads, TeamBody body, void* context) {
  Meeting meeting;
#pragma omp parallel num_threads(threads)
  {
    const FlushDenormals flush;
    body(Team{omp_get_thread_num(), omp_get_num_threads(), &meeting}, context);
  }
}
#endif

}  // namespace

// The last to come opens the way for all. The others look again and again, since a
// step's barrier is awaited for less than a sleep takes; who waits for long, because
// there are more threads than cores, lets others run in between.
void Team::barrier() const {
  if (size == 1) return;
  const unsigned round = meeting->round.load(std::memory_order_relaxed);
  if (meeting->arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == size) {
    meeting->arrived.store(0, std::memory_order_relaxed);
    meeting->round.store(round + 1, std::memory_order_release);
    return;
  }
  for (int looks = 0; meeting->round.load(std::memory_order_acquire) == round;) {
    if (++looks > kLooks) std::this_thread::yield();
    wait_a_moment();
  }
}

void run_team(int threads, TeamBody body, void* context) {
#if defined(_OPENMP)
  if (threads > 1) {
    if (pool_is_gone) {
      std::thread(run_openmp, threads, body, context).join();
    } else {
      run_openmp(threads, body, context);
    }
    return;
  }
#endif
  (void)threads;
  const FlushDenormals flush;
  body(Team{0, 1, nullptr}, context);
}

int get_num_threads() { return num_threads; }
void set_num_threads(int threads) { num_threads = threads; }

Sharing get_sharing() { return sharing; }
void set_sharing(Sharing way) { sharing = way; }

bool has_openmp() {
#if defined(_OPENMP)
  return true;
#else
  return false;
#endif
}

}  // namespace fastrnn
