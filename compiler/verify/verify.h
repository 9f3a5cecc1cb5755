// The verifier: a plan runs only when this accepts it.
#pragma once

#include "oneflow_like/base/status.h"
#include "oneflow_like/core/program.h"
#include "oneflow_like/proto/plan.pb.h"

namespace ofl::compiler {

// Structure (ids, sizes, order, attributes), types (every operator re-inferred from the registry),
// layouts and boxing steps, memory (no two live blocks share bytes, all within the arena), and
// freedom from deadlock. The message names the operator and what is wrong. Worlds of more than
// kOracleWorld ranks are expanded for one rank of each class only: every rank that runs the plan
// asks VerifyProgram of its own, and its peers for the other ends of its edges.
Status VerifyPlan(const proto::Plan& plan);
// One rank's part of it: memory and places.
Status VerifyProgram(const Program& program);
inline constexpr int kOracleWorld = 8;

// The parts, for tests and tools.
Status VerifyStructure(const proto::Semantics& semantics);
Status VerifyTypes(const proto::Semantics& semantics);
Status VerifyMemory(const Program& program);
// Every directed cycle of the marked graph of all ranks must carry a token (Commoner, Holt, Even,
// Pnueli 1971). The message prints the cycle found.
Status VerifyLiveness(const std::vector<Program>& programs);
// The same, of one rank alone: what any firing waits for has a smaller place. If it holds on every
// rank of a world, with equal plans and equal ends of its edges, the world is live.
Status VerifyPotential(const Program& program);

}  // namespace ofl::compiler
