// Whether all ranks have drawn the same random numbers, checked in every launch of a compiled graph
// that draws for global tensors: a rank that drew or seeded something else in between makes values
// differ that claim to be equal.
//
// Where pieces go from each rank to each other, a digest rides on them, all ranks notice a
// difference by themselves, and this exchange only finds the words for it. Elsewhere it runs beside
// every launch. In round k rank r tells rank r + 2^k what it has drawn, or what it has heard of a
// difference; after ceil(log2 n) rounds everybody has heard of everybody, and all ranks give the
// same error. With two ranks that is one small message each. The rounds run beside the launch, on
// the transport's thread.
//
// Threads: Begin and Finish on the launching thread, in turns; Finish may take over the transport's
// failure handler, as a launch does. Failure: kFailedPrecondition where
// draws differ; what the transport says where a peer is lost or late; kUnavailable where a peer
// starts another plan instead.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "oneflow_like/base/status.h"
#include "oneflow_like/tensor/generator.h"
#include "transport/transport.h"

namespace ofl::runtime {

class DrawCheck {
 public:
  // `channel` is equal on all ranks and no other check's; `graph` names it for the error.
  DrawCheck(std::shared_ptr<transport::Transport> transport, uint64_t channel, std::string graph);

  // Launch number `launch` follows these draws: its own are among them. Each rank exchanges the
  // same launches.
  void Begin(const tensor::DrawHistory::Summary& draws, int64_t launch);
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
  int64_t messages_ = 0;
  std::shared_ptr<Flight> flight_;  // of the launch under way; shared with callbacks
};

// A rank's draws as text: digest, number, the last calls; a line each.
std::string TextOf(const tensor::DrawHistory::Summary& draws);
Result<tensor::DrawHistory::Summary> DrawsFrom(std::string_view text);

}  // namespace ofl::runtime
