#include "compiler/verify/orderings.h"

#include <algorithm>

namespace ofl::compiler {
namespace {

class Orderings {
 public:
  Orderings(const Program& program, const std::function<void(Event, Event)>& fn)
      : p_(program),
        fn_(fn),
        incoming_(program.registers.size(), -1),
        pushes_(program.registers.size()),
        taken_over_by_(program.registers.size(), -1) {
    for (size_t e = 0; e < p_.remote_edges.size(); ++e) {
      const RemoteEdge& edge = p_.remote_edges[e];
      if (edge.outgoing)
        pushes_[edge.local_register].push_back(static_cast<int>(e));
      else
        incoming_[edge.local_register] = static_cast<int>(e);
    }
    for (const RegisterDesc& reg : p_.registers)
      if (reg.alias_of >= 0) taken_over_by_[reg.alias_of] = reg.id;
  }

  void Run() {
    for (const StreamDesc& stream : p_.streams)
      for (size_t i = 1; i < stream.order.size(); ++i)
        fn_(Fires(stream.order[i - 1].task, stream.order[i - 1].piece),
            Fires(stream.order[i].task, stream.order[i].piece));
    for (const TaskDesc& task : p_.tasks)  // on no stream, too, pieces come one after another
      for (int k = 1; k < task.firings; ++k) fn_(Fires(task.id, k - 1), Fires(task.id, k));
    for (const RegisterDesc& reg : p_.registers) {
      for (int piece = 0; piece < Pieces(reg); ++piece) Data(reg, piece);
      if (reg.alias_of < 0) Credits(reg);
      Updates(reg);
      TakesOver(reg);
    }
    for (const ControlEdge& edge : p_.control_edges) Control(edge);
  }

 private:
  static Event Fires(int task, int k) { return {Event::Kind::kFiring, task, k}; }
  static Event Push(int edge, int piece) { return {Event::Kind::kPush, edge, piece}; }
  int Firings(int task) const { return p_.tasks[task].firings; }
  int Pieces(const RegisterDesc& reg) const { return PiecesOf(p_, reg); }

  // The firing after which the piece is ready.
  Event Made(const RegisterDesc& reg, int piece) const {
    const TaskDesc& producer = p_.tasks[reg.producer];
    return Fires(producer.id,
                 producer.kind == TaskKind::kAccumulate ? producer.firings - 1 : piece);
  }

  // Calls `fn` for each firing of `reader` that reads the piece.
  template <class Fn>
  void EachRead(const RegisterDesc& reg, int reader, int piece, Fn fn) const {
    const int made = Pieces(reg), reads = Firings(reader);
    if (made == reads)
      fn(Fires(reader, piece));
    else if (made == 1)
      for (int k = 0; k < reads; ++k) fn(Fires(reader, k));
    else if (piece == made - 1)
      fn(Fires(reader, 0));
  }

  void Data(const RegisterDesc& reg, int piece) const {
    const Event made = Made(reg, piece);
    for (int reader : reg.consumers)
      EachRead(reg, reader, piece, [&](Event read) { fn_(made, read); });
    for (int edge : pushes_[reg.id]) {
      fn_(made, Push(edge, piece));
      if (piece > 0) fn_(Push(edge, piece - 1), Push(edge, piece));
    }
    if (incoming_[reg.id] >= 0) fn_(Push(incoming_[reg.id], piece), Fires(reg.producer, piece));
  }

  // The memory of a piece is written again when all have let go of it, those included that read
  // what took it over. A receive register's is written by the push.
  void Credits(const RegisterDesc& reg) const {
    for (int piece = 0; piece + reg.instances < Pieces(reg); ++piece) {
      const int next = piece + reg.instances;
      const Event writes =
          incoming_[reg.id] >= 0 ? Push(incoming_[reg.id], next) : Fires(reg.producer, next);
      for (int at = reg.id; at >= 0; at = taken_over_by_[at]) {
        const RegisterDesc& holder = p_.registers[at];
        fn_(Made(holder, piece), writes);
        for (int reader : holder.consumers)
          EachRead(holder, reader, piece, [&](Event read) { fn_(read, writes); });
        for (int edge : pushes_[at]) fn_(Push(edge, piece), writes);
      }
    }
  }

  bool Mutates(int task, const RegisterDesc& reg) const {
    const TaskDesc& desc = p_.tasks[task];
    return std::any_of(desc.mutates.begin(), desc.mutates.end(),
                       [&](int i) { return desc.inputs[i] == reg.id; });
  }

  // Readers listed before an update come before it, those after it after it.
  void Updates(const RegisterDesc& reg) const {
    for (size_t u = 0; u < reg.consumers.size(); ++u) {
      const int update = reg.consumers[u];
      if (!Mutates(update, reg)) continue;
      for (size_t i = 0; i < reg.consumers.size(); ++i) {
        if (i < u) Before(reg, reg.consumers[i], update);
        if (i > u) Before(reg, update, reg.consumers[i]);
      }
    }
  }
  void Before(const RegisterDesc& reg, int first, int second) const {
    if (first == second) return;  // it reads the register twice
    for (int piece = 0; piece < Pieces(reg); ++piece)
      EachRead(reg, first, piece,
               [&](Event a) { EachRead(reg, second, piece, [&](Event b) { fn_(a, b); }); });
  }

  // Who takes a register's memory over waits for all others that read it.
  void TakesOver(const RegisterDesc& reg) const {
    if (reg.alias_of < 0) return;
    const RegisterDesc& base = p_.registers[reg.alias_of];
    for (int piece = 0; piece < Pieces(base) && piece < Pieces(reg); ++piece) {
      for (int reader : base.consumers)
        if (reader != reg.producer)
          EachRead(base, reader, piece, [&](Event read) { fn_(read, Fires(reg.producer, piece)); });
      for (int edge : pushes_[base.id]) fn_(Push(edge, piece), Fires(reg.producer, piece));
    }
  }

  void Control(const ControlEdge& edge) const {
    const int before = Firings(edge.before), after = Firings(edge.after);
    for (int k = 0; k < after; ++k) {
      const int needed = before == after ? k - edge.tokens : before - 1;
      if (needed >= 0) fn_(Fires(edge.before, needed), Fires(edge.after, k));
    }
  }

  const Program& p_;
  const std::function<void(Event, Event)>& fn_;
  std::vector<int> incoming_;             // edge that fills the register, or -1
  std::vector<std::vector<int>> pushes_;  // edges over which it is sent
  std::vector<int> taken_over_by_;        // register, or -1
};

}  // namespace

void EachOrdering(const Program& program, const std::function<void(Event, Event)>& fn) {
  Orderings(program, fn).Run();
}

}  // namespace ofl::compiler
