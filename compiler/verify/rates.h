// How often registers are filled, and which piece a firing reads: one rule for both analyses.
#pragma once

#include <algorithm>

#include "oneflow_like/core/program.h"

namespace ofl::compiler {

// Pieces of a register in one iteration: an accumulation fires m times and hands on one.
inline int PiecesOf(const Program& program, const RegisterDesc& reg) {
  const TaskDesc& producer = program.tasks[reg.producer];
  return producer.kind == TaskKind::kAccumulate ? 1 : producer.firings;
}

// The piece that firing k of `firings` reads: who fires once reads the last piece; a piece made
// once is read by every firing.
inline int PieceRead(int firings, int pieces, int k) {
  return firings == 1 ? pieces - 1 : std::min(k, pieces - 1);
}

}  // namespace ofl::compiler
