#include "oneflow_like/runtime/plan_runner.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <variant>

#include "actor/drivers/instance.h"
#include "compiler/compiler.h"
#include "compiler/expand/expand.h"
#include "compiler/plan_codec.h"
#include "compiler/verify/verify.h"
#include "device/cpu/box.h"
#include "oneflow_like/op/def/op_def.h"
#include "oneflow_like/runtime/npy.h"
#include "oneflow_like/runtime/world.h"

namespace ofl::runtime {
namespace {

// One rank's part of a tensor of the plan, with the logical tensor it belongs to.
struct Shard {
  TensorMeta logical;
  TensorMeta local;
  Shape begin;
  device::BufferRef buffer;
  bool member = false;
};

// Seed and offset of the next draw.
const TensorMeta kGeneratorState{DType::kInt64, {2}};

// The path of a name's array. A plan is not trusted: its names stay within the folder.
Result<std::string> PathOf(const std::string& folder, const std::string& name) {
  OFL_ENSURE(!name.empty() && name[0] != '.' && name.find('/') == std::string::npos &&
                 name.find('\0') == std::string::npos,
             Code::kDataLoss)
      << "[plan] '" << name << "' names no file: got a variable or argument with an empty name, a "
      << "leading dot or a slash; expected a plain name; rename it where the graph is made";
  return folder + "/" + name;
}

class Runner {
 public:
  Runner(const RunFiles& files, tensor::Context& context) : files_(files), context_(context) {}

  Status Run() {
    OFL_ASSIGN(plan_, compiler::LoadPlan(files_.plan));
    OFL_TRY(compiler::VerifyPlan(plan_));
    const proto::Semantics& s = plan_.semantics();
    OFL_ENSURE(s.world_size() == context_.world_size(), Code::kInvalidArgument)
        << "the plan is for " << s.world_size() << " ranks, this job has " << context_.world_size()
        << "; start it with oneflow-like-run --nproc-per-node " << s.world_size();
    OFL_ENSURE(s.arithmetic().empty() || s.arithmetic() == context_.arithmetic() ||
                   s.arithmetic() == tensor::kMixedArithmetic || !context_.equal_bits(),
               Code::kFailedPrecondition)
        << "the plan was compiled for another arithmetic: got " << s.arithmetic() << "; expected "
        << context_.arithmetic()
        << ", which this process has; start it with the plan's OFL_CPU_LEVEL, or do without equal "
           "bits with OFL_MIXED_CPUS=1";
    OFL_ASSIGN(placements_, compiler::PlacementTable::Read(s));
    OFL_ASSIGN(device_, context_.DeviceOf(DeviceKind::kCpu));
    OFL_ASSIGN(stream_, context_.StreamOf(DeviceKind::kCpu));
    OFL_TRY(LoadAll());
    OFL_TRY(Launch());
    return StoreAll();
  }

 private:
  // This rank's part of a tensor with the layout of `value`.
  Result<Shard> NewShard(int value, const TensorMeta& logical) {
    Shard shard;
    shard.logical = logical;
    OFL_ASSIGN(sbp::Layout layout,
               placements_.ReadLayout(plan_.semantics().values(value).layout()));
    const int index = layout.placement.IndexOf(context_.rank());
    if (index < 0) return shard;
    OFL_ENSURE(!layout.nd_sbp.HasPartial() || loading_outputs_, Code::kUnimplemented)
        << "partial arguments cannot come from files";
    shard.member = true;
    const sbp::Box box = sbp::LocalBox(shard.logical.shape, layout, index);
    shard.begin = box.begin;
    shard.local = {shard.logical.dtype, box.Extent()};
    OFL_ASSIGN(shard.buffer, device_->Allocate(shard.local.bytes()));
    return shard;
  }

  Status Load(const std::string& path, Shard& shard) {
    OFL_ASSIGN(NpyArray array, ReadNpy(path));
    OFL_ENSURE(array.meta == shard.logical, Code::kInvalidArgument)
        << path << " holds " << array.meta.ToString() << ", the plan expects "
        << shard.logical.ToString();
    if (!shard.member) return Status::Ok();
    const Shape zero(std::vector<int64_t>(static_cast<size_t>(shard.local.shape.rank()), 0));
    device::CopyBox(array.data.data(), array.meta.shape, shard.begin, shard.buffer->data(),
                    shard.local.shape, zero, shard.local.shape,
                    static_cast<int64_t>(DTypeSize(shard.local.dtype)), stream_);
    return Status::Ok();
  }

  // A seed starts it anew, as flow.manual_seed does; else it goes on where its file says.
  Status LoadGenerator(const proto::Resource& resource) {
    draws_.push_back(resource.draws());
    generators_.push_back({files_.seed.value_or(0), 0});
    OFL_TRY(PathOf(files_.variables_dir, resource.name()).status());
    const std::string path = files_.variables_dir + "/" + FileOf(resource);
    std::error_code ignored;
    if (files_.seed || !std::filesystem::exists(path, ignored)) return Status::Ok();
    OFL_ASSIGN(const NpyArray array, ReadNpy(path));
    OFL_ENSURE(array.meta == kGeneratorState, Code::kInvalidArgument)
        << path << " holds " << array.meta.ToString() << ", the state of a generator is "
        << kGeneratorState.ToString() << " of seed and offset";
    generators_.back() = {LoadLe<uint64_t>(array.data.data()),
                          LoadLe<int64_t>(array.data.data() + 8)};
    constexpr int64_t kMost = int64_t{1} << 62;  // draws never overflow from there
    OFL_ENSURE(generators_.back().offset >= 0 && generators_.back().offset <= kMost,
               Code::kInvalidArgument)
        << "[plan] the count of draws in " << path << " is none of a generator: got "
        << generators_.back().offset << "; expected 0 to " << kMost;
    return Status::Ok();
  }

  static std::string FileOf(const proto::Resource& generator) {
    return "generator@" + generator.name() + ".npy";
  }

  Status StoreGenerators(const std::string& folder) {
    size_t g = 0;
    for (const auto& resource : plan_.semantics().resources()) {
      if (resource.kind() != proto::Resource::GENERATOR) continue;
      std::byte state[16];
      StoreLe<uint64_t>(state, generators_[g].seed);
      StoreLe<int64_t>(state + 8, generators_[g++].offset);
      if (context_.rank() == 0)
        OFL_TRY(WriteNpy(folder + "/" + FileOf(resource), kGeneratorState, state));
    }
    return Status::Ok();
  }

  Status LoadAll() {
    const proto::Semantics& s = plan_.semantics();
    for (const auto& resource : s.resources()) {
      if (resource.kind() == proto::Resource::GENERATOR) OFL_TRY(LoadGenerator(resource));
      if (resource.kind() != proto::Resource::VARIABLE) continue;
      OFL_ASSIGN(TensorMeta meta, compiler::ReadMeta(s.values(resource.value())));
      OFL_ASSIGN(Shard shard, NewShard(resource.value(), meta));
      OFL_ASSIGN(const std::string path, PathOf(files_.variables_dir, resource.name()));
      OFL_TRY(Load(path + ".npy", shard));
      variables_[resource.name()] = std::move(shard);
    }
    for (const auto& argument : s.inputs()) {
      OFL_ASSIGN(TensorMeta meta, compiler::ReadArgumentMeta(s, argument));
      OFL_ASSIGN(Shard shard, NewShard(argument.value(), meta));
      OFL_ASSIGN(const std::string path, PathOf(files_.inputs_dir, argument.name()));
      OFL_TRY(Load(path + ".npy", shard));
      inputs_.push_back(std::move(shard));
    }
    loading_outputs_ = true;
    for (const auto& argument : s.outputs()) {
      OFL_ASSIGN(TensorMeta meta, compiler::ReadArgumentMeta(s, argument));
      OFL_ASSIGN(Shard shard, NewShard(argument.value(), meta));
      outputs_.push_back(std::move(shard));
    }
    return Status::Ok();
  }

  static op::TensorView View(const Shard& shard) {
    if (!shard.member) return {};
    return {shard.local.bytes() > 0 ? shard.buffer->data() : nullptr, shard.local};
  }

  Status Launch() {
    actor::InstanceOptions options;
    OFL_ASSIGN(options.transport, context_.transport());
    options.device = device_;
    options.deadline = context_.operation_timeout();
    for (const auto& [name, shard] : variables_)
      if (shard.member) options.variables[name] = shard.buffer;
    options.contents = [](const std::string&) { return 1; };  // nobody else changes them
    OFL_ASSIGN(Program program, compiler::Expand(plan_, context_.rank()));
    OFL_TRY(compiler::VerifyProgram(program));
    OFL_ASSIGN(auto instance, actor::Instance::Create(std::move(program), std::move(options)));
    std::vector<op::TensorView> inputs, outputs;
    for (const Shard& shard : inputs_) inputs.push_back(View(shard));
    for (const Shard& shard : outputs_) outputs.push_back(View(shard));
    for (int64_t i = 0; i < files_.launches; ++i) {
      OFL_TRY(instance->Launch(inputs, outputs, generators_));
      for (size_t g = 0; g < generators_.size(); ++g)
        generators_[g] = generators_[g].After(draws_[g]);
    }
    return Status::Ok();
  }

  Status Store(const std::string& stem, const Shard& shard) {
    if (!shard.member) return Status::Ok();
    const std::string path = stem + ".rank" + std::to_string(context_.rank()) + ".npy";
    return WriteNpy(path, shard.local,
                    {shard.buffer->data(), static_cast<size_t>(shard.local.bytes())});
  }

  Status StoreAll() {
    const std::string variables = files_.outputs_dir + "/variables";
    std::error_code failed;
    std::filesystem::create_directories(variables, failed);
    OFL_ENSURE(!failed, Code::kUnavailable) << "cannot create " << variables;
    for (size_t i = 0; i < outputs_.size(); ++i)
      OFL_TRY(Store(files_.outputs_dir + "/output_" + std::to_string(i), outputs_[i]));
    for (const auto& resource : plan_.semantics().resources())
      if (resource.kind() == proto::Resource::VARIABLE && resource.mutated())
        OFL_TRY(Store(variables + "/" + resource.name(), variables_[resource.name()]));
    return StoreGenerators(variables);
  }

  const RunFiles& files_;
  tensor::Context& context_;
  proto::Plan plan_;
  compiler::PlacementTable placements_;
  device::Device* device_ = nullptr;
  device::Stream* stream_ = nullptr;
  std::map<std::string, Shard> variables_;
  std::vector<RandomState> generators_;
  std::vector<int64_t> draws_;  // of a launch, by generator
  std::vector<Shard> inputs_, outputs_;
  bool loading_outputs_ = false;
};

}  // namespace

Status RunPlan(const RunFiles& files) {
  OFL_ASSIGN(auto context, MakeContext());
  Status status = Runner(files, *context).Run();
  context->Shutdown(status);
  return status;
}

}  // namespace ofl::runtime
