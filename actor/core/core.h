// The actors of one rank's Program as one state machine: events in, effects out.
//
//      event  ──►  credits · pieces · stream orders  ──►  effects
//
// An actor fires piece k when its stream has come to (actor, k), every input register holds its
// piece, every output register has a free instance and every control edge is satisfied. A launch
// runs one iteration; pieces are numbered through all iterations, piece p lies in instance
// p % instances.
//
// The life of a register instance:
//   1 free      may be written (for a receive register: the peer holds its credit)
//   2 writing   its producer is at work; an accumulation stays here for m firings
//   3 ready     holds a piece until its readers, its pushes and whoever took its memory over let go
//
// No I/O, clock, lock or randomness; no allocation after Create. Threads: one owner at a time.
// Failure: a broken rule of the protocol (a credit too many, a piece out of order) or Fail()
// closes the core; the first cause wins and every later event but kTaskDone is ignored.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "actor/core/faults.h"
#include "actor/core/tables.h"

namespace ofl::actor {

struct Event {
  enum class Kind : uint8_t {
    kLaunch,    // run one iteration
    kTaskDone,  // the task running on stream `index` has finished
    kArrived,   // `piece` of incoming edge `index` lies in its register
    kCredit,    // the receiver of outgoing edge `index` has finished reading `piece`
    kPushDone,  // `piece` of outgoing edge `index` has left; its register may be reused
  };
  Kind kind = Kind::kLaunch;
  int index = 0;      // stream, or index into Program::remote_edges
  int64_t piece = 0;  // over all iterations
};

struct Effect {
  enum class Kind : uint8_t {
    kFire,          // run `task` for micro-batch `piece` on stream `index`, then kTaskDone;
                    // index < 0: a variable or argument of no stream, done when performed
    kPush,          // send `piece` of outgoing edge `index`, then kPushDone
    kReturnCredit,  // tell the sender of incoming edge `index` that `piece` was read
    kFinished,      // the launch has ended; failure() says how. No task runs any more
  };
  Kind kind = Kind::kFire;
  int index = 0;
  int task = 0;
  int64_t piece = 0;
};

template <class Faults>
class BasicCore {
 public:
  // `program` must outlive the core. kInvalidArgument names what cannot be run.
  static Result<std::unique_ptr<BasicCore>> Create(const Program& program);

  // Effects must be performed in this order; the span is valid until the next call.
  std::span<const Effect> Step(const Event& event);
  std::span<const Effect> Fail(Status cause);

  bool running() const { return running_; }
  const Status& failure() const { return failure_; }
  int64_t iteration() const { return iteration_; }  // launches so far, minus one

  // Where firing `piece` of the task finds input i and output i: the instance of their register.
  // Constant while that firing runs, so its worker may ask.
  int InputSlot(int task, int i, int64_t piece) const;
  int OutputSlot(int task, int i, int64_t piece) const;
  // The instance that holds a piece of an edge's register.
  int EdgeSlot(int edge, int64_t piece) const {
    const RegisterTable& reg = t_.registers[t_.edges[edge].reg];
    return static_cast<int>(piece % reg.instances);
  }

  // For people: what each unfinished stream and edge waits for, messages from peers first.
  std::vector<std::string> Waiting() const;
  // kInternal names a broken invariant: instances are free, in flight or ready; no reader of an
  // instance being written; running tasks hold what they read and write; pieces in order; within
  // credits; all free when no launch runs.
  Status CheckInvariants() const;

 private:
  enum class SlotState : uint8_t { kFree, kWriting, kReady };
  struct Slot {
    SlotState state = SlotState::kFree;
    int pending = 0;  // who must let go before it is free
    int64_t piece = -1;
  };
  struct RegisterState {
    int64_t written = 0, ready = 0, freed = 0;  // pieces, over all iterations
  };
  struct TaskState {
    int64_t started = 0, finished = 0;  // firings, over all iterations
  };
  struct EdgeState {
    // Outgoing: pushed, of them gone, of them credited. Incoming: moved = arrived, gone = returned.
    int64_t moved = 0, gone = 0, credited = 0;
  };
  struct StreamState {
    size_t next = 0;
    bool busy = false;
    Firing current;
  };

  BasicCore(const Program& program, Tables tables);

  Slot& At(int reg, int64_t piece) {
    return slots_[t_.registers[reg].first_slot + piece % t_.registers[reg].instances];
  }
  const Slot& At(int reg, int64_t piece) const {
    return slots_[t_.registers[reg].first_slot + piece % t_.registers[reg].instances];
  }
  int64_t PieceRead(const InputUse& use, int64_t k) const;
  int64_t PieceWritten(int task, int reg, int64_t k) const;
  bool LetGo(const OrderedAfter& order, int64_t piece) const;
  bool Satisfied(const Control& control, int64_t k) const;
  bool CanWrite(int task, int reg, int64_t k) const;
  bool CanFire(int task, int64_t k) const;

  void Launch();
  void Pump();
  bool TryFire(int stream);
  void Start(int task, int64_t k);
  void Finish(int task, int64_t k);
  void ReleaseInputs(int task, int64_t k);
  void Acquire(int reg, int64_t piece);
  void MakeReady(int reg, int64_t piece);
  void Release(int reg, int64_t piece);
  void FreeInOrder(int reg);
  void Free(int reg, int64_t piece);
  void PushWhatIsReady(int edge);
  void Arrived(int edge, int64_t piece);
  void Credited(int edge, int64_t piece);
  void PushDone(int edge, int64_t piece);
  void Broken(const std::string& what, int edge, int64_t piece);
  void EndIfOver();
  bool AllPushed() const;
  std::string WhyNot(int task, int64_t k) const;
  std::string WaitsForRegister(int reg, int64_t piece) const;
  Status CheckRegister(int reg) const;
  Status CheckEdge(int edge) const;
  Status CheckStream(int stream) const;

  const Program& program_;
  const Tables t_;
  std::vector<Slot> slots_;
  std::vector<RegisterState> registers_;
  std::vector<TaskState> tasks_;
  std::vector<EdgeState> edges_;
  std::vector<StreamState> streams_;
  std::vector<Effect> effects_;
  Status failure_;
  int64_t iteration_ = -1;
  int64_t firings_left_ = 0;  // of this iteration
  int busy_streams_ = 0;
  bool running_ = false;
};

using Core = BasicCore<NoFaults>;
extern template class BasicCore<NoFaults>;

}  // namespace ofl::actor
