#include "oneflow_like/runtime/changed_memory.h"

#include <algorithm>
#include <set>

#include "oneflow_like/tensor/target.h"

namespace ofl::runtime {

// Empty without elements here. A copied view follows its base, and lies there.
ChangedMemory::Place ChangedMemory::PlaceOf(const tensor::TensorImpl& x) {
  const tensor::TensorImpl* at = &x;
  while (at->has_data() && at->storage()->copied != nullptr) at = at->storage()->copied->base.get();
  if (!at->has_data() || at->local_shape().numel() == 0) return {nullptr, nullptr};
  return tensor::Extent(*at);
}

const std::string* ChangedMemory::At(const Place& place) const {
  if (place.first == place.second) return nullptr;
  const auto next = std::ranges::lower_bound(places_, place.second, {}, &Place::first);
  if (next == places_.begin() || std::prev(next)->second <= place.first) return nullptr;
  return &names_[std::prev(next) - places_.begin()];
}

Status ChangedMemory::Take(const std::string& graph, const Variables& variables,
                           const std::vector<std::string>& changed) {
  const auto check = [&](const std::string& name, const tensor::TensorImpl& x) -> Status {
    const std::string* other = At(PlaceOf(x));
    OFL_ENSURE(other == nullptr, Code::kInvalidArgument)
        << "[nn.Graph] graph " << graph << " changes a tensor from outside build() and uses "
        << "another one in the same memory, which would not show the change: got " << *other << ": "
        << tensor::Describe(*variables.at(*other)) << ", and " << name << ": "
        << tensor::Describe(x) << "; expected memory of their own; take the view of one of them "
        << "inside build(), or clone() one before the call";
    return Status::Ok();
  };
  for (const std::string& name : changed) {
    const tensor::TensorImpl& x = *variables.at(name);
    OFL_TRY(check(name, x));
    const Place place = PlaceOf(x);
    if (place.first == place.second) continue;
    const auto at = std::ranges::lower_bound(places_, place);
    names_.insert(names_.begin() + (at - places_.begin()), name);
    places_.insert(at, place);
  }
  if (places_.empty()) return Status::Ok();
  const std::set<std::string> known(changed.begin(), changed.end());
  for (const auto& [name, x] : variables)
    if (!known.contains(name)) OFL_TRY(check(name, *x));
  return Status::Ok();
}

Status ChangedMemory::CheckArgument(const std::string& graph,
                                    const tensor::TensorImpl& argument) const {
  if (places_.empty()) return Status::Ok();
  const std::string* other = At(PlaceOf(argument));
  OFL_ENSURE(other == nullptr, Code::kInvalidArgument)
      << "[nn.Graph] an argument of graph " << graph << " shares memory with " << *other
      << ", which the graph changes: got " << tensor::Describe(argument)
      << "; expected memory of its own; use x.clone(), or take it of " << *other
      << " inside build()";
  return Status::Ok();
}

}  // namespace ofl::runtime
