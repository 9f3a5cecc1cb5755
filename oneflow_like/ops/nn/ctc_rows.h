// What ctc_loss and the kernel of its rows share.
#pragma once

#include "oneflow_like/op/def/op_def.h"

namespace ofl::ops {

// A call with these sizes; `listed`: lengths are the attributes inputs_of and labels_of.
op::Sample CtcSample(Shape probs, Shape targets, Attrs attrs, bool listed);

}  // namespace ofl::ops
