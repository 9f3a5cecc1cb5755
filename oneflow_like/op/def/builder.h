// The interface gradients and decompositions are written against. The eager tape and the graph
// both implement it, so one rule serves both.
#pragma once

#include <atomic>
#include <string_view>
#include <vector>

#include <boost/smart_ptr/intrusive_ptr.hpp>

#include "oneflow_like/base/status.h"
#include "oneflow_like/core/attrs.h"
#include "oneflow_like/core/tensor_meta.h"
#include "sbp/sbp.h"

namespace ofl::op {

class OpDef;

// A tensor as an operator sees it: eager (ofl::tensor::TensorImpl) or symbolic (a graph's value).
// Intrusively counted: handles are copied on every eager call.
class ValueBase {
 public:
  ValueBase() = default;
  ValueBase(const ValueBase&) = delete;
  ValueBase& operator=(const ValueBase&) = delete;
  virtual ~ValueBase() = default;
  virtual const TensorMeta& meta() const = 0;  // logical
  // The layout, or null for a local tensor and for a symbolic one that has none yet.
  virtual const sbp::Layout* layout() const = 0;
  virtual bool is_symbolic() const = 0;

  friend void intrusive_ptr_add_ref(const ValueBase* v) {
    v->refs_.fetch_add(1, std::memory_order_relaxed);
  }
  friend void intrusive_ptr_release(const ValueBase* v) {
    if (v->refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete v;
  }

 private:
  mutable std::atomic<int> refs_{0};
};
using Value = boost::intrusive_ptr<ValueBase>;
using Values = std::vector<Value>;

// Applies operators. Errors stick: after the first, every call returns null values and status()
// holds the cause, so that rules need no checks between calls.
class Builder {
 public:
  virtual ~Builder() = default;
  virtual Values Apply(const OpDef& op, Values inputs, const Attrs& attrs) = 0;
  // Converts a global tensor to a layout.
  virtual Value ToLayout(const Value& x, const sbp::Layout& layout) = 0;
  const Status& status() const { return status_; }

  // By registry name; the attributes not given take their defaults. One output.
  Value Call(std::string_view op, Values inputs, Attrs attrs = {});
  Values CallAll(std::string_view op, Values inputs, Attrs attrs = {});
  // What a composition that was given operands it cannot serve says.
  void Fail(Status status) {
    if (status_.ok()) status_ = std::move(status);
  }

 protected:
  Status status_;
};

}  // namespace ofl::op
