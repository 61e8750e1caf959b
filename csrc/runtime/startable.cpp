#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#include "fastrnn/runtime.h"

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace fastrnn {

#if defined(_WIN32)

int startable_members(int wanted) { return wanted; }  // no OpenMP is borrowed there

#else

namespace {

// Bytes of a thread's stack in OpenMP: what the environment says, 0 for the system's
// own. As OpenMP reads it: a number, of KiB where no letter follows.
std::size_t stack_size() {
  const char* text = std::getenv("OMP_STACKSIZE");
  if (!text) text = std::getenv("GOMP_STACKSIZE");
  if (!text) return 0;
  char* end = nullptr;
  const unsigned long number = std::strtoul(text, &end, 10);
  while (*end == ' ') ++end;
  const char unit = *end ? *end : 'k';
  const int shift = unit == 'b' || unit == 'B'   ? 0
                    : unit == 'k' || unit == 'K' ? 10
                    : unit == 'm' || unit == 'M' ? 20
                                                 : 30;
  return number > (SIZE_MAX >> 1 >> shift) ? 0 : std::size_t(number) << shift;
}

// How many of so many threads can live at the same time.
int count_startable(int wanted) {
  std::vector<pthread_t> started;
  std::mutex gate;
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return 0;
  const std::size_t stack = stack_size();
  if (stack > 0) pthread_attr_setstacksize(&attributes, stack);
  try {
    started.reserve(std::size_t(wanted));
    gate.lock();
    const auto wait = [](void* mutex) -> void* {
      const std::lock_guard<std::mutex> until_open(*static_cast<std::mutex*>(mutex));
      return nullptr;
    };
    pthread_t thread;
    while (int(started.size()) < wanted &&
           pthread_create(&thread, &attributes, wait, &gate) == 0) {
      started.push_back(thread);
    }
    gate.unlock();
  } catch (const std::bad_alloc&) {
  }
  for (const pthread_t thread : started) pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  return int(started.size());
}

thread_local int granted = 1, tried = 1;  // members of this thread's teams

}  // namespace

int startable_members(int wanted) {
  if (wanted <= granted) return wanted;
  if (wanted > tried) {
    // Where there is a limit, half is left to others, and to memory for other things.
    const int others = count_startable(wanted - 1);
    tried = wanted;
    granted = 1 + (others == wanted - 1 ? others : others / 2);
  }
  return granted;
}

#endif

}  // namespace fastrnn
