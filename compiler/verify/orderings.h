// What must happen before what within one iteration of one rank's program: the edges of the marked
// graph that lead no token, one list for all that is proved from them (docs/plan.md).
#pragma once

#include <functional>
#include <vector>

#include "compiler/verify/rates.h"
#include "oneflow_like/core/program.h"

namespace ofl::compiler {

// A firing of a task, or the push of a piece over a remote edge, which both its ends name.
struct Event {
  enum class Kind : uint8_t { kFiring, kPush };
  Kind kind = Kind::kFiring;
  int index = 0;  // of the task, or of the edge in Program::remote_edges
  int piece = 0;
};

// Calls `fn(before, after)` for each ordering that the runtime enforces. Their number is linear in
// the program's firings and reads, and in the square of updates of one register.
void EachOrdering(const Program& program, const std::function<void(Event, Event)>& fn);

}  // namespace ofl::compiler
