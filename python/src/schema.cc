// The registry as plain Python values, for the stub generator, the documentation and the tests.
#include <nanobind/stl/string.h>

#include <string>

#include "python/src/module.h"
#include "python/src/signature.h"

namespace ofl::python {
namespace {

// As the stub generator names types.
const char* TypeNameOf(op::AttrType type) {
  if (type == op::AttrType::kInts) return "ints";
  if (type == op::AttrType::kFloats) return "floats";
  return op::AttrTypeName(type);
}

const char* AutocastName(op::Autocast autocast) {
  switch (autocast) {
    case op::Autocast::kNone: return "none";
    case op::Autocast::kLower: return "lower";
    case op::Autocast::kFloat32: return "float32";
    case op::Autocast::kWidest: return "widest";
  }
  return "?";
}

const char* PromotionName(op::Promotion promotion) {
  switch (promotion) {
    case op::Promotion::kNone: return "none";
    case op::Promotion::kCommon: return "common";
    case op::Promotion::kFloat: return "float";
  }
  return "?";
}

nb::dict Schema(const op::OpDef& def) {
  nb::list inputs, outputs, attrs;
  for (const op::Operand& operand : def.inputs) {
    nb::dict entry;
    entry["name"] = operand.name;
    entry["variadic"] = operand.variadic;
    entry["optional"] = operand.optional;
    entry["mutated"] = operand.mutated;
    inputs.append(entry);
  }
  for (const op::Output& output : def.outputs) {
    nb::dict entry;
    entry["name"] = output.name;
    entry["variadic"] = output.variadic;
    entry["bounded"] = output.bounded;
    outputs.append(entry);
  }
  for (const op::AttrDef& attr : def.attrs) {
    nb::dict entry;
    entry["name"] = attr.name;
    entry["type"] = TypeNameOf(attr.type);
    entry["required"] = !attr.default_value.has_value();
    entry["optional"] = attr.optional;
    attrs.append(entry);
  }
  nb::list dtypes;  // of the first operand, where the CPU has a kernel
  for (DType dtype : AllDTypes())
    if (!def.Providers(DeviceKind::kCpu, dtype).empty()) dtypes.append(DTypeName(dtype));
  nb::dict schema;
  schema["dtypes"] = dtypes;
  schema["name"] = def.name;
  schema["doc"] = def.doc;
  nb::list signatures;
  for (const op::PyBinding& binding : def.py) signatures.append(binding.signature);
  schema["signatures"] = signatures;
  schema["public"] = def.is_public;
  schema["functional"] = def.is_functional;
  schema["in_place"] = HasInPlaceForm(def);
  schema["method"] = def.py_method;
  schema["dunder"] = def.py_dunder;
  schema["rule"] = def.rule_text;
  schema["version"] = def.version;
  schema["composite"] = def.composite;
  schema["gradient"] = def.grad != nullptr;
  schema["random"] = def.Draws();
  schema["generator"] = def.generator;
  schema["oracle"] = def.oracle;
  schema["promotion"] = PromotionName(def.promotion);
  schema["autocast"] = AutocastName(def.autocast);
  schema["inputs"] = inputs;
  schema["outputs"] = outputs;
  schema["attrs"] = attrs;
  return schema;
}

nb::list OpSchemas() {
  nb::list schemas;
  for (const op::OpDef* def : op::OpRegistry::Get().all()) schemas.append(Schema(*def));
  return schemas;
}

}  // namespace

void BindSchema(nb::module_& m) {
  m.def("op_schemas", &OpSchemas,
        "Every registered operator: name, signature, method, inputs, outputs, attributes, doc.");
}

}  // namespace ofl::python
