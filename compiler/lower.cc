// Graph -> Plan: registers, memory maps of each class of ranks, and the messages of the file.

#include <algorithm>
#include <map>
#include <optional>

#include "compiler/compiler.h"
#include "compiler/memory/interval_packing.h"
#include "compiler/memory/lifetimes.h"
#include "compiler/plan_codec.h"
#include "oneflow_like/base/check.h"

namespace ofl::compiler {
namespace {

// Bytes of one rank: the verifier refuses more.
constexpr int64_t kMaxMemory = int64_t{1} << 46;

class Lowering {
 public:
  Lowering(const ir::Graph& graph, const Options& options) : graph_(graph), options_(options) {}

  Result<proto::Plan> Run() {
    OFL_ASSIGN(lifetimes_, ComputeLifetimes(graph_));
    plan_.set_format_version(kPlanFormatVersion);
    plan_.set_graph_name(graph_.name);
    proto::Semantics& s = *plan_.mutable_semantics();
    s.set_world_size(graph_.world_size);
    s.set_micro_batches(graph_.micro_batches);
    s.set_threads(options_.threads);
    s.set_arithmetic(options_.arithmetic);
    WriteGenerators();
    NumberValues();
    for (size_t i = 0; i < graph_.order.size(); ++i)
      op_index_[graph_.order[i]] = static_cast<int>(i);
    for (int v : value_order_) OFL_TRY(WriteValue(v));
    for (int id : graph_.order) OFL_TRY(WriteOp(graph_.nodes[id]));
    OFL_TRY(WriteClasses());
    plan_.set_hash(HashOf(s));
    return std::move(plan_);
  }

 private:
  int PlacementIndex(const Placement& placement) {
    for (size_t i = 0; i < placements_.size(); ++i)
      if (placements_[i] == placement) return static_cast<int>(i);
    placements_.push_back(placement);
    proto::PlacementDef* def = plan_.mutable_semantics()->add_placements();
    def->set_device_kind(static_cast<int>(placement.kind()));
    for (int64_t d : placement.hierarchy()) def->add_hierarchy(d);
    for (int r : placement.ranks()) def->add_ranks(r);
    return static_cast<int>(placements_.size()) - 1;
  }

  void WriteLayout(const sbp::Layout& layout, proto::LayoutDef* out) {
    out->set_placement(PlacementIndex(layout.placement));
    WriteSbp(layout.nd_sbp, out);
  }

  // Plan values are numbered as they are produced; dropped ones have no number.
  void NumberValues() {
    value_index_.assign(graph_.values.size(), -1);
    for (int id : graph_.order)
      for (int v : graph_.nodes[id].outputs) {
        value_index_[v] = static_cast<int>(value_order_.size());
        value_order_.push_back(v);
      }
  }

  bool PerMicroBatch(int v) const {
    const ir::Node& producer = graph_.producer(v);
    if (producer.segment == ir::Segment::kUpdate) return false;
    if (producer.kind == ir::NodeKind::kVariable || producer.kind == ir::NodeKind::kAccumulate)
      return false;
    return producer.kind != ir::NodeKind::kInput || !producer.attrs.Has("whole");
  }

  Status WriteValue(int v) {
    const ir::Value& value = graph_.values[v];
    OFL_ENSURE(value.nd_sbp.has_value(), Code::kInternal)
        << "value %" << v << " of " << graph_.producer(v).name << " has no layout";
    proto::ValueDef* def = plan_.mutable_semantics()->add_values();
    def->set_dtype(static_cast<int>(value.meta.dtype));
    for (int64_t d : value.meta.shape) def->add_shape(d);
    WriteLayout(value.layout(), def->mutable_layout());
    def->set_per_micro_batch(PerMicroBatch(v));
    def->set_view(value.view);
    def->set_instances(lifetimes_.instances[v]);
    if (value.view) return Status::Ok();
    // The first member of a mesh holds the longest slice of every split axis.
    const Shape shard = sbp::LocalShape(value.meta.shape, value.layout(), 0);
    def->set_bound(TensorMeta{value.meta.dtype, shard}.bytes());
    if (lifetimes_.alias_of[v] >= 0) def->set_alias_of(value_index_[lifetimes_.alias_of[v]] + 1);
    return Status::Ok();
  }

  Status WriteOp(const ir::Node& node) {
    proto::OpDef* op = plan_.mutable_semantics()->add_ops();
    proto::OpNote* note = plan_.mutable_notes()->add_ops();
    op->set_name(node.name);
    for (int v : node.inputs) op->add_inputs(value_index_[v]);
    for (int v : node.outputs) op->add_outputs(value_index_[v]);
    op->set_placement(PlacementIndex(node.placement));
    op->set_segment(static_cast<int>(node.segment));
    WriteNote(node, note);
    switch (node.kind) {
      case ir::NodeKind::kOp: return WriteCompute(node, op, note);
      case ir::NodeKind::kBoxing: return WriteBoxing(node, op, note);
      case ir::NodeKind::kInput:
        op->set_kind(proto::OpDef::INPUT);
        WriteArgument(node, node.outputs[0], op, plan_.mutable_semantics()->mutable_inputs());
        return Status::Ok();
      case ir::NodeKind::kOutput:
        op->set_kind(proto::OpDef::OUTPUT);
        OFL_TRY(CheckPieces(node));
        WriteArgument(node, node.inputs[0], op, plan_.mutable_semantics()->mutable_outputs());
        return Status::Ok();
      case ir::NodeKind::kVariable:
        op->set_kind(proto::OpDef::VARIABLE);
        WriteVariable(node, op);
        return Status::Ok();
      case ir::NodeKind::kAccumulate: op->set_kind(proto::OpDef::ACCUMULATE); return Status::Ok();
      case ir::NodeKind::kToLayout: break;
    }
    return Error(Code::kInternal) << node.name << " was not lowered to boxing steps";
  }

  std::vector<TensorMeta> Shards(const std::vector<int>& values) const {
    std::vector<TensorMeta> shards;
    for (int v : values) {
      const ir::Value& value = graph_.values[v];
      shards.push_back({value.meta.dtype, sbp::LocalShape(value.meta.shape, value.layout(), 0)});
    }
    return shards;
  }

  Status WriteCompute(const ir::Node& node, proto::OpDef* op, proto::OpNote* note) {
    op->set_kind(proto::OpDef::COMPUTE);
    op->set_type(node.op->name);
    op->set_version(node.op->version);
    WriteAttrs(WriteDraw(node, op), op);
    note->set_signature(node.signature->ToString());
    note->set_cost_ps(node.charged_ps);
    for (const ir::Choice& choice : node.losing) {
      proto::LosingChoice* losing = note->add_losing();
      losing->set_signature(choice.signature);
      losing->set_cost_ps(choice.cost_ps);
    }
    if (graph_.IsView(node)) return Status::Ok();  // no task: it reads, writes and computes nothing
    const std::vector<TensorMeta> inputs = Shards(node.inputs), outputs = Shards(node.outputs);
    OFL_ASSIGN(
        const op::KernelBounds bounds,
        node.op->Bounds(node.placement.kind(), inputs, outputs, node.attrs, options_.threads));
    op->set_workspace(bounds.scratch);
    op->set_state(bounds.state);
    int64_t bytes = 0;
    for (const TensorMeta& m : inputs) bytes += m.bytes();
    for (const TensorMeta& m : outputs) bytes += m.bytes();
    note->set_bytes(bytes);
    note->set_flops(node.op->Flops(inputs, outputs, node.attrs));
    return Status::Ok();
  }

  // They come before the variables, in the graph's order.
  void WriteGenerators() {
    for (const ir::Generator& generator : graph_.generators) {
      proto::Resource* resource = plan_.mutable_semantics()->add_resources();
      resource->set_kind(proto::Resource::GENERATOR);
      resource->set_name(generator.name);
      resource->set_mutated(true);
      resource->set_draws(generator.draws);
    }
  }

  // The attributes without the draw, which the op has beside.
  static Attrs WriteDraw(const ir::Node& node, proto::OpDef* op) {
    if (!node.op->Draws()) return node.attrs;
    const std::optional<op::Draw> draw = op::Draw::Of(node.attrs);
    OFL_CHECK(draw && draw->generator >= 0) << node.name;  // ir::Verify has seen it
    op->set_generator(draw->generator + 1);
    op->set_draw(draw->at.offset);
    Attrs rest;
    for (const auto& [name, value] : node.attrs)
      if (name != op::kDraw) rest.Set(name, value);
    return rest;
  }

  Status WriteBoxing(const ir::Node& node, proto::OpDef* op, proto::OpNote* note) {
    op->set_kind(proto::OpDef::BOXING);
    for (const sbp::BoxingStep& step : node.steps) {
      proto::StepDef* def = op->add_steps();
      def->set_kind(static_cast<proto::StepDef::Kind>(static_cast<int>(step.kind)));
      WriteLayout(step.to, def->mutable_to());
      def->set_mesh_axis(step.mesh_axis);
      def->set_order(static_cast<int>(step.order));
      def->set_codec(step.codec);
      SizeStep(node, step, def);
      note->add_step_bytes(step.total_bytes);
      note->set_cost_ps(note->cost_ps() + step.cost_ps);
      note->set_rounds(note->rounds() + static_cast<int>(step.rounds));
    }
    // The last step's result is the op's output, which has a register of its own.
    op->mutable_steps(op->steps_size() - 1)->clear_result_bytes();
    note->set_bytes(ir::Graph::BytesMoved(node));
    if (note->bytes() > 0) plan_.mutable_semantics()->add_collective_order(op_index_[node.id]);
    op->set_continue_before(PositionOf(node.steps.size() > 1 ? node.continue_before : -1));
    op->set_finish_before(PositionOf(lifetimes_.finish_before[node.id]));
    note->set_cause(PositionOf(CauseOf(node)));
    return Status::Ok();
  }

  // The operator that needs the conversion; -1: the user's to_global, which is no operator.
  int CauseOf(const ir::Node& node) const {
    if (op_index_.count(node.cause)) return node.cause;
    const bool for_update = graph_.nodes[node.cause].segment == ir::Segment::kUpdate;
    return for_update ? lifetimes_.finish_before[node.id] : -1;
  }

  // An op as a position: index plus 1, 0 for none.
  int PositionOf(int node) const { return node < 0 ? 0 : op_index_.at(node) + 1; }

  // The most bytes of messages, each padded, that any rank sends or receives in this step, and the
  // most that any holds after it. Layers repeat their conversions, so what is known is kept.
  void SizeStep(const ir::Node& node, const sbp::BoxingStep& step, proto::StepDef* def) {
    const TensorMeta& meta = graph_.values[node.inputs[0]].meta;
    const int64_t item = static_cast<int64_t>(DTypeSize(meta.dtype));
    def->set_result_bytes(AlignUp(sbp::LocalShape(meta.shape, step.to, 0).numel() * item));
    if (step.total_bytes == 0) return;
    for (const SizedStep& known : sized_)
      if (known.item == item && known.shape == meta.shape && known.mesh_axis == step.mesh_axis &&
          known.from == step.from && known.to == step.to)
        return SetStaging(known.bytes, def);
    sized_.push_back({meta.shape, item, step.from, step.to, step.mesh_axis,
                      sbp::StagingOf(step, meta.shape, item, kMemoryAlignment)});
    SetStaging(sized_.back().bytes, def);
  }
  static void SetStaging(const sbp::StagingBytes& bytes, proto::StepDef* def) {
    def->set_send_bytes(bytes.send);
    def->set_receive_bytes(bytes.receive);
  }

  // The pieces of a result lie behind one another in each rank's shard: shards of the whole must
  // be m times those of a piece.
  Status CheckPieces(const ir::Node& node) const {
    const ir::Value& value = graph_.values[node.inputs[0]];
    if (graph_.micro_batches == 1 || !PerMicroBatch(value.id)) return Status::Ok();
    int64_t parts = 1;
    for (int axis = 0; axis < value.nd_sbp->rank(); ++axis)
      if ((*value.nd_sbp)[axis].is_split(0)) parts *= value.placement.hierarchy()[axis];
    OFL_ENSURE(parts == 1 || value.meta.shape[0] % parts == 0, Code::kInvalidArgument)
        << "[nn.Graph] result " << node.binding << " of graph " << graph_.name << " is "
        << value.meta.ToString() << " " << value.nd_sbp->ToString() << " in each of "
        << graph_.micro_batches << " micro-batches: expected its first axis to be a multiple of "
        << parts << "; return it as to_global(sbp=flow.sbp.broadcast)";
    return Status::Ok();
  }

  void WriteArgument(const ir::Node& node, int value, proto::OpDef* op,
                     google::protobuf::RepeatedPtrField<proto::Argument>* list) {
    op->set_binding(node.binding);
    while (list->size() <= node.binding) list->Add();
    proto::Argument* argument = list->Mutable(node.binding);
    argument->set_name(node.variable);
    argument->set_value(value_index_[value]);
    argument->set_per_micro_batch(graph_.micro_batches > 1 && PerMicroBatch(value));
  }

  void WriteVariable(const ir::Node& node, proto::OpDef* op) {
    proto::Semantics& s = *plan_.mutable_semantics();
    op->set_resource(s.resources_size());
    proto::Resource* resource = s.add_resources();
    resource->set_kind(proto::Resource::VARIABLE);
    resource->set_name(node.variable);
    resource->set_value(value_index_[node.outputs[0]]);
    for (const ir::Node& reader : graph_.nodes)
      for (size_t i = 0; i < reader.inputs.size() && reader.op != nullptr; ++i)
        if (reader.inputs[i] == node.outputs[0] &&
            reader.op->InputMutated(static_cast<int>(i), reader.attrs))
          resource->set_mutated(true);
  }

  int Intern(const std::string& text, std::map<std::string, int>& table,
             google::protobuf::RepeatedPtrField<std::string>* list) {
    if (text.empty()) return 0;
    auto [it, added] = table.try_emplace(text, list->size() + 1);
    if (added) *list->Add() = text;
    return it->second;
  }

  void WriteNote(const ir::Node& node, proto::OpNote* note) {
    proto::Notes& notes = *plan_.mutable_notes();
    note->set_file(Intern(node.location.file, files_, notes.mutable_files()));
    note->set_line(node.location.line);
    note->set_module(Intern(node.location.module_path, modules_, notes.mutable_modules()));
  }

  // Groups ranks by membership in the plan's placements; each class gets one memory map.
  Status WriteClasses() {
    std::map<std::vector<bool>, std::vector<int>> classes;
    for (int rank = 0; rank < graph_.world_size; ++rank) {
      std::vector<bool> member;
      for (const Placement& p : placements_) member.push_back(p.Contains(rank));
      classes[member].push_back(rank);
    }
    std::vector<std::vector<int>> ordered;
    for (auto& [member, ranks] : classes) ordered.push_back(ranks);
    std::sort(ordered.begin(), ordered.end());
    for (const std::vector<int>& ranks : ordered) OFL_TRY(WriteClass(ranks));
    return Status::Ok();
  }

  Status WriteClass(const std::vector<int>& ranks) {
    const int rank = ranks.front();
    proto::RankClass* out = plan_.mutable_semantics()->add_classes();
    for (int r : ranks) out->add_ranks(r);
    std::vector<Block> blocks;
    std::vector<int> values, ops, keepers;
    const proto::Semantics& s = plan_.semantics();
    for (int v : value_order_) {
      if (!lifetimes_.has_memory[v] || lifetimes_.alias_of[v] >= 0) continue;
      if (!graph_.values[v].placement.Contains(rank)) continue;
      const Lifetime& life = lifetimes_.values[v];
      values.push_back(value_index_[v]);
      const proto::ValueDef& def = s.values(value_index_[v]);
      const int64_t bytes = SaturatingMul(AlignUp(def.bound()), def.instances());
      blocks.push_back({bytes, life.first, life.last});
    }
    for (int id : graph_.order) {
      const ir::Node& node = graph_.nodes[id];
      const int64_t bytes = ScratchBytes(node, rank);
      if (bytes == 0) continue;
      ops.push_back(op_index_[id]);
      const bool staging = node.kind == ir::NodeKind::kBoxing;
      blocks.push_back({bytes, staging ? 0 : lifetimes_.position[id],
                        staging ? lifetimes_.end : lifetimes_.position[id]});
    }
    for (int id : graph_.order) {
      const int64_t bytes = s.ops(op_index_[id]).state();
      if (bytes == 0 || !graph_.nodes[id].placement.Contains(rank)) continue;
      keepers.push_back(op_index_[id]);
      blocks.push_back({bytes, 0, lifetimes_.end});
    }
    // Sizes are bounded each, but a graph may hold thousands: what follows adds them up.
    int64_t total = 0;
    for (const Block& block : blocks) total = SaturatingAdd(total, block.bytes);
    OFL_ENSURE(total <= kMaxMemory, Code::kResourceExhausted)
        << "[nn.Graph] the values of graph " << graph_.name << " fit no machine: got more than "
        << kMaxMemory << " bytes on rank " << rank << "; expected smaller shapes";
    out->set_arena_bytes(PackIntervals(blocks, kMemoryAlignment));
    proto::MemoryNote* note = plan_.mutable_notes()->add_classes();
    for (size_t i = 0; i < values.size(); ++i) {
      out->add_values(values[i]);
      out->add_offsets(blocks[i].offset);
      note->add_value_first(blocks[i].first);
      note->add_value_last(blocks[i].last);
    }
    for (size_t i = 0; i < ops.size(); ++i) {
      const Block& block = blocks[values.size() + i];
      out->add_scratch_ops(ops[i]);
      out->add_scratch_offsets(block.offset);
      note->add_scratch_first(block.first);
      note->add_scratch_last(block.last);
    }
    for (size_t i = 0; i < keepers.size(); ++i) {
      out->add_state_ops(keepers[i]);
      out->add_state_offsets(blocks[values.size() + ops.size() + i].offset);
    }
    return Status::Ok();
  }

  int64_t ScratchBytes(const ir::Node& node, int rank) const {
    const proto::OpDef& op = plan_.semantics().ops(op_index_.at(node.id));
    if (node.kind == ir::NodeKind::kOp) return node.placement.Contains(rank) ? op.workspace() : 0;
    if (node.kind != ir::NodeKind::kBoxing) return 0;
    int64_t bytes = 0;
    bool member = false;
    for (int i = 0; i < op.steps_size(); ++i) {
      bytes = SaturatingAdd(bytes, SaturatingMul(StepScratch(op.steps(i)), StagingInstances(op)));
      member |=
          node.steps[i].from.placement.Contains(rank) || node.steps[i].to.placement.Contains(rank);
    }
    return member ? bytes : 0;
  }

  int StagingInstances(const proto::OpDef& op) const {
    return StagingInstancesOf(plan_.semantics(), op);
  }

  const ir::Graph& graph_;
  const Options& options_;
  Lifetimes lifetimes_;
  proto::Plan plan_;
  std::vector<Placement> placements_;
  std::vector<int> value_index_;
  std::vector<int> value_order_;
  std::map<int, int> op_index_;
  std::map<std::string, int> files_, modules_;
  struct SizedStep {
    Shape shape;
    int64_t item;
    sbp::Layout from, to;
    int mesh_axis;
    sbp::StagingBytes bytes;
  };
  std::vector<SizedStep> sized_;  // of different conversions, which are few
};

}  // namespace

int64_t StepScratch(const proto::StepDef& step) {
  return step.send_bytes() + step.receive_bytes() + step.result_bytes();
}

int StagingInstancesOf(const proto::Semantics& semantics, const proto::OpDef& op) {
  // Two, where pieces follow one another: the next arrives while this one is put together.
  const bool repeats =
      semantics.micro_batches() > 1 && op.segment() != static_cast<int>(ir::Segment::kUpdate);
  return repeats ? 2 : 1;
}

Result<proto::Plan> Lower(const ir::Graph& graph, const Options& options) {
  return Lowering(graph, options).Run();
}

}  // namespace ofl::compiler
