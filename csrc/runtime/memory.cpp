// Aligned memory, and a cache of freed blocks.
//
// A block that is returned to the system costs page faults when it is next needed: the
// operating system clears it, at some 10 GB/s. In training with 1024 units this took 13
// % of the time, for the same blocks at every step. So some freed blocks are cached.
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>

#include "fastrnn/runtime.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__GLIBC__) || defined(_WIN32)
#include <malloc.h>
#endif

namespace fastrnn {

namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kHugePage = std::size_t{1} << 21;
constexpr std::size_t kLarge = 2 * kHugePage;  // from here on with huge pages
constexpr std::size_t kWorthCaching = std::size_t{1} << 16;
constexpr std::size_t kMostCached = std::size_t{1} << 28;  // bytes
constexpr int kMostBlocks = 128;

// Aligned memory of the system, or null. Windows has a way of its own to free it.
void* take_from_system(std::size_t alignment, std::size_t bytes) {
#if defined(_WIN32)
  return _aligned_malloc(bytes, alignment);
#else
  void* memory = nullptr;
  return posix_memalign(&memory, alignment, bytes) == 0 ? memory : nullptr;
#endif
}

void give_to_system(void* memory) {
#if defined(_WIN32)
  _aligned_free(memory);
#else
  std::free(memory);
#endif
}

// Precedes every block, in a cache line of its own.
struct Header {
  std::size_t bytes;  // with the header
};

class Cache {
 public:
  // A cached block of at least `bytes` and not much more, or null.
  Header* take(std::size_t bytes) {
    const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock) return nullptr;
    int best = -1;
    for (int i = 0; i < count_; ++i) {
      const std::size_t has = blocks_[i]->bytes;
      if (has < bytes || has > bytes + bytes / 4) continue;
      if (best < 0 || has < blocks_[best]->bytes) best = i;
    }
    return best < 0 ? nullptr : remove(best);
  }

  // Adds a block, in place of the oldest ones if necessary. False if it cannot.
  bool put(Header* block) {
    const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock || block->bytes > kMostCached) return false;
    while (count_ > 0 &&
           (count_ == kMostBlocks || bytes_ + block->bytes > kMostCached)) {
      give_to_system(remove(0));
    }
    blocks_[count_++] = block;
    bytes_ += block->bytes;
    return true;
  }

  void clear() {
    std::unique_lock<std::mutex> lock(mutex_, std::defer_lock);
    for (int tries = 0; tries < 1000 && !lock.try_lock(); ++tries) {
      std::this_thread::yield();
    }
    while (lock && count_ > 0) give_to_system(remove(0));
  }

 private:
  Header* remove(int index) {
    Header* block = blocks_[index];
    for (int i = index + 1; i < count_; ++i) blocks_[i - 1] = blocks_[i];
    --count_;
    bytes_ -= block->bytes;
    return block;
  }

  // Never waited for: in a child forked while another thread held it, it stays locked.
  std::mutex mutex_;
  Header* blocks_[kMostBlocks] = {};  // oldest first
  int count_ = 0;
  std::size_t bytes_ = 0;
};

// Never destroyed: arrays may be freed after everything else at exit.
Cache& cache() {
  static Cache* const instance = new Cache;
  return *instance;
}

}  // namespace

void* allocate(std::size_t count, std::size_t size) {
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes)) throw std::bad_alloc();
  return allocate(bytes);
}

void* allocate(std::size_t bytes) {
  if (bytes > PTRDIFF_MAX - kHugePage) throw std::bad_alloc();
  bytes += kLine;
  const bool large = bytes >= kLarge;
  bytes = (bytes + kLine - 1) / kLine * kLine;
  Header* block = bytes < kWorthCaching ? nullptr : cache().take(bytes);
  if (!block) {
    void* const memory = take_from_system(large ? kHugePage : kLine, bytes);
    if (!memory) throw std::bad_alloc();
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    // Whole huge pages only: the rest of the last one would be wasted.
    if (large) madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
    block = new (memory) Header{bytes};
  }
  return reinterpret_cast<char*>(block) + kLine;
}

void release(void* memory) {
  if (!memory) return;
  auto* block = reinterpret_cast<Header*>(static_cast<char*>(memory) - kLine);
  if (block->bytes < kWorthCaching || !cache().put(block)) give_to_system(block);
}

void trim_memory() {
  cache().clear();
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

// Small pieces of scratch share a block: taking and freeing ten of them would cost a
// small call a fifth of its time. Where the address sanitizer looks for what is written
// beyond them, each has a block of its own.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kSmall = 0;
#else
constexpr std::size_t kSmall = std::size_t{1} << 12;
#endif
constexpr std::size_t kShared = std::size_t{1} << 14;

// Each block of scratch begins with a cache line that links it to the others.
struct Scratch::Block {
  Block* next;
};

void* Scratch::take_bytes(std::size_t count, std::size_t size) {
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX - kLine) {
    throw std::bad_alloc();
  }
  if (bytes > kSmall) return take_block(bytes);
  bytes = (bytes + kLine - 1) / kLine * kLine;
  if (bytes > left_) {
    free_ = static_cast<char*>(take_block(kShared));
    left_ = kShared;
  }
  void* const piece = free_;
  free_ += bytes;
  left_ -= bytes;
  return piece;
}

void* Scratch::take_block(std::size_t bytes) {
  blocks_ = new (allocate(kLine + bytes)) Block{blocks_};
  return reinterpret_cast<char*>(blocks_) + kLine;
}

Scratch::~Scratch() {
  while (blocks_) {
    Block* next = blocks_->next;
    release(blocks_);
    blocks_ = next;
  }
}

}  // namespace fastrnn
