// Graph in, plan out. Every pass is a function Graph -> Graph in a file of its own under passes/.
//
// Deterministic: equal graphs and options give equal plans on every rank. No device, thread, clock
// or socket is touched.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "oneflow_like/base/status.h"
#include "oneflow_like/ir/graph.h"
#include "oneflow_like/proto/plan.pb.h"

namespace ofl::compiler {

inline constexpr uint32_t kPlanFormatVersion = 2;

// How one trainable variable is updated once its gradient is known.
struct Update {
  int variable = -1;  // value
  const op::OpDef* op =
      nullptr;  // mutates its first inputs: variable, states...; then grad, extras
  Attrs attrs;
  std::vector<int> states;  // values: further variables the operator mutates
  std::vector<int> extras;  // values after the gradient: hyper-parameters, step
  int clip_group = -1;      // >= 0: gradients of a group are scaled to a common norm bound
};
struct ClipGroup {
  std::vector<int> bounds;  // scalar values: the bound, one on each placement of the group
};

struct TrainingSpec {
  int loss = -1;  // value; -1: inference
  std::vector<Update> updates;
  std::vector<ClipGroup> clip_groups;
};

struct Options {
  int threads = 1;
  std::string arithmetic;  // what equal bits depend on besides the plan; recorded and hashed
  sbp::LinkModel link;
  // Called with the graph's text after each pass ("03_layout").
  std::function<void(const std::string& pass, const std::string& text)> dump;
};

// --- passes, in the order they run --------------------------------------------------------------
Result<ir::Graph> RunAutograd(ir::Graph graph, TrainingSpec& training,
                              std::vector<int>& gradients);  // gradient value of each update
Result<ir::Graph> RunAccumulate(ir::Graph graph, std::vector<int>& gradients);
Result<ir::Graph> RunUpdate(ir::Graph graph, const TrainingSpec& training,
                            std::vector<int> gradients);
Result<ir::Graph> RunPrune(ir::Graph graph);  // drops what nothing needs
Result<ir::Graph> RunLayout(ir::Graph graph, const sbp::LinkModel& link);
Result<ir::Graph> RunBoxing(ir::Graph graph, const sbp::LinkModel& link);
Result<ir::Graph> RunOrder(ir::Graph graph);
Result<ir::Graph> RunViews(ir::Graph graph);  // results that need no memory of their own

// Memory, registers and the plan itself.
Result<proto::Plan> Lower(const ir::Graph& graph, const Options& options);

// All of the above, and the verifier.
Result<proto::Plan> Compile(ir::Graph graph, TrainingSpec training, const Options& options);

// SHA-256 over our own walk of the semantic section (protobuf bytes are not canonical).
std::string HashOf(const proto::Semantics& semantics);

// Writes and reads plan files. Reading refuses what is truncated, of another version, or whose
// hash does not match; it does not verify (see compiler/verify).
Status SavePlan(const proto::Plan& plan, const std::string& path);
Result<proto::Plan> LoadPlan(const std::string& path);
Result<proto::Plan> ParsePlan(std::string_view bytes);

// A readable summary: sizes, operators, conversions with causes, memory.
std::string Summary(const proto::Plan& plan);

}  // namespace ofl::compiler
