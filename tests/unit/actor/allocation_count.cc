#include "tests/unit/actor/allocation_count.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<int64_t> count{0};
}

namespace ofl::actor {
int64_t AllocationCount() { return count.load(); }
}  // namespace ofl::actor

#ifndef OFL_SANITIZED
void* operator new(size_t bytes) {
  ++count;
  if (void* p = std::malloc(bytes == 0 ? 1 : bytes)) return p;
  std::abort();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
#endif
