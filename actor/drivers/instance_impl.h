// What an instance holds, for the files that implement it: instance.cc, and instance_peers.cc for
// what it does with its peers before a launch.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "actor/core/core.h"
#include "actor/drivers/handoff.h"
#include "actor/drivers/instance.h"
#include "actor/drivers/task_runner.h"
#include "oneflow_like/base/fork.h"

namespace ofl::actor {

inline constexpr std::chrono::milliseconds kPollInterval{100};  // for interrupts and the deadline

class Instance::Impl : public std::enable_shared_from_this<Instance::Impl> {
 public:
  Impl(Program program, InstanceOptions options)
      : program_(std::move(program)), options_(std::move(options)) {}

  Status Open();
  void Close();
  Status Launch(std::span<const op::TensorView> inputs, std::span<const op::TensorView> outputs,
                std::span<const RandomState> generators, uint32_t stamp);
  // Greets the peers once.
  Status Connect() { return greeted_ || program_.remote_edges.empty() ? Status::Ok() : Greet(); }
  void Fail(Status cause) { Post({Item::Kind::kFail, {}, std::move(cause)}); }
  bool closed() const { return !closed_by_.ok(); }
  bool forked() const { return forks_ != ForkCount(); }
  bool stamps_agree() const { return stamps_agree_; }
  Counters counters() const;
  Counters predicted() const;

 private:
  // What reaches the core from any thread.
  struct Item {
    enum class Kind : uint8_t { kEvent, kFail, kDeadline, kLeft, kMovedOn } kind = Kind::kEvent;
    Event event;  // of kLeft: the edge whose peer has finished; of kMovedOn: the peer
    Status cause;
    uint32_t stamp = 0;  // of a launch, or of the one that an arrived piece belongs to
  };

  Status OpenEdges();
  Status OpenEdge(int index);
  Status Greet();
  std::map<int, std::string> Greetings() const;
  Status GreetPeer(int peer, const std::string& expected);
  void WatchPeers();
  void StartWorkers();
  void RunStream(int stream);
  void RunFiring(int stream, int64_t word);
  void WaitForEnd();
  void Post(Item item);
  void Handle(Item& item);
  void Perform(const Effect& effect);
  void Push(int edge, int64_t piece);
  int64_t PiecesOf(int edge) const;
  // A peer starts another plan.
  void MovedOn(int peer);
  // Why a launch cannot end: a peer has left before it gave or took what the launch needs.
  Status MissingPeer(int64_t launches) const;
  Status DeadlineError() const;
  ConstBytes Message(int edge, int64_t piece) const;
  // Compares the stamp of a piece, now or when its launch begins here.
  void Arrived(int edge, uint32_t stamp);
  void BeginStamps(uint32_t stamp);
  void Compare(uint32_t stamp) {
    if (stamp != 0 && stamp_ != 0 && stamp != stamp_) stamps_agree_ = false;
  }

  const Program program_;
  const InstanceOptions options_;
  std::unique_ptr<Core> core_;
  std::unique_ptr<TaskRunner> runner_;
  std::vector<std::unique_ptr<device::Stream>> streams_;
  std::vector<std::unique_ptr<Handoff>> handoffs_;  // by stream; the first is the launching thread
  std::vector<std::thread> workers_;
  const uint32_t forks_ = ForkCount();

  // The mailbox. Whoever posts while nobody holds the core steps it until the mailbox is empty.
  std::mutex mutex_;
  std::vector<Item> mailbox_;
  bool owned_ = false;
  // Of the core's holder:
  std::vector<Item> batch_;
  struct EdgeEnd {
    int64_t moved = 0;            // pieces pushed or arrived, over all launches
    std::vector<uint32_t> early;  // stamps of pieces whose launch has not begun here, in order
    Status left;                  // why no more will move
    Status moved_on;              // why no more will move in this launch
  };
  std::vector<EdgeEnd> edge_ends_;
  Status result_;  // of the launch; read by the launching thread after kOver
  uint32_t stamp_ = 0;
  bool stamps_agree_ = true;  // likewise
  std::atomic<uint64_t> steps_{0};

  bool greeted_ = false;
  bool open_ = false;
  std::atomic<bool> launching_{false};
  Status closed_by_;
  int64_t launches_ = 0;
  std::array<std::atomic<int64_t>, kTaskKinds> firings_{};
  std::atomic<int64_t> sent_{0}, sent_bytes_{0}, received_{0}, received_bytes_{0};
};

}  // namespace ofl::actor
