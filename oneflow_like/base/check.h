// Checks of our own invariants. A failure is a bug in this library, never bad input.
#pragma once

#include <glog/logging.h>

// Aborts with a backtrace. Bad input must be refused with a Status before it gets here.
namespace ofl {
// Makes log lines go to stderr in glog's form; does nothing when the process has set glog up.
void InitLogging(const char* program);
}  // namespace ofl

#define OFL_CHECK(cond) CHECK(cond)
#define OFL_DCHECK(cond) DCHECK(cond)
