// Ranks that start plans, and a rank that asks who does.

#include "oneflow_like/runtime/plan_starts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "transport/memory/memory.h"

namespace ofl::runtime {
namespace {

using ::testing::ElementsAre;

// Two ranks of one process.
struct Two {
  explicit Two(std::chrono::milliseconds timeout = std::chrono::seconds(60)) {
    transport::MemoryOptions options;
    options.operation_timeout = timeout;
    for (auto& transport : transport::MemoryWorld(2, options)) {
      transports.push_back(std::move(transport));
      starts.push_back(PlanStarts::Of(transports.back()));
    }
  }

  void ExchangeBoth(const std::string& a, const std::string& b) {
    std::thread other([&] { EXPECT_TRUE(starts[1]->Exchange(b, nullptr).ok()); });
    auto hashes = starts[0]->Exchange(a, nullptr);
    other.join();
    ASSERT_TRUE(hashes.ok()) << hashes.status().ToString();
    EXPECT_THAT(*hashes, ElementsAre(a, b));
  }

  std::vector<std::shared_ptr<transport::Transport>> transports;
  std::vector<std::shared_ptr<PlanStarts>> starts;
};

TEST(PlanStarts, EveryRankHearsAllHashesOfEachPlan) {
  Two world;
  world.ExchangeBoth("a", "a");
  world.ExchangeBoth("b", "c");
}

TEST(PlanStarts, WhoAsksHearsAPeerThatStartsAndMayStartItselfAfterwards) {
  Two world;
  world.ExchangeBoth("a", "a");
  std::promise<int> heard;
  world.starts[0]->Ask([&](int peer) { heard.set_value(peer); });
  std::thread other([&] { EXPECT_TRUE(world.starts[1]->Exchange("b", nullptr).ok()); });
  EXPECT_EQ(heard.get_future().get(), 1);
  std::promise<int> again;  // who asks once more hears it too
  world.starts[0]->Ask([&](int peer) { again.set_value(peer); });
  EXPECT_EQ(again.get_future().get(), 1);
  EXPECT_TRUE(world.starts[0]->Exchange("b", nullptr).ok());
  other.join();
  world.ExchangeBoth("c", "c");
}

// The transport gives up on what was asked too long ago; the next plan starts all the same.
TEST(PlanStarts, AnOldQuestionDoesNotFailALaterStart) {
  Two world(std::chrono::milliseconds(300));
  world.starts[0]->Ask([](int) { ADD_FAILURE() << "nobody starts a plan"; });
  // A message that nobody sends ends with the same deadline, so the question has ended before.
  std::promise<void> over;
  world.transports[0]->RecvAny(1, {.channel = 1}, 8, [&](const auto&) { over.set_value(); });
  over.get_future().wait();
  world.ExchangeBoth("a", "a");
}

TEST(PlanStarts, APeerThatStartsNothingEndsTheWaitWithTheTransportsDeadline) {
  Two world(std::chrono::milliseconds(300));
  const auto hashes = world.starts[0]->Exchange("a", nullptr);
  EXPECT_EQ(hashes.status().code(), Code::kDeadlineExceeded) << hashes.status().ToString();
  EXPECT_TRUE(world.starts[1]->Exchange("a", nullptr).ok());  // what it waits for has come
}

// As a rank does whose last launch ends a little earlier than this one's.
TEST(PlanStarts, APeerThatLeavesWithoutStartingIsNoFailureForWhoOnlyAsked) {
  Two world;
  world.transports[0]->SetFailureHandler(
      [](const Status& why) { ADD_FAILURE() << why.ToString(); });
  world.starts[0]->Ask([](int) { ADD_FAILURE() << "nobody starts a plan"; });
  world.transports[1]->Shutdown(Status::Ok());
  const auto hashes = world.starts[0]->Exchange("a", nullptr);  // hears of it when it starts one
  EXPECT_EQ(hashes.status().code(), Code::kUnavailable) << hashes.status().ToString();
}

}  // namespace
}  // namespace ofl::runtime
