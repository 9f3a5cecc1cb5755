#include "python/src/signature.h"

#include <algorithm>
#include <string_view>

namespace ofl::python {
namespace {

std::string_view Trim(std::string_view s) {
  while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
  while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
  return s;
}

// Splits at commas outside brackets, for defaults such as dim=(0, 1).
std::vector<std::string_view> SplitParams(std::string_view text) {
  std::vector<std::string_view> parts;
  int depth = 0;
  size_t begin = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i == text.size() || (text[i] == ',' && depth == 0)) {
      if (auto part = Trim(text.substr(begin, i - begin)); !part.empty()) parts.push_back(part);
      begin = i + 1;
    } else if (text[i] == '(' || text[i] == '[') {
      ++depth;
    } else if (text[i] == ')' || text[i] == ']') {
      --depth;
    }
  }
  return parts;
}

Status Resolve(const op::OpDef& def, const std::string& signature, Param& param) {
  for (size_t i = 0; i < def.inputs.size(); ++i) {
    if (def.inputs[i].name == param.name) param.operand = static_cast<int>(i);
  }
  for (const op::AttrDef& attr : def.attrs) {
    if (attr.name == param.name) param.attr = &attr;
  }
  OFL_ENSURE((param.operand >= 0) != (param.attr != nullptr), Code::kInternal)
      << "[" << def.name << "] the Python signature names no operand or attribute: got "
      << param.name << " in " << signature;
  return Status::Ok();
}

}  // namespace

Result<OpBinding> ParseSignature(const op::OpDef& def, const op::PyBinding& given) {
  OpBinding binding;
  binding.def = &def;
  binding.preset = &given.preset;
  binding.signature = given.signature;
  const std::string_view text = given.signature;
  const size_t open = text.find('(');
  const size_t close = text.rfind(')');
  OFL_ENSURE(open != text.npos && close != text.npos && close > open, Code::kInternal)
      << "[" << def.name << "] the Python signature is not one: got '" << text << "'";
  binding.name = std::string(Trim(text.substr(0, open)));
  bool keyword_only = false;
  for (std::string_view part : SplitParams(text.substr(open + 1, close - open - 1))) {
    if (part == "/") {
      for (Param& p : binding.params) p.keyword = false;
      continue;
    }
    if (part == "*") {
      keyword_only = true;
      continue;
    }
    if (part.front() == '*') part.remove_prefix(1);  // trailing integers are gathered anyway
    Param param;
    const size_t equals = part.find('=');
    param.name = std::string(Trim(part.substr(0, equals)));
    param.has_default = equals != part.npos;
    param.positional = !keyword_only;
    OFL_TRY(Resolve(def, given.signature, param));
    if (param.positional) ++binding.num_positional;
    binding.params.push_back(std::move(param));
  }
  return binding;
}

bool HasInPlaceForm(const op::OpDef& def) {
  if (!def.Has(op::Trait::kElementwise) || def.py_method.empty() || def.inputs.empty())
    return false;
  return std::ranges::find(def.in_place, std::pair(0, 0)) != def.in_place.end();
}

}  // namespace ofl::python
