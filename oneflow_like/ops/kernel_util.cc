#include "oneflow_like/ops/kernel_util.h"

namespace ofl::ops {

AxisView ViewAround(const Shape& shape, int axis) {
  return {ProductOf(shape, 0, axis), shape[axis], ProductOf(shape, axis + 1, shape.rank())};
}

int64_t ProductOf(const Shape& shape, int begin, int end) {
  int64_t n = 1;
  for (int i = begin; i < end; ++i) n *= shape[i];
  return n;
}

std::string Labels(const std::string& prefix, int count) { return LabelsExcept(prefix, count, -1); }

std::string LabelsExcept(const std::string& prefix, int rank, int fixed) {
  std::string text;
  for (int i = 0; i < rank; ++i) {
    if (i > 0) text += ' ';
    text += i == fixed ? std::string("!") : prefix + std::to_string(i);
  }
  return text;
}

std::string JointlyLinear(int n) {
  std::string text = "; linear jointly";
  for (int i = 0; i < n; ++i) text += " " + std::to_string(i);
  return text;
}

int AxisAttr(const Attrs& attrs, std::string_view name, int rank) {
  const int64_t axis = attrs.Get<int64_t>(name);
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

Shape ShapeAttr(const Attrs& attrs, std::string_view name) {
  return Shape(std::span<const int64_t>(attrs.Get<std::vector<int64_t>>(name)));
}

void CpuForAllTypes(op::OpDefBuilder& op, op::KernelFn fn, op::BoundFn bound) {
  for (DType d : AllDTypes()) op.Cpu(d, fn, bound);
}

Status RequireFloat(const op::InferContext& c, int i, const char* what) {
  const DType d = c.input(i).dtype;
  OFL_ENSURE(d == DType::kFloat32 || d == DType::kFloat64, Code::kTypeMismatch)
      << what << " must be floating point; expected float32 or float64";
  return Status::Ok();
}

Status RequireSameDType(const op::InferContext& c, int i, int j, const char* what) {
  OFL_ENSURE(c.input(i).dtype == c.input(j).dtype, Code::kTypeMismatch)
      << what << " must have one dtype; convert one of them with .to(dtype)";
  return Status::Ok();
}

Status RequireInt64(const op::InferContext& c, int i, const char* what) {
  OFL_ENSURE(c.input(i).dtype == DType::kInt64, Code::kTypeMismatch)
      << what << " must be int64; convert it with .to(flow.int64)";
  return Status::Ok();
}

}  // namespace ofl::ops
