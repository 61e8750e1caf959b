// The only file that knows OpenMP.
#include <dlfcn.h>
#include <pthread.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <climits>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <thread>
#include <type_traits>

#include "fastrnn/float_environment.h"
#include "fastrnn/runtime.h"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace fastrnn {

// Counts the members that have arrived, and the rounds, on a cache line each.
struct Meeting {
  alignas(64) std::atomic<int> arrived{0};
  alignas(64) std::atomic<unsigned> round{0};
  std::int64_t begin = 0;               // when the team was called, in ns
  std::atomic<std::int64_t> waited{0};  // the sum of all members' long waits since then
  StopCheck* check = nullptr;           // what the member of rank 0 asks
  std::atomic<bool> stopped{false};     // the call is to be given up
  bool agreed = false;                  // the same, as of the last round
};

namespace {

std::atomic<int> num_threads{1};
thread_local int limit = 0;                    // for calls of this thread; 0: none
thread_local StopCheck* stop_check = nullptr;  // for calls of this thread
std::atomic<Sharing> sharing{Sharing::kBest};

// About 20 µs.
constexpr int kLooks = 500;

// --- Cores that other processes use, too ---------------------------------------------
//
// If another process competes for the core of a member, the system preempts that member
// for milliseconds at a time, and the whole team waits for it, however short the call.
// So a long wait makes teams smaller by one member, for twice the time waited. Then one
// more member is tried; if that soon leads to another long wait, the time doubles.
// Work that does not divide evenly is no reason for a smaller team: a wait counts only
// if the system has preempted one of our threads, or has not let it start, and only
// when waits amount to a good part of the call's time.
constexpr std::int64_t kLongWait = 500'000;  // ns
constexpr std::int64_t kGoodPart = 4;        // a fourth
constexpr std::int64_t kFirstPatience = 2, kMostPatience = 32;
constexpr std::int64_t kTrial = 4;  // patiences: "soon"

std::atomic<int> most_members{INT_MAX};
std::atomic<bool> members_are_fixed{false};
std::atomic<std::int64_t> try_more{0}, patience{0};  // a time and a duration, in ns
std::atomic<std::int64_t> times_waited{kFirstPatience};
std::atomic<long> preemptions{0};  // as last seen

std::int64_t now() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
}

bool were_preempted() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return preemptions.exchange(usage.ru_nivcsw) != usage.ru_nivcsw;
}

void note_wait(std::int64_t begin, Meeting& meeting, int members, bool to_start) {
  const std::int64_t end = now(), wait = end - begin;
  if (members_are_fixed || wait < kLongWait) return;
  meeting.waited += wait;
  if (kGoodPart * meeting.waited < end - meeting.begin) return;
  if (!to_start && !were_preempted()) return;
  if (most_members < members) {  // the same call, once more
    patience += times_waited * wait;
    try_more = end + patience;
    return;
  }
  const std::int64_t doubled = 2 * times_waited;
  times_waited = begin > try_more          ? kFirstPatience
                 : doubled < kMostPatience ? doubled
                                           : kMostPatience;
  patience = times_waited * wait;
  try_more = end + patience;
  most_members = members - 1;
}

int members_for(int threads) {
  const int most = most_members.load(std::memory_order_relaxed);
  if (most >= threads || sharing != Sharing::kBest) return threads;
  if (members_are_fixed) return most;
  const std::int64_t time = now();
  if (time < try_more) return most;
  try_more = time + kTrial * patience;
  most_members = most + 1;
  return most + 1;
}

inline void wait_a_moment() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// All members meet at the end: waits inside OpenMP could not be measured.
void run_member(Team team, TeamBody body, void* context) {
  if (team.size > 1) note_wait(team.meeting->begin, *team.meeting, team.size, true);
  const FloatEnvironment environment;
  body(team, context);
  team.barrier();
}

#if defined(_OPENMP)
std::atomic<bool> pool_is_gone{false};

// A forked child inherits OpenMP's record of the pool without its threads, and would
// wait for them for ever. The record belongs to the calling thread, so in a child each
// team is started from a new thread.
const int at_fork = pthread_atfork(nullptr, nullptr, [] { pool_is_gone = true; });

// The functions behind the pragma below, in another library's OpenMP.
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
  run_member(Team{o.thread_num(), o.num_threads(), job.meeting}, job.body, job.context);
}

void run_openmp(int threads, TeamBody body, void* context, Meeting& meeting) {
  if (const OtherOpenMp* openmp = other) {
    Job job{body, context, openmp, &meeting};
    openmp->parallel(run_job, &job, unsigned(threads), 0);
    return;
  }
#pragma omp parallel num_threads(threads)
  run_member(Team{omp_get_thread_num(), omp_get_num_threads(), &meeting}, body,
             context);
}

// The same from a new thread, while this one waits, and looks whether to give up. False
// if there is no new thread to be had.
bool run_openmp_elsewhere(int threads, TeamBody body, void* context, Meeting& meeting) {
  StopCheck* const check = meeting.check;
  meeting.check = nullptr;
  std::mutex mutex;
  std::condition_variable end;
  bool done = false;
  std::thread caller;
  try {
    caller = std::thread([&] {
      run_openmp(threads, body, context, meeting);
      const std::lock_guard<std::mutex> lock(mutex);
      done = true;
      end.notify_one();
    });
  } catch (const std::system_error&) {
    meeting.check = check;
    return false;
  }
  {
    std::unique_lock<std::mutex> lock(mutex);
    while (!end.wait_for(lock, std::chrono::milliseconds(20), [&] { return done; })) {
      lock.unlock();
      if (check && check->is_stopped()) meeting.stopped = true;
      lock.lock();
    }
  }
  caller.join();
  return true;
}
#endif

}  // namespace

// The last member to arrive releases the others. These spin, since the wait at a step's
// barrier is shorter than going to sleep; in a long wait they yield.
//
// Whether to stop is settled by the last one, and holds until all have arrived at the
// next barrier.
bool Team::barrier() const {
  if (size == 1) return meeting->stopped.load(std::memory_order_relaxed);
  const unsigned round = meeting->round.load(std::memory_order_relaxed);
  if (meeting->arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == size) {
    const bool stopped = meeting->stopped.load(std::memory_order_relaxed);
    meeting->agreed = stopped;
    meeting->arrived.store(0, std::memory_order_relaxed);
    meeting->round.store(round + 1, std::memory_order_release);
    return stopped;
  }
  const auto is_open = [&] {
    return meeting->round.load(std::memory_order_acquire) != round;
  };
  for (int looks = 0; looks < kLooks; ++looks) {
    if (is_open()) return meeting->agreed;
    wait_a_moment();
  }
  const std::int64_t begin = now();
  while (!is_open()) std::this_thread::yield();
  note_wait(begin, *meeting, size, false);
  return meeting->agreed;
}

bool Team::is_stopped() const {
  if (rank == 0 && meeting->check && meeting->check->is_stopped()) {
    meeting->stopped.store(true, std::memory_order_relaxed);
  }
  return meeting->stopped.load(std::memory_order_relaxed);
}

void run_team(int threads, TeamBody body, void* context) {
  Meeting meeting;
  meeting.check = stop_check;
#if defined(_OPENMP)
  if (threads > 1) threads = startable_members(members_for(threads));
  if (threads > 1) {
    meeting.begin = now();
    if (!pool_is_gone) return run_openmp(threads, body, context, meeting);
    if (run_openmp_elsewhere(threads, body, context, meeting)) return;
  }
#endif
  (void)threads;
  run_member(Team{0, 1, &meeting}, body, context);
}

StopCheck* use_stop_check(StopCheck* check) {
  StopCheck* const before = stop_check;
  stop_check = check;
  return before;
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
  other = new OtherOpenMp(found);  // lives as long as the library, which stays open
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

void shrink_teams(int members) {
  members_are_fixed = members > 0;
  most_members = members > 0 ? members : INT_MAX;
}

bool has_openmp() {
#if defined(_OPENMP)
  return true;
#else
  return false;
#endif
}

}  // namespace fastrnn
