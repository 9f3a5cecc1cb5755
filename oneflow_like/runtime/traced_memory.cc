#include "oneflow_like/runtime/traced_memory.h"

namespace ofl::runtime {

const TracedMemory::Alias* TracedMemory::AliasOf(int value) const {
  const auto known = aliases_.find(value);
  return known == aliases_.end() ? nullptr : &known->second;
}

int TracedMemory::Root(int value) const {
  while (const Alias* alias = AliasOf(value)) value = alias->parent;
  return value;
}

uint64_t TracedMemory::VersionOf(int root) const {
  const auto known = versions_.find(root);
  return known == versions_.end() ? 0 : known->second;
}

void TracedMemory::Share(int value, Alias alias) {
  aliases_[value] = alias;
  Know(value, value);
}

int TracedMemory::Content(int value) const {
  const int root = Root(value);
  const uint64_t version = VersionOf(root);
  const auto known = known_.find(value);
  if (known != known_.end() && known->second.version == version) return known->second.content;
  return value == root && version == 0 ? value : -1;
}

void TracedMemory::Know(int value, int content) {
  known_[value] = {VersionOf(Root(value)), content};
}

void TracedMemory::Change(int root, int content) {
  ++versions_[root];
  Know(root, content);
}

}  // namespace ofl::runtime
