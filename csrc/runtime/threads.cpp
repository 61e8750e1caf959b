// The one file that knows OpenMP.
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <thread>
#include <type_traits>

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
thread_local int limit = 0;  // of the calls of this thread; 0 is none
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

// What the compiler makes of the pragma below, in another library's OpenMP.
struct OtherOpenMp {
  void (*parallel)(void (*)(void*), void*, unsigned threads, unsigned flags);
  int (*thread_num)();
  int (*num_threads)();
};
std::atomic<const OtherOpenMp*> other{nullptr};

struct Job {
  TeamBody body;
  void* context;
  const OtherOpenMp* openmp;
  Meeting* meeting;
};

void run_job(void* data) {
  const Job& job = *static_cast<Job*>(data);
  const OtherOpenMp& o = *job.openmp;
  const FlushDenormals flush;
  job.body(Team{o.thread_num(), o.num_threads(), job.meeting}, job.context);
}

void run_openmp(int threads, TeamBody body, void* context) {
  Meeting meeting;
  if (const OtherOpenMp* openmp = other) {
    Job job{body, context, openmp, &meeting};
    openmp->parallel(run_job, &job, unsigned(threads), 0);
    return;
  }
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

bool use_openmp_of(const char* path) {
#if defined(_OPENMP)
  void* library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
  if (!library) return false;
  OtherOpenMp found{};
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, name));
    return function != nullptr;
  };
  if (!find(found.parallel, "GOMP_parallel") ||
      !find(found.thread_num, "omp_get_thread_num") ||
      !find(found.num_threads, "omp_get_num_threads")) {
    dlclose(library);
    return false;
  }
  other = new OtherOpenMp(found);  // for as long as the library, which stays open
  return true;
#else
  (void)path;
  return false;
#endif
}

int get_num_threads() {
  const int threads = num_threads;
  return limit > 0 && limit < threads ? limit : threads;
}
void set_num_threads(int threads) { num_threads = threads; }

int limit_threads(int threads) {
  const int before = limit;
  limit = threads;
  return before;
}

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
