// How two ends of a connection meet.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/transport/protocol_ends.h"

namespace ofl::transport {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

TEST(Handshake, EstablishesBothEndsAndNamesTheStranger) {
  End caller(Options(2, 0)), listener(Options(0, -1));
  EXPECT_EQ(listener.Output(), "");  // tells a stranger nothing
  Exchange(caller, listener);
  EXPECT_EQ(caller.connection.state(), Connection::State::kEstablished);
  EXPECT_EQ(listener.connection.state(), Connection::State::kEstablished);
  EXPECT_EQ(listener.connection.peer(), 2);
}

TEST(Handshake, RefusesAnotherJobEpochWorldBuildOrRankOnBothSides) {
  const auto refused = [](const std::function<void(Identity&)>& change, const char* why) {
    ConnectionOptions other = Options(2, 0);
    change(other.self);
    End caller(other), listener(Options(0, -1));
    Exchange(caller, listener);
    EXPECT_THAT(listener.connection.failure().message(), HasSubstr(why));
    EXPECT_THAT(caller.connection.failure().message(), HasSubstr(why));
    EXPECT_EQ(caller.connection.failure().code(), Code::kUnavailable);
  };
  refused([](Identity& i) { i.job_id = "other"; }, "another job: got 'other'; expected 'job'");
  refused([](Identity& i) { i.epoch = 2; }, "another epoch: got '2'; expected '3'");
  refused([](Identity& i) { i.world_size = 5; }, "another world size: got '5'; expected '4'");
  refused([](Identity& i) { i.build_id = "old"; }, "another build: got 'old'");
  refused([](Identity& i) { i.rank = 4; }, "rank outside the world: got 4");
  refused([](Identity& i) { i.rank = 0; }, "two processes are rank 0");
  refused([](Identity& i) { i.arithmetic = "CPU level v3"; },
          "the ranks do not compute alike: rank 0 has CPU level v4, rank 2 has CPU level v3; "
          "expected equal ones");
  refused([](Identity& i) { i.arithmetic = "CPU level v3"; }, "with one OFL_CPU_LEVEL");
  refused([](Identity& i) { i.mixed = true; }, "rank 2 has OFL_MIXED_CPUS=1 and rank 0 has not");
}

TEST(Handshake, LetsUnlikeArithmeticThroughWhereAllAgreeToIt) {
  ConnectionOptions a = Options(2, 0), b = Options(0, -1);
  a.self.mixed = b.self.mixed = true;
  a.self.arithmetic = "CPU level v3";
  End caller(a), listener(b);
  Exchange(caller, listener);
  EXPECT_EQ(listener.connection.state(), Connection::State::kEstablished);
}

TEST(Handshake, RefusesFramesBeforeHelloAndHelloAfterwards) {
  End listener(Options(0, -1));
  listener.Feed(Frame(Header(FrameType::kMessage), "hi"));
  EXPECT_THAT(listener.connection.failure().message(), HasSubstr("before the hello"));
  Established end;
  end.Feed(Frame(Header(FrameType::kHello)));
  EXPECT_THAT(end.connection.failure().message(), HasSubstr("after the handshake"));
}

TEST(Handshake, DoesNotWaitForEver) {
  End listener(Options(0, -1));
  listener.connection.OnTimer(kStart + milliseconds(4999), &listener.effects);
  EXPECT_FALSE(listener.failed());
  listener.connection.OnTimer(kStart + milliseconds(5000), &listener.effects);
  EXPECT_THAT(listener.connection.failure().message(), HasSubstr("no hello within 5000 ms"));
}

TEST(Handshake, SurvivesRandomBytes) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 2000; ++i) {
    End listener(Options(0, -1));
    std::string bytes(1 + random() % 300, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    listener.Feed(bytes, 1 + random() % 50);
    EXPECT_NE(listener.connection.state(), Connection::State::kEstablished);
    // A correct header with a payload of noise.
    End other(Options(0, -1));
    FrameHeader hello = Header(FrameType::kHello);
    other.Feed(Frame(hello, bytes));
    EXPECT_TRUE(other.failed());
  }
}

}  // namespace
}  // namespace ofl::transport
