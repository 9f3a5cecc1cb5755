// Functions that see a gradient on its way and may replace it: of one output of a node, or of a
// leaf.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "oneflow_like/op/def/builder.h"

namespace ofl::tensor {

// Null: the gradient stays as it is.
using Hook = std::function<Result<op::Value>(const op::Value& grad)>;

class Hooks {
 public:
  // Called in the order in which they were added. The number names it for Remove.
  int64_t Add(Hook hook) {
    hooks_.emplace(next_, std::move(hook));
    return next_++;
  }
  void Remove(int64_t id) { hooks_.erase(id); }
  Status Run(op::Value& grad) const {
    const auto hooks = hooks_;  // a hook may remove itself
    for (const auto& [id, hook] : hooks) {
      OFL_ASSIGN(op::Value other, hook(grad));
      if (other != nullptr) grad = std::move(other);
    }
    return Status::Ok();
  }

 private:
  std::map<int64_t, Hook> hooks_;
  int64_t next_ = 0;
};
using HooksRef = std::shared_ptr<Hooks>;  // shared by its tensor or node and the handles given out

}  // namespace ofl::tensor
