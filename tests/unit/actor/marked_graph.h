// The marked graph of one iteration of a world of programs, built straight from the programs and
// independently of the core: the test's word on what is live, and in which order to interpret it.
#pragma once

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
};

MarkedGraph BuildMarkedGraph(const std::vector<Program>& programs);

}  // namespace ofl::actor
