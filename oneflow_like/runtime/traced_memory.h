// Which tensors of a graph would share memory in eager, and what changes in place have made of it.
//
// A graph's values never change. A tensor of build() is named by the value it was made as; a change
// in place gives the memory a new content, another value, and every tensor over that memory what
// its view of the content is: worked out when it is used next (docs/graphs.md).
#pragma once

#include <cstdint>
#include <map>

namespace ofl::runtime {

class TracedMemory {
 public:
  // How a tensor lies in the memory of the one it was taken from.
  enum class Link : uint8_t {
    kSame,      // a conversion to where it is
    kDetached,  // the same elements without their history
    kView,      // as the view operator that made it says
    kTaken,     // by integers without axes: as select, of numbers that the launch knows
  };
  struct Alias {
    int parent = -1;
    Link link = Link::kSame;
    bool taped = true;  // made while gradients were recorded
  };

  // `value`, just made, lies in the memory of an earlier one.
  void Share(int value, Alias alias);
  // Null for what has memory of its own.
  const Alias* AliasOf(int value) const;
  int Root(int value) const;

  bool AnyChanged() const { return !versions_.empty(); }
  // The value that a tensor holds now; -1 where that has to be worked out from its parent's.
  int Content(int value) const;
  // That it is this one, until the next change.
  void Know(int value, int content);
  // The memory of a root has another content.
  void Change(int root, int content);

 private:
  struct Known {
    uint64_t version = 0;
    int content = -1;
  };
  uint64_t VersionOf(int root) const;

  std::map<int, Alias> aliases_;
  std::map<int, uint64_t> versions_;  // by root: the number of changes
  std::map<int, Known> known_;
};

}  // namespace ofl::runtime
