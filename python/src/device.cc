#include "python/src/device.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <functional>
#include <optional>

#include "python/src/convert.h"

namespace ofl::python {
namespace {

// Those of torch that programs ask for; a tensor lies on the first.
constexpr std::string_view kTypes[] = {"cpu", "cuda", "meta", "mps", "xpu", "hpu", "xla"};

// A word for torch.memory_format or torch.layout.
struct PyMemoryFormat {
  const char* name;
  bool usual;
};
struct PyLayout {
  const char* name;
};

Status NoDevice(std::string_view op, const std::string& got) {
  std::string names;
  for (std::string_view name : kTypes) names += (names.empty() ? "" : ", ") + std::string(name);
  return Error(Code::kInvalidArgument)
         << "[" << op << "] no device has this name: got " << got << "; expected one of " << names
         << ", and perhaps its number: 'cpu:0'";
}

Result<PyDevice> Parse(std::string_view op, const std::string& text) {
  const size_t colon = text.find(':');
  PyDevice device{text.substr(0, colon), -1};
  if (std::ranges::find(kTypes, device.type) == std::end(kTypes)) return NoDevice(op, Quoted(text));
  if (colon == text.npos) return device;
  const std::string number = text.substr(colon + 1);
  const bool digits = !number.empty() && number.size() <= 3 &&
                      std::ranges::all_of(number, [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || (number.size() > 1 && number[0] == '0')) return NoDevice(op, Quoted(text));
  device.index = std::stoi(number);
  return device;
}

PyDevice Make(nb::handle type, const std::optional<nb::object>& index) {
  const bool numbered = index && !index->is_none();
  if (!numbered) return Unwrap(DeviceFrom("device", type.ptr()));
  if (!PyUnicode_Check(type.ptr())) {
    Throw(Error(Code::kTypeMismatch) << "[device] argument 'type' must be str, not "
                                     << TypeNameOf(type.ptr()) << "; expected 'cpu'");
  }
  PyDevice device = Unwrap(Parse("device", TextOf(type.ptr())));
  int64_t number = 0;
  if (!IntFrom(index->ptr(), &number)) {
    Throw(Error(Code::kTypeMismatch) << "[device] argument 'index' must be int, not "
                                     << GotOf(index->ptr()) << "; expected 0, or none");
  }
  if (device.index >= 0 || number < 0 || number > 127) {
    Throw(Error(Code::kInvalidArgument)
          << "[device] the number is wrong: got type '" << device.ToString() << "' and index "
          << number << "; expected a type without a number, and 0 to 127");
  }
  device.index = static_cast<int>(number);
  return device;
}

std::string Repr(const PyDevice& device) {
  return "device(type='" + device.type + "'" +
         (device.index < 0 ? ")" : ", index=" + std::to_string(device.index) + ")");
}

void BindFormats(nb::module_& m) {
  nb::class_<PyMemoryFormat>(m, "memory_format", "The order of a tensor's elements in memory.")
      .def("__repr__",
           [](Made<PyMemoryFormat> f) { return std::string("oneflow_like.") + f->name; })
      .def("__reduce__", [](Made<PyMemoryFormat> f) { return std::string(f->name); });
  nb::class_<PyLayout>(m, "layout", "How a tensor's elements are stored: strided, all of them.")
      .def("__repr__", [](Made<PyLayout> f) { return std::string("oneflow_like.") + f->name; })
      .def("__reduce__", [](Made<PyLayout> f) { return std::string(f->name); });
  for (PyMemoryFormat format : {PyMemoryFormat{"contiguous_format", true},
                                {"preserve_format", true},
                                {"channels_last", false},
                                {"channels_last_3d", false}})
    m.attr(format.name) = nb::cast(format);
  m.attr("strided") = nb::cast(PyLayout{"strided"});
}

}  // namespace

std::string PyDevice::ToString() const {
  return index < 0 ? type : type + ":" + std::to_string(index);
}

Result<PyDevice> DeviceFrom(std::string_view op, PyObject* object) {
  if (const PyDevice* device = ValueOf<PyDevice>(object)) return *device;
  OFL_ENSURE(PyUnicode_Check(object), Code::kTypeMismatch)
      << "[" << op << "] argument 'device' must be str or oneflow_like.device, not "
      << TypeNameOf(object) << "; expected 'cpu'";
  return Parse(op, TextOf(object));
}

Status CheckOnCpu(std::string_view op, PyObject* object) {
  OFL_ASSIGN(const PyDevice device, DeviceFrom(op, object));
  OFL_ENSURE(device.type == "cpu" && device.index <= 0, Code::kInvalidArgument)
      << "[" << op << "] tensors lie on the CPU: got device '" << device.ToString()
      << "'; expected 'cpu'; there are no kernels for other devices; use placement= to say on "
         "which "
         "ranks";
  return Status::Ok();
}

bool IsUsualFormat(PyObject* object) {
  if (object == Py_None || nb::isinstance<PyLayout>(object)) return true;
  const PyMemoryFormat* format = ValueOf<PyMemoryFormat>(object);
  return format != nullptr && format->usual;
}

nb::object DeviceObject(DeviceKind kind) { return nb::cast(PyDevice{DeviceKindName(kind), -1}); }

void BindDevice(nb::module_& m) {
  nb::class_<PyDevice>(m, "device", "A kind of device and perhaps its number.")
      .def(
          "__init__",
          [](PyDevice* self, nb::object type, std::optional<nb::object> index) {
            new (self) PyDevice(Make(type, index));
          },
          nb::arg("type").none(), nb::arg("index") = nb::none(),
          nb::sig("def __init__(self, type: str | device, index: int | None = None) -> None"))
      .def_prop_ro("type", [](Made<PyDevice> d) { return d->type; })
      .def_prop_ro("index",
                   [](Made<PyDevice> d) -> nb::object {
                     return d->index < 0 ? nb::none() : nb::object(nb::int_(d->index));
                   })
      .def("__eq__",
           [](Made<PyDevice> a, nb::handle b) {
             const PyDevice* other = ValueOf<PyDevice>(b);
             return other != nullptr && *a == *other;
           })
      .def("__hash__",
           [](Made<PyDevice> d) {
             return static_cast<int64_t>(std::hash<std::string>()(d->ToString()) >> 1);
           })
      .def("__repr__", [](Made<PyDevice> d) { return Repr(*d); })
      .def("__str__", [](Made<PyDevice> d) { return d->ToString(); })
      .def("__reduce__",
           [](Made<PyDevice> d) {
             return nb::make_tuple(d.object.type(), nb::make_tuple(d->ToString()));
           })
      .def("__enter__",
           [](Made<PyDevice> d) {
             Unwrap(CheckOnCpu("device", d.object.ptr()));
             return nb::borrow(d.object);
           })
      .def("__exit__", [](Made<PyDevice>, nb::args) { return false; });
  m.def(
      "check_device",
      [](const std::string& op, nb::object device) {
        if (!device.is_none()) Unwrap(CheckOnCpu(op, device.ptr()));
      },
      nb::arg("op"), nb::arg("device").none(), "Refuses any device but the CPU; None is none.");
  m.def(
      "is_usual_format", [](nb::object format) { return IsUsualFormat(format.ptr()); },
      nb::arg("format").none());
  BindFormats(m);
}

}  // namespace ofl::python
