// Freedom from deadlock, told by each rank of itself: every firing and push has a place in one
// order that all ranks share, and whatever it waits for within an iteration stands before it. A
// cycle of the whole marked graph would have to come back to a place from which it only went on, so
// there is none: the proof of all ranks is the conjunction of theirs, given equal plans and edges.

#include <tuple>

#include "compiler/verify/orderings.h"
#include "compiler/verify/verify.h"

namespace ofl::compiler {
namespace {

class Potential {
 public:
  explicit Potential(const Program& program) : p_(program) {}

  Status Run() const {
    for (const TaskDesc& task : p_.tasks) OFL_TRY(CheckSlots(task.place, task.firings, task.name));
    for (const RemoteEdge& edge : p_.remote_edges)
      OFL_TRY(CheckSlots(edge.push, PiecesOf(p_, p_.registers[edge.local_register]),
                         "edge " + std::to_string(edge.edge_id)));
    Status bad;
    EachOrdering(p_, [&](Event before, Event after) {
      if (bad.ok() && At(before) >= At(after)) bad = Refuse(before, after);
    });
    return bad;
  }

 private:
  Status CheckSlots(const Place& place, int pieces, const std::string& name) const {
    OFL_ENSURE(place.region >= 0 && place.region < static_cast<int>(p_.slots.size()) &&
                   pieces <= static_cast<int>(p_.slots[place.region].size()),
               Code::kDataLoss)
        << name << " is in region " << place.region << ", which has no " << pieces << " trips";
    return Status::Ok();
  }

  const Place& PlaceOf(const Event& event) const {
    return event.kind == Event::Kind::kFiring ? p_.tasks[event.index].place
                                              : p_.remote_edges[event.index].push;
  }
  std::tuple<int64_t, int64_t> At(const Event& event) const {
    const Place& place = PlaceOf(event);
    return {p_.slots[place.region][event.piece], place.within};
  }

  std::string Name(const Event& event) const {
    const auto [slot, within] = At(event);
    std::string name = event.kind == Event::Kind::kFiring
                           ? p_.tasks[event.index].name
                           : "the push to rank " +
                                 std::to_string(p_.remote_edges[event.index].outgoing
                                                    ? p_.remote_edges[event.index].peer
                                                    : p_.rank) +
                                 " over edge " +
                                 std::to_string(p_.remote_edges[event.index].edge_id);
    return name + "[" + std::to_string(event.piece) + "] at (" + std::to_string(slot) + ", " +
           std::to_string(within) + ")";
  }

  Status Refuse(const Event& before, const Event& after) const {
    return Error(Code::kFailedPrecondition)
           << "the plan might deadlock: on rank " << p_.rank << ", " << Name(after) << " waits for "
           << Name(before) << "; expected what it waits for to stand before it";
  }

  const Program& p_;
};

}  // namespace

Status VerifyPotential(const Program& program) { return Potential(program).Run(); }

}  // namespace ofl::compiler
