// The definitions of BasicCore, for core.cc and for tests that compile it with faults.
#pragma once

#include <sstream>
#include <utility>

#include "actor/core/core.h"
#include "actor/core/core_report.h"
#include "oneflow_like/base/check.h"

namespace ofl::actor {

template <class F>
Result<std::unique_ptr<BasicCore<F>>> BasicCore<F>::Create(const Program& program) {
  OFL_ASSIGN(Tables tables, Tables::Make(program));
  return std::unique_ptr<BasicCore>(new BasicCore(program, std::move(tables)));
}

template <class F>
BasicCore<F>::BasicCore(const Program& program, Tables tables)
    : program_(program), t_(std::move(tables)) {
  slots_.resize(t_.slots);
  registers_.resize(t_.registers.size());
  tasks_.resize(t_.tasks.size());
  edges_.resize(t_.edges.size());
  streams_.resize(t_.streams.size());
  size_t most = t_.streams.size() + 1;
  for (const StreamTable& stream : t_.streams)
    if (stream.inline_task) most += stream.order.size();
  for (const EdgeTable& edge : t_.edges) most += 2 * edge.credits;
  effects_.reserve(most + 16);
}

template <class F>
std::span<const Effect> BasicCore<F>::Step(const Event& event) {
  effects_.clear();
  if (event.kind == Event::Kind::kTaskDone) {
    StreamState& stream = streams_[event.index];
    OFL_CHECK(stream.busy) << "stream " << event.index << " runs nothing";
    stream.busy = false;
    --busy_streams_;
    if (failure_.ok()) Finish(stream.current.task, stream.current.piece);
  } else if (failure_.ok()) {
    switch (event.kind) {
      case Event::Kind::kLaunch: Launch(); break;
      case Event::Kind::kArrived: Arrived(event.index, event.piece); break;
      case Event::Kind::kCredit: Credited(event.index, event.piece); break;
      case Event::Kind::kPushDone: PushDone(event.index, event.piece); break;
      case Event::Kind::kTaskDone: break;
    }
  }
  if (failure_.ok()) Pump();
  EndIfOver();
  return effects_;
}

template <class F>
std::span<const Effect> BasicCore<F>::Fail(Status cause) {
  effects_.clear();
  if (failure_.ok()) failure_ = std::move(cause);
  EndIfOver();
  return effects_;
}

template <class F>
void BasicCore<F>::Launch() {
  OFL_CHECK(!running_) << "a launch is under way";
  running_ = true;
  ++iteration_;
  firings_left_ = 0;
  for (size_t s = 0; s < streams_.size(); ++s) {
    streams_[s].next = 0;
    firings_left_ += static_cast<int64_t>(t_.streams[s].order.size());
  }
}

// What a peer has sent ahead may have been passed on before this launch, so edges are not counted
// together.
template <class F>
bool BasicCore<F>::AllPushed() const {
  for (size_t e = 0; e < edges_.size(); ++e)
    if (t_.edges[e].outgoing &&
        edges_[e].gone < (iteration_ + 1) * t_.registers[t_.edges[e].reg].pieces)
      return false;
  return true;
}

// A failed launch ends when no task runs any more; a good one when every firing and push is over.
template <class F>
void BasicCore<F>::EndIfOver() {
  if (!running_ || busy_streams_ > 0) return;
  if (failure_.ok() && (firings_left_ > 0 || !AllPushed())) return;
  running_ = false;
  effects_.push_back({Effect::Kind::kFinished});
}

template <class F>
void BasicCore<F>::Pump() {
  if (!running_) return;
  // A stream's start can make an inline task ready and the reverse; busy streams end the loop.
  for (bool progress = true; progress && failure_.ok();) {
    progress = false;
    for (int s = 0; s < static_cast<int>(streams_.size()); ++s)
      while (failure_.ok() && TryFire(s)) progress = true;
  }
}

template <class F>
bool BasicCore<F>::TryFire(int s) {
  StreamState& stream = streams_[s];
  const StreamTable& table = t_.streams[s];
  if (stream.busy || stream.next >= table.order.size()) return false;
  Firing firing = table.order[stream.next];
  if (!CanFire(firing.task, firing.piece)) {
    if (!F::Has(Fault::kIgnoreStreamOrder) || stream.next + 1 >= table.order.size()) return false;
    // Overtaking is for good: the entries change places in this launch's reading of the order.
    const Firing other = table.order[stream.next + 1];
    if (other.task == firing.task || !CanFire(other.task, other.piece)) return false;
    auto& order = const_cast<StreamTable&>(table).order;
    std::swap(order[stream.next], order[stream.next + 1]);
    firing = other;
  }
  ++stream.next;
  Start(firing.task, firing.piece);
  effects_.push_back({Effect::Kind::kFire, table.inline_task ? -1 : s, firing.task, firing.piece});
  if (table.inline_task) {
    Finish(firing.task, firing.piece);
  } else {
    stream.busy = true;
    stream.current = firing;
    ++busy_streams_;
  }
  return true;
}

// --- when a task may fire -----------------------------------------------------------------------

template <class F>
int64_t BasicCore<F>::PieceRead(const InputUse& use, int64_t k) const {
  const int64_t pieces = t_.registers[use.reg].pieces;
  switch (use.rate) {
    case Rate::kEach: return iteration_ * pieces + k;
    case Rate::kHeld: return iteration_;
    case Rate::kLast: return iteration_ * pieces + pieces - 1;
  }
  return 0;
}

template <class F>
int64_t BasicCore<F>::PieceWritten(int task, int reg, int64_t k) const {
  return t_.tasks[task].kind == TaskKind::kAccumulate ? iteration_
                                                      : iteration_ * t_.registers[reg].pieces + k;
}

template <class F>
bool BasicCore<F>::LetGo(const OrderedAfter& order, int64_t piece) const {
  const int64_t needed =
      order.rate == Rate::kHeld ? (piece + 1) * t_.tasks[order.other].firings : piece + 1;
  return tasks_[order.other].finished >= needed;
}

template <class F>
bool BasicCore<F>::Satisfied(const Control& control, int64_t k) const {
  const int64_t firings = t_.tasks[control.before].firings;
  const int64_t finished = tasks_[control.before].finished - iteration_ * firings;
  return finished >= (control.rate == Rate::kEach ? k + 1 - control.tokens : firings);
}

template <class F>
bool BasicCore<F>::CanWrite(int task, int reg, int64_t k) const {
  if (F::Has(Fault::kIgnoreFreeInstance)) return true;
  const int64_t piece = PieceWritten(task, reg, k);
  const Slot& slot = At(reg, piece);
  if (t_.tasks[task].kind == TaskKind::kAccumulate && k > 0)
    return slot.state == SlotState::kWriting && slot.piece == piece;
  if (slot.state != SlotState::kFree) return false;
  const int base = t_.registers[reg].alias_of;
  if (base < 0 || F::Has(Fault::kInPlaceIgnoresReaders)) return true;
  return At(base, piece).pending == 1;  // the writer itself is the last reader
}

template <class F>
bool BasicCore<F>::CanFire(int task, int64_t k) const {
  const TaskTable& table = t_.tasks[task];
  for (int i = table.inputs.begin; i < table.inputs.end; ++i)
    if (registers_[t_.inputs[i].reg].ready <= PieceRead(t_.inputs[i], k)) return false;
  for (int i = table.outputs.begin; i < table.outputs.end; ++i)
    if (!CanWrite(task, t_.outputs[i], k)) return false;
  for (int i = table.ordered.begin; i < table.ordered.end; ++i) {
    if (F::Has(Fault::kMutateTooEarly)) break;
    const OrderedAfter& order = t_.ordered[i];
    const int64_t pieces = t_.registers[order.reg].pieces;
    if (!LetGo(order, iteration_ * pieces + (pieces > 1 ? k : 0))) return false;
  }
  for (int i = table.controls.begin; i < table.controls.end; ++i)
    if (!F::Has(Fault::kIgnoreControl) && !Satisfied(t_.controls[i], k)) return false;
  return true;
}

// --- firing -------------------------------------------------------------------------------------

template <class F>
void BasicCore<F>::Start(int task, int64_t k) {
  ++tasks_[task].started;
  const TaskTable& table = t_.tasks[task];
  for (int i = table.outputs.begin; i < table.outputs.end; ++i)
    if (table.kind != TaskKind::kAccumulate || k == 0)
      Acquire(t_.outputs[i], PieceWritten(task, t_.outputs[i], k));
  if (F::Has(Fault::kEarlyFree)) ReleaseInputs(task, k);
}

template <class F>
void BasicCore<F>::Finish(int task, int64_t k) {
  ++tasks_[task].finished;
  --firings_left_;
  const TaskTable& table = t_.tasks[task];
  const bool holds_back = table.kind == TaskKind::kAccumulate && k + 1 < table.firings &&
                          !F::Has(Fault::kAccumulateTooEarly);
  for (int i = table.outputs.begin; i < table.outputs.end && !holds_back; ++i) {
    const int64_t piece = PieceWritten(task, t_.outputs[i], k);
    if (registers_[t_.outputs[i]].ready <= piece) MakeReady(t_.outputs[i], piece);
  }
  if (!F::Has(Fault::kEarlyFree)) ReleaseInputs(task, k);
}

template <class F>
void BasicCore<F>::ReleaseInputs(int task, int64_t k) {
  const TaskTable& table = t_.tasks[task];
  for (int i = table.inputs.begin; i < table.inputs.end; ++i) {
    const InputUse& use = t_.inputs[i];
    if (!use.counted) continue;
    const int64_t last = F::Has(Fault::kHeldFreedEarly) ? 0 : table.firings - 1;
    if (use.rate == Rate::kHeld && k != last) continue;
    Release(use.reg, PieceRead(use, k));
  }
}

template <class F>
void BasicCore<F>::Acquire(int reg, int64_t piece) {
  Slot& slot = At(reg, piece);
  slot = {SlotState::kWriting, 0, piece};
  ++registers_[reg].written;
  const int base = t_.registers[reg].alias_of;
  if (base >= 0 && !F::Has(Fault::kInPlaceFreedEarly)) ++At(base, piece).pending;
}

template <class F>
void BasicCore<F>::MakeReady(int reg, int64_t piece) {
  const RegisterTable& table = t_.registers[reg];
  Slot& slot = At(reg, piece);
  slot.state = SlotState::kReady;
  slot.pending = table.readers;
  if ((piece + 1) % table.pieces == 0) slot.pending += table.last_readers;
  if (F::Has(Fault::kPushNotHeld)) slot.pending -= table.pushes.end - table.pushes.begin;
  ++registers_[reg].ready;
  for (int i = table.pushes.begin; i < table.pushes.end; ++i) PushWhatIsReady(t_.pushes[i]);
  FreeInOrder(reg);
}

template <class F>
void BasicCore<F>::Release(int reg, int64_t piece) {
  if (--At(reg, piece).pending == 0) FreeInOrder(reg);
}

// Credits go back in the order of pieces, also when a later piece of the next iteration has no
// reader and this iteration's last piece still has one.
template <class F>
void BasicCore<F>::FreeInOrder(int reg) {
  for (;;) {
    const int64_t piece = registers_[reg].freed;
    const Slot& slot = At(reg, piece);
    if (slot.state != SlotState::kReady || slot.piece != piece || slot.pending > 0) return;
    Free(reg, piece);
  }
}

template <class F>
void BasicCore<F>::Free(int reg, int64_t piece) {
  const RegisterTable& table = t_.registers[reg];
  At(reg, piece).state = SlotState::kFree;
  ++registers_[reg].freed;
  if (table.alias_of >= 0 && !F::Has(Fault::kInPlaceFreedEarly)) Release(table.alias_of, piece);
  if (table.incoming < 0) return;
  ++edges_[table.incoming].gone;
  if (F::Has(Fault::kLostCredit) && piece % 3 == 1) return;
  effects_.push_back({Effect::Kind::kReturnCredit, table.incoming, table.producer, piece});
  if (F::Has(Fault::kDoubleCredit)) effects_.push_back(effects_.back());
}

// --- the wire -----------------------------------------------------------------------------------

template <class F>
void BasicCore<F>::PushWhatIsReady(int e) {
  EdgeState& edge = edges_[e];
  const EdgeTable& table = t_.edges[e];
  while (edge.moved < registers_[table.reg].ready &&
         (edge.moved - edge.credited < table.credits || F::Has(Fault::kPushWithoutCredit))) {
    const int task = t_.registers[table.reg].producer;
    effects_.push_back({Effect::Kind::kPush, e, task, edge.moved++});
  }
}

template <class F>
void BasicCore<F>::Arrived(int e, int64_t piece) {
  const EdgeTable& table = t_.edges[e];
  if (table.outgoing) return Broken("a piece arrived on an outgoing edge", e, piece);
  if (piece != edges_[e].moved) return Broken("a piece arrived out of order", e, piece);
  if (At(table.reg, piece).state != SlotState::kFree)
    return Broken("a piece arrived for which no credit was lent", e, piece);
  ++edges_[e].moved;
  const int task = t_.registers[table.reg].producer;
  ++tasks_[task].started;
  ++tasks_[task].finished;
  Acquire(table.reg, piece);
  MakeReady(table.reg, piece);
}

template <class F>
void BasicCore<F>::Credited(int e, int64_t piece) {
  EdgeState& edge = edges_[e];
  if (!t_.edges[e].outgoing || piece != edge.credited || piece >= edge.moved)
    return Broken("a credit came back that was not lent", e, piece);
  ++edge.credited;
  PushWhatIsReady(e);
}

template <class F>
void BasicCore<F>::PushDone(int e, int64_t piece) {
  EdgeState& edge = edges_[e];
  if (!t_.edges[e].outgoing || piece != edge.gone || piece >= edge.moved)
    return Broken("a push ended that was not under way", e, piece);
  ++edge.gone;
  if (!F::Has(Fault::kPushNotHeld)) Release(t_.edges[e].reg, piece);
}

template <class F>
void BasicCore<F>::Broken(const std::string& what, int e, int64_t piece) {
  const RemoteEdge& edge = program_.remote_edges[e];
  failure_ = Error(Code::kDataLoss)
             << "[actor] " << what << ": got piece " << piece << " of edge " << edge.edge_id
             << " between rank " << program_.rank << " and rank " << edge.peer
             << "; expected piece " << (edge.outgoing ? edges_[e].credited : edges_[e].moved)
             << " within " << edge.credits << " credits";
}

template <class F>
int BasicCore<F>::InputSlot(int task, int i, int64_t k) const {
  const InputUse& use = t_.inputs[t_.tasks[task].inputs.begin + i];
  const int64_t piece = PieceRead(use, k) + (F::Has(Fault::kWrongPiece) ? 1 : 0);
  return static_cast<int>(piece % t_.registers[use.reg].instances);
}

template <class F>
int BasicCore<F>::OutputSlot(int task, int i, int64_t k) const {
  const int reg = t_.outputs[t_.tasks[task].outputs.begin + i];
  return static_cast<int>(PieceWritten(task, reg, k) % t_.registers[reg].instances);
}

}  // namespace ofl::actor
