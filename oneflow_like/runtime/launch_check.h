// Whether all ranks launch a compiled graph with the same random numbers, optimizer's numbers and
// claims of tensors (TensorImpl::claim), checked in every launch: a rank that drew, seeded or
// updated something else in between makes values differ that claim to be equal.
//
// Where pieces go from each rank to each other, a digest rides on them, all ranks notice a
// difference by themselves, and this exchange only finds the words for it. Elsewhere it runs beside
// every launch of a graph that draws. In round k rank r tells rank r + 2^k what it has drawn, or
// what it has heard of a difference; after ceil(log2 n) rounds everybody has heard of everybody,
// and all ranks give the same error. With two ranks that is one small message each. The rounds run
// beside the launch, on the transport's thread.
//
// Threads: Begin and Finish on the launching thread, in turns; Finish may take over the transport's
// failure handler, as a launch does. Failure: kFailedPrecondition where
// ranks differ; what the transport says where a peer is lost or late; kUnavailable where a peer
// starts another plan instead.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "oneflow_like/base/status.h"
#include "oneflow_like/tensor/generator.h"
#include "transport/transport.h"

namespace ofl::runtime {

// What the ranks of a launch must have in common.
struct LaunchState {
  tensor::DrawHistory::Summary draws;  // the launch's own among them; nothing: it draws none
  uint64_t claims = 0;                 // of what all ranks hold, and of an optimizer's numbers
  std::string digests;                 // eight digits for each item; empty: none are told
};

class LaunchCheck {
 public:
  // `channel` is equal on all ranks and no other check's; `graph` and the `items`, which are those
  // of LaunchState::digests, name what differs in the error.
  LaunchCheck(std::shared_ptr<transport::Transport> transport, uint64_t channel, std::string graph,
              std::vector<std::string> items = {});

  // Each rank exchanges the same launches.
  void Begin(LaunchState mine, int64_t launch);
  // Returns when this rank has heard of all others. `interrupted` is asked while it waits.
  Status Finish(const std::function<bool()>& interrupted);
  // Messages that this rank has sent so far.
  int64_t messages() const { return messages_; }

 private:
  struct Flight;
  static void SendRound(const std::shared_ptr<Flight>& flight, int round);
  static void Advance(const std::shared_ptr<Flight>& flight);
  static void Fail(const std::shared_ptr<Flight>& flight, Status cause);

  std::shared_ptr<transport::Transport> transport_;
  const uint64_t channel_;
  const std::string graph_;
  const std::shared_ptr<const std::vector<std::string>> items_;  // shared with callbacks
  int64_t messages_ = 0;
  std::shared_ptr<Flight> flight_;  // of the launch under way; shared with callbacks
};

// As text: the digest of claims, those of the items, the draws; a line each.
std::string TextOf(const LaunchState& state);
Result<LaunchState> StateFrom(std::string_view text);
// A rank's draws as text: digest, number, the last calls; a line each.
std::string TextOf(const tensor::DrawHistory::Summary& draws);
Result<tensor::DrawHistory::Summary> DrawsFrom(std::string_view text);

}  // namespace ofl::runtime
