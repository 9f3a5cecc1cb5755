// The plan's hash and its file.

#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "compiler/compiler.h"
#include "oneflow_like/base/bytes.h"

namespace ofl::compiler {
namespace {

class Walk {
 public:
  template <class List>
  void Ints(const List& list) {
    hash_.AddInt(list.size());
    for (auto v : list) hash_.AddInt(static_cast<int64_t>(v));
  }
  void Int(int64_t v) { hash_.AddInt(v); }
  void Float(double v) { Int(std::bit_cast<int64_t>(v)); }
  void Text(const std::string& v) { hash_.Add(v); }

  void Layout(const proto::LayoutDef& layout) {
    Int(layout.placement());
    Int(layout.sbp_size());
    for (const auto& s : layout.sbp()) {
      Int(s.kind());
      Int(s.axis());
      Int(s.reduce());
    }
  }

  void Value(const proto::ValueDef& value) {
    Int(value.dtype());
    Ints(value.shape());
    Layout(value.layout());
    Int(value.per_micro_batch());
    Int(value.bound());
    Int(value.instances());
    Int(value.alias_of());
    Int(value.view());
  }

  void Attr(const proto::AttrDef& attr) {
    Text(attr.name());
    Int(attr.value_case());
    Int(attr.b());
    Int(attr.i());
    Float(attr.f());
    Text(attr.s());
    Ints(attr.ints().v());
    Int(attr.dtype());
    for (const auto* floats : {&attr.complex(), &attr.floats()}) {
      Int(floats->v_size());
      for (double f : floats->v()) Float(f);
    }
  }

  void Op(const proto::OpDef& op) {
    Int(op.kind());
    Text(op.name());
    Text(op.type());
    Int(op.version());
    Int(op.attrs_size());
    for (const auto& attr : op.attrs()) Attr(attr);
    Ints(op.inputs());
    Ints(op.outputs());
    Int(op.placement());
    Int(op.segment());
    Int(op.binding());
    Int(op.resource());
    Int(op.workspace());
    Int(op.finish_before());
    Int(op.continue_before());
    Int(op.generator());
    Int(op.draw());
    Int(op.state());
    Int(op.steps_size());
    for (const proto::StepDef& step : op.steps()) {
      Int(step.kind());
      Layout(step.to());
      Int(step.mesh_axis());
      Int(step.order());
      Text(step.codec());
      Int(step.send_bytes());
      Int(step.receive_bytes());
      Int(step.result_bytes());
    }
  }

  void Argument(const proto::Argument& argument) {
    Text(argument.name());
    Int(argument.value());
    Int(argument.per_micro_batch());
  }

  std::string All(const proto::Semantics& s) {
    Int(s.world_size());
    Int(s.micro_batches());
    Int(s.threads());
    Text(s.arithmetic());
    Int(s.placements_size());
    for (const auto& p : s.placements()) {
      Int(p.device_kind());
      Ints(p.hierarchy());
      Ints(p.ranks());
    }
    Int(s.values_size());
    for (const auto& v : s.values()) Value(v);
    Int(s.ops_size());
    for (const auto& op : s.ops()) Op(op);
    Int(s.classes_size());
    for (const auto& c : s.classes()) {
      Ints(c.ranks());
      Int(c.arena_bytes());
      Ints(c.values());
      Ints(c.offsets());
      Ints(c.scratch_ops());
      Ints(c.scratch_offsets());
      Ints(c.state_ops());
      Ints(c.state_offsets());
    }
    Int(s.resources_size());
    for (const auto& r : s.resources()) {
      Int(r.kind());
      Text(r.name());
      Int(r.value());
      Int(r.mutated());
      Int(r.draws());
    }
    for (const auto* list : {&s.inputs(), &s.outputs()}) {
      Int(list->size());
      for (const auto& argument : *list) Argument(argument);
    }
    Ints(s.collective_order());
    return hash_.HexDigest();
  }

 private:
  Sha256 hash_;
};

constexpr size_t kMaxPlanBytes = size_t{1} << 30;

}  // namespace

std::string HashOf(const proto::Semantics& semantics) { return Walk().All(semantics); }

// To a name of this process's own first: several ranks may save to one path.
Status SavePlan(const proto::Plan& plan, const std::string& path) {
  const std::string temporary = path + "." + std::to_string(getpid()) + ".tmp";
  auto failed = [&]() -> Status {
    const std::string why = std::strerror(errno);
    std::remove(temporary.c_str());
    return Error(Code::kFailedPrecondition)
           << "[plan] cannot write " << path << ": " << why
           << "; expected a file name in a folder that exists, and space on the disk";
  };
  {
    std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
    if (!out.good() || !plan.SerializeToOstream(&out) || !out.flush().good()) return failed();
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) return failed();
  return Status::Ok();
}

Result<proto::Plan> ParsePlan(std::string_view bytes) {
  proto::Plan plan;
  OFL_ENSURE(bytes.size() <= kMaxPlanBytes, Code::kDataLoss)
      << "a plan file of " << bytes.size() << " bytes; the bound is " << kMaxPlanBytes;
  OFL_ENSURE(!bytes.empty() && plan.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())),
             Code::kDataLoss)
      << "not a plan file, or a truncated one (" << bytes.size()
      << " bytes); write it again with graph.plan().save(path)";
  OFL_ENSURE(plan.format_version() == kPlanFormatVersion, Code::kDataLoss)
      << "the plan has format version " << plan.format_version() << ", this build reads version "
      << kPlanFormatVersion << "; compile the graph again with this build";
  const std::string hash = HashOf(plan.semantics());
  OFL_ENSURE(hash == plan.hash(), Code::kDataLoss)
      << "the plan's content does not match its hash: recorded " << plan.hash().substr(0, 16)
      << ", computed " << hash.substr(0, 16) << "; the file is truncated or was changed";
  return plan;
}

Result<proto::Plan> LoadPlan(const std::string& path) {
  // Asked first: opening a pipe waits for a writer, and a device may have no end.
  std::error_code error;
  const std::filesystem::file_status file = std::filesystem::status(path, error);
  OFL_ENSURE(!std::filesystem::exists(file) || std::filesystem::is_regular_file(file),
             Code::kInvalidArgument)
      << "[plan] no plan file: got " << path
      << ", a folder, a pipe or a device; expected a file that graph.plan().save(path) wrote";
  std::ifstream in(path, std::ios::binary);
  OFL_ENSURE(in.good(), Code::kNotFound)
      << "[plan] cannot open a plan file: got " << path << " (" << std::strerror(errno)
      << "); expected a file that graph.plan().save(path) wrote";
  std::string bytes;
  while (in.good() && bytes.size() <= kMaxPlanBytes) {  // it may grow while it is read
    const size_t had = bytes.size();
    bytes.resize(had + (1 << 20));
    in.read(bytes.data() + had, 1 << 20);
    bytes.resize(had + static_cast<size_t>(in.gcount()));
  }
  OFL_ENSURE(bytes.size() <= kMaxPlanBytes, Code::kDataLoss)
      << "[plan] a plan file is too large: got more than " << kMaxPlanBytes << " bytes of " << path
      << "; expected at most that";
  auto plan = ParsePlan(bytes);
  if (!plan.ok()) return plan.status().WithNote("in plan file " + path);
  return plan;
}

}  // namespace ofl::compiler
