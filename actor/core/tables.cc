#include "actor/core/tables.h"

#include <algorithm>

namespace ofl::actor {
namespace {

class Builder {
 public:
  explicit Builder(const Program& program) : p_(program) {}

  Result<Tables> Build() {
    OFL_TRY(CheckIds());
    OFL_TRY(Registers());
    OFL_TRY(Tasks());
    OFL_TRY(Edges());
    OFL_TRY(Aliases());
    OFL_TRY(Controls());
    OFL_TRY(Streams());
    return std::move(t_);
  }

 private:
  ErrorStream Bad() const {
    ErrorStream error = Error(Code::kInvalidArgument);
    error << "[plan] program of rank " << p_.rank << ": ";
    return error;
  }
  bool IsTask(int t) const { return t >= 0 && t < static_cast<int>(p_.tasks.size()); }
  bool IsRegister(int r) const { return r >= 0 && r < static_cast<int>(p_.registers.size()); }
  const std::string& Name(int task) const { return p_.tasks[task].name; }

  Status CheckIds() {
    OFL_ENSURE(p_.micro_batches >= 1, Code::kInvalidArgument)
        << "[plan] got " << p_.micro_batches << " micro-batches; expected at least 1";
    for (size_t i = 0; i < p_.tasks.size(); ++i) {
      const TaskDesc& task = p_.tasks[i];
      if (task.id != static_cast<int>(i)) return Bad() << "task " << i << " has id " << task.id;
      if (task.firings != 1 && task.firings != p_.micro_batches)
        return Bad() << "task " << task.name << " fires " << task.firings
                     << " times; expected 1 or " << p_.micro_batches << " (micro-batches)";
      for (int r : task.inputs)
        if (!IsRegister(r))
          return Bad() << task.name << " reads register " << r << ", which is none";
      for (int r : task.outputs)
        if (!IsRegister(r))
          return Bad() << task.name << " writes register " << r << ", which is none";
      for (int i : task.mutates)
        if (i < 0 || i >= static_cast<int>(task.inputs.size()))
          return Bad() << task.name << " mutates input " << i << " of " << task.inputs.size();
    }
    return Status::Ok();
  }

  Status Registers() {
    for (size_t i = 0; i < p_.registers.size(); ++i) {
      const RegisterDesc& desc = p_.registers[i];
      if (desc.id != static_cast<int>(i)) return Bad() << "register " << i << " has id " << desc.id;
      if (desc.instances < 1)
        return Bad() << "register " << i << " has " << desc.instances << " instances";
      if (!IsTask(desc.producer)) return Bad() << "register " << i << " has no producer";
      const TaskDesc& producer = p_.tasks[desc.producer];
      if (std::count(producer.outputs.begin(), producer.outputs.end(), desc.id) != 1)
        return Bad() << "register " << i << " is not one output of its producer " << producer.name;
      RegisterTable r;
      r.instances = desc.instances;
      r.producer = desc.producer;
      r.pieces = producer.kind == TaskKind::kAccumulate ? 1 : producer.firings;
      r.first_slot = t_.slots;
      t_.slots += r.instances;
      t_.registers.push_back(r);
    }
    return Status::Ok();
  }

  Result<Rate> RateOf(int pieces, int firings, const TaskDesc& task, int reg) const {
    if (pieces == firings) return Rate::kEach;
    if (pieces == 1) return Rate::kHeld;
    if (firings == 1) return Rate::kLast;
    return Bad() << task.name << " fires " << firings << " times and reads register " << reg
                 << ", which has " << pieces << " pieces";
  }

  Status Tasks() {
    for (const TaskDesc& task : p_.tasks) {
      TaskTable table;
      table.kind = task.kind;
      table.firings = task.firings;
      table.inputs.begin = static_cast<int>(t_.inputs.size());
      for (size_t i = 0; i < task.inputs.size(); ++i) {
        const int reg = task.inputs[i];
        InputUse use{reg, Rate::kEach, true};
        OFL_ASSIGN(use.rate, RateOf(t_.registers[reg].pieces, task.firings, task, reg));
        use.counted =
            std::find(task.inputs.begin(), task.inputs.begin() + i, reg) == task.inputs.begin() + i;
        if (use.counted)
          ++(use.rate == Rate::kLast ? t_.registers[reg].last_readers : t_.registers[reg].readers);
        t_.inputs.push_back(use);
      }
      table.inputs.end = static_cast<int>(t_.inputs.size());
      table.outputs.begin = static_cast<int>(t_.outputs.size());
      for (int r : task.outputs) {
        if (p_.registers[r].producer != task.id)
          return Bad() << task.name << " writes register " << r << " of "
                       << Name(p_.registers[r].producer);
        t_.outputs.push_back(r);
      }
      table.outputs.end = static_cast<int>(t_.outputs.size());
      t_.tasks.push_back(table);
    }
    return Consumers();
  }

  // The list of a register's readers carries the plan's order, so it must be the true list.
  Status Consumers() {
    std::vector<std::vector<int>> readers(p_.registers.size());
    for (const TaskDesc& task : p_.tasks)
      for (int i = t_.tasks[task.id].inputs.begin; i < t_.tasks[task.id].inputs.end; ++i)
        if (t_.inputs[i].counted) readers[t_.inputs[i].reg].push_back(task.id);
    for (const RegisterDesc& desc : p_.registers) {
      std::vector<int> listed = desc.consumers;
      std::sort(listed.begin(), listed.end());
      listed.erase(std::unique(listed.begin(), listed.end()), listed.end());
      if (listed != readers[desc.id])
        return Bad() << "register " << desc.id << " of " << Name(desc.producer) << " lists "
                     << listed.size() << " consumers, but " << readers[desc.id].size()
                     << " tasks read it, or others";
    }
    return Status::Ok();
  }

  Status Edges() {
    std::vector<std::vector<int>> pushes(p_.registers.size());
    for (size_t i = 0; i < p_.remote_edges.size(); ++i) {
      const RemoteEdge& edge = p_.remote_edges[i];
      if (!IsRegister(edge.local_register))
        return Bad() << "edge " << edge.edge_id << " names register " << edge.local_register;
      if (edge.credits < 1) return Bad() << "edge " << edge.edge_id << " has no credit";
      if (edge.peer < 0 || edge.peer >= p_.world_size || edge.peer == p_.rank)
        return Bad() << "edge " << edge.edge_id << " names rank " << edge.peer << " of "
                     << p_.world_size << " as its peer";
      RegisterTable& reg = t_.registers[edge.local_register];
      t_.edges.push_back({edge.local_register, edge.credits, edge.outgoing});
      if (edge.outgoing) {
        pushes[edge.local_register].push_back(static_cast<int>(i));
        ++reg.readers;
        continue;
      }
      if (p_.tasks[reg.producer].kind != TaskKind::kReceive || reg.incoming >= 0)
        return Bad() << "edge " << edge.edge_id << " fills register " << edge.local_register
                     << ", which is not that of one receive task";
      if (edge.credits != reg.instances)
        return Bad() << "edge " << edge.edge_id << " has " << edge.credits << " credits for "
                     << reg.instances << " instances";
      reg.incoming = static_cast<int>(i);
    }
    for (size_t r = 0; r < pushes.size(); ++r) {
      t_.registers[r].pushes.begin = static_cast<int>(t_.pushes.size());
      t_.pushes.insert(t_.pushes.end(), pushes[r].begin(), pushes[r].end());
      t_.registers[r].pushes.end = static_cast<int>(t_.pushes.size());
    }
    for (const TaskDesc& task : p_.tasks) {
      if (task.kind != TaskKind::kReceive) continue;
      if (!task.inputs.empty() || task.outputs.size() != 1 ||
          t_.registers[task.outputs[0]].incoming < 0)
        return Bad() << task.name << " receives, but no remote edge fills its one register";
    }
    return Status::Ok();
  }

  bool Reads(int task, int reg) const {
    const auto& inputs = p_.tasks[task].inputs;
    return std::find(inputs.begin(), inputs.end(), reg) != inputs.end();
  }

  Status Aliases() {
    std::vector<bool> taken(p_.registers.size(), false);
    for (const RegisterDesc& desc : p_.registers) {
      const int base = desc.alias_of;
      if (base < 0) continue;
      if (!IsRegister(base) || base == desc.id || !Reads(desc.producer, base) || taken[base])
        return Bad() << "register " << desc.id << " cannot take over register " << base
                     << ": its producer must read it, and one register may take it over";
      const RegisterTable &a = t_.registers[base], &b = t_.registers[desc.id];
      if (a.instances != b.instances || a.pieces != b.pieces || a.last_readers > 0)
        return Bad() << "register " << desc.id << " takes over register " << base
                     << " of another number of instances or pieces";
      if (p_.registers[base].consumers.back() != desc.producer)
        return Bad() << "register " << desc.id << " takes over register " << base << ", which "
                     << Name(p_.registers[base].consumers.back()) << " reads later";
      taken[base] = true;
      t_.registers[desc.id].alias_of = base;
    }
    return MutationOrder();
  }

  Rate RateIn(int task, int reg) const {
    for (int i = t_.tasks[task].inputs.begin; i < t_.tasks[task].inputs.end; ++i)
      if (t_.inputs[i].reg == reg) return t_.inputs[i].rate;
    return Rate::kEach;
  }

  bool Mutates(int task, int reg) const {
    const TaskDesc& desc = p_.tasks[task];
    return std::any_of(desc.mutates.begin(), desc.mutates.end(),
                       [&](int i) { return desc.inputs[i] == reg; });
  }

  Status MutationOrder() {
    for (const TaskDesc& task : p_.tasks) {
      t_.tasks[task.id].ordered.begin = static_cast<int>(t_.ordered.size());
      for (int i = t_.tasks[task.id].inputs.begin; i < t_.tasks[task.id].inputs.end; ++i) {
        if (!t_.inputs[i].counted) continue;
        const int reg = t_.inputs[i].reg;
        const bool writes = Mutates(task.id, reg);
        if (writes && t_.registers[reg].pushes.begin != t_.registers[reg].pushes.end)
          return Bad() << task.name << " mutates register " << reg << ", which is pushed to a peer";
        if (writes && t_.registers[reg].last_readers > 0)
          return Bad() << task.name << " mutates register " << reg
                       << ", of which another task reads the last piece only";
        for (int other : p_.registers[reg].consumers) {
          if (other == task.id) break;
          if (writes || Mutates(other, reg)) t_.ordered.push_back({reg, other, RateIn(other, reg)});
        }
      }
      t_.tasks[task.id].ordered.end = static_cast<int>(t_.ordered.size());
    }
    return Status::Ok();
  }

  Status Controls() {
    std::vector<std::vector<Control>> of(p_.tasks.size());
    for (const ControlEdge& edge : p_.control_edges) {
      if (!IsTask(edge.before) || !IsTask(edge.after) || edge.tokens < 0)
        return Bad() << "control edge from task " << edge.before << " to task " << edge.after
                     << " with " << edge.tokens << " tokens";
      const int before = p_.tasks[edge.before].firings, after = p_.tasks[edge.after].firings;
      if (p_.tasks[edge.after].kind == TaskKind::kReceive)
        return Bad() << "control edge to " << Name(edge.after)
                     << ", which fires when its message arrives";
      if (before != after && edge.tokens != 0)
        return Bad() << "control edge with tokens between tasks that fire " << before << " and "
                     << after << " times";
      const Rate rate = before == after ? Rate::kEach : before == 1 ? Rate::kHeld : Rate::kLast;
      of[edge.after].push_back({edge.before, edge.tokens, rate});
    }
    for (size_t i = 0; i < of.size(); ++i) {
      t_.tasks[i].controls.begin = static_cast<int>(t_.controls.size());
      t_.controls.insert(t_.controls.end(), of[i].begin(), of[i].end());
      t_.tasks[i].controls.end = static_cast<int>(t_.controls.size());
    }
    return Status::Ok();
  }

  // Every firing of every task stands in one stream, in the order of its pieces.
  Status Streams() {
    std::vector<int> next(p_.tasks.size(), 0), stream_of(p_.tasks.size(), -1);
    for (size_t s = 0; s < p_.streams.size(); ++s) {
      for (const Firing& firing : p_.streams[s].order) {
        if (!IsTask(firing.task) || p_.tasks[firing.task].kind == TaskKind::kReceive)
          return Bad() << "stream " << p_.streams[s].name << " orders task " << firing.task
                       << ", which no stream can run";
        if (stream_of[firing.task] >= 0 && stream_of[firing.task] != static_cast<int>(s))
          return Bad() << Name(firing.task) << " stands in two streams";
        if (firing.piece != next[firing.task]++)
          return Bad() << "stream " << p_.streams[s].name << " fires piece " << firing.piece
                       << " of " << Name(firing.task) << " out of order";
        stream_of[firing.task] = static_cast<int>(s);
      }
      t_.streams.push_back({p_.streams[s].order, false});
    }
    for (const TaskDesc& task : p_.tasks) {
      if (task.kind == TaskKind::kReceive || next[task.id] == task.firings) continue;
      const bool no_work = task.kind == TaskKind::kVariable || task.kind == TaskKind::kInput;
      if (next[task.id] != 0 || !no_work)
        return Bad() << task.name << " fires " << task.firings << " times, but the streams order "
                     << next[task.id] << " firings of it";
      StreamTable own{{}, true};
      for (int k = 0; k < task.firings; ++k) own.order.push_back({task.id, k});
      t_.streams.push_back(std::move(own));
    }
    return Status::Ok();
  }

  const Program& p_;
  Tables t_;
};

}  // namespace

Result<Tables> Tables::Make(const Program& program) { return Builder(program).Build(); }

}  // namespace ofl::actor
