// Meeting the other ranks where a launcher tells which of its processes have ended.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "transport/transport.h"

namespace ofl::transport {

// The ranks whose processes have ended without an error, as far as is known; asked while meeting.
using EndedRanks = std::function<std::vector<int>()>;

// ConnectTcp that waits for no rank that has ended: kUnavailable names it.
Result<std::unique_ptr<Transport>> ConnectTcp(const WorldConfig& config, EndedRanks ended);

}  // namespace ofl::transport
