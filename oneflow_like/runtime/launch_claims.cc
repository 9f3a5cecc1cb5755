#include "oneflow_like/runtime/launch_claims.h"

#include <algorithm>
#include <utility>

#include "oneflow_like/tensor/call_cache.h"

namespace ofl::runtime {
namespace {

using tensor::JoinClaims;

// Eight hexadecimal digits.
void AppendDigest(std::string& text, uint64_t claim) {
  const auto folded = static_cast<uint32_t>(claim ^ claim >> 32);
  for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[folded >> shift & 15];
}

}  // namespace

LaunchClaims::LaunchClaims(uint64_t plan, int world_size) : plan_(plan), world_size_(world_size) {}

int LaunchClaims::GroupOf(const Placement& placement) {
  std::vector<int> ranks = placement.ranks();
  std::ranges::sort(ranks);
  for (size_t g = 0; g < groups_.size(); ++g)
    if (groups_[g].ranks == ranks) return static_cast<int>(g);
  const int index = static_cast<int>(groups_.size());
  if (static_cast<int>(ranks.size()) == world_size_) everyone_ = index;
  groups_.emplace_back().ranks = std::move(ranks);
  for (Group& group : groups_) {
    group.wider.clear();
    for (size_t g = 0; g < groups_.size(); ++g)
      if (std::ranges::includes(groups_[g].ranks, group.ranks))
        group.wider.push_back(static_cast<int>(g));
  }
  return index;
}

void LaunchClaims::AddInput(const std::string& name, const Placement& placement) {
  Group& group = groups_[static_cast<size_t>(GroupOf(placement))];
  group.inputs.push_back(inputs_++);
  group.input_names.push_back("argument " + name);
}

void LaunchClaims::AddVariable(const std::string& name, tensor::TensorRef variable) {
  Group& group = groups_[static_cast<size_t>(GroupOf(variable->layout()->placement))];
  group.variables.push_back(std::move(variable));
  group.variable_names.push_back(name);
}

void LaunchClaims::AddNumbers(const std::string& name, const std::vector<double>* numbers) {
  numbers_.push_back({name, numbers});
}

void LaunchClaims::AddMutated(tensor::TensorRef variable) {
  const int group = GroupOf(variable->layout()->placement);
  mutated_.emplace_back(std::move(variable), group);
}

void LaunchClaims::AddOutput(const Placement& placement) { outputs_.push_back(GroupOf(placement)); }

void LaunchClaims::Begin(std::span<const tensor::TensorRef> inputs) {
  uint64_t numbers = plan_;
  for (const Numbers& n : numbers_) numbers = JoinClaims(numbers, tensor::ClaimOf(*n.values));
  for (Group& group : groups_) {
    group.claim = 0;
    for (int i : group.inputs)
      group.claim = JoinClaims(group.claim, inputs[static_cast<size_t>(i)]->claim());
    for (const tensor::TensorRef& variable : group.variables)
      group.claim = JoinClaims(group.claim, variable->claim());
  }
  for (Group& group : groups_) {
    group.made = numbers;
    for (int g : group.wider)
      group.made = JoinClaims(group.made, groups_[static_cast<size_t>(g)].claim);
  }
  compared_ = everyone_ < 0 ? numbers : groups_[static_cast<size_t>(everyone_)].made;
}

void LaunchClaims::Finish(std::span<const tensor::TensorRef> outputs) const {
  uint64_t place = 0;
  const auto next = [&](int group) {
    return JoinClaims(groups_[static_cast<size_t>(group)].made, ++place);
  };
  for (size_t i = 0; i < outputs.size(); ++i) {
    const uint64_t claim = next(outputs_[i]);
    if (outputs[i]->is_global()) outputs[i]->set_claim(claim);
  }
  for (const auto& [variable, group] : mutated_) variable->set_claim(next(group));
}

std::vector<std::string> LaunchClaims::Names() const {
  std::vector<std::string> names;
  for (const Numbers& n : numbers_) names.push_back(n.name);
  if (everyone_ < 0) return names;
  const Group& group = groups_[static_cast<size_t>(everyone_)];
  names.insert(names.end(), group.input_names.begin(), group.input_names.end());
  names.insert(names.end(), group.variable_names.begin(), group.variable_names.end());
  return names;
}

std::string LaunchClaims::Digests(std::span<const tensor::TensorRef> inputs) const {
  std::string text;
  for (const Numbers& n : numbers_) AppendDigest(text, tensor::ClaimOf(*n.values));
  if (everyone_ < 0) return text;
  const Group& group = groups_[static_cast<size_t>(everyone_)];
  for (int i : group.inputs) AppendDigest(text, inputs[static_cast<size_t>(i)]->claim());
  for (const tensor::TensorRef& variable : group.variables) AppendDigest(text, variable->claim());
  return text;
}

}  // namespace ofl::runtime
