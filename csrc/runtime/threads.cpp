// The one file that knows OpenMP.
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <thread>
#include <type_traits>

#include "fastrnn/runtime.h"

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fastrnn {

namespace {

std::atomic<int> num_threads{1};
thread_local int limit = 0;  // of the calls of this thread; 0 is none

// Denormals are flushed while this lives.
class FlushDenormals {
 public:
#if defined(__x86_64__)
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
#elif defined(__aarch64__)
  FlushDenormals() {
    asm volatile("mrs %0, fpcr" : "=r"(saved_));
    asm volatile("msr fpcr, %0" : : "r"(saved_ | (1UL << 24)));
  }
  ~FlushDenormals() { asm volatile("msr fpcr, %0" : : "r"(saved_)); }

 private:
  unsigned long saved_;
#endif
};

#if defined(_OPENMP)
std::atomic<bool> pool_is_gone{false};

// A forked child inherits OpenMP's record of the pool but not its threads, and would
// wait for them for ever. The record belongs to the thread that called, so in a child
// teams are started from a new thread.
const int at_fork = pthread_atfork(nullptr, nullptr, [] { pool_is_gone = true; });

// What the compiler makes of the pragma below, in another library's OpenMP.
struct OtherOpenMp {
  void (*parallel)(void (*)(void*), void*, unsigned threads, unsigned flags);
  void (*barrier)();
  int (*thread_num)();
  int (*num_threads)();
};
std::atomic<const OtherOpenMp*> other{nullptr};

struct Job {
  TeamBody body;
  void* context;
  const OtherOpenMp* openmp;
};

void run_job(void* data) {
  const Job& job = *static_cast<Job*>(data);
  const OtherOpenMp& o = *job.openmp;
  const FlushDenormals flush;
  job.body(Team{o.thread_num(), o.num_threads(), o.barrier}, job.context);
}

void run_openmp(int threads, TeamBody body, void* context) {
  if (const OtherOpenMp* openmp = other) {
    Job job{body, context, openmp};
    openmp->parallel(run_job, &job, unsigned(threads), 0);
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    const FlushDenormals flush;
    body(Team{omp_get_thread_num(), omp_get_num_threads()}, context);
  }
}
#endif

}  // namespace

void Team::barrier() const {
#if defined(_OPENMP)
  if (size > 1 && wait) {
    wait();
  } else if (size > 1) {
#pragma omp barrier
  }
#endif
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
  body(Team{0, 1}, context);
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
  if (!find(found.parallel, "GOMP_parallel") || !find(found.barrier, "GOMP_barrier") ||
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

bool has_openmp() {
#if defined(_OPENMP)
  return true;
#else
  return false;
#endif
}

}  // namespace fastrnn
