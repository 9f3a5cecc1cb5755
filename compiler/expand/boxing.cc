// Conversions on one rank: packing, message edges, arrivals and assembly of each step.

#include "compiler/expand/expansion.h"

namespace ofl::compiler {
namespace {

Shape Minus(const Shape& a, const Shape& b) {
  Shape out = a;
  for (int d = 0; d < a.rank(); ++d) out[d] = a[d] - b[d];
  return out;
}

// A box whose bytes are one run of the shard.
bool Contiguous(const Shape& extent, const Shape& shard) {
  int axis = 0;
  while (axis < extent.rank() && extent[axis] == 1) ++axis;
  for (++axis; axis < extent.rank(); ++axis)
    if (extent[axis] != shard[axis]) return false;
  return true;
}

Result<BoxCopy> FindSource(const std::vector<std::pair<sbp::Box, int>>& boxes,
                           const sbp::Box& wanted, int source) {
  for (const auto& [box, input] : boxes)
    if (box.Intersect(wanted) == wanted) return BoxCopy{input, Minus(wanted.begin, box.begin)};
  return Error(Code::kInternal) << "no box from rank " << source << " covers a piece";
}

// Reads only the registers its pieces come from: a rank may only send its shard on.
void ReadWhatIsUsed(TaskDesc& task, const std::vector<int>& registers) {
  std::vector<int> renumbered(registers.size(), -1);
  for (AssemblePiece& piece : task.pieces)
    for (BoxCopy& copy : piece.sources) {
      if (renumbered[copy.input] < 0) {
        renumbered[copy.input] = static_cast<int>(task.inputs.size());
        task.inputs.push_back(registers[copy.input]);
      }
      copy.input = renumbered[copy.input];
    }
}

}  // namespace

Status Expansion::ExpandBoxing(int i, const proto::OpDef& op) {
  OFL_ENSURE(op.inputs_size() == 1 && op.outputs_size() == 1, Code::kDataLoss)
      << "a conversion has one input and one output";
  const int in = op.inputs(0), out = op.outputs(0);
  OFL_TRY(CheckValue(in));
  OFL_TRY(RefuseView(in));
  OFL_ASSIGN(std::vector<sbp::BoxingStep> steps, placements_.ReadSteps(op, layouts_[in]));
  OFL_ENSURE(steps.back().to == layouts_[out] && metas_[in] == metas_[out], Code::kDataLoss)
      << "the steps do not lead from its input to its output";
  for (int before : {op.continue_before(), op.finish_before()})
    OFL_ENSURE(before >= 0 && before <= s_.ops_size(), Code::kDataLoss)
        << "it goes on before position " << before;
  Step at;
  at.op = i;
  at.def = &op;
  at.logical = metas_[in];
  at.instances = StagingInstancesOf(s_, op);
  at.source = Member(steps.front().from.placement) ? register_of_[in] : -1;
  at.pushable =
      producer_kind_[in] != proto::OpDef::VARIABLE && producer_kind_[in] != proto::OpDef::INPUT;
  int64_t scratch = scratch_offset_.count(i) ? scratch_offset_.at(i) : -1;
  for (size_t n = 0; n < steps.size(); ++n) {
    const bool last = n + 1 == steps.size();
    at.number = static_cast<int>(n);
    at.sizes = &op.steps(at.number);
    at.step = steps[n];
    at.scratch = scratch;
    at.start_before = n == 0 ? -1 : op.continue_before() - 1;
    at.finish_before = (last ? op.finish_before() : op.continue_before()) - 1;
    OFL_ASSIGN(at.source, ExpandStep(at, last));
    at.pushable = true;
    scratch += StepScratch(*at.sizes) * at.instances;
  }
  return Status::Ok();
}

// The register that holds the step's result, or -1 where this rank has none.
Result<int> Expansion::ExpandStep(Step& at, bool last) {
  const bool sends = Member(at.step.from.placement), receives = Member(at.step.to.placement);
  if (!sends && !receives) return -1;
  OFL_ENSURE(!sends || at.source >= 0, Code::kDataLoss)
      << "value " << at.def->inputs(0) << " is read before it is produced on rank " << rank_;
  at.work = sbp::WorkOf(at.step, at.logical.shape, rank_);
  OFL_ENSURE((at.work.sends.empty() && at.work.receives.empty() && last) || at.scratch >= 0,
             Code::kDataLoss)
      << "no memory for its messages";
  if (sends) OFL_TRY(ExpandSends(at));
  if (!receives) return -1;
  return ExpandAssembly(at, last);
}

Place Expansion::PlaceOf(const Step& at, Phase phase, int number) const {
  constexpr int kNumberBits = 16, kPhaseBits = 2;
  static_assert(kMaxSteps <= 16 && kMaxWorld <= 1 << kNumberBits);
  const int firings = OpPerMicroBatch(*at.def) ? s_.micro_batches() : 1;
  const int64_t within =
      (int64_t{at.number} << kPhaseBits | static_cast<int>(phase)) << kNumberBits | number;
  return PlaceOf(at.op, phase == Phase::kPack ? at.start_before : at.finish_before, firings,
                 within);
}

RemoteEdge Expansion::Edge(const Step& at, const sbp::Message& m, int64_t bytes) const {
  const int64_t world = s_.world_size();
  RemoteEdge edge;
  edge.edge_id = ((at.op * world + m.src) * world + m.dst) * kMaxSteps + at.number;
  edge.outgoing = m.src == rank_;
  edge.peer = edge.outgoing ? m.dst : m.src;
  edge.bytes = bytes;
  edge.credits = at.instances;
  edge.push = PlaceOf(at, Phase::kPush);
  return edge;
}

Status Expansion::ExpandSends(const Step& at) {
  const TensorMeta shard = program_.registers[at.source].meta;
  const int64_t item = static_cast<int64_t>(DTypeSize(shard.dtype));
  int64_t used = 0;
  int last_peer = -1, packed = 0;
  for (const sbp::Message& m : at.work.sends) {
    OFL_ENSURE(m.dst != last_peer, Code::kInternal) << "two messages of one step to rank " << m.dst;
    last_peer = m.dst;
    const Shape extent = m.box.Extent();
    const Shape begin = Minus(m.box.begin, at.work.from_box.begin);
    RemoteEdge edge = Edge(at, m, extent.numel() * item);
    if (at.pushable && Contiguous(extent, shard.shape)) {
      const Strides strides = ContiguousStrides(shard.shape);
      for (int d = 0; d < begin.rank(); ++d) edge.local_offset += begin[d] * strides[d] * item;
      edge.local_register = at.source;
    } else {
      OFL_ASSIGN(edge.local_register, Pack(at, {shard.dtype, extent}, begin, used, packed++));
      used += AlignUp(edge.bytes);
    }
    program_.remote_edges.push_back(edge);
  }
  OFL_ENSURE(used <= at.sizes->send_bytes(), Code::kDataLoss)
      << "sends need " << used << " bytes, the plan reserves " << at.sizes->send_bytes();
  return Status::Ok();
}

Result<int> Expansion::Pack(const Step& at, const TensorMeta& meta, const Shape& begin,
                            int64_t used, int number) {
  const int id =
      NewTask(TaskKind::kPack, at.def->name() + ".pack", at.op, OpPerMicroBatch(*at.def)).id;
  AssemblePiece piece;
  piece.extent = meta.shape;
  piece.dst_begin = Shape(std::vector<int64_t>(static_cast<size_t>(meta.shape.rank()), 0));
  piece.sources = {{0, begin}};
  RegisterDesc& reg = NewRegister(meta, id);
  reg.instances = at.instances;
  reg.stride = at.sizes->send_bytes();
  reg.offset = at.scratch + used;
  TaskDesc& task = program_.tasks[id];
  task.place = PlaceOf(at, Phase::kPack, number);
  task.inputs = {at.source};
  task.outputs = {reg.id};
  task.pieces = {piece};
  ScheduleBefore(id, at.op, at.start_before);
  return reg.id;
}

Status Expansion::ExpandArrivals(const Step& at, std::vector<int>& registers,
                                 std::map<int, std::vector<std::pair<sbp::Box, int>>>& arrived) {
  int64_t used = 0;
  for (const sbp::Message& m : at.work.receives) {
    const TensorMeta meta{at.logical.dtype, m.box.Extent()};
    const int id = NewTask(TaskKind::kReceive, at.def->name() + ".from." + std::to_string(m.src),
                           at.op, OpPerMicroBatch(*at.def))
                       .id;
    RegisterDesc& reg = NewRegister(meta, id);
    reg.instances = at.instances;
    reg.stride = at.sizes->receive_bytes();
    reg.offset = at.scratch + at.sizes->send_bytes() * at.instances + used;
    program_.tasks[id].outputs = {reg.id};
    program_.tasks[id].place = PlaceOf(at, Phase::kReceive);
    RemoteEdge edge = Edge(at, m, meta.bytes());
    edge.local_register = reg.id;
    program_.remote_edges.push_back(edge);
    arrived[m.src].emplace_back(m.box, static_cast<int>(registers.size()));
    registers.push_back(reg.id);
    used += AlignUp(meta.bytes());
  }
  OFL_ENSURE(used <= at.sizes->receive_bytes(), Code::kDataLoss)
      << "receives need " << used << " bytes, the plan reserves " << at.sizes->receive_bytes();
  return Status::Ok();
}

Result<int> Expansion::ExpandAssembly(const Step& at, bool last) {
  std::vector<int> registers;
  std::map<int, std::vector<std::pair<sbp::Box, int>>> arrived;  // source -> (box, register)
  if (at.source >= 0 && Member(at.step.from.placement)) {
    arrived[rank_].emplace_back(at.work.from_box, 0);
    registers.push_back(at.source);
  }
  OFL_TRY(ExpandArrivals(at, registers, arrived));
  const std::string name =
      last ? at.def->name() : at.def->name() + ".step." + std::to_string(at.number);
  const int id = NewTask(TaskKind::kAssemble, name, at.op, OpPerMicroBatch(*at.def)).id;
  OFL_ASSIGN(const int out, last ? OutputRegister(at.def->outputs(0), id) : Intermediate(at, id));
  TaskDesc& task = program_.tasks[id];
  task.place = PlaceOf(at, Phase::kAssemble);
  task.outputs = {out};
  for (const sbp::Piece& piece : at.work.pieces) {
    AssemblePiece assembled;
    assembled.dst_begin = Minus(piece.box.begin, at.work.to_box.begin);
    assembled.extent = piece.box.Extent();
    assembled.tree = piece.tree;
    assembled.reduce_op = static_cast<int>(piece.op);
    for (int source : piece.sources) {
      OFL_ASSIGN(auto copy, FindSource(arrived[source], piece.box, source));
      assembled.sources.push_back(copy);
    }
    task.pieces.push_back(std::move(assembled));
  }
  ReadWhatIsUsed(task, registers);
  ScheduleBefore(id, at.op, at.finish_before);
  return out;
}

// The register between two steps, in the conversion's scratch.
Result<int> Expansion::Intermediate(const Step& at, int task) {
  const int index = at.step.to.placement.IndexOf(rank_);
  const Shape shard = sbp::LocalShape(at.logical.shape, at.step.to, index);
  RegisterDesc& reg = NewRegister({at.logical.dtype, shard}, task);
  OFL_ENSURE(reg.meta.bytes() <= at.sizes->result_bytes(), Code::kDataLoss)
      << "step " << at.number << " results in " << reg.meta.bytes() << " bytes, the plan reserves "
      << at.sizes->result_bytes();
  reg.instances = at.instances;
  reg.stride = at.sizes->result_bytes();
  reg.offset = at.scratch + (at.sizes->send_bytes() + at.sizes->receive_bytes()) * at.instances;
  return reg.id;
}

void Expansion::ScheduleBefore(int task, int op, int before) {
  if (before > op)
    pending_.push_back({before, task});
  else
    Schedule(task, s_.ops(op).segment());
}

}  // namespace ofl::compiler
