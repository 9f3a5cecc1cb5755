// What the binding files share. Each has one Bind function, called from module.cc.
//
// Threads: everything here runs with Python's lock held. Errors: a failed Status becomes the
// Python exception of its code; raw entry points return null with it set, nanobind's throw.
#pragma once

#include <nanobind/nanobind.h>

#include <string>

#include "oneflow_like/base/status.h"
#include "oneflow_like/core/dtype.h"
#include "oneflow_like/core/placement.h"
#include "oneflow_like/op/def/op_def.h"
#include "sbp/sbp.h"

namespace ofl::python {

namespace nb = nanobind;

// The Python class Tensor: a handle of an eager or symbolic value.
struct [[gnu::visibility("hidden")]] PyTensor {  // as nb::object is
  op::Value value;
  nb::object grad;  // the handle of its gradient that was given out last
};
struct PyDType {
  DType dtype;
};

void BindErrors(nb::module_& m);
void BindTypes(nb::module_& m);
void BindDevice(nb::module_& m);
void BindGenerator(nb::module_& m);
void BindTensor(nb::module_& m);
void BindHostMemory(nb::module_& m);
void BindRaw(nb::module_& m);
void BindGradients(nb::module_& m);
void BindAutograd(nb::module_& m);
void BindOps(nb::module_& m);
void BindIndexing(nb::module_& m);
void BindSchema(nb::module_& m);
void BindSamples(nb::module_& m);
void BindWorld(nb::module_& m);
// Compiled graphs and plans, for nn.Graph.
void BindRuntime(nb::module_& m);
void BindVersions(nb::module_& m);
// Last: what is bound by then tells of wrong arguments as operators do.
void BindCallErrors(nb::module_& m);

// --- errors ---------------------------------------------------------------------------------
// Sets the Python exception of a failed status; keeps one that is set already (Ctrl-C).
void SetError(const Status& status);
[[noreturn]] void Throw(const Status& status);
template <class T>
T Unwrap(Result<T> result) {
  if (!result.ok()) Throw(result.status());
  return std::move(result).value();
}
inline void Unwrap(const Status& status) {
  if (!status.ok()) Throw(status);
}
// "file.py", 12 of the innermost frame outside this package; empty without one.
struct UserLine {
  std::string file;
  int line = 0;
};
UserLine FindUserLine();

// Raw entry points stand outside nanobind's own catching.
template <class F>
PyObject* Caught(F&& body) {
  try {
    return body();
  } catch (nb::python_error& error) {
    error.restore();
  } catch (const nb::cast_error&) {
    PyErr_SetString(PyExc_TypeError, "an argument has the wrong type");
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

// --- values ---------------------------------------------------------------------------------
// The tensor in `object`, or null when it is none; throws for a half-made one.
PyTensor* TensorOf(PyObject* object);
// A new Python Tensor; null with an exception set when memory ran out.
PyObject* WrapTensor(op::Value value);
// The same; throws.
nb::object Wrapped(op::Value value);
// Puts another value's memory (and history) into this handle: what x.add_(1) does where a tape
// records it or a graph traces it.
Status TryRebind(PyTensor& self, const PyTensor& other);
void Rebind(PyTensor& self, const PyTensor& other);  // the same; throws
nb::object DTypeObject(DType dtype);
// dtype objects of ours and of NumPy's names; false when `object` is none.
bool DTypeFrom(PyObject* object, DType* out);
nb::object SizeObject(const Shape& shape);
nb::object DeviceObject(DeviceKind kind);
nb::object SbpTuple(const sbp::NdSbp& nd_sbp);
// One symbol or a sequence of them.
Result<sbp::NdSbp> NdSbpFrom(PyObject* object);
Result<Placement> PlacementFrom(PyObject* object);
// "str", "Tensor", ... for error texts.
std::string TypeNameOf(PyObject* object);

// --- compiled graphs --------------------------------------------------------------------------
// Says that something was written which compiled graphs guard (docs/graphs.md): the next launch of
// each graph evaluates its guards.
void NoteWrite();
uint64_t WritesNoted();

// --- operators ------------------------------------------------------------------------------
// Module scopes of nn.Module.__call__ while tracing: "blocks.0.mlp".
std::string ModulePath();
// Tells the tracer, if any, where the user stands.
void TellTracer();

}  // namespace ofl::python
