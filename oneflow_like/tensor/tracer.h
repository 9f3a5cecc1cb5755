// Recording instead of running: while a tracer is set on a thread, operators on tensors go to it.
// nn.Graph's tracer (runtime) implements this; tensor only calls it.
#pragma once

#include <string>

#include "oneflow_like/op/def/builder.h"

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
  // Numbers the graph's draws of random numbers.
  virtual int64_t NextDraw() = 0;
  // The graph's value that stands for an eager tensor (a captured parameter or constant).
  virtual op::Value Lift(const op::Value& eager) = 0;
  // The value without its history: no gradient flows through the result.
  virtual op::Value Detach(const op::Value& x) = 0;
  // Whether a gradient would flow into this symbolic value.
  virtual bool RequiresGrad(const op::Value& x) = 0;
  // Where a value lives; results have a placement long before they have a layout.
  virtual Placement PlacementOf(const op::Value& value) = 0;
  // Moves a value to a placement; it keeps its symbols, partial becomes broadcast.
  virtual op::Value ToPlacement(const op::Value& x, const Placement& placement) = 0;
};

// The thread's tracer or null.
Tracer* CurrentTracer();
void SetCurrentTracer(Tracer* tracer);

}  // namespace ofl::tensor
