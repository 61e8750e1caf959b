// What kernels use of the runtime: a team of threads, and scratch memory.
#pragma once

#include <cstddef>

namespace fastrnn {

// --- Threads -------------------------------------------------------------------------

struct Meeting;

struct Team {
  int rank;  // 0 … size − 1
  int size;
  Meeting* meeting;
  void barrier() const;  // waits until all of the team have come here
};

// Starting a team and its barriers cost some microseconds; below this much work (about
// 20 µs on one core) a second thread does not pay.
constexpr double kWorthATeam = 4e6;  // floating-point operations

using TeamBody = void (*)(Team team, void* context);

// Calls body once on each of `threads` threads (on fewer where the system gives fewer:
// the body reads team.size) and returns when all are done. Denormals are flushed to
// zero inside; the caller's floating-point mode is put back.
void run_team(int threads, TeamBody body, void* context);

// From now on teams are threads of the OpenMP that a library of this process, given by
// its path, was linked with. Two of them have a pool each, and a thread that waits in
// one for work to come, spinning, keeps a core from the other. False if the library is
// not loaded or has no OpenMP of GNU's interface (GCC's, LLVM's, Intel's have it).
bool use_openmp_of(const char* path);

int get_num_threads();
void set_num_threads(int threads);
// For the calls of the calling thread alone; 0 is no limit. Returns the one before.
int limit_threads(int threads);
// Teams have at most so many members from now on, however long is waited; 0: as many as
// waits allow. For tests.
void shrink_teams(int members);
bool has_openmp();

// How a sequence is shared among threads: as the cost model (kernels/plan.h) finds
// best, or one way always, for tests and measurements.
enum class Sharing { kBest, kNone, kRows, kUnits };
Sharing get_sharing();
void set_sharing(Sharing way);

// --- Scratch memory ------------------------------------------------------------------

// Memory aligned to a cache line, so that no vector is split between two. Large blocks
// ask for huge pages, and some are kept for reuse. Throws std::bad_alloc.
void* allocate(std::size_t bytes);
void release(void* memory);

// Memory of one call, aligned to a cache line, freed with the object. Kernels take all
// they need before they start a team: an allocation that fails throws std::bad_alloc.
class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();

  // Always inlined: kernels must not share a copy across instruction sets.
  template <class T>
  __attribute__((always_inline)) T* take(std::ptrdiff_t count) {
    return static_cast<T*>(take_bytes(std::size_t(count) * sizeof(T)));
  }

 private:
  struct Block;
  void* take_bytes(std::size_t bytes);
  Block* blocks_ = nullptr;
};

}  // namespace fastrnn
