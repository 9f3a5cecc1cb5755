// Where two ranks' plans of one graph differ, for people.
#pragma once

#include <string>

#include "oneflow_like/proto/plan.pb.h"

namespace ofl::runtime {

// A line an operator, in order: a short digest, its name and what it makes. To name the first that
// differs.
std::string OperatorLines(const proto::Semantics& semantics);
std::string FirstDifference(const std::string& ours, const std::string& theirs);

}  // namespace ofl::runtime
