#include "oneflow_like/tensor/tracer.h"

namespace ofl::tensor {
namespace {
thread_local Tracer* current_tracer = nullptr;
}  // namespace

Tracer* CurrentTracer() { return current_tracer; }
void SetCurrentTracer(Tracer* tracer) { current_tracer = tracer; }

}  // namespace ofl::tensor
