#include "python/src/reference.h"

#include <algorithm>
#include <map>
#include <set>

namespace ofl::python {
namespace {

std::string KindOf(const op::AttrDef& attr) {
  switch (attr.type) {
    case op::AttrType::kInts: return "int or tuple of ints";
    case op::AttrType::kFloats: return "tuple of floats";
    case op::AttrType::kScalar: return "number";
    default: return op::AttrTypeName(attr.type);
  }
}

std::string KindOf(const op::OpDef& def, const Param& param) {
  if (param.attr != nullptr) return KindOf(*param.attr) + (param.attr->optional ? " or None" : "");
  if (param.inplace) return "bool, whether the result goes into the first tensor";
  if (param.like) return "Tensor, whose shape, dtype and layout the result takes";
  if (param.generator) return "Generator, or None for the default one";
  if (param.Unused()) return "int, of no effect";
  if (param.OnlyNone()) return "None";
  const op::Operand& operand = def.inputs[static_cast<size_t>(param.operand)];
  if (operand.variadic) return "tuple or list of Tensors";
  std::string kind = "Tensor";
  if (operand.optional) kind += " or None";
  if (operand.mutated) kind += ", updated in place";
  if (def.inputs.size() > 1 && operand.promotes && def.promotion != op::Promotion::kNone)
    kind += " or number";
  return kind;
}

std::string Arguments(const OpBinding& binding) {
  std::string text;
  for (const Param& param : binding.params) {
    text += "\n    " + param.name + ": " + KindOf(*binding.def, param);
    if (param.has_default) text += " (" + param.default_text + ")";
  }
  if (!binding.in_place && binding.def->inputs.empty())
    text +=
        "\n    device: 'cpu' or None (None)"
        "\n    placement, sbp: both for a global tensor, neither for a local one\n"
        "    requires_grad: bool (False)";
  const auto& outputs = binding.def->outputs;
  const bool takes_out = binding.like < 0 && !outputs.empty();
  if (takes_out && !outputs.back().variadic && !binding.in_place && !binding.may_be_in_place)
    text += outputs.size() == 1
                ? "\n    out: Tensor, which takes the result, or None (None)"
                : "\n    out: tuple of Tensors, which take the results, or None (None)";
  return text.empty() ? "" : "\n\nArguments:" + text;
}

std::string Returns(const OpBinding& binding) {
  if (binding.in_place) return "\n\nReturns: the first tensor, which holds the result";
  const auto& outputs = binding.def->outputs;
  if (outputs.empty()) return "";
  if (outputs.back().variadic) return "\n\nReturns: a tuple of Tensors";
  std::string text;
  for (const op::Output& output : outputs) text += (text.empty() ? "" : ", ") + output.name;
  if (outputs.size() > 1) return "\n\nReturns: a named tuple of Tensors: " + text;
  return outputs[0].bounded ? "\n\nReturns: a Tensor whose first size depends on values"
                            : "\n\nReturns: a Tensor";
}

std::string DTypesText(const op::OpDef& def) {
  std::string text;
  for (DType dtype : DTypesOf(def))
    text += (text.empty() ? "" : ", ") + std::string(DTypeName(dtype));
  if (text.empty()) return "";
  const std::string of = def.inputs.empty() ? "the result" : def.inputs[0].name;
  const char* promotion = def.promotion == op::Promotion::kCommon  ? "; operands meet in one dtype"
                          : def.promotion == op::Promotion::kFloat ? "; integers become floating"
                                                                   : "";
  return "\n\nDtypes of " + of + ": " + text + promotion;
}

std::string MetasText(const op::OpDef& def, std::span<const TensorMeta> metas, bool outputs,
                      const Attrs& attrs) {
  std::string text;
  for (size_t i = 0; i < metas.size(); ++i) {
    const int at = static_cast<int>(i);
    const std::string name = outputs ? def.OutputAt(at).name : def.InputAt(at, attrs).name;
    text += (text.empty() ? "" : ", ") + name + " " + metas[i].ToString();
  }
  return text;
}

// The first sample: which shapes give which.
std::string Example(const op::OpDef& def) {
  const std::vector<op::Sample> samples = def.samples();
  if (samples.empty()) return "";
  const op::Sample& sample = samples[0];
  const auto attrs = def.CompleteAttrs(sample.attrs);
  if (!attrs.ok()) return "";
  const auto made = def.Infer(sample.inputs, *attrs);
  if (!made.ok() || made->empty()) return "";
  std::string given = MetasText(def, sample.inputs, false, *attrs);
  for (const op::AttrDef& attr : def.attrs) {
    const AttrValue& value = *attrs->Find(attr.name);
    if (attr.default_value && *attr.default_value == value) continue;
    given += (given.empty() ? "" : ", ") + attr.name + "=" + AttrToString(value);
  }
  return "\n\nShapes, for example: " + given + " -> " + MetasText(def, *made, true, *attrs);
}

std::string LayoutAndGradient(const op::OpDef& def) {
  if (def.composite)
    return "\n\nComposed of other operators: layouts and gradients follow from them";
  std::string text;
  if (!def.rule_text.empty()) text += "\n\nLayouts: " + def.rule_text;
  if (!def.not_differentiable.empty()) text += "\n\nNo gradient: " + def.not_differentiable;
  return text;
}

const char* ErrorName(Code code) {
  switch (code) {
    case Code::kInvalidArgument: return "ValueError";
    case Code::kTypeMismatch: return "TypeError";
    case Code::kOutOfRange: return "IndexError";
    case Code::kUnimplemented: return "NotImplementedError";
    default: return "RuntimeError";
  }
}

std::string Errors(const op::OpDef& def) {
  std::map<std::string, std::string> by_type;
  for (const op::ErrorSample& sample : def.error_samples) {
    std::string& texts = by_type[ErrorName(sample.code)];
    const std::string told = "\"" + sample.text.substr(0, sample.text.find(": got")) + "\"";
    if (texts.find(told) == std::string::npos) texts += (texts.empty() ? "" : ", ") + told;
  }
  std::string text;
  for (const auto& [type, texts] : by_type) text += "\n    " + type + ": " + texts;
  return text.empty() ? "" : "\n\nErrors, among others:" + text;
}

}  // namespace

std::vector<DType> DTypesOf(const op::OpDef& def) {
  std::set<DType> found;
  for (const op::KernelEntry& entry : def.kernels)
    if (entry.device == DeviceKind::kCpu) found.insert(entry.dtype);
  if (def.composite) {
    for (const op::Sample& sample : def.samples())
      if (!sample.inputs.empty()) found.insert(sample.inputs[0].dtype);
  }
  std::vector<DType> dtypes;
  for (DType dtype : AllDTypes())
    if (found.contains(dtype)) dtypes.push_back(dtype);
  return dtypes;
}

std::string ReferenceText(const OpBinding& binding) {
  const op::OpDef& def = *binding.def;
  return def.doc + Arguments(binding) + Returns(binding) + DTypesText(def) + Example(def) +
         LayoutAndGradient(def) + Errors(def);
}

}  // namespace ofl::python
