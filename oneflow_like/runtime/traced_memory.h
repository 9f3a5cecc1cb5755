// Which values of a graph would share memory in eager, and what in-place changes leave of that.
//
// A graph's values never change: an in-place change gives its tensor a new value. In eager, whoever
// shares the memory would see the change too (detach(), .data, to_local(), a conversion to where a
// tensor is). Such tensors are stale from then on, and using one is an error: never another result
// than eager's.
#pragma once

#include <map>

#include "oneflow_like/ir/graph.h"

namespace ofl::runtime {

class TracedMemory {
 public:
  // `value` lies in the memory of an earlier one.
  void Share(int value, int with) { owner_[value] = Owner(with); }
  // The value that the memory was made for.
  int Owner(int value) const;
  // `after` takes the place of `before`, for all who share its memory.
  void Change(int before, int after, const ir::Location& where);
  // kFailedPrecondition where the memory was changed in place after the value was made.
  Status Check(const ir::Graph& graph, int value, const std::string& user) const;

 private:
  struct Write {
    int value = -1;  // made by the change: later ones are fresh
    ir::Location where;
  };
  std::map<int, int> owner_;   // by value
  std::map<int, Write> last_;  // by owner
};

}  // namespace ofl::runtime
