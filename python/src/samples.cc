// The registry's own examples and a way to call any operator by name: what the tests need to hold
// every operator against a reference. Attributes are given exactly: a float as 2.0, not 2.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "oneflow_like/tensor/dispatch.h"
#include "python/src/module.h"

namespace ofl::python {
namespace {

nb::object AttrObject(const AttrValue& value) {
  struct Visitor {
    nb::object operator()(bool v) const { return nb::cast(v); }
    nb::object operator()(int64_t v) const { return nb::cast(v); }
    nb::object operator()(double v) const { return nb::cast(v); }
    nb::object operator()(const std::string& v) const { return nb::cast(v); }
    nb::object operator()(DType v) const { return DTypeObject(v); }
    nb::object operator()(const std::vector<int64_t>& v) const {
      nb::list list;
      for (int64_t i : v) list.append(i);
      return list;
    }
    nb::object operator()(std::complex<double> v) const {
      return nb::steal(PyComplex_FromDoubles(v.real(), v.imag()));
    }
    nb::object operator()(const std::vector<double>& v) const {
      nb::list list;
      for (double f : v) list.append(f);
      return list;
    }
    nb::object operator()(NoValue) const { return nb::none(); }
  };
  return std::visit(Visitor(), value);
}

// By the Python type alone, so that a wrong type reaches the operator's own check.
Result<AttrValue> AttrFromObject(const std::string& name, nb::handle object) {
  if (nb::isinstance<nb::bool_>(object)) return AttrValue(nb::cast<bool>(object));
  if (nb::isinstance<nb::int_>(object)) return AttrValue(nb::cast<int64_t>(object));
  if (nb::isinstance<nb::float_>(object)) return AttrValue(nb::cast<double>(object));
  if (nb::isinstance<nb::str>(object)) return AttrValue(nb::cast<std::string>(object));
  if (object.is_none()) return AttrValue(NoValue{});
  if (PyComplex_Check(object.ptr())) {
    const Py_complex c = PyComplex_AsCComplex(object.ptr());
    return AttrValue(std::complex<double>(c.real, c.imag));
  }
  if (nb::isinstance<nb::list>(object) || nb::isinstance<nb::tuple>(object)) {
    std::vector<int64_t> list;
    std::vector<double> floats;
    for (nb::handle item : object) {
      if (nb::isinstance<nb::float_>(item))
        floats.push_back(nb::cast<double>(item));
      else
        list.push_back(nb::cast<int64_t>(item));
    }
    OFL_ENSURE(list.empty() || floats.empty(), Code::kTypeMismatch)
        << "[call_op] attribute '" << name << "' mixes ints and floats; expected one type";
    if (!floats.empty()) return AttrValue(std::move(floats));
    return AttrValue(std::move(list));
  }
  DType dtype = DType::kFloat32;
  OFL_ENSURE(DTypeFrom(object.ptr(), &dtype), Code::kTypeMismatch)
      << "[call_op] attribute '" << name << "' has no attribute's type: got "
      << TypeNameOf(object.ptr()) << "; expected bool, int, float, str, list of int or dtype";
  return AttrValue(dtype);
}

nb::dict AttrsObject(const Attrs& attrs) {
  nb::dict dict;
  for (const auto& [name, value] : attrs) dict[name.c_str()] = AttrObject(value);
  return dict;
}

Attrs AttrsFromObject(const nb::dict& dict) {
  Attrs attrs;
  for (auto [key, value] : dict) {
    const std::string name = nb::cast<std::string>(key);
    attrs.Set(name, Unwrap(AttrFromObject(name, value)));
  }
  return attrs;
}

nb::list MetasObject(std::span<const TensorMeta> metas) {
  nb::list list;
  for (const TensorMeta& meta : metas)
    list.append(nb::make_tuple(DTypeObject(meta.dtype), SizeObject(meta.shape)));
  return list;
}

const op::OpDef& Require(const std::string& name) {
  return *Unwrap(op::OpRegistry::Get().Require(name));
}

nb::list OpSamples(const std::string& name) {
  const op::OpDef& def = Require(name);
  nb::list list;
  if (!def.samples) return list;
  for (const op::Sample& sample : def.samples()) {
    nb::dict entry;
    entry["inputs"] = MetasObject(sample.inputs);
    entry["attrs"] = AttrsObject(sample.attrs);
    entry["low"] = sample.low;
    entry["high"] = sample.high;
    nb::list ranges;
    for (size_t i = 0; i < sample.inputs.size(); ++i)
      ranges.append(nb::make_tuple(sample.RangeOf(i).first, sample.RangeOf(i).second));
    entry["ranges"] = ranges;
    entry["note"] = sample.note;
    list.append(entry);
  }
  return list;
}

nb::list OpErrorSamples(const std::string& name) {
  nb::list list;
  for (const op::ErrorSample& sample : Require(name).error_samples) {
    nb::dict entry;
    entry["inputs"] = MetasObject(sample.inputs);
    entry["attrs"] = AttrsObject(sample.attrs);
    entry["code"] = CodeName(sample.code);
    entry["text"] = sample.text;
    list.append(entry);
  }
  return list;
}

nb::dict CompleteAttrs(const std::string& name, const nb::dict& attrs) {
  return AttrsObject(Unwrap(Require(name).CompleteAttrs(AttrsFromObject(attrs))));
}

std::vector<TensorMeta> MetasFromObject(const nb::list& inputs) {
  std::vector<TensorMeta> metas;
  for (nb::handle input : inputs) {
    const auto [dtype, sizes] = nb::cast<std::pair<nb::object, nb::object>>(input);
    TensorMeta meta;
    if (!DTypeFrom(dtype.ptr(), &meta.dtype)) throw nb::type_error("a dtype is expected");
    for (nb::handle size : sizes) meta.shape.push_back(nb::cast<int64_t>(size));
    metas.push_back(meta);
  }
  return metas;
}

// As it stands, without the promotion of dtypes that calls make.
nb::list InferOp(const std::string& name, const nb::list& inputs, const nb::dict& attrs) {
  const op::OpDef& def = Require(name);
  const std::vector<TensorMeta> metas = MetasFromObject(inputs);
  const Attrs complete = Unwrap(def.CompleteAttrs(AttrsFromObject(attrs)));
  return MetasObject(Unwrap(def.Infer(metas, complete)));
}

nb::list LayoutsObject(std::span<const sbp::NdSbp> layouts) {
  nb::list list;
  for (const sbp::NdSbp& layout : layouts) {
    nb::list symbols;
    for (sbp::Sbp symbol : layout) symbols.append(symbol.ToString());
    list.append(symbols);
  }
  return list;
}

nb::list OpSignatures(const std::string& name, const nb::list& inputs, const nb::dict& attrs,
                      const nb::list& hierarchy) {
  const op::OpDef& def = Require(name);
  const std::vector<TensorMeta> metas = MetasFromObject(inputs);
  const Attrs complete = Unwrap(def.CompleteAttrs(AttrsFromObject(attrs)));
  const std::vector<TensorMeta> outputs = Unwrap(def.Infer(metas, complete));
  Shape mesh;
  for (nb::handle size : hierarchy) mesh.push_back(nb::cast<int64_t>(size));
  nb::list list;
  for (const sbp::NdSignature& s : Unwrap(def.Signatures(metas, outputs, complete, mesh)))
    list.append(nb::make_tuple(LayoutsObject(s.inputs), LayoutsObject(s.outputs)));
  return list;
}

nb::list CallOpByName(const std::string& name, const nb::list& inputs, const nb::dict& attrs) {
  op::Values values;
  for (nb::handle input : inputs) {
    PyTensor* tensor = TensorOf(input.ptr());
    if (tensor == nullptr) {
      Throw(Error(Code::kTypeMismatch) << "[call_op] an input of " << name << " is no tensor: got "
                                       << TypeNameOf(input.ptr()) << "; expected Tensor");
    }
    values.push_back(tensor->value);
  }
  TellTracer();
  nb::list results;
  for (op::Value& value : Unwrap(tensor::Dispatch(Require(name), values, AttrsFromObject(attrs))))
    results.append(Wrapped(std::move(value)));
  return results;
}

}  // namespace

void BindSamples(nb::module_& m) {
  m.def("op_samples", &OpSamples, nb::arg("name"),
        "The operator's examples: input dtypes and shapes, attributes, range of values.");
  m.def("op_error_samples", &OpErrorSamples, nb::arg("name"),
        "Calls that the operator must refuse: inputs, attributes, code, text of the message.");
  m.def("complete_attrs", &CompleteAttrs, nb::arg("name"), nb::arg("attrs"),
        "The attributes with the operator's defaults filled in.");
  m.def("infer_op", &InferOp, nb::arg("name"), nb::arg("inputs"), nb::arg("attrs"),
        "Output (dtype, shape) pairs for input pairs.");
  m.def("op_signatures", &OpSignatures, nb::arg("name"), nb::arg("inputs"), nb::arg("attrs"),
        nb::arg("hierarchy"),
        "The signatures that the layout rule derives on a mesh: (inputs, outputs), for each the "
        "symbols of all mesh axes as texts.");
  m.def("call_op", &CallOpByName, nb::arg("name"), nb::arg("inputs"), nb::arg("attrs"),
        "Calls an operator by its registry name; returns the list of outputs.");
}

}  // namespace ofl::python
