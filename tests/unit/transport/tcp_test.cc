// What only real sockets can show: ports, strangers, and processes that die.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "tests/unit/transport/worlds.h"
#include "transport/ended_ranks.h"
#include "transport/exchange.h"
#include "transport/rendezvous.h"

namespace ofl::transport {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;

int ConnectRaw(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  while (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    std::this_thread::yield();
  }
  return fd;
}

// A socket that listens somewhere on loopback.
struct Listener {
  Listener() : fd(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(fd, 4), 0);
    EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port = ntohs(address.sin_port);
  }
  ~Listener() { ::close(fd); }
  int fd;
  int port;
};

using Connected = std::vector<Result<std::unique_ptr<Transport>>>;

Connected ConnectAll(std::vector<WorldConfig> configs) {
  std::vector<std::optional<Result<std::unique_ptr<Transport>>>> results(configs.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < configs.size(); ++i) {
    threads.emplace_back([&, i] { results[i].emplace(ConnectTcp(configs[i])); });
  }
  for (std::thread& thread : threads) thread.join();
  Connected connected;
  for (auto& result : results) connected.push_back(std::move(*result));
  return connected;
}

TEST(Tcp, ATakenPortIsNamed) {
  Listener other;
  const Status status = ConnectTcp(TcpConfig(0, 2, other.port)).status();
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("port " + std::to_string(other.port)),
                                      HasSubstr("is taken"), HasSubstr("set MASTER_PORT")));
}

TEST(Tcp, TheMissingRankIsNamedToAllWhoCame) {
  const int port = FreePort();
  WorldConfig zero = TcpConfig(0, 4, port), two = TcpConfig(2, 4, port);
  zero.rendezvous_timeout = milliseconds(400);
  two.rendezvous_timeout = milliseconds(400);
  for (const auto& result : ConnectAll({zero, two})) {
    EXPECT_EQ(result.status().code(), Code::kDeadlineExceeded);
    EXPECT_THAT(result.status().message(),
                HasSubstr("timed out after 0.4 s: ranks 1, 3 of 4 never came"));
  }
}

TEST(Tcp, NobodyWaitsForARankThatHasEnded) {
  const int port = FreePort();
  const auto ended = [] { return std::vector<int>{2}; };
  for (int rank : {0, 1}) {  // without rank 0 the other one has nobody to ask
    const Status status = ConnectTcp(TcpConfig(rank, 3, port), ended).status();
    EXPECT_EQ(status.code(), Code::kUnavailable);
    EXPECT_THAT(status.message(), HasSubstr("rank 2 of 3 ended without meeting the others"));
  }
}

TEST(Tcp, AMissingRankZeroIsNamed) {
  WorldConfig config = TcpConfig(1, 2, FreePort());
  config.rendezvous_timeout = milliseconds(200);
  const Status status = ConnectTcp(config).status();
  EXPECT_EQ(status.code(), Code::kDeadlineExceeded);
  EXPECT_THAT(status.message(), HasSubstr("rank 0 cannot be reached at 127.0.0.1:"));
}

TEST(Tcp, AnotherJobOnTheSamePortIsRefused) {
  const int port = FreePort();
  WorldConfig zero = TcpConfig(0, 2, port), one = TcpConfig(1, 2, port);
  zero.rendezvous_timeout = milliseconds(1000);
  one.job_id = "other";
  const auto results = ConnectAll({zero, one});
  EXPECT_THAT(results[0].status().message(), HasSubstr("rank 1 of 2 never came"));
  EXPECT_EQ(results[1].status().code(), Code::kFailedPrecondition);
  EXPECT_THAT(results[1].status().message(), HasSubstr("another job: got 'other'"));
}

TEST(Tcp, ImpossibleConfigurationsAreRefused) {
  const auto refused = [](auto change) {
    WorldConfig config = TcpConfig(0, 2, 1234);
    change(config);
    return ConnectTcp(config).status().code();
  };
  EXPECT_EQ(refused([](WorldConfig& c) { c.rank = 2; }), Code::kInvalidArgument);
  EXPECT_EQ(refused([](WorldConfig& c) { c.rank = -1; }), Code::kInvalidArgument);
  EXPECT_EQ(refused([](WorldConfig& c) { c.world_size = 0; }), Code::kInvalidArgument);
  EXPECT_EQ(refused([](WorldConfig& c) { c.master_port = 0; }), Code::kInvalidArgument);
  EXPECT_EQ(refused([](WorldConfig& c) { c.master_port = 70'000; }), Code::kInvalidArgument);
  EXPECT_EQ(refused([](WorldConfig& c) { c.local_world_size = 3; }), Code::kInvalidArgument);
  EXPECT_EQ(refused([](WorldConfig& c) { c.master_addr = "no host"; }), Code::kInvalidArgument);
}

// Strangers at the rendezvous port neither stop nor delay the job.
TEST(Tcp, StrangersAtTheDoorAreIgnored) {
  const int port = FreePort();
  std::optional<Result<std::unique_ptr<Transport>>> zero;
  std::thread rank0([&] { zero.emplace(ConnectTcp(TcpConfig(0, 2, port))); });
  std::vector<int> strangers;
  for (int i = 0; i < 20; ++i) {
    strangers.push_back(ConnectRaw(port));
    const std::string noise(i % 2 ? 200 : 10, static_cast<char>(i));
    EXPECT_EQ(::send(strangers.back(), noise.data(), noise.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(noise.size()));
  }
  auto one = ConnectTcp(TcpConfig(1, 2, port));
  rank0.join();
  EXPECT_EQ(zero->status().ToString(), "OK");
  EXPECT_EQ(one.status().ToString(), "OK");
  for (int fd : strangers) ::close(fd);
}

// With all ranks on one machine nothing listens beyond loopback, whatever MASTER_ADDR says.
TEST(Tcp, ALocalWorldMeetsOnLoopback) {
  const int port = FreePort();
  WorldConfig zero = TcpConfig(0, 2, port), one = TcpConfig(1, 2, port);
  zero.master_addr = one.master_addr = "192.0.2.1";  // an address of nobody
  for (const auto& result : ConnectAll({zero, one})) {
    EXPECT_EQ(result.status().ToString(), "OK");
  }
}

TEST(Tcp, APeerKilledWhileOperationsAreOnTheirWayFailsThemAndIsNamed) {
  const int port = FreePort();
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto transport = ConnectTcp(TcpConfig(1, 2, port));
    char byte = transport.ok() ? 'y' : 'n';
    if (::write(ready[1], &byte, 1) != 1) ::_exit(1);
    while (true) ::pause();
  }
  auto transport = ConnectTcp(TcpConfig(0, 2, port));
  ASSERT_EQ(transport.status().ToString(), "OK");
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  ASSERT_EQ(byte, 'y');
  Ops handled(1), pending(3);
  int calls = 0;
  (*transport)->SetFailureHandler([&, done = handled.Next()](Status status) {
    ++calls;
    done(status);
  });
  std::string into(100, 'x'), large(1 << 20, 'l');
  (*transport)
      ->Recv(1, {.sequence = 1}, {reinterpret_cast<std::byte*>(into.data()), 100}, pending.Next());
  (*transport)->Send(1, {.sequence = 2}, AsBytes(large), pending.Next());
  (*transport)->RecvAny(1, {.sequence = 3}, 10, [done = pending.Next()](auto text) {
    done(text.status());
  });
  ::kill(child, SIGKILL);
  int wait_status = 0;
  ::waitpid(child, &wait_status, 0);
  const Status status = pending.Wait();
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("rank 1 is lost"));
  EXPECT_EQ(handled.Wait().code(), Code::kUnavailable);
  Ops late(1);
  (*transport)->Send(1, {}, {}, late.Next());
  EXPECT_THAT(late.Wait().message(), HasSubstr("rank 1 is lost"));
  EXPECT_EQ(calls, 1);
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(Tcp, AStoppedPeerDoesNotHangTheDestructor) {
  const int port = FreePort();
  const pid_t child = ::fork();
  if (child == 0) {
    auto transport = ConnectTcp(TcpConfig(1, 2, port));
    ::raise(SIGSTOP);
    ::_exit(0);
  }
  {
    auto transport = ConnectTcp(TcpConfig(0, 2, port));
    ASSERT_EQ(transport.status().ToString(), "OK");
    int wait_status = 0;
    ASSERT_EQ(::waitpid(child, &wait_status, WUNTRACED), child);
    ASSERT_TRUE(WIFSTOPPED(wait_status));
    const std::string much(60'000, 'm');
    for (uint64_t i = 0; i < 200; ++i) {
      (*transport)->Send(1, {.sequence = i}, AsBytes(much), nullptr);
    }
    const auto start = std::chrono::steady_clock::now();
    transport->reset();
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(6));
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace ofl::transport
