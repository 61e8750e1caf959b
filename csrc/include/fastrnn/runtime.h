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

  // Returns when all members have called it. True, to all of them alike, if the call is
  // to be given up: the body returns then.
  bool barrier() const;
  // The same without waiting: members may learn of it at different times, but must
  // still meet at the next barrier.
  bool is_stopped() const;
};

// Says whether a call is to be given up. The member of rank 0 asks it, whenever a body
// looks, so it has to be quick.
class StopCheck {
 public:
  virtual bool is_stopped() noexcept = 0;

 protected:
  ~StopCheck() = default;
};
// For the calls of the calling thread, null for none. Returns the one before.
StopCheck* use_stop_check(StopCheck* check);

// Work between two looks, in floating-point operations: some 50 µs on one core.
constexpr double kBetweenLooks = 4e6;

// Starting a team costs some microseconds, and so do its barriers. Below this much work
// (about 20 µs on one core) a second thread does not pay.
constexpr double kWorthATeam = 4e6;  // floating-point operations

using TeamBody = void (*)(Team team, void* context);

// Calls body once on each of `threads` threads and returns when all are done. The
// system may provide fewer: the body reads team.size. Each has the
// mode of FloatEnvironment inside.
void run_team(int threads, TeamBody body, void* context);

// The number of members that a team of the calling thread can have on OpenMP's threads,
// at most `wanted`. OpenMP ends the whole process if a thread cannot be created. So
// before a thread first asks for a larger team, as many threads are created and ended
// again; if a limit on threads or memory does not allow all of them, teams are smaller.
int startable_members(int wanted);

// From now on teams are made of the OpenMP threads of another library in this process,
// given by its path. OpenMP's threads spin for a while when they wait for work, and
// would take the cores from ours. False if the library is not loaded, or has no OpenMP
// with GNU's interface (GCC's, LLVM's and Intel's do).
bool use_openmp_of(const char* path);

int get_num_threads();
void set_num_threads(int threads);
// Limits the calls of the calling thread only; 0: no limit. Returns the previous limit.
int limit_threads(int threads);
// Limits teams to so many members, whatever their waits; 0: as many as waits allow. For
// tests.
void shrink_teams(int members);
// The number of members of the largest team since this was last called. For tests.
int take_largest_team();

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
// The same for so many things of that size; std::bad_alloc if the product overflows.
void* allocate(std::size_t count, std::size_t size);
// Gives all kept blocks back to the system.
void trim_memory();

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
    return static_cast<T*>(take_bytes(std::size_t(count), sizeof(T)));
  }

 private:
  struct Block;
  void* take_bytes(std::size_t count, std::size_t size);
  void* take_block(std::size_t bytes);
  Block* blocks_ = nullptr;
  char* free_ = nullptr;  // what is left of a block that small pieces share
  std::size_t left_ = 0;
};

}  // namespace fastrnn
