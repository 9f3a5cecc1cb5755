#include "compiler/compiler.h"
#include "compiler/verify/verify.h"

namespace ofl::compiler {
namespace {

class Pipeline {
 public:
  Pipeline(ir::Graph graph, const Options& options) : graph_(std::move(graph)), options_(options) {}

  // Takes a pass's result, checks it and dumps it.
  Status Step(const char* name, Result<ir::Graph> result) {
    if (!result.ok()) return result.status();
    graph_ = *std::move(result);
    if (options_.dump) {
      char number[8];
      std::snprintf(number, sizeof number, "%02d_", count_);
      options_.dump(number + std::string(name), ir::Print(graph_));
    }
    ++count_;
    if (Status bad = ir::Verify(graph_); !bad.ok())
      return bad.WithNote(std::string("after pass ") + name);
    return Status::Ok();
  }

  ir::Graph Take() { return std::move(graph_); }
  const ir::Graph& graph() const { return graph_; }

 private:
  ir::Graph graph_;
  const Options& options_;
  int count_ = 0;
};

}  // namespace

Result<proto::Plan> Compile(ir::Graph graph, TrainingSpec training, const Options& options) {
  Pipeline p(ir::Graph{}, options);
  OFL_TRY(p.Step("trace", std::move(graph)));
  std::vector<int> gradients;
  OFL_TRY(p.Step("autograd", RunAutograd(p.Take(), training, gradients)));
  OFL_TRY(p.Step("accumulate", RunAccumulate(p.Take(), gradients)));
  OFL_TRY(p.Step("update", RunUpdate(p.Take(), training, gradients)));
  OFL_TRY(p.Step("prune", RunPrune(p.Take())));
  OFL_TRY(p.Step("layout", RunLayout(p.Take(), options.link)));
  OFL_TRY(p.Step("boxing", RunBoxing(p.Take(), options.link)));
  OFL_TRY(p.Step("order", RunOrder(p.Take())));
  OFL_TRY(p.Step("views", RunViews(p.Take())));
  OFL_ASSIGN(proto::Plan plan, Lower(p.graph(), options));
  OFL_TRY(VerifyPlan(plan));
  return plan;
}

}  // namespace ofl::compiler
