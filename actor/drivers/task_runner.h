// What a rank's tasks do to memory: registers resolved to pointers, kernels looked up, boxes
// checked, once; after that a firing sets pointers and runs.
//
// Threads: Run may be called for different tasks from different threads at a time, as the core
// orders them; Bind only while nothing runs. Failure: Create refuses a program whose memory or
// boxes do not fit (kInvalidArgument) or that needs a kernel this build lacks (kUnimplemented).
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "actor/core/core.h"
#include "actor/drivers/instance.h"
#include "device/cpu/box.h"
#include "oneflow_like/op/kernel/kernel.h"

namespace ofl::actor {

class TaskRunner {
 public:
  // `program` and `core` must outlive the runner; the buffers of variables are kept alive.
  static Result<std::unique_ptr<TaskRunner>> Create(
      const Program& program, const Core& core, device::Device* device,
      std::map<std::string, device::BufferRef> variables,
      std::function<uint64_t(const std::string&)> contents = nullptr);

  // The arguments of the next launch; they must stay until it has ended. kInvalidArgument names
  // the argument that does not fit.
  Status Bind(std::span<const op::TensorView> inputs, std::span<const op::TensorView> outputs,
              std::span<const RandomState> generators);
  Status Run(int task, int64_t piece, device::Stream* stream);
  // An instance of a register; null when it has no bytes.
  std::byte* Data(int reg, int slot) const { return pointers_[root_[reg]][slot]; }

 private:
  struct Assembly {
    Shape dst_begin, extent, tree;
    int reduce_op = 0;
    std::vector<int> inputs;                 // of each source
    std::vector<device::BoxSource> sources;  // data is set at each firing
  };
  struct Prepared {
    std::vector<op::TensorView> inputs, outputs;  // data is set at each firing
    std::vector<int64_t> offsets;  // of inputs that are views, in bytes; empty where none is one
    op::Kernel kernel;
    MutableBytes workspace;
    MutableBytes kept;         // by the kernel, from firing to firing
    std::vector<int> changes;  // watched variables that it mutates
    std::vector<Assembly> assemblies;
  };

  TaskRunner(const Program& program, const Core& core, device::Device* device,
             std::function<uint64_t(const std::string&)> contents)
      : program_(program), core_(core), device_(device), contents_(std::move(contents)) {}
  Status ResolveMemory(std::map<std::string, device::BufferRef> variables);
  Status ResolveRegister(const RegisterDesc& reg,
                         const std::map<std::string, device::BufferRef>& variables);
  Status PrepareTask(const TaskDesc& task, int threads);
  Status PrepareKernel(const TaskDesc& task, int threads, Prepared& prepared);
  Status PrepareBoxes(const TaskDesc& task, Prepared& prepared);
  // Finds the variables whose contents kernels with memory of their own ask for.
  void Watch();
  uint64_t VersionOf(const TaskDesc& task, int input, int64_t piece) const;
  Status CheckBinding(const TaskDesc& task, std::span<const op::TensorView> given, int reg) const;

  void RunInput(const TaskDesc& task, int64_t piece, Prepared& p, device::Stream* stream);
  void RunOutput(const TaskDesc& task, int64_t piece, Prepared& p, device::Stream* stream);
  Status RunKernel(const TaskDesc& task, int64_t piece, Prepared& p, device::Stream* stream);
  Status RunBoxes(Prepared& p, device::Stream* stream);
  Status RunAccumulate(int64_t piece, Prepared& p, device::Stream* stream);

  const Program& program_;
  const Core& core_;
  device::Device* device_;
  device::BufferRef arena_;
  std::vector<device::BufferRef> variables_;
  std::vector<int> root_;                          // of each register: whose memory it uses
  std::vector<std::vector<std::byte*>> pointers_;  // of roots, by instance
  std::vector<Prepared> tasks_;
  std::span<const op::TensorView> inputs_, outputs_;  // of the current launch
  std::vector<RandomState> generators_;               // likewise
  // Versions of what kernels with memory of their own read (op::TensorView::version).
  struct Watched {
    std::string variable;
    uint64_t contents = 0;  // as last asked for
    uint64_t version = 0;   // of ours: other contents and each mutation give a new one
  };
  const std::function<uint64_t(const std::string&)> contents_;
  std::vector<int> watched_of_;  // by register; -1: not watched
  std::vector<Watched> watched_;
  std::atomic<uint64_t> last_version_{0};
  uint64_t launches_ = 0;
};

}  // namespace ofl::actor
