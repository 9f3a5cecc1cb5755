// Worlds of transports for tests, and ways to wait for their callbacks.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "transport/transport.h"

namespace ofl::transport {

using World = std::vector<std::unique_ptr<Transport>>;

struct WorldOptions {
  bool checksum_payload = false;
  std::chrono::milliseconds operation_timeout{60'000};
  size_t max_buffered_bytes = 64 << 20;  // memory worlds only
};
struct WorldFactory {
  std::string name;
  std::function<World(int n, WorldOptions options)> make;
};
WorldFactory MemoryFactory();
WorldFactory TcpFactory();  // connected over loopback, a thread a rank

// A port nobody listens on at the moment.
int FreePort();
WorldConfig TcpConfig(int rank, int n, int port);

// Runs `body` for every rank at once; every status has to be OK.
void RunAll(World& world, const std::function<Status(Transport&)>& body);

// Waits for operations; keeps the first failure. Outlives its callbacks by sharing their state.
class Ops {
 public:
  explicit Ops(int64_t expected);
  Done Next();
  Status Wait();     // for all expected
  Status WaitOne();  // for the first

 private:
  struct State;
  std::shared_ptr<State> state_;
  int64_t expected_;
};

class TextOps {
 public:
  std::function<void(Result<std::string>)> Next();
  Result<std::string> Wait(size_t index);

 private:
  struct Slot;
  std::vector<std::shared_ptr<Slot>> slots_;
};

// Numbers from callbacks, taken by the test's thread.
class Queue {
 public:
  Queue();
  void Put(int64_t value);
  int64_t Take();  // -1 after a long while

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace ofl::transport
