#include "sbp/rule.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <map>
#include <optional>

namespace ofl::sbp {
namespace {

std::string_view Trim(std::string_view text) {
  auto space = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> Words(std::string_view text) {
  std::vector<std::string_view> words;
  for (text = Trim(text); !text.empty(); text = Trim(text)) {
    const size_t end = std::min(text.find_first_of(" \t\n"), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

bool IsName(std::string_view word) {
  if (word.empty() || std::isdigit(static_cast<unsigned char>(word[0]))) return false;
  return std::all_of(word.begin(), word.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_';
  });
}

// One rule's text on its way to a FactorRule.
class Parser {
 public:
  Parser(std::string_view text, std::span<const Shape> inputs, std::span<const Shape> outputs)
      : text_(text), input_shapes_(inputs), output_shapes_(outputs) {}

  Result<FactorRule> Run() {
    std::string_view rest = text_;
    bool first = true;
    while (true) {
      const size_t end = rest.find(';');
      const std::string_view statement = Trim(rest.substr(0, end));
      if (first) {
        OFL_TRY(Axes(statement));
      } else if (!statement.empty()) {
        OFL_TRY(Property(Words(statement)));
      }
      first = false;
      if (end == std::string_view::npos) break;
      rest.remove_prefix(end + 1);
    }
    return std::move(rule_);
  }

 private:
  using Labels = std::vector<std::string_view>;

  ErrorStream Bad() const {
    ErrorStream error(Code::kInvalidArgument);
    error << "[sbp rule] '" << text_ << "': ";
    return error;
  }

  Status Axes(std::string_view statement) {
    const size_t arrow = statement.find("->");
    OFL_ENSURE(arrow != std::string_view::npos, Code::kInvalidArgument)
        << "[sbp rule] '" << text_ << "': the first statement has no '->'";
    std::vector<Labels> inputs, outputs;
    OFL_TRY(Operands(statement.substr(0, arrow), "inputs", input_shapes_.size(), &inputs));
    OFL_TRY(Operands(statement.substr(arrow + 2), "outputs", output_shapes_.size(), &outputs));
    OFL_TRY(Spread(inputs, input_shapes_));
    OFL_TRY(Spread(outputs, output_shapes_));
    OFL_TRY(Bind(inputs, input_shapes_, &rule_.inputs));
    OFL_TRY(Bind(outputs, output_shapes_, &rule_.outputs));
    rule_.num_factors = static_cast<int>(sizes_.size());
    return Status::Ok();
  }

  // "(a b),(c)" as lists of labels.
  Status Operands(std::string_view text, const char* side, size_t expected,
                  std::vector<Labels>* out) const {
    text = Trim(text);
    while (!text.empty()) {
      const size_t close = text.find(')');
      if (text.front() != '(' || close == std::string_view::npos)
        return Bad() << "the " << side << " are not a list of '(labels)'";
      out->push_back(Words(text.substr(1, close - 1)));
      text = Trim(text.substr(close + 1));
      if (text.empty()) break;
      if (text.front() != ',') return Bad() << "a ',' is missing between two " << side;
      text = Trim(text.substr(1));
      if (text.empty()) return Bad() << "the " << side << " end with a ','";
    }
    if (out->size() != expected)
      return Bad() << "got " << out->size() << " " << side << " in the rule; expected " << expected;
    return Status::Ok();
  }

  // Learns the sizes under "...", aligned from the right, from all operands together.
  Status Spread(const std::vector<Labels>& operands, std::span<const Shape> shapes) {
    for (size_t o = 0; o < operands.size(); ++o) {
      const Labels& labels = operands[o];
      const bool dots = !labels.empty() && labels[0] == "...";
      const int named = static_cast<int>(labels.size()) - (dots ? 1 : 0);
      const int leading = shapes[o].rank() - named;
      if (leading < 0 || (!dots && leading > 0))
        return Bad() << "an operand of shape " << shapes[o] << " has " << named << " labels";
      for (int i = 0; i < leading; ++i) {
        const size_t from_right = leading - 1 - i;
        if (dot_sizes_.size() <= from_right) dot_sizes_.resize(from_right + 1, 1);
        int64_t& size = dot_sizes_[from_right];
        const int64_t axis = shapes[o][i];
        if (size == 1) size = axis;
        if (axis != 1 && axis != size)
          return Bad() << "sizes " << size << " and " << axis << " under '...' do not broadcast";
      }
    }
    return Status::Ok();
  }

  Status Bind(const std::vector<Labels>& operands, std::span<const Shape> shapes,
              std::vector<std::vector<int>>* out) {
    for (size_t o = 0; o < operands.size(); ++o) {
      std::vector<int> factors;
      const int leading = shapes[o].rank() - static_cast<int>(operands[o].size()) +
                          (!operands[o].empty() && operands[o][0] == "..." ? 1 : 0);
      for (std::string_view label : operands[o]) {
        if (label == "...") {
          if (label.data() != operands[o][0].data()) return Bad() << "'...' does not come first";
          for (int i = 0; i < leading; ++i)
            factors.push_back(DotFactor(leading - 1 - i, shapes[o][i]));
          continue;
        }
        OFL_ASSIGN(const int factor, Named(label, shapes[o][static_cast<int>(factors.size())]));
        if (factor >= 0 && std::count(factors.begin(), factors.end(), factor) > 0)
          return Bad() << "factor '" << label << "' stands twice in one operand";
        factors.push_back(factor);
      }
      out->push_back(std::move(factors));
    }
    return Status::Ok();
  }

  int DotFactor(int from_right, int64_t size) {
    if (size == 1 && dot_sizes_[from_right] != 1) return FactorRule::kBroadcastOne;
    auto [it, added] = dot_factors_.try_emplace(from_right, static_cast<int>(sizes_.size()));
    if (added) sizes_.push_back(size);
    return it->second;
  }

  Result<int> Named(std::string_view label, int64_t size) {
    if (label == "!") return FactorRule::kUnsplittable;
    if (label == "1") {
      if (size != 1) return Bad() << "an axis labelled '1' has size " << size;
      return FactorRule::kBroadcastOne;
    }
    if (!IsName(label)) return Bad() << "'" << label << "' is not a label";
    auto [it, added] = factors_.try_emplace(label, static_cast<int>(sizes_.size()));
    if (added) sizes_.push_back(size);
    if (sizes_[it->second] != size)
      return Bad() << "factor '" << label << "' has sizes " << sizes_[it->second] << " and "
                   << size;
    return it->second;
  }

  Status Property(const std::vector<std::string_view>& words) {
    const std::string_view what = words[0];
    const std::vector<std::string_view> rest(words.begin() + 1, words.end());
    if (what == "reduce") return Reduce(rest);
    if (what == "offset") return Offset(rest);
    if (what == "linear" && !rest.empty() && rest[0] == "jointly") {
      std::vector<int> group;
      OFL_TRY(Inputs({rest.begin() + 1, rest.end()}, &group));
      rule_.jointly_linear.push_back(std::move(group));
      return Status::Ok();
    }
    if ((what == "max" || what == "min") && !rest.empty() && rest[0] == "jointly") {
      std::vector<int> group;
      OFL_TRY(Inputs({rest.begin() + 1, rest.end()}, &group));
      rule_.jointly_extreme.emplace_back(std::move(group), *ReductionOf(what));
      return Status::Ok();
    }
    if (what == "never" && !rest.empty() && rest[0] == "partial") {
      return NeverPartial({rest.begin() + 1, rest.end()});
    }
    if (what == "linear") return Inputs(rest, &rule_.linear);
    if (what == "monotone") return Inputs(rest, &rule_.monotone);
    if (what == "antitone") return Inputs(rest, &rule_.antitone);
    return Bad() << "'" << what << "' is not a statement";
  }

  Status Inputs(const std::vector<std::string_view>& words, std::vector<int>* out) const {
    if (words.empty()) return Bad() << "a statement names no input";
    for (std::string_view word : words) {
      int index = -1;
      auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), index);
      if (error != std::errc() || end != word.data() + word.size() || index < 0 ||
          index >= static_cast<int>(input_shapes_.size()))
        return Bad() << "'" << word << "' is not an input; there are " << input_shapes_.size();
      if (std::count(out->begin(), out->end(), index) > 0)
        return Bad() << "input " << index << " is named twice";
      out->push_back(index);
    }
    return Status::Ok();
  }

  // The factors a word stands for: one, or all of "...".
  Result<std::vector<int>> Factors(std::string_view word) const {
    std::vector<int> factors;
    if (word == "...") {
      for (const auto& [position, factor] : dot_factors_) factors.push_back(factor);
      return factors;
    }
    const auto it = factors_.find(word);
    if (it == factors_.end()) return Bad() << "there is no factor '" << word << "'";
    factors.push_back(it->second);
    return factors;
  }

  static bool Occurs(const std::vector<std::vector<int>>& operands, int factor) {
    return std::any_of(operands.begin(), operands.end(), [&](const std::vector<int>& axes) {
      return std::count(axes.begin(), axes.end(), factor) > 0;
    });
  }
  bool InAllOutputs(int factor) const {
    return std::all_of(rule_.outputs.begin(), rule_.outputs.end(), [&](const auto& axes) {
      return std::count(axes.begin(), axes.end(), factor) > 0;
    });
  }

  Status Reduce(const std::vector<std::string_view>& words) {
    if (words.size() != 3 || words[1] != "by") return Bad() << "expected 'reduce factor by sum'";
    const std::optional<ReduceOp> op = ReductionOf(words[2]);
    if (!op) return Bad() << "'" << words[2] << "' is not a reduction; known are sum, max, min";
    OFL_ASSIGN(const std::vector<int> factors, Factors(words[0]));
    for (int factor : factors) {
      // Of "..." only the axes that are gone from the outputs are meant.
      const bool reducible = Occurs(rule_.inputs, factor) && !InAllOutputs(factor);
      if (!reducible && words[0] == "...") continue;
      if (!reducible) return Bad() << "factor '" << words[0] << "' is not one of inputs alone";
      for (const auto& [known, known_op] : rule_.reductions)
        if (known == factor) return Bad() << "factor '" << words[0] << "' is reduced twice";
      rule_.reductions.emplace_back(factor, *op);
    }
    return Status::Ok();
  }

  static std::optional<ReduceOp> ReductionOf(std::string_view word) {
    if (word == "sum") return ReduceOp::kSum;
    if (word == "max") return ReduceOp::kMax;
    if (word == "min") return ReduceOp::kMin;
    return std::nullopt;
  }

  Status NeverPartial(const std::vector<std::string_view>& words) {
    if (words.empty()) rule_.never_partial = {ReduceOp::kSum, ReduceOp::kMax, ReduceOp::kMin};
    for (std::string_view word : words) {
      const std::optional<ReduceOp> op = ReductionOf(word);
      if (!op) return Bad() << "'" << word << "' is not a reduction; known are sum, max, min";
      rule_.never_partial.push_back(*op);
    }
    return Status::Ok();
  }

  Status Offset(const std::vector<std::string_view>& words) {
    if (words.empty()) return Bad() << "'offset' names no factor";
    for (std::string_view word : words) {
      OFL_ASSIGN(const std::vector<int> factors, Factors(word));
      for (int factor : factors)
        if (std::count(rule_.offset_factors.begin(), rule_.offset_factors.end(), factor) == 0)
          rule_.offset_factors.push_back(factor);
    }
    return Status::Ok();
  }

  std::string_view text_;
  std::span<const Shape> input_shapes_;
  std::span<const Shape> output_shapes_;
  std::vector<int64_t> dot_sizes_;           // under "...", from the right
  std::map<int, int> dot_factors_;           // position from the right -> factor
  std::map<std::string_view, int> factors_;  // named
  std::vector<int64_t> sizes_;               // of each factor
  FactorRule rule_;
};

// The symbols of one operand when `factor` is split; `without` where it does not have it.
Sbp SymbolOf(const std::vector<int>& axes, int factor, Sbp without) {
  for (size_t i = 0; i < axes.size(); ++i)
    if (axes[i] == factor) return Sbp::Split(static_cast<int>(i));
  return without;
}

Signature AllBroadcast(const FactorRule& rule) {
  return {std::vector<Sbp>(rule.inputs.size()), std::vector<Sbp>(rule.outputs.size())};
}

// `partial` inputs are P(in), all others B, all outputs P(out).
Signature PartialSignature(const FactorRule& rule, const std::vector<int>& partial, ReduceOp in,
                           ReduceOp out) {
  Signature s = AllBroadcast(rule);
  for (int input : partial) s.inputs[input] = Sbp::Partial(in);
  for (Sbp& output : s.outputs) output = Sbp::Partial(out);
  return s;
}

}  // namespace

Result<FactorRule> FactorRule::Parse(std::string_view text, std::span<const Shape> inputs,
                                     std::span<const Shape> outputs) {
  return Parser(text, inputs, outputs).Run();
}

std::vector<Signature> DeriveSignatures(const FactorRule& rule) {
  std::vector<Signature> all{AllBroadcast(rule)};
  auto add = [&all](Signature s) {
    if (std::find(all.begin(), all.end(), s) == all.end()) all.push_back(std::move(s));
  };
  for (int factor = 0; factor < rule.num_factors; ++factor) {
    const auto reduction = std::find_if(rule.reductions.begin(), rule.reductions.end(),
                                        [&](const auto& entry) { return entry.first == factor; });
    Signature s;
    for (const auto& axes : rule.inputs) s.inputs.push_back(SymbolOf(axes, factor, Sbp()));
    bool exists = true;
    for (const auto& axes : rule.outputs) {
      Sbp without;
      if (reduction != rule.reductions.end()) without = Sbp::Partial(reduction->second);
      s.outputs.push_back(SymbolOf(axes, factor, without));
      // A factor that is neither kept nor reduced ties its elements together.
      if (s.outputs.back().is_broadcast()) exists = false;
    }
    if (exists) add(std::move(s));
  }
  constexpr ReduceOp kSum = ReduceOp::kSum, kMax = ReduceOp::kMax, kMin = ReduceOp::kMin;
  for (int input : rule.linear) add(PartialSignature(rule, {input}, kSum, kSum));
  for (const auto& group : rule.jointly_linear) add(PartialSignature(rule, group, kSum, kSum));
  for (int input : rule.monotone) {
    add(PartialSignature(rule, {input}, kMax, kMax));
    add(PartialSignature(rule, {input}, kMin, kMin));
  }
  for (int input : rule.antitone) {
    add(PartialSignature(rule, {input}, kMax, kMin));
    add(PartialSignature(rule, {input}, kMin, kMax));
  }
  for (const auto& [group, op] : rule.jointly_extreme) add(PartialSignature(rule, group, op, op));
  return all;
}

namespace {

template <class Symbol>
std::string Join(const std::vector<Symbol>& symbols) {
  std::string text;
  for (size_t i = 0; i < symbols.size(); ++i) {
    if (i > 0) text += ",";
    text += symbols[i].ToString();
  }
  return text;
}

}  // namespace

std::string Signature::ToString() const { return Join(inputs) + "->" + Join(outputs); }
std::string NdSignature::ToString() const { return Join(inputs) + "->" + Join(outputs); }

}  // namespace ofl::sbp
