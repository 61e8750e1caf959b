// Threads that wait for teams to join.
//
// A caller takes as many idle workers as it wants, starts more if there are too few,
// and puts them back when all are done. So callers in several threads have a team each,
// and what one has started serves all. Workers are never ended but for lack of room: at
// the end of the process they sleep, and nothing waits for them.
#include "pool.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#include "wait.h"

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(_WIN32)
#include <system_error>
#else
#include <pthread.h>
#endif

namespace fastrnn {

namespace {

// A worker that has nothing to do sleeps after this time. Until then a call finds it
// awake, which saves the microseconds that it takes the system to wake a thread.
constexpr auto kAwake = std::chrono::microseconds(500);

// The cores that the members of a team are on.
//
// Linux may wake a thread on the core of its waker. There the two would take turns, and
// since they wait for each other all the time, Linux does not move them apart: it
// leaves a thread alone that has run a moment ago. A call with two threads took ten
// times as long as with one.
class Cores {
 public:
  // Moves the calling thread to a core of its own, if there is one.
  void claim() {
#if defined(__linux__)
    cpu_set_t allowed, free;
    if (take(sched_getcpu()) || sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
      return;
    }
    CPU_ZERO(&free);
    for (int core = 0; core < kMost; ++core) {
      if (CPU_ISSET(core, &allowed) && !is_taken(core)) CPU_SET(core, &free);
    }
    if (CPU_COUNT(&free) == 0 || sched_setaffinity(0, sizeof free, &free) != 0) return;
    take(sched_getcpu());
    sched_setaffinity(0, sizeof allowed, &allowed);
#endif
  }

 private:
#if defined(__linux__)
  static constexpr int kMost = CPU_SETSIZE, kWord = 64;

  bool take(int core) {
    if (core < 0 || core >= kMost) return true;  // not to be known
    const std::uint64_t bit = std::uint64_t{1} << core % kWord;
    return (taken_[core / kWord].fetch_or(bit, std::memory_order_relaxed) & bit) == 0;
  }
  bool is_taken(int core) const {
    return taken_[core / kWord].load(std::memory_order_relaxed) >> core % kWord & 1;
  }

  std::atomic<std::uint64_t> taken_[kMost / kWord] = {};
#endif
};

struct Job {
  void (*work)(int rank, int size, void* context);
  void* context;
  int size;
  std::atomic<int> left;  // workers that are not done
  Cores cores;
};

class Worker {
 public:
  // Null if the system starts no more threads.
  static Worker* start() {
    auto* const worker = new (std::nothrow) Worker;
    if (worker && start_thread(worker)) return worker;
    delete worker;
    return nullptr;
  }

  // Lets it work with the given rank; without a job, it ends.
  void send(Job* job, int rank) {
    rank_ = rank;
    job_ = job;
    sent_.store(true);  // before the look: either it sees this, or we see it asleep
    if (!asleep_.load()) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    wake_.notify_one();
  }

 private:
#if defined(_WIN32)
  static bool start_thread(Worker* worker) {
    try {
      std::thread(run, worker).detach();
      return true;
    } catch (const std::system_error&) {
      return false;
    }
  }
#else
  // With a stack of a size that does not count where memory is limited.
  static bool start_thread(Worker* worker) {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, std::size_t{1} << 20);
    pthread_t thread;
    const int error = pthread_create(&thread, &attributes, run, worker);
    pthread_attr_destroy(&attributes);
    return error == 0;
  }
#endif

  // What has ended stays in memory, since its last sender may still look at it.
  static void* run(void* self) {
    auto* const worker = static_cast<Worker*>(self);
    while (Job* const job = worker->receive()) {
      job->cores.claim();
      job->work(worker->rank_, job->size, job->context);
      job->left.fetch_sub(1, std::memory_order_release);  // the job may be gone now
    }
    return nullptr;
  }

  Job* receive() {
    const auto is_sent = [&] { return sent_.load(std::memory_order_acquire); };
    if (!wait_briefly(is_sent)) {
      const auto sleepy = std::chrono::steady_clock::now() + kAwake;
      while (!is_sent() && std::chrono::steady_clock::now() < sleepy) {
        std::this_thread::yield();
      }
    }
    if (!is_sent()) {
      std::unique_lock<std::mutex> lock(mutex_);
      asleep_.store(true);
      wake_.wait(lock, [&] { return sent_.load(); });
      asleep_.store(false);
    }
    sent_.store(false);
    return job_;
  }

  Job* job_ = nullptr;
  int rank_ = 0;
  std::atomic<bool> sent_{false}, asleep_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
};

class Pool {
 public:
  // Moves idle workers into `taken`, and starts more, until there are so many.
  void take(int wanted, std::vector<Worker*>& taken) {
    const std::lock_guard<std::mutex> lock(mutex_);
    while (int(taken.size()) < wanted) {
      if (idle_.empty()) {
        if (workers_ == most_) return;
        idle_.reserve(std::size_t(workers_) + 1);
        Worker* const worker = Worker::start();
        if (!worker) return shrink(taken);
        ++workers_;
        taken.push_back(worker);
      } else {
        taken.push_back(idle_.back());
        idle_.pop_back();
      }
    }
  }

  // In the order in which they are to be taken again, so that a worker finds the same
  // rows and units in its caches.
  void put(const std::vector<Worker*>& workers) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto worker = workers.rbegin(); worker != workers.rend(); ++worker) {
      idle_.push_back(*worker);
    }
  }

 private:
  // Where there is a limit, half is left to others, and to memory for other things.
  void shrink(std::vector<Worker*>& taken) {
    most_ = workers_ / 2;
    while (workers_ > most_ && !taken.empty()) {
      taken.back()->send(nullptr, 0);
      taken.pop_back();
      --workers_;
    }
  }

  std::mutex mutex_;
  std::vector<Worker*> idle_;
  int workers_ = 0;       // idle or not
  int most_ = 1'000'000;  // that the system has room for, as far as is known
};

// Never destroyed: other threads may call at exit.
std::atomic<Pool*> pool{nullptr};

// A forked child has the memory of the pool without its threads, perhaps in the midst
// of a change. It starts again.
#if !defined(_WIN32)
const int at_fork = pthread_atfork(nullptr, nullptr, [] { pool = nullptr; });
#endif

Pool* get_pool() {
  Pool* found = pool.load(std::memory_order_acquire);
  if (found) return found;
  auto* const made = new (std::nothrow) Pool;
  if (!made || pool.compare_exchange_strong(found, made)) return made;
  delete made;
  return found;
}

}  // namespace

void run_on_pool(int threads, void (*work)(int rank, int size, void* context),
                 void* context) {
  std::vector<Worker*> workers;
  Pool* const from = threads > 1 ? get_pool() : nullptr;
  if (from) {
    try {
      workers.reserve(std::size_t(threads) - 1);
      from->take(threads - 1, workers);
    } catch (const std::bad_alloc&) {
    }
  }
  const int others = int(workers.size());
  Job job{work, context, 1 + others, {others}, {}};
  if (others > 0) job.cores.claim();
  for (int i = 0; i < others; ++i) workers[std::size_t(i)]->send(&job, 1 + i);
  work(0, job.size, context);
  const auto are_done = [&] { return job.left.load(std::memory_order_acquire) == 0; };
  if (!wait_briefly(are_done)) {
    while (!are_done()) std::this_thread::yield();
  }
  if (others > 0) from->put(workers);
}

}  // namespace fastrnn
