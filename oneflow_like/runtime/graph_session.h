// A compiled graph of this process: joins compiler, actor and transport.
//
// Life: tracing -> Compile (all ranks alike) -> Start at the first launch (hashes compared,
// registers allocated, edges opened) -> Launch ...
// Threads: one at a time, while it traces, compiles or launches; a second one is refused and the
// first goes on.
// A failed launch closes the session: parameters are undefined until reloaded. Arguments that do
// not fit are refused before and close nothing.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "actor/drivers/instance.h"
#include "compiler/compiler.h"
#include "oneflow_like/runtime/changed_memory.h"
#include "oneflow_like/runtime/graph_tracer.h"
#include "oneflow_like/runtime/launch_check.h"
#include "oneflow_like/runtime/launch_claims.h"
#include "oneflow_like/tensor/tensor.h"

namespace ofl::runtime {

// One parameter's update, in terms of eager tensors. What changes between launches without another
// plan comes under a name: see SetNumbers.
struct UpdateSpec {
  tensor::TensorRef param;
  std::string op;
  Attrs attrs;
  std::vector<std::pair<std::string, tensor::TensorRef>> states;  // name suffix -> tensor
  std::string hyper;        // the operator's hyper-parameters, e.g. "hyper.0.1"
  tensor::TensorRef clock;  // counts the steps, a float32 scalar; null: none are counted
  std::string clip;         // the bound of the gradients' norm, e.g. "clip.0.1"; empty: none
};

class GraphSession {
 public:
  GraphSession(std::string name, int micro_batches, int threads);
  ~GraphSession();

  // A thread's turn, until it is destroyed. Within it the thread may take others: build() calls
  // back.
  class Turn {
   public:
    explicit Turn(std::atomic<std::thread::id>* owner) : owner_(owner) {}
    Turn(Turn&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (owner_ != nullptr) *owner_ = std::thread::id();
    }

   private:
    std::atomic<std::thread::id>* owner_;  // null: an outer turn ends it
  };
  // Refused, not queued: other ranks may take the turns in another order.
  Result<Turn> Enter();
  // Enter() for what belongs to tracing; refused once it has ended.
  Result<Turn> EnterTracing();

  GraphTracer& tracer() { return *tracer_; }
  // The numbers that launches pass from now on. Before Compile for every name of its updates, with
  // one count for good.
  Status SetNumbers(const std::string& name, std::vector<double> values);
  // Ends tracing. `dump_dir`: where the graph after each pass is written; empty: nowhere.
  Status Compile(const std::vector<UpdateSpec>& updates, const std::string& dump_dir);
  const proto::Plan& plan() const { return plan_; }
  // Random numbers that a launch takes from generators, as eager calls would: one for each random
  // operator that build() called, whatever its size, layout and micro-batches, used or not.
  int64_t draws() const { return draws_; }
  // Where each generator of the plan stands now, by its name.
  std::vector<std::pair<std::string, RandomState>> GeneratorStates() const;

  // Whether these are arguments as at tracing: number, shapes, dtypes, layouts.
  bool Fits(std::span<const tensor::TensorRef> inputs) const;
  // What does not fit, for people.
  std::string Misfit(std::span<const tensor::TensorRef> inputs) const;
  // Before and after a launch that is under way for all ranks, by eager calls: what variables hold
  // that are copied views (tensor/copied_views.h), and what their bases hold then.
  Status BringUpVariables();
  Status PutBackVariables();
  // One iteration; the clocks go on by one. The outputs are new eager tensors: scalars of m
  // micro-batches as a vector of m, others concatenated along axis 0.
  Result<std::vector<tensor::TensorRef>> Launch(std::span<const tensor::TensorRef> inputs);
  // Whether launches change this parameter: it has an update and a gradient.
  bool Updates(const tensor::TensorRef& param) const {
    return std::find(mutated_.begin(), mutated_.end(), param) != mutated_.end();
  }
  bool launched() const { return instance_ != nullptr; }
  // Whether a failure has closed it for good.
  bool closed() const { return !failure_.ok(); }
  // Of all launches so far, with what the plan predicts for them.
  Result<std::map<std::string, int64_t>> Counters() const;

 private:
  Result<compiler::TrainingSpec> TrainingOf(const std::vector<UpdateSpec>& updates);
  Result<compiler::Update> UpdateOf(const UpdateSpec& spec);
  Status Start();
  Status CompareHashes(transport::Transport& transport);
  Status DecodeArguments();
  // Starts at the first launch; refuses what cannot run.
  Status Ready(std::span<const tensor::TensorRef> inputs);
  Status Bind(std::span<const tensor::TensorRef> inputs, std::vector<tensor::TensorRef>& outputs);
  // Takes a launch's draws from the generators.
  void TakeDraws();
  void CollectClaims();
  // What this rank gives to the comparison; `words`: with what names the difference.
  LaunchState StateOf(std::span<const tensor::TensorRef> inputs, bool words) const;
  // The plan's launch, with the comparison of what the ranks have drawn and computed.
  Status RunLaunch(std::span<const tensor::TensorRef> inputs);
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
  int64_t draws_ = 0;
  std::shared_ptr<transport::Transport> transport_;  // the world's, or one of its own
  int64_t unplanned_messages_ = 0;
  std::unique_ptr<actor::Instance> instance_;
  uint32_t forks_ = 0;                    // of the process that started it
  std::unique_ptr<LaunchClaims> claims_;  // with other ranks
  std::unique_ptr<LaunchCheck> check_;    // where all ranks compare what they launch with
  bool stamped_ = false;  // whether a digest of that gets from each rank to each with the pieces
  std::vector<Argument> inputs_, outputs_;
  // What the runtime feeds: numbers by name, and clocks as the number of the step to come.
  struct Fed {
    int binding;
    op::TensorView view;
  };
  std::map<std::string, std::vector<double>> numbers_;
  std::vector<tensor::TensorRef> clocks_;
  std::vector<tensor::TensorRef> moving_;  // those of clocks_ that a launch moves on
  std::vector<float> steps_;
  std::vector<Fed> fed_;
  std::vector<tensor::TensorRef> mutated_;
  ChangedMemory changed_;                  // that of mutated_
  std::vector<tensor::TensorRef> copied_;  // variables that are copied views
  // Of the launch under way; kept, so that launches allocate little.
  std::vector<op::TensorView> input_views_, output_views_;
  std::vector<tensor::TensorRef> dense_;
  std::vector<RandomState> generators_;
  std::atomic<std::thread::id> owner_;  // none: nobody's turn
  std::chrono::steady_clock::duration plan_time_{};
  Status failure_;
};

}  // namespace ofl::runtime
