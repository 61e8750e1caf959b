// Teams of threads and scratch memory, for the kernels.
#pragma once

#include <cstddef>

namespace fastrnn {

// --- Threads -------------------------------------------------------------------------

struct Meeting;

struct Team {
  int rank;  // 0 … size − 1
  int size;
  Meeting* meeting;
  void barrier() const;  // returns when all members have called it
};

// Starting a team costs some microseconds, and so do its barriers. Below this much work
// (about 20 µs on one core) a second thread does not pay.
constexpr double kWorthATeam = 4e6;  // floating-point operations

using TeamBody = void (*)(Team team, void* context);

// Calls body once on each of `threads` threads and returns when all are done. The
// system may provide fewer: the body reads team.size. Inside, denormals are flushed to
// zero; afterwards the caller's floating-point mode is restored.
void run_team(int threads, TeamBody body, void* context);

// From now on teams are made of the OpenMP threads of another library in this process,
// given by its path. Two OpenMP runtimes have a pool of threads each, and a thread that
// spins in one pool, waiting for work, takes a core from the other. False if the
// library is not loaded, or has no OpenMP with GNU's interface (GCC's, LLVM's and
// Intel's do).
bool use_openmp_of(const char* path);

int get_num_threads();
void set_num_threads(int threads);
// Limits the calls of the calling thread only; 0: no limit. Returns the previous limit.
int limit_threads(int threads);
// Limits teams to so many members, whatever their waits; 0: as many as waits allow. For
// tests.
void shrink_teams(int members);
bool has_openmp();

// How threads share a sequence: as the cost model (kernels/plan.h) chooses, or always
// the same way, for tests and measurements.
enum class Sharing { kBest, kNone, kRows, kUnits };
Sharing get_sharing();
void set_sharing(Sharing way);

// --- Scratch memory ------------------------------------------------------------------

// Memory aligned to a cache line, so that no vector straddles two. Large blocks ask for
// huge pages; some released blocks are cached. Throws std::bad_alloc.
void* allocate(std::size_t bytes);
void release(void* memory);

// Memory of one call, aligned to a cache line and freed with the object. Kernels take
// all they need before they start a team, since a failing allocation throws
// std::bad_alloc.
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
