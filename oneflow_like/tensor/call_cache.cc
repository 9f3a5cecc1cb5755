#include "oneflow_like/tensor/call_cache.h"

#include <bit>
#include <complex>
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
  const auto bits = [](double v) { return std::bit_cast<uint64_t>(v); };
  struct Hasher {
    uint64_t h;
    decltype(bits) of;
    uint64_t operator()(bool v) const { return Mix(h, v); }
    uint64_t operator()(int64_t v) const { return Mix(h, static_cast<uint64_t>(v)); }
    uint64_t operator()(double v) const { return Mix(h, of(v)); }
    uint64_t operator()(const std::string& v) const { return Mix(h, std::hash<std::string>()(v)); }
    uint64_t operator()(const std::vector<int64_t>& v) const {
      uint64_t mixed = h;
      for (int64_t i : v) mixed = Mix(mixed, static_cast<uint64_t>(i));
      return mixed;
    }
    uint64_t operator()(DType v) const { return Mix(h, static_cast<uint64_t>(v)); }
    uint64_t operator()(std::complex<double> v) const {
      return Mix(Mix(h, of(v.real())), of(v.imag()));
    }
    uint64_t operator()(const std::vector<double>& v) const {
      uint64_t mixed = h;
      for (double f : v) mixed = Mix(mixed, of(f));
      return mixed;
    }
    uint64_t operator()(NoValue) const { return h; }
  };
  return std::visit(Hasher{h, bits}, value);
}

bool SameLayout(const sbp::Layout* a, const sbp::Layout* b) {
  if (a == b) return true;
  if (a == nullptr || b == nullptr) return false;
  return *a == *b;
}

}  // namespace

uint64_t ClaimOf(const op::OpDef& def, const Attrs& attrs) {
  uint64_t h = std::hash<std::string_view>()(def.name);
  for (const auto& [name, value] : attrs) {
    h = HashAttr(Mix(h, std::hash<std::string_view>()(name)), value);
  }
  return h;
}

uint64_t ClaimOf(std::span<const double> numbers) {
  uint64_t h = HashShape(0, {});
  for (double v : numbers) h = Mix(h, std::bit_cast<uint64_t>(v));
  return h;
}

uint64_t JoinClaims(uint64_t claim, uint64_t operand) { return Mix(claim, operand); }

uint64_t CallCache::HashOf(const Query& query) {
  uint64_t h = reinterpret_cast<uintptr_t>(query.def);
  for (const op::Value& input : query.inputs) {
    const TensorImpl* x = AsTensor(input);
    h = HashMeta(h, x->meta());
    if (!x->dense()) h = HashShape(h, x->strides());
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
    const bool lies_alike =
        operand.dense == x->dense() && (operand.dense || operand.strides == x->strides());
    if (!lies_alike || !(operand.meta == x->meta()) ||
        !SameLayout(operand.layout.get(), x->layout())) {
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
  const int64_t kept = plan->kept != nullptr ? plan->kept->size() : 0;
  if (entries_.size() >= kMaxEntries || (kept > 0 && kept_bytes_ + kept > kMaxKeptBytes)) {
    entries_.clear();
    kept_bytes_ = 0;
  }
  kept_bytes_ += kept;
  Entry entry{query.def, query.attrs, {}, nullptr, std::move(plan)};
  for (const op::Value& input : query.inputs) {
    const TensorImpl* x = AsTensor(input);
    entry.operands.push_back({x->meta(), x->layout_ref(), x->dense(), x->strides()});
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
