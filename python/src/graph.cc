// Bindings of compiled graphs and plans; nn.Graph in Python is written on these.

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <atomic>
#include <boost/container/small_vector.hpp>

#include "compiler/compiler.h"
#include "compiler/verify/verify.h"
#include "oneflow_like/runtime/graph_session.h"
#include "oneflow_like/tensor/call_cache.h"
#include "oneflow_like/tensor/context.h"
#include "python/src/convert.h"
#include "python/src/module.h"
#include "python/src/scalars.h"

namespace ofl::python {
namespace {

using runtime::GraphSession;
using runtime::UpdateSpec;

tensor::TensorRef EagerOf(nb::handle object) {
  PyTensor* tensor = TensorOf(object.ptr());
  if (tensor == nullptr)
    Throw(Error(Code::kTypeMismatch)
          << "[nn.Graph] expected a Tensor, got " << TypeNameOf(object.ptr()));
  return Unwrap(tensor::RequireTensor(tensor->value));
}

// A Python number or string as the attribute the operator declares.
AttrValue AttrFrom(const op::AttrDef& def, nb::handle value) {
  switch (def.type) {
    case op::AttrType::kBool: return nb::cast<bool>(value);
    case op::AttrType::kInt: return nb::cast<int64_t>(value);
    case op::AttrType::kFloat: return nb::cast<double>(value);
    case op::AttrType::kString: return nb::cast<std::string>(value);
    case op::AttrType::kInts: return nb::cast<std::vector<int64_t>>(value);
    case op::AttrType::kFloats: return nb::cast<std::vector<double>>(value);
    case op::AttrType::kScalar: {
      AttrValue number;
      if (!NumberFrom(value.ptr(), &number))
        Throw(Error(Code::kTypeMismatch) << "attribute " << def.name << " must be a number");
      return number;
    }
    case op::AttrType::kDType: {
      DType dtype;
      if (!DTypeFrom(value.ptr(), &dtype))
        Throw(Error(Code::kTypeMismatch) << "attribute " << def.name << " must be a dtype");
      return dtype;
    }
  }
  Throw(Error(Code::kInternal) << "attribute type of " << def.name);
}

Attrs AttrsFrom(const op::OpDef& op, nb::dict given) {
  Attrs attrs;
  for (auto [key, value] : given) {
    const std::string name = nb::cast<std::string>(key);
    for (const op::AttrDef& def : op.attrs)
      if (def.name == name) attrs.Set(name, AttrFrom(def, value));
  }
  return attrs;
}

UpdateSpec SpecFrom(nb::dict given) {
  UpdateSpec spec;
  spec.param = EagerOf(given["param"]);
  spec.op = nb::cast<std::string>(given["op"]);
  spec.attrs = AttrsFrom(*Unwrap(op::OpRegistry::Get().Require(spec.op)),
                         nb::cast<nb::dict>(given["attrs"]));
  for (nb::handle state : given["states"])
    spec.states.emplace_back(nb::cast<std::string>(state[nb::int_(0)]),
                             EagerOf(state[nb::int_(1)]));
  spec.hyper = nb::cast<std::string>(given["hyper"]);
  if (!given["step"].is_none()) spec.clock = EagerOf(given["step"]);
  if (!given["clip"].is_none()) spec.clip = nb::cast<std::string>(given["clip"]);
  return spec;
}

// Sets the thread's tracer for the time build() runs.
class TracingScope {
 public:
  explicit TracingScope(GraphSession& session) : before_(tensor::CurrentTracer()) {
    tensor::SetCurrentTracer(&session.tracer());
  }
  ~TracingScope() { tensor::SetCurrentTracer(before_); }

 private:
  tensor::Tracer* before_;
};

using Inputs = boost::container::small_vector<tensor::TensorRef, 8>;

Inputs InputsFrom(nb::list given) {
  Inputs inputs;
  for (nb::handle input : given) inputs.push_back(EagerOf(input));
  return inputs;
}

// None when the tensors are not what the graph was traced for.
nb::object Launch(Made<GraphSession> made, nb::list given) {
  GraphSession& session = *made;
  const Inputs inputs = InputsFrom(given);
  const auto turn = Unwrap(session.Enter());
  if (!session.closed() && !session.Fits({inputs.data(), inputs.size()})) return nb::none();
  Unwrap(session.BringUpVariables());
  Result<std::vector<tensor::TensorRef>> outputs = Status(Code::kInternal, "not launched");
  {
    nb::gil_scoped_release waiting;
    outputs = session.Launch({inputs.data(), inputs.size()});
  }
  std::vector<tensor::TensorRef> results = Unwrap(std::move(outputs));
  Unwrap(session.PutBackVariables());
  nb::list list;
  for (tensor::TensorRef& output : results) list.append(Wrapped(output));
  return list;
}

// --- what guards compare --------------------------------------------------------------------

// Whether a sequence still holds these very objects.
bool SameObjects(nb::handle now, nb::tuple before) {
  if (!PyList_CheckExact(now.ptr()) && !PyTuple_CheckExact(now.ptr())) return false;
  const Py_ssize_t size = PyTuple_GET_SIZE(before.ptr());
  if (PySequence_Fast_GET_SIZE(now.ptr()) != size) return false;
  PyObject** a = PySequence_Fast_ITEMS(now.ptr());
  for (Py_ssize_t i = 0; i < size; ++i)
    if (a[i] != PyTuple_GET_ITEM(before.ptr(), i)) return false;
  return true;
}

// A float64 vector that is the same on all ranks because all give the same numbers: no message.
nb::object Numbers(std::vector<double> values, nb::object placement) {
  const TensorMeta meta{DType::kFloat64, Shape{static_cast<int64_t>(values.size())}};
  tensor::TensorRef made;
  if (placement.is_none()) {
    made = Unwrap(tensor::EmptyLocal(meta));
  } else {
    const Placement where = Unwrap(PlacementFrom(placement.ptr()));
    const sbp::NdSbp whole = sbp::NdSbp::Broadcast(where.hierarchy().rank());
    made = Unwrap(
        tensor::EmptyGlobal(meta, std::make_shared<const sbp::Layout>(sbp::Layout{where, whole})));
    made->set_claim(tensor::ClaimOf(values));
  }
  if (made->data() != nullptr) std::copy(values.begin(), values.end(), made->view().as<double>());
  return Wrapped(op::Value(made));
}

void BindSession(nb::module_& m) {
  nb::class_<GraphSession>(m, "GraphSession", "A graph being traced, compiled or run.")
      .def("__init__",
           [](GraphSession* self, const std::string& name, int micro_batches) {
             if (micro_batches < 1)
               Throw(Error(Code::kInvalidArgument) << "[nn.Graph] micro-batches: got "
                                                   << micro_batches << "; expected at least 1");
             new (self) GraphSession(name, micro_batches, tensor::Context::Get().threads());
           })
      .def("add_input",
           [](Made<GraphSession> s, nb::handle example, const std::string& name) {
             const auto turn = Unwrap(s->EnterTracing());
             return Wrapped(Unwrap(s->tracer().AddInput(EagerOf(example), name)));
           })
      .def("name_variable",
           [](Made<GraphSession> s, nb::handle tensor, const std::string& name) {
             const auto turn = Unwrap(s->EnterTracing());
             s->tracer().NameVariable(EagerOf(tensor), name);
           })
      .def("trace",
           [](Made<GraphSession> s, nb::callable build) {
             const auto turn = Unwrap(s->EnterTracing());
             TracingScope scope(*s);
             nb::object result = build();
             Unwrap(s->tracer().status());
             return result;
           })
      .def("add_output",
           [](Made<GraphSession> s, nb::handle tensor) {
             const auto turn = Unwrap(s->EnterTracing());
             PyTensor* output = TensorOf(tensor.ptr());
             if (output == nullptr)
               Throw(Error(Code::kTypeMismatch) << "[nn.Graph] build() returned "
                                                << TypeNameOf(tensor.ptr()) << ", not a Tensor");
             Unwrap(s->tracer().AddOutput(output->value));
           })
      .def("to_placement",
           [](Made<GraphSession> s, nb::handle tensor, Made<Placement> placement) {
             const auto turn = Unwrap(s->EnterTracing());
             PyTensor* x = TensorOf(tensor.ptr());
             if (x == nullptr)
               Throw(Error(Code::kTypeMismatch)
                     << "[nn.Graph] expected a Tensor, got " << TypeNameOf(tensor.ptr()));
             op::Value moved = s->tracer().ToPlacement(x->value, *placement);
             Unwrap(s->tracer().status());
             return Wrapped(std::move(moved));
           })
      .def("compile",
           [](Made<GraphSession> s, nb::list updates, const std::string& dump_dir) {
             std::vector<UpdateSpec> specs;
             for (nb::handle update : updates)
               specs.push_back(SpecFrom(nb::cast<nb::dict>(update)));
             Unwrap(s->Compile(specs, dump_dir));
           })
      .def("variables",
           [](Made<GraphSession> s) {
             nb::dict named;
             for (const auto& [name, tensor] : s->tracer().variables())
               named[name.c_str()] = Wrapped(tensor);
             return named;
           })
      .def("generators",  // name, seed, offset of the next draw
           [](Made<GraphSession> s) {
             nb::list states;
             for (const auto& [name, state] : s->GeneratorStates())
               states.append(nb::make_tuple(name, state.seed, state.offset));
             return states;
           })
      .def("draws", [](Made<GraphSession> s) { return s->draws(); })
      .def("has_loss", [](Made<GraphSession> s) { return s->tracer().loss() >= 0; })
      .def("set_numbers",
           [](Made<GraphSession> s, const std::string& name, std::vector<double> values) {
             Unwrap(s->SetNumbers(name, std::move(values)));
           })
      .def("gradients_as_traced",
           [](Made<GraphSession> s) { return s->tracer().GradientsAsTraced(); })
      .def("updates",
           [](Made<GraphSession> s, nb::handle param) { return s->Updates(EagerOf(param)); })
      .def("misfit",
           [](Made<GraphSession> s, nb::list given) {
             const Inputs inputs = InputsFrom(given);
             return s->Misfit({inputs.data(), inputs.size()});
           })
      .def("closed", [](Made<GraphSession> s) { return s->closed(); })
      .def("launch", &Launch)
      .def("counters",  // empty before the first launch
           [](Made<GraphSession> s) {
             return s->launched() ? Unwrap(s->Counters()) : std::map<std::string, int64_t>();
           })
      .def("plan_bytes",
           [](Made<GraphSession> s) {
             const std::string bytes = s->plan().SerializeAsString();
             return nb::bytes(bytes.data(), bytes.size());
           })
      .def("save_plan",
           [](Made<GraphSession> s, const std::string& path) {
             Unwrap(compiler::SavePlan(s->plan(), path));
           })
      .def("plan_hash", [](Made<GraphSession> s) { return s->plan().hash(); })
      .def("plan_summary", [](Made<GraphSession> s) { return compiler::Summary(s->plan()); });
}

// A world of n ranks none of which exists: every global tensor is a shell, graphs compile and
// cannot be launched. Such worlds nest, and belong to the thread that enters them.
struct ImaginaryWorld {
  std::unique_ptr<tensor::Context> context;
  std::unique_ptr<ImaginaryWorld> outer;
};
thread_local ImaginaryWorld* imaginary_world = nullptr;  // the innermost

void EnterCompileWorld(int size) {
  if (size < 1 || size > transport::kMaxWorldSize)
    Throw(Error(Code::kInvalidArgument) << "[compile_world] a world of " << size
                                        << " ranks; expected 1 to " << transport::kMaxWorldSize);
  tensor::ContextOptions options;
  options.rank = -1;
  options.world_size = size;
  options.local_world_size = size;
  options.imaginary = true;
  options.arithmetic = tensor::Context::Get().arithmetic();
  auto inner = std::make_unique<ImaginaryWorld>();
  inner->context = std::make_unique<tensor::Context>(std::move(options));
  // Local tensors are real in there too, and take their random numbers from where they always do.
  tensor::Context& real = tensor::Context::Get();
  inner->context->job_generator().Restore(real.job_generator().state());
  inner->context->local_generator().Restore(real.local_generator().state());
  inner->outer.reset(imaginary_world);
  imaginary_world = inner.release();
  tensor::Context::BindThread(imaginary_world->context.get());
}

void LeaveCompileWorld() {
  if (imaginary_world == nullptr)
    Throw(Error(Code::kFailedPrecondition)
          << "[compile_world] this thread entered no world of ranks that do not exist");
  std::unique_ptr<ImaginaryWorld> left(imaginary_world);
  imaginary_world = left->outer.release();
  tensor::Context::BindThread(imaginary_world == nullptr ? nullptr
                                                         : imaginary_world->context.get());
  tensor::Context::Get().local_generator().Restore(left->context->local_generator().state());
}

}  // namespace

// One counter of the process: any thread may write to a module.
namespace {
std::atomic<uint64_t> writes{0};
}  // namespace

void NoteWrite() { writes.fetch_add(1, std::memory_order_relaxed); }
uint64_t WritesNoted() { return writes.load(std::memory_order_relaxed); }

void BindRuntime(nb::module_& m) {
  BindSession(m);
  m.def("same_objects", &SameObjects);
  m.def("numbers", &Numbers, nb::arg("values"), nb::arg("placement") = nb::none());
  m.def("note_write", &NoteWrite, "Something that compiled graphs guard was written.");
  m.def("writes_noted", &WritesNoted, "How often note_write was called.");
  m.def("value_id", [](nb::handle tensor) {
    PyTensor* value = TensorOf(tensor.ptr());
    if (value == nullptr)
      Throw(Error(Code::kTypeMismatch) << "expected a Tensor, got " << TypeNameOf(tensor.ptr()));
    return reinterpret_cast<uintptr_t>(value->value.get());
  });
  m.def("enter_compile_world", &EnterCompileWorld);
  m.def("leave_compile_world", &LeaveCompileWorld);
  m.def(
      "plan_show",
      [](const std::string& path) { return compiler::Summary(Unwrap(compiler::LoadPlan(path))); },
      "The summary of a plan file; refuses files that are damaged.");
  m.def(
      "plan_check",
      [](const std::string& path) {
        auto plan = Unwrap(compiler::LoadPlan(path));
        Unwrap(compiler::VerifyPlan(plan));
        return plan.hash();
      },
      "Verifies a plan file; returns its hash.");
}

}  // namespace ofl::python
