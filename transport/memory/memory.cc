#include "transport/memory/memory.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <mutex>

#include "transport/engine.h"

namespace ofl::transport {

namespace {

// Wakes the I/O thread of one rank.
class Signal {
 public:
  void Raise() {
    {
      std::lock_guard lock(mutex_);
      raised_ = true;
    }
    changed_.notify_one();
  }
  void Wait(std::chrono::nanoseconds at_most) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, at_most, [this] { return raised_; });
    raised_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool raised_ = false;
};

// Bytes from one rank to another.
class Pipe {
 public:
  Pipe(size_t capacity, Signal* writer, Signal* reader)
      : ring_(capacity), writer_(writer), reader_(reader) {}

  Result<size_t> Read(MutableBytes into) {
    std::lock_guard lock(mutex_);
    OFL_ENSURE(size_ > 0 || !ended_, Code::kUnavailable)
        << "it closed the connection without a word (crashed or killed)";
    const size_t bytes = std::min(into.size(), size_);
    const size_t first = std::min(bytes, ring_.size() - head_);
    if (bytes == 0) return size_t{0};
    std::memcpy(into.data(), ring_.data() + head_, first);
    std::memcpy(into.data() + first, ring_.data(), bytes - first);
    head_ = (head_ + bytes) % ring_.size();
    if (size_ == ring_.size()) writer_->Raise();
    size_ -= bytes;
    return bytes;
  }

  Result<size_t> Write(std::span<const ConstBytes> parts) {
    std::lock_guard lock(mutex_);
    OFL_ENSURE(!ended_, Code::kUnavailable) << "it does not read any more";
    size_t written = 0;
    for (ConstBytes part : parts) {
      const size_t bytes = std::min(part.size(), ring_.size() - size_);
      const size_t tail = (head_ + size_) % ring_.size();
      const size_t first = std::min(bytes, ring_.size() - tail);
      if (bytes > 0) {
        std::memcpy(ring_.data() + tail, part.data(), first);
        std::memcpy(ring_.data(), part.data() + first, bytes - first);
      }
      size_ += bytes;
      written += bytes;
      if (bytes < part.size()) break;
    }
    if (written > 0) reader_->Raise();
    return written;
  }

  // What was written can still be read, unless it is dropped.
  void End(bool drop) {
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
      if (drop) size_ = 0;
    }
    writer_->Raise();
    reader_->Raise();
  }

 private:
  std::mutex mutex_;
  std::vector<std::byte> ring_;
  size_t head_ = 0;
  size_t size_ = 0;
  bool ended_ = false;
  Signal* writer_;
  Signal* reader_;
};

}  // namespace

class MemoryNetwork::Impl {
 public:
  Impl(int n, size_t pipe_bytes) : n_(n), signals_(static_cast<size_t>(n)) {
    for (int from = 0; from < n; ++from) {
      for (int to = 0; to < n; ++to) {
        pipes_.push_back(std::make_unique<Pipe>(pipe_bytes, signal(from), signal(to)));
      }
    }
  }
  Pipe* pipe(int from, int to) { return pipes_[static_cast<size_t>(from * n_ + to)].get(); }
  Signal* signal(int rank) { return &signals_[static_cast<size_t>(rank)]; }

 private:
  const int n_;
  std::vector<Signal> signals_;
  std::vector<std::unique_ptr<Pipe>> pipes_;
};

namespace {

class MemoryLink final : public Link {
 public:
  MemoryLink(Pipe* in, Pipe* out) : in_(in), out_(out) {}
  Result<size_t> Read(MutableBytes into) override { return in_->Read(into); }
  Result<size_t> Write(std::span<const ConstBytes> parts) override { return out_->Write(parts); }
  void CloseWrite() override { out_->End(false); }
  void Close() override {
    out_->End(false);
    in_->End(true);
  }

 private:
  Pipe* in_;
  Pipe* out_;
};

// Shares the network with the other ranks' wires.
class MemoryWire final : public Wire {
 public:
  MemoryWire(std::shared_ptr<MemoryNetwork::Impl> network, int rank, int n)
      : network_(std::move(network)), signal_(network_->signal(rank)) {
    for (int peer = 0; peer < n; ++peer) {
      links_.push_back(
          std::make_unique<MemoryLink>(network_->pipe(peer, rank), network_->pipe(rank, peer)));
    }
  }
  Link* link(int rank) override { return links_[static_cast<size_t>(rank)].get(); }
  void Wait(std::chrono::nanoseconds at_most, const std::vector<char>&,
            std::vector<char>* ready) override {
    signal_->Wait(at_most);
    std::ranges::fill(*ready, 1);
  }
  void Wake() override { signal_->Raise(); }

 private:
  std::shared_ptr<MemoryNetwork::Impl> network_;
  Signal* signal_;
  std::vector<std::unique_ptr<MemoryLink>> links_;
};

std::unique_ptr<Transport> MakeTransport(std::shared_ptr<MemoryNetwork::Impl> network, int rank,
                                         int n, const MemoryOptions& options) {
  std::vector<std::unique_ptr<Connection>> connections;
  const TimePoint now = std::chrono::steady_clock::now();
  for (int peer = 0; peer < n; ++peer) {
    ConnectionOptions connection;
    connection.self = {.job_id = "memory", .rank = rank, .world_size = n, .build_id = BuildId()};
    connection.peer = peer;
    connection.checksum_payload = options.checksum_payload;
    connection.operation_timeout = options.operation_timeout;
    connection.max_buffered_bytes = options.max_buffered_bytes;
    connections.push_back(peer == rank ? nullptr
                                       : std::make_unique<Connection>(std::move(connection), now));
  }
  EngineOptions engine{.rank = rank, .world_size = n};
  engine.spin = std::chrono::microseconds(0);
  return std::make_unique<Engine>(engine, std::make_unique<MemoryWire>(std::move(network), rank, n),
                                  std::move(connections));
}

}  // namespace

MemoryNetwork::MemoryNetwork(int n, MemoryOptions options)
    : impl_(std::make_shared<Impl>(n, options.pipe_bytes)) {
  for (int rank = 0; rank < n; ++rank) {
    transports_.push_back(MakeTransport(impl_, rank, n, options));
  }
}

MemoryNetwork::~MemoryNetwork() = default;

std::vector<std::unique_ptr<Transport>> MemoryNetwork::TakeTransports() {
  return std::move(transports_);
}

void MemoryNetwork::Cut(int a, int b) {
  impl_->pipe(a, b)->End(true);
  impl_->pipe(b, a)->End(true);
}

std::vector<std::unique_ptr<Transport>> MemoryWorld(int n, MemoryOptions options) {
  return MemoryNetwork(n, options).TakeTransports();
}

std::unique_ptr<Transport> SoloTransport() { return std::move(MemoryWorld(1)[0]); }

}  // namespace ofl::transport
