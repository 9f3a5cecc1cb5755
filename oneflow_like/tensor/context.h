// One process's eager world: who it is, how it reaches others, and what eager calls share.
// The only mutable state of eager execution; the runtime (or a test) installs it.
//
// Threads: eager calls come from one thread at a time (Python's lock); while a call waits for
// peers the lock is released through the blocking hooks, and a second thread that communicates
// in that time is refused by the sequence numbers on both ends. Modes (gradients on or off, the
// context that BindThread gives, the tracer) belong to a thread and never show in another.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "device/device.h"
#include "oneflow_like/base/status.h"
#include "oneflow_like/core/placement.h"
#include "oneflow_like/tensor/generator.h"
#include "transport/transport.h"

namespace ofl::tensor {

class CallCache;

inline constexpr std::string_view kMixedArithmetic = "mixed";

struct ContextOptions {
  int rank = 0;
  int world_size = 1;
  int local_rank = 0;
  int local_world_size = 1;
  int threads = 1;  // of every kernel
  // How long a launched plan may make no progress; the transport has its own copy.
  std::chrono::milliseconds operation_timeout{300'000};
  // A world to compile for: no rank exists, this process is none of them, nothing can be sent.
  bool imaginary = false;
  // What equal bits depend on ("CPU level v4, BLAS core SkylakeX"), equal on all ranks; "mixed"
  // when OFL_MIXED_CPUS gave equal bits up.
  std::string arithmetic;
  // Makes the transport at first use; null: a world of one.
  std::function<Result<std::unique_ptr<transport::Transport>>()> connect;
};

class Context {
 public:
  explicit Context(ContextOptions options);
  ~Context();
  // The installed context; a world of one with one thread when nobody installed any.
  static Context& Get();
  // Replaces the context. No tensor call may be under way.
  // Returns the context it replaces.
  static std::unique_ptr<Context> Install(std::unique_ptr<Context> context);
  // Gives this thread a context of its own (null: the installed one again), so that several ranks
  // can live in one process.
  static void BindThread(Context* context);

  int rank() const { return options_.rank; }
  int world_size() const { return options_.world_size; }
  int local_rank() const { return options_.local_rank; }
  int local_world_size() const { return options_.local_world_size; }
  int threads() const { return options_.threads; }
  std::chrono::milliseconds operation_timeout() const { return options_.operation_timeout; }
  bool imaginary() const { return options_.imaginary; }
  const std::string& arithmetic() const { return options_.arithmetic; }
  // Whether `B` means equal bits: false where the ranks may compute unlike one another, and then
  // nobody compares digests.
  bool equal_bits() const { return options_.arithmetic != kMixedArithmetic; }
  // Connects at first use. The error is kept: a second use reports it again.
  Result<transport::Transport*> transport();
  // The same, kept alive (though closed) beyond Shutdown by whoever has edges open on it.
  Result<std::shared_ptr<transport::Transport>> SharedTransport();
  bool connected() const { return transport_ != nullptr; }
  // Tells the peers why this rank leaves (OK: it is done). Nothing can be sent afterwards.
  void Shutdown(Status why);

  Result<device::Device*> DeviceOf(DeviceKind kind);
  Result<device::Stream*> StreamOf(DeviceKind kind);

  // Whether this thread records gradients; a new thread does.
  static bool grad_enabled() { return grad_mode_; }
  static void set_grad_enabled(bool on) { grad_mode_ = on; }
  // Starts both generators anew.
  void Seed(uint64_t seed);
  Generator& job_generator() { return job_generator_; }      // of global tensors
  Generator& local_generator() { return local_generator_; }  // of local ones
  // `count` draws of `op`, for global tensors or for local ones, from a generator (null: the
  // default one, the job's or this rank's); returns the first. Those for global tensors are noted
  // with the caller's line for collectives to compare.
  RandomState Draw(bool global, int64_t count, std::string_view op, Generator* generator = nullptr);
  const DrawHistory& draws() const { return draws_; }
  CallCache& cache() { return *cache_; }

  // Number of the next eager exchange with a peer; both ends count alike.
  uint64_t NextSequence(int peer);

  // Numbers the plans this process starts; every rank starts them in the same order.
  uint64_t NextPlan() { return next_plan_++; }

  // Called around every wait for peers. `call_site` names the user's line ("train.py:12").
  struct Hooks {
    void* (*leave)() = nullptr;
    void (*enter)(void*) = nullptr;
    std::string (*call_site)() = nullptr;
    bool (*interrupted)() = nullptr;  // asked while waiting: should the wait end?
  };
  void set_hooks(Hooks hooks) { hooks_ = hooks; }
  const Hooks& hooks() const { return hooks_; }
  // The user's line, or nothing where nobody knows it.
  std::string CallSite() const {
    return hooks_.call_site != nullptr ? hooks_.call_site() : std::string();
  }

 private:
  ContextOptions options_;
  std::shared_ptr<transport::Transport> transport_;  // shared with compiled graphs' edges
  Status connect_failure_;
  device::Device* devices_[4] = {};
  std::unique_ptr<device::Stream> streams_[4];
  std::unique_ptr<CallCache> cache_;
  std::vector<uint64_t> sequences_;  // by peer
  uint64_t next_plan_ = 0;
  Generator job_generator_, local_generator_;
  DrawHistory draws_;  // of the job's
  Hooks hooks_;

  static constinit thread_local bool grad_mode_;
};

// Switches recording of gradients off (or on) on this thread for a scope.
class GradModeGuard {
 public:
  explicit GradModeGuard(bool on) : before_(Context::grad_enabled()) {
    Context::set_grad_enabled(on);
  }
  ~GradModeGuard() { Context::set_grad_enabled(before_); }
  GradModeGuard(const GradModeGuard&) = delete;
  GradModeGuard& operator=(const GradModeGuard&) = delete;

 private:
  bool before_;
};

}  // namespace ofl::tensor
