// Recording instead of running: while a tracer is set on a thread, operators on tensors go to it.
// nn.Graph's tracer (runtime) implements this; tensor only calls it.
#pragma once

#include <string>

#include "oneflow_like/op/def/builder.h"
#include "oneflow_like/op/def/draw.h"
#include "oneflow_like/tensor/generator.h"
#include "oneflow_like/tensor/tensor.h"

namespace ofl::tensor {

// Where in the user's program an operator stands.
struct SourceScope {
  std::string file;
  int line = 0;
  std::string module_path;  // "blocks.0.mlp.fc1"
};

class Tracer : public op::Builder {
 public:
  // loss.backward() inside build(): differentiates when the graph is complete.
  virtual Status Backward(const op::Value& loss) = 0;
  virtual void SetScope(SourceScope scope) = 0;
  // The graph's next draw from a generator, null for the default one; kUnimplemented for more of
  // them, or more draws, than a plan holds.
  virtual Result<op::Draw> NextDraw(Generator* generator) = 0;
  // The graph's value that stands for an eager tensor (a captured parameter or constant).
  virtual op::Value Lift(const op::Value& eager) = 0;
  // Notes an eager tensor that build() itself has made of the host's numbers: a constant.
  virtual void NoteConstant(const TensorRef& made) = 0;
  virtual bool IsConstant(const TensorRef& eager) const = 0;
  // What stands for an eager local tensor beside global ones on a placement, wherever it does: a
  // place for it, at first null. All ranks see one program, though some hold nothing of it.
  virtual TensorRef& Beside(const TensorRef& local, const Placement& placement) = 0;
  // The value without its history: no gradient flows through the result.
  virtual op::Value Detach(const op::Value& x) = 0;
  // Whether a gradient would flow into this symbolic value.
  virtual bool RequiresGrad(const op::Value& x) = 0;
  // Whether a value's eager twin is a global tensor. kFailedPrecondition for a value of another
  // graph, also below.
  virtual Result<bool> IsGlobal(const op::Value& value) = 0;
  // The layout that an eager call would give a global value; the plan may choose another,
  virtual Result<sbp::Layout> LikelyLayout(const op::Value& value) = 0;
  // or keeps it.
  virtual Result<sbp::Layout> PinnedLayout(const op::Value& value) = 0;
  // The rank's own tensor of a value that every rank holds whole; others are refused.
  virtual Result<op::Value> ToLocal(const op::Value& value) = 0;
  // What an operator without operands makes, as a global tensor.
  virtual Result<op::Value> Source(const op::OpDef& op, const Attrs& attrs,
                                   const sbp::Layout& layout) = 0;
  // A local `value`, just made, as a global one that lies like `other`.
  virtual Result<op::Value> LaidLike(const op::Value& value, const op::Value& other) = 0;
  // A local value beside global ones on `placement`: what every rank makes alike, as B there.
  virtual Result<op::Value> LocalAsBroadcast(const op::Value& value,
                                             const Placement& placement) = 0;
  // A tensor, and all that share its memory, hold `value` from now on: in the layout it has.
  virtual Status InPlace(const op::Value& target, const op::Value& value) = 0;
  // That `taken`, what the operator index has just made of `base` by integers without axes, would
  // be a view in eager, where they are numbers.
  virtual Status NoteTaken(const op::Value& taken, const op::Value& base) = 0;
  // How its eager twin would lie in memory (of a global value: were it one part), and whether as a
  // view of another's.
  virtual Result<Strides> LikelyStrides(const op::Value& value) = 0;
  virtual Result<bool> IsView(const op::Value& value) = 0;
  // Where a value lives; results have a placement long before they have a layout.
  virtual Placement PlacementOf(const op::Value& value) = 0;
  // Moves a value to a placement; it keeps its symbols, partial becomes broadcast.
  virtual op::Value ToPlacement(const op::Value& x, const Placement& placement) = 0;
};

// The thread's tracer or null.
Tracer* CurrentTracer();
void SetCurrentTracer(Tracer* tracer);

// What runs while this lives runs eagerly.
class TracerPause {
 public:
  TracerPause() : paused_(CurrentTracer()) { SetCurrentTracer(nullptr); }
  ~TracerPause() { SetCurrentTracer(paused_); }
  TracerPause(const TracerPause&) = delete;
  TracerPause& operator=(const TracerPause&) = delete;

 private:
  Tracer* paused_;
};

}  // namespace ofl::tensor
