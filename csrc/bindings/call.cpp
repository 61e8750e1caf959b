#include "call.h"

#include <time.h>

#include <chrono>
#include <exception>
#include <thread>

#include "fastrnn/float_environment.h"

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace fastrnn {

namespace {

constexpr long long kBetweenSignals = 80'000'000;  // ns

thread_local const StopFlag* heeded = nullptr;

// As PyThread_get_thread_ident has it. In a forked child it is the thread that forked.
std::atomic<unsigned long> main_thread{0};

// In ns; coarse, since kernels ask often: 5 instead of 25 ns.
long long now() {
#if defined(CLOCK_MONOTONIC_COARSE)
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
#else
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
#endif
}

bool is_finalizing() {
#if PY_VERSION_HEX >= 0x030d0000
  return Py_IsFinalizing() || !Py_IsInitialized();
#else
  return _Py_IsFinalizing() || !Py_IsInitialized();
#endif
}

// A thread that may not come back, as the interpreter ends, waits for the process to do
// so.
[[noreturn]] void wait_for_the_end() {
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

// While the interpreter ends, a thread that wants the GIL is ended by Python < 3.14, by
// an exception of the system's that no destructor can bear. It goes no further than
// here.
void take_gil(PyThreadState* state) {
  if (is_finalizing()) wait_for_the_end();
  try {
    PyEval_RestoreThread(state);
  } catch (...) {
    wait_for_the_end();
  }
}

}  // namespace

void heed(const StopFlag* flag) { heeded = flag; }

void remember_main_thread() {
  const py::object main = py::module_::import("threading").attr("main_thread")();
  main_thread = main.attr("ident").cast<unsigned long>();
#if !defined(_WIN32)
  pthread_atfork(nullptr, nullptr, [] { main_thread = PyThread_get_thread_ident(); });
#endif
}

// Who holds the GIL while the interpreter ends is the thread that ends it; it would not
// get the GIL back.
Unlocked::Unlocked() : before_(use_stop_check(this)) {
  if (!is_finalizing()) state_ = PyEval_SaveThread();
}

void Unlocked::lock() {
  if (state_) take_gil(state_);
  use_stop_check(before_);
}

bool Unlocked::is_stopped() noexcept {
  if (stopped_) return true;
  if (heeded && heeded->is_set) return stopped_ = true;
  if (!state_ || PyThread_get_thread_ident() != main_thread) return false;
  const long long time = now();
  if (next_look_ == 0) next_look_ = time + kBetweenSignals;
  if (time < next_look_) return false;
  const DefaultFloatEnvironment of_the_handlers;
  take_gil(state_);
  stopped_ = PyErr_CheckSignals() != 0;
  state_ = PyEval_SaveThread();
  next_look_ = now() + kBetweenSignals;
  return stopped_;
}

void Unlocked::run(void (*work)(void*, Unlocked&), void* context) {
  const FloatEnvironment environment;
  Unlocked unlocked;
  std::exception_ptr failure;
  try {
    work(context, unlocked);
  } catch (...) {
    failure = std::current_exception();
  }
  unlocked.lock();
  if (unlocked.stopped_) {
    if (PyErr_Occurred()) throw py::error_already_set();
    throw std::runtime_error("expected to run to the end, got stopped");
  }
  if (failure) std::rethrow_exception(failure);
}

std::string no_memory(const std::string& name, const char* symbols,
                      std::initializer_list<std::ptrdiff_t> sizes) {
  std::string text = name + ": no memory for " + symbols + " = ";
  const char* before = "(";
  for (const std::ptrdiff_t size : sizes) {
    text += before + std::to_string(size);
    before = ", ";
  }
  return text + ")";
}

}  // namespace fastrnn
