// Records build() of an nn.Graph as a logical graph.
//
// Eager tensors met on the way become variables bound to the tensors' own memory: parameters under
// the names given beforehand, others as "captured_<k>".
#pragma once

#include <map>
#include <string>
#include <vector>

#include "compiler/compiler.h"
#include "oneflow_like/ir/graph_builder.h"
#include "oneflow_like/runtime/traced_layouts.h"
#include "oneflow_like/runtime/traced_memory.h"
#include "oneflow_like/tensor/tensor.h"
#include "oneflow_like/tensor/tracer.h"
#include "oneflow_like/tensor/view_steps.h"

namespace ofl::runtime {

class GraphTracer final : public tensor::Tracer {
 public:
  // A value fed by the runtime itself at every launch, e.g. an optimizer's hyper-parameters.
  struct Number {
    std::string name;
    int binding = -1;
    int value = -1;
    TensorMeta meta;
    Placement placement;
  };

  GraphTracer(std::string name, int world_size, int micro_batches);

  // A launch argument like `example`, of which each micro-batch sees one slice along axis 0.
  // kInvalidArgument when the batch does not divide.
  Result<op::Value> AddInput(const tensor::TensorRef& example, const std::string& name);
  void NameVariable(const tensor::TensorRef& eager, const std::string& name);
  // Such a value, the same on all ranks: one argument for each placement that reads it.
  int NumberInput(const std::string& name, const TensorMeta& meta, const Placement& placement);
  Status AddOutput(const op::Value& value);
  Result<int> VariableOf(const tensor::TensorRef& eager);
  bool Uses(const tensor::TensorRef& eager) const { return lifted_.contains(eager.get()); }

  // tensor::Tracer
  op::Values Apply(const op::OpDef& def, op::Values inputs, const Attrs& attrs) override;
  op::Value ToLayout(const op::Value& x, const sbp::Layout& layout) override;
  Status Backward(const op::Value& loss) override;
  void SetScope(tensor::SourceScope scope) override;
  Result<op::Draw> NextDraw(tensor::Generator* generator) override;
  op::Value Lift(const op::Value& eager) override;
  void NoteConstant(const tensor::TensorRef& made) override { constants_[made.get()] = made; }
  bool IsConstant(const tensor::TensorRef& eager) const override {
    return constants_.contains(eager.get());
  }
  tensor::TensorRef& Beside(const tensor::TensorRef& local, const Placement& placement) override;
  op::Value Detach(const op::Value& x) override;
  bool RequiresGrad(const op::Value& x) override;
  Result<bool> IsGlobal(const op::Value& value) override;
  Result<sbp::Layout> LikelyLayout(const op::Value& value) override;
  Result<sbp::Layout> PinnedLayout(const op::Value& value) override;
  Result<op::Value> ToLocal(const op::Value& value) override;
  Result<op::Value> Source(const op::OpDef& op, const Attrs& attrs,
                           const sbp::Layout& layout) override;
  Result<op::Value> LaidLike(const op::Value& value, const op::Value& other) override;
  Result<op::Value> LocalAsBroadcast(const op::Value& value, const Placement& placement) override;
  Status InPlace(const op::Value& target, const op::Value& value) override;
  Status NoteTaken(const op::Value& taken, const op::Value& base) override;
  Result<Strides> LikelyStrides(const op::Value& value) override;
  Result<bool> IsView(const op::Value& value) override;
  Placement PlacementOf(const op::Value& value) override;
  op::Value ToPlacement(const op::Value& x, const Placement& placement) override;

  // True when the graph was traced on local tensors: it runs in a world of its own.
  bool local() const { return local_; }
  int loss() const { return loss_; }
  // Ends tracing, before anything is asked of the graph.
  Status Finish();
  // Whether a result comes back as the rank's own tensor.
  bool OutputIsLocal(int index) const { return local_ || local_outputs_[index]; }
  ir::Graph& graph() { return graph_; }
  const std::map<std::string, tensor::TensorRef>& variables() const { return variables_; }
  const std::vector<Number>& numbers() const { return numbers_; }
  // Those that the graph draws from, in its order; null: the default one of its tensors.
  const std::vector<tensor::Generator*>& generators() const { return generators_; }
  // Whether every variable requires a gradient exactly when it did as it was met, and none that
  // backward() reaches has got a hook.
  bool GradientsAsTraced() const;

 private:
  // The operations of GraphBuilder with this tracer's lifting of eager tensors.
  class Recorder final : public ir::GraphBuilder {
   public:
    Recorder(ir::Graph* graph, GraphTracer* tracer) : GraphBuilder(graph), tracer_(tracer) {}
    using Builder::Fail;
    int IdOf(const op::Value& value) override;

   private:
    GraphTracer* tracer_;
  };

  // Under no_grad() a recorded result has no history.
  op::Value ByGradMode(op::Value result);
  Result<sbp::Layout> LayoutOf(const tensor::TensorImpl& eager);
  // A graph is all on local tensors, or on global ones.
  Status Claim(bool global, const std::string& what);
  Result<int> Own(const op::Value& value) const;
  // What a tensor of build() holds now, as a value of the graph.
  Result<int> Content(int value);
  Status Resolve(op::Value& value);
  op::Value Now(op::Value value);  // null after an error, which is kept
  // A result that lies in the memory of `base`, where the operator is a view.
  void NoteView(const op::OpDef& def, int base, const op::Values& results);
  bool IsViewLink(int value) const;
  std::vector<tensor::ViewStep> StepOf(int view);
  op::Values IndicesOf(const ir::Node& index);
  Strides StridesOf(int value);
  // Refuses a view that eager refuses, since it would not lie in its operand's memory.
  Status CheckView(const op::OpDef& def, int base, const Attrs& attrs);
  Status CheckApart(int target, int before, int after);
  // Refuses an operator that counts in the memory of a value that is a part of its base.
  Status CheckWhole(const op::OpDef& def, int base);
  std::vector<tensor::ViewStep> StepsTo(int value, int* root);
  Result<int> PutJoined(int view, int base, int content);
  op::Value FilledAt(Attrs place, const op::Value& base, const op::Value& part);
  Result<int> PutBack(int view, int content);
  // A content in the layout that its tensor has.
  Result<int> LaidAs(int tensor, int content);
  // Whether a conversion to this layout gives the same memory in eager.
  bool SharesMemory(int x, const sbp::Layout& layout);
  // Refuses an in-place change that a graph cannot say.
  Status CheckInPlace(int target);
  // Refuses an operator that updates what is no variable.
  Status CheckUpdates(const op::OpDef& def, const op::Values& inputs, const Attrs& attrs);
  // A buffer holds `value` from now on, in this build and after the launch.
  Status ChangeVariable(int variable, int value, bool records);
  bool IsConstantVariable(int value);
  // Made in build() and no memory of the caller's, or changed there before: an update is one in
  // place.
  Result<bool> IsBuildsOwn(const op::Value& target);
  Result<int> Overwriting(int target, int before, int after);
  Status StoreVariables();
  Result<op::Value> Fitted(const op::Value& target, const op::Value& value);
  // Local operands where the global ones are.
  Status GatherOperands(op::Values& inputs);
  void Pin(int value, const sbp::NdSbp& nd_sbp);
  // A local value on another placement: made there anew.
  int Rehome(int value, const Placement& placement);
  int TwinOf(const tensor::TensorRef& eager) const;
  Result<int> AddVariable(const tensor::TensorRef& eager);
  int AddSource(ir::NodeKind kind, const std::string& stem, const TensorMeta& meta,
                const sbp::Layout& layout);

  ir::Graph graph_;
  Recorder recorder_;
  TracedLayouts layouts_;
  TracedMemory memory_;
  bool local_ = false;
  bool global_ = false;
  int loss_ = -1;
  std::vector<tensor::Generator*> generators_;  // as the graph's; null: the default one
  std::vector<std::shared_ptr<tensor::Generator>> held_generators_;  // those that somebody made
  int num_inputs_ = 0;
  int num_outputs_ = 0;
  std::vector<bool> local_outputs_;
  std::vector<std::pair<std::pair<int, Placement>, int>> homes_;  // what Rehome has made
  // By tensor; held, so that build() may drop one and no other comes to its address.
  std::map<const void*, std::pair<tensor::TensorRef, std::string>> names_;
  std::map<const void*, tensor::TensorRef> constants_;
  std::vector<std::pair<std::pair<tensor::TensorRef, Placement>, tensor::TensorRef>> beside_;
  std::map<const void*, int> lifted_;  // by tensor, which variables_ holds
  std::vector<int> changed_;           // variables, in the order of the changes
  std::map<std::string, tensor::TensorRef> variables_;
  std::vector<std::pair<tensor::TensorRef, bool>> required_;  // variables, as they were met
  std::vector<Number> numbers_;
};

}  // namespace ofl::runtime
