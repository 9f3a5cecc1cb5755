#include "oneflow_like/tensor/call_cache.h"

#include <bit>
#include <functional>
#include <utility>

namespace ofl::tensor {
namespace {

uint64_t Mix(uint64_t h, uint64_t v) {
  h ^= v;
  h *= 0x9E3779B97F4A7C15ull;  // 2^64 / golden ratio: spreads the low bits
  return h ^ (h >> 29);
}

uint64_t HashShape(uint64_t h, const Shape& shape) {
  h = Mix(h, static_cast<uint64_t>(shape.rank()) + 1);
  for (int64_t d : shape) h = Mix(h, static_cast<uint64_t>(d));
  return h;
}

uint64_t HashMeta(uint64_t h, const TensorMeta& meta) {
  return HashShape(Mix(h, static_cast<uint64_t>(meta.dtype)), meta.shape);
}

uint64_t HashLayout(uint64_t h, const sbp::Layout& layout) {
  // Equal placements share their ranks' storage.
  h = Mix(h, reinterpret_cast<uintptr_t>(&layout.placement.ranks()));
  for (sbp::Sbp s : layout.nd_sbp) {
    h = Mix(h, static_cast<uint64_t>(s.kind()) * 64 + static_cast<uint64_t>(s.axis()) * 4 +
                   static_cast<uint64_t>(s.reduce_op()));
  }
  return h;
}

uint64_t HashAttr(uint64_t h, const AttrValue& value) {
  h = Mix(h, value.index());
  switch (value.index()) {
    case 0: return Mix(h, std::get<bool>(value));
    case 1: return Mix(h, static_cast<uint64_t>(std::get<int64_t>(value)));
    case 2: return Mix(h, std::bit_cast<uint64_t>(std::get<double>(value)));
    case 3: return Mix(h, std::hash<std::string>()(std::get<std::string>(value)));
    case 4:
      for (int64_t v : std::get<std::vector<int64_t>>(value)) {
        h = Mix(h, static_cast<uint64_t>(v));
      }
      return h;
    default: return Mix(h, static_cast<uint64_t>(std::get<DType>(value)));
  }
}

bool SameLayout(const sbp::Layout* a, const sbp::Layout* b) {
  if (a == b) return true;
  if (a == nullptr || b == nullptr) return false;
  return *a == *b;
}

}  // namespace

uint64_t CallCache::HashOf(const Query& query) {
  uint64_t h = reinterpret_cast<uintptr_t>(query.def);
  for (const op::Value& input : query.inputs) {
    const TensorImpl* x = AsTensor(input);
    h = HashMeta(h, x->meta());
    if (x->layout() != nullptr) h = HashLayout(h, *x->layout());
  }
  for (const auto& [name, value] : query.attrs) {
    h = HashAttr(Mix(h, std::hash<std::string_view>()(name)), value);
  }
  if (query.source_layout != nullptr) h = HashLayout(h, **query.source_layout);
  return h;
}

bool CallCache::Matches(const Entry& entry, const Query& query) {
  if (entry.def != query.def || entry.operands.size() != query.inputs.size()) return false;
  for (size_t i = 0; i < entry.operands.size(); ++i) {
    const TensorImpl* x = AsTensor(query.inputs[i]);
    const Operand& operand = entry.operands[i];
    if (!(operand.meta == x->meta()) || !SameLayout(operand.layout.get(), x->layout())) {
      return false;
    }
  }
  if ((entry.source_layout != nullptr) != (query.source_layout != nullptr)) return false;
  if (query.source_layout != nullptr &&
      !SameLayout(entry.source_layout.get(), query.source_layout->get())) {
    return false;
  }
  return entry.attrs == query.attrs;
}

const CallPlanRef* CallCache::Find(const Query& query, uint64_t hash) const {
  auto [begin, end] = entries_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (Matches(it->second, query)) return &it->second.plan;
  }
  return nullptr;
}

void CallCache::Insert(const Query& query, uint64_t hash, CallPlanRef plan) {
  if (entries_.size() >= kMaxEntries) entries_.clear();
  Entry entry{query.def, query.attrs, {}, nullptr, std::move(plan)};
  for (const op::Value& input : query.inputs) {
    entry.operands.push_back({input->meta(), AsTensor(input)->layout_ref()});
  }
  if (query.source_layout != nullptr) entry.source_layout = *query.source_layout;
  entries_.emplace(hash, std::move(entry));
}

const RecipeRef* CallCache::FindRecipe(const TensorMeta& meta, const sbp::Layout& from,
                                       const sbp::Layout& to, uint64_t* hash) const {
  *hash = HashLayout(HashLayout(HashMeta(1, meta), from), to);
  auto [begin, end] = recipes_.equal_range(*hash);
  for (auto it = begin; it != end; ++it) {
    const BoxingRecipe& r = *it->second;
    if (r.meta == meta && *r.from == from && *r.to == to) return &it->second;
  }
  return nullptr;
}

void CallCache::InsertRecipe(uint64_t hash, RecipeRef recipe) {
  if (recipes_.size() >= kMaxEntries) recipes_.clear();
  recipes_.emplace(hash, std::move(recipe));
}

}  // namespace ofl::tensor
