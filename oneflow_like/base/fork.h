// Whether the process is a fork of the one that made an object: its threads do not exist here, and
// its connections belong to the parent.
#pragma once

#include <atomic>
#include <cstdint>

namespace ofl {

namespace internal {
extern std::atomic<uint32_t> fork_count;
}  // namespace internal

// How many forks lie between the first process and this one. An object that owns threads or
// connections remembers it, and compares.
inline uint32_t ForkCount() { return internal::fork_count.load(std::memory_order_relaxed); }

// A shared pointer's deleter: a fork of the process leaves what its parent made as it is.
struct OfThisProcess {
  uint32_t forks = ForkCount();
  template <class T>
  void operator()(T* made) const {
    if (forks == ForkCount()) delete made;
  }
};

}  // namespace ofl
