// cdist and pdist: distances between all pairs of rows.
#include <algorithm>
#include <cmath>

#include "oneflow_like/ops/linalg/matrices.h"
#include "oneflow_like/ops/reduce/norm.h"

namespace ofl::ops {
namespace {

constexpr DTypeSet kReal =
    SetOf(DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16);
constexpr int64_t kFewRows = 25;  // from more on torch multiplies for Euclidean distances

Status CheckOrder(double p) {
  OFL_ENSURE(p >= 0, Code::kInvalidArgument)
      << "no distance of this order: got p=" << p << "; expected p >= 0";
  return Status::Ok();
}

Status CheckRows(Operands in, double p) {
  for (const op::Value& x : in) {
    OFL_ENSURE(Contains(kReal, x->meta().dtype), Code::kTypeMismatch)
        << "distances of " << DTypeName(x->meta().dtype) << ": got " << x->meta().ToString()
        << "; expected a floating dtype; convert with .to(flow.float32)";
    OFL_ENSURE(x->meta().dtype == in[0]->meta().dtype, Code::kTypeMismatch)
        << "the dtypes differ: got " << in[0]->meta().ToString() << " and " << x->meta().ToString()
        << "; expected one dtype; convert with .to(dtype)";
    OFL_ENSURE(x->meta().shape.rank() >= 2, Code::kInvalidArgument)
        << "no rows: got " << x->meta().ToString() << "; expected at least two axes";
    OFL_ENSURE(ColumnsOf(x->meta().shape) == ColumnsOf(in[0]->meta().shape), Code::kInvalidArgument)
        << "rows of two lengths: got " << in[0]->meta().ToString() << " and "
        << x->meta().ToString() << "; expected one number of columns";
  }
  return CheckOrder(p);
}

// By |x|^2 + |y|^2 - 2 x y.
op::Value ByProducts(op::Builder& b, const op::Value& x, const op::Value& y) {
  const auto squares = [&](const op::Value& v) {
    return b.Call("power_sum", {v}, {{"dim", Ints{-1}}, {"keepdim", true}, {"power", int64_t{2}}});
  };
  const op::Value products = MulScalar(b, MatMul(b, x, y, false, true), -2.0);
  const op::Value sum = Add(b, Add(b, products, squares(x)), Transposed(b, squares(y)));
  return b.Call("root_power", {AtLeast(b, sum, 0)}, {{"exponent", 0.5}});
}

Result<bool> UsesProducts(const std::string& mode, const Shape& x, const Shape& y) {
  if (mode == "use_mm_for_euclid_dist") return true;
  if (mode == "donot_use_mm_for_euclid_dist") return false;
  OFL_ENSURE(mode == "use_mm_for_euclid_dist_if_necessary", Code::kInvalidArgument)
      << "no such mode: got compute_mode=" << Quoted(mode)
      << "; expected 'use_mm_for_euclid_dist_if_necessary', 'use_mm_for_euclid_dist' or "
         "'donot_use_mm_for_euclid_dist'";
  return RowsOf(x) > kFewRows || RowsOf(y) > kFewRows;
}

// The norms of rows. At a tie of the order inf each of the extremes has the whole gradient, and
// that of the order 0 is 0, both as in torch (whose norms share it, and have none).
op::Value LengthsOf(op::Builder& b, const op::Value& apart, double p) {
  const Attrs over = {{"dim", Ints{-1}}, {"keepdim", false}};
  if (std::isinf(p)) return b.Call("furthest", {b.Call("abs", {apart})}, over);
  const op::Value norm = VectorNorm(b, apart, p, over);
  if (p != 0 || norm == nullptr) return norm;
  return Where(b, b.Call("eq", {norm, norm}), norm, b.Call("sum", {apart}, over));
}

op::Values ComposeCdist(op::Builder& b, Operands in, const Attrs& attrs) {
  const double p = attrs.Get<double>("p");
  Status wrong = CheckRows(in, p);
  if (!wrong.ok()) return Refused(b, wrong);
  const auto products = UsesProducts(attrs.Get<std::string>("compute_mode"), in[0]->meta().shape,
                                     in[1]->meta().shape);
  if (!products.ok()) return Refused(b, products.status());
  const DType dtype = in[0]->meta().dtype;
  const op::Value x = Wide(b, in[0]), y = Wide(b, in[1]);
  if (x == nullptr || y == nullptr) return {nullptr};
  const bool any = ColumnsOf(x->meta().shape) > 0;
  if (p == 2 && *products && any) return {CastTo(b, ByProducts(b, x, y), dtype)};
  if (p == 1 && any) {
    const auto batch = BroadcastShapes(BatchOf(x->meta().shape), BatchOf(y->meta().shape));
    if (!batch.ok()) return Refused(b, batch.status());
    return {
        CastTo(b, b.Call("l1_distances", {Batched(b, x, *batch), Batched(b, y, *batch)}), dtype)};
  }
  const op::Value apart = Sub(b, Unsqueezed(b, x, -2), Unsqueezed(b, y, -3));
  // Rows without elements are 0 apart, whatever the order.
  const double order = any ? p : 1;
  return {CastTo(b, LengthsOf(b, apart, order), dtype)};
}

op::Values ComposePdist(op::Builder& b, Operands in, const Attrs& attrs) {
  const double p = attrs.Get<double>("p");
  Status wrong = CheckRows(in, p);
  if (wrong.ok() && in[0]->meta().shape.rank() != 2) {
    wrong = Error(Code::kInvalidArgument)
            << "no matrix: got " << in[0]->meta().ToString() << "; expected two axes";
  }
  if (!wrong.ok()) return Refused(b, wrong);
  const DType dtype = in[0]->meta().dtype;
  const op::Value x = Wide(b, in[0]);
  if (x == nullptr) return {nullptr};
  // Pairs of rows (i, j), i < j, row by row.
  const op::Value rows = b.Call("sum", {x}, {{"dim", Ints{1}}, {"keepdim", false}});
  const op::Value pairs = Of(b, "combination_indices", rows);
  const auto side = [&](int64_t column) {
    const op::Value index = b.Call("select", {pairs}, {{"dim", int64_t{1}}, {"index", column}});
    return b.Call("index_select", {x, index}, {{"dim", int64_t{0}}});
  };
  const double order = ColumnsOf(x->meta().shape) > 0 ? p : 1;
  return {CastTo(b, LengthsOf(b, Sub(b, side(0), side(1)), order), dtype)};
}

std::vector<op::Sample> RowSamples(const std::vector<std::vector<Shape>>& shapes) {
  std::vector<op::Sample> samples;
  const auto add = [&](DType d, const std::vector<Shape>& operands, const Attrs& attrs) {
    op::Sample s;
    for (const Shape& shape : operands) s.inputs.push_back({d, shape});
    s.attrs = attrs;
    samples.push_back(std::move(s));
  };
  for (const auto& operands : shapes) add(DType::kFloat32, operands, {});
  for (DType d : ListOf(kReal)) add(d, shapes[0], {});
  for (double p : {0.0, 1.0, 3.0, 0.5, std::numeric_limits<double>::infinity()})
    add(DType::kFloat32, shapes[0], {{"p", p}});
  return samples;
}

std::vector<op::ErrorSample> RowErrors(size_t operands) {
  const std::vector<TensorMeta> whole(operands, {DType::kInt64, {2, 3}});
  const std::vector<TensorMeta> rows(operands, {DType::kFloat32, {2, 3}});
  return {{whole, {}, Code::kTypeMismatch, "distances of int64"},
          {rows, {{"p", -1.0}}, Code::kInvalidArgument, "got p=-1"}};
}

}  // namespace

OFL_OP(cdist) {
  op.Doc(
        "The p-norms of the differences of each row of x1 and each of x2; batches broadcast. "
        "Euclidean\n"
        "ones of many rows come from products, unless `compute_mode` says otherwise.")
      .In("x1")
      .In("x2")
      .Out("output")
      .Attr("p", op::AttrType::kFloat, 2.0)
      .Attr("compute_mode", op::AttrType::kString,
            std::string("use_mm_for_euclid_dist_if_necessary"))
      .Compose(ComposeCdist)
      .Oracle("norm(x1[..., :, None, :] - x2[..., None, :, :], p, [-1], False)")
      .Py("cdist(x1, x2, p=2.0, compute_mode='use_mm_for_euclid_dist_if_necessary')")
      .Public()
      .Samples([] {
        auto samples = RowSamples(
            {{{3, 2}, {4, 2}}, {{2, 3, 2}, {2, 4, 2}}, {{2, 1, 3, 2}, {4, 2}}, {{0, 2}, {4, 2}}});
        samples.push_back(samples[0]);
        samples.back().attrs = {{"compute_mode", std::string("use_mm_for_euclid_dist")}};
        return samples;
      })
      .ErrorSamples([] {
        auto errors = RowErrors(2);
        errors.push_back({{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {2, 4}}},
                          {},
                          Code::kInvalidArgument,
                          "rows of two lengths"});
        errors.push_back({{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {2, 3}}},
                          {{"compute_mode", std::string("x")}},
                          Code::kInvalidArgument,
                          "compute_mode='x'"});
        return errors;
      }());
}

OFL_OP(pdist) {
  op.Doc("The p-norms of the differences of each two rows i < j of a matrix, row by row.")
      .In("input")
      .Out("output")
      .Attr("p", op::AttrType::kFloat, 2.0)
      .Compose(ComposePdist)
      .Oracle("pdist(input, p)")
      .Py("pdist(input, p=2)")
      .Public()
      .Functional()
      .Samples([] { return RowSamples({{{4, 3}}, {{1, 3}}, {{0, 3}}, {{3, 1}}}); })
      .ErrorSamples([] {
        auto errors = RowErrors(1);
        errors.push_back({{{DType::kFloat32, {2, 3, 4}}}, {}, Code::kInvalidArgument, "no matrix"});
        return errors;
      }());
}

}  // namespace ofl::ops
