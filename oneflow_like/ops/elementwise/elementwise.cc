#include "oneflow_like/ops/elementwise/elementwise.h"

namespace ofl::ops {

Status RequireNumbers(const op::InferContext& c, int i, Numbers numbers) {
  const DType d = c.input(i).dtype;
  switch (numbers) {
    case Numbers::kFloat:
      OFL_ENSURE(IsFloating(d), Code::kTypeMismatch)
          << DTypeName(d) << " is not a floating dtype; expected float32 or float64; convert "
          << "with .to(flow.float32)";
      break;
    case Numbers::kNumber:
      OFL_ENSURE(d != DType::kBool, Code::kTypeMismatch)
          << "bool is not a number; expected a floating or integer dtype; convert with "
          << ".to(flow.int64)";
      break;
    case Numbers::kBool:
      OFL_ENSURE(d == DType::kBool, Code::kTypeMismatch)
          << DTypeName(d) << " is not bool; expected bool; compare with 0 first";
      break;
    case Numbers::kAny: break;
  }
  return Status::Ok();
}

Status InferBinary(op::InferContext& c, Numbers numbers, bool to_bool) {
  const TensorMeta& a = c.input(0);
  const TensorMeta& b = c.input(1);
  OFL_ENSURE(a.dtype == b.dtype, Code::kTypeMismatch)
      << "the dtypes " << DTypeName(a.dtype) << " and " << DTypeName(b.dtype)
      << " differ; expected one dtype; convert one of them with .to(dtype)";
  OFL_TRY(RequireNumbers(c, 0, numbers));
  const auto shape = BroadcastShapes(a.shape, b.shape);
  OFL_ENSURE(shape.ok(), Code::kInvalidArgument)
      << shape.status().message() << "; expected equal sizes or 1";
  c.AddOutput({to_bool ? DType::kBool : a.dtype, *shape});
  return Status::Ok();
}

op::Value ReduceTo(op::Builder& b, op::Value x, const Shape& shape) {
  if (x == nullptr || x->meta().shape == shape) return x;
  return b.Call("sum_to", {std::move(x)}, {{"shape", DimsOf(shape)}});
}

std::vector<op::Sample> UnarySamples(std::vector<DType> dtypes, double low, double high,
                                     Attrs attrs) {
  std::vector<op::Sample> samples;
  for (DType d : dtypes) {
    for (const Shape& shape : {Shape{5, 3}, Shape{}, Shape{0, 3}, Shape{2, 1, 4}}) {
      if (d != dtypes[0] && !samples.empty() && shape != Shape{5, 3}) continue;
      samples.push_back({{{d, shape}}, attrs, low, high, ""});
    }
  }
  // Long enough for whole vectors and a rest.
  samples.push_back({{{dtypes[0], {37, 3}}}, attrs, low, high, "long"});
  return samples;
}

std::vector<op::Sample> BinarySamples(std::vector<DType> dtypes, double low, double high) {
  const std::pair<Shape, Shape> shapes[] = {
      {{5, 3}, {5, 3}}, {{5, 3}, {3}},         {{5, 1}, {1, 3}}, {{5, 3}, {}},
      {{}, {}},         {{2, 3, 4}, {3, 1}},   {{0, 3}, {0, 3}}, {{1, 3}, {0, 3}},
      {{4}, {2, 3, 4}}, {{2, 1, 4}, {1, 3, 1}}};
  std::vector<op::Sample> samples;
  for (DType d : dtypes) {
    for (const auto& [a, b] : shapes) {
      samples.push_back({{{d, a}, {d, b}}, {}, low, high, ""});
      if (d != dtypes[0]) break;
    }
  }
  return samples;
}

}  // namespace ofl::ops
