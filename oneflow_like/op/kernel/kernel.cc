#include "oneflow_like/op/kernel/kernel.h"

#include "oneflow_like/op/def/op_def.h"
#include "oneflow_like/op/def/providers.h"

namespace ofl::op {
namespace {

std::vector<TensorMeta> MetasOf(std::span<const TensorView> views) {
  std::vector<TensorMeta> metas;
  for (const TensorView& view : views) metas.push_back(view.meta);
  return metas;
}

}  // namespace

std::vector<TensorView> DenseViews(std::span<const TensorMeta> metas) {
  std::vector<TensorView> views;
  for (const TensorMeta& meta : metas) views.emplace_back(nullptr, meta);
  return views;
}

Result<Kernel> FindKernel(std::string_view op, DeviceKind device,
                          std::span<const TensorView> inputs, std::span<const TensorView> outputs,
                          const Attrs& attrs, int threads, const KernelBounds* reserved) {
  OFL_ASSIGN(const OpDef* def, OpRegistry::Get().Require(op));
  OFL_ENSURE(!inputs.empty() || !outputs.empty(), Code::kInternal)
      << "[" << op << "] has neither inputs nor outputs to choose a kernel by";
  const std::vector<TensorMeta> in = MetasOf(inputs), out = MetasOf(outputs);
  OFL_ASSIGN(const KernelBounds bounds, def->Bounds(device, in, out, attrs, threads));
  Kernel kernel;
  kernel.needs = bounds;
  if (device == DeviceKind::kNull) return kernel;
  const DType dtype = in.empty() ? out[0].dtype : in[0].dtype;
  const KernelQuery query{inputs, outputs, attrs, threads,
                          reserved != nullptr ? *reserved : bounds};
  const auto bytes = [&](BoundFn bound) {
    return bound == nullptr ? 0 : bound(in, out, attrs, threads);
  };
  Status declined;
  for (const KernelProvider* provider : ProvidersOf(*def, device, dtype)) {
    kernel.provider = provider;
    kernel.needs = {bytes(provider->bound), bytes(provider->state)};
    if (kernel.needs.scratch > query.bounds.scratch || kernel.needs.state > query.bounds.state) {
      declined = Error(Code::kInvalidArgument)
                 << "[" << op << "] the memory of a plan is too small: got " << query.bounds.scratch
                 << " bytes of workspace and " << query.bounds.state << " of state; expected "
                 << kernel.needs.scratch << " and " << kernel.needs.state
                 << "; compile it for this number of threads (" << threads << ")";
      continue;
    }
    if (provider->prepare == nullptr) return kernel;
    auto state = provider->prepare(query);
    if (state.ok()) {
      kernel.state = std::move(*state);
      return kernel;
    }
    if (state.status().code() != Code::kUnimplemented) return state.status();
    declined = state.status();
  }
  return declined.WithNote("every provider of [" + std::string(op) + "] declined");
}

}  // namespace ofl::op
