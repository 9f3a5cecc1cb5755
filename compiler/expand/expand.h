// A rank's share of a plan: a pure function of (plan, rank), used by runtime, verifier and tools.
#pragma once

#include "oneflow_like/base/status.h"
#include "oneflow_like/core/program.h"
#include "oneflow_like/proto/plan.pb.h"

namespace ofl::compiler {

// kDataLoss names what in the plan cannot be expanded; the plan need not be trusted.
Result<Program> Expand(const proto::Plan& plan, int rank);

}  // namespace ofl::compiler
