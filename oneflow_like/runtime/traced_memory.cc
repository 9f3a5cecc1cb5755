#include "oneflow_like/runtime/traced_memory.h"

namespace ofl::runtime {

int TracedMemory::Owner(int value) const {
  const auto known = owner_.find(value);
  return known == owner_.end() ? value : known->second;
}

void TracedMemory::Change(int before, int after, const ir::Location& where) {
  Share(after, before);
  last_[Owner(before)] = {after, where};
}

Status TracedMemory::Check(const ir::Graph& graph, int value, const std::string& user) const {
  const auto write = last_.find(Owner(value));
  if (write == last_.end() || value >= write->second.value) return Status::Ok();
  const ir::Location& where = write->second.where;
  return Error(Code::kFailedPrecondition)
         << "[" << user << "] the memory of this tensor was changed in place through another that "
         << "shares it (detach, .data, to_local, a conversion to where it was), and a graph keeps "
         << "values apart: got " << graph.values[value].meta.ToString() << ", changed at "
         << where.file << ":" << where.line
         << "; expected the tensor that was changed; use clone() before the change to keep both";
}

}  // namespace ofl::runtime
