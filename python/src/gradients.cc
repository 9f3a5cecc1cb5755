// Gradients handed out instead of accumulated: flow.autograd.grad is written on this.
#include <vector>

#include "oneflow_like/tensor/autograd.h"
#include "oneflow_like/tensor/tracer.h"
#include "python/src/module.h"

namespace ofl::python {
namespace {

using tensor::TensorRef;

// The eager tensors of a tuple; None stays null where that is allowed.
std::vector<TensorRef> TensorsOf(const nb::tuple& items, const char* name, bool none_allowed) {
  std::vector<TensorRef> tensors;
  for (nb::handle item : items) {
    if (none_allowed && item.is_none()) {
      tensors.emplace_back();
      continue;
    }
    const PyTensor* tensor = TensorOf(item.ptr());
    if (tensor == nullptr) {
      Throw(Error(Code::kTypeMismatch)
            << "[grad] " << name << " must hold Tensors, not " << TypeNameOf(item.ptr())
            << "; expected for example (" << name << "=x)");
    }
    tensors.push_back(Unwrap(tensor::RequireTensor(tensor->value)));
  }
  return tensors;
}

nb::tuple Gradients(const nb::tuple& outputs, const nb::tuple& inputs,
                    const nb::tuple& grad_outputs, bool retain_graph, bool create_graph) {
  if (tensor::CurrentTracer() != nullptr) {
    Throw(Error(Code::kUnimplemented)
          << "[grad] gradients as values inside build() of a graph: got a call while tracing; "
             "expected loss.backward(), or grad() outside of graphs");
  }
  const auto roots = TensorsOf(outputs, "outputs", false);
  const auto wanted = TensorsOf(inputs, "inputs", false);
  const auto seeds = TensorsOf(grad_outputs, "grad_outputs", true);
  if (seeds.size() != roots.size()) {
    Throw(Error(Code::kInvalidArgument)
          << "[grad] outputs and grad_outputs differ in number: got " << roots.size() << " and "
          << seeds.size() << "; expected one gradient (or None) for each output");
  }
  nb::list results;
  for (op::Value& value :
       Unwrap(tensor::Gradients(roots, seeds, wanted, retain_graph, create_graph))) {
    if (value == nullptr) {
      results.append(nb::none());
    } else {
      results.append(Wrapped(std::move(value)));
    }
  }
  return nb::tuple(results);
}

}  // namespace

void BindGradients(nb::module_& m) {
  m.def("gradients", &Gradients, nb::arg("outputs"), nb::arg("inputs"), nb::arg("grad_outputs"),
        nb::arg("retain_graph"), nb::arg("create_graph"),
        "Gradients of the outputs' sum, one for each input; None where nothing depends on it.");
}

}  // namespace ofl::python
