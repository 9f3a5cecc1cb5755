// The verifier: a plan runs only when this accepts it.
#pragma once

#include "oneflow_like/base/status.h"
#include "oneflow_like/core/program.h"
#include "oneflow_like/proto/plan.pb.h"

namespace ofl::compiler {

// Structure (ids, sizes, order, attributes), types (every operator re-inferred from the registry),
// layouts and boxing steps, memory (no two live blocks share bytes, all within the arena), and
// freedom from deadlock over all ranks. The message names the operator and what is wrong.
Status VerifyPlan(const proto::Plan& plan);

// The parts, for tests and tools.
Status VerifyStructure(const proto::Semantics& semantics);
Status VerifyTypes(const proto::Semantics& semantics);
Status VerifyMemory(const Program& program);
// Every directed cycle of the marked graph of all ranks must carry a token (Commoner, Holt, Even,
// Pnueli 1971). The message prints the cycle found.
Status VerifyLiveness(const std::vector<Program>& programs);

}  // namespace ofl::compiler
