#include "actor/drivers/task_runner.h"

#include <algorithm>

namespace ofl::actor {
namespace {

constexpr int64_t kRegisterAlignment = 64;

Shape Zeros(int rank) {
  Shape zeros;
  for (int i = 0; i < rank; ++i) zeros.push_back(0);
  return zeros;
}

bool Fits(const Shape& begin, const Shape& extent, const Shape& shard) {
  if (begin.rank() != shard.rank() || extent.rank() != shard.rank()) return false;
  for (int axis = 0; axis < shard.rank(); ++axis)
    if (begin[axis] < 0 || extent[axis] < 0 || begin[axis] > shard[axis] - extent[axis])
      return false;
  return true;
}

}  // namespace

Result<std::unique_ptr<TaskRunner>> TaskRunner::Create(
    const Program& program, const Core& core, device::Device* device,
    std::map<std::string, device::BufferRef> variables,
    std::function<uint64_t(const std::string&)> contents) {
  std::unique_ptr<TaskRunner> runner(new TaskRunner(program, core, device, std::move(contents)));
  OFL_TRY(runner->ResolveMemory(std::move(variables)));
  std::vector<int> threads(program.tasks.size(), 1);
  for (const StreamDesc& stream : program.streams)
    for (const Firing& firing : stream.order) threads[firing.task] = stream.threads;
  for (const TaskDesc& task : program.tasks)
    if (Status bad = runner->PrepareTask(task, threads[task.id]); !bad.ok())
      return bad.WithNote("in actor " + std::to_string(task.id) + " " + task.name + " of rank " +
                          std::to_string(program.rank));
  runner->Watch();
  return runner;
}

// --- memory -------------------------------------------------------------------------------------

Status TaskRunner::ResolveMemory(std::map<std::string, device::BufferRef> variables) {
  OFL_ENSURE(program_.arena_bytes >= 0, Code::kInvalidArgument)
      << "[plan] the arena has " << program_.arena_bytes << " bytes";
  OFL_ASSIGN(arena_, device_->Allocate(program_.arena_bytes));
  pointers_.resize(program_.registers.size());
  for (const RegisterDesc& reg : program_.registers) {
    int root = reg.id;
    while (program_.registers[root].alias_of >= 0) root = program_.registers[root].alias_of;
    root_.push_back(root);
    const RegisterDesc& base = program_.registers[root];
    OFL_ENSURE(reg.meta.bytes() <= std::max(base.bound, base.meta.bytes()), Code::kInvalidArgument)
        << "[plan] register " << reg.id << " takes over register " << root << ": got "
        << reg.meta.bytes() << " bytes; expected at most " << base.bound;
    if (root == reg.id) OFL_TRY(ResolveRegister(reg, variables));
  }
  for (auto& [name, buffer] : variables) variables_.push_back(std::move(buffer));
  return Status::Ok();
}

Status TaskRunner::ResolveRegister(const RegisterDesc& reg,
                                   const std::map<std::string, device::BufferRef>& variables) {
  std::vector<std::byte*>& slots = pointers_[reg.id];
  slots.assign(reg.instances, nullptr);
  const std::string& producer = program_.tasks[reg.producer].name;
  const TaskKind kind = program_.tasks[reg.producer].kind;
  if (kind == TaskKind::kVariable) {
    auto at = variables.find(reg.variable);
    OFL_ENSURE(at != variables.end() && at->second != nullptr, Code::kInvalidArgument)
        << "[plan] variable " << reg.variable << " is not bound on rank " << program_.rank;
    OFL_ENSURE(at->second->size() >= reg.meta.bytes(), Code::kInvalidArgument)
        << "[plan] variable " << reg.variable << " does not fit: got " << at->second->size()
        << " bytes; expected " << reg.meta.bytes() << " (" << reg.meta.ToString() << ")";
    std::fill(slots.begin(), slots.end(), at->second->data());
    return Status::Ok();
  }
  if (reg.meta.bytes() == 0 || (kind == TaskKind::kInput && reg.offset < 0)) return Status::Ok();
  const int64_t end = reg.offset + (reg.instances - 1) * reg.stride + reg.meta.bytes();
  OFL_ENSURE(reg.offset >= 0 && reg.offset % kRegisterAlignment == 0 &&
                 (reg.instances == 1 || reg.stride >= reg.meta.bytes()) &&
                 end <= program_.arena_bytes,
             Code::kInvalidArgument)
      << "[plan] register " << reg.id << " of " << producer << " does not lie in the arena: got "
      << reg.instances << " instances of " << reg.meta.bytes() << " bytes at " << reg.offset
      << ", stride " << reg.stride << "; expected aligned and within " << program_.arena_bytes;
  for (int i = 0; i < reg.instances; ++i) slots[i] = arena_->data() + reg.offset + i * reg.stride;
  return Status::Ok();
}

// --- preparation --------------------------------------------------------------------------------

Status TaskRunner::PrepareTask(const TaskDesc& task, int threads) {
  Prepared prepared;
  for (int r : task.inputs) prepared.inputs.emplace_back(nullptr, program_.registers[r].meta);
  OFL_TRY(CheckInputViews(program_, task));
  if (!task.views.empty()) prepared.offsets.resize(task.inputs.size(), 0);
  for (const InputView& view : task.views) {
    prepared.inputs[view.input] = {nullptr, view.meta, view.strides};
    prepared.offsets[view.input] = view.offset * static_cast<int64_t>(DTypeSize(view.meta.dtype));
  }
  for (int r : task.outputs) prepared.outputs.emplace_back(nullptr, program_.registers[r].meta);
  const size_t in = task.inputs.size(), out = task.outputs.size();
  bool arity = true;
  switch (task.kind) {
    case TaskKind::kKernel: OFL_TRY(PrepareKernel(task, threads, prepared)); break;
    case TaskKind::kInput:
    case TaskKind::kVariable:
    case TaskKind::kReceive: arity = in == 0 && out == 1; break;
    case TaskKind::kOutput: arity = in == 1 && out == 0; break;
    case TaskKind::kPack:
    case TaskKind::kAssemble:
      arity = out == 1;
      if (arity) OFL_TRY(PrepareBoxes(task, prepared));
      break;
    case TaskKind::kAccumulate:
      arity = in == 1 && out == 1 && prepared.inputs[0].meta == prepared.outputs[0].meta;
      break;
  }
  OFL_ENSURE(arity, Code::kInvalidArgument)
      << "[plan] " << task.name << " has " << in << " inputs and " << out
      << " outputs, or of the wrong shape, for its kind";
  tasks_.push_back(std::move(prepared));
  return Status::Ok();
}

Status TaskRunner::PrepareKernel(const TaskDesc& task, int threads, Prepared& prepared) {
  const auto block = [&](const char* what, int64_t offset, int64_t bytes,
                         MutableBytes& out) -> Status {
    if (bytes == 0) return Status::Ok();
    OFL_ENSURE(bytes > 0 && offset >= 0 && offset <= program_.arena_bytes - bytes,
               Code::kInvalidArgument)
        << "[plan] " << what << " of " << task.name << " lies outside the arena: got " << bytes
        << " bytes at " << offset << "; expected them within " << program_.arena_bytes;
    out = {arena_->data() + offset, static_cast<size_t>(bytes)};
    return Status::Ok();
  };
  OFL_TRY(block("workspace", task.workspace_offset, task.workspace_bytes, prepared.workspace));
  OFL_TRY(block("state", task.state_offset, task.state_bytes, prepared.kept));
  const auto generators = static_cast<int>(program_.generators.size());
  OFL_ENSURE(task.generator < generators, Code::kInvalidArgument)
      << "[plan] " << task.name << " draws from generator " << task.generator << " of "
      << generators;
  const op::KernelBounds reserved{task.workspace_bytes, task.state_bytes};
  OFL_ASSIGN(prepared.kernel, op::FindKernel(task.op, device_->kind(), prepared.inputs,
                                             prepared.outputs, task.attrs, threads, &reserved));
  return Status::Ok();
}

void TaskRunner::Watch() {
  watched_of_.assign(program_.registers.size(), -1);
  for (const TaskDesc& task : program_.tasks) {
    if (tasks_[task.id].kept.empty()) continue;
    for (int input : task.inputs) {
      const RegisterDesc& reg = program_.registers[root_[input]];
      if (program_.tasks[reg.producer].kind != TaskKind::kVariable) continue;
      if (watched_of_[reg.id] < 0) {
        watched_of_[reg.id] = static_cast<int>(watched_.size());
        watched_.push_back({reg.variable});
      }
    }
  }
  for (const TaskDesc& task : program_.tasks)
    for (int input : task.mutates) {
      const int watched = watched_of_[root_[task.inputs[input]]];
      if (watched >= 0) tasks_[task.id].changes.push_back(watched);
    }
}

Status TaskRunner::PrepareBoxes(const TaskDesc& task, Prepared& prepared) {
  const TensorMeta& out = prepared.outputs[0].meta;
  for (const AssemblePiece& piece : task.pieces) {
    bool sound = Fits(piece.dst_begin, piece.extent, out.shape) &&
                 (piece.sources.size() <= 1 ||
                  piece.tree.numel() == static_cast<int64_t>(piece.sources.size())) &&
                 piece.reduce_op >= device::kBoxSum && piece.reduce_op <= device::kBoxMin;
    Assembly assembly{piece.dst_begin, piece.extent, piece.tree, piece.reduce_op, {}, {}};
    for (const BoxCopy& copy : piece.sources) {
      sound = sound && copy.input >= 0 && copy.input < static_cast<int>(prepared.inputs.size());
      if (!sound) break;
      const TensorMeta& in = prepared.inputs[copy.input].meta;
      sound = in.dtype == out.dtype && Fits(copy.src_begin, piece.extent, in.shape);
      assembly.inputs.push_back(copy.input);
      assembly.sources.push_back({nullptr, in.shape, copy.src_begin});
    }
    OFL_ENSURE(sound, Code::kInvalidArgument)
        << "[plan] a box of " << task.name << " does not fit: extent " << piece.extent << " at "
        << piece.dst_begin << " of " << out.ToString() << " from " << piece.sources.size()
        << " sources";
    prepared.assemblies.push_back(std::move(assembly));
  }
  return Status::Ok();
}

// --- launches -----------------------------------------------------------------------------------

Status TaskRunner::CheckBinding(const TaskDesc& task, std::span<const op::TensorView> given,
                                int reg) const {
  const TensorMeta& meta = program_.registers[reg].meta;
  const char* what = task.kind == TaskKind::kInput ? "input" : "output";
  OFL_ENSURE(task.binding >= 0 && task.binding < static_cast<int>(given.size()),
             Code::kInvalidArgument)
      << "[launch] " << what << " " << task.binding << " is missing: got " << given.size();
  const op::TensorView& view = given[task.binding];
  const int64_t bytes = meta.bytes() * task.firings;
  const bool fits = view.meta.dtype == meta.dtype && view.meta.bytes() == bytes &&
                    (view.data != nullptr || bytes == 0);
  OFL_ENSURE(fits, Code::kInvalidArgument)
      << "[launch] " << what << " " << task.binding << " (" << task.name << ") does not fit: got "
      << view.meta.ToString() << (view.data == nullptr ? " without data" : "") << "; expected "
      << task.firings << " x " << meta.ToString();
  return Status::Ok();
}

Status TaskRunner::Bind(std::span<const op::TensorView> inputs,
                        std::span<const op::TensorView> outputs,
                        std::span<const RandomState> generators) {
  OFL_ENSURE(generators.size() == program_.generators.size(), Code::kInvalidArgument)
      << "[launch] the plan draws from " << program_.generators.size()
      << " generators of random numbers: got states of " << generators.size()
      << "; expected one for each";
  for (const TaskDesc& task : program_.tasks) {
    if (task.kind == TaskKind::kInput) OFL_TRY(CheckBinding(task, inputs, task.outputs[0]));
    if (task.kind == TaskKind::kOutput) OFL_TRY(CheckBinding(task, outputs, task.inputs[0]));
  }
  inputs_ = inputs;
  outputs_ = outputs;
  generators_.assign(generators.begin(), generators.end());
  ++launches_;
  for (Watched& watched : watched_) {
    const uint64_t contents = contents_ ? contents_(watched.variable) : 0;
    if (contents != 0 && contents == watched.contents) continue;
    watched.contents = contents;
    watched.version = ++last_version_;
  }
  return Status::Ok();
}

Status TaskRunner::Run(int id, int64_t piece, device::Stream* stream) {
  const TaskDesc& task = program_.tasks[id];
  Prepared& p = tasks_[id];
  for (size_t i = 0; i < p.inputs.size(); ++i)
    p.inputs[i].data = p.inputs[i].numel() == 0
                           ? nullptr
                           : Data(task.inputs[i], core_.InputSlot(id, static_cast<int>(i), piece));
  for (size_t i = 0; i < p.offsets.size(); ++i)
    if (p.inputs[i].data != nullptr)
      p.inputs[i].data = static_cast<std::byte*>(p.inputs[i].data) + p.offsets[i];
  for (size_t i = 0; i < p.outputs.size(); ++i)
    p.outputs[i].data =
        p.outputs[i].numel() == 0
            ? nullptr
            : Data(task.outputs[i], core_.OutputSlot(id, static_cast<int>(i), piece));
  switch (task.kind) {
    case TaskKind::kKernel: return RunKernel(task, piece, p, stream);
    case TaskKind::kInput: RunInput(task, piece, p, stream); return Status::Ok();
    case TaskKind::kOutput: RunOutput(task, piece, p, stream); return Status::Ok();
    case TaskKind::kPack:
    case TaskKind::kAssemble: return RunBoxes(p, stream);
    case TaskKind::kAccumulate: return RunAccumulate(piece, p, stream);
    case TaskKind::kVariable:
    case TaskKind::kReceive: return Status::Ok();
  }
  return Status::Ok();
}

void TaskRunner::RunInput(const TaskDesc& task, int64_t piece, Prepared& p,
                          device::Stream* stream) {
  const int64_t bytes = p.outputs[0].meta.bytes();
  if (bytes == 0) return;
  std::byte* slice = static_cast<std::byte*>(inputs_[task.binding].data) + piece * bytes;
  const int reg = task.outputs[0];
  if (program_.registers[reg].offset < 0) {
    pointers_[reg][core_.OutputSlot(task.id, 0, piece)] = slice;  // lent, not copied
  } else {
    stream->Copy(static_cast<std::byte*>(p.outputs[0].data), slice, bytes);
  }
}

void TaskRunner::RunOutput(const TaskDesc& task, int64_t piece, Prepared& p,
                           device::Stream* stream) {
  const int64_t bytes = p.inputs[0].meta.bytes();
  if (bytes == 0) return;
  stream->Copy(static_cast<std::byte*>(outputs_[task.binding].data) + piece * bytes,
               static_cast<const std::byte*>(p.inputs[0].data), bytes);
}

Status TaskRunner::RunKernel(const TaskDesc& task, int64_t piece, Prepared& p,
                             device::Stream* stream) {
  op::KernelContext context;
  context.inputs = p.inputs;
  context.outputs = p.outputs;
  context.attrs = &task.attrs;
  context.stream = stream;
  context.workspace = p.workspace;
  context.logical_inputs = task.logical_inputs;
  context.logical_outputs = task.logical_outputs;
  context.input_offsets = task.input_offsets;
  context.output_offsets = task.output_offsets;
  if (task.generator >= 0) context.random = generators_[task.generator].After(task.draw);
  context.piece = piece;
  context.pieces = task.firings;
  context.kept = p.kept;
  for (size_t i = 0; i < p.inputs.size() && !p.kept.empty(); ++i)
    p.inputs[i].version = VersionOf(task, static_cast<int>(i), piece);
  const Status status = p.kernel.Run(context);
  // Readers come before or after, by the plan's order: the core sees to that.
  for (int watched : p.changes) watched_[watched].version = ++last_version_;
  return status;
}

// Of a variable as it is now, of any other value by launch and piece.
uint64_t TaskRunner::VersionOf(const TaskDesc& task, int input, int64_t piece) const {
  const int reg = task.inputs[input];
  const int watched = watched_of_[root_[reg]];
  if (watched >= 0) return watched_[watched].version;
  const TaskDesc& producer = program_.tasks[program_.registers[reg].producer];
  const bool once = producer.kind == TaskKind::kAccumulate || producer.firings == 1;
  return launches_ << 16 | static_cast<uint64_t>(once ? 0 : piece);  // at most 4096 pieces
}

Status TaskRunner::RunBoxes(Prepared& p, device::Stream* stream) {
  const op::TensorView& out = p.outputs[0];
  for (Assembly& a : p.assemblies) {
    for (size_t i = 0; i < a.sources.size(); ++i)
      a.sources[i].data = static_cast<const std::byte*>(p.inputs[a.inputs[i]].data);
    OFL_TRY(device::CombineBoxes(out.meta.dtype, a.reduce_op, a.sources, a.tree,
                                 static_cast<std::byte*>(out.data), out.meta.shape, a.dst_begin,
                                 a.extent, stream));
  }
  return Status::Ok();
}

Status TaskRunner::RunAccumulate(int64_t piece, Prepared& p, device::Stream* stream) {
  const op::TensorView &in = p.inputs[0], &sum = p.outputs[0];
  const Shape zeros = Zeros(sum.meta.shape.rank());
  const device::BoxSource sources[] = {
      {static_cast<const std::byte*>(sum.data), sum.meta.shape, zeros},
      {static_cast<const std::byte*>(in.data), in.meta.shape, zeros}};
  // The first piece is copied, the others are added in their order.
  return device::CombineBoxes(sum.meta.dtype, device::kBoxSum,
                              piece == 0 ? std::span(sources + 1, 1) : std::span(sources, 2),
                              Shape{piece == 0 ? 1 : 2}, static_cast<std::byte*>(sum.data),
                              sum.meta.shape, zeros, sum.meta.shape, stream);
}

}  // namespace ofl::actor
