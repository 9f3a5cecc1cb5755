#include "oneflow_like/op/def/providers.h"

#include <deque>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <tuple>

namespace ofl::op {
namespace {

using Key = std::tuple<std::string, DeviceKind, DType>;

struct Added {
  std::shared_mutex mutex;
  std::map<Key, std::deque<KernelProvider>> providers;  // a deque: pointers stay valid
};

// Never destroyed, as the operators' registry.
Added& Table() {
  static auto* added = new Added();
  return *added;
}

}  // namespace

Status AddProvider(std::string_view target, const KernelEntry& entry) {
  OFL_ENSURE(entry.provider.run != nullptr, Code::kInvalidArgument)
      << "[" << target << "] a provider has no run function: got " << entry.provider.name;
  Added& added = Table();
  std::unique_lock lock(added.mutex);
  auto& known = added.providers[{std::string(target), entry.device, entry.dtype}];
  for (const KernelProvider& provider : known) {
    OFL_ENSURE(provider.run != entry.provider.run, Code::kInvalidArgument)
        << "[" << target << "] a provider is added twice: got " << entry.provider.name << " for "
        << DTypeName(entry.dtype) << "; expected each once";
  }
  known.push_front(entry.provider);
  return Status::Ok();
}

std::vector<const KernelProvider*> ProvidersOf(std::string_view region, DeviceKind device,
                                               DType dtype) {
  Added& added = Table();
  std::vector<const KernelProvider*> providers;
  std::shared_lock lock(added.mutex);
  const auto at = added.providers.find({std::string(region), device, dtype});
  if (at == added.providers.end()) return providers;
  for (const KernelProvider& provider : at->second) providers.push_back(&provider);
  return providers;
}

std::vector<const KernelProvider*> ProvidersOf(const OpDef& def, DeviceKind device, DType dtype) {
  std::vector<const KernelProvider*> providers = ProvidersOf(def.name, device, dtype);
  for (const KernelProvider* provider : def.Providers(device, dtype)) providers.push_back(provider);
  return providers;
}

}  // namespace ofl::op
