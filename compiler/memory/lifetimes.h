// When each value and scratch block of a graph is alive, and which outputs may take over an
// input's memory. A view has neither: who reads it reads its root. Positions are those of the
// compute stream's order: node p begins at 2p; the receiving half of a conversion's last step runs
// at 2q-1, just before its first reader q.
#pragma once

#include <cstdint>
#include <vector>

#include "oneflow_like/base/status.h"
#include "oneflow_like/ir/graph.h"

namespace ofl::compiler {

struct Lifetime {
  int64_t first = 0;
  int64_t last = -1;
};

struct Lifetimes {
  std::vector<Lifetime> values;    // by value id; last < first: never read
  std::vector<int> finish_before;  // by node id: the node before which a conversion ends, -1: at
                                   // its own position
  std::vector<int64_t> position;   // by node id: 2 * index in the order
  std::vector<int64_t> read;       // by node id: when it has read its inputs
  std::vector<int64_t> made;       // by node id: when its outputs begin to exist
  std::vector<int> instances;      // by value id: registers
  std::vector<int> alias_of;       // by value id: value whose memory it takes over, or -1
  std::vector<bool> has_memory;    // by value id: takes bytes of the arena
  int64_t end = 0;                 // after the last position
};

Result<Lifetimes> ComputeLifetimes(const ir::Graph& graph);

// Whether pieces of this value may be pushed to peers straight from its register.
bool PushedInPlace(const ir::Graph& graph, const ir::Node& boxing);

}  // namespace ofl::compiler
