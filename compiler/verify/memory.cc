// Memory safety of one rank's program: walks the stream's order with the set of live blocks.

#include <algorithm>
#include <map>
#include <set>

#include "compiler/verify/rates.h"
#include "compiler/verify/verify.h"

namespace ofl::compiler {
namespace {

class Walk {
 public:
  explicit Walk(const Program& p) : p_(p), pushed_(p.registers.size(), false) {}

  Status Run() {
    for (const RemoteEdge& edge : p_.remote_edges)
      if (edge.outgoing) pushed_[edge.local_register] = true;
    OFL_TRY(Bounds());
    readers_left_.resize(p_.registers.size());
    for (const RegisterDesc& reg : p_.registers) {
      readers_left_[reg.id].assign(Pieces(reg), 0);
      for (int c : reg.consumers) {
        const int reads = p_.tasks[c].firings;
        for (int k = 0; k < reads; ++k) ++readers_left_[reg.id][PieceRead(reads, Pieces(reg), k)];
      }
      if (Permanent(reg))
        for (int k = 0; k < std::min(Pieces(reg), reg.instances); ++k) OFL_TRY(Begin(reg, k));
    }
    for (const TaskDesc& task : p_.tasks)
      OFL_TRY(Claim(task.state_offset, task.state_bytes, "the state of " + task.name));
    for (const StreamDesc& stream : p_.streams)
      for (const Firing& firing : stream.order) OFL_TRY(Fire(firing));
    return Status::Ok();
  }

 private:
  struct Live {
    int64_t end;
    std::string owner;
  };

  const TaskDesc& Producer(const RegisterDesc& reg) const { return p_.tasks[reg.producer]; }
  int Pieces(const RegisterDesc& reg) const { return PiecesOf(p_, reg); }
  // Filled or read by peers at times this walk cannot see: its bytes are never shared.
  bool Permanent(const RegisterDesc& reg) const {
    return reg.offset >= 0 && (pushed_[reg.id] || Producer(reg).kind == TaskKind::kReceive);
  }

  Status Bounds() const {
    for (const RegisterDesc& reg : p_.registers) {
      const TaskKind kind = Producer(reg).kind;
      if (kind == TaskKind::kInput || kind == TaskKind::kVariable) continue;
      const int64_t end = reg.offset + reg.stride * (reg.instances - 1) + reg.bound;
      OFL_ENSURE(reg.offset >= 0 && reg.offset % 64 == 0 && reg.bound >= reg.meta.bytes() &&
                     (reg.instances == 1 || reg.stride >= reg.bound) && end <= p_.arena_bytes,
                 Code::kDataLoss)
          << "register " << reg.id << " of " << Producer(reg).name << " takes bytes [" << reg.offset
          << ", " << end << ") of an arena of " << p_.arena_bytes;
    }
    const auto within = [this](int64_t offset, int64_t bytes) {
      return bytes == 0 || (offset >= 0 && offset + bytes <= p_.arena_bytes);
    };
    for (const TaskDesc& task : p_.tasks) {
      OFL_TRY(CheckInputViews(p_, task));
      OFL_ENSURE(within(task.workspace_offset, task.workspace_bytes) &&
                     within(task.state_offset, task.state_bytes),
                 Code::kDataLoss)
          << "the workspace or the state of " << task.name << " lies outside the arena";
    }
    return Status::Ok();
  }

  int64_t Address(const RegisterDesc& reg, int piece) const {
    return reg.offset + reg.stride * (piece % reg.instances);
  }

  Status Claim(int64_t begin, int64_t bytes, const std::string& owner) {
    if (bytes == 0) return Status::Ok();
    auto next = live_.lower_bound(begin);
    const auto clash = [&](std::map<int64_t, Live>::iterator it) -> Status {
      return Error(Code::kDataLoss) << owner << " and " << it->second.owner
                                    << " share bytes of the arena while both are live";
    };
    if (next != live_.end() && next->first < begin + bytes) return clash(next);
    if (next != live_.begin() && std::prev(next)->second.end > begin) return clash(std::prev(next));
    live_[begin] = {begin + bytes, owner};
    return Status::Ok();
  }

  Status Begin(const RegisterDesc& reg, int piece) {
    return Claim(Address(reg, piece), reg.bound, Producer(reg).name);
  }

  Status Fire(const Firing& firing) {
    const TaskDesc& task = p_.tasks[firing.task];
    for (int out : task.outputs) OFL_TRY(Produce(task, p_.registers[out], firing.piece));
    if (task.workspace_bytes > 0) {
      OFL_TRY(Claim(task.workspace_offset, task.workspace_bytes, "the workspace of " + task.name));
      live_.erase(task.workspace_offset);
    }
    for (int in : task.inputs) Read(task, p_.registers[in], firing.piece);
    for (int out : task.outputs) {
      const RegisterDesc& reg = p_.registers[out];
      const int piece = std::min(firing.piece, Pieces(reg) - 1);
      if (readers_left_[out][piece] == 0) End(reg, piece);
    }
    return Status::Ok();
  }

  Status Produce(const TaskDesc& task, const RegisterDesc& reg, int piece) {
    if (reg.offset < 0 || Permanent(reg)) return Status::Ok();
    if (task.kind == TaskKind::kAccumulate && piece > 0) return Status::Ok();
    if (reg.alias_of >= 0) {
      const RegisterDesc& base = p_.registers[reg.alias_of];
      const int base_piece = PieceRead(task.firings, Pieces(base), piece);
      OFL_ENSURE(readers_left_[base.id][base_piece] == 1 && !Permanent(base), Code::kDataLoss)
          << task.name << " overwrites the register of " << Producer(base).name
          << " while others read it";
      Release(base, base_piece);
    }
    return Begin(reg, piece);
  }

  void Read(const TaskDesc& task, const RegisterDesc& reg, int firing) {
    const int k = PieceRead(task.firings, Pieces(reg), firing);
    if (--readers_left_[reg.id][k] == 0) End(reg, k);
  }

  void End(const RegisterDesc& reg, int piece) {
    if (reg.offset >= 0 && !Permanent(reg)) Release(reg, piece);
  }

  // An empty register claims nothing: what lives at its address is another's.
  void Release(const RegisterDesc& reg, int piece) {
    auto it = live_.find(Address(reg, piece));
    if (it != live_.end() && it->second.owner == Producer(reg).name) live_.erase(it);
  }

  const Program& p_;
  std::vector<bool> pushed_;
  std::vector<std::vector<int>> readers_left_;
  std::map<int64_t, Live> live_;
};

}  // namespace

Status VerifyMemory(const Program& program) { return Walk(program).Run(); }

}  // namespace ofl::compiler
