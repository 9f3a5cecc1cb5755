#include "compiler/expand/expand.h"

#include <algorithm>
#include <map>

#include "compiler/compiler.h"
#include "compiler/plan_codec.h"
#include "oneflow_like/op/def/op_def.h"

namespace ofl::compiler {
namespace {

// Messages between one pair of ranks in one step; more would need several boxes of one slice.
constexpr int64_t kMaxMessagesPerPair = 64;

class Expansion {
 public:
  Expansion(const proto::Plan& plan, int rank) : plan_(plan), s_(plan.semantics()), rank_(rank) {}

  Result<Program> Run() {
    OFL_ENSURE(rank_ >= 0 && rank_ < s_.world_size(), Code::kInvalidArgument)
        << "rank " << rank_ << " is outside the plan's world of " << s_.world_size();
    OFL_ASSIGN(placements_, PlacementTable::Read(s_));
    OFL_TRY(FindClass());
    program_.rank = rank_;
    program_.world_size = s_.world_size();
    program_.micro_batches = s_.micro_batches();
    program_.plan_hash = plan_.hash();
    program_.plan_id = PlanId();
    program_.arena_bytes = class_->arena_bytes();
    OFL_TRY(DecodeValues());
    for (int i = 0; i < s_.ops_size(); ++i) {
      if (Status bad = ExpandOp(i); !bad.ok()) return bad.WithNote("in op " + s_.ops(i).name());
    }
    OFL_TRY(FlushAll());
    BuildStream();
    LinkConsumers();
    return std::move(program_);
  }

 private:
  uint64_t PlanId() const {
    uint64_t id = 0;
    for (char c : plan_.hash().substr(0, 15)) {
      const int digit = c <= '9' ? c - '0' : c - 'a' + 10;
      id = id * 16 + static_cast<uint64_t>(digit & 15);
    }
    return id;
  }

  Status FindClass() {
    for (const auto& c : s_.classes())
      if (std::find(c.ranks().begin(), c.ranks().end(), rank_) != c.ranks().end()) class_ = &c;
    OFL_ENSURE(class_ != nullptr, Code::kDataLoss) << "rank " << rank_ << " is in no class";
    OFL_ENSURE(class_->values_size() == class_->offsets_size() &&
                   class_->scratch_ops_size() == class_->scratch_offsets_size(),
               Code::kDataLoss)
        << "the memory map of rank " << rank_ << " has lists of different lengths";
    for (int i = 0; i < class_->values_size(); ++i)
      value_offset_[class_->values(i)] = class_->offsets(i);
    for (int i = 0; i < class_->scratch_ops_size(); ++i)
      scratch_offset_[class_->scratch_ops(i)] = class_->scratch_offsets(i);
    return Status::Ok();
  }

  Status DecodeValues() {
    for (const proto::ValueDef& def : s_.values()) {
      OFL_ASSIGN(TensorMeta meta, ReadMeta(def));
      OFL_ASSIGN(sbp::Layout layout, placements_.ReadLayout(def.layout()));
      OFL_TRY(sbp::CheckLayout("plan value", meta.dtype, meta.shape, layout));
      metas_.push_back(meta);
      layouts_.push_back(layout);
    }
    register_of_.assign(metas_.size(), -1);
    producer_kind_.assign(metas_.size(), proto::OpDef::COMPUTE);
    return Status::Ok();
  }

  bool Member(const Placement& placement) const { return placement.Contains(rank_); }

  // --- registers -------------------------------------------------------------------------------

  RegisterDesc& NewRegister(const TensorMeta& meta, int producer) {
    RegisterDesc reg;
    reg.id = static_cast<int>(program_.registers.size());
    reg.meta = meta;
    reg.bound = meta.bytes();
    reg.producer = producer;
    program_.registers.push_back(reg);
    return program_.registers.back();
  }

  Status CheckValue(int value) const {
    OFL_ENSURE(value >= 0 && value < static_cast<int>(metas_.size()), Code::kDataLoss)
        << "value " << value << " does not exist";
    return Status::Ok();
  }

  Result<int> InputRegister(int value) const {
    OFL_TRY(CheckValue(value));
    OFL_ENSURE(register_of_[value] >= 0, Code::kDataLoss)
        << "value " << value << " is read before it is produced on rank " << rank_;
    return register_of_[value];
  }

  // The register of an op's output on this rank.
  Result<int> OutputRegister(int value, int task) {
    OFL_TRY(CheckValue(value));
    OFL_ENSURE(register_of_[value] < 0, Code::kDataLoss) << "value " << value << " is made twice";
    const proto::ValueDef& def = s_.values(value);
    const int index = layouts_[value].placement.IndexOf(rank_);
    OFL_ENSURE(index >= 0, Code::kDataLoss) << "value " << value << " is not on rank " << rank_;
    const Shape shard = sbp::LocalShape(metas_[value].shape, layouts_[value], index);
    RegisterDesc& reg = NewRegister({metas_[value].dtype, shard}, task);
    OFL_ENSURE(def.bound() >= reg.meta.bytes() && def.instances() >= 1 && def.instances() <= 4096,
               Code::kDataLoss)
        << "value " << value << " has bound " << def.bound() << " and " << def.instances()
        << " instances; this rank's shard has " << reg.meta.bytes() << " bytes";
    reg.bound = def.bound();
    reg.instances = def.instances();
    reg.stride = AlignUp(def.bound());
    auto at = value_offset_.find(value);
    if (at != value_offset_.end()) reg.offset = at->second;
    if (def.alias_of() > 0) {
      OFL_ASSIGN(int base, InputRegister(def.alias_of() - 1));
      program_.registers.back().alias_of = base;
      program_.registers.back().offset = program_.registers[base].offset;
    }
    register_of_[value] = static_cast<int>(program_.registers.size()) - 1;
    return register_of_[value];
  }

  // --- tasks -----------------------------------------------------------------------------------

  TaskDesc& NewTask(TaskKind kind, std::string name, int op, bool per_micro_batch) {
    TaskDesc task;
    task.id = static_cast<int>(program_.tasks.size());
    task.kind = kind;
    task.name = std::move(name);
    task.logical_op = op;
    task.firings = per_micro_batch ? s_.micro_batches() : 1;
    program_.tasks.push_back(std::move(task));
    return program_.tasks.back();
  }

  // Puts a task of a segment behind those already there.
  void Schedule(int task, int segment) {
    if (program_.tasks[task].firings == 1 && segment < 2)
      once_.push_back(task);
    else
      segments_[segment].push_back(task);
  }

  bool OpPerMicroBatch(const proto::OpDef& op) const { return op.segment() < 2; }

  Status ExpandOp(int i) {
    const proto::OpDef& op = s_.ops(i);
    OFL_ENSURE(op.placement() >= 0 && op.placement() < placements_.size() && op.segment() >= 0 &&
                   op.segment() <= 2,
               Code::kDataLoss)
        << "placement " << op.placement() << ", segment " << op.segment();
    OFL_TRY(FlushBefore(i));
    for (int v : op.outputs()) {
      OFL_TRY(CheckValue(v));
      producer_kind_[v] = op.kind();
    }
    if (op.kind() == proto::OpDef::BOXING) return ExpandBoxing(i, op);
    if (!Member(placements_.at(op.placement()))) return Status::Ok();
    switch (op.kind()) {
      case proto::OpDef::COMPUTE: return ExpandCompute(i, op);
      case proto::OpDef::INPUT: return ExpandEnd(i, op, TaskKind::kInput);
      case proto::OpDef::OUTPUT: return ExpandEnd(i, op, TaskKind::kOutput);
      case proto::OpDef::VARIABLE: return ExpandEnd(i, op, TaskKind::kVariable);
      case proto::OpDef::ACCUMULATE: return ExpandEnd(i, op, TaskKind::kAccumulate);
      default: return Error(Code::kDataLoss) << "op kind " << op.kind() << " is unknown";
    }
  }

  Status ExpandCompute(int i, const proto::OpDef& op) {
    OFL_ASSIGN(const op::OpDef* def, op::OpRegistry::Get().Require(op.type()));
    OFL_ASSIGN(Attrs attrs, ReadAttrs(op));
    const int id = NewTask(TaskKind::kKernel, op.name(), i, OpPerMicroBatch(op)).id;
    std::vector<int> inputs, outputs, mutates;
    for (int v : op.inputs()) {
      OFL_ASSIGN(int reg, InputRegister(v));
      if (def->InputMutated(static_cast<int>(inputs.size())))
        mutates.push_back(static_cast<int>(inputs.size()));
      inputs.push_back(reg);
    }
    for (int v : op.outputs()) {
      OFL_ASSIGN(int reg, OutputRegister(v, id));
      outputs.push_back(reg);
    }
    TaskDesc& task = program_.tasks[id];
    task.op = op.type();
    task.inputs = inputs;
    task.outputs = outputs;
    task.mutates = mutates;
    std::vector<Shape> local_in, local_out;
    for (int v : op.inputs()) Describe(v, task.logical_inputs, task.input_offsets, local_in);
    for (int v : op.outputs()) Describe(v, task.logical_outputs, task.output_offsets, local_out);
    task.attrs = def->local_attrs ? def->local_attrs(attrs, local_in, local_out) : attrs;
    if (op.workspace() > 0) {
      OFL_ENSURE(scratch_offset_.count(i), Code::kDataLoss) << "no memory for its workspace";
      task.workspace_bytes = op.workspace();
      task.workspace_offset = scratch_offset_.at(i);
    }
    Schedule(id, op.segment());
    return Status::Ok();
  }

  void Describe(int v, std::vector<TensorMeta>& logical, std::vector<Shape>& offsets,
                std::vector<Shape>& local) {
    const sbp::Box box =
        sbp::LocalBox(metas_[v].shape, layouts_[v], layouts_[v].placement.IndexOf(rank_));
    logical.push_back(metas_[v]);
    offsets.push_back(box.begin);
    local.push_back(box.Extent());
  }

  // Inputs, outputs, variables and accumulators: one task, at most one register each side.
  Status ExpandEnd(int i, const proto::OpDef& op, TaskKind kind) {
    const bool source = kind == TaskKind::kInput || kind == TaskKind::kVariable;
    OFL_ENSURE(op.inputs_size() == (source ? 0 : 1) &&
                   op.outputs_size() == (kind == TaskKind::kOutput ? 0 : 1),
               Code::kDataLoss)
        << "it has " << op.inputs_size() << " inputs and " << op.outputs_size() << " outputs";
    const int value = source ? op.outputs(0) : op.inputs(0);
    OFL_TRY(CheckValue(value));
    const bool repeats = kind == TaskKind::kAccumulate || s_.values(value).per_micro_batch();
    const int id = NewTask(kind, op.name(), i, repeats).id;
    if (!source) {
      OFL_ASSIGN(int reg, InputRegister(value));
      program_.tasks[id].inputs = {reg};
    }
    if (kind != TaskKind::kOutput) {
      OFL_ASSIGN(int reg, OutputRegister(op.outputs(0), id));
      program_.tasks[id].outputs = {reg};
    }
    if (kind == TaskKind::kInput || kind == TaskKind::kOutput)
      program_.tasks[id].binding = op.binding();
    if (kind == TaskKind::kVariable) {
      OFL_ENSURE(op.resource() >= 0 && op.resource() < s_.resources_size(), Code::kDataLoss)
          << "resource " << op.resource() << " does not exist";
      program_.registers[program_.tasks[id].outputs[0]].variable =
          s_.resources(op.resource()).name();
    }
    Schedule(id, op.segment());
    return Status::Ok();
  }

  // --- boxing ----------------------------------------------------------------------------------

  // The receiving half of a step, waiting to be put into the stream's order.
  struct Pending {
    int finish_before = -1;
    int segment = 0;
    int task = -1;
  };

  Status ExpandBoxing(int i, const proto::OpDef& op) {
    OFL_ENSURE(op.inputs_size() == 1 && op.outputs_size() == 1, Code::kDataLoss)
        << "a conversion has one input and one output";
    OFL_TRY(CheckValue(op.inputs(0)));
    OFL_ASSIGN(sbp::BoxingStep step, placements_.ReadBoxing(op.boxing()));
    OFL_ENSURE(step.from == layouts_[op.inputs(0)] && step.to == layouts_[op.outputs(0)] &&
                   metas_[op.inputs(0)] == metas_[op.outputs(0)],
               Code::kDataLoss)
        << "the step's layouts are not those of its values";
    const bool sends = Member(step.from.placement), receives = Member(step.to.placement);
    if (!sends && !receives) return Status::Ok();
    const sbp::RankWork work = sbp::WorkOf(step, metas_[op.inputs(0)].shape, rank_);
    if (sends) OFL_TRY(ExpandSends(i, op, work));
    if (receives) OFL_TRY(ExpandReceives(i, op, work, sends));
    return Status::Ok();
  }

  int64_t EdgeId(int op, int src, int dst, int64_t message) const {
    const int64_t world = s_.world_size();
    return ((op * world + src) * world + dst) * kMaxMessagesPerPair + message;
  }

  // A box whose bytes are one run of the shard.
  static bool Contiguous(const Shape& extent, const Shape& shard) {
    int axis = 0;
    while (axis < extent.rank() && extent[axis] == 1) ++axis;
    for (++axis; axis < extent.rank(); ++axis)
      if (extent[axis] != shard[axis]) return false;
    return true;
  }

  static Shape Minus(const Shape& a, const Shape& b) {
    Shape out = a;
    for (int d = 0; d < a.rank(); ++d) out[d] = a[d] - b[d];
    return out;
  }

  RemoteEdge Edge(int i, const sbp::Message& m, int64_t message, int64_t bytes, int credits) const {
    RemoteEdge edge;
    edge.edge_id = EdgeId(i, m.src, m.dst, message);
    edge.outgoing = m.src == rank_;
    edge.peer = edge.outgoing ? m.dst : m.src;
    edge.bytes = bytes;
    edge.credits = credits;
    return edge;
  }

  // Position of a message among those of its pair, for its edge id.
  static Result<int64_t> PairIndex(std::map<int, int64_t>& counts, int peer) {
    const int64_t index = counts[peer]++;
    OFL_ENSURE(index < kMaxMessagesPerPair, Code::kUnimplemented)
        << "more than " << kMaxMessagesPerPair << " boxes between two ranks in one step";
    return index;
  }

  Status ExpandSends(int i, const proto::OpDef& op, const sbp::RankWork& work) {
    if (work.sends.empty()) return Status::Ok();
    const int value = op.inputs(0);
    OFL_ASSIGN(int source, InputRegister(value));
    const TensorMeta shard = program_.registers[source].meta;
    const bool in_place = producer_kind_[value] != proto::OpDef::VARIABLE &&
                          producer_kind_[value] != proto::OpDef::INPUT;
    const int credits = StagingInstancesOf(s_, op);
    const int64_t item = static_cast<int64_t>(DTypeSize(shard.dtype));
    std::map<int, int64_t> counts;
    int64_t used = 0;
    for (const sbp::Message& m : work.sends) {
      const Shape extent = m.box.Extent();
      const Shape at = Minus(m.box.begin, work.from_box.begin);
      OFL_ASSIGN(int64_t index, PairIndex(counts, m.dst));
      RemoteEdge edge = Edge(i, m, index, extent.numel() * item, credits);
      if (in_place && Contiguous(extent, shard.shape)) {
        const Strides strides = ContiguousStrides(shard.shape);
        for (int d = 0; d < at.rank(); ++d) edge.local_offset += at[d] * strides[d] * item;
        edge.local_register = source;
      } else {
        OFL_ASSIGN(edge.local_register, Pack(i, op, source, {shard.dtype, extent}, at, used));
        used += AlignUp(edge.bytes);
      }
      program_.remote_edges.push_back(edge);
    }
    OFL_ENSURE(used <= op.boxing().send_bytes(), Code::kDataLoss)
        << "sends need " << used << " bytes, the plan reserves " << op.boxing().send_bytes();
    return Status::Ok();
  }

  Result<int> Pack(int i, const proto::OpDef& op, int source, const TensorMeta& meta,
                   const Shape& at, int64_t used) {
    OFL_ENSURE(scratch_offset_.count(i), Code::kDataLoss) << "no memory for its messages";
    TaskDesc& task = NewTask(TaskKind::kPack, op.name() + ".pack", i, OpPerMicroBatch(op));
    const int id = task.id;
    task.inputs = {source};
    AssemblePiece piece;
    piece.extent = meta.shape;
    piece.dst_begin = Shape(std::vector<int64_t>(meta.shape.rank(), 0));
    piece.sources = {{0, at}};
    task.pieces = {piece};
    RegisterDesc& reg = NewRegister(meta, id);
    reg.instances = StagingInstancesOf(s_, op);
    reg.stride = op.boxing().send_bytes();
    reg.offset = scratch_offset_.at(i) + used;
    program_.tasks[id].outputs = {reg.id};
    Schedule(id, op.segment());
    return reg.id;
  }

  Status ExpandReceives(int i, const proto::OpDef& op, const sbp::RankWork& work, bool member) {
    std::vector<int> inputs;
    std::map<int, std::vector<std::pair<sbp::Box, int>>> arrived;  // source -> (box, input index)
    if (member) {
      OFL_ASSIGN(int own, InputRegister(op.inputs(0)));
      arrived[rank_].emplace_back(work.from_box, 0);
      inputs.push_back(own);
    }
    OFL_TRY(ExpandArrivals(i, op, work, inputs, arrived));
    const int id = NewTask(TaskKind::kAssemble, op.name(), i, OpPerMicroBatch(op)).id;
    OFL_ASSIGN(int out, OutputRegister(op.outputs(0), id));
    TaskDesc& task = program_.tasks[id];
    task.outputs = {out};
    for (const sbp::Piece& piece : work.pieces) {
      AssemblePiece assembled;
      assembled.dst_begin = Minus(piece.box.begin, work.to_box.begin);
      assembled.extent = piece.box.Extent();
      assembled.tree = piece.tree;
      assembled.reduce_op = static_cast<int>(piece.op);
      for (int source : piece.sources) {
        OFL_ASSIGN(auto copy, FindSource(arrived[source], piece.box, source));
        assembled.sources.push_back(copy);
      }
      task.pieces.push_back(std::move(assembled));
    }
    DropUnread(task, inputs);
    OFL_ENSURE(op.finish_before() < s_.ops_size(), Code::kDataLoss)
        << "it finishes before op " << op.finish_before();
    if (op.finish_before() > i)
      pending_.push_back({op.finish_before(), s_.ops(op.finish_before()).segment(), id});
    else
      Schedule(id, op.segment());
    return Status::Ok();
  }

  Status ExpandArrivals(int i, const proto::OpDef& op, const sbp::RankWork& work,
                        std::vector<int>& inputs,
                        std::map<int, std::vector<std::pair<sbp::Box, int>>>& arrived) {
    const DType dtype = metas_[op.inputs(0)].dtype;
    const int64_t item = static_cast<int64_t>(DTypeSize(dtype));
    const int instances = StagingInstancesOf(s_, op);
    std::map<int, int64_t> counts;
    int64_t used = 0;
    for (const sbp::Message& m : work.receives) {
      OFL_ENSURE(scratch_offset_.count(i), Code::kDataLoss) << "no memory for its messages";
      const TensorMeta meta{dtype, m.box.Extent()};
      TaskDesc& task = NewTask(TaskKind::kReceive, op.name() + ".from." + std::to_string(m.src), i,
                               OpPerMicroBatch(op));
      const int id = task.id;
      RegisterDesc& reg = NewRegister(meta, id);
      reg.instances = instances;
      reg.stride = op.boxing().receive_bytes();
      reg.offset = scratch_offset_.at(i) + op.boxing().send_bytes() * instances + used;
      program_.tasks[id].outputs = {reg.id};
      OFL_ASSIGN(int64_t index, PairIndex(counts, m.src));
      RemoteEdge edge = Edge(i, m, index, meta.shape.numel() * item, instances);
      edge.local_register = reg.id;
      program_.remote_edges.push_back(edge);
      arrived[m.src].emplace_back(m.box, static_cast<int>(inputs.size()));
      inputs.push_back(reg.id);
      used += AlignUp(meta.bytes());
    }
    OFL_ENSURE(used <= op.boxing().receive_bytes(), Code::kDataLoss)
        << "receives need " << used << " bytes, the plan reserves " << op.boxing().receive_bytes();
    return Status::Ok();
  }

  static Result<BoxCopy> FindSource(const std::vector<std::pair<sbp::Box, int>>& boxes,
                                    const sbp::Box& wanted, int source) {
    for (const auto& [box, input] : boxes)
      if (box.Intersect(wanted) == wanted) return BoxCopy{input, Minus(wanted.begin, box.begin)};
    return Error(Code::kInternal) << "no box from rank " << source << " covers a piece";
  }

  // A rank that only sends its shard on does not read it itself.
  static void DropUnread(TaskDesc& task, const std::vector<int>& inputs) {
    std::vector<int> renumbered(inputs.size(), -1);
    for (AssemblePiece& piece : task.pieces)
      for (BoxCopy& copy : piece.sources) {
        if (renumbered[copy.input] < 0) {
          renumbered[copy.input] = static_cast<int>(task.inputs.size());
          task.inputs.push_back(inputs[copy.input]);
        }
        copy.input = renumbered[copy.input];
      }
  }

  // --- order -----------------------------------------------------------------------------------

  Status FlushBefore(int op) {
    for (Pending& p : pending_)
      if (p.task >= 0 && p.finish_before <= op) {
        Schedule(p.task, p.segment);
        p.task = -1;
      }
    return Status::Ok();
  }

  Status FlushAll() { return FlushBefore(s_.ops_size()); }

  void BuildStream() {
    StreamDesc stream;
    stream.name = "compute";
    stream.threads = std::max(1, s_.threads());
    for (int task : once_) stream.order.push_back({task, 0});
    const int m = s_.micro_batches();
    for (int segment = 0; segment < 2; ++segment)
      for (int k = 0; k < m; ++k)
        for (int task : segments_[segment]) stream.order.push_back({task, k});
    for (int task : segments_[2]) stream.order.push_back({task, 0});
    program_.streams.push_back(std::move(stream));
  }

  // Readers of each register in the order they first run.
  void LinkConsumers() {
    std::vector<bool> seen(program_.tasks.size(), false);
    for (const StreamDesc& stream : program_.streams)
      for (const Firing& firing : stream.order) {
        if (seen[firing.task]) continue;
        seen[firing.task] = true;
        for (int reg : program_.tasks[firing.task].inputs)
          program_.registers[reg].consumers.push_back(firing.task);
      }
  }

  const proto::Plan& plan_;
  const proto::Semantics& s_;
  const int rank_;
  Program program_;
  PlacementTable placements_;
  const proto::RankClass* class_ = nullptr;
  std::map<int, int64_t> value_offset_, scratch_offset_;
  std::vector<TensorMeta> metas_;
  std::vector<sbp::Layout> layouts_;
  std::vector<int> register_of_;
  std::vector<proto::OpDef::Kind> producer_kind_;
  std::vector<Pending> pending_;
  std::vector<int> once_;
  std::vector<int> segments_[3];
};

}  // namespace

Result<Program> Expand(const proto::Plan& plan, int rank) { return Expansion(plan, rank).Run(); }

}  // namespace ofl::compiler
