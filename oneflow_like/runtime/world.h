// This process's place in the job, read from the launcher's environment.
#pragma once

#include <memory>
#include <string>

#include "oneflow_like/base/status.h"
#include "oneflow_like/tensor/context.h"
#include "transport/transport.h"

namespace ofl::runtime {

// RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT, OFL_JOB_ID,
// OFL_EPOCH, OFL_RENDEZVOUS_TIMEOUT_S, OFL_OPERATION_TIMEOUT_S, OFL_CHECKSUM, OFL_MIXED_CPUS.
// Without WORLD_SIZE: a world of one. kInvalidArgument names the variable that is wrong.
Result<transport::WorldConfig> WorldFromEnvironment();

// "CPU level v4, BLAS core SkylakeX": what equal bits depend on besides the build.
std::string Arithmetic();

// A context for that world; it connects at its first communication. Kernels use OMP_NUM_THREADS
// threads, or all of the machine's cores when unset; their memory stays within
// OFL_MEMORY_LIMIT_MIB; OFL_CPU_LEVEL is checked.
Result<std::unique_ptr<tensor::Context>> MakeContext();

}  // namespace ofl::runtime
