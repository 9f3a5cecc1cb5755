// Who starts which plan: ranks compare the hashes of a plan before its first launch, and a rank
// whose launch does not move asks whether a peer is starting another plan instead.
//
// Every rank numbers the plans it starts alike. Starting one sends its hash to all peers; what a
// peer sends before that has arrived when the hash has, since messages keep their order.
// Threads: any; the answer to Ask comes on the transport's I/O thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "oneflow_like/base/status.h"
#include "transport/transport.h"

namespace ofl::runtime {

class PlanStarts : public std::enable_shared_from_this<PlanStarts> {
 public:
  // The one of this transport, made at first use.
  static std::shared_ptr<PlanStarts> Of(const std::shared_ptr<transport::Transport>& transport);

  // All ranks' hashes of the next plan, which every rank starts now.
  Result<std::vector<std::string>> Exchange(const std::string& hash,
                                            const std::function<bool()>& interrupted);
  // Calls `started(peer)` for each peer that starts the next plan, until Exchange is called here.
  void Ask(std::function<void(int peer)> started);

 private:
  explicit PlanStarts(std::weak_ptr<transport::Transport> transport)
      : transport_(std::move(transport)) {}

  struct Answers;
  using Awaited = transport::Transport::Awaited;
  static void Receive(transport::Transport& transport, const std::shared_ptr<Answers>& answers,
                      int peer, Awaited awaited);
  std::shared_ptr<Answers> Expected(transport::Transport& transport, Awaited awaited);

  const std::weak_ptr<transport::Transport> transport_;
  std::mutex mutex_;
  uint64_t next_ = 0;                 // number of the plan to start
  std::shared_ptr<Answers> answers_;  // of that number, once expected
};

}  // namespace ofl::runtime
