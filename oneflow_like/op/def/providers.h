// The registry of kernel providers: what definitions list, and what is added beside them for an
// operator (a library's kernel) or for a fused region (a kernel that serves several operators).
#pragma once

#include <string_view>
#include <vector>

#include "oneflow_like/op/def/op_def.h"

namespace ofl::op {

// Adds a provider for an operator's or a region's name, preferred over those there are. For a
// name, device and dtype each run function at most once: kInvalidArgument. Its bounds count for
// what is compiled afterwards; in an older plan it serves where it fits into what that reserves.
// Thread-safe; what was added is never taken back.
Status AddProvider(std::string_view target, const KernelEntry& entry);

// The providers of an operator for a device and a primary dtype, preferred ones first.
std::vector<const KernelProvider*> ProvidersOf(const OpDef& def, DeviceKind device, DType dtype);
// Those of a fused region, which no definition lists.
std::vector<const KernelProvider*> ProvidersOf(std::string_view region, DeviceKind device,
                                               DType dtype);

}  // namespace ofl::op
