// Tensors from nothing: full, arange, zeros_like, ones_like, full_like.
#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <type_traits>

#include "oneflow_like/core/integers.h"
#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/elementwise/numbers.h"

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

Status InferFull(op::InferContext& c) {
  const auto& dims = c.attr<std::vector<int64_t>>("shape");
  OFL_ENSURE(std::ranges::none_of(dims, [](int64_t n) { return n < 0; }), Code::kInvalidArgument)
      << "sizes must not be negative; expected no negative dimension";
  OFL_ASSIGN(const Shape shape, Shape::Checked(dims));
  const DType* given = c.maybe<DType>("dtype");
  const DType dtype = given != nullptr ? *given : c.number("value").dtype();
  OFL_TRY(CheckHolds(dtype, c.number("value")));
  c.AddOutput({dtype, shape});
  return Status::Ok();
}

Status InferLike(op::InferContext& c) {
  c.AddOutput(c.input(0));
  return Status::Ok();
}

Status InferFullLike(op::InferContext& c) {
  OFL_TRY(CheckHolds(c.input(0).dtype, c.number("value")));
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

// What a name of `full` fixes: the number, and the default dtype.
Attrs Value(int64_t value) { return {{"value", value}}; }
Attrs Floats(int64_t value) { return {{"value", value}, {"dtype", DType::kFloat32}}; }

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

Status CheckSteps(double start, double end, double step) {
  OFL_ENSURE(std::isfinite(start) && std::isfinite(end) && std::isfinite(step),
             Code::kInvalidArgument)
      << "bounds and step must be finite; expected numbers";
  OFL_ENSURE(step != 0, Code::kInvalidArgument) << "the step is 0; expected step != 0";
  return Status::Ok();
}

// How many steps of an integer range; __int128 holds every difference of two int64.
Result<int64_t> CountWhole(int64_t start, int64_t end, int64_t step) {
  OFL_TRY(CheckSteps(0, 0, static_cast<double>(step)));
  const __int128 span = static_cast<__int128>(end) - start;
  OFL_ENSURE(span == 0 || (span > 0) == (step > 0), Code::kInvalidArgument)
      << "the bounds do not agree with the step's sign; expected end past start, or a step towards "
         "the end";
  const __int128 length = span < 0 ? -span : span;
  const __int128 by = step < 0 ? -static_cast<__int128>(step) : step;
  return static_cast<int64_t>(std::min<__int128>((length + by - 1) / by, INT64_MAX));
}

Result<int64_t> CountReal(double start, double end, double step) {
  OFL_TRY(CheckSteps(start, end, step));
  const double count = std::ceil((end - start) / step);
  OFL_ENSURE(count >= 0, Code::kInvalidArgument)
      << "the bounds do not agree with the step's sign; expected end past start, or a step towards "
         "the end";
  return Scalar(count).As<int64_t>();
}

bool AllWhole(const Attrs& attrs) {
  for (const char* name : {"start", "end", "step"})
    if (attrs.Number(name).category() > DTypeCategory::kInteger) return false;
  return true;
}

Status InferArange(op::InferContext& c) {
  const Scalar start = c.number("start"), end = c.number("end"), step = c.number("step");
  const DType* given = c.maybe<DType>("dtype");
  const DType dtype = given != nullptr      ? *given
                      : AllWhole(c.attrs()) ? DType::kInt64
                                            : DType::kFloat32;
  // As torch: bounds of int64 are cut to integers first, those of narrower ones are counted as they
  // are, though the elements go by whole steps.
  const bool whole = dtype == DType::kInt64 || AllWhole(c.attrs());
  OFL_ENSURE(dtype != DType::kBool && !IsFloat8(dtype), Code::kTypeMismatch)
      << DTypeName(dtype) << " cannot count; expected a floating, complex or integer dtype";
  for (const Scalar& s : {start, end, step})
    OFL_ENSURE(s.category() != DTypeCategory::kComplex, Code::kTypeMismatch)
        << "bounds and step must be real";
  for (const Scalar& s : {start, end, step})
    OFL_ENSURE(!IsInteger(dtype) || std::isfinite(s.As<double>()), Code::kInvalidArgument)
        << "bounds and step must be finite; expected numbers";
  OFL_ASSIGN(const int64_t count,
             whole ? CountWhole(start.As<int64_t>(), end.As<int64_t>(), step.As<int64_t>())
                   : CountReal(start.As<double>(), end.As<double>(), step.As<double>()));
  OFL_ENSURE(count <= int64_t{1} << 48, Code::kInvalidArgument)
      << "the range is too long; expected at most 2^48 elements";
  OFL_TRY(CheckHolds(dtype, start));
  if (IsInteger(dtype)) OFL_TRY(CheckHolds(IsUnsigned(dtype) ? DType::kInt32 : dtype, step));
  if (count > 0 && whole)
    OFL_TRY(CheckHolds(dtype, start.As<int64_t>() + (count - 1) * step.As<int64_t>()));
  const auto counted = [dtype](const Scalar& s) {
    return IsInteger(dtype) ? std::trunc(s.As<double>()) : s.As<double>();
  };
  if (count > 0 && !whole)
    OFL_TRY(CheckHolds(dtype, counted(start) + static_cast<double>(count - 1) * counted(step)));
  c.AddOutput({dtype, {count}});
  return Status::Ok();
}

// Like arange, with its end; how many there are is counted in double, as torch does.
Status InferRange(op::InferContext& c) {
  const Scalar start = c.number("start"), end = c.number("end"), step = c.number("step");
  const DType* given = c.maybe<DType>("dtype");
  const DType dtype = given != nullptr ? *given : DType::kFloat32;
  OFL_ENSURE(dtype != DType::kBool && !IsFloat8(dtype), Code::kTypeMismatch)
      << DTypeName(dtype) << " cannot count; expected a floating, complex or integer dtype";
  for (const Scalar& s : {start, end, step})
    OFL_ENSURE(s.category() != DTypeCategory::kComplex, Code::kTypeMismatch)
        << "bounds and step must be real";
  const auto from = start.As<double>(), by = step.As<double>();
  OFL_TRY(CheckSteps(from, end.As<double>(), by));
  const double steps = (end.As<double>() - from) / by;
  OFL_ENSURE(steps >= 0, Code::kInvalidArgument)
      << "the bounds do not agree with the step's sign; expected end past start, or a step towards "
         "the end";
  OFL_ENSURE(steps < static_cast<double>(int64_t{1} << 48), Code::kInvalidArgument)
      << "the range is too long; expected at most 2^48 elements";
  const auto last = static_cast<int64_t>(steps);
  OFL_TRY(CheckHolds(dtype, start));
  OFL_TRY(CheckHolds(dtype, IsInteger(dtype)
                                ? Scalar(start.As<int64_t>() + last * step.As<int64_t>())
                                : Scalar(from + static_cast<double>(last) * by)));
  c.AddOutput({dtype, {last + 1}});
  return Status::Ok();
}

// Elements [0, n) behind the `first` one. Integers are counted in int64, everything else in double;
// each element is rounded once.
template <class T>
void Count(T* y, int64_t n, int64_t first, const Scalar& start, const Scalar& step) {
  if constexpr (std::is_integral_v<T>) {
    const int64_t by = step.As<int64_t>();
    int64_t at = start.As<int64_t>() + first * by;
    for (int64_t i = 0; i < n; ++i, at += by) y[i] = static_cast<T>(at);
  } else {
    constexpr int kRun = 1024;  // whose places an int holds: they become doubles in vectors
    const auto from = start.As<double>(), by = step.As<double>();
    for (int64_t done = 0; done < n; done += kRun) {
      const int run = static_cast<int>(std::min<int64_t>(kRun, n - done));
      const auto base = static_cast<double>(first + done);
      for (int i = 0; i < run; ++i) y[done + i] = static_cast<T>(from + (base + i) * by);
    }
  }
}

// By way of a tile, for the dtypes that are not counted in.
template <class T>
Status CountTiles(op::KernelContext& c, DType counted, int64_t first, const Scalar& start,
                  const Scalar& step) {
  constexpr int64_t kTile = 1024;
  const op::TensorView& y = c.outputs[0];
  const auto size = static_cast<int64_t>(DTypeSize(y.meta.dtype));
  for (int64_t done = 0; done < y.numel(); done += kTile) {
    const int64_t n = std::min(kTile, y.numel() - done);
    T tile[kTile];
    Count(tile, n, first + done, start, step);
    OFL_TRY(CastElements(c.stream, {tile, {counted, {n}}},
                         {y.as<std::byte>() + done * size, {y.meta.dtype, {n}}}));
  }
  return Status::Ok();
}

Status RunArange(op::KernelContext& c) {
  const op::TensorView& y = c.outputs[0];
  const DType dtype = y.meta.dtype;
  const Scalar start = c.number("start"), step = c.number("step");
  const int64_t first = c.output_offsets[0][0];
  const auto all = [&]<class T>(T* into) {
    Count(into, y.numel(), first, start, step);
    return Status::Ok();
  };
  switch (dtype) {
    case DType::kInt64: return all(y.as<int64_t>());
    case DType::kInt32: return all(y.as<int32_t>());
    case DType::kFloat32: return all(y.as<float>());
    case DType::kFloat64: return all(y.as<double>());
    default: break;
  }
  return IsInteger(dtype) ? CountTiles<int64_t>(c, DType::kInt64, first, start, step)
                          : CountTiles<double>(c, DType::kFloat64, first, start, step);
}

std::vector<op::Sample> LikeSamples() {
  return UnarySamples({DType::kFloat32, DType::kInt64, DType::kBool}, -2, 2);
}

}  // namespace

OFL_OP(full) {
  op.Doc(
        "A tensor of a shape with one number for every element; the dtype is the number's own "
        "where\n"
        "none is given.")
      .Out("output")
      .Attr("shape", op::AttrType::kInts)
      .Attr("value", op::AttrType::kScalar)
      .OptionalAttr("dtype", op::AttrType::kDType)
      .Infer(InferFull)
      .Sbp(SourceRule)
      .NotDifferentiable("it has no tensor inputs")
      .LocalAttrs(LocalShape)
      .Traits({op::Trait::kSource})
      .Oracle("np.full(shape, value)")
      .Py("full(size: shape, fill_value: value, *, dtype=None)")
      .Py("full_like(input, fill_value: value, *, dtype=None)")
      .Py("zeros(*size: shape, dtype=None)", Floats(0))
      .Py("zeros_like(input, *, dtype=None)", Value(0))
      .Py("ones(*size: shape, dtype=None)", Floats(1))
      .Py("ones_like(input, *, dtype=None)", Value(1))
      .Py("empty(*size: shape, dtype=None)", Floats(0))
      .Py("empty_like(input, *, dtype=None)", Value(0))
      .Py("scalar_tensor(s: value, *, dtype=None)",
          {{"shape", std::vector<int64_t>{}}, {"dtype", DType::kFloat32}})
      .Public()
      .PyMethod("new_full(input, size: shape, fill_value: value, *, dtype=None)")
      .PyMethod("new_zeros(input, *size: shape, dtype=None)", Value(0))
      .PyMethod("new_ones(input, *size: shape, dtype=None)", Value(1))
      .PyMethod("new_empty(input, *size: shape, dtype=None)", Value(0))
      .Samples([] {
        std::vector<op::Sample> samples;
        for (const std::vector<int64_t>& shape :
             {std::vector<int64_t>{5, 3}, {}, {0, 3}, {1}, {2, 3, 4}})
          samples.push_back({{}, {{"shape", shape}, {"value", 1.5}, {"dtype", DType::kFloat32}}});
        samples.push_back(
            {{}, {{"shape", std::vector<int64_t>{4}}, {"value", 3.0}, {"dtype", DType::kInt64}}});
        const std::vector<int64_t> two = {2};
        samples.push_back(
            {{}, {{"shape", two}, {"value", int64_t{1} << 60 | 1}, {"dtype", DType::kInt64}}});
        samples.push_back({{}, {{"shape", two}, {"value", true}, {"dtype", DType::kBool}}});
        samples.push_back({{},
                           {{"shape", two},
                            {"value", std::complex<double>(1, -2)},
                            {"dtype", DType::kComplex64}}});
        samples.push_back({{}, {{"shape", two}, {"value", 0.1}, {"dtype", DType::kBFloat16}}});
        samples.push_back({{}, {{"shape", two}, {"value", 0.1}, {"dtype", DType::kFloat16}}});
        samples.push_back({{}, {{"shape", two}, {"value", -3.0}, {"dtype", DType::kInt16}}});
        return samples;
      })
      .ErrorSamples(ShapeErrors());
  AllTypes(op, RunFill);
}

OFL_OP(arange) {
  op.Doc(
        "start, start + step, ... up to but without end. The dtype, where none is given, is int64 "
        "if\n"
        "all of them are whole, else float32.")
      .Out("output")
      .Attr("start", op::AttrType::kScalar, int64_t{0})
      .Attr("end", op::AttrType::kScalar)
      .Attr("step", op::AttrType::kScalar, int64_t{1})
      .OptionalAttr("dtype", op::AttrType::kDType)
      .Infer(InferArange)
      .Sbp("->(n); offset n")
      .NotDifferentiable("it has no tensor inputs")
      .Traits({op::Trait::kSource})
      .Oracle("arange(start, end, step)")
      .Py("arange(end, *, step=1, dtype=None)")
      .Py("arange(start, end, step=1, *, dtype=None)")
      .Public()
      .Samples([] {
        return std::vector<op::Sample>{
            {{}, {{"end", int64_t{5}}}},
            {{}, {{"start", 1.0}, {"end", 2.0}, {"step", 0.25}, {"dtype", DType::kFloat32}}},
            {{}, {{"start", 5.0}, {"end", -2.0}, {"step", -3.0}, {"dtype", DType::kInt64}}},
            {{}, {{"start", 3.0}, {"end", 3.0}}},
            {{}, {{"end", 1.0}}},
            {{}, {{"end", int64_t{5}}, {"dtype", DType::kInt8}}},
            {{}, {{"end", int64_t{5}}, {"dtype", DType::kUInt8}}},
            {{}, {{"end", int64_t{5}}, {"dtype", DType::kInt16}}},
            {{}, {{"end", 3.0}, {"step", 1.5}, {"dtype", DType::kInt32}}},
            {{}, {{"end", 2.0}, {"step", 0.25}, {"dtype", DType::kFloat16}}},
            {{}, {{"end", 2.0}, {"step", 0.25}, {"dtype", DType::kBFloat16}}},
            {{}, {{"end", int64_t{5}}, {"dtype", DType::kComplex64}}},
            {{},
             {{"start", (int64_t{1} << 53) + 1},
              {"end", (int64_t{1} << 53) + 4},
              {"dtype", DType::kInt64}}}};
      })
      .ErrorSamples(
          {{{}, {{"end", 5.0}, {"step", 0.0}}, Code::kInvalidArgument, "expected step != 0"},
           {{}, {{"end", -5.0}}, Code::kInvalidArgument, "do not agree with the step's sign"},
           {{},
            {{"end", 5.0}, {"step", 0.5}, {"dtype", DType::kInt64}},
            Code::kInvalidArgument,
            "expected step != 0"},
           {{},
            {{"end", int64_t{300}}, {"dtype", DType::kInt8}},
            Code::kInvalidArgument,
            "int8 cannot hold the value"},
           {{}, {{"end", 5.0}, {"dtype", DType::kBool}}, Code::kTypeMismatch, "cannot count"}});
  for (DType dtype : AllDTypes())
    if (dtype != DType::kBool && !IsFloat8(dtype)) op.Cpu(dtype, RunArange);
}

OFL_OP(range) {
  op.Doc(
        "start, start + step, ... up to and with end, by default in float32: PyTorch's older "
        "arange.")
      .Out("output")
      .Attr("start", op::AttrType::kScalar)
      .Attr("end", op::AttrType::kScalar)
      .Attr("step", op::AttrType::kScalar, int64_t{1})
      .OptionalAttr("dtype", op::AttrType::kDType)
      .Infer(InferRange)
      .Sbp("->(n); offset n")
      .NotDifferentiable("it has no tensor inputs")
      .Traits({op::Trait::kSource})
      .Oracle("closed_range(start, end, step)")
      .Py("range(start, end, step=1, *, dtype=None)")
      .Public()
      .Samples([] {
        const auto of = [](Scalar start, Scalar end, Scalar step, DType dtype) {
          return op::Sample{{}, {{"start", start}, {"end", end}, {"step", step}, {"dtype", dtype}}};
        };
        std::vector<op::Sample> samples = {
            of(0.0, 1.0, 0.25, DType::kFloat32), of(5, -2, -3, DType::kInt64),
            of(2, 2, 1, DType::kFloat64), of(0, 2.5, 1, DType::kInt32)};
        for (DType dtype : AllDTypes())
          if (dtype != DType::kBool && !IsFloat8(dtype)) samples.push_back(of(1, 4, 1, dtype));
        return samples;
      })
      .ErrorSamples(
          {{{}, {{"start", 0.0}, {"end", 5.0}, {"step", 0.0}}, Code::kInvalidArgument, "step != 0"},
           {{},
            {{"start", int64_t{5}}, {"end", int64_t{1}}},
            Code::kInvalidArgument,
            "do not agree with the step's sign"},
           {{},
            {{"start", int64_t{0}}, {"end", int64_t{300}}, {"dtype", DType::kInt8}},
            Code::kInvalidArgument,
            "int8 cannot hold the value"}});
  for (DType dtype : AllDTypes())
    if (dtype != DType::kBool && !IsFloat8(dtype)) op.Cpu(dtype, RunArange);
}

OFL_OP(zeros_like) {
  Like(op, "Zeros in the shape and dtype of input.", "; linear 0; monotone 0")
      .Infer(InferLike)
      .Oracle("np.zeros_like(input)")
      .Py("_zeros_like(input)")
      .PyBoth("zero_(input)")
      .Samples(LikeSamples);
  AllTypes(op, RunConstant<0>);
}

OFL_OP(ones_like) {
  Like(op, "Ones in the shape and dtype of input.", "; monotone 0")
      .Infer(InferLike)
      .Oracle("np.ones_like(input)")
      .Py("_ones_like(input)")
      .Samples(LikeSamples);
  AllTypes(op, RunConstant<1>);
}

OFL_OP(full_like) {
  Like(op, "A tensor in the shape and dtype of input with every element `value`.", "; monotone 0")
      .Attr("value", op::AttrType::kScalar)
      .Infer(InferFullLike)
      .Oracle("np.full_like(input, value)")
      .Py("_full_like(input, value)")
      .PyBoth("fill_(input, value)")
      .Samples([] { return UnarySamples({DType::kFloat32}, -2, 2, {{"value", 2.5}}); })
      .ErrorSamples({{{{DType::kInt8, {2}}},
                      {{"value", 200.5}},
                      Code::kInvalidArgument,
                      "int8 cannot hold the value: got input: int8[2], value=200.5"}});
  AllTypes(op, RunFill);
}

}  // namespace ofl::ops
