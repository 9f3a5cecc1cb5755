#include "oneflow_like/op/def/draw.h"

#include <utility>
#include <vector>

namespace ofl::op {

AttrValue Draw::ToAttr() const {
  std::vector<int64_t> numbers{static_cast<int64_t>(at.seed), at.offset};
  if (generator >= 0) numbers.push_back(generator);
  return numbers;
}

std::optional<Draw> Draw::Of(const Attrs& attrs) {
  const auto* numbers = attrs.Maybe<std::vector<int64_t>>(kDraw);
  if (numbers == nullptr || numbers->size() < 2 || numbers->size() > 3) return std::nullopt;
  Draw draw{{static_cast<uint64_t>((*numbers)[0]), (*numbers)[1]}, -1};
  if (numbers->size() == 2) return draw;
  const int64_t generator = (*numbers)[2];
  if (generator < 0 || generator >= kMaxGenerators) return std::nullopt;
  draw.generator = static_cast<int>(generator);
  return draw;
}

}  // namespace ofl::op
