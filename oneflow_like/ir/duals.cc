#include "oneflow_like/ir/duals.h"

namespace ofl::ir {

sbp::NdSbp DualOf(const sbp::NdSbp& nd_sbp, const Placement& placement) {
  if (nd_sbp.rank() != placement.hierarchy().rank())
    return sbp::NdSbp::Broadcast(placement.hierarchy().rank());
  sbp::NdSbp dual;
  for (sbp::Sbp s : nd_sbp) dual.push_back(s.is_partial() ? sbp::Sbp::Broadcast() : s);
  return dual;
}

bool StaysPut(const Graph& graph, const Node& conversion) {
  return conversion.dual_of >= 0 && conversion.dual_of == conversion.inputs[0] &&
         graph.values[conversion.inputs[0]].placement == conversion.placement;
}

}  // namespace ofl::ir
