// The lines of the user's program, for whoever notes them below Python.
#pragma once

#include "python/src/module.h"

namespace ofl::python {

void BindSourceLines(nb::module_& m);

}  // namespace ofl::python
