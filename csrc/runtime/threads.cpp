// Teams: how many members, and how they wait for one another.
#include <atomic>
#include <chrono>
#include <climits>
#include <cstdint>
#include <thread>

#include "borrowed.h"
#include "fastrnn/float_environment.h"
#include "fastrnn/runtime.h"
#include "pool.h"
#include "wait.h"

#if !defined(_WIN32)
#include <sys/resource.h>
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
std::atomic<int> largest_team{1};

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
#if !defined(_WIN32)
std::atomic<long> preemptions{0};  // as last seen
#endif

std::int64_t now() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
}

bool were_preempted() {
#if defined(_WIN32)
  return true;  // not to be known there
#else
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return preemptions.exchange(usage.ru_nivcsw) != usage.ru_nivcsw;
#endif
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

struct TeamWork {
  TeamBody body;
  void* context;
  Meeting* meeting;
};

// All members meet at the end: waits elsewhere could not be measured.
void run_member(int rank, int size, void* work) {
  const TeamWork& w = *static_cast<const TeamWork*>(work);
  const Team team{rank, size, w.meeting};
  if (size > 1) note_wait(w.meeting->begin, *w.meeting, size, true);
  if (size > largest_team.load(std::memory_order_relaxed)) largest_team = size;
  const FloatEnvironment environment;
  w.body(team, w.context);
  team.barrier();
}

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
  if (wait_briefly(is_open)) return meeting->agreed;
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
  TeamWork work{body, context, &meeting};
  if (threads > 1) threads = members_for(threads);
  if (threads <= 1) return run_member(0, 1, &work);
  meeting.begin = now();
  if (!run_on_borrowed(threads, run_member, &work)) {
    run_on_pool(threads, run_member, &work);
  }
}

StopCheck* use_stop_check(StopCheck* check) {
  StopCheck* const before = stop_check;
  stop_check = check;
  return before;
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

int take_largest_team() { return largest_team.exchange(1); }

void shrink_teams(int members) {
  members_are_fixed = members > 0;
  most_members = members > 0 ? members : INT_MAX;
}

}  // namespace fastrnn
