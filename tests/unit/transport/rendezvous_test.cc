#include "transport/rendezvous.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace ofl::transport {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const TimePoint kStart{};
constexpr milliseconds kTimeout{60'000};

Identity Who(int rank, int world = 4) {
  return {.job_id = "job",
          .rank = rank,
          .world_size = world,
          .build_id = BuildId(),
          .arithmetic = "CPU level v4"};
}
JoinRequest JoinOf(int rank) {
  return {Who(rank), {"10.0.0." + std::to_string(rank), static_cast<uint16_t>(1000 + rank)}};
}

struct Server {
  RendezvousServer server{Who(0), {"10.0.0.0", 1000}, kTimeout, kStart};
  RendezvousServer::Step Join(int connection, const JoinRequest& join) {
    RendezvousServer::Step step;
    server.OnJoin(connection, join, &step);
    return step;
  }
  RendezvousServer::Step At(milliseconds time) {
    RendezvousServer::Step step;
    server.OnTimer(kStart + time, &step);
    return step;
  }
};

TEST(RendezvousServer, PublishesTheTableOnceAllHaveCome) {
  Server s;
  EXPECT_THAT(s.Join(10, JoinOf(2)).replies, IsEmpty());
  EXPECT_THAT(s.Join(11, JoinOf(1)).replies, IsEmpty());
  const auto step = s.Join(12, JoinOf(3));
  ASSERT_EQ(step.replies.size(), 3u);
  EXPECT_EQ(step.replies[0].connection, 11);
  for (const auto& reply : step.replies) {
    EXPECT_EQ(reply.type, FrameType::kTable);
    const auto table = DecodeTable(reply.payload);
    ASSERT_TRUE(table.ok());
    EXPECT_THAT(*table, ElementsAre(Endpoint{"10.0.0.0", 1000}, Endpoint{"10.0.0.1", 1001},
                                    Endpoint{"10.0.0.2", 1002}, Endpoint{"10.0.0.3", 1003}));
  }
  s.server.OnLost(12);
  EXPECT_TRUE(s.server.complete());
}

TEST(RendezvousServer, EndsTheJobWhenARankComputesUnlikeIt) {
  Server s;
  EXPECT_THAT(s.Join(10, JoinOf(2)).replies, IsEmpty());
  JoinRequest unlike = JoinOf(1);
  unlike.who.arithmetic = "CPU level v3";
  const auto step = s.Join(11, unlike);
  ASSERT_EQ(step.replies.size(), 2u);
  for (const auto& reply : step.replies) {
    EXPECT_EQ(reply.type, FrameType::kRefusal);
    EXPECT_EQ(DecodeRefusal(reply.payload).message(), s.server.failure().message());
  }
  EXPECT_EQ(s.server.failure().code(), Code::kFailedPrecondition);
  EXPECT_THAT(s.server.failure().message(), HasSubstr("rank 1 has CPU level v3"));
  EXPECT_THAT(s.server.failure().message(), HasSubstr("OFL_CPU_LEVEL"));
  EXPECT_FALSE(s.server.complete());
}

TEST(RendezvousServer, TakesUnlikeRanksWhenAllSaySo) {
  RendezvousServer server({.job_id = "job",
                           .world_size = 2,
                           .build_id = BuildId(),
                           .arithmetic = "CPU level v4",
                           .mixed = true},
                          {"10.0.0.0", 1000}, kTimeout, kStart);
  JoinRequest unlike = JoinOf(1);
  unlike.who.world_size = 2;
  unlike.who.arithmetic = "CPU level v3";
  unlike.who.mixed = true;
  EXPECT_EQ(DecodeJoin(EncodeJoin(unlike))->who.arithmetic, "CPU level v3");
  RendezvousServer::Step step;
  server.OnJoin(10, unlike, &step);
  EXPECT_TRUE(server.complete());
}

TEST(RendezvousServer, NamesTheMissingRanksAtItsDeadline) {
  Server s;
  s.Join(10, JoinOf(2));
  EXPECT_TRUE(s.server.failure().ok());
  const auto step = s.At(kTimeout);
  EXPECT_EQ(s.server.failure().code(), Code::kDeadlineExceeded);
  EXPECT_THAT(s.server.failure().message(),
              HasSubstr("timed out after 60 s: ranks 1, 3 of 4 never came; start every rank"));
  ASSERT_EQ(step.replies.size(), 1u);
  EXPECT_EQ(step.replies[0].connection, 10);
  EXPECT_EQ(DecodeRefusal(step.replies[0].payload).message(), s.server.failure().message());
  // Who comes later hears the same.
  const auto late = s.Join(11, JoinOf(1));
  ASSERT_EQ(late.replies.size(), 1u);
  EXPECT_EQ(late.replies[0].type, FrameType::kRefusal);
}

TEST(RendezvousServer, DoesNotWaitForRanksThatHaveEnded) {
  Server s;
  s.Join(10, JoinOf(2));
  RendezvousServer::Step step;
  s.server.OnEnded({}, &step);
  s.server.OnEnded({0, 2}, &step);  // of those who are here the connection tells
  EXPECT_TRUE(s.server.failure().ok());
  s.server.OnEnded({2, 3}, &step);
  EXPECT_EQ(s.server.failure().code(), Code::kUnavailable);
  EXPECT_THAT(s.server.failure().message(), HasSubstr("rank 3 of 4 ended without meeting"));
  ASSERT_EQ(step.replies.size(), 1u);
  EXPECT_EQ(step.replies[0].connection, 10);
}

TEST(RendezvousServer, TellsEveryTenSecondsWhoIsMissing) {
  Server s;
  s.Join(10, JoinOf(2));
  EXPECT_THAT(s.At(milliseconds(9'999)).progress, IsEmpty());
  EXPECT_THAT(s.At(milliseconds(10'000)).progress,
              ElementsAre("waiting for ranks 1, 3 of 4 (2 of 4 are here)"));
  EXPECT_THAT(s.At(milliseconds(10'050)).progress, IsEmpty());
  s.Join(11, JoinOf(3));
  EXPECT_THAT(s.At(milliseconds(20'000)).progress,
              ElementsAre("waiting for rank 1 of 4 (3 of 4 are here)"));
}

TEST(RendezvousServer, RefusesDuplicatesStrangersAndOtherWorlds) {
  Server s;
  s.Join(10, JoinOf(2));
  const auto refused = [&](JoinRequest join, const char* why) {
    const auto step = s.Join(20, join);
    ASSERT_EQ(step.replies.size(), 1u);
    EXPECT_EQ(step.replies[0].type, FrameType::kRefusal);
    EXPECT_THAT(DecodeRefusal(step.replies[0].payload).message(), HasSubstr(why));
    EXPECT_EQ(step.progress.size(), 1u);
  };
  refused(JoinOf(2), "rank 2 has already joined");
  refused(JoinOf(0), "two processes are rank 0");
  refused(JoinOf(4), "rank outside the world: got 4; expected 0 to 3");
  refused(JoinOf(-1), "rank outside the world");
  JoinRequest join = JoinOf(1);
  join.who.job_id = "other";
  refused(join, "another job");
  join = JoinOf(1);
  join.who.world_size = 5;
  refused(join, "another world size: got '5'; expected '4'");
  EXPECT_FALSE(s.server.complete());
}

TEST(RendezvousServer, ARankThatGoesMayComeAgain) {
  Server s;
  s.Join(10, JoinOf(2));
  s.server.OnLost(10);
  EXPECT_THAT(s.Join(11, JoinOf(2)).replies, IsEmpty());
  s.Join(12, JoinOf(1));
  EXPECT_EQ(s.Join(13, JoinOf(3)).replies.size(), 3u);
}

TEST(RendezvousClient, RetriesWithGrowingPausesAndThenGivesUp) {
  RendezvousClient client(Who(3), "host:1", kTimeout, kStart);
  milliseconds last{0};
  for (int i = 0; i < 20; ++i) {
    const milliseconds pause = client.OnConnectFailed("Connection refused");
    EXPECT_GE(pause, last);
    EXPECT_LE(pause, milliseconds(1100));
    last = pause;
  }
  std::vector<std::string> progress;
  client.OnTimer(kStart + seconds(10), &progress);
  EXPECT_THAT(progress, ElementsAre("waiting for rank 0 at host:1 (Connection refused)"));
  client.OnTimer(kStart + kTimeout, &progress);
  EXPECT_EQ(client.failure().code(), Code::kDeadlineExceeded);
  EXPECT_THAT(client.failure().message(),
              HasSubstr("rank 3 timed out after 60 s: rank 0 cannot be reached at host:1 "
                        "(Connection refused)"));
}

TEST(RendezvousClient, OnceJoinedLetsRankZeroSpeakFirst) {
  RendezvousClient client(Who(3), "host:1", kTimeout, kStart);
  std::vector<std::string> progress;
  client.OnJoined();
  client.OnTimer(kStart + kTimeout, &progress);
  EXPECT_TRUE(client.failure().ok());
  client.OnReply(FrameType::kRefusal,
                 EncodeRefusal(Error(Code::kDeadlineExceeded) << "rank 1 of 4 never came"));
  EXPECT_EQ(client.failure().code(), Code::kDeadlineExceeded);
  EXPECT_EQ(client.failure().message(), "rank 1 of 4 never came");
  RendezvousClient silent(Who(3), "host:1", kTimeout, kStart);
  silent.OnJoined();
  silent.OnTimer(kStart + kTimeout + seconds(5), &progress);
  EXPECT_THAT(silent.failure().message(), HasSubstr("rank 0 at host:1 did not answer"));
}

TEST(RendezvousClient, TakesOnlyATableOfItsWorld) {
  RendezvousClient client(Who(1, 2), "host:1", kTimeout, kStart);
  client.OnReply(FrameType::kTable, EncodeTable({{"a", 1}, {"b", 2}}));
  ASSERT_TRUE(client.table());
  EXPECT_EQ(client.table()->size(), 2u);
  client.OnLost("end of file");
  EXPECT_TRUE(client.failure().ok());
  RendezvousClient other(Who(1, 3), "host:1", kTimeout, kStart);
  other.OnReply(FrameType::kTable, EncodeTable({{"a", 1}, {"b", 2}}));
  EXPECT_THAT(other.failure().message(), HasSubstr("got 2; expected 3"));
  RendezvousClient lost(Who(1, 3), "host:1", kTimeout, kStart);
  lost.OnLost("end of file");
  EXPECT_EQ(lost.failure().code(), Code::kUnavailable);
}

TEST(RendezvousFrames, SurviveNoise) {
  std::mt19937_64 random(6);
  const std::string join = EncodeJoin(JoinOf(1)), table = EncodeTable({{"a", 1}, {"b", 2}});
  for (int i = 0; i < 20'000; ++i) {
    std::string noisy = random() % 2 ? join : table;
    noisy[random() % noisy.size()] = static_cast<char>(random());
    noisy.resize(random() % (noisy.size() + 1));
    const auto as_join = DecodeJoin(noisy);
    if (as_join.ok()) {
      EXPECT_GT(as_join->endpoint.port, 0);
    }
    const auto as_table = DecodeTable(noisy);
    EXPECT_TRUE(as_table.ok() || as_table.status().code() == Code::kDataLoss);
    EXPECT_FALSE(DecodeRefusal(noisy).ok());
  }
}

TEST(NameRanks, StaysShort) {
  EXPECT_EQ(NameRanks({1, 3}, 4), "ranks 1, 3 of 4");
  EXPECT_EQ(NameRanks({1}, 4), "rank 1 of 4");
  EXPECT_THAT(NameRanks(std::vector<int>(100, 7), 128), HasSubstr("and 84 more of 128"));
}

}  // namespace
}  // namespace ofl::transport
