// What BasicCore tells people and tests about its state; included by core_impl.h.
#pragma once

#include <algorithm>
#include <sstream>

#include "actor/core/core.h"

namespace ofl::actor {

template <class F>
std::string BasicCore<F>::WaitsForRegister(int reg, int64_t piece) const {
  const RegisterTable& table = t_.registers[reg];
  const TaskDesc& producer = program_.tasks[table.producer];
  std::ostringstream out;
  out << "waits for register " << reg << " from " << producer.name;
  if (table.incoming >= 0) out << " on rank " << program_.remote_edges[table.incoming].peer;
  const int64_t base = iteration_ * table.pieces;
  const int64_t got = std::clamp<int64_t>(registers_[reg].ready - base, 0, table.pieces);
  out << ": " << got << " of " << table.pieces << (table.incoming >= 0 ? " received" : " made")
      << ", needs piece " << piece - base;
  return out.str();
}

template <class F>
std::string BasicCore<F>::WhyNot(int task, int64_t k) const {
  const TaskTable& table = t_.tasks[task];
  for (int i = table.inputs.begin; i < table.inputs.end; ++i) {
    const int64_t piece = PieceRead(t_.inputs[i], k);
    if (registers_[t_.inputs[i].reg].ready <= piece)
      return WaitsForRegister(t_.inputs[i].reg, piece);
  }
  std::ostringstream out;
  for (int i = table.controls.begin; i < table.controls.end; ++i)
    if (!Satisfied(t_.controls[i], k)) {
      out << "waits for actor " << t_.controls[i].before << " "
          << program_.tasks[t_.controls[i].before].name << " to finish";
      return out.str();
    }
  for (int i = table.outputs.begin; i < table.outputs.end; ++i) {
    const int reg = t_.outputs[i];
    if (CanWrite(task, reg, k)) continue;
    out << "waits for a free instance of register " << reg << " (" << t_.registers[reg].instances
        << " instances, " << At(reg, PieceWritten(task, reg, k)).pending << " readers left)";
    return out.str();
  }
  return "waits for the readers of what it overwrites";
}

template <class F>
std::vector<std::string> BasicCore<F>::Waiting() const {
  std::vector<std::string> remote, local;
  for (size_t s = 0; s < streams_.size() && running_; ++s) {
    const StreamState& stream = streams_[s];
    if (!stream.busy && stream.next >= t_.streams[s].order.size()) continue;
    const Firing firing = stream.busy ? stream.current : t_.streams[s].order[stream.next];
    std::ostringstream out;
    out << "actor " << firing.task << " " << program_.tasks[firing.task].name << " on rank "
        << program_.rank << " ";
    const std::string why = WhyNot(firing.task, firing.piece);
    out << (stream.busy ? "is running" : why) << " (micro-batch " << firing.piece << ")";
    const bool wire = !stream.busy && why.find("on rank") != std::string::npos;
    (wire ? remote : local).push_back(out.str());
  }
  for (size_t e = 0; e < edges_.size() && running_; ++e) {
    const EdgeState& edge = edges_[e];
    if (!t_.edges[e].outgoing || edge.gone >= registers_[t_.edges[e].reg].ready) continue;
    std::ostringstream out;
    out << "the push of register " << t_.edges[e].reg << " from "
        << program_.tasks[t_.registers[t_.edges[e].reg].producer].name << " to rank "
        << program_.remote_edges[e].peer;
    if (edge.moved > edge.gone) {
      out << " has not left: piece " << edge.gone;
    } else {
      out << " waits for a credit: " << edge.moved - edge.credited << " of " << t_.edges[e].credits
          << " pieces not yet read there";
    }
    remote.push_back(out.str());
  }
  remote.insert(remote.end(), local.begin(), local.end());
  return remote;
}

template <class F>
Status BasicCore<F>::CheckRegister(int reg) const {
  const RegisterTable& table = t_.registers[reg];
  const RegisterState& state = registers_[reg];
  int64_t free = 0, writing = 0, ready = 0;
  bool sound = true;
  for (int i = 0; i < table.instances; ++i) {
    const Slot& slot = slots_[table.first_slot + i];
    free += slot.state == SlotState::kFree;
    writing += slot.state == SlotState::kWriting;
    ready += slot.state == SlotState::kReady;
    // Only a piece behind another that is still held may wait without holders.
    const bool held = slot.state == SlotState::kReady;
    sound &= slot.pending >= 0 && (held || slot.pending == 0);
    sound &= !held || slot.pending > 0 || slot.piece > state.freed;
    if (slot.state == SlotState::kFree) continue;
    // Its place, and in order: written but not yet freed.
    sound &= slot.piece % table.instances == i && slot.piece >= state.freed &&
             slot.piece < state.written;
  }
  sound &= free + writing + ready == table.instances;
  sound &= writing == state.written - state.ready && ready == state.ready - state.freed;
  if (sound) return Status::Ok();
  return Error(Code::kInternal) << "register " << reg << " of rank " << program_.rank << ": "
                                << free << " free, " << writing << " writing, " << ready
                                << " ready of " << table.instances << "; written " << state.written
                                << ", ready " << state.ready << ", freed " << state.freed;
}

template <class F>
Status BasicCore<F>::CheckEdge(int e) const {
  const EdgeState& edge = edges_[e];
  const EdgeTable& table = t_.edges[e];
  const bool sound = table.outgoing
                         ? edge.gone <= edge.moved && edge.credited <= edge.moved &&
                               edge.moved - edge.credited <= table.credits &&
                               edge.moved <= registers_[table.reg].ready
                         : edge.gone <= edge.moved && edge.moved - edge.gone <= table.credits;
  if (sound) return Status::Ok();
  return Error(Code::kInternal) << "edge " << program_.remote_edges[e].edge_id << " of rank "
                                << program_.rank << ": " << edge.moved << " moved, " << edge.gone
                                << " gone, " << edge.credited << " credited of " << table.credits
                                << " credits";
}

template <class F>
Status BasicCore<F>::CheckStream(int s) const {
  const StreamState& stream = streams_[s];
  if (!stream.busy || !failure_.ok()) return Status::Ok();
  const TaskTable& task = t_.tasks[stream.current.task];
  bool sound = true;
  for (int i = task.inputs.begin; i < task.inputs.end; ++i) {
    const int64_t piece = PieceRead(t_.inputs[i], stream.current.piece);
    const Slot& slot = At(t_.inputs[i].reg, piece);
    sound &= slot.state == SlotState::kReady && slot.piece == piece;
  }
  for (int i = task.outputs.begin; i < task.outputs.end; ++i)
    sound &=
        At(t_.outputs[i], PieceWritten(stream.current.task, t_.outputs[i], stream.current.piece))
            .state == SlotState::kWriting;
  if (sound) return Status::Ok();
  return Error(Code::kInternal) << program_.tasks[stream.current.task].name << " of rank "
                                << program_.rank << " runs on a register it does not hold";
}

template <class F>
Status BasicCore<F>::CheckInvariants() const {
  for (size_t s = 0; s < streams_.size(); ++s) OFL_TRY(CheckStream(static_cast<int>(s)));
  for (size_t r = 0; r < registers_.size(); ++r) OFL_TRY(CheckRegister(static_cast<int>(r)));
  for (size_t e = 0; e < edges_.size(); ++e) OFL_TRY(CheckEdge(static_cast<int>(e)));
  if (running_ || !failure_.ok()) return Status::Ok();
  for (size_t r = 0; r < registers_.size(); ++r) {
    // A peer that is ahead may already have filled a receive register of the next iteration, and
    // a launch does not wait for what nobody reads.
    const RegisterTable& table = t_.registers[r];
    const int64_t due = (iteration_ + 1) * table.pieces;
    const bool received = table.incoming >= 0;
    const bool unread = received && table.readers + table.last_readers == 0;
    if ((registers_[r].freed < due && !unread) || (registers_[r].written > due && !received))
      return Error(Code::kInternal)
             << "register " << r << " of rank " << program_.rank << " is not free after the launch";
  }
  return Status::Ok();
}

}  // namespace ofl::actor
