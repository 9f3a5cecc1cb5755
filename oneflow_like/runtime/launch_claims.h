// What a compiled graph's launches are computed from, in terms of claims (TensorImpl::claim): those
// of arguments, variables and step counters, and an optimizer's numbers. Results and variables that
// a launch changes get new claims of them, so that whatever goes through a collective later is
// compared as if the graph had been run eagerly.
//
// A claim says something on the ranks that hold the tensor. So a result is made of what all ranks
// of its placement hold, and what the ranks of a launch compare is made of what all ranks hold.
// Threads: one at a time. Launches allocate nothing.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "oneflow_like/tensor/tensor.h"

namespace ofl::runtime {

class LaunchClaims {
 public:
  LaunchClaims() = default;
  // `plan` distinguishes graphs. Then all that launches read and make, before the first launch.
  LaunchClaims(uint64_t plan, int world_size);

  void AddInput(const std::string& name, const Placement& placement);
  // Its content, or step counter, as a launch finds it.
  void AddVariable(const std::string& name, tensor::TensorRef variable);
  // Lives as long as launches do.
  void AddNumbers(const std::string& name, const std::vector<double>* numbers);
  // What a launch changes.
  void AddMutated(tensor::TensorRef variable);
  void AddOutput(const Placement& placement);

  // A launch begins.
  void Begin(std::span<const tensor::TensorRef> inputs);
  // Of what all ranks hold, the same on all of them unless they differ.
  uint64_t compared() const { return compared_; }
  // It has ended well.
  void Finish(std::span<const tensor::TensorRef> outputs) const;

  // The names of what is compared, and a short digest of each in the launch under way.
  std::vector<std::string> Names() const;
  std::string Digests(std::span<const tensor::TensorRef> inputs) const;

 private:
  // Tensors on the same ranks.
  struct Group {
    std::vector<int> ranks;  // sorted
    std::vector<int> wider;  // groups, this one among them, whose ranks hold what these ranks hold
    std::vector<int> inputs;
    std::vector<tensor::TensorRef> variables;
    std::vector<std::string> input_names, variable_names;
    uint64_t claim = 0;  // of the launch under way, its own tensors alone
    uint64_t made = 0;   // likewise, of what a launch makes for these ranks
  };
  struct Numbers {
    std::string name;
    const std::vector<double>* values;
  };
  int GroupOf(const Placement& placement);

  uint64_t plan_ = 0;
  int world_size_ = 1;
  int inputs_ = 0;
  std::vector<Group> groups_;
  int everyone_ = -1;  // the group of all ranks; -1: no tensor is on all
  std::vector<Numbers> numbers_;
  std::vector<std::pair<tensor::TensorRef, int>> mutated_;  // with their groups
  std::vector<int> outputs_;                                // groups
  uint64_t compared_ = 0;
};

}  // namespace ofl::runtime
