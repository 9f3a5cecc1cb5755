#include "oneflow_like/op/def/op_def.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "oneflow_like/op/def/compose.h"
#include "oneflow_like/op/def/providers.h"

namespace ofl::op {
namespace {

bool IsNumber(const AttrValue& value) {
  return std::holds_alternative<bool>(value) || std::holds_alternative<int64_t>(value) ||
         std::holds_alternative<double>(value) ||
         std::holds_alternative<std::complex<double>>(value);
}

bool HoldsType(const AttrValue& value, AttrType type) {
  switch (type) {
    case AttrType::kBool: return std::holds_alternative<bool>(value);
    case AttrType::kInt: return std::holds_alternative<int64_t>(value);
    case AttrType::kFloat: return std::holds_alternative<double>(value);
    case AttrType::kScalar: return IsNumber(value);
    case AttrType::kString: return std::holds_alternative<std::string>(value);
    case AttrType::kInts: return std::holds_alternative<std::vector<int64_t>>(value);
    case AttrType::kFloats: return std::holds_alternative<std::vector<double>>(value);
    case AttrType::kDType: return std::holds_alternative<DType>(value);
  }
  return false;
}

std::string AttrNames(const OpDef& def) {
  std::string text;
  for (const AttrDef& a : def.attrs) text += (text.empty() ? "" : ", ") + a.name;
  return text.empty() ? "none" : text;
}

// "input: float32[2,3], dim=5": operands, and the attributes that differ from their defaults.
std::string Got(const OpDef& def, std::span<const TensorMeta> inputs, const Attrs& attrs) {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto [index, at] = def.OperandOf(static_cast<int>(i), attrs);
    std::string name = def.inputs[static_cast<size_t>(index)].name;
    if (def.inputs[static_cast<size_t>(index)].variadic) name += "[" + std::to_string(at) + "]";
    add(name + ": " + inputs[i].ToString());
  }
  for (const AttrDef& a : def.attrs) {
    const AttrValue* value = attrs.Find(a.name);
    if (value == nullptr || (a.default_value && *a.default_value == *value)) continue;
    add(a.name + "=" + AttrToString(*value));
  }
  return text;
}

// Puts what the call was given between what is wrong and what was expected, unless the text says it
// already: a composition does.
Status Wrap(const OpDef& def, const Status& cause, const std::string& got) {
  std::string text = cause.message();
  if (text.starts_with("[" + def.name + "] ")) text.erase(0, def.name.size() + 3);
  if (!got.empty() && text.find(": got ") == text.npos) {
    const size_t at = text.find("; ");
    text.insert(std::min(at, text.size()), ": got " + got);
  }
  return Status(cause.code(), "[" + def.name + "] " + text);
}

Status CheckInputCount(const OpDef& def, size_t given) {
  const size_t most = def.inputs.size();
  size_t least = 0;
  bool variadic = false;
  for (const Operand& operand : def.inputs) {
    if (!operand.optional) ++least;
    variadic |= operand.variadic;
  }
  if (given >= least && (variadic || given <= most)) return Status::Ok();
  ErrorStream error(Code::kInvalidArgument);
  error << "wrong number of tensor inputs: got " << given << "; expected ";
  if (variadic) {
    error << "at least " << least;
  } else if (least == most) {
    error << most;
  } else {
    error << least << " to " << most;
  }
  std::string names;
  for (const Operand& operand : def.inputs) names += (names.empty() ? "" : ", ") + operand.name;
  if (!names.empty()) error << " (" << names << ")";
  return error;
}

// Whatever an operator's own inference combined: what comes after it may count on these bounds.
Status CheckShapes(std::span<const TensorMeta> metas, const char* whose) {
  for (const TensorMeta& meta : metas) {
    const Status fits = meta.shape.Check();
    OFL_ENSURE(fits.ok(), fits.code())
        << whose << " a shape that no tensor has (" << fits.message() << "); expected at most "
        << kMaxRank << " axes and 2^48 elements";
  }
  return Status::Ok();
}

}  // namespace

const char* AttrTypeName(AttrType type) {
  switch (type) {
    case AttrType::kBool: return "bool";
    case AttrType::kInt: return "int";
    case AttrType::kFloat: return "float";
    case AttrType::kScalar: return "number";
    case AttrType::kString: return "str";
    case AttrType::kInts: return "list of int";
    case AttrType::kFloats: return "list of float";
    case AttrType::kDType: return "dtype";
  }
  return "?";
}

bool Allows(Access access, const Shape& shape, const Strides& strides) {
  if (access == Access::kStrided || IsDense(shape, strides)) return true;
  const int rank = shape.rank();
  if (access == Access::kDense || rank < 2) return false;
  constexpr int64_t kFurthest = std::numeric_limits<int32_t>::max();  // of libraries' integers
  const auto lies = [&](int row, int column) {
    const bool apart =
        strides[row] >= std::max<int64_t>(shape[column], 1) && strides[row] <= kFurthest;
    return (strides[column] == 1 || shape[column] == 1) && (apart || shape[row] == 1);
  };
  return lies(rank - 2, rank - 1) || lies(rank - 1, rank - 2);
}

bool OpDef::Has(Trait t) const { return std::ranges::find(traits, t) != traits.end(); }

bool OpDef::InputMutated(int i, const Attrs& given) const {
  return !inputs.empty() && InputAt(i, given).mutated;
}

bool OpDef::NeedsArity() const {
  if (any_missing) return true;
  bool list = false, optional = false;
  for (const Operand& operand : inputs) {
    // After a list, or after an operand that may be missing, positions tell nothing.
    if (list || (optional && !operand.optional)) return true;
    list = operand.variadic;
    optional |= operand.optional;
  }
  return list && optional;
}

std::pair<int, int> OpDef::OperandOf(int input, const Attrs& given) const {
  OFL_CHECK(!inputs.empty()) << "operator " << name << " has no inputs";
  const int last = static_cast<int>(inputs.size()) - 1;
  if (!NeedsArity()) return {std::min(input, last), std::max(input - last, 0)};
  const auto* counts = given.Maybe<std::vector<int64_t>>(kArity);
  const bool fits =
      counts != nullptr && counts->size() == inputs.size();  // else CheckArity refuses
  for (int operand = 0; fits && operand <= last; ++operand) {
    const int64_t count = (*counts)[static_cast<size_t>(operand)];
    if (input < count) return {operand, input};
    input -= static_cast<int>(count);
  }
  return {last, input};
}

Status OpDef::CheckArity(int num_inputs, const Attrs& given) const {
  if (!NeedsArity()) {
    const Status count = CheckInputCount(*this, static_cast<size_t>(num_inputs));
    return count.ok() ? count : Wrap(*this, count, "");
  }
  const auto* counts = given.Maybe<std::vector<int64_t>>(kArity);
  OFL_ENSURE(counts != nullptr && counts->size() == inputs.size(), Code::kInvalidArgument)
      << "[" << name << "] its lists and optional operands need attribute '" << kArity << "': got "
      << (counts == nullptr ? "none" : std::to_string(counts->size()) + " counts")
      << "; expected one count for each of " << inputs.size() << " operands";
  int64_t total = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const int64_t count = (*counts)[i];
    const int64_t least = inputs[i].optional || inputs[i].variadic ? 0 : 1;
    OFL_ENSURE(count >= least && (inputs[i].variadic || count <= 1), Code::kInvalidArgument)
        << "[" << name << "] operand '" << inputs[i].name << "' cannot have this many tensors: got "
        << count << "; expected "
        << (inputs[i].variadic ? "0 or more"
            : least            ? "1"
                               : "0 or 1");
    total = SaturatingAdd(total, count);
  }
  OFL_ENSURE(total == num_inputs, Code::kInvalidArgument)
      << "[" << name << "] counts and tensors differ: got counts for " << total << " and "
      << num_inputs << " tensors";
  return Status::Ok();
}

const Operand& OpDef::InputAt(int i, const Attrs& given) const {
  return inputs[static_cast<size_t>(OperandOf(i, given).first)];
}

const Output& OpDef::OutputAt(int i) const {
  OFL_CHECK(!outputs.empty()) << "operator " << name << " has no outputs";
  return outputs[std::min<size_t>(i, outputs.size() - 1)];
}

std::vector<const KernelProvider*> OpDef::Providers(DeviceKind device, DType dtype) const {
  std::vector<const KernelProvider*> found;
  for (const KernelEntry& entry : kernels)
    if (entry.device == device && entry.dtype == dtype) found.push_back(&entry.provider);
  return found;
}

Result<KernelBounds> OpDef::Bounds(DeviceKind device, std::span<const TensorMeta> input_metas,
                                   std::span<const TensorMeta> output_metas, const Attrs& given,
                                   int threads) const {
  OFL_ENSURE(!input_metas.empty() || !output_metas.empty(), Code::kInternal)
      << "[" << name << "] has neither inputs nor outputs to choose a kernel by";
  const DType dtype = input_metas.empty() ? output_metas[0].dtype : input_metas[0].dtype;
  // A dry run on the null device accounts what the CPU would take.
  const DeviceKind counted = device == DeviceKind::kNull ? DeviceKind::kCpu : device;
  KernelBounds bounds;
  const auto most = [&](int64_t& most, BoundFn bound) {
    if (bound != nullptr) most = std::max(most, bound(input_metas, output_metas, given, threads));
  };
  const auto providers = ProvidersOf(*this, counted, dtype);
  for (const KernelProvider* provider : providers) {
    most(bounds.scratch, provider->bound);
    most(bounds.state, provider->state);
  }
  if (!providers.empty() || device == DeviceKind::kNull) return bounds;
  std::string got, exist;
  for (const TensorMeta& m : input_metas) got += (got.empty() ? "" : ", ") + m.ToString();
  for (const KernelEntry& entry : kernels) {
    const std::string dtype_name = DTypeName(entry.dtype);
    const bool listed = exist.find(dtype_name) != std::string::npos;
    if (entry.device == device && !listed) exist += (exist.empty() ? "" : ", ") + dtype_name;
  }
  if (exist.empty()) {
    return Error(Code::kUnimplemented)
           << "[" << name << "] no kernel for device " << DeviceKindName(device) << ": got "
           << (got.empty() ? "no inputs" : got) << "; this build has kernels for cpu only";
  }
  return Error(Code::kUnimplemented)
         << "[" << name << "] no " << DeviceKindName(device) << " kernel for " << DTypeName(dtype)
         << ": got " << (got.empty() ? "no inputs" : got) << "; expected one of: " << exist
         << "; cast the input first";
}

Result<Attrs> OpDef::CompleteAttrs(Attrs given) const {
  for (const auto& [key, value] : given) {
    const bool arity = key == kArity && NeedsArity(), draw = key == kDraw && Draws();
    const bool known = arity || draw ||
                       std::ranges::any_of(attrs, [&](const AttrDef& a) { return a.name == key; });
    OFL_ENSURE(known, Code::kInvalidArgument)
        << "[" << name << "] no attribute is named '" << key << "': got " << key << "="
        << AttrToString(value) << "; expected one of: " << AttrNames(*this);
    OFL_ENSURE(!draw || Draw::Of(given).has_value(), Code::kTypeMismatch)
        << "[" << name << "] '" << kDraw << "' is no draw of '" << generator << "': got "
        << AttrToString(value) << "; expected [seed, offset], or [seed, offset, generator]";
  }
  for (const AttrDef& a : attrs) {
    const AttrValue* value = given.Find(a.name);
    if (value == nullptr) {
      OFL_ENSURE(a.default_value.has_value(), Code::kInvalidArgument)
          << "[" << name << "] attribute '" << a.name << "' is missing; expected a value of type "
          << AttrTypeName(a.type);
      given.Set(a.name, *a.default_value);
    } else if (a.type == AttrType::kFloat && std::holds_alternative<int64_t>(*value)) {
      given.Set(a.name, static_cast<double>(std::get<int64_t>(*value)));
    } else if (a.type == AttrType::kFloats &&
               std::holds_alternative<std::vector<int64_t>>(*value)) {
      const auto ints = std::get<std::vector<int64_t>>(*value);
      given.Set(a.name, std::vector<double>(ints.begin(), ints.end()));
    } else {
      const bool none = a.optional && std::holds_alternative<NoValue>(*value);
      OFL_ENSURE(none || HoldsType(*value, a.type), Code::kTypeMismatch)
          << "[" << name << "] attribute '" << a.name << "' has the wrong type: got "
          << AttrToString(*value) << "; expected a value of type " << AttrTypeName(a.type);
    }
  }
  return given;
}

Result<std::vector<TensorMeta>> OpDef::Infer(std::span<const TensorMeta> metas,
                                             const Attrs& given) const {
  OFL_TRY(CheckArity(static_cast<int>(metas.size()), given));
  if (Status cause = CheckShapes(metas, "an operand has"); !cause.ok())
    return Wrap(*this, cause, Got(*this, metas, given));
  if (composite) {
    auto inferred = InferComposite(*this, metas, given);
    if (!inferred.ok()) return Wrap(*this, inferred.status(), Got(*this, metas, given));
    return inferred;
  }
  InferContext context(metas, given);
  Status cause = infer(context);
  if (cause.ok()) cause = CheckShapes(context.outputs, "the result would have");
  if (!cause.ok()) return Wrap(*this, cause, Got(*this, metas, given));
  const bool any_number = !outputs.empty() && outputs.back().variadic;
  OFL_CHECK(any_number || context.outputs.size() == outputs.size())
      << "operator " << name << " inferred " << context.outputs.size() << " outputs, declares "
      << outputs.size();
  return std::move(context.outputs);
}

int64_t OpDef::Flops(std::span<const TensorMeta> ins, std::span<const TensorMeta> outs,
                     const Attrs& given) const {
  if (flops != nullptr) return flops(ins, outs, given);
  return outs.empty() ? 0 : outs[0].shape.numel();
}

Result<sbp::FactorRule> OpDef::Rule(std::span<const Shape> ins, std::span<const Shape> outs,
                                    const Attrs& given, int64_t parts) const {
  Result<sbp::FactorRule> rule =
      rule_fn != nullptr
          ? rule_fn(ins, outs, given, parts)
          : sbp::FactorRule::Parse(
                rule_text_fn != nullptr ? rule_text_fn(ins, outs, given) : rule_text, ins, outs);
  if (!rule.ok()) return Wrap(*this, rule.status(), "");
  return rule;
}

namespace {

// What the sum of a rule means for a dtype that cannot be added up over ranks: of truth values it
// is "or", the largest; storage types have none. False where the signature means nothing.
bool FitPartials(std::span<const TensorMeta> metas, std::vector<sbp::NdSbp>& layouts) {
  for (size_t i = 0; i < metas.size(); ++i) {
    for (int axis = 0; axis < layouts[i].rank(); ++axis) {
      sbp::Sbp& symbol = layouts[i][axis];
      if (!symbol.is_partial()) continue;
      const bool sum = symbol.reduce_op() == sbp::ReduceOp::kSum;
      if (IsFloat8(metas[i].dtype) || (IsComplex(metas[i].dtype) && !sum)) return false;
      if (metas[i].dtype == DType::kBool && sum) symbol = sbp::Sbp::Partial(sbp::ReduceOp::kMax);
    }
  }
  return true;
}

}  // namespace

Result<std::vector<sbp::NdSignature>> OpDef::Signatures(std::span<const TensorMeta> input_metas,
                                                        std::span<const TensorMeta> output_metas,
                                                        const Attrs& given,
                                                        const Shape& hierarchy) const {
  const auto shapes_of = [](std::span<const TensorMeta> metas) {
    std::vector<Shape> shapes;
    for (const TensorMeta& m : metas) shapes.push_back(m.shape);
    return shapes;
  };
  const sbp::RuleOf rule_of = [&](std::span<const Shape> ins, std::span<const Shape> outs,
                                  int64_t parts) { return Rule(ins, outs, given, parts); };
  OFL_ASSIGN(auto all, sbp::DeriveNdSignatures(rule_of, shapes_of(input_metas),
                                               shapes_of(output_metas), hierarchy));
  // Rules see no dtypes. Integers wrap: what wraps in ordinary use keeps no order, and a sum that
  // wraps is another one in a wider type.
  const auto wraps = [&](const sbp::NdSignature& signature) {
    for (size_t i = 0; i < input_metas.size(); ++i) {
      const DType dtype = input_metas[i].dtype;
      if (!IsInteger(dtype)) continue;
      const bool narrow = DTypeSize(dtype) < sizeof(int32_t);
      const bool widened = !output_metas.empty() && IsInteger(output_metas[0].dtype) &&
                           DTypeSize(output_metas[0].dtype) > DTypeSize(dtype);
      for (int axis = 0; axis < signature.inputs[i].rank(); ++axis) {
        const sbp::Sbp symbol = signature.inputs[i][axis];
        if (!symbol.is_partial()) continue;
        if (symbol.reduce_op() == sbp::ReduceOp::kSum ? widened : narrow) return true;
      }
    }
    return false;
  };
  std::erase_if(all, wraps);
  std::erase_if(all, [&](sbp::NdSignature& signature) {
    return !FitPartials(output_metas, signature.outputs);
  });
  return all;
}

}  // namespace ofl::op
