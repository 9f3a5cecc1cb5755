// A compiled graph of this process: joins compiler, actor and transport.
//
// Life: tracing -> Compile (all ranks alike) -> Start at the first launch (hashes compared,
// registers allocated, edges opened) -> Launch ...
// Threads: one at a time; a second one that launches is refused and the first goes on.
// A failed launch closes the session: parameters are undefined until reloaded. Arguments that do
// not fit are refused before and close nothing.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "actor/drivers/instance.h"
#include "compiler/compiler.h"
#include "oneflow_like/runtime/graph_tracer.h"
#include "oneflow_like/tensor/tensor.h"

namespace ofl::runtime {

// One parameter's update, in terms of eager tensors.
struct UpdateSpec {
  tensor::TensorRef param;
  std::string op;
  Attrs attrs;
  std::vector<std::pair<std::string, tensor::TensorRef>> states;  // name suffix -> tensor
  std::vector<std::string> scalars;  // scalar arguments after the gradient, e.g. "lr.0"
  int clip_group = -1;
};

class GraphSession {
 public:
  GraphSession(std::string name, int micro_batches, int threads);
  ~GraphSession();

  GraphTracer& tracer() { return *tracer_; }
  // Ends tracing. `dump_dir`: where the graph after each pass is written; empty: nowhere.
  Status Compile(const std::vector<UpdateSpec>& updates, const std::vector<double>& clip_norms,
                 const std::string& dump_dir);
  const proto::Plan& plan() const { return plan_; }

  // One iteration. `inputs` as at tracing; `scalars` by name. The outputs are new eager tensors:
  // scalars of m micro-batches as a vector of m, others concatenated along axis 0.
  Result<std::vector<tensor::TensorRef>> Launch(const std::vector<tensor::TensorRef>& inputs,
                                                const std::map<std::string, double>& scalars);
  // Of all launches so far, with what the plan predicts for them.
  Result<std::map<std::string, int64_t>> Counters() const;

 private:
  Status Start();
  Status CompareHashes(transport::Transport& transport);
  Status CheckInputs(const std::vector<tensor::TensorRef>& inputs) const;
  Status DecodeArguments();
  Result<tensor::TensorRef> NewOutput(int index) const;

  // A launch argument or result as the plan describes it, decoded once.
  struct Argument {
    TensorMeta meta;
    tensor::LayoutRef layout;
  };

  std::unique_ptr<GraphTracer> tracer_;
  int threads_;
  bool compiled_ = false;
  proto::Plan plan_;
  std::shared_ptr<transport::Transport> transport_;  // the world's, or one of its own
  int64_t unplanned_messages_ = 0;
  std::unique_ptr<actor::Instance> instance_;
  std::vector<Argument> inputs_, outputs_;
  std::vector<float> scalar_values_;
  std::atomic<bool> busy_{false};
  std::chrono::steady_clock::duration plan_time_{};
  Status failure_;
};

}  // namespace ofl::runtime
