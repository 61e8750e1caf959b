// What every call that computes has around it: no GIL, a floating-point mode of its
// own, an ear for Ctrl-C, and a MemoryError with a name.
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>
#include <new>
#include <stdexcept>
#include <string>

#include "fastrnn/runtime.h"

namespace fastrnn {

namespace py = pybind11;

// Set by another thread, it ends the calls that heed it at their next look.
struct StopFlag {
  std::atomic<bool> is_set{false};
};
// For the calls of the calling thread, which must keep it; null: none.
void heed(const StopFlag* flag);

// Remembers the main thread. To be called once, at import.
void remember_main_thread();

// A part of a call that runs without the GIL. In the main thread it looks for signals,
// some ten times a second, when a kernel asks.
class Unlocked final : public StopCheck {
 public:
  bool is_stopped() noexcept override;

  // Calls work(context, this). Throws what it throws, the exception of a signal handler
  // (KeyboardInterrupt), or std::runtime_error if another thread has set its flag.
  static void run(void (*work)(void*, Unlocked&), void* context);

 private:
  Unlocked();
  void lock();

  PyThreadState* state_ = nullptr;  // null: the GIL stays, as the interpreter ends
  StopCheck* const before_;
  long long next_look_ = 0;  // in ns; 0 until the first time that a kernel asks
  bool stopped_ = false;
};

// Runs work(), or work(unlocked), without the GIL.
template <class Work>
void without_gil(Work&& work) {
  Unlocked::run(
      [](void* context, Unlocked& unlocked) {
        auto& w = *static_cast<std::remove_reference_t<Work>*>(context);
        if constexpr (std::is_invocable_v<Work, Unlocked&>) {
          w(unlocked);
        } else {
          w();
        }
      },
      &work);
}

// What body() returns; where memory is short, a MemoryError that begins with what
// describe() returns, the name of the call and a colon.
template <class Describe, class Body>
auto with_memory(const Describe& describe, Body&& body) {
  std::string message;
  try {
    return body();
  } catch (const std::bad_alloc&) {
    message = describe();
  } catch (const std::length_error&) {  // of a vector
    message = describe();
  }
  PyErr_SetString(PyExc_MemoryError, message.c_str());
  throw py::error_already_set();
}

// "name: no memory for (T, N) = (3, 4)"
std::string no_memory(const std::string& name, const char* symbols,
                      std::initializer_list<std::ptrdiff_t> sizes);

}  // namespace fastrnn
