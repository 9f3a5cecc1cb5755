// Tensors from nothing: full, arange, zeros_like, ones_like, full_like; and broadcast_to.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "oneflow_like/ops/elementwise/family.h"

namespace ofl::ops {
namespace {

Status RunFill(op::KernelContext& c) {
  FillElements(c.stream, c.number("value"), c.outputs[0]);
  return Status::Ok();
}
template <int kValue>
Status RunConstant(op::KernelContext& c) {
  FillElements(c.stream, kValue, c.outputs[0]);
  return Status::Ok();
}

// Whether integers of `dtype` hold the number as it is.
bool Holds(DType dtype, const Scalar& value) {
  if (value.category() == DTypeCategory::kComplex) return false;
  const int64_t whole = value.As<int64_t>();
  if (value.category() == DTypeCategory::kFloating) {
    const double real = value.As<double>();
    if (!(real >= -0x1p63 && real < 0x1p63) || std::floor(real) != real) return false;
  }
  switch (dtype) {
    case DType::kInt8: return whole == static_cast<int8_t>(whole);
    case DType::kUInt8: return whole == static_cast<uint8_t>(whole);
    case DType::kInt16: return whole == static_cast<int16_t>(whole);
    case DType::kInt32: return whole == static_cast<int32_t>(whole);
    case DType::kBool: return whole == 0 || whole == 1;
    default: return true;
  }
}

// The value must be one that the dtype can hold, or converting it is undefined.
Status CheckValue(const Scalar& value, DType dtype) {
  const bool fits = CategoryOf(dtype) >= DTypeCategory::kFloating
                        ? value.category() <= CategoryOf(dtype)
                        : Holds(dtype, value);
  OFL_ENSURE(fits, Code::kInvalidArgument)
      << DTypeName(dtype) << " cannot hold the value; expected a "
      << (IsFloating(dtype) ? "real number" : "whole number in its range");
  return Status::Ok();
}

Status InferFull(op::InferContext& c) {
  OFL_ASSIGN(const Shape shape, Shape::Checked(c.attr<std::vector<int64_t>>("shape")));
  OFL_TRY(CheckValue(c.number("value"), c.attr<DType>("dtype")));
  c.AddOutput({c.attr<DType>("dtype"), shape});
  return Status::Ok();
}

Status InferLike(op::InferContext& c) {
  c.AddOutput(c.input(0));
  return Status::Ok();
}

Status InferFullLike(op::InferContext& c) {
  OFL_TRY(CheckValue(c.number("value"), c.input(0).dtype));
  c.AddOutput(c.input(0));
  return Status::Ok();
}

Attrs LocalShape(const Attrs& attrs, std::span<const Shape>, std::span<const Shape> out) {
  Attrs local = attrs;
  local.Set("shape", DimsOf(out[0]));
  return local;
}

std::string SourceRule(std::span<const Shape>, std::span<const Shape> out, const Attrs&) {
  return "->(" + Labels("a", out[0].rank()) + ")";
}

void AllTypes(op::OpDefBuilder& op, op::KernelFn fn) {
  for (DType dtype : AllDTypes()) op.Cpu(dtype, fn);
}

op::OpDefBuilder& Like(op::OpDefBuilder& op, const char* doc, const char* linear) {
  return op.Doc(doc)
      .In("input")
      .Out("output")
      // Values of the input are not read: S and B suffice.
      .Sbp(std::string("(...)->(...); never partial") + linear)
      .NotDifferentiable("the result does not depend on the input's values")
      .Traits({op::Trait::kElementwise, op::Trait::kIgnoresValues})
      .InPlace(0, 0);
}

std::vector<op::ErrorSample> ShapeErrors() {
  return {{{},
           {{"shape", std::vector<int64_t>{-1}}, {"value", 0.0}, {"dtype", DType::kFloat32}},
           Code::kInvalidArgument,
           "sizes must not be negative"},
          {{},
           {{"shape", std::vector<int64_t>{2}}, {"value", 300.0}, {"dtype", DType::kUInt8}},
           Code::kInvalidArgument,
           "uint8 cannot hold the value: got shape=[2], value=300"}};
}

// --- arange -------------------------------------------------------------------------------------

// How many steps of an integer range; __int128 holds every difference of two int64.
Result<int64_t> CountWhole(int64_t start, int64_t end, int64_t step) {
  OFL_ENSURE(step != 0, Code::kInvalidArgument)
      << "bounds and step must be finite; expected step != 0";
  const __int128 span = static_cast<__int128>(end) - start;
  OFL_ENSURE(span == 0 || (span > 0) == (step > 0), Code::kInvalidArgument)
      << "the bounds do not agree with the step's sign; expected end past start";
  const __int128 length = span < 0 ? -span : span;
  const __int128 by = step < 0 ? -static_cast<__int128>(step) : step;
  return static_cast<int64_t>(std::min<__int128>((length + by - 1) / by, INT64_MAX));
}

Result<int64_t> CountReal(double start, double end, double step) {
  OFL_ENSURE(std::isfinite(start) && std::isfinite(end) && std::isfinite(step) && step != 0,
             Code::kInvalidArgument)
      << "bounds and step must be finite; expected step != 0";
  const double count = std::ceil((end - start) / step);
  OFL_ENSURE(count >= 0, Code::kInvalidArgument)
      << "the bounds do not agree with the step's sign; expected end past start";
  return Scalar(count).As<int64_t>();
}

bool AllWhole(const Attrs& attrs) {
  for (const char* name : {"start", "end", "step"})
    if (attrs.Number(name).category() > DTypeCategory::kInteger) return false;
  return true;
}

Status InferArange(op::InferContext& c) {
  const Scalar start = c.number("start"), end = c.number("end"), step = c.number("step");
  const DType dtype = c.attr<DType>("dtype");
  OFL_ENSURE(dtype != DType::kBool && !IsComplex(dtype), Code::kTypeMismatch)
      << DTypeName(dtype) << " cannot count; expected a floating or integer dtype";
  for (const Scalar& s : {start, end, step})
    OFL_ENSURE(s.category() != DTypeCategory::kComplex, Code::kTypeMismatch)
        << "bounds and step must be real";
  const bool whole = AllWhole(c.attrs());
  OFL_ASSIGN(const int64_t count,
             whole ? CountWhole(start.As<int64_t>(), end.As<int64_t>(), step.As<int64_t>())
                   : CountReal(start.As<double>(), end.As<double>(), step.As<double>()));
  OFL_ENSURE(count <= int64_t{1} << 48, Code::kInvalidArgument)
      << "the range is too long; expected at most 2^48 elements";
  OFL_TRY(CheckValue(start, dtype));
  if (!IsFloating(dtype)) OFL_TRY(CheckValue(step, dtype == DType::kUInt8 ? DType::kInt32 : dtype));
  if (count > 0 && whole)
    OFL_TRY(CheckValue(start.As<int64_t>() + (count - 1) * step.As<int64_t>(), dtype));
  if (count > 0 && !whole)
    OFL_TRY(
        CheckValue(start.As<double>() + static_cast<double>(count - 1) * step.As<double>(), dtype));
  c.AddOutput({dtype, {count}});
  return Status::Ok();
}

template <class T>
Status RunArange(op::KernelContext& c) {
  using Wide = std::conditional_t<std::is_floating_point_v<T>, double, int64_t>;
  const Wide start = c.number("start").As<Wide>();
  const Wide step = c.number("step").As<Wide>();
  const int64_t first = c.output_offsets[0][0];
  T* y = c.outputs[0].as<T>();
  for (int64_t i = 0; i < c.outputs[0].numel(); ++i)
    y[i] = static_cast<T>(start + static_cast<Wide>(first + i) * step);
  return Status::Ok();
}

// --- broadcast_to -------------------------------------------------------------------------------

Status InferBroadcast(op::InferContext& c) {
  std::vector<int64_t> dims = c.attr<std::vector<int64_t>>("shape");
  const Shape& in = c.input(0).shape;
  const int lead = static_cast<int>(dims.size()) - in.rank();
  for (int i = 0; i < static_cast<int>(dims.size()); ++i)
    if (dims[i] == -1 && i >= lead && lead >= 0) dims[i] = in[i - lead];  // keeps the axis
  OFL_ASSIGN(const Shape out, Shape::Checked(dims));
  const auto both = BroadcastShapes(in, out);
  OFL_ENSURE(both.ok() && *both == out, Code::kInvalidArgument)
      << "the input does not broadcast to shape " << out << "; expected each axis equal or 1";
  c.AddOutput({c.input(0).dtype, out});
  return Status::Ok();
}

std::string BroadcastRule(std::span<const Shape> in, std::span<const Shape> out, const Attrs&) {
  const int lead = out[0].rank() - in[0].rank();
  std::string from;
  for (int i = 0; i < in[0].rank(); ++i)
    from += in[0][i] == 1 && out[0][i + lead] != 1 ? std::string("1 ")
                                                   : "a" + std::to_string(i + lead) + " ";
  return "(" + from + ")->(" + Labels("a", out[0].rank()) + "); linear 0; monotone 0";
}

Status RunBroadcast(op::KernelContext& c) {
  CopyElements(c.stream, c.inputs[0], c.outputs[0]);
  return Status::Ok();
}

std::vector<op::Sample> LikeSamples() {
  return UnarySamples({DType::kFloat32, DType::kInt64, DType::kBool}, -2, 2);
}

}  // namespace

OFL_OP(full) {
  op.Doc("A tensor of `shape` with every element `value`.")
      .Out("output")
      .Attr("shape", op::AttrType::kInts)
      .Attr("value", op::AttrType::kScalar)
      .Attr("dtype", op::AttrType::kDType, DType::kFloat32)
      .Infer(InferFull)
      .Sbp(SourceRule)
      .NotDifferentiable("it has no tensor inputs")
      .LocalAttrs(LocalShape)
      .Traits({op::Trait::kSource})
      .Py("full(*, shape, value, dtype=float32)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (const std::vector<int64_t>& shape :
             {std::vector<int64_t>{5, 3}, {}, {0, 3}, {1}, {2, 3, 4}})
          samples.push_back({{}, {{"shape", shape}, {"value", 1.5}, {"dtype", DType::kFloat32}}});
        samples.push_back(
            {{}, {{"shape", std::vector<int64_t>{4}}, {"value", 3.0}, {"dtype", DType::kInt64}}});
        return samples;
      })
      .ErrorSamples(ShapeErrors());
  AllTypes(op, RunFill);
}

OFL_OP(arange) {
  op.Doc("start, start + step, ... up to but without end.")
      .Out("output")
      .Attr("start", op::AttrType::kScalar, int64_t{0})
      .Attr("end", op::AttrType::kScalar)
      .Attr("step", op::AttrType::kScalar, int64_t{1})
      .Attr("dtype", op::AttrType::kDType, DType::kInt64)
      .Infer(InferArange)
      .Sbp("->(n); offset n")
      .NotDifferentiable("it has no tensor inputs")
      .Traits({op::Trait::kSource})
      .Cpu(DType::kFloat32, RunArange<float>)
      .Cpu(DType::kFloat64, RunArange<double>)
      .Cpu(DType::kInt64, RunArange<int64_t>)
      .Cpu(DType::kInt32, RunArange<int32_t>)
      .Py("arange(*, start=0, end, step=1, dtype=int64)")
      .Samples([] {
        return std::vector<op::Sample>{
            {{}, {{"end", 5.0}}},
            {{}, {{"start", 1.0}, {"end", 2.0}, {"step", 0.25}, {"dtype", DType::kFloat32}}},
            {{}, {{"start", 5.0}, {"end", -2.0}, {"step", -3.0}}},
            {{}, {{"start", 3.0}, {"end", 3.0}}},
            {{}, {{"end", 1.0}}}};
      })
      .ErrorSamples(
          {{{}, {{"end", 5.0}, {"step", 0.0}}, Code::kInvalidArgument, "expected step != 0"},
           {{}, {{"end", -5.0}}, Code::kInvalidArgument, "do not agree with the step's sign"},
           {{},
            {{"end", 5.0}, {"step", 0.5}},
            Code::kInvalidArgument,
            "int64 cannot hold the value"}});
}

OFL_OP(zeros_like) {
  Like(op, "Zeros in the shape and dtype of input.", "; linear 0; monotone 0")
      .Infer(InferLike)
      .Py("zeros_like(input, /)")
      .Samples(LikeSamples);
  AllTypes(op, RunConstant<0>);
}

OFL_OP(ones_like) {
  Like(op, "Ones in the shape and dtype of input.", "; monotone 0")
      .Infer(InferLike)
      .Py("ones_like(input, /)")
      .Samples(LikeSamples);
  AllTypes(op, RunConstant<1>);
}

OFL_OP(full_like) {
  Like(op, "A tensor in the shape and dtype of input with every element `value`.", "; monotone 0")
      .Attr("value", op::AttrType::kScalar)
      .Infer(InferFullLike)
      .Py("full_like(input, /, value)")
      .Samples([] { return UnarySamples({DType::kFloat32}, -2, 2, {{"value", 2.5}}); })
      .ErrorSamples({{{{DType::kInt64, {2}}},
                      {{"value", 0.5}},
                      Code::kInvalidArgument,
                      "int64 cannot hold the value: got input: int64[2], value=0.5"}});
  AllTypes(op, RunFill);
}

OFL_OP(broadcast_to) {
  op.Doc("input repeated to `shape` by NumPy's rules; -1 keeps an axis.")
      .In("input")
      .Out("output")
      .Attr("shape", op::AttrType::kInts)
      .Infer(InferBroadcast)
      .Sbp(BroadcastRule)
      .LocalAttrs(LocalShape)
      .Grad([](op::GradContext& c) {
        c.Set(0, ReduceTo(c.b, c.grads[0], c.inputs[0]->meta().shape));
      })
      .Py("broadcast_to(input, /, shape)")
      .Method("expand")
      .Samples([] {
        using Dims = std::vector<int64_t>;
        constexpr DType kF = DType::kFloat32;
        return std::vector<op::Sample>{{{{kF, {3}}}, {{"shape", Dims{5, 3}}}},
                                       {{{kF, {5, 1}}}, {{"shape", Dims{5, 3}}}},
                                       {{{kF, {}}}, {{"shape", Dims{5, 3}}}},
                                       {{{kF, {5, 3}}}, {{"shape", Dims{-1, 3}}}},
                                       {{{kF, {3, 1}}}, {{"shape", Dims{2, 3, 4}}}},
                                       {{{kF, {1, 3}}}, {{"shape", Dims{0, 3}}}},
                                       {{{DType::kInt64, {2, 1}}}, {{"shape", Dims{2, 3}}}}};
      })
      .ErrorSamples({{{{DType::kFloat32, {5, 3}}},
                      {{"shape", std::vector<int64_t>{5, 4}}},
                      Code::kInvalidArgument,
                      "does not broadcast to shape (5, 4): got input: float32[5,3]"}});
  op.Strided();
  AllTypes(op, RunBroadcast);
}

}  // namespace ofl::ops
