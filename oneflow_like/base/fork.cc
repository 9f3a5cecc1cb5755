#include "oneflow_like/base/fork.h"

#include <pthread.h>

namespace ofl::internal {

constinit std::atomic<uint32_t> fork_count{0};

namespace {

// Programs that are run by fork() and exec() pass here too, and leave it behind.
[[maybe_unused]] const int registered =
    pthread_atfork(nullptr, nullptr, [] { fork_count.fetch_add(1, std::memory_order_relaxed); });

}  // namespace

}  // namespace ofl::internal
