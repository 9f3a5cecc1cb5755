#include "python/src/generator.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <optional>
#include <random>
#include <string>
#include <tuple>
#include <utility>

#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/tracer.h"
#include "python/src/convert.h"
#include "python/src/device.h"

namespace ofl::python {
namespace {

using tensor::Context;

constexpr uint64_t kFirstSeed = 67280421310721;  // of a new generator, as torch's

// Draws up to the largest count never overflow it in the life of a job.
RandomState RestoredState(const std::pair<uint64_t, int64_t>& given) {
  constexpr int64_t kMost = int64_t{1} << 62;
  if (given.second < 0 || given.second > kMost)
    Throw(Error(Code::kInvalidArgument)
          << "[set_rng_state] the count of draws is none of a generator: got " << given.second
          << "; expected 0 to " << kMost << "; pass what flow.get_rng_state() returned");
  return {given.first, given.second};
}

// 64 bits, as torch takes them: a negative number is the one 2^64 above it.
uint64_t SeedFrom(nb::handle given) {
  nb::object whole = nb::steal(PyNumber_Index(given.ptr()));
  if (!whole.is_valid()) {
    if (PyErr_ExceptionMatches(PyExc_TypeError) == 0) throw nb::python_error();
    PyErr_Clear();
    Throw(Error(Code::kTypeMismatch) << "[manual_seed] the seed must be int: got "
                                     << TypeNameOf(given.ptr()) << "; expected 64 bits");
  }
  int overflow = 0;
  const int64_t small = PyLong_AsLongLongAndOverflow(whole.ptr(), &overflow);
  if (overflow == 0) return static_cast<uint64_t>(small);
  const uint64_t large = overflow > 0 ? PyLong_AsUnsignedLongLong(whole.ptr()) : 0;
  if (overflow > 0 && PyErr_Occurred() == nullptr) return large;
  PyErr_Clear();
  Throw(Error(Code::kInvalidArgument)
        << "[manual_seed] the seed is an int beyond 64 bits: got "
        << nb::cast<std::string>(nb::str(whole)).substr(0, 40) << "; expected -2^63 to 2^64 - 1");
}

void RefuseInBuild(const char* name) {
  if (tensor::CurrentTracer() == nullptr) return;
  Throw(Error(Code::kFailedPrecondition)
        << "[" << name << "] called inside build() of a graph, where it would run once and not in "
        << "every call: got a call there; expected it outside of build(); use it before the call");
}

void Seed(const PyGenerator& g, uint64_t seed) {
  if (g.own != nullptr)
    g.own->Restore({seed, 0});
  else
    Context::Get().Seed(seed);
}

// A seed that nobody could tell before. The job's generator needs one that all ranks know.
uint64_t SeedAnew(const PyGenerator& g) {
  RefuseInBuild("seed");
  const int world = Context::Get().world_size();
  if (g.own == nullptr && world > 1) {
    Throw(Error(Code::kFailedPrecondition)
          << "[seed] each rank would draw a seed of its own, and global tensors need one for all: "
          << "got a job of " << world << " ranks; expected a job of one; use flow.manual_seed(n) "
          << "with the same number on all ranks");
  }
  std::random_device device;
  const uint64_t seed = static_cast<uint64_t>(device()) << 32 | device();
  Seed(g, seed);
  return seed;
}

RandomState StateOf(const PyGenerator& g) {
  return g.own != nullptr ? g.own->state() : Context::Get().local_generator().state();
}

using States = std::tuple<uint64_t, int64_t, uint64_t, int64_t>;

void BindStates(nb::module_& m) {
  // The job's state and this rank's own, each as (seed, offset of the next draw).
  m.def("random_states", [] {
    const RandomState job = Context::Get().job_generator().state();
    const RandomState local = Context::Get().local_generator().state();
    return States{job.seed, job.offset, local.seed, local.offset};
  });
  m.def(
      "restore_random_states",
      [](std::optional<std::pair<uint64_t, int64_t>> job,
         std::optional<std::pair<uint64_t, int64_t>> local) {
        RandomState of_job, of_local;  // both are looked at before either is set
        if (job) of_job = RestoredState(*job);
        if (local) of_local = RestoredState(*local);
        if (job) Context::Get().job_generator().Restore(of_job);
        if (local) Context::Get().local_generator().Restore(of_local);
      },
      nb::arg("job").none(), nb::arg("local").none());
}

}  // namespace

bool GeneratorFrom(PyObject* object, tensor::Generator** out) {
  *out = nullptr;
  if (object == nullptr || object == Py_None) return true;
  const PyGenerator* generator = ValueOf<PyGenerator>(object);
  if (generator == nullptr) return false;
  *out = generator->own.get();
  return true;
}

void BindGenerator(nb::module_& m) {
  nb::class_<PyGenerator>(
      m, "Generator",
      "Random numbers apart from the default generators. Every rank that draws from one for a "
      "global tensor needs one in the same state: collectives compare what was drawn.")
      .def(
          "__init__",
          [](PyGenerator* self, std::optional<nb::object> device) {
            if (device && !device->is_none()) Unwrap(CheckOnCpu("Generator", device->ptr()));
            auto own = std::make_shared<tensor::Generator>();
            own->Restore({kFirstSeed, 0});
            new (self) PyGenerator{std::move(own)};
          },
          nb::arg("device") = "cpu",
          nb::sig("def __init__(self, device: str | device = \"cpu\") -> None"))
      .def_prop_ro("device", [](Made<PyGenerator>) { return DeviceObject(DeviceKind::kCpu); })
      .def(
          "manual_seed",
          [](Made<PyGenerator> g, nb::handle seed) {
            const uint64_t number = SeedFrom(seed);
            RefuseInBuild("manual_seed");
            Seed(*g, number);
            return nb::borrow(g.object);
          },
          nb::arg("seed"), nb::sig("def manual_seed(self, seed: int) -> Generator"),
          "Draws from the beginning under this seed.")
      .def(
          "seed", [](Made<PyGenerator> g) { return SeedAnew(*g); },
          "Takes a seed that nobody could tell before, and returns it.")
      .def(
          "initial_seed", [](Made<PyGenerator> g) { return StateOf(*g).seed; },
          "The seed that it draws under.")
      .def_prop_ro("_is_default", [](Made<PyGenerator> g) { return g->own == nullptr; })
      .def("_state",
           [](Made<PyGenerator> g) {
             const RandomState state = StateOf(*g);
             return std::pair(state.seed, state.offset);
           })
      .def(
          "_restore",
          [](Made<PyGenerator> g, std::pair<uint64_t, int64_t> state) {
            const RandomState restored = RestoredState(state);
            if (g->own != nullptr) return g->own->Restore(restored);
            Context::Get().job_generator().Restore(restored);
            Context::Get().local_generator().Restore(restored);
          },
          nb::arg("state"));
  const nb::object usual = nb::cast(PyGenerator{});
  m.attr("default_generator") = usual;
  m.def(
      "manual_seed", [usual](nb::handle seed) { return usual.attr("manual_seed")(seed); },
      nb::arg("seed"), nb::sig("def manual_seed(seed: int) -> Generator"),
      "Restarts both default generators, and returns them as one. Global tensors draw from the "
      "job's: give it one seed on all ranks. Local tensors draw from this rank's own.");
  m.def(
      "seed", [usual] { return usual.attr("seed")(); }, nb::sig("def seed() -> int"),
      "Seeds both with a number that nobody could tell before, and returns it. Refused in a job of "
      "several ranks, which need one number.");
  m.def(
      "initial_seed", [usual] { return usual.attr("initial_seed")(); },
      nb::sig("def initial_seed() -> int"), "The seed that local tensors are drawn under.");
  BindStates(m);
}

}  // namespace ofl::python
