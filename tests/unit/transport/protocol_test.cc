// The protocol in one thread, once its ends have met (handshake_test.cc).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cstring>
#include <deque>
#include <functional>
#include <random>

#include "tests/unit/transport/protocol_ends.h"

namespace ofl::transport {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

// A conversation of everything there is, its bytes cut as `cut` says; answers both logs.
std::vector<std::string> Converse(uint64_t seed, const std::function<size_t()>& cut) {
  std::mt19937_64 random(seed);
  ConnectionOptions options = Options(0, 1);
  options.checksum_payload = random() % 2;
  Established a(options);
  End b(Options(1, 0));
  {
    End greeter(Options(0, 1));
    Exchange(greeter, b);
  }
  a.OpenSender(2);
  std::vector<std::string> slots(2, std::string(4, 'x'));
  EdgeReceiver edge{.plan_id = 5,
                    .edge_id = 7,
                    .src = 0,
                    .bytes = 4,
                    .credits = 2,
                    .slots = {Into(slots[0]), Into(slots[1])}};
  edge.on_piece = [&](int64_t k, uint32_t) {
    b.log.push_back("piece " + std::to_string(k) + " " + slots[static_cast<size_t>(k % 2)]);
  };
  EXPECT_TRUE(b.connection.OpenEdge(std::move(edge)).ok());
  std::deque<std::string> memory;
  std::string a_to_b, b_to_a;
  int64_t pushed = 0, returned = 0;
  for (uint64_t i = 0; i < 40; ++i) {
    const std::string name = std::to_string(i);
    const Tag tag{.sequence = i};
    std::string& text = memory.emplace_back(random() % 3 == 0 ? 70'000 + i : i, 'a' + i % 26);
    std::string& into = memory.emplace_back(text.size(), 'x');
    const bool first = random() % 2;
    const bool any = random() % 2;
    const auto receive = [&] {
      if (any) {
        b.connection.RecvAny(tag, 1 << 20, b.LogsText("text " + name), Transport::Awaited::kSurely,
                             kStart, &b.effects);
      } else {
        b.connection.Recv(tag, Into(into), b.Logs("recv " + name), kStart, &b.effects);
      }
    };
    if (first) receive();
    a.connection.Send(tag, AsBytes(text), a.Logs("sent " + name), kStart, &a.effects);
    if (pushed < returned + 2) {
      a.connection.Push({5, 7}, pushed++, 0, AsBytes("abcd"), a.Logs("pushed"), kStart, &a.effects);
    }
    // Each phase is carried through, so that only the cutting of the bytes differs.
    const auto carry = [&] {
      while (true) {
        a_to_b = a.Output();
        b_to_a = b.Output();
        if (a_to_b.empty() && b_to_a.empty()) break;
        for (std::string_view rest = a_to_b; !rest.empty();) {
          const size_t size = std::min(rest.size(), cut());
          b.Feed(rest.substr(0, size));
          rest.remove_prefix(size);
        }
        for (std::string_view rest = b_to_a; !rest.empty();) {
          const size_t size = std::min(rest.size(), cut());
          a.Feed(rest.substr(0, size));
          rest.remove_prefix(size);
        }
      }
    };
    carry();
    if (!first) receive();
    if (returned < pushed) b.connection.ReturnCredit({5, 7}, returned++, &b.effects);
    carry();
    b.log.push_back(into);
  }
  a.connection.Shutdown({}, &a.effects);
  b.Feed(a.Output(), cut());
  EXPECT_EQ(b.connection.state(), Connection::State::kLeft);
  std::vector<std::string> logs = a.log;
  logs.insert(logs.end(), b.log.begin(), b.log.end());
  return logs;
}

TEST(Protocol, AnyCuttingOfTheBytesGivesTheSameEvents) {
  rc::check("events do not depend on chunks", [](uint64_t seed, std::vector<uint16_t> cuts) {
    const auto whole = Converse(seed, [] { return SIZE_MAX; });
    size_t at = 0;
    const auto cut = Converse(seed, [&] {
      return cuts.empty() ? size_t{1000} : size_t{1} + cuts[at++ % cuts.size()] % 3000;
    });
    RC_ASSERT(whole == cut);
    RC_ASSERT(whole.size() > 150);
    for (const std::string& event : whole)
      RC_ASSERT(event.find(':') == std::string::npos || event.starts_with("text "));
  });
}

TEST(Protocol, ACorruptStreamIsAnErrorOrNothing) {
  std::mt19937_64 random(5);
  ConnectionOptions options = Options(1, 0);
  options.checksum_payload = true;
  for (int i = 0; i < 3000; ++i) {
    End sender(options), greeter(Options(0, 1));
    Exchange(sender, greeter);
    std::string text(200, 'm');
    for (uint64_t s = 0; s < 3; ++s) {
      sender.connection.Send({.sequence = s}, AsBytes(text), nullptr, kStart, &sender.effects);
    }
    std::string bytes = sender.Output();
    const size_t at = random() % bytes.size();
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
    Established receiver;
    std::vector<std::string> got(3, std::string(200, 'x'));
    int finished = 0;
    for (uint64_t s = 0; s < 3; ++s) {
      receiver.connection.Recv(
          {.sequence = s}, Into(got[s]),
          [&, s](Status status) {
            ++finished;
            EXPECT_TRUE(!status.ok() || got[s] == text);
          },
          kStart, &receiver.effects);
    }
    receiver.Feed(bytes, 1 + random() % 400);
    ASSERT_TRUE(receiver.failed()) << at;
    ASSERT_EQ(finished, 3);
  }
}

TEST(Credits, PiecesArriveInOrderAndOnlyWithCredit) {
  Established end;
  end.OpenReceiver(2);
  end.FeedPiece(0, "aaaa");
  end.FeedPiece(1, "bbbb");
  EXPECT_THAT(end.log, ElementsAre("piece 0", "piece 1"));
  EXPECT_THAT(end.slots, ElementsAre("aaaa", "bbbb"));
  end.connection.ReturnCredit({5, 6}, 0, &end.effects);
  EXPECT_EQ(end.Output().size(), kHeaderBytes);
  end.FeedPiece(2, "cccc");
  EXPECT_THAT(end.slots, ElementsAre("cccc", "bbbb"));
  end.FeedPiece(3, "dddd");
  EXPECT_THAT(end.connection.failure().message(),
              HasSubstr("piece 3 of edge 6 of plan 5 came without credit: its slot still holds "
                        "piece 1 (2 credits)"));
  EXPECT_THAT(end.slots, ElementsAre("cccc", "bbbb"));
  EXPECT_EQ(end.connection.counters().payload_copies, 0);
}

TEST(Credits, BadPiecesFailTheConnectionWithTheirCause) {
  const auto refused = [](const std::function<void(Established&)>& play, const char* why) {
    Established end;
    end.OpenReceiver(2);
    end.OpenSender(1);
    std::string into(3, 'x');
    end.connection.Recv({}, Into(into), end.Logs("pending"), kStart, &end.effects);
    play(end);
    EXPECT_TRUE(end.failed());
    EXPECT_THAT(end.connection.failure().message(), HasSubstr(why));
    EXPECT_THAT(end.log.back(), HasSubstr(why));
    EXPECT_EQ(end.statuses.back().code(), Code::kUnavailable);
    // The peer is told why.
    End peer(Options(1, 0)), greeter(Options(0, 1));
    Exchange(peer, greeter);
    peer.Feed(end.Output());
    EXPECT_THAT(peer.connection.failure().message(), HasSubstr("rank 0 refused a frame of rank 1"));
  };
  const auto piece = [](auto change) {
    return [change](Established& end) {
      FrameHeader header = Header(FrameType::kPiece);
      header.channel = 5;
      header.item = 6;
      change(header);
      end.Feed(Frame(header, "abcd"));
    };
  };
  refused([](Established& end) { end.FeedPiece(0, "aaaa"), end.FeedPiece(0, "aaaa"); },
          "duplicate piece of edge 6 of plan 5: got piece 0; expected 1");
  refused([](Established& end) { end.FeedPiece(1, "aaaa"); }, "unexpected piece");
  refused([](Established& end) { end.FeedPiece(-1, "aaaa"); }, "unexpected piece");
  refused([](Established& end) { end.FeedPiece(0, "aaa"); }, "got 3 bytes; expected 4");
  refused([](Established& end) { end.FeedPiece(0, "aaaaa"); }, "got 5 bytes; expected 4");
  refused(piece([](FrameHeader& h) { h.channel = 4; }), "unknown edge 6 of plan 4");
  refused(piece([](FrameHeader& h) { h.item = 7; }), "unknown edge 7 of plan 5");
  refused(piece([](FrameHeader& h) { h.source = 2; }), "another source: got rank 2; expected 1");
  refused(piece([](FrameHeader& h) { h.destination = 2; }), "another rank: got destination 2");
  refused(piece([](FrameHeader& h) { h.epoch = 2; }), "another job or epoch: got epoch 2");
  refused(piece([](FrameHeader& h) { h.job ^= 1; }), "another job or epoch");
  refused(
      [](Established& end) {
        FrameHeader header = Header(FrameType::kCredit);
        header.channel = 5;
        header.item = 7;
        end.Feed(Frame(header));
      },
      "returned piece 0 of edge 7 of plan 5, which it does not hold");
  refused([](Established& end) { end.Feed(Frame(Header(FrameType::kCredit))); }, "unknown edge");
  refused([](Established& end) { end.Feed(Frame(Header(FrameType::kJoin))); }, "rendezvous");
  refused([](Established& end) { end.Feed(Frame(Header(FrameType::kData), "abc")); },
          "data that was not granted");
  refused(
      [](Established& end) {
        FrameHeader header = Header(FrameType::kMessage);
        header.sequence = 9;
        end.Feed(Frame(header, "abc") + Frame(header, "abc"));
      },
      "a second message has the tag (0, 9, 0)");
}

TEST(Credits, AReturnWithoutPieceIsOurOwnFailure) {
  Established end;
  end.OpenReceiver(1);
  end.connection.ReturnCredit({5, 6}, 0, &end.effects);
  EXPECT_THAT(
      end.connection.failure().message(),
      HasSubstr("rank 0 failed: [credit] piece 0 of edge 6 of plan 5 cannot be given back"));
}

TEST(ClosePlan, LateFramesAreNoOffenceAndTouchNothing) {
  Established end;
  end.OpenReceiver(2);
  FrameHeader header = Header(FrameType::kPiece);
  header.channel = 5;
  header.item = 6;
  const std::string frame = Frame(header, "abcd");
  end.Feed(std::string_view(frame).substr(0, kHeaderBytes + 2));
  end.connection.ClosePlan(5);
  end.Feed(std::string_view(frame).substr(kHeaderBytes + 2));
  EXPECT_EQ(end.slots[0], "abxx");
  header.sequence = 1;
  end.Feed(Frame(header, std::string(200'000, 'z')));
  FrameHeader credit = Header(FrameType::kCredit);
  credit.channel = 5;
  end.Feed(Frame(credit));
  EXPECT_EQ(end.connection.state(), Connection::State::kEstablished);
  EXPECT_TRUE(end.log.empty());
}

TEST(ClosePlan, FinishesAHalfWrittenPieceFromMemoryOfItsOwn) {
  Established end;
  end.OpenSender(2);
  auto piece = std::make_unique<std::string>("abcd");
  end.connection.Push({5, 7}, 0, 0, AsBytes(*piece), end.Logs("pushed"), kStart, &end.effects);
  end.connection.Push({5, 7}, 1, 0, AsBytes(*piece), end.Logs("pushed"), kStart, &end.effects);
  end.connection.OnWritten(kHeaderBytes + 1, &end.effects);
  end.connection.ClosePlan(5);
  piece.reset();
  EXPECT_EQ(end.Output(), "bcd");
  EXPECT_TRUE(end.log.empty());
}

TEST(Messages, ReceivingWhileThePayloadIsOnItsWayStillWorks) {
  Established end;
  const std::string frame = Frame(Header(FrameType::kMessage), "hello");
  end.Feed(std::string_view(frame).substr(0, kHeaderBytes + 2));
  std::string into(5, 'x');
  end.connection.Recv({}, Into(into), end.Logs("recv"), kStart, &end.effects);
  end.Feed(std::string_view(frame).substr(kHeaderBytes + 2));
  EXPECT_THAT(end.log, ElementsAre("recv"));
  EXPECT_EQ(into, "hello");
}

TEST(Messages, BoundsWhatNobodyAskedFor) {
  ConnectionOptions options = Options(0, 1);
  options.max_buffered_bytes = 10'000;
  Established end(options);
  for (uint64_t i = 0; i < 9; ++i) {
    FrameHeader header = Header(FrameType::kMessage);
    header.sequence = i;
    end.Feed(Frame(header, std::string(800, 'm')));
    EXPECT_FALSE(end.failed());
  }
  FrameHeader header = Header(FrameType::kMessage);
  header.sequence = 9;
  end.Feed(Frame(header, std::string(800, 'm')));
  EXPECT_THAT(end.connection.failure().message(), HasSubstr("expected at most 10000"));
}

TEST(Messages, PostingTwiceOrSendingTwiceIsTheCallersMistake) {
  Established end;
  std::string into(5, 'x'), large(kEagerBytes + 1, 'l');
  end.connection.Recv({}, Into(into), end.Logs("first"), kStart, &end.effects);
  end.connection.Recv({}, Into(into), end.Logs("second"), kStart, &end.effects);
  end.connection.Send({}, AsBytes(large), end.Logs("third"), kStart, &end.effects);
  end.connection.Send({}, AsBytes(large), end.Logs("fourth"), kStart, &end.effects);
  end.Settle();
  EXPECT_THAT(end.log,
              ElementsAre(HasSubstr("second: [recv] message (0, 0, 0) from rank 1 is already"),
                          HasSubstr("fourth: [send] message (0, 0, 0) to rank 1 is already")));
}

TEST(Deadlines, EveryWaitEndsWithItsOwnText) {
  Established end;
  std::string into(5, 'x'), large(kEagerBytes + 1, 'l');
  end.connection.Recv({.sequence = 1}, Into(into), end.Logs("recv"), kStart, &end.effects);
  end.connection.Send({.sequence = 2}, AsBytes(large), end.Logs("send"), kStart, &end.effects);
  EXPECT_NE(end.Output(), "");
  end.connection.OnTimer(kStart + seconds(10) - milliseconds(1), &end.effects);
  end.Settle();
  EXPECT_TRUE(end.log.empty());
  end.connection.OnTimer(kStart + seconds(10), &end.effects);
  end.Settle();
  EXPECT_THAT(end.log, ElementsAre("recv: rank 1 did not send message (0, 1, 0) within 10 s",
                                   "send: rank 1 did not receive message (0, 2, 0) within 10 s"));
  EXPECT_EQ(end.connection.state(), Connection::State::kEstablished);
}

TEST(Deadlines, APeerThatTakesNoBytesIsLost) {
  Established end;
  std::string small(5, 's');
  end.connection.Send({}, AsBytes(small), end.Logs("send"), kStart, &end.effects);
  end.connection.OnTimer(kStart + seconds(10), &end.effects);
  end.Settle();
  EXPECT_THAT(end.log, ElementsAre("send: rank 1 has not taken bytes for 10 s"));
}

TEST(Deadlines, MemoryBeingFilledIsGivenBackOnlyWithTheConnection) {
  Established end;
  std::string into(5, 'x');
  end.connection.Recv({}, Into(into), end.Logs("recv"), kStart, &end.effects);
  const std::string frame = Frame(Header(FrameType::kMessage), "hello");
  end.Feed(std::string_view(frame).substr(0, kHeaderBytes + 2));
  end.connection.OnTimer(kStart + seconds(10), &end.effects);
  end.Settle();
  EXPECT_TRUE(end.failed());
  EXPECT_TRUE(end.connection.WantRead().empty());
}

TEST(Goodbye, SaysWhyAndFailsWhatIsPending) {
  Established end;
  End peer(Options(1, 0)), greeter(Options(0, 1));
  Exchange(peer, greeter);
  std::string into(5, 'x');
  end.connection.Recv({}, Into(into), end.Logs("recv"), kStart, &end.effects);
  const Status why = Error(Code::kDataLoss) << "bad\x01 file";
  peer.connection.Shutdown(why.WithNote("at train.py:3"), &peer.effects);
  end.Feed(peer.Output());
  EXPECT_THAT(end.log, ElementsAre("recv: rank 1 failed: bad? file"));
  EXPECT_THAT(end.statuses[0].notes(), ElementsAre("at train.py:3"));
  EXPECT_TRUE(end.connection.failure_counts());
}

TEST(Goodbye, ACleanOneIsAFailureOnlyForWhoStillWaits) {
  const auto leave = [](Established& end) {
    End peer(Options(1, 0)), greeter(Options(0, 1));
    Exchange(peer, greeter);
    peer.connection.Shutdown({}, &peer.effects);
    end.Feed(peer.Output());
    end.connection.OnLost({}, &end.effects);
    end.Settle();
  };
  Established idle;
  leave(idle);
  EXPECT_FALSE(idle.connection.failure_counts());
  Established listening;  // for what the peer may never send
  listening.connection.RecvAny({}, 10, listening.LogsText("text"), Transport::Awaited::kIfSent,
                               kStart, &listening.effects);
  leave(listening);
  EXPECT_FALSE(listening.connection.failure_counts());
  EXPECT_THAT(listening.log, ElementsAre("text: rank 1 has finished and left"));
  Established waiting;
  std::string into(5, 'x');
  waiting.connection.Recv({}, Into(into), waiting.Logs("recv"), kStart, &waiting.effects);
  leave(waiting);
  EXPECT_TRUE(waiting.connection.failure_counts());
  EXPECT_THAT(waiting.log, ElementsAre(HasSubstr("rank 1 has finished and left while operations")));
}

TEST(Goodbye, ASilentEndIsALostPeer) {
  Established end;
  end.connection.OnLost({}, &end.effects);
  EXPECT_EQ(end.connection.failure().message(),
            "rank 1 is lost: it closed the connection without a word (crashed or killed)");
  EXPECT_TRUE(end.connection.failure_counts());
}

}  // namespace
}  // namespace ofl::transport
