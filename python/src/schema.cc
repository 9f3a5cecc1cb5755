// The registry as plain Python values, for the stub generator, the documentation and the tests.
#include <nanobind/stl/string.h>

#include <string>

#include "python/src/module.h"
#include "python/src/reference.h"
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

// Each way Python calls it, as written and as parsed.
nb::list Bindings(const op::OpDef& def) {
  nb::list bindings;
  for (const op::PyBinding& py : def.py) {
    const OpBinding parsed = Unwrap(ParseSignature(def, py));
    nb::dict entry;
    entry["name"] = parsed.name;
    entry["signature"] = py.signature;
    entry["text"] = parsed.signature;
    entry["function"] = py.function;
    nb::list shown;
    for (const std::string& path : py.shown) shown.append(path);
    entry["shown"] = shown;
    bindings.append(entry);
  }
  return bindings;
}

// Methods and properties of Tensor: the bindings behind each, by index.
nb::list Methods(const op::OpDef& def) {
  nb::list methods;
  const auto add = [&](const std::string& name, const std::vector<size_t>& bindings, bool in_place,
                       bool property) {
    nb::list indices, texts;
    for (size_t i : bindings) {
      OpBinding parsed = Unwrap(ParseSignature(def, def.py[i]));
      parsed.name = name;
      parsed.in_place = in_place;
      indices.append(i);
      texts.append(SignatureText(parsed));
    }
    nb::dict entry;
    entry["name"] = name;
    entry["bindings"] = indices;
    entry["texts"] = texts;
    entry["in_place"] = in_place;
    entry["property"] = property;
    methods.append(entry);
  };
  for (const Method& method : MethodsOf(def))
    add(method.name, method.bindings, method.in_place, false);
  for (const std::string& name : def.py_properties)
    add(name, {PropertyBinding(def, name)}, false, true);
  return methods;
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
  nb::list dtypes;
  for (DType dtype : DTypesOf(def)) dtypes.append(DTypeName(dtype));
  nb::dict schema;
  schema["dtypes"] = dtypes;
  schema["name"] = def.name;
  schema["doc"] = def.doc;
  schema["bindings"] = Bindings(def);
  schema["methods"] = Methods(def);
  schema["rule"] = def.rule_text;
  schema["version"] = def.version;
  schema["composite"] = def.composite;
  schema["gradient"] = def.grad != nullptr;
  schema["random"] = def.Draws();
  // Its gradient is not that of differences, and is not meant to be.
  schema["gradient_apart"] = def.Has(op::Trait::kInexactGrad);
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
