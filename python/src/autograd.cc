// Hooks, and functions with a backward of the user's own: autograd.Function is written on this.
#include "oneflow_like/tensor/autograd.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <utility>
#include <vector>

#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/conversion.h"
#include "oneflow_like/tensor/tracer.h"
#include "python/src/module.h"
#include "python/src/source_lines.h"

namespace ofl::python {
namespace {

using tensor::TensorRef;
using Object = std::shared_ptr<nb::object>;  // let go with Python's lock held

Object Held(nb::handle object) {
  return {new nb::object(nb::borrow(object)), [](nb::object* p) {
            const nb::gil_scoped_acquire lock;
            delete p;
          }};
}

TensorRef EagerOf(nb::handle object, const char* user) {
  PyTensor* tensor = TensorOf(object.ptr());
  if (tensor == nullptr) {
    Throw(Error(Code::kTypeMismatch)
          << "[" << user << "] expected a Tensor, not " << TypeNameOf(object.ptr()));
  }
  if (tensor::CurrentTracer() != nullptr || tensor->value->is_symbolic()) {
    Throw(Error(Code::kUnimplemented)
          << "[" << user << "] inside build() of a graph: got a call while tracing; expected "
          << "operators alone, whose gradients belong to the plan; use it outside graphs");
  }
  return Unwrap(tensor::RequireTensor(tensor->value));
}

// The error of a Python function that was called while gradients flow: it stays set.
Status Raised(nb::python_error& error) {
  const std::string what = error.what();
  error.restore();
  return Error(Code::kCancelled) << what;
}

// What a gradient must be like.
struct Wanted {
  TensorMeta meta;
  bool global = false;
};

// A gradient that a user's function gives in place of `of`.
Result<op::Value> Given(nb::handle object, const Wanted& of, const std::string& user) {
  if (object.is_none()) return op::Value();
  PyTensor* tensor = TensorOf(object.ptr());
  OFL_ENSURE(tensor != nullptr, Code::kTypeMismatch)
      << "[" << user << "] a gradient is no Tensor: got " << TypeNameOf(object.ptr())
      << "; expected a Tensor or None";
  OFL_ASSIGN(TensorRef grad, tensor::RequireTensor(tensor->value));
  OFL_ENSURE(grad->meta() == of.meta && grad->is_global() == of.global, Code::kInvalidArgument)
      << "[" << user << "] a gradient does not fit: got " << tensor::Describe(*grad)
      << (grad->is_global() ? ", a global tensor" : ", a local tensor") << "; expected "
      << of.meta.ToString() << (of.global ? ", global; use to_global(...)" : ", local");
  return op::Value(grad);
}

// --- hooks ----------------------------------------------------------------------------------

// What register_hook returns.
struct HookHandle {
  tensor::HooksRef hooks;
  int64_t id;
  void Remove() {
    if (hooks != nullptr) hooks->Remove(id);
    hooks = nullptr;
    NoteWrite();
  }
};

HookHandle RegisterHook(nb::handle self, nb::handle function) {
  const TensorRef x = EagerOf(self, "register_hook");
  if (!x->requires_grad()) {
    Throw(
        Error(Code::kFailedPrecondition)
        << "[register_hook] cannot register a hook on a tensor that doesn't require gradient: got "
        << tensor::Describe(*x) << "; expected requires_grad=True");
  }
  if (PyCallable_Check(function.ptr()) == 0) {
    Throw(Error(Code::kTypeMismatch) << "[register_hook] expected a function of the gradient, not "
                                     << TypeNameOf(function.ptr()));
  }
  auto [hooks, id] = tensor::AddHook(x, [held = Held(function)](const op::Value& grad) {
    const nb::gil_scoped_acquire lock;
    try {
      const nb::object seen = Wrapped(grad);
      return Given((*held)(seen), {grad->meta(), grad->layout() != nullptr}, "hook");
    } catch (nb::python_error& error) {
      return Result<op::Value>(Raised(error));
    }
  });
  NoteWrite();  // graphs refuse hooks of parameters
  return {std::move(hooks), id};
}

// The function sees the very object on which it was registered, as long as that lives.
HookHandle RegisterPostHook(nb::handle self, nb::handle function) {
  const TensorRef x = EagerOf(self, "register_post_accumulate_grad_hook");
  if (!x->requires_grad() || !x->is_leaf()) {
    Throw(Error(Code::kFailedPrecondition)
          << "[register_post_accumulate_grad_hook] only leaves accumulate gradients: got "
          << tensor::Describe(*x) << (x->is_leaf() ? "" : " with a history")
          << "; expected a leaf with requires_grad=True");
  }
  if (PyCallable_Check(function.ptr()) == 0) {
    Throw(Error(Code::kTypeMismatch)
          << "[register_post_accumulate_grad_hook] expected a function of the tensor, not "
          << TypeNameOf(function.ptr()));
  }
  const nb::object weak = nb::steal(PyWeakref_NewRef(self.ptr(), nullptr));
  if (!weak.is_valid()) throw nb::python_error();
  auto [hooks, id] = tensor::AddPostHook(
      x, [held = Held(function), weak = Held(weak)](const op::Value& leaf) -> Result<op::Value> {
        const nb::gil_scoped_acquire lock;
        try {
          nb::object seen = (*weak)();
          if (seen.is_none()) seen = Wrapped(leaf);
          const nb::object given = (*held)(seen);
          OFL_ENSURE(given.is_none(), Code::kTypeMismatch)
              << "[register_post_accumulate_grad_hook] a hook gave something back, which nobody "
              << "takes: got " << TypeNameOf(given.ptr()) << "; expected None; change x.grad";
          return op::Value();
        } catch (nb::python_error& error) {
          return Raised(error);
        }
      });
  NoteWrite();  // graphs refuse hooks
  return {std::move(hooks), id};
}

void RetainGradOf(nb::handle self) {
  const TensorRef x = EagerOf(self, "retain_grad");
  if (!x->requires_grad()) {
    Throw(Error(Code::kFailedPrecondition)
          << "[retain_grad] can't retain_grad on Tensor that has requires_grad=False: got "
          << tensor::Describe(*x));
  }
  if (!x->is_leaf() && !x->retains_grad()) {
    tensor::RetainGrad(x);
    x->set_retains_grad();
  }
}

// --- functions ------------------------------------------------------------------------------

// Calls backward(saved results, gradients) -> one gradient or None for each input.
class FunctionNode final : public tensor::Node {
 public:
  FunctionNode(std::string name, nb::handle backward, std::vector<TensorMeta> outputs)
      : Node(std::move(name)), backward_(Held(backward)), outputs_(std::move(outputs)) {
    num_outputs_ = static_cast<int>(outputs_.size());
  }
  // A result that backward wants: without its history, which leads here.
  void Save(int output, const TensorRef& x) { saved_.emplace_back(output, x->Detach()); }
  void TakeInput(const TensorRef& x) {
    edges.push_back(tensor::EdgeOf(op::Value(x)));
    inputs_.push_back({x->meta(), x->is_global()});
  }

  op::Values Apply(tensor::EagerBuilder& builder, std::span<const op::Value> grads) override {
    auto results = Call(grads);
    if (results.ok()) return std::move(results).value();
    builder.Report(results.status());
    return op::Values(edges.size());
  }
  void Release() override {
    Node::Release();
    saved_.clear();
    const nb::gil_scoped_acquire lock;
    backward_ = nullptr;
  }

 private:
  Result<op::Values> Call(std::span<const op::Value> grads) {
    const nb::gil_scoped_acquire lock;
    try {
      nb::list saved, given;
      for (const auto& [output, value] : saved_) {
        const TensorRef alias = value->Detach();
        if (tensor::Context::grad_enabled()) alias->SetGradFn(tensor::NodeRef(this), output);
        saved.append(Wrapped(op::Value(alias)));
      }
      for (const op::Value& grad : grads) {
        given.append(grad == nullptr ? nb::none() : Wrapped(grad));
      }
      const nb::object made = (*backward_)(saved, given);
      const nb::tuple results = nb::cast<nb::tuple>(made);
      op::Values values;
      for (size_t i = 0; i < inputs_.size(); ++i) {
        OFL_ASSIGN(op::Value grad, Given(results[i], inputs_[i], name() + ".backward"));
        values.push_back(std::move(grad));
      }
      return values;
    } catch (nb::python_error& error) {
      return Raised(error);
    }
  }

  Object backward_;
  std::vector<TensorMeta> outputs_;
  std::vector<Wanted> inputs_;
  std::vector<std::pair<int, TensorRef>> saved_;
};

// Gives `outputs` a history of one node. `dirty`: those that are inputs changed in place; `saved`:
// which of them backward wants. The tensors to hand to the user.
nb::list RecordFunction(std::string name, nb::handle backward, nb::list inputs, nb::list outputs,
                        std::vector<bool> differentiable, std::vector<bool> dirty,
                        std::vector<int> saved) {
  std::vector<TensorMeta> metas;
  for (nb::handle y : outputs) metas.push_back(EagerOf(y, "Function")->meta());
  auto* node = new FunctionNode(std::move(name), backward, std::move(metas));
  const tensor::NodeRef held(node);
  for (nb::handle x : inputs) node->TakeInput(EagerOf(x, "Function"));
  nb::list results;
  for (size_t i = 0; i < outputs.size(); ++i) {
    TensorRef y = EagerOf(outputs[i], "Function");
    if (!differentiable[i]) {
      results.append(y->requires_grad() ? Wrapped(op::Value(y->Detach())) : nb::borrow(outputs[i]));
      continue;
    }
    if (dirty[i]) {
      if (y->is_leaf() && y->requires_grad()) {
        Throw(Error(Code::kFailedPrecondition)
              << "[" << node->name() << "] mark_dirty: a leaf Tensor that requires grad is being "
              << "used in an in-place operation: got " << tensor::Describe(*y)
              << "; expected a result, or a leaf that requires no grad; use x.clone()");
      }
      tensor::RecordChange(y, {held, static_cast<int>(i), nullptr});
      results.append(outputs[i]);
      continue;
    }
    y = y->Detach();  // a handle of its own: an input given back, or a view of one
    y->SetGradFn(held, static_cast<int>(i));
    results.append(Wrapped(op::Value(y)));
  }
  for (int output : saved)
    node->Save(output, EagerOf(outputs[static_cast<size_t>(output)], "Function"));
  return results;
}

// The tensor under a handle whose history stays what it is now, whatever is done to the tensor.
nb::object HistoryAlias(nb::handle self) {
  const TensorRef x = EagerOf(self, "Function");
  const tensor::Edge edge = tensor::EdgeOf(op::Value(x));
  if (edge.leaf != nullptr) return nb::borrow(self);
  const TensorRef alias = x->Detach();
  if (edge.needed()) tensor::PutAt(edge, alias);
  return Wrapped(op::Value(alias));
}

}  // namespace

void BindAutograd(nb::module_& m) {
  BindSourceLines(m);
  m.def("anomaly_mode", [] {
    const tensor::AnomalyMode mode = tensor::GetAnomalyMode();
    return nb::make_tuple(mode.on, mode.check_nan);
  });
  m.def(
      "set_anomaly_mode", [](bool on, bool check_nan) { tensor::SetAnomalyMode({on, check_nan}); },
      nb::arg("on"), nb::arg("check_nan"));
  nb::class_<HookHandle>(m, "HookHandle", "A registered hook; remove() takes it away.")
      .def("remove", &HookHandle::Remove)
      .def("__enter__", [](nb::object self) { return self; })
      .def("__exit__", [](HookHandle& self, nb::args) { self.Remove(); }, nb::arg("args"));
  m.def("register_hook", &RegisterHook, nb::arg("self"), nb::arg("hook").none());
  m.def("register_post_hook", &RegisterPostHook, nb::arg("self"), nb::arg("hook").none());
  m.def("retain_grad", &RetainGradOf, nb::arg("self"));
  m.def("retains_grad", [](nb::handle self) {
    PyTensor* x = TensorOf(self.ptr());
    return x != nullptr && !x->value->is_symbolic() && tensor::AsTensor(x->value)->retains_grad() &&
           !tensor::AsTensor(x->value)->is_leaf();
  });
  m.def("record_function", &RecordFunction, nb::arg("name"), nb::arg("backward"), nb::arg("inputs"),
        nb::arg("outputs"), nb::arg("differentiable"), nb::arg("dirty"), nb::arg("saved"));
  m.def("history_alias", &HistoryAlias, nb::arg("self"));
}

}  // namespace ofl::python
