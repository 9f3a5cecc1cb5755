// Layout rules against the truth: every derived signature of every operator runs on real shards
// and must give the whole call's result; every legal signature nobody claims must be explained.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/unit/op/evaluator.h"

namespace ofl::op::testing {
namespace {

using sbp::NdSbp;
using sbp::NdSignature;
using sbp::ReduceOp;
using sbp::Sbp;

class EveryRule : public ::testing::TestWithParam<const OpDef*> {
 protected:
  const OpDef& def() const { return *GetParam(); }
};

// One sample with its inputs drawn and its whole result.
struct Whole {
  Sample sample;
  std::string text;
  Hosts inputs;
  std::vector<TensorMeta> outputs;
  Hosts results;
};

Result<Whole> RunSample(const OpDef& def, Sample sample, bool whole, std::mt19937& random) {
  Whole w;
  OFL_ASSIGN(sample.attrs, def.CompleteAttrs(sample.attrs));
  for (const TensorMeta& m : sample.inputs) w.text += m.ToString() + " ";
  w.text += sample.attrs.ToString() + " " + sample.note;
  w.inputs = DrawInputs(sample, whole, random);
  OFL_ASSIGN(w.outputs, def.Infer(sample.inputs, sample.attrs));
  OFL_ASSIGN(w.results, RunWhole(def, w.inputs, sample.attrs));
  w.sample = std::move(sample);
  return w;
}

void CheckSignature(const OpDef& def, const Whole& w, const NdSignature& signature,
                    const Shape& hierarchy, std::mt19937& random) {
  const std::string what =
      def.name + " " + w.text + " on " + hierarchy.ToString() + ": " + signature.ToString();
  for (size_t i = 0; i < w.inputs.size(); ++i) {
    const Status legal =
        sbp::CheckLayout("input", w.inputs[i]->meta().dtype, w.inputs[i]->meta().shape,
                         LayoutOn(hierarchy, signature.inputs[i]));
    // P(sum) of bool has no meaning, nor has P(max) of complex numbers: nobody can ask for it.
    const DType dtype = w.inputs[i]->meta().dtype;
    if (!legal.ok() && (dtype == DType::kBool || IsComplex(dtype) || IsFloat8(dtype))) return;
    ASSERT_TRUE(legal.ok()) << what << "\n" << legal.ToString();
  }
  const auto got =
      RunSharded(def, w.inputs, w.sample.attrs, w.outputs, signature, hierarchy, w.sample, random);
  ASSERT_TRUE(got.ok()) << what << "\n" << got.status().ToString();
  ASSERT_EQ(got->size(), w.results.size()) << what;
  for (size_t i = 0; i < got->size(); ++i)
    EXPECT_EQ(Difference((*got)[i], w.results[i], 4), "") << what << ", result " << i;
}

TEST_P(EveryRule, HoldsOnRealShards) {
  if (def().composite) return;  // its parts have rules
  std::mt19937 random(11);
  for (const Sample& sample : def().samples()) {
    const auto whole = RunSample(def(), sample, true, random);
    ASSERT_TRUE(whole.ok()) << whole.status().ToString();
    for (const Shape& hierarchy : {Shape{2}, Shape{3}, Shape{2, 2}, Shape{2, 3}}) {
      // The larger mesh is for the samples where parts differ in two steps.
      if (hierarchy == Shape{2, 3} && sample.inputs.size() > 2) continue;
      const auto signatures =
          def().Signatures(sample.inputs, whole->outputs, whole->sample.attrs, hierarchy);
      ASSERT_TRUE(signatures.ok()) << whole->text << "\n" << signatures.status().ToString();
      ASSERT_FALSE(signatures->empty());
      for (const NdSbp& nd : (*signatures)[0].inputs) EXPECT_TRUE(nd.AllBroadcast());
      for (const NdSignature& s : *signatures) {
        CheckSignature(def(), *whole, s, hierarchy, random);
        if (HasFailure()) return;
      }
    }
  }
}

// --- signatures nobody claims -------------------------------------------------------------------

bool Wraps(DType dtype) { return IsInteger(dtype) && DTypeSize(dtype) < 4; }

std::vector<Sbp> Symbols(const TensorMeta& meta, bool extremes) {
  std::vector<Sbp> symbols{Sbp::Broadcast()};
  for (int i = 0; i < meta.shape.rank(); ++i) symbols.push_back(Sbp::Split(i));
  // Nothing is added in a storage type. Of numbers that are never negative too much is true.
  if (IsFloat8(meta.dtype) || meta.dtype == DType::kUInt8) return symbols;
  if (meta.dtype != DType::kBool) symbols.push_back(Sbp::Partial(ReduceOp::kSum));
  // Complex numbers have no order, and what narrow integers keep of it ends where they wrap.
  if (IsComplex(meta.dtype) || Wraps(meta.dtype)) return symbols;
  if (extremes) symbols.push_back(Sbp::Partial(ReduceOp::kMax));
  if (extremes) symbols.push_back(Sbp::Partial(ReduceOp::kMin));
  return symbols;
}

// All ways to pick one of each list.
std::vector<std::vector<Sbp>> Product(const std::vector<std::vector<Sbp>>& lists) {
  std::vector<std::vector<Sbp>> all{{}};
  for (const auto& list : lists) {
    std::vector<std::vector<Sbp>> next;
    for (const auto& head : all) {
      for (Sbp s : list) {
        next.push_back(head);
        next.back().push_back(s);
      }
    }
    all = std::move(next);
  }
  return all;
}

NdSignature Lift(const std::vector<Sbp>& inputs, const std::vector<Sbp>& outputs) {
  NdSignature s;
  for (Sbp i : inputs) s.inputs.push_back({i});
  for (Sbp o : outputs) s.outputs.push_back({o});
  return s;
}

// Whether inputs laid out so give the whole result in layout `outputs`.
bool Works(const OpDef& def, const Whole& w, const NdSignature& s, int64_t parts,
           std::mt19937& random) {
  const auto got =
      RunSharded(def, w.inputs, w.sample.attrs, w.outputs, s, {parts}, w.sample, random);
  if (!got.ok()) return false;
  for (size_t i = 0; i < got->size(); ++i)
    if (!Difference((*got)[i], w.results[i], 4).empty()) return false;
  return true;
}

// Local shapes of the outputs follow from the inputs, which rules nearly all combinations out
// before anything runs: a kernel may trust that its shards fit together.
bool ShapesAgree(const OpDef& def, const Whole& w, const NdSignature& s, int64_t parts) {
  for (int member = 0; member < parts; ++member) {
    std::vector<TensorMeta> local = w.sample.inputs;
    std::vector<Shape> local_in, local_out;
    for (size_t i = 0; i < local.size(); ++i) {
      local[i].shape = sbp::LocalShape(local[i].shape, LayoutOn({parts}, s.inputs[i]), member);
      local_in.push_back(local[i].shape);
    }
    for (size_t i = 0; i < w.outputs.size(); ++i)
      local_out.push_back(
          sbp::LocalShape(w.outputs[i].shape, LayoutOn({parts}, s.outputs[i]), member));
    const Attrs attrs =
        def.local_attrs ? def.local_attrs(w.sample.attrs, local_in, local_out) : w.sample.attrs;
    const auto inferred = def.Infer(local, attrs);
    if (!inferred.ok()) return false;
    for (size_t i = 0; i < inferred->size(); ++i)
      if ((*inferred)[i].shape != local_out[i]) return false;
  }
  return true;
}

// Coincidences of small shapes (an axis of size 1 that broadcasts) are no rule; nor are those of
// single integers and truth values, of which there are too few.
bool Generic(const Sample& s, const std::vector<TensorMeta>& outputs) {
  const auto small = [](const TensorMeta& m) {
    return std::ranges::any_of(m.shape, [](int64_t d) { return d < 2; }) ||
           (m.shape.rank() == 0 && !IsFloating(m.dtype));
  };
  return !std::ranges::any_of(s.inputs, small) && !std::ranges::any_of(outputs, small);
}

// The first output layout that works for these inputs, in two sizes of mesh and on other data.
std::optional<NdSignature> FindLegal(const OpDef& def, const std::vector<Whole>& draws,
                                     const std::vector<Sbp>& inputs,
                                     const std::vector<std::vector<Sbp>>& output_choices,
                                     std::mt19937& random) {
  for (const auto& outputs : output_choices) {
    const NdSignature s = Lift(inputs, outputs);
    const auto works = [&](int64_t parts) {
      return ShapesAgree(def, draws[0], s, parts) &&
             std::ranges::all_of(draws,
                                 [&](const Whole& w) { return Works(def, w, s, parts, random); });
    };
    if (works(2) && works(3)) return s;
  }
  return std::nullopt;
}

// Data on which a signature must hold to count as legal: one wrong element ends it.
constexpr int kDraws = 24;
// Bound on the input layouts tried for one sample; operators of many inputs try fewer symbols.
constexpr size_t kMaxCombinations = 6000;

std::vector<std::vector<Sbp>> InputChoices(const Sample& sample) {
  for (bool extremes : {true, false}) {
    std::vector<std::vector<Sbp>> lists;
    size_t count = 1;
    for (const TensorMeta& m : sample.inputs) {
      lists.push_back(Symbols(m, extremes));
      count *= lists.back().size();
    }
    if (count <= kMaxCombinations) return Product(lists);
  }
  return {};
}

// `*` in an explanation stands for any text.
bool Matches(std::string_view pattern, std::string_view text) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == text;
  if (text.substr(0, star) != pattern.substr(0, star)) return false;
  for (size_t at = star; at <= text.size(); ++at)
    if (Matches(pattern.substr(star + 1), text.substr(at))) return true;
  return false;
}

// Partials that the rule says no further signature takes. Variables are never partial: an update
// may not leave its sum to others.
bool NeverTaken(const OpDef& def, const Whole& w, const std::vector<Sbp>& inputs) {
  std::vector<Shape> in, out;
  for (const TensorMeta& meta : w.sample.inputs) in.push_back(meta.shape);
  for (const TensorMeta& meta : w.outputs) out.push_back(meta.shape);
  const auto rule = def.Rule(in, out, w.sample.attrs, 2);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].is_partial()) continue;
    if (def.InputMutated(static_cast<int>(i))) return true;
    if (rule.ok() && std::ranges::count(rule->never_partial, inputs[i].reduce_op()) > 0)
      return true;
  }
  return false;
}

void ReportUnclaimed(const OpDef& def, const Sample& sample, std::mt19937& random) {
  std::vector<Whole> draws;
  for (int i = 0; i < kDraws; ++i) {
    auto w = RunSample(def, sample, i % 3 == 2, random);
    ASSERT_TRUE(w.ok()) << w.status().ToString();
    draws.push_back(std::move(*w));
  }
  if (!Generic(draws[0].sample, draws[0].outputs)) return;
  std::set<std::string> claimed;
  for (int64_t parts : {2, 3}) {
    const auto signatures =
        def.Signatures(sample.inputs, draws[0].outputs, draws[0].sample.attrs, {parts});
    ASSERT_TRUE(signatures.ok());
    for (const NdSignature& s : *signatures) claimed.insert(NdSignature{s.inputs, {}}.ToString());
  }
  std::vector<std::vector<Sbp>> output_lists;
  for (const TensorMeta& m : draws[0].outputs) output_lists.push_back(Symbols(m, true));
  const auto output_choices = Product(output_lists);
  for (const auto& inputs : InputChoices(draws[0].sample)) {
    if (claimed.contains(Lift(inputs, {}).ToString())) continue;
    if (NeverTaken(def, draws[0], inputs)) continue;
    const auto legal = FindLegal(def, draws, inputs, output_choices, random);
    if (!legal) continue;
    std::vector<Sbp> outputs;
    for (const NdSbp& nd : legal->outputs) outputs.push_back(nd[0]);
    const std::string text = sbp::Signature{inputs, outputs}.ToString();
    const bool explained = std::ranges::any_of(
        def.unclaimed, [&](const auto& entry) { return Matches(entry.first, text); });
    EXPECT_TRUE(explained) << def.name << " " << draws[0].text
                           << ": legal, but neither claimed by the rule nor explained: " << text;
  }
}

TEST_P(EveryRule, ClaimsOrExplainsEveryLegalSignature) {
  if (def().composite) return;
  if (def().Draws() && def().inputs.empty()) return;
  std::mt19937 random(12);
  for (const Sample& sample : def().samples()) {
    ReportUnclaimed(def(), sample, random);
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, EveryRule, ::testing::ValuesIn(OpRegistry::Get().all()),
                         [](const auto& info) { return info.param->name; });

}  // namespace
}  // namespace ofl::op::testing
