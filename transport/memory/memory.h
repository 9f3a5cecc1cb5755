// Several ranks in one process over in-memory pipes: the same engine and protocol as on TCP, for
// tests of whatever stands on a Transport.
#pragma once

#include <memory>
#include <vector>

#include "transport/transport.h"

namespace ofl::transport {

struct MemoryOptions {
  bool checksum_payload = false;
  std::chrono::milliseconds operation_timeout{300'000};
  size_t pipe_bytes = 256 << 10;         // what a pipe holds before its writer has to wait
  size_t max_buffered_bytes = 64 << 20;  // bound of unexpected messages a connection
};

// Transport r of the result is rank r of n. Destroying one looks to the others like a rank that
// finished. The world's ranks may be used from any threads.
std::vector<std::unique_ptr<Transport>> MemoryWorld(int n, MemoryOptions options = {});

// As MemoryWorld, with wires that can be broken.
class MemoryNetwork {
 public:
  explicit MemoryNetwork(int n, MemoryOptions options = {});
  ~MemoryNetwork();
  // Each may be taken once.
  std::vector<std::unique_ptr<Transport>> TakeTransports();
  // Ends both directions between two ranks, as if both had crashed.
  void Cut(int a, int b);

  class Impl;

 private:
  std::shared_ptr<Impl> impl_;  // with the wires, which may outlive this object
  std::vector<std::unique_ptr<Transport>> transports_;
};

}  // namespace ofl::transport
