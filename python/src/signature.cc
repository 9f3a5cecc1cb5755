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

// "*size: shape=None": the name in Python, the name in the definition, the default.
struct Parts {
  std::string name, target, default_text;
  bool starred = false, has_default = false;
};

Parts PartsOf(std::string_view text) {
  Parts parts;
  if (text.front() == '*') {
    parts.starred = true;
    text.remove_prefix(1);
  }
  if (const size_t equals = text.find('='); equals != text.npos) {
    parts.has_default = true;
    parts.default_text = std::string(Trim(text.substr(equals + 1)));
    text = Trim(text.substr(0, equals));
  }
  const size_t colon = text.find(':');
  parts.name = std::string(Trim(text.substr(0, colon)));
  parts.target = colon == text.npos ? parts.name : std::string(Trim(text.substr(colon + 1)));
  return parts;
}

// Whether the result has the shape and place of the first input: its memory may be taken for it.
bool HasInPlaceForm(const op::OpDef& def) {
  return def.Has(op::Trait::kElementwise) && !def.inputs.empty() &&
         std::ranges::find(def.in_place, std::pair(0, 0)) != def.in_place.end();
}

Status Resolve(const op::OpDef& def, const std::string& signature, const std::string& target,
               Param& param) {
  for (size_t i = 0; i < def.inputs.size(); ++i) {
    if (def.inputs[i].name == target) param.operand = static_cast<int>(i);
  }
  for (const op::AttrDef& attr : def.attrs) {
    if (attr.name == target) param.attr = &attr;
  }
  param.like = def.inputs.empty() && target == "input";
  param.inplace = target == "inplace" && HasInPlaceForm(def);
  // A composite's parts draw from it.
  param.generator =
      (def.Draws() && target == def.generator) || (def.composite && target == "generator");
  const bool known =
      (param.operand >= 0) + (param.attr != nullptr) + param.inplace + param.generator == 1;
  OFL_ENSURE(
      known || param.like || param.Unused() || (param.OnlyNone() && param.default_text == "None"),
      Code::kInternal)
      << "[" << def.name << "] the Python signature names no operand or attribute: got "
      << param.name << " in " << signature;
  return Status::Ok();
}

// Sources take a device or a layout, operators of one result a place for it.
std::vector<std::string> ExtrasOf(const OpBinding& binding) {
  if (binding.in_place || binding.may_be_in_place) return {};
  if (binding.def->inputs.empty()) {
    std::vector<std::string> extras = {"device=None", "placement=None", "sbp=None",
                                       "requires_grad=False"};
    if (binding.like < 0) extras.insert(extras.begin(), "out=None");
    return extras;
  }
  const auto& outputs = binding.def->outputs;
  if (!outputs.empty() && !outputs.back().variadic) return {"out=None"};
  return {};
}

Result<Param> ParseParam(const op::OpDef& def, const std::string& signature, std::string_view text,
                         bool keyword_only) {
  Parts parts = PartsOf(text);
  Param param;
  param.name = std::move(parts.name);
  param.has_default = parts.has_default;
  param.default_text = std::move(parts.default_text);
  param.gathers = parts.starred;
  param.positional = !keyword_only;
  OFL_TRY(Resolve(def, signature, parts.target, param));
  param.of_tensor = param.attr != nullptr && param.name.starts_with("tensor_");
  return param;
}

void IndexParams(OpBinding& binding) {
  for (size_t i = 0; i < binding.params.size(); ++i) {
    const Param& p = binding.params[i];
    if (p.positional) ++binding.num_positional;
    if (!p.has_default && !p.gathers) ++binding.num_required;
    if (p.operand >= 0) binding.operands.push_back(static_cast<int>(i));
    binding.may_be_in_place |= p.inplace;
    if (p.like) binding.like = static_cast<int>(i);
  }
  std::ranges::sort(binding.operands, {}, [&](int i) { return binding.params[i].operand; });
}

// A method that writes its result into its tensor: add_, but not __add__.
bool IsInPlaceName(std::string_view name) { return name.ends_with('_') && !name.ends_with("__"); }

}  // namespace

std::string SignatureText(const OpBinding& binding) {
  std::string text;
  bool slash = false, star = false;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  for (const Param& p : binding.params) {
    if (slash && p.keyword) add("/");
    slash = !p.keyword;
    if (!p.positional && !star) add("*");
    star |= !p.positional || p.gathers;
    add((p.gathers ? "*" : "") + p.name + (p.has_default ? "=" + p.default_text : ""));
  }
  if (slash) add("/");
  for (const std::string& extra : ExtrasOf(binding)) {
    if (!star) add("*");
    star = true;
    add(extra);
  }
  return binding.name + "(" + text + ")";
}

Result<OpBinding> ParseSignature(const op::OpDef& def, const op::PyBinding& given) {
  OpBinding binding;
  binding.def = &def;
  binding.preset = &given.preset;
  const std::string_view text = given.signature;
  const size_t open = text.find('(');
  const size_t close = text.rfind(')');
  OFL_ENSURE(open != text.npos && close != text.npos && close > open, Code::kInternal)
      << "[" << def.name << "] the Python signature is not one: got '" << text << "'";
  binding.name = std::string(Trim(text.substr(0, open)));
  binding.in_place = IsInPlaceName(binding.name);
  bool keyword_only = false;
  for (std::string_view part : SplitParams(text.substr(open + 1, close - open - 1))) {
    if (part == "/") {
      for (Param& p : binding.params) p.keyword = false;
    } else if (part == "*") {
      keyword_only = true;
    } else {
      OFL_ASSIGN(Param param, ParseParam(def, given.signature, part, keyword_only));
      keyword_only |= param.gathers;
      binding.params.push_back(std::move(param));
    }
  }
  IndexParams(binding);
  binding.signature = SignatureText(binding);
  return binding;
}

namespace {

// The bindings that are called `name`, or for a method `name_` without one of its own, `name`
// without its last letter.
std::vector<size_t> BindingsNamed(const op::OpDef& def, std::string_view name) {
  std::vector<size_t> found;
  for (size_t i = 0; i < def.py.size(); ++i)
    if (op::NameOf(def.py[i]) == name) found.push_back(i);
  if (found.empty() && IsInPlaceName(name))
    return BindingsNamed(def, name.substr(0, name.size() - 1));
  if (found.empty()) found.push_back(0);
  return found;
}

// Likewise for a method: bindings of methods alone are all that it has, unless another of the name
// is a method too. Tensor.where(condition, other) is not where(condition, input, other).
std::vector<size_t> MethodBindings(const op::OpDef& def, const std::string& name) {
  std::vector<size_t> found = BindingsNamed(def, name);
  const auto is_own = [&](size_t i) { return !def.py[i].function; };
  if (std::ranges::count(def.py_methods, name) == std::ranges::count_if(found, is_own))
    std::erase_if(found, [&](size_t i) { return !is_own(i); });
  return found;
}

// Python's in-place operators; of others x op= y makes a new tensor.
std::string InPlaceDunder(const std::string& dunder) {
  static constexpr std::string_view kKnown[] = {
      "__add__", "__sub__", "__mul__", "__truediv__", "__floordiv__", "__mod__",
      "__pow__", "__and__", "__or__",  "__xor__",     "__lshift__",   "__rshift__"};
  return std::ranges::count(kKnown, dunder) > 0 ? "__i" + dunder.substr(2) : "";
}

}  // namespace

std::vector<Method> MethodsOf(const op::OpDef& def) {
  std::vector<Method> methods;
  const auto add = [&](std::string name, std::vector<size_t> bindings, bool in_place) {
    for (const Method& known : methods)
      if (known.name == name) return;
    methods.push_back({std::move(name), std::move(bindings), in_place});
  };
  for (const std::string& name : def.py_methods)
    add(name, MethodBindings(def, name), IsInPlaceName(name));
  if (!def.py_dunder.empty()) add(def.py_dunder, {0}, false);
  if (!HasInPlaceForm(def) || def.py_methods.empty()) return methods;  // else `name_` follows
  const std::string& first = def.py_methods.front();
  if (!IsInPlaceName(first)) add(first + "_", BindingsNamed(def, first), true);
  if (std::string name = InPlaceDunder(def.py_dunder); !name.empty())
    add(std::move(name), {0}, true);
  return methods;
}

size_t PropertyBinding(const op::OpDef& def, std::string_view name) {
  return BindingsNamed(def, name).front();
}

}  // namespace ofl::python
