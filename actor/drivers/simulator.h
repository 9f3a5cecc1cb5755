// Many ranks' cores in one thread on virtual time: the wire delays messages, tasks take their
// declared time, and a seed decides whatever the programs leave open.
//
// Used to test the core (also compiled with faults) and to predict what a plan will do. Each edge
// delivers in order; edges overtake one another freely. A rank starts its next launch as soon as
// it has finished one, however far the others are.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <queue>
#include <random>
#include <span>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "actor/core/core.h"

namespace ofl::actor {

// What a test or tool sees of a run. The payload of a push is read when it leaves and written when
// it arrives. Edges are indices into the rank's Program::remote_edges.
class SimulationObserver {
 public:
  virtual ~SimulationObserver() = default;
  virtual void OnStart(int rank, int stream, int task, int64_t piece) {}
  virtual void OnFinish(int rank, int stream, int task, int64_t piece) {}
  virtual void OnLeave(int rank, int edge, int64_t piece) {}
  virtual void OnArrive(int rank, int edge, int64_t piece) {}
};

struct SimulationOptions {
  uint64_t seed = 1;
  int launches = 1;
  // Of one firing; null: random in [1, 16].
  std::function<int64_t(int rank, const TaskDesc& task)> duration;
  int64_t min_delay = 0;  // of a message or credit
  int64_t max_delay = 16;
  bool check_invariants = true;  // after every event
  SimulationObserver* observer = nullptr;
};

struct SimulationResult {
  Status status;  // kFailedPrecondition: stuck, with what every rank waits for as notes
  bool stuck = false;
  int64_t makespan = 0;
  int64_t events = 0;
};

template <class CoreType>
class Simulator {
 public:
  // The programs of all ranks, by rank; they must outlive the simulator.
  static Result<std::unique_ptr<Simulator>> Create(const std::vector<Program>& programs,
                                                   SimulationOptions options) {
    std::unique_ptr<Simulator> s(new Simulator(programs, std::move(options)));
    for (const Program& program : programs) {
      OFL_ASSIGN(auto core, CoreType::Create(program));
      s->ranks_.push_back({std::move(core), 0, {}});
      s->ranks_.back().edges.resize(program.remote_edges.size());
    }
    OFL_TRY(s->ConnectEdges());
    return s;
  }

  SimulationResult Run() {
    for (size_t r = 0; r < ranks_.size(); ++r) At(0, {static_cast<int>(r), Event{}});
    while (!queue_.empty() && result_.status.ok()) {
      const Entry entry = queue_.top();
      queue_.pop();
      now_ = entry.time;
      ++result_.events;
      Deliver(entry.happening);
    }
    result_.makespan = now_;
    if (result_.status.ok()) CheckEnd();
    return result_;
  }
  const CoreType& core(int rank) const { return *ranks_[rank].core; }

 private:
  struct Happening {
    int rank = 0;
    Event event;
    Firing firing;  // of kTaskDone
  };
  struct Entry {
    int64_t time;
    uint64_t tie;  // seeded: equal times come in any order
    uint64_t number;
    Happening happening;
    bool operator>(const Entry& o) const {
      return std::tie(time, tie, number) > std::tie(o.time, o.tie, o.number);
    }
  };
  struct End {
    int rank = -1;
    int edge = -1;
    int64_t last_leave = 0, last_delivery = 0;  // edges do not overtake themselves
  };
  struct Rank {
    std::unique_ptr<CoreType> core;
    int launched = 0;
    std::vector<End> edges;  // the other end of each
  };

  Simulator(const std::vector<Program>& programs, SimulationOptions options)
      : programs_(programs), options_(std::move(options)), random_(options_.seed) {}

  Status ConnectEdges() {
    std::unordered_map<int64_t, std::vector<End>> ends;
    for (size_t r = 0; r < programs_.size(); ++r)
      for (size_t e = 0; e < programs_[r].remote_edges.size(); ++e)
        ends[programs_[r].remote_edges[e].edge_id].push_back(
            {static_cast<int>(r), static_cast<int>(e)});
    for (const auto& [id, pair] : ends) {
      OFL_ENSURE(pair.size() == 2, Code::kInvalidArgument)
          << "[simulate] edge " << id << " has " << pair.size() << " ends; expected 2";
      ranks_[pair[0].rank].edges[pair[0].edge] = pair[1];
      ranks_[pair[1].rank].edges[pair[1].edge] = pair[0];
    }
    return Status::Ok();
  }

  void At(int64_t time, Happening happening) {
    queue_.push({time, random_(), number_++, happening});
  }
  int64_t Delay() {
    const int64_t spread = options_.max_delay - options_.min_delay + 1;
    return options_.min_delay + static_cast<int64_t>(random_() % spread);
  }
  int64_t Duration(int rank, int task) {
    if (options_.duration) return options_.duration(rank, programs_[rank].tasks[task]);
    return 1 + static_cast<int64_t>(random_() % 16);
  }

  void Deliver(const Happening& h) {
    Rank& rank = ranks_[h.rank];
    SimulationObserver* observer = options_.observer;
    switch (h.event.kind) {
      case Event::Kind::kLaunch: ++rank.launched; break;
      case Event::Kind::kTaskDone:
        if (observer) observer->OnFinish(h.rank, h.event.index, h.firing.task, h.firing.piece);
        break;
      case Event::Kind::kPushDone:
        if (observer) observer->OnLeave(h.rank, h.event.index, h.event.piece);
        SendOn(rank.edges[h.event.index], Event::Kind::kArrived, h.event.piece);
        break;
      case Event::Kind::kArrived:
        if (observer) observer->OnArrive(h.rank, h.event.index, h.event.piece);
        break;
      case Event::Kind::kCredit: break;
    }
    for (const Effect& effect : rank.core->Step(h.event)) Perform(h.rank, effect);
    if (!rank.core->failure().ok()) result_.status = rank.core->failure();
    if (result_.status.ok() && options_.check_invariants)
      result_.status = rank.core->CheckInvariants();
  }

  // Tells the other end of an edge, in order and after a delay.
  void SendOn(End& other, Event::Kind kind, int64_t piece) {
    other.last_delivery = std::max(other.last_delivery, now_ + Delay());
    At(other.last_delivery, {other.rank, {kind, other.edge, piece}, {}});
    // Equal times are shuffled, so the next message of this edge must come later.
    ++other.last_delivery;
  }

  void Perform(int r, const Effect& effect) {
    Rank& rank = ranks_[r];
    switch (effect.kind) {
      case Effect::Kind::kFire: {
        const Firing firing{effect.task, static_cast<int>(effect.piece)};
        if (options_.observer)
          options_.observer->OnStart(r, effect.index, effect.task, effect.piece);
        if (effect.index < 0) {
          if (options_.observer)
            options_.observer->OnFinish(r, effect.index, effect.task, effect.piece);
          return;
        }
        At(now_ + Duration(r, effect.task), {r, {Event::Kind::kTaskDone, effect.index, 0}, firing});
        return;
      }
      case Effect::Kind::kPush: {
        End& other = rank.edges[effect.index];
        other.last_leave = std::max(other.last_leave, now_ + Delay());
        At(other.last_leave++, {r, {Event::Kind::kPushDone, effect.index, effect.piece}, {}});
        return;
      }
      case Effect::Kind::kReturnCredit:
        SendOn(rank.edges[effect.index], Event::Kind::kCredit, effect.piece);
        return;
      case Effect::Kind::kFinished:
        if (rank.core->failure().ok() && rank.launched < options_.launches)
          At(now_, {r, Event{}, {}});
        return;
    }
  }

  void CheckEnd() {
    std::vector<std::string> waiting;
    for (Rank& rank : ranks_) {
      if (rank.core->running()) result_.stuck = true;
      for (std::string& line : rank.core->Waiting()) waiting.push_back(std::move(line));
    }
    if (!result_.stuck) return;
    result_.status = Error(Code::kFailedPrecondition) << "[simulate] nothing can go on";
    for (std::string& line : waiting) result_.status = result_.status.WithNote(std::move(line));
  }

  const std::vector<Program>& programs_;
  const SimulationOptions options_;
  std::mt19937_64 random_;
  std::vector<Rank> ranks_;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue_;
  uint64_t number_ = 0;
  int64_t now_ = 0;
  SimulationResult result_;
};

}  // namespace ofl::actor
