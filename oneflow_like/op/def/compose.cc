#include "oneflow_like/op/def/compose.h"

#include "oneflow_like/op/def/promotion.h"

namespace ofl::op {
namespace {

Result<Values> InferValues(const OpDef& op, const Values& inputs, const Attrs& attrs) {
  std::vector<TensorMeta> metas;
  for (const Value& input : inputs) metas.push_back(input->meta());
  OFL_ASSIGN(Attrs complete, op.CompleteAttrs(attrs));
  OFL_ASSIGN(std::vector<TensorMeta> inferred, op.Infer(metas, complete));
  Values outputs;
  for (const TensorMeta& meta : inferred) outputs.emplace_back(new MetaValue(meta));
  return outputs;
}

}  // namespace

Values MetaBuilder::Apply(const OpDef& op, Values inputs, const Attrs& attrs) {
  if (!status_.ok()) return Values(op.outputs.size());
  auto outputs = InferValues(op, inputs, attrs);
  if (outputs.ok()) return std::move(outputs).value();
  Fail(outputs.status());
  return Values(op.outputs.size());
}

Value WrittenBack(Builder& b, const OpDef& view, const Attrs& attrs, const Value& base,
                  const Value& value) {
  if (!view.write_back.empty()) return b.Call(view.write_back, {base, value}, attrs);
  const Shape& shape = base->meta().shape;
  return b.Call("reshape", {value}, {{"shape", DimsOf(shape)}});
}

bool NeedsPromotion(const OpDef& def, std::span<const Value> inputs, const Attrs& attrs) {
  if (def.promotion == Promotion::kNone || inputs.empty()) return false;
  size_t count = inputs.size();  // without those at the end that keep out, as an index does
  while (count > 1 && !def.InputAt(static_cast<int>(count) - 1, attrs).promotes) --count;
  const DType last = inputs[count - 1]->meta().dtype;
  for (size_t i = 0; i + 1 < count; ++i) {
    if (inputs[i]->meta().dtype != last && def.InputAt(static_cast<int>(i), attrs).promotes)
      return true;
  }
  return def.promotion == Promotion::kFloat && CategoryOf(last) < DTypeCategory::kFloating;
}

Result<Values> PromotedInputs(Builder& builder, const OpDef& def, std::span<const Value> inputs,
                              const Attrs& attrs) {
  Values promoted(inputs.begin(), inputs.end());
  std::vector<TypedOperand> typed;
  std::string got;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Operand& operand = def.InputAt(static_cast<int>(i), attrs);
    if (operand.promotes) typed.push_back(TypedOf(inputs[i]->meta()));
    got += (i > 0 ? ", " : "") + operand.name + ": " + inputs[i]->meta().ToString();
  }
  if (def.number_forms.negate_right) {
    for (const TypedOperand& operand : typed) {
      OFL_ENSURE(operand.dtype != DType::kBool, Code::kTypeMismatch)
          << "[" << def.name << "] " << kNoDifferenceOfBool << ": got " << got
          << "; expected numbers; ~ turns a mask, ^ says where two masks differ";
    }
  }
  const auto dtype = PromotedDType(def, typed);
  if (!dtype.ok()) {
    return Error(dtype.status().code())
           << "[" << def.name << "] " << dtype.status().message() << ": got " << got;
  }
  for (size_t i = 0; *dtype && i < inputs.size(); ++i) {
    if (inputs[i]->meta().dtype == **dtype || !def.InputAt(static_cast<int>(i), attrs).promotes)
      continue;
    promoted[i] = builder.Call("cast", {inputs[i]}, {{"dtype", **dtype}});
    OFL_TRY(builder.status());
  }
  return promoted;
}

Result<std::vector<TensorMeta>> InferComposite(const OpDef& def, std::span<const TensorMeta> metas,
                                               const Attrs& attrs) {
  MetaBuilder builder;
  Values inputs;
  for (const TensorMeta& meta : metas) inputs.emplace_back(new MetaValue(meta));
  const Values outputs = def.decompose(builder, inputs, attrs);
  OFL_TRY(builder.status());
  std::vector<TensorMeta> inferred;
  for (const Value& output : outputs) inferred.push_back(output->meta());
  return inferred;
}

}  // namespace ofl::op
