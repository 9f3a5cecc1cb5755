#include "oneflow_like/runtime/plan_difference.h"

#include <sstream>

#include "compiler/compiler.h"
#include "compiler/plan_codec.h"

namespace ofl::runtime {

std::string OperatorLines(const proto::Semantics& semantics) {
  std::ostringstream text;
  for (const proto::OpDef& op : semantics.ops()) {
    proto::Semantics one;
    *one.add_ops() = op;
    for (int v : op.inputs()) *one.add_values() = semantics.values(v);
    for (int v : op.outputs()) *one.add_values() = semantics.values(v);
    text << compiler::HashOf(one).substr(0, 8) << ' ' << op.name();
    for (int v : op.outputs())
      if (auto meta = compiler::ReadMeta(semantics.values(v)); meta.ok())
        text << ' ' << meta->ToString();
    text << '\n';
  }
  return text.str();
}

std::string FirstDifference(const std::string& ours, const std::string& theirs) {
  std::istringstream a(ours), b(theirs);
  std::string line_a, line_b;
  while (true) {
    const bool more_a = static_cast<bool>(std::getline(a, line_a));
    const bool more_b = static_cast<bool>(std::getline(b, line_b));
    if (!more_a && !more_b)
      return "the operators agree; the number of threads (OMP_NUM_THREADS), placements or memory "
             "differ";
    if (!more_a) return "it has a further operator " + line_b.substr(9);
    if (!more_b) return "this rank has a further operator " + line_a.substr(9);
    if (line_a == line_b) continue;
    if (line_a.substr(9) == line_b.substr(9))
      return "the first operator that differs is " + line_a.substr(9) +
             ", in its attributes, layouts or operands";
    return "the first operator that differs is " + line_a.substr(9) + " here and " +
           line_b.substr(9) + " there";
  }
}

}  // namespace ofl::runtime
