#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "oneflow_like/op/def/promotion.h"
#include "oneflow_like/tensor/context.h"
#include "python/src/convert.h"
#include "python/src/module.h"
#include "python/src/scalars.h"
#include "transport/transport.h"

namespace ofl::python {
namespace {

PyObject* dtype_objects[kNumDTypes + 1] = {};  // by a dtype's number, from 1 on
PyObject* size_type = nullptr;
PyObject* sbp_type = nullptr;

// Nested lists (or anything with tolist) of ranks: their shape is the mesh.
Status FlattenRanks(PyObject* object, int depth, Shape& hierarchy, std::vector<int>& ranks) {
  auto wrong = [&](const std::string& why) -> Status {
    return Error(Code::kInvalidArgument)
           << "[placement] ranks " << why << "; expected nested lists of equal lengths, "
           << "for example [0, 1] or [[0, 1], [2, 3]]";
  };
  if (PyLong_Check(object)) {
    if (depth != hierarchy.rank()) return wrong("are nested unevenly: got a number inside a list");
    int overflow = 0;
    int64_t rank = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow != 0) rank = overflow < 0 ? -1 : INT32_MAX;
    ranks.push_back(static_cast<int>(std::clamp<int64_t>(rank, -1, INT32_MAX)));
    return Status::Ok();
  }
  if (!PyList_Check(object) && !PyTuple_Check(object) && !PyRange_Check(object)) {
    return wrong("have the wrong type: got " + TypeNameOf(object));
  }
  const Py_ssize_t n = PySequence_Size(object);
  if (n < 0) throw nb::python_error();
  // range(2**62) is a list of ranks too: what no world can hold is not read to its end.
  OFL_ENSURE(n <= transport::kMaxWorldSize - static_cast<int64_t>(ranks.size()),
             Code::kInvalidArgument)
      << "[placement] more ranks than a world may have: got a list of " << n
      << "; expected each rank once, at most " << transport::kMaxWorldSize;
  if (ranks.empty() && depth == hierarchy.rank()) {
    if (depth >= kMaxMeshRank) return wrong("have too many axes: got more than 4");
    hierarchy.push_back(n);
  } else if (depth >= hierarchy.rank() || hierarchy[depth] != n) {
    return wrong("are nested unevenly: got a list of " + std::to_string(n));
  }
  for (Py_ssize_t i = 0; i < n; ++i) {
    nb::object item = nb::steal(PySequence_GetItem(object, i));
    if (!item.is_valid()) throw nb::python_error();
    OFL_TRY(FlattenRanks(item.ptr(), depth + 1, hierarchy, ranks));
  }
  return Status::Ok();
}

Result<Placement> MakePlacement(const std::string& type, nb::object ranks,
                                std::vector<std::string> axis_names) {
  OFL_ASSIGN(DeviceKind kind, DeviceKindFromName(type));
  if (HasAttr(ranks.ptr(), "tolist")) ranks = ranks.attr("tolist")();
  Shape hierarchy;
  std::vector<int> flat;
  if (PyLong_Check(ranks.ptr())) {
    nb::list one;
    one.append(ranks);
    ranks = std::move(one);
  }
  const int world = tensor::Context::Get().world_size();
  OFL_TRY(FlattenRanks(ranks.ptr(), 0, hierarchy, flat));
  for (int rank : flat) {
    OFL_ENSURE(rank >= 0 && rank < world, Code::kInvalidArgument)
        << "[placement] a rank is outside the world: got ranks=" << nb::repr(ranks).c_str()
        << "; expected ranks from 0 to " << world - 1
        << "; start more processes with oneflow-like-run";
  }
  return Placement::Make(kind, hierarchy, std::move(flat), std::move(axis_names));
}

nb::object NestRanks(const Placement& p, int depth, size_t& at) {
  if (depth == p.hierarchy().rank()) return nb::int_(p.ranks()[at++]);
  nb::list out;
  for (int64_t i = 0; i < p.hierarchy()[depth]; ++i) out.append(NestRanks(p, depth + 1, at));
  return out;
}

nb::object RanksOf(const Placement& p) {
  size_t at = 0;
  return NestRanks(p, 0, at);
}

Result<sbp::Sbp> SplitOf(nb::handle axis) {
  OFL_ENSURE(PyIndex_Check(axis.ptr()), Code::kTypeMismatch)
      << "[sbp.split] the axis must be int, not " << TypeNameOf(axis.ptr())
      << "; expected for example sbp.split(0)";
  nb::object number = nb::steal(PyNumber_Index(axis.ptr()));
  if (!number.is_valid()) throw nb::python_error();
  int overflow = 0;
  int64_t dim = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
  if (overflow != 0) dim = overflow < 0 ? INT64_MIN : INT64_MAX;
  OFL_ENSURE(dim >= 0, Code::kInvalidArgument)
      << "[sbp.split] Split axis must not be negative, but got " << dim << "!";
  OFL_ENSURE(dim < kMaxRank, Code::kInvalidArgument)
      << "[sbp.split] Expected split axis to be less than the supported maximum axis ("
      << kMaxRank - 1 << "), but got " << dim << "!";
  return sbp::Sbp::Split(static_cast<int>(dim));
}

std::string SbpRepr(const sbp::Sbp& s) {
  if (s.is_split()) return "oneflow_like.sbp.split(dim=" + std::to_string(s.axis()) + ")";
  if (s.is_broadcast()) return "oneflow_like.sbp.broadcast";
  switch (s.reduce_op()) {
    case sbp::ReduceOp::kMax: return "oneflow_like.sbp.partial_max";
    case sbp::ReduceOp::kMin: return "oneflow_like.sbp.partial_min";
    default: return "oneflow_like.sbp.partial_sum";
  }
}

// Of a Size what a tuple gives for a slice or a sum is a Size again.
PyObject* AsSize(PyObject* tuple) {
  if (tuple == nullptr || !PyTuple_CheckExact(tuple)) return tuple;
  PyObject* size = PyObject_CallOneArg(size_type, tuple);
  Py_DECREF(tuple);
  return size;
}
PyObject* SizeItem(PyObject* self, PyObject* key) {
  return AsSize(PyTuple_Type.tp_as_mapping->mp_subscript(self, key));
}
PyObject* SizeSum(PyObject* self, PyObject* other) {
  return AsSize(PyTuple_Type.tp_as_sequence->sq_concat(self, other));
}
PyObject* SizeRepeated(PyObject* self, Py_ssize_t count) {
  return AsSize(PyTuple_Type.tp_as_sequence->sq_repeat(self, count));
}

// Sizes alone, as in torch.
PyObject* NewSize(PyTypeObject* type, PyObject* args, PyObject* names) {
  PyObject* made = PyTuple_Type.tp_new(type, args, names);
  for (Py_ssize_t i = 0; made != nullptr && i < PyTuple_GET_SIZE(made); ++i) {
    PyObject* item = PyTuple_GET_ITEM(made, i);
    if (PyLong_Check(item) || PyIndex_Check(item)) continue;
    SetError(Error(Code::kTypeMismatch)
             << "[Size] takes an iterable of 'int': got item " << i << ", which is "
             << TypeNameOf(item) << "; expected the sizes of axes");
    Py_CLEAR(made);
  }
  return made;
}

void BindSize(nb::module_& m) {
  static PyType_Slot slots[] = {
      {Py_tp_new, reinterpret_cast<void*>(&NewSize)},
      {Py_tp_doc, const_cast<char*>("The sizes of a tensor's axes: a tuple.")},
      {Py_mp_subscript, reinterpret_cast<void*>(&SizeItem)},
      {Py_sq_concat, reinterpret_cast<void*>(&SizeSum)},
      {Py_sq_repeat, reinterpret_cast<void*>(&SizeRepeated)},
      {0, nullptr}};
  static PyType_Spec spec = {"oneflow_like.Size", 0, 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                             slots};
  size_type = PyType_FromSpecWithBases(&spec, reinterpret_cast<PyObject*>(&PyTuple_Type));
  if (size_type == nullptr) throw nb::python_error();
  m.attr("Size") = nb::borrow(size_type);
}

void BindDTypes(nb::module_& m) {
  nb::class_<PyDType>(m, "dtype", "The element type of a tensor.")
      .def("__repr__",
           [](Made<PyDType> d) { return std::string("oneflow_like.") + DTypeName(d->dtype); })
      .def_prop_ro("name", [](Made<PyDType> d) { return std::string(DTypeName(d->dtype)); })
      .def_prop_ro("itemsize", [](Made<PyDType> d) { return DTypeSize(d->dtype); })
      .def_prop_ro("is_floating_point", [](Made<PyDType> d) { return IsFloating(d->dtype); })
      .def_prop_ro("is_complex", [](Made<PyDType> d) { return IsComplex(d->dtype); })
      .def_prop_ro(
          "is_signed",
          [](Made<PyDType> d) { return d->dtype != DType::kUInt8 && d->dtype != DType::kBool; })
      .def("to_real", [](Made<PyDType> d) { return DTypeObject(RealOf(d->dtype)); })
      .def("to_complex", [](Made<PyDType> d) { return DTypeObject(ComplexOf(d->dtype)); })
      .def("__reduce__", [](Made<PyDType> d) { return std::string(DTypeName(d->dtype)); });
  m.def(
      "promoted_dtype",
      [](Made<PyDType> a, Made<PyDType> b) {
        return DTypeObject(Unwrap(PromoteTypes(a->dtype, b->dtype)));
      },
      nb::arg("a"), nb::arg("b"));
  m.def("dtype_category", [](Made<PyDType> d) { return static_cast<int>(CategoryOf(d->dtype)); });
  m.def("result_dtype", [](nb::handle a, nb::handle b) {
    return DTypeObject(Unwrap(MeetingDType(a.ptr(), b.ptr())));
  });
  m.def("get_default_dtype", [] { return DTypeObject(op::DefaultFloat()); });
  m.def("set_default_dtype", [](Made<PyDType> d) {
    if (d->dtype != op::DefaultFloat()) NoteWrite();
    op::SetDefaultFloat(d->dtype);
  });
  for (DType d : AllDTypes()) {
    nb::object object = nb::cast(PyDType{d});
    dtype_objects[static_cast<int>(d)] = object.inc_ref().ptr();
    m.attr(DTypeName(d)) = object;
  }
}

void BindSbp(nb::module_& m) {
  nb::module_ sub = m.def_submodule("sbp", "How a global tensor lies on one axis of its mesh.");
  nb::class_<sbp::Sbp> type(sub, "sbp", "One symbol: split(dim), broadcast, partial_sum.");
  type.def("__repr__", [](Made<sbp::Sbp> s) { return SbpRepr(*s); })
      .def("__str__", [](Made<sbp::Sbp> s) { return SbpRepr(*s); })
      .def("__eq__",
           [](Made<sbp::Sbp> a, nb::handle b) {
             const sbp::Sbp* other = ValueOf<sbp::Sbp>(b);
             return other != nullptr && *a == *other;
           })
      .def("__hash__",
           [](Made<sbp::Sbp> s) {
             return static_cast<int64_t>(s->kind()) * 1000 + s->axis() * 10 +
                    static_cast<int64_t>(s->reduce_op());
           })
      .def("is_split", [](Made<sbp::Sbp> s) { return s->is_split(); })
      .def("is_broadcast", [](Made<sbp::Sbp> s) { return s->is_broadcast(); })
      .def("is_partial", [](Made<sbp::Sbp> s) { return s->is_partial(); })
      .def_prop_ro("dim", [](Made<sbp::Sbp> s) { return s->is_split() ? s->axis() : -1; })
      .def("__getstate__", [](Made<sbp::Sbp> s) { return s->ToString(); })
      .def("__setstate__", [](sbp::Sbp& s, const std::string& text) {
        new (&s) sbp::Sbp(Unwrap(sbp::Sbp::Parse(text)));
      });
  sbp_type = type.ptr();
  sub.def(
      "split",
      [](nb::object dim, nb::object axis) {
        if (dim.is_none() == axis.is_none()) {
          Throw(Error(Code::kInvalidArgument) << "[sbp.split] expected one axis: sbp.split(0)");
        }
        return Unwrap(SplitOf(dim.is_none() ? axis : dim));
      },
      nb::arg("dim") = nb::none(), nb::arg("axis") = nb::none(),
      "Every part holds a balanced slice along this axis.");
  sub.attr("broadcast") = nb::cast(sbp::Sbp::Broadcast());
  sub.attr("partial_sum") = nb::cast(sbp::Sbp::Partial());
  sub.attr("partial_max") = nb::cast(sbp::Sbp::Partial(sbp::ReduceOp::kMax));
  sub.attr("partial_min") = nb::cast(sbp::Sbp::Partial(sbp::ReduceOp::kMin));
}

std::string PlacementRepr(const Placement& p) {
  return std::string("oneflow_like.placement(type=\"") + DeviceKindName(p.kind()) +
         "\", ranks=" + nb::repr(RanksOf(p)).c_str() + ")";
}

void BindPlacement(nb::module_& m) {
  nb::class_<Placement>(m, "placement", "A device kind and a mesh of ranks.")
      .def(
          "__init__",
          [](Placement* self, nb::object type, nb::object ranks,
             std::optional<std::vector<std::string>> axis_names) {
            if (!nb::isinstance<nb::str>(type))
              Throw(Error(Code::kTypeMismatch) << "[placement] argument 'type' must be str, not "
                                               << TypeNameOf(type.ptr()) << "; expected \"cpu\"");
            new (self)
                Placement(Unwrap(MakePlacement(nb::cast<std::string>(type), std::move(ranks),
                                               axis_names.value_or(std::vector<std::string>{}))));
          },
          nb::arg("type").none(), nb::arg("ranks").none(), nb::arg("axis_names") = nb::none())
      .def_static(
          "all",
          [](const std::string& type) {
            std::vector<int> ranks(static_cast<size_t>(tensor::Context::Get().world_size()));
            std::iota(ranks.begin(), ranks.end(), 0);
            const auto n = static_cast<int64_t>(ranks.size());
            DeviceKind kind = Unwrap(DeviceKindFromName(type));
            return Unwrap(Placement::Make(kind, Shape({n}), std::move(ranks)));
          },
          nb::arg("type"), "All ranks of the job in one axis.")
      .def_prop_ro("type", [](Made<Placement> p) { return std::string(DeviceKindName(p->kind())); })
      .def_prop_ro("ranks", [](Made<Placement> p) { return RanksOf(*p); })
      .def_prop_ro("hierarchy", [](Made<Placement> p) { return SizeObject(p->hierarchy()); })
      .def_prop_ro("axis_names", [](Made<Placement> p) { return p->axis_names(); })
      .def("__eq__",
           [](Made<Placement> a, nb::handle b) {
             const Placement* other = ValueOf<Placement>(b);
             return other != nullptr && *a == *other;
           })
      .def("__hash__",
           [](Made<Placement> p) {
             return static_cast<int64_t>(std::hash<std::string>()(p->ToString()) >> 1);
           })
      .def("__repr__", [](Made<Placement> p) { return PlacementRepr(*p); })
      .def("__str__", [](Made<Placement> p) { return PlacementRepr(*p); })
      .def("__reduce__", [](Made<Placement> p) {
        return nb::make_tuple(p.object.type(),
                              nb::make_tuple(DeviceKindName(p->kind()), RanksOf(*p)));
      });
}

}  // namespace

nb::object DTypeObject(DType dtype) { return nb::borrow(dtype_objects[static_cast<int>(dtype)]); }

bool DTypeFrom(PyObject* object, DType* out) {
  if (const PyDType* made = ValueOf<PyDType>(object)) {
    *out = made->dtype;
    return true;
  }
  // As in torch: what these types hold, not the default dtype.
  if (object == reinterpret_cast<PyObject*>(&PyFloat_Type))
    *out = DType::kFloat64;
  else if (object == reinterpret_cast<PyObject*>(&PyLong_Type))
    *out = DType::kInt64;
  else if (object == reinterpret_cast<PyObject*>(&PyBool_Type))
    *out = DType::kBool;
  else if (object == reinterpret_cast<PyObject*>(&PyComplex_Type))
    *out = DType::kComplex128;
  else
    return false;
  return true;
}

nb::object SizeObject(const Shape& shape) {
  PyObject* tuple = PyTuple_New(shape.rank());
  if (tuple == nullptr) throw nb::python_error();
  for (int i = 0; i < shape.rank(); ++i) {
    PyTuple_SET_ITEM(tuple, i, PyLong_FromLongLong(shape[i]));
  }
  nb::object size = nb::steal(PyObject_CallOneArg(size_type, tuple));
  Py_DECREF(tuple);
  if (!size.is_valid()) throw nb::python_error();
  return size;
}

nb::object SbpTuple(const sbp::NdSbp& nd_sbp) {
  nb::list symbols;
  for (sbp::Sbp s : nd_sbp) symbols.append(nb::cast(s));
  return nb::tuple(symbols);
}

Result<sbp::NdSbp> NdSbpFrom(PyObject* object) {
  auto wrong = [&](PyObject* got) -> Status {
    return Error(Code::kTypeMismatch)
           << "[sbp] argument 'sbp' must be a symbol or a tuple of them, not " << TypeNameOf(got)
           << "; expected sbp.split(dim), sbp.broadcast or sbp.partial_sum, one for each axis of "
              "the placement";
  };
  auto is_symbol = [](PyObject* o) {
    return PyObject_TypeCheck(o, reinterpret_cast<PyTypeObject*>(sbp_type)) != 0;
  };
  sbp::NdSbp out;
  if (is_symbol(object)) {
    out.push_back(*Made<sbp::Sbp>{object});
    return out;
  }
  if (!PyTuple_Check(object) && !PyList_Check(object)) return wrong(object);
  const Py_ssize_t n = PySequence_Fast_GET_SIZE(object);
  OFL_ENSURE(n >= 1 && n <= kMaxMeshRank, Code::kInvalidArgument)
      << "[sbp] got " << n << " symbols; expected one for each axis of the placement (1 to "
      << kMaxMeshRank << ")";
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(object, i);
    if (!is_symbol(item)) return wrong(item);
    out.push_back(*Made<sbp::Sbp>{item});
  }
  return out;
}

Result<Placement> PlacementFrom(PyObject* object) {
  const Placement* placement = ValueOf<Placement>(object);
  OFL_ENSURE(placement != nullptr, Code::kTypeMismatch)
      << "[placement] argument 'placement' must be placement, not " << TypeNameOf(object)
      << "; expected flow.placement(\"cpu\", ranks=[0])";
  return *placement;
}

std::string TypeNameOf(PyObject* object) { return Py_TYPE(object)->tp_name; }

void BindTypes(nb::module_& m) {
  BindSize(m);
  BindDTypes(m);
  BindSbp(m);
  BindPlacement(m);
}

}  // namespace ofl::python
