// The work of Expand: internal to this folder.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "compiler/expand/expand.h"
#include "compiler/plan_codec.h"
#include "compiler/views.h"
#include "oneflow_like/core/program.h"
#include "oneflow_like/op/def/op_def.h"

namespace ofl::compiler {

// Builds one rank's program, op by op in the plan's order.
class Expansion {
 public:
  Expansion(const proto::Plan& plan, int rank) : plan_(plan), s_(plan.semantics()), rank_(rank) {}

  Result<Program> Run();

 private:
  uint64_t PlanId() const;
  Status FindClass();
  Status DecodeValues();
  bool Member(const Placement& placement) const { return placement.Contains(rank_); }

  // --- registers -------------------------------------------------------------------------------

  RegisterDesc& NewRegister(const TensorMeta& meta, int producer);
  Status CheckValue(int value) const {
    OFL_ENSURE(value >= 0 && value < static_cast<int>(metas_.size()), Code::kDataLoss)
        << "value " << value << " does not exist";
    return Status::Ok();
  }

  Result<int> InputRegister(int value) const;
  // The register of an op's output on this rank.
  Result<int> OutputRegister(int value, int task);

  // --- tasks -----------------------------------------------------------------------------------

  TaskDesc& NewTask(TaskKind kind, std::string name, int op, bool per_micro_batch);
  // Puts a task of a segment behind those already there.
  void Schedule(int task, int segment);
  // Where a task of op `op` stands that is scheduled before op `before`, or (-1) with its own.
  Place PlaceOf(int op, int before, int firings, int64_t within_op = 0) const;
  void BuildSlots();
  bool OpPerMicroBatch(const proto::OpDef& op) const { return op.segment() < 2; }

  Status ExpandOp(int i);
  Status ExpandCompute(int i, const proto::OpDef& op);
  bool IsView(const proto::OpDef& op) const {
    return op.outputs_size() > 0 && s_.values(op.outputs(0)).view();
  }
  // A view has no task: its value is another's register, seen by strides.
  Status ExpandView(const proto::OpDef& op, const op::OpDef& def, const Attrs& attrs);
  Status ReadViews(const proto::OpDef& op, const op::OpDef& def, TaskDesc& task);
  Status RefuseView(int value) const {
    OFL_ENSURE(!s_.values(value).view(), Code::kDataLoss)
        << "it reads value " << value << ", a view, which only operators take";
    return Status::Ok();
  }
  // Workspace, kept memory and generator of a task.
  Status GiveResources(int i, const proto::OpDef& op, const op::OpDef& def, TaskDesc& task) const;
  // The generators come first among the resources.
  Status ExpandGenerators();
  void Describe(int v, std::vector<TensorMeta>& logical, std::vector<Shape>& offsets,
                std::vector<Shape>& local);
  // Inputs, outputs, variables and accumulators: one task, at most one register each side.
  Status ExpandEnd(int i, const proto::OpDef& op, TaskKind kind);

  // --- boxing ----------------------------------------------------------------------------------

  // A task waiting to be put into the stream's order.
  struct Pending {
    int before = -1;  // op
    int task = -1;
  };

  // One step of a conversion on this rank.
  struct Step {
    int op = 0;      // index of the plan's op
    int number = 0;  // of this step
    const proto::OpDef* def = nullptr;
    const proto::StepDef* sizes = nullptr;
    sbp::BoxingStep step;
    TensorMeta logical;
    sbp::RankWork work;
    int source = -1;                            // register before the step; -1: not a member
    bool pushable = false;                      // peers may be sent bytes straight out of it
    int start_before = -1, finish_before = -1;  // ops; not after the conversion's own: at once
    int64_t scratch = 0;                        // offset of the step's staging
    int instances = 1;
  };

  Status ExpandBoxing(int i, const proto::OpDef& op);
  Result<int> ExpandStep(Step& step, bool last);
  Status ExpandSends(const Step& step);
  Result<int> Pack(const Step& step, const TensorMeta& meta, const Shape& at, int64_t used,
                   int number);
  Status ExpandArrivals(const Step& step, std::vector<int>& inputs,
                        std::map<int, std::vector<std::pair<sbp::Box, int>>>& arrived);
  Result<int> ExpandAssembly(const Step& step, bool last);
  Result<int> Intermediate(const Step& step, int task);
  RemoteEdge Edge(const Step& step, const sbp::Message& m, int64_t bytes) const;
  void ScheduleBefore(int task, int op, int before);
  // What a step does, in this order on all ranks.
  enum class Phase : uint8_t { kPack, kPush, kReceive, kAssemble };
  Place PlaceOf(const Step& step, Phase phase, int number = 0) const;

  // --- order -----------------------------------------------------------------------------------

  // Schedules what was to run before this op.
  void FlushBefore(int op);
  void BuildStream();
  // Readers of each register in the order they first run.
  void LinkConsumers();

  const proto::Plan& plan_;
  const proto::Semantics& s_;
  const int rank_;
  Program program_;
  PlacementTable placements_;
  const proto::RankClass* class_ = nullptr;
  std::map<int, int64_t> value_offset_, scratch_offset_, state_offset_;
  std::vector<TensorMeta> metas_;
  std::vector<sbp::Layout> layouts_;
  std::vector<int> register_of_;
  std::map<int, op::ViewGeometry> views_;  // by value, on this rank
  std::vector<proto::OpDef::Kind> producer_kind_;
  std::vector<Pending> pending_;
  std::vector<int> once_;
  std::vector<int> segments_[3];
};

}  // namespace ofl::compiler
