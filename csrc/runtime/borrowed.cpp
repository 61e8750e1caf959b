#include "borrowed.h"

#include "fastrnn/runtime.h"

#if !defined(_WIN32)
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <type_traits>
#endif

namespace fastrnn {

#if defined(_WIN32)

bool run_on_borrowed(int, void (*)(int, int, void*), void*) { return false; }
bool use_openmp_of(const char*) { return false; }

#else

namespace {

// What GCC's compiler calls for `#pragma omp parallel`, which LLVM's and Intel's OpenMP
// have as well.
struct OpenMp {
  void (*parallel)(void (*)(void*), void*, unsigned threads, unsigned flags);
  int (*thread_num)();
  int (*num_threads)();
};
std::atomic<const OpenMp*> borrowed{nullptr};

// A forked child inherits OpenMP's record of its threads without the threads, and would
// wait for them for ever.
const int at_fork = pthread_atfork(nullptr, nullptr, [] { borrowed = nullptr; });

struct Job {
  void (*work)(int rank, int size, void* context);
  void* context;
  const OpenMp* openmp;
};

void run_job(void* data) {
  const Job& job = *static_cast<const Job*>(data);
  job.work(job.openmp->thread_num(), job.openmp->num_threads(), job.context);
}

}  // namespace

bool run_on_borrowed(int threads, void (*work)(int rank, int size, void* context),
                     void* context) {
  const OpenMp* const openmp = borrowed;
  if (!openmp) return false;
  threads = startable_members(threads);
  if (threads == 1) return work(0, 1, context), true;
  Job job{work, context, openmp};
  openmp->parallel(run_job, &job, unsigned(threads), 0);
  return true;
}

bool use_openmp_of(const char* path) {
  void* library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
  if (!library) return false;
  OpenMp found{};
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
  borrowed = new OpenMp(found);  // lives as long as the library, which stays open
  return true;
}

#endif

}  // namespace fastrnn
