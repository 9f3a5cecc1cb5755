#include <algorithm>

#include "sbp/rule.h"

namespace ofl::sbp {
namespace {

// What the operator sees on one part of the outer mesh axes.
struct Part {
  std::vector<Shape> inputs;
  std::vector<Shape> outputs;
  bool operator==(const Part&) const = default;

  bool Empty() const {
    auto none = [](const Shape& s) { return s.numel() == 0; };
    return std::all_of(inputs.begin(), inputs.end(), none) &&
           std::all_of(outputs.begin(), outputs.end(), none);
  }
};

// Axes that broadcast in the logical operator. On a part the other operand's axis may have shrunk
// to 1 as well, which must not make a factor of this one.
struct BroadcastAxes {
  std::vector<std::vector<bool>> inputs;
  std::vector<std::vector<bool>> outputs;
};

std::vector<std::vector<bool>> FindBroadcast(const std::vector<std::vector<int>>& operands) {
  std::vector<std::vector<bool>> marks;
  for (const auto& axes : operands) {
    std::vector<bool>& mark = marks.emplace_back();
    for (int factor : axes) mark.push_back(factor == FactorRule::kBroadcastOne);
  }
  return marks;
}

void Mark(const std::vector<std::vector<bool>>& marks, std::vector<std::vector<int>>* operands) {
  for (size_t o = 0; o < marks.size(); ++o)
    for (size_t i = 0; i < marks[o].size(); ++i)
      if (marks[o][i]) (*operands)[o][i] = FactorRule::kBroadcastOne;
}

Shape SliceShape(const Shape& shape, Sbp symbol, int64_t parts, int64_t index) {
  Shape part = shape;
  if (symbol.is_split()) {
    const auto [begin, end] = BalancedSlice(shape[symbol.axis()], parts, index);
    part[symbol.axis()] = end - begin;
  }
  return part;
}

// The distinct parts that `signature` makes of `whole`.
void AddParts(const Part& whole, const Signature& signature, int64_t parts,
              std::vector<Part>* out) {
  for (int64_t p = 0; p < parts; ++p) {
    Part part;
    for (size_t i = 0; i < whole.inputs.size(); ++i)
      part.inputs.push_back(SliceShape(whole.inputs[i], signature.inputs[i], parts, p));
    for (size_t i = 0; i < whole.outputs.size(); ++i)
      part.outputs.push_back(SliceShape(whole.outputs[i], signature.outputs[i], parts, p));
    if (std::find(out->begin(), out->end(), part) == out->end()) out->push_back(std::move(part));
  }
}

bool MixesPartials(const std::vector<NdSbp>& operands) {
  for (const NdSbp& nd : operands) {
    const Sbp* partial = nullptr;
    for (const Sbp& symbol : nd) {
      if (!symbol.is_partial()) continue;
      if (partial != nullptr && *partial != symbol) return true;
      partial = &symbol;
    }
  }
  return false;
}

class NdDeriver {
 public:
  NdDeriver(const RuleOf& rule_of, const Shape& hierarchy)
      : rule_of_(rule_of), hierarchy_(hierarchy) {}

  Result<std::vector<NdSignature>> Run(const Part& logical) {
    OFL_ASSIGN(const FactorRule rule, rule_of_(logical.inputs, logical.outputs, hierarchy_[0]));
    broadcast_ = {FindBroadcast(rule.inputs), FindBroadcast(rule.outputs)};
    NdSignature none{std::vector<NdSbp>(logical.inputs.size()),
                     std::vector<NdSbp>(logical.outputs.size())};
    OFL_TRY(Descend(0, {logical}, none));
    return std::move(found_);
  }

 private:
  // The signatures of one mesh axis that hold on every part.
  Result<std::vector<Signature>> Common(std::span<const Part> parts, int64_t n) const {
    const bool all_empty =
        std::all_of(parts.begin(), parts.end(), [](const Part& p) { return p.Empty(); });
    std::vector<Signature> common;
    bool first = true;
    for (const Part& part : parts) {
      // Where nothing is computed nothing can be wrong: only the other parts decide.
      if (part.Empty() && !all_empty) continue;
      OFL_ASSIGN(FactorRule rule, rule_of_(part.inputs, part.outputs, n));
      Mark(broadcast_.inputs, &rule.inputs);
      Mark(broadcast_.outputs, &rule.outputs);
      std::vector<Signature> here = DeriveSignatures(rule);
      if (first) {
        common = std::move(here);
      } else {
        std::erase_if(common, [&here](const Signature& s) {
          return std::find(here.begin(), here.end(), s) == here.end();
        });
      }
      first = false;
    }
    return common;
  }

  Status Descend(int mesh_axis, const std::vector<Part>& parts, const NdSignature& outer) {
    if (mesh_axis == hierarchy_.rank()) {
      found_.push_back(outer);
      return Status::Ok();
    }
    const int64_t n = hierarchy_[mesh_axis];
    OFL_ASSIGN(const std::vector<Signature> common, Common(parts, n));
    for (const Signature& signature : common) {
      NdSignature next = outer;
      for (size_t i = 0; i < next.inputs.size(); ++i) next.inputs[i].push_back(signature.inputs[i]);
      for (size_t i = 0; i < next.outputs.size(); ++i)
        next.outputs[i].push_back(signature.outputs[i]);
      if (MixesPartials(next.inputs) || MixesPartials(next.outputs)) continue;
      std::vector<Part> inner;
      for (const Part& part : parts) AddParts(part, signature, n, &inner);
      OFL_TRY(Descend(mesh_axis + 1, inner, next));
    }
    return Status::Ok();
  }

  const RuleOf& rule_of_;
  const Shape& hierarchy_;
  BroadcastAxes broadcast_;
  std::vector<NdSignature> found_;
};

}  // namespace

Result<std::vector<NdSignature>> DeriveNdSignatures(const RuleOf& rule_of,
                                                    std::span<const Shape> inputs,
                                                    std::span<const Shape> outputs,
                                                    const Shape& hierarchy) {
  OFL_ENSURE(hierarchy.rank() >= 1 && hierarchy.rank() <= kMaxMeshRank, Code::kInvalidArgument)
      << "[sbp] a mesh has 1 to " << kMaxMeshRank << " axes: got " << hierarchy;
  for (int64_t n : hierarchy)
    OFL_ENSURE(n >= 1, Code::kInvalidArgument)
        << "[sbp] a mesh axis has at least one part: got " << hierarchy;
  return NdDeriver(rule_of, hierarchy)
      .Run({{inputs.begin(), inputs.end()}, {outputs.begin(), outputs.end()}});
}

}  // namespace ofl::sbp
