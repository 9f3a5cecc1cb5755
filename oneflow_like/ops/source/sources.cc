#include "oneflow_like/ops/source/sources.h"

#include "oneflow_like/core/integers.h"

namespace ofl::ops {

Status InferSource(op::InferContext& c) {
  OFL_ASSIGN(const Shape shape, Shape::Checked(c.attr<std::vector<int64_t>>("shape")));
  c.AddOutput({c.attr<DType>("dtype"), shape});
  return Status::Ok();
}

Status InferFloatSource(op::InferContext& c) {
  const DType dtype = c.attr<DType>("dtype");
  OFL_ENSURE(IsFloating(dtype) && !IsFloat8(dtype), Code::kTypeMismatch)
      << "values are real numbers; expected dtype float32, float64, float16 or bfloat16";
  return InferSource(c);
}

std::pair<int64_t, int64_t> WholeRange(DType dtype) {
  const auto around = [](int bits) { return std::pair(-(int64_t{1} << bits), int64_t{1} << bits); };
  switch (dtype) {
    case DType::kFloat32: return around(24);
    case DType::kFloat64: return around(53);
    case DType::kFloat16: return around(11);
    case DType::kBFloat16: return around(8);
    default: return BoundsOf(dtype);
  }
}

namespace {

std::string SourceRule(std::span<const Shape>, std::span<const Shape> out, const Attrs&) {
  const std::string axes = Labels("a", out[0].rank());
  return "->(" + axes + ")" + (axes.empty() ? "" : "; offset " + axes);
}

Attrs LocalSource(const Attrs& attrs, std::span<const Shape>, std::span<const Shape> outputs) {
  Attrs local = attrs;
  local.Set("shape", DimsOf(outputs[0]));
  return local;
}

template <class T>
void FillAs(op::KernelContext& c, int64_t low, uint64_t width) {
  T* out = c.outputs[0].as<T>();
  // The high word of a 128-bit product maps 64 bits onto the range with a bias below 2^-32 for
  // ranges below 2^32.
  ForEachWideWord(c, [&](int64_t i, uint64_t bits) {
    const auto product = static_cast<unsigned __int128>(bits) * width;
    const auto place = width == 0 ? bits : static_cast<uint64_t>(product >> 64);
    out[i] = Stored<T>::From(static_cast<int64_t>(static_cast<uint64_t>(low) + place));
  });
}

}  // namespace

op::OpDefBuilder& DefineSource(op::OpDefBuilder& op, DType dtype) {
  return op.Out("output")
      .Attr("shape", op::AttrType::kInts)
      .Attr("dtype", op::AttrType::kDType, dtype)
      .Generator("generator")
      .Version(2)
      .Sbp(SourceRule)
      .LocalAttrs(LocalSource)
      .NotDifferentiable("a random source has no tensor inputs")
      .Traits({op::Trait::kSource});
}

std::vector<op::Sample> SourceSamples(Attrs extra, std::span<const DType> dtypes) {
  std::vector<op::Sample> samples;
  for (std::vector<int64_t> shape : {std::vector<int64_t>{5, 3}, {7}, {2, 3, 2}, {0, 4}, {}}) {
    Attrs attrs = extra;
    attrs.Set("shape", shape);
    attrs.Set(op::kDraw, op::Draw{{42, 3}}.ToAttr());
    samples.push_back({{}, attrs});
  }
  for (DType dtype : dtypes) {
    Attrs attrs = samples[0].attrs;
    attrs.Set("dtype", dtype);
    samples.push_back({{}, attrs});
  }
  return samples;
}

void FillIntegers(op::KernelContext& c, int64_t low, uint64_t width) {
  switch (c.outputs[0].meta.dtype) {
    case DType::kInt64: return FillAs<int64_t>(c, low, width);
    case DType::kInt32: return FillAs<int32_t>(c, low, width);
    case DType::kInt16: return FillAs<int16_t>(c, low, width);
    case DType::kInt8: return FillAs<int8_t>(c, low, width);
    case DType::kUInt8: return FillAs<uint8_t>(c, low, width);
    case DType::kBool: return FillAs<bool>(c, low, width);
    case DType::kFloat32: return FillAs<float>(c, low, width);
    case DType::kFloat64: return FillAs<double>(c, low, width);
    case DType::kFloat16: return FillAs<Float16>(c, low, width);
    case DType::kBFloat16: return FillAs<BFloat16>(c, low, width);
    case DType::kComplex64:
    case DType::kComplex128:
    case DType::kFloat8E4M3:
    case DType::kFloat8E5M2: return;  // no kernel is registered for these
  }
}

std::string BesideRule(std::span<const Shape> in, std::span<const Shape> out, const Attrs&) {
  const std::string axes = Labels("a", out[0].rank());
  std::string rule;
  for (size_t i = 0; i < in.size(); ++i) rule += (i > 0 ? ",(" : "(") + axes + ")";
  return rule + "->(" + axes + "); never partial" + (axes.empty() ? "" : "; offset " + axes);
}

Attrs Drawn(Attrs attrs) {
  attrs.Set(op::kDraw, op::Draw{{7, 1}}.ToAttr());
  return attrs;
}

}  // namespace ofl::ops
