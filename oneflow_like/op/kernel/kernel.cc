#include "oneflow_like/op/kernel/kernel.h"

#include "oneflow_like/op/def/op_def.h"

namespace ofl::op {
namespace {

Status RunNothing(KernelContext&) { return Status::Ok(); }

std::string KernelDTypes(const OpDef& def) {
  std::string text;
  for (const auto& [dtype, kernel] : def.cpu_kernels)
    text += (text.empty() ? "" : ", ") + std::string(DTypeName(dtype));
  return text.empty() ? "none" : text;
}

std::string Describe(std::span<const TensorMeta> metas) {
  std::string text;
  for (const TensorMeta& m : metas) text += (text.empty() ? "" : ", ") + m.ToString();
  return text.empty() ? "no inputs" : text;
}

}  // namespace

Result<Kernel> FindKernel(std::string_view op, DeviceKind device,
                          std::span<const TensorMeta> inputs, std::span<const TensorMeta> outputs,
                          const Attrs& attrs) {
  OFL_ASSIGN(const OpDef* def, OpRegistry::Get().Require(op));
  OFL_ENSURE(!inputs.empty() || !outputs.empty(), Code::kInternal)
      << "[" << op << "] has neither inputs nor outputs to choose a kernel by";
  const DType dtype = inputs.empty() ? outputs[0].dtype : inputs[0].dtype;
  const auto at = def->cpu_kernels.find(dtype);
  const bool found = at != def->cpu_kernels.end();
  switch (device) {
    case DeviceKind::kCpu:
      if (found) return at->second;
      break;
    case DeviceKind::kNull:
      // Runs nothing, but declares the same workspace, so that a dry run accounts it.
      return Kernel{RunNothing, found ? at->second.workspace : nullptr};
    case DeviceKind::kCuda:
      return Error(Code::kUnimplemented)
             << "[" << op << "] no kernel for device cuda: got " << Describe(inputs)
             << "; this build has kernels for cpu only";
  }
  return Error(Code::kUnimplemented)
         << "[" << op << "] no cpu kernel for " << DTypeName(dtype) << ": got " << Describe(inputs)
         << "; expected one of: " << KernelDTypes(*def) << "; cast the input first";
}

}  // namespace ofl::op
