// The contract of transport.h, run over every wire.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/unit/transport/worlds.h"
#include "transport/exchange.h"
#include "transport/frame.h"
#include "transport/memory/memory.h"

namespace ofl::transport {
namespace {

using testing::HasSubstr;

class Contract : public testing::TestWithParam<WorldFactory> {
 protected:
  World Make(int n, WorldOptions options = {}) { return GetParam().make(n, options); }
};

std::string Pattern(size_t bytes, int salt) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>(i * 31 + i / 251 + salt);
  return text;
}
MutableBytes Into(std::string& text) {
  return {reinterpret_cast<std::byte*>(text.data()), text.size()};
}

TEST_P(Contract, CarriesMessagesOfAllSizesBothWaysWithoutCopies) {
  World world = Make(2);
  uint64_t sequence = 0;
  for (size_t bytes :
       {size_t{0}, size_t{1}, size_t{100}, kEagerBytes, kEagerBytes + 1, size_t{9'000'001}}) {
    std::string to1 = Pattern(bytes, 1), to0 = Pattern(bytes, 2);
    std::string at1(bytes, 'x'), at0(bytes, 'x');
    const Tag tag{.channel = 7, .sequence = sequence++};
    Ops ops(4);
    world[0]->Recv(1, tag, Into(at0), ops.Next());
    world[1]->Recv(0, tag, Into(at1), ops.Next());
    // Both receives are posted once a barrier has passed: nothing may be buffered.
    RunAll(world, [&](Transport& t) { return Barrier(t, {.channel = 8, .sequence = sequence}); });
    world[0]->Send(1, tag, AsBytes(to1), ops.Next());
    world[1]->Send(0, tag, AsBytes(to0), ops.Next());
    ASSERT_EQ(ops.Wait().ToString(), "OK");
    EXPECT_TRUE(at1 == to1) << bytes;
    EXPECT_TRUE(at0 == to0) << bytes;
  }
  EXPECT_EQ(world[0]->counters().payload_copies, 0);
  EXPECT_EQ(world[1]->counters().payload_copies, 0);
}

TEST_P(Contract, KeepsSmallMessagesThatComeBeforeTheirReceiveAndCountsTheCopies) {
  World world = Make(2);
  std::string text = Pattern(1000, 3);
  Ops sent(3);
  for (uint64_t i = 0; i < 3; ++i) world[0]->Send(1, {.sequence = i}, AsBytes(text), sent.Next());
  ASSERT_TRUE(sent.Wait().ok());
  RunAll(world, [](Transport& t) { return Barrier(t, {.channel = 1}); });
  std::string got(3000, 'x');
  Ops received(3);
  for (uint64_t i = 3; i-- > 0;) {
    world[1]->Recv(0, {.sequence = i}, Into(got).subspan(i * 1000, 1000), received.Next());
  }
  ASSERT_TRUE(received.Wait().ok());
  EXPECT_EQ(got, text + text + text);
  EXPECT_EQ(world[1]->counters().payload_copies, 3);
}

TEST_P(Contract, LargeMessagesBeforeTheirReceiveAreNotBuffered) {
  World world = Make(2, {.max_buffered_bytes = 1 << 20});
  std::string text = Pattern(4 << 20, 3), got(4 << 20, 'x');
  Ops ops(2);
  world[0]->Send(1, {}, AsBytes(text), ops.Next());
  RunAll(world, [](Transport& t) { return Barrier(t, {.channel = 1}); });
  world[1]->Recv(0, {}, Into(got), ops.Next());
  ASSERT_TRUE(ops.Wait().ok());
  EXPECT_TRUE(got == text);
  EXPECT_EQ(world[1]->counters().payload_copies, 0);
}

TEST_P(Contract, ReceivesTextOfUnknownSizeUpToItsBound) {
  World world = Make(2);
  const std::string small = "hello", large = Pattern(200'000, 1);
  Ops sent(2);
  TextOps texts;
  world[1]->RecvAny(0, {.sequence = 1}, 10, texts.Next());
  world[1]->RecvAny(0, {.sequence = 2}, 1 << 20, texts.Next());
  world[0]->Send(1, {.sequence = 1}, AsBytes(small), sent.Next());
  world[0]->Send(1, {.sequence = 2}, AsBytes(large), sent.Next());
  ASSERT_TRUE(sent.Wait().ok());
  EXPECT_EQ(*texts.Wait(0), small);
  EXPECT_TRUE(*texts.Wait(1) == large);
  TextOps refused;
  Ops refused_send(1);
  world[1]->RecvAny(0, {.sequence = 3}, 100'000, refused.Next());
  world[0]->Send(1, {.sequence = 3}, AsBytes(large), refused_send.Next());
  EXPECT_EQ(refused.Wait(0).status().code(), Code::kDataLoss);
  EXPECT_EQ(refused_send.Wait().code(), Code::kDataLoss);
}

TEST_P(Contract, AWrongSizeFailsTheReceiveAndNothingElse) {
  World world = Make(2);
  std::string text = Pattern(10, 1), got(11, 'x');
  Ops recv(1), send(1);
  world[1]->Recv(0, {}, Into(got), recv.Next());
  world[0]->Send(1, {}, AsBytes(text), send.Next());
  const Status status = recv.Wait();
  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("got 10 bytes; expected 11"));
  EXPECT_TRUE(send.Wait().ok());
  RunAll(world, [](Transport& t) { return Barrier(t, {.channel = 1}); });
}

// Two ranks stream pieces through an edge; the receiver returns each credit after checking it.
uint32_t StampOf(int64_t piece) { return 0xFFFFFFF0u - static_cast<uint32_t>(piece); }

TEST_P(Contract, EdgesStreamPiecesStraightIntoTheirSlots) {
  for (bool checksum : {false, true}) {
    World world = Make(2, {.checksum_payload = checksum});
    constexpr int64_t kPieces = 200, kBytes = 70'000;
    constexpr int kCredits = 3;
    std::vector<std::string> slots(kCredits, std::string(kBytes, 'x'));
    std::vector<MutableBytes> views;
    for (std::string& slot : slots) views.push_back(Into(slot));
    Queue arrived, credits;
    ASSERT_TRUE(world[1]
                    ->OpenEdge(EdgeReceiver{.plan_id = 5,
                                            .edge_id = 9,
                                            .src = 0,
                                            .bytes = kBytes,
                                            .credits = kCredits,
                                            .slots = views,
                                            .on_piece =
                                                [&](int64_t k, uint32_t stamp) {
                                                  EXPECT_EQ(stamp, StampOf(k));
                                                  arrived.Put(k);
                                                }})
                    .ok());
    ASSERT_TRUE(world[0]
                    ->OpenEdge(EdgeSender{.plan_id = 5,
                                          .edge_id = 9,
                                          .dst = 1,
                                          .bytes = kBytes,
                                          .credits = kCredits,
                                          .on_credit = [&](int64_t k) { credits.Put(k); }})
                    .ok());
    std::thread sender([&] {
      std::vector<std::string> payloads(kPieces);
      Ops pushed(kPieces);
      for (int64_t k = 0; k < kPieces; ++k) {
        if (k >= kCredits) {
          EXPECT_EQ(credits.Take(), k - kCredits);
        }
        payloads[k] = Pattern(kBytes, static_cast<int>(k));
        world[0]->Push(5, 9, k, StampOf(k), AsBytes(payloads[k]), pushed.Next());
      }
      EXPECT_EQ(pushed.Wait().ToString(), "OK");
    });
    for (int64_t k = 0; k < kPieces; ++k) {
      ASSERT_EQ(arrived.Take(), k);
      ASSERT_TRUE(slots[k % kCredits] == Pattern(kBytes, static_cast<int>(k))) << k;
      world[1]->ReturnCredit(5, 9, k);
    }
    sender.join();
    RunAll(world, [](Transport& t) { return Barrier(t, {.channel = 1}); });
    const Counters sent = world[0]->counters(), received = world[1]->counters();
    EXPECT_EQ(sent.pieces_sent, kPieces);
    EXPECT_EQ(received.pieces_received, kPieces);
    EXPECT_EQ(sent.payload_bytes_sent, kPieces * kBytes);
    EXPECT_EQ(received.payload_bytes_received, kPieces * kBytes);
    EXPECT_EQ(sent.payload_copies + received.payload_copies, 0);
    world[0]->ClosePlan(5);
    world[1]->ClosePlan(5);
  }
}

TEST_P(Contract, APushWithoutCreditIsRefusedAtHome) {
  World world = Make(2);
  std::string slot(8, 'x'), piece(8, 'p');
  ASSERT_TRUE(world[1]
                  ->OpenEdge(EdgeReceiver{
                      .edge_id = 1, .src = 0, .bytes = 8, .credits = 1, .slots = {Into(slot)}})
                  .ok());
  ASSERT_TRUE(world[0]->OpenEdge(EdgeSender{.edge_id = 1, .dst = 1, .bytes = 8}).ok());
  Ops first(1), second(1), unknown(1), short_piece(1);
  world[0]->Push(0, 1, 0, 0, AsBytes(piece), first.Next());
  EXPECT_TRUE(first.Wait().ok());
  world[0]->Push(0, 1, 1, 0, AsBytes(piece), second.Next());
  EXPECT_EQ(second.Wait().code(), Code::kFailedPrecondition);
  world[0]->Push(0, 2, 0, 0, AsBytes(piece), unknown.Next());
  EXPECT_EQ(unknown.Wait().code(), Code::kNotFound);
  world[0]->Push(0, 1, 1, 0, AsBytes(piece).first(7), short_piece.Next());
  EXPECT_EQ(short_piece.Wait().code(), Code::kInvalidArgument);
}

TEST_P(Contract, AnEdgeMustHaveOneSlotOfItsSizeACredit) {
  World world = Make(2);
  std::string slot(8, 'x');
  EdgeReceiver edge{.edge_id = 1, .src = 0, .bytes = 8, .credits = 2, .slots = {Into(slot)}};
  EXPECT_EQ(world[1]->OpenEdge(edge).code(), Code::kInvalidArgument);
  edge.credits = 1;
  edge.bytes = 9;
  EXPECT_EQ(world[1]->OpenEdge(edge).code(), Code::kInvalidArgument);
  edge.bytes = 8;
  EXPECT_TRUE(world[1]->OpenEdge(edge).ok());
  EXPECT_EQ(world[1]->OpenEdge(edge).code(), Code::kInvalidArgument);
  edge.src = 1;
  EXPECT_EQ(world[1]->OpenEdge(edge).code(), Code::kInvalidArgument);
  edge.src = 2;
  EXPECT_EQ(world[1]->OpenEdge(edge).code(), Code::kInvalidArgument);
}

TEST_P(Contract, AfterClosePlanNoMemoryOfItIsTouched) {
  World world = Make(2);
  constexpr int64_t kBytes = 8 << 20;
  auto slot = std::make_unique<std::string>(kBytes, 'x');
  auto piece = std::make_unique<std::string>(kBytes, 'p');
  ASSERT_TRUE(
      world[1]
          ->OpenEdge(EdgeReceiver{.edge_id = 1, .src = 0, .bytes = kBytes, .slots = {Into(*slot)}})
          .ok());
  ASSERT_TRUE(world[0]->OpenEdge(EdgeSender{.edge_id = 1, .dst = 1, .bytes = kBytes}).ok());
  world[0]->Push(0, 1, 0, 0, AsBytes(*piece), nullptr);
  world[0]->ClosePlan(0);
  piece.reset();  // the sanitizers see any later use
  world[1]->ClosePlan(0);
  slot.reset();
  RunAll(world, [](Transport& t) { return Barrier(t, {.channel = 1}); });
}

TEST_P(Contract, AllGathersTextAmongFour) {
  World world = Make(4);
  for (size_t bytes : {size_t{3}, size_t{100'000}}) {
    RunAll(world, [&](Transport& t) -> Status {
      OFL_ASSIGN(auto texts, AllGatherText(t, 1, bytes, Pattern(bytes, t.rank())));
      for (int r = 0; r < 4; ++r) EXPECT_TRUE(texts[r] == Pattern(bytes, r));
      return {};
    });
  }
}

TEST_P(Contract, ACleanShutdownIsNoFailureAndItsLastMessagesArrive) {
  World world = Make(2);
  std::string text = Pattern(30'000, 1), got(30'000, 'x');
  world[1]->Send(0, {.sequence = 1}, AsBytes(text), nullptr);
  world[1]->Shutdown({});
  Ops ops(2);
  world[0]->Recv(1, {.sequence = 1}, Into(got), ops.Next());
  EXPECT_TRUE(ops.WaitOne().ok());
  EXPECT_TRUE(got == text);
  // What never came fails now or when the goodbye is read, and says why.
  world[0]->Recv(1, {.sequence = 2}, Into(got), ops.Next());
  const Status status = ops.Wait();
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("rank 1 has finished and left"));
}

TEST_P(Contract, AShutdownWithAReasonReachesEveryPeerAndItsPendingOperations) {
  World world = Make(3);
  std::string got(10, 'x');
  Ops pending(2), handled(2);
  world[0]->SetFailureHandler(handled.Next());
  world[2]->SetFailureHandler(handled.Next());
  world[0]->Recv(1, {}, Into(got), pending.Next());
  world[2]->RecvAny(1, {}, 10, [done = pending.Next()](auto text) { done(text.status()); });
  world[1]->Shutdown(Error(Code::kInvalidArgument) << "[matmul] shapes differ");
  const Status status = pending.Wait();
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_EQ(status.message(), "rank 1 failed: [matmul] shapes differ");
  EXPECT_EQ(handled.Wait().message(), "rank 1 failed: [matmul] shapes differ");
  Ops late(1);
  world[0]->Send(1, {}, AsBytes(got), late.Next());
  EXPECT_EQ(late.Wait().message(), "rank 1 failed: [matmul] shapes differ");
  // The first cause survives being passed on.
  world[0]->Shutdown(status);
  std::string more(10, 'x');
  Ops second(1);
  world[2]->Recv(0, {}, Into(more), second.Next());
  EXPECT_EQ(second.Wait().message(), "rank 1 failed: [matmul] shapes differ");
}

TEST_P(Contract, AReceiveThatNeverMatchesReachesItsDeadline) {
  World world = Make(2, {.operation_timeout = std::chrono::milliseconds(300)});
  std::string got(10, 'x'), large(1 << 20, 'x');
  Ops recv(1), send(1);
  world[0]->Recv(1, {.channel = 3, .sequence = 4}, Into(got), recv.Next());
  const Status status = recv.Wait();
  EXPECT_EQ(status.code(), Code::kDeadlineExceeded);
  EXPECT_EQ(status.message(), "rank 1 did not send message (3, 4, 0) within 0.3 s");
  world[0]->Send(1, {}, AsBytes(large), send.Next());
  EXPECT_EQ(send.Wait().code(), Code::kDeadlineExceeded);
  RunAll(world, [](Transport& t) { return Barrier(t, {.channel = 1}); });
}

TEST_P(Contract, OperationsOnNobodyFail) {
  World world = Make(2);
  std::string text(10, 'x');
  for (int peer : {-1, 0, 2}) {
    Ops ops(1);
    world[0]->Send(peer, {}, AsBytes(text), ops.Next());
    EXPECT_EQ(ops.Wait().code(), Code::kInvalidArgument);
  }
  world[0]->Shutdown({});
  world[0]->Shutdown({});
  Ops late(1);
  world[0]->Recv(1, {}, Into(text), late.Next());
  EXPECT_EQ(late.Wait().code(), Code::kCancelled);
}

TEST_P(Contract, ManyThreadsUseOneTransport) {
  World world = Make(3);
  constexpr int kThreads = 4, kMessages = 200;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    for (int rank = 0; rank < 3; ++rank) {
      threads.emplace_back([&, thread, rank] {
        const int to = (rank + 1) % 3, from = (rank + 2) % 3;
        for (uint64_t i = 0; i < kMessages; ++i) {
          const size_t bytes = i % 7 == 0 ? 100'000 : i;
          std::string out = Pattern(bytes, rank), in(bytes, 'x');
          Ops ops(2);
          const Tag tag{.channel = static_cast<uint64_t>(thread), .sequence = i};
          world[rank]->Send(to, tag, AsBytes(out), ops.Next());
          world[rank]->Recv(from, tag, Into(in), ops.Next());
          ASSERT_EQ(ops.Wait().ToString(), "OK");
          ASSERT_TRUE(in == Pattern(bytes, from));
        }
      });
    }
  }
  for (std::thread& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(Wires, Contract, testing::Values(MemoryFactory(), TcpFactory()),
                         [](const auto& info) { return info.param.name; });

TEST(MemoryNetwork, ACutWireFailsTheOperationsOnItAndNoOthers) {
  MemoryNetwork network(3);
  World world = network.TakeTransports();
  std::string got(10, 'x'), other(10, 'x');
  Ops cut(1), handled(1), whole(2);
  world[0]->SetFailureHandler(handled.Next());
  world[0]->Recv(1, {}, Into(got), cut.Next());
  network.Cut(0, 1);
  EXPECT_THAT(cut.Wait().message(), HasSubstr("rank 1 is lost"));
  EXPECT_THAT(handled.Wait().message(), HasSubstr("rank 1 is lost"));
  world[0]->Recv(2, {}, Into(other), whole.Next());
  world[2]->Send(0, {}, AsBytes(got), whole.Next());
  EXPECT_EQ(whole.Wait().ToString(), "OK");
}

TEST(SoloTransport, HasNoPeers) {
  auto solo = SoloTransport();
  EXPECT_EQ(solo->world_size(), 1);
  Ops ops(1);
  solo->Send(1, {}, {}, ops.Next());
  EXPECT_EQ(ops.Wait().code(), Code::kInvalidArgument);
  EXPECT_TRUE(Barrier(*solo, {}).ok());
  EXPECT_THAT(*AllGatherText(*solo, 1, 1, "me"), testing::ElementsAre("me"));
}

}  // namespace
}  // namespace ofl::transport
