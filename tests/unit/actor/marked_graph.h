// The marked graph of one iteration of a world of programs, built straight from the programs and
// independently of the core: the test's word on what is live, and in which order to interpret it.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "oneflow_like/core/program.h"

namespace ofl::actor {

struct FiringId {
  int rank = 0;
  int task = 0;
  int piece = 0;
};

struct MarkedGraph {
  bool live = false;
  std::vector<FiringId> order;  // of all firings, when live: respects every edge
  // Where each event stands in an order that respects every edge, if live; else one that respects
  // those of what can happen at all.
  std::vector<std::vector<std::vector<int64_t>>> firings;  // rank, task, piece
  std::map<int64_t, std::vector<int64_t>> pushes;          // edge, piece
};

MarkedGraph BuildMarkedGraph(const std::vector<Program>& programs);

}  // namespace ofl::actor
