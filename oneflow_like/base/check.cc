#include "oneflow_like/base/check.h"

namespace ofl {

void InitLogging(const char* program) {
  if (google::IsGoogleLoggingInitialized()) return;
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(program);
}

}  // namespace ofl
