// Checks of our own invariants. A failure is a bug in this library, never bad input.
#pragma once

#include <glog/logging.h>

// Aborts with a backtrace. Bad input must be refused with a Status before it gets here.
#define OFL_CHECK(cond) CHECK(cond)
#define OFL_DCHECK(cond) DCHECK(cond)
