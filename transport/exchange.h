// Blocking helpers over tagged messages, for handshakes: not for the data path.
//
// Threads: may be called from any thread but a transport's callback. Every rank of the world calls
// with the same channel and sequence; a pair (channel, sequence) is used once.
// Failure: as the transport's operations (their deadline bounds the wait).
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "transport/transport.h"

namespace ofl::transport {

// Returns when every rank has entered.
Status Barrier(Transport& transport, const Tag& tag);

// Entry r of the result is rank r's text (at most kMaxExchangeBytes). kCancelled soon after
// `interrupted` says so.
inline constexpr size_t kMaxExchangeBytes = 64 << 20;
Result<std::vector<std::string>> AllGatherText(Transport& transport, uint64_t channel,
                                               uint64_t sequence, std::string_view text,
                                               const std::function<bool()>& interrupted = nullptr);

// Waits for one operation: `start` gets the callback to hand over.
Status Await(const std::function<void(Done)>& start);

}  // namespace ofl::transport
