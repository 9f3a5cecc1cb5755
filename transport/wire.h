// What a driver provides to the engine: non-blocking byte streams to the peers, and one place to
// wait for all of them.
#pragma once

#include <chrono>
#include <span>
#include <vector>

#include "oneflow_like/base/bytes.h"
#include "oneflow_like/base/status.h"

namespace ofl::transport {

// A byte stream to one peer. Read and Write may be called from several threads, never at once.
class Link {
 public:
  virtual ~Link() = default;
  // Moves what can be moved without waiting; 0: nothing now. kUnavailable: the stream has ended or
  // broke, and says so at every later call.
  virtual Result<size_t> Read(MutableBytes into) = 0;
  virtual Result<size_t> Write(std::span<const ConstBytes> parts) = 0;
  // Only on the I/O thread. The peer reads to the end of what was written.
  virtual void CloseWrite() = 0;
  virtual void Close() = 0;
};

class Wire {
 public:
  virtual ~Wire() = default;
  // Null for the own rank. The wire owns its links.
  virtual Link* link(int rank) = 0;
  // On the I/O thread: returns when a link can be read (or written, where want_write[rank]), after
  // Wake, or when `at_most` has passed. Sets ready[rank] for links worth reading.
  virtual void Wait(std::chrono::nanoseconds at_most, const std::vector<char>& want_write,
                    std::vector<char>* ready) = 0;
  // From any thread: the present Wait, or else the next one, returns at once.
  virtual void Wake() = 0;
};

}  // namespace ofl::transport
