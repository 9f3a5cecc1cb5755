// Counts this binary's heap allocations. In a file of its own, so that the compiler does not see
// through the replaced operators where they are used.
#pragma once

#include <cstdint>

namespace ofl::actor {

// Always zero where a sanitizer brings its own operators.
int64_t AllocationCount();

}  // namespace ofl::actor
