#include <cstdlib>
#include <new>

#include "fastrnn/runtime.h"

namespace fastrnn {

namespace {
constexpr std::size_t kLine = 64;
}

// The header of a block takes one cache line, the memory follows.
struct Scratch::Block {
  Block* next;
};

void* Scratch::take_bytes(std::size_t bytes) {
  const std::size_t rounded = (bytes + kLine - 1) / kLine * kLine;
  void* memory = std::aligned_alloc(kLine, kLine + rounded);
  if (!memory) throw std::bad_alloc();
  blocks_ = new (memory) Block{blocks_};
  return static_cast<char*>(memory) + kLine;
}

Scratch::~Scratch() {
  while (blocks_) {
    Block* next = blocks_->next;
    std::free(blocks_);
    blocks_ = next;
  }
}

}  // namespace fastrnn
