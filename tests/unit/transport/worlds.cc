#include "tests/unit/transport/worlds.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "transport/memory/memory.h"

namespace ofl::transport {

namespace {
// Only a broken transport lets a test wait so long.
constexpr std::chrono::seconds kPatience{60};
}  // namespace

WorldFactory MemoryFactory() {
  return {"Memory", [](int n, WorldOptions options) {
            return MemoryWorld(n, {.checksum_payload = options.checksum_payload,
                                   .operation_timeout = options.operation_timeout,
                                   .max_buffered_bytes = options.max_buffered_bytes});
          }};
}

int FreePort() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ::close(fd);
  return ntohs(address.sin_port);
}

WorldConfig TcpConfig(int rank, int n, int port) {
  WorldConfig config;
  config.rank = rank;
  config.world_size = n;
  config.local_world_size = n;
  config.master_port = port;
  config.job_id = "test";
  config.rendezvous_timeout = std::chrono::milliseconds(20'000);
  return config;
}

WorldFactory TcpFactory() {
  return {"Tcp", [](int n, WorldOptions options) {
            World world(static_cast<size_t>(n));
            const int port = FreePort();
            std::vector<std::thread> threads;
            for (int rank = 0; rank < n; ++rank) {
              threads.emplace_back([&, rank] {
                WorldConfig config = TcpConfig(rank, n, port);
                config.checksum_payload = options.checksum_payload;
                config.operation_timeout = options.operation_timeout;
                auto transport = ConnectTcp(config);
                EXPECT_EQ(transport.status().ToString(), "OK");
                if (transport.ok()) world[static_cast<size_t>(rank)] = std::move(*transport);
              });
            }
            for (std::thread& thread : threads) thread.join();
            return world;
          }};
}

void RunAll(World& world, const std::function<Status(Transport&)>& body) {
  std::vector<std::thread> threads;
  for (auto& transport : world) {
    threads.emplace_back([&] { EXPECT_EQ(body(*transport).ToString(), "OK"); });
  }
  for (std::thread& thread : threads) thread.join();
}

struct Ops::State {
  std::mutex mutex;
  std::condition_variable changed;
  int64_t finished = 0;
  Status first;
};

Ops::Ops(int64_t expected) : state_(std::make_shared<State>()), expected_(expected) {}

Done Ops::Next() {
  return [state = state_](Status status) {
    std::lock_guard lock(state->mutex);
    ++state->finished;
    if (state->first.ok()) state->first = status;
    state->changed.notify_all();
  };
}

Status Ops::Wait() {
  std::unique_lock lock(state_->mutex);
  const bool done =
      state_->changed.wait_for(lock, kPatience, [this] { return state_->finished >= expected_; });
  EXPECT_TRUE(done) << state_->finished << " of " << expected_ << " operations finished";
  return state_->first;
}

Status Ops::WaitOne() {
  std::unique_lock lock(state_->mutex);
  EXPECT_TRUE(state_->changed.wait_for(lock, kPatience, [this] { return state_->finished > 0; }));
  return state_->first;
}

struct TextOps::Slot {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<Result<std::string>> text;
};

std::function<void(Result<std::string>)> TextOps::Next() {
  auto slot = slots_.emplace_back(std::make_shared<Slot>());
  return [slot](Result<std::string> text) {
    std::lock_guard lock(slot->mutex);
    slot->text = std::move(text);
    slot->changed.notify_all();
  };
}

Result<std::string> TextOps::Wait(size_t index) {
  auto slot = slots_[index];
  std::unique_lock lock(slot->mutex);
  if (!slot->changed.wait_for(lock, kPatience, [&] { return slot->text.has_value(); })) {
    return Error(Code::kInternal) << "the test has waited too long";
  }
  return *slot->text;
}

struct Queue::State {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<int64_t> values;
};

Queue::Queue() : state_(std::make_shared<State>()) {}

void Queue::Put(int64_t value) {
  std::lock_guard lock(state_->mutex);
  state_->values.push_back(value);
  state_->changed.notify_all();
}

int64_t Queue::Take() {
  std::unique_lock lock(state_->mutex);
  if (!state_->changed.wait_for(lock, kPatience, [this] { return !state_->values.empty(); })) {
    return -1;
  }
  const int64_t value = state_->values.front();
  state_->values.pop_front();
  return value;
}

}  // namespace ofl::transport
