// Errors of calls that Python made by a name of its own.
#pragma once

#include <string>
#include <string_view>

#include "oneflow_like/base/status.h"

namespace ofl::python {

// The directory of the package with a closing slash, found once; empty where it has none.
const std::string& PackageDirectory();

// SetError of a call of the function `called`. The text begins with what the user called, which is
// the function of this package nearest to their line, or `called`; operators that it consists of,
// of which one has failed, follow on lines of their own.
void SetErrorOf(const Status& status, std::string_view called);

}  // namespace ofl::python
