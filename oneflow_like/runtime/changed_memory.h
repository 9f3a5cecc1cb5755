// The memory that launches of a graph change, and who else lies there: in eager what shares memory
// shows each change, while a graph works on each tensor from outside as if it were alone.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "oneflow_like/tensor/tensor.h"

namespace ofl::runtime {

class ChangedMemory {
 public:
  using Variables = std::map<std::string, tensor::TensorRef>;

  // Takes in the variables that launches change. kInvalidArgument where another variable lies in
  // the memory of one.
  Status Take(const std::string& graph, const Variables& variables,
              const std::vector<std::string>& changed);
  // Refuses an argument that lies there.
  Status CheckArgument(const std::string& graph, const tensor::TensorImpl& argument) const;

 private:
  using Place = std::pair<const std::byte*, const std::byte*>;
  static Place PlaceOf(const tensor::TensorImpl& x);
  // The name of the variable that lies there too, or null.
  const std::string* At(const Place& place) const;

  std::vector<Place> places_;       // by their begin; asked for every argument of every launch
  std::vector<std::string> names_;  // of the variables that lie there
};

}  // namespace ofl::runtime
