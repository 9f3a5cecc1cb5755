// Ranks on threads compare what they have drawn, launch by launch.
#include "oneflow_like/runtime/launch_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "transport/memory/memory.h"

namespace ofl::runtime {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// What a rank has drawn after some launches, of which `odd` is one of its own.
tensor::DrawHistory::Summary Draws(int launches, bool odd) {
  tensor::DrawHistory history;
  for (int i = 0; i < launches; ++i)
    history.Add({3, i}, 1, "Drops", "train.py:" + std::to_string(10 + i));
  if (odd) history.Add({3, launches}, 1, "random_uniform", "train.py:77");
  return history.summary();
}

struct Rank {
  explicit Rank(std::shared_ptr<transport::Transport> wire)
      : wire(wire), check(std::move(wire), 42, "Drops", {"lr", "argument x", "w"}) {}
  Status Launch(int launch, bool odd, const std::function<bool()>& interrupted = nullptr) {
    check.Begin({Draws(launch, odd)}, launch);
    return check.Finish(interrupted);
  }
  std::shared_ptr<transport::Transport> wire;
  LaunchCheck check;
};

// Runs body(rank) of n ranks on threads.
void RunRanks(int n, const std::function<void(int, Rank&)>& body) {
  auto wires = transport::MemoryWorld(n);
  std::vector<std::unique_ptr<Rank>> ranks;
  for (auto& wire : wires)
    ranks.push_back(std::make_unique<Rank>(std::shared_ptr<transport::Transport>(std::move(wire))));
  std::vector<std::thread> threads;
  for (int r = 0; r < n; ++r)
    threads.emplace_back([&, r] { body(r, *ranks[static_cast<size_t>(r)]); });
  for (std::thread& thread : threads) thread.join();
}

TEST(LaunchCheck, TakesAMessageARoundWhileAllDrawAlike) {
  for (int n : {1, 2, 3, 4, 7}) {
    int rounds = 0;
    while (1 << rounds < n) ++rounds;
    RunRanks(n, [&](int, Rank& rank) {
      for (int launch = 1; launch <= 50; ++launch) {
        const Status same = rank.Launch(launch, false);
        ASSERT_TRUE(same.ok()) << same.ToString();
      }
      EXPECT_EQ(rank.check.messages(), 50 * rounds);
    });
  }
}

TEST(LaunchCheck, TellsEveryRankOfTheOneThatDrewOtherwise) {
  for (int n : {2, 3, 5, 8}) {
    for (int odd = 0; odd < n; odd += 2) {
      RunRanks(n, [&](int r, Rank& rank) {
        ASSERT_TRUE(rank.Launch(1, false).ok());
        const Status status = rank.Launch(2, r == odd);
        EXPECT_EQ(status.code(), Code::kFailedPrecondition);
        EXPECT_THAT(status.message(), AllOf(HasSubstr("train.py:77"), HasSubstr("train.py:11"),
                                            HasSubstr("on rank " + std::to_string(odd)),
                                            HasSubstr("noticed by launch 2 of graph Drops")));
      });
    }
  }
}

TEST(LaunchCheck, TellsEveryRankWhatOneComputesOtherwise) {
  for (int n : {2, 3, 5}) {
    for (const char* digests : {"", "0000000100000002000000ff"}) {
      RunRanks(n, [&](int r, Rank& rank) {
        const bool odd = r == n - 1;
        const bool told = *digests != 0;
        rank.check.Begin({{}, 7, told ? "000000010000000200000003" : ""}, 1);
        ASSERT_TRUE(rank.check.Finish(nullptr).ok());
        rank.check.Begin({{}, odd ? 8u : 7u, told && !odd ? "000000010000000200000003" : digests},
                         2);
        const Status status = rank.check.Finish(nullptr);
        EXPECT_EQ(status.code(), Code::kFailedPrecondition);
        EXPECT_THAT(status.message(), AllOf(HasSubstr("one global tensor in different ways"),
                                            HasSubstr("rank " + std::to_string(n - 1)),
                                            HasSubstr(told ? "behind w in launch 2 of graph Drops"
                                                           : "behind launch 2 of graph Drops")));
      });
    }
  }
}

TEST(LaunchCheck, EndsOnAllRanksWhenOneIsInterrupted) {
  RunRanks(4, [&](int r, Rank& rank) {
    if (r == 3) return;  // never comes
    int asked = 0;
    const Status status = rank.Launch(1, false, [&] { return r == 1 && ++asked > 1; });
    EXPECT_THAT(status.message(), HasSubstr("interrupted"));
    if (r == 1) rank.wire->Shutdown(status);  // as the process does that ends; rank 0 awaits rank 3
  });
}

TEST(LaunchCheck, EndsWhenAPeerLeaves) {
  RunRanks(2, [&](int r, Rank& rank) {
    ASSERT_TRUE(rank.Launch(1, false).ok());
    if (r == 1) return rank.wire->Shutdown(Status(Code::kOutOfRange, "[embedding] out of range"));
    const Status status = rank.Launch(2, false);
    EXPECT_THAT(status.message(), HasSubstr("[embedding] out of range"));
  });
}

TEST(LaunchCheck, RefusesWhatIsNoDigest) {
  const tensor::DrawHistory::Summary draws = Draws(3, true);
  const auto read = DrawsFrom(TextOf(draws));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->digest, draws.digest);
  EXPECT_EQ(read->count, draws.count);
  EXPECT_EQ(read->recent, draws.recent);
  for (const char* wrong : {"", "1", "1\n", "1\n2", "x\n2\n", "1\nx\n", "-1\n2\n"})
    EXPECT_EQ(DrawsFrom(wrong).status().code(), Code::kDataLoss) << wrong;
  const auto state = StateFrom(TextOf(LaunchState{draws, 9, "0000000a"}));
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(state->claims, 9u);
  EXPECT_EQ(state->digests, "0000000a");
  EXPECT_EQ(state->draws.digest, draws.digest);
  for (const char* wrong : {"", "1", "1\n", "1\n\n", "x\n\n1\n2\n", "1\n\nx\n2\n", "\n\n1\n2\n"})
    EXPECT_EQ(StateFrom(wrong).status().code(), Code::kDataLoss) << wrong;
}

}  // namespace
}  // namespace ofl::runtime
