#include <cstdlib>
#include <new>

#include "fastrnn/runtime.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace fastrnn {

namespace {
constexpr std::size_t kLine = 64;
// From here on page faults cost more than the rounding up to huge pages.
constexpr std::size_t kHugePage = std::size_t{1} << 21;
constexpr std::size_t kLarge = 2 * kHugePage;
}  // namespace

void* allocate(std::size_t bytes) {
  const std::size_t alignment = bytes < kLarge ? kLine : kHugePage;
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, rounded ? rounded : alignment);
  if (!memory) throw std::bad_alloc();
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (alignment == kHugePage) madvise(memory, rounded, MADV_HUGEPAGE);
#endif
  return memory;
}

void release(void* memory) { std::free(memory); }

// The header of a block takes one cache line, the memory follows.
struct Scratch::Block {
  Block* next;
};

void* Scratch::take_bytes(std::size_t bytes) {
  void* memory = allocate(kLine + bytes);
  blocks_ = new (memory) Block{blocks_};
  return static_cast<char*>(memory) + kLine;
}

Scratch::~Scratch() {
  while (blocks_) {
    Block* next = blocks_->next;
    release(blocks_);
    blocks_ = next;
  }
}

}  // namespace fastrnn
