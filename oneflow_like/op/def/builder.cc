#include "oneflow_like/op/def/builder.h"

#include "oneflow_like/op/def/compose.h"

namespace ofl::op {

Values Builder::CallAll(std::string_view name, Values inputs, Attrs attrs) {
  const OpDef* def = OpRegistry::Get().Find(name);
  OFL_CHECK(def != nullptr) << "a rule calls operator " << name << ", which does not exist";
  const auto nothing = [&] { return Values(def->outputs.size()); };
  if (!status_.ok()) return nothing();
  for (const Value& input : inputs) {
    if (input == nullptr) {
      Fail(Error(Code::kInternal) << "[" << name << "] a rule passed no value for an input");
      return nothing();
    }
  }
  if (NeedsPromotion(*def, inputs, attrs)) {
    auto promoted = PromotedInputs(*this, *def, inputs, attrs);
    if (!promoted.ok()) {
      Fail(promoted.status());
      return nothing();
    }
    inputs = std::move(*promoted);
  }
  auto completed = def->CompleteAttrs(std::move(attrs));
  if (!completed.ok()) {
    Fail(completed.status());
    return nothing();
  }
  if (def->composite) {  // the others are counted where they are applied
    if (Status count = def->CheckArity(static_cast<int>(inputs.size()), *completed); !count.ok()) {
      Fail(std::move(count));
      return nothing();
    }
  }
  Values outputs = def->composite ? def->decompose(*this, inputs, *completed)
                                  : Apply(*def, std::move(inputs), *completed);
  if (!status_.ok()) return nothing();
  const bool any_number = !def->outputs.empty() && def->outputs.back().variadic;
  OFL_CHECK(any_number || outputs.size() == def->outputs.size())
      << "builder returned " << outputs.size() << " outputs of " << name;
  return outputs;
}

Value Builder::Call(std::string_view name, Values inputs, Attrs attrs) {
  Values outputs = CallAll(name, std::move(inputs), std::move(attrs));
  OFL_CHECK(outputs.size() == 1) << "operator " << name << " has " << outputs.size() << " outputs";
  return std::move(outputs[0]);
}

}  // namespace ofl::op
