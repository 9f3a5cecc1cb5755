// One rank's plan on real threads: registers in memory, kernels on streams, edges on a transport.
//
// Life: Create (memory, kernels, edges) -> Launch ... -> destruction (edges closed). The first
// launch greets every peer of the plan, so that nobody pushes into an edge that is not open yet.
// Threads: one thread at a time launches; it runs the first stream's tasks itself, one worker runs
// each further stream. The core is stepped by whichever thread has an event to post, one at a time.
// A launch takes over the transport's failure handler.
// Failure: the first cause closes the instance; every later launch reports it again. Variables are
// then undefined, because other ranks may have updated theirs.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "device/device.h"
#include "oneflow_like/core/program.h"
#include "oneflow_like/core/random_state.h"
#include "oneflow_like/op/kernel/kernel.h"
#include "transport/transport.h"

namespace ofl::actor {

inline constexpr int kTaskKinds = 8;

struct InstanceOptions {
  transport::Transport* transport = nullptr;  // must outlive the instance; null: no remote edges
  device::Device* device = nullptr;           // must outlive the instance
  std::map<std::string, device::BufferRef> variables;
  // A number of a variable's contents, another whenever they may be others; 0: not known. Asked as
  // a launch begins, for variables that kernels with memory of their own read. Null: never known.
  std::function<uint64_t(const std::string& variable)> contents;
  // How long a launch may make no progress before it fails and says what it waits for. Whoever
  // creates an instance for a user gives OFL_OPERATION_TIMEOUT_S here.
  std::chrono::milliseconds deadline{300'000};
  // How long a thread looks for work before it sleeps.
  std::chrono::microseconds spin{30};
  // Called once in a launch that stands still for a while, on the launching thread: shall call
  // `started(peer)`, from any thread, for every peer that is starting another plan. Such a peer has
  // done its share of this one, so a launch that still needs something from it fails at once.
  std::function<void(std::function<void(int peer)> started)> ask_peers;
  // Asked now and then while the launching thread waits: true ends the launch with kCancelled.
  std::function<bool()> interrupted;
  // Whether a failed launch tells the peers why and closes the transport: they would wait in vain.
  bool shutdown_on_failure = true;
};

struct Counters {
  int64_t launches = 0;
  int64_t firings = 0;
  std::array<int64_t, kTaskKinds> firings_by_kind{};  // index: TaskKind
  int64_t messages_sent = 0;
  int64_t message_bytes_sent = 0;
  int64_t messages_received = 0;
  int64_t message_bytes_received = 0;
  bool operator==(const Counters&) const = default;
};

// Whether each other rank of the world gets a stamp of this rank in every launch. What a rank
// passes on as it came may leave before its own launch begins, and carries none.
bool StampsReachAll(const Program& program);

class Instance {
 public:
  // kInvalidArgument: a program that cannot be run, a variable that is not bound or does not fit;
  // kUnimplemented: a kernel this build lacks; kResourceExhausted: no memory for the arena.
  static Result<std::unique_ptr<Instance>> Create(Program program, InstanceOptions options);
  ~Instance();

  // Meets the peers of the plan's edges; the first launch does so unless this was called.
  Status Connect();
  // Runs one iteration. inputs[i] and outputs[i] are what tasks with binding i read and write: all
  // micro-batches one behind another. Arguments that do not fit are refused before anything runs.
  // `generators`: where each generator of the program stands, before the draws that this launch
  // takes from it; equal on all ranks. Launches with equal ones draw the same random numbers.
  // `stamp` goes along with the pieces of this launch and is compared with the peers'; 0: none.
  Status Launch(std::span<const op::TensorView> inputs, std::span<const op::TensorView> outputs,
                std::span<const RandomState> generators = {}, uint32_t stamp = 0);
  // Whether the stamps that came with the last launch's pieces were this rank's. Not while one
  // runs.
  bool stamps_agree() const;
  // Closes the instance from any thread; a launch under way ends with this cause.
  void Fail(Status cause);

  // Whether a failure has closed it: no later launch can run. Not while one runs.
  bool closed() const;
  Counters counters() const;   // of all launches so far; not while one runs
  Counters predicted() const;  // of one launch, from the program alone

 private:
  class Impl;
  explicit Instance(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  // Shared with the transport's callbacks, which may outlast this object.
  std::shared_ptr<Impl> impl_;
};

}  // namespace ofl::actor
