// flow.device, and what else says of a tensor where and how it lies: layouts and memory formats, of
// which we have one each.
#pragma once

#include <Python.h>

#include <string>
#include <string_view>

#include "python/src/module.h"

namespace ofl::python {

struct PyDevice {
  std::string type;
  int index = -1;  // none

  bool operator==(const PyDevice&) const = default;
  std::string ToString() const;  // "cpu", "cpu:0"
};

// A device from a device object or its text: the device that tensors lie on, or an error that says
// what to do. `object` is not None.
Result<PyDevice> DeviceFrom(std::string_view op, PyObject* object);
// The CPU, number 0 or none, is the only one where a rank makes tensors.
Status CheckOnCpu(std::string_view op, PyObject* device);

// Whether `object` asks for nothing but what every tensor is: None, flow.strided (an argument
// `layout`), row-major (`memory_format`).
bool IsUsualFormat(PyObject* object);

}  // namespace ofl::python
