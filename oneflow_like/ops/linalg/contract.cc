#include "oneflow_like/ops/linalg/contract.h"

#include <algorithm>

#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

bool Has(const AxisNames& names, int64_t name) { return std::ranges::count(names, name) > 0; }

int64_t SizeOf(const Factor& f, int64_t name) {
  const auto at = std::ranges::find(f.names, name) - f.names.begin();
  return f.value->meta().shape[static_cast<int>(at)];
}

op::Value Shaped(op::Builder& b, const op::Value& x, const Ints& shape) {
  if (x == nullptr) return x;
  if (x->meta().shape == Shape(shape)) return x;
  return b.Call("reshape", {x}, {{"shape", shape}});
}

// The axes in this order; none is lost.
void Order(op::Builder& b, Factor& f, const AxisNames& order) {
  if (f.value == nullptr || f.names == order) return;
  Ints dims;
  for (int64_t name : order) dims.push_back(std::ranges::find(f.names, name) - f.names.begin());
  f = {b.Call("permute", {f.value}, {{"dims", dims}}), order};
}

// Axes without those that `gone` holds, summed; in the operand's dtype, or as `sum` widens it.
void SumOut(op::Builder& b, Factor& f, const AxisNames& gone, bool widened = false) {
  Ints dims;
  AxisNames left;
  for (size_t i = 0; i < f.names.size(); ++i) {
    if (Has(gone, f.names[i])) {
      dims.push_back(static_cast<int64_t>(i));
    } else {
      left.push_back(f.names[i]);
    }
  }
  if (f.value == nullptr || dims.empty()) return;
  const DType dtype = f.value->meta().dtype;
  const op::Value sum = b.Call("sum", {f.value}, {{"dim", dims}, {"keepdim", false}});
  f = {widened ? sum : CastTo(b, sum, dtype), left};
}

// Without axes of size 1 that `gone` holds, over which there is nothing to sum.
void SqueezeOut(op::Builder& b, Factor& f, const AxisNames& gone) {
  AxisNames left;
  Ints shape;
  for (int64_t name : f.names) {
    if (SizeOf(f, name) == 1 && Has(gone, name)) continue;
    left.push_back(name);
    shape.push_back(SizeOf(f, name));
  }
  if (left.size() < f.names.size()) f = {Shaped(b, f.value, shape), left};
}

// A name twice: its diagonal.
void TakeDiagonals(op::Builder& b, Factor& f) {
  for (size_t i = 0; i < f.names.size() && f.value != nullptr; ++i) {
    for (size_t j = i + 1; j < f.names.size(); ++j) {
      if (f.names[i] != f.names[j]) continue;
      const int64_t name = f.names[i];
      f.value = b.Call("diagonal", {f.value},
                       {{"dim1", static_cast<int64_t>(i)}, {"dim2", static_cast<int64_t>(j)}});
      f.names.erase(f.names.begin() + static_cast<int64_t>(j));
      f.names.erase(f.names.begin() + static_cast<int64_t>(i));
      f.names.push_back(name);
      return TakeDiagonals(b, f);
    }
  }
}

// Axes of size 1 beside larger ones of the other operand are left out.
void DropOnes(op::Builder& b, Factor& f, const Factor& other) {
  AxisNames left;
  Ints shape;
  for (int64_t name : f.names) {
    const int64_t size = SizeOf(f, name);
    if (size == 1 && Has(other.names, name) && SizeOf(other, name) != 1) continue;
    left.push_back(name);
    shape.push_back(size);
  }
  if (left.size() < f.names.size()) f = {Shaped(b, f.value, shape), left};
}

// The names of two operands by what becomes of them.
struct Roles {
  AxisNames batch, left, right, summed;
};

int64_t ProductOver(const Factor& f, const AxisNames& names) {
  int64_t n = 1;
  for (int64_t name : names) n *= SizeOf(f, name);
  return n;
}

// (batch..., rows, columns): several row or column axes become one.
op::Value AsMatrices(op::Builder& b, Factor f, const AxisNames& batch, const AxisNames& rows,
                     const AxisNames& columns) {
  AxisNames order = batch;
  order.insert(order.end(), rows.begin(), rows.end());
  order.insert(order.end(), columns.begin(), columns.end());
  Ints shape;
  for (int64_t name : batch) shape.push_back(SizeOf(f, name));
  shape.push_back(ProductOver(f, rows));
  shape.push_back(ProductOver(f, columns));
  Order(b, f, order);
  return Shaped(b, f.value, shape);
}

// Without a sum: each operand with axes of size 1 where the other one's are.
Factor Elementwise(op::Builder& b, Factor x, Factor y, const Roles& r) {
  AxisNames names = r.batch, x_order = r.batch, y_order = r.batch;
  for (const AxisNames* more : {&r.left, &r.right})
    names.insert(names.end(), more->begin(), more->end());
  x_order.insert(x_order.end(), r.left.begin(), r.left.end());
  y_order.insert(y_order.end(), r.right.begin(), r.right.end());
  Ints x_shape;
  for (int64_t name : x_order) x_shape.push_back(SizeOf(x, name));
  x_shape.insert(x_shape.end(), r.right.size(), 1);
  Ints y_shape;
  for (int64_t name : r.batch) y_shape.push_back(SizeOf(y, name));
  y_shape.insert(y_shape.end(), r.left.size(), 1);
  for (int64_t name : r.right) y_shape.push_back(SizeOf(y, name));
  Order(b, x, x_order);
  Order(b, y, y_order);
  return {Mul(b, Shaped(b, x.value, x_shape), Shaped(b, y.value, y_shape)), names};
}

// The product of two operands, summed over what neither `kept` nor a later operand needs.
Factor Product(op::Builder& b, Factor x, Factor y, const AxisNames& kept, bool widens) {
  DropOnes(b, x, y);
  if (x.value == nullptr) return {};
  DropOnes(b, y, x);
  if (y.value == nullptr) return {};
  AxisNames alone;
  for (const Factor* f : {&x, &y})
    for (int64_t name : f->names)
      if (!Has(kept, name) && !(Has(x.names, name) && Has(y.names, name))) alone.push_back(name);
  for (Factor* f : {&x, &y}) {
    SqueezeOut(b, *f, alone);
    if (f->value == nullptr) return {};
    SumOut(b, *f, alone, widens);
    if (f->value == nullptr) return {};
  }
  Roles r;
  for (int64_t name : x.names) {
    const bool both = Has(y.names, name);
    (!both ? r.left : Has(kept, name) ? r.batch : r.summed).push_back(name);
  }
  for (int64_t name : y.names)
    if (!Has(x.names, name)) r.right.push_back(name);
  if (r.summed.empty()) return Elementwise(b, std::move(x), std::move(y), r);
  AxisNames names = r.batch;
  Ints shape;
  for (int64_t name : r.batch) shape.push_back(SizeOf(x, name));
  for (int64_t name : r.left) shape.push_back(SizeOf(x, name));
  for (int64_t name : r.right) shape.push_back(SizeOf(y, name));
  names.insert(names.end(), r.left.begin(), r.left.end());
  names.insert(names.end(), r.right.begin(), r.right.end());
  if (x.value->meta().dtype != y.value->meta().dtype)  // one has been widened
    for (Factor* f : {&x, &y}) f->value = CastTo(b, f->value, DType::kInt64);
  const op::Value product = b.Call("matmul", {AsMatrices(b, x, r.batch, r.left, r.summed),
                                              AsMatrices(b, y, r.batch, r.summed, r.right)});
  return {Shaped(b, product, shape), names};
}

}  // namespace

Result<std::vector<std::pair<int64_t, int64_t>>> SizesOf(const std::vector<Factor>& operands) {
  std::vector<std::pair<int64_t, int64_t>> sizes;
  for (const Factor& f : operands) {
    const Shape& shape = f.value->meta().shape;
    for (size_t i = 0; i < f.names.size(); ++i) {
      const int64_t size = shape[static_cast<int>(i)];
      for (size_t j = 0; j < i; ++j) {
        OFL_ENSURE(f.names[j] != f.names[i] || shape[static_cast<int>(j)] == size,
                   Code::kInvalidArgument)
            << "a name stands for two sizes of one operand: got " << f.value->meta().ToString()
            << "; expected equal sizes";
      }
      const auto known = std::ranges::find(sizes, f.names[i], &std::pair<int64_t, int64_t>::first);
      if (known == sizes.end()) {
        sizes.emplace_back(f.names[i], size);
        continue;
      }
      OFL_ENSURE(size == known->second || size == 1 || known->second == 1, Code::kInvalidArgument)
          << "the sizes of one name differ: got " << known->second << " and " << size
          << "; expected equal sizes, or 1";
      if (known->second == 1) known->second = size;
    }
  }
  return sizes;
}

op::Value Contracted(op::Builder& b, std::vector<Factor> operands, const AxisNames& out,
                     bool widens) {
  for (Factor& f : operands) {
    TakeDiagonals(b, f);
    if (f.value == nullptr) return nullptr;
  }
  Factor result = operands[0];
  for (size_t i = 1; i < operands.size(); ++i) {
    AxisNames kept = out;
    for (size_t j = i + 1; j < operands.size(); ++j)
      kept.insert(kept.end(), operands[j].names.begin(), operands[j].names.end());
    result = Product(b, std::move(result), operands[i], kept, widens);
    if (result.value == nullptr) return nullptr;
  }
  AxisNames gone;
  for (int64_t name : result.names)
    if (!Has(out, name)) gone.push_back(name);
  SumOut(b, result, gone, true);
  Order(b, result, out);
  return result.value;
}

}  // namespace ofl::ops
