// pad: borders around axes. Constant ones are a kernel, the others composites that join slices.
#include <algorithm>
#include <cmath>
#include <complex>

#include "oneflow_like/core/integers.h"
#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

using Span = std::span<const op::Value>;

// torch's order: the last axis first, before and after it. Negative sizes cut off.
struct Border {
  int64_t before = 0, after = 0;
};
Border BorderOf(const Ints& pad, int axis, int rank) {
  const size_t at = 2 * static_cast<size_t>(rank - 1 - axis);
  return at + 1 < pad.size() ? Border{pad[at], pad[at + 1]} : Border{};
}

Status CheckPad(const Ints& pad, int rank) {
  OFL_ENSURE(pad.size() % 2 == 0 && std::ssize(pad) <= 2 * int64_t{rank}, Code::kInvalidArgument)
      << "pad has not two sizes for each axis, the last first; expected an even number of sizes, "
         "at most "
      << 2 * rank;
  return Status::Ok();
}

Result<Shape> PaddedShape(const Shape& from, const Ints& pad) {
  OFL_TRY(CheckPad(pad, from.rank()));
  Shape to = from;
  for (int i = 0; i < from.rank(); ++i) {
    const Border border = BorderOf(pad, i, from.rank());
    const int64_t cut = std::min<int64_t>(border.before, 0) + std::min<int64_t>(border.after, 0);
    OFL_ENSURE(border.before > INT64_MIN / 4 && border.after > INT64_MIN / 4 && from[i] + cut >= 0,
               Code::kInvalidArgument)
        << "pad cuts off more of axis " << i << " than there is: " << border.before << " and "
        << border.after << " of " << from[i] << "; expected a size of at least 0";
    to[i] = SaturatingAdd(SaturatingAdd(from[i], border.before), border.after);
  }
  return to;
}

// Integers take the whole part of a value, as torch's fill does, if they hold it.
Status CheckValue(const Scalar& value, DType dtype) {
  bool fits = value.category() <= CategoryOf(dtype) || value.category() < DTypeCategory::kComplex;
  if (IsInteger(dtype) && fits && value.category() >= DTypeCategory::kInteger) {
    const double whole = std::trunc(value.As<double>());
    const bool negative = !IsUnsigned(dtype);
    const double bound =
        std::ldexp(1.0, static_cast<int>(8 * DTypeSize(dtype)) - (negative ? 1 : 0));
    fits = whole < bound && whole >= (negative ? -bound : 0.0);
    fits |= value.category() == DTypeCategory::kInteger && dtype == DType::kInt64;
  }
  OFL_ENSURE(fits, Code::kInvalidArgument)
      << DTypeName(dtype) << " cannot hold the value; expected a number in its range";
  return Status::Ok();
}

Status InferPad(op::InferContext& c) {
  OFL_ASSIGN(const Shape shape, PaddedShape(c.input(0).shape, c.attr<Ints>("pad")));
  const DType dtype = c.input(0).dtype;
  OFL_TRY(CheckValue(c.number("value"), dtype));
  c.AddOutput({dtype, shape});
  return Status::Ok();
}

bool IsZero(const Attrs& attrs) {
  return attrs.Number("value").As<std::complex<double>>() == std::complex<double>();
}

std::string PadRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const Ints& pad = attrs.Get<Ints>("pad");
  std::string axes = "(";
  for (int i = 0; i < in[0].rank(); ++i) {
    const Border border = BorderOf(pad, i, in[0].rank());
    const bool whole = border.before == 0 && border.after == 0;
    axes += whole ? "a" + std::to_string(i) + " " : std::string("! ");
  }
  axes += ")";
  return axes + "->" + axes + (IsZero(attrs) ? "; linear 0" : "") + "; monotone 0";
}

Status RunPad(op::KernelContext& c) {
  const op::TensorView &in = c.inputs[0], &out = c.outputs[0];
  const Ints& pad = c.attr<Ints>("pad");
  const int rank = in.meta.shape.rank();
  op::ViewGeometry from{in.meta.shape, in.strides, 0}, to{in.meta.shape, out.strides, 0};
  for (int i = 0; i < rank; ++i) {
    const Border border = BorderOf(pad, i, rank);
    const int64_t cut = std::max<int64_t>(-border.before, 0);
    const int64_t kept = in.meta.shape[i] - cut - std::max<int64_t>(-border.after, 0);
    from.shape[i] = to.shape[i] = std::max<int64_t>(kept, 0);
    from.offset += cut * in.strides[i];
    to.offset += std::max<int64_t>(border.before, 0) * out.strides[i];
  }
  if (from.shape.numel() != out.numel()) {
    if (IsZero(*c.attrs)) {
      ZeroBox(c.stream, out);
    } else {
      FillElements(c.stream, c.number("value"), out);
    }
  }
  if (from.shape.numel() > 0) CopyBox(c.stream, ViewOf(in, from), ViewOf(out, to));
  return Status::Ok();
}

void GradPad(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  Ints pad = c.attrs.Get<Ints>("pad");
  for (int64_t& size : pad) size = -size;
  c.Set(0, c.b.Call("constant_pad_nd", {c.grads[0]}, {{"pad", std::move(pad)}}));
}

// --- other borders --------------------------------------------------------------------------

op::Value Part(op::Builder& b, const op::Value& x, int64_t axis, int64_t start, int64_t length) {
  Ints begin(x->meta().shape.rank(), 0), end = DimsOf(x->meta().shape), step(begin.size(), 1);
  begin[static_cast<size_t>(axis)] = start;
  end[static_cast<size_t>(axis)] = start + length;
  return b.Call("slice", {x}, {{"begin", begin}, {"end", end}, {"step", step}});
}

// What stands before or after an axis: mirrored without its edge, its edge again, its other end.
op::Value Edge(op::Builder& b, const op::Value& x, int64_t axis, int64_t count, bool before,
               const std::string& mode) {
  const int64_t size = x->meta().shape[static_cast<int>(axis)];
  if (mode == "circular") return Part(b, x, axis, before ? size - count : 0, count);
  if (mode == "reflect") {
    const op::Value inner = Part(b, x, axis, before ? 1 : size - 1 - count, count);
    return b.Call("flip", {inner}, {{"dims", Ints{axis}}});
  }
  Ints shape = DimsOf(x->meta().shape);
  shape[static_cast<size_t>(axis)] = count;
  return b.Call("broadcast_to", {Part(b, x, axis, before ? 0 : size - 1, 1)},
                {{"shape", std::move(shape)}});
}

Status CheckEdges(int64_t size, const Border& border, int axis, const std::string& mode) {
  const int64_t most = std::max(border.before, border.after);
  const int64_t bound = mode == "reflect" ? size - 1 : mode == "circular" ? size : INT64_MAX;
  OFL_ENSURE(most <= 0 || (size > 0 && most <= bound), Code::kInvalidArgument)
      << "the border of axis " << axis << " is wider than what it repeats: got " << border.before
      << " and " << border.after << " around " << size << "; expected at most "
      << std::max<int64_t>(size > 0 ? bound : 0, 0) << " for mode '" << mode << "'";
  return Status::Ok();
}

op::Value PaddedAxis(op::Builder& b, op::Value x, int axis, const Border& border,
                     const std::string& mode) {
  const auto cut = [&] {
    const int64_t start = std::max<int64_t>(-border.before, 0), size = x->meta().shape[axis];
    const int64_t end = size - std::max<int64_t>(-border.after, 0);
    if (start > 0 || end < size) x = Part(b, x, axis, start, std::max<int64_t>(end - start, 0));
  };
  // torch wraps what is left after the cut, but mirrors what was there before it.
  if (mode == "circular") cut();
  if (x == nullptr) return x;
  if (Status fits = CheckEdges(x->meta().shape[axis], border, axis, mode); !fits.ok()) {
    b.Fail(std::move(fits));
    return nullptr;
  }
  op::Values parts;
  if (border.before > 0) parts.push_back(Edge(b, x, axis, border.before, true, mode));
  parts.push_back(x);
  if (border.after > 0) parts.push_back(Edge(b, x, axis, border.after, false, mode));
  if (parts.size() > 1) x = b.Call("concat", std::move(parts), {{"dim", int64_t{axis}}});
  if (mode == "circular" || x == nullptr) return x;
  const int64_t start = std::max<int64_t>(-border.before, 0);
  const int64_t drop = start + std::max<int64_t>(-border.after, 0);
  if (drop > 0) {
    const int64_t left = x->meta().shape[axis] - drop;
    x = Part(b, x, axis, start, left);
  }
  return x;
}

op::Values ComposePad(op::Builder& b, Span in, const Attrs& attrs) {
  const Shape shape = in[0]->meta().shape;
  const Ints& pad = attrs.Get<Ints>("pad");
  const std::string& mode = attrs.Get<std::string>("mode");
  if (mode == "constant") {
    Attrs constant = {{"pad", pad}};
    if (!attrs.Maybe<NoValue>("value")) constant.Set("value", *attrs.Find("value"));
    return {b.Call("constant_pad_nd", {in[0]}, constant)};
  }
  if (mode != "reflect" && mode != "replicate" && mode != "circular") {
    return Refused(b, Error(Code::kUnimplemented)
                          << "mode is unknown: got " << Quoted(mode)
                          << "; expected 'constant', 'reflect', 'replicate' or 'circular'");
  }
  if (!attrs.Maybe<NoValue>("value") &&
      attrs.Number("value").As<std::complex<double>>() != std::complex<double>()) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "mode " << Quoted(mode) << " takes no value: got "
                          << AttrToString(*attrs.Find("value")) << "; expected None");
  }
  const auto padded = PaddedShape(shape, pad);
  if (!padded.ok()) return Refused(b, padded.status());
  const int axes = static_cast<int>(pad.size() / 2);
  if (axes < 1 || axes > 3 || shape.rank() < axes + 1 || shape.rank() > axes + 2) {
    return Refused(b, Error(Code::kUnimplemented)
                          << "mode " << Quoted(mode) << " pads the last one, two or three axes of "
                          << "one or two more: got " << pad.size() << " sizes for " << shape.rank()
                          << " axes; expected 2, 4 or 6");
  }
  if (std::ranges::all_of(pad, [](int64_t size) { return size >= 0; })) {
    for (int axis = shape.rank() - axes; axis < shape.rank(); ++axis) {
      const Status fits = CheckEdges(shape[axis], BorderOf(pad, axis, shape.rank()), axis, mode);
      if (!fits.ok()) return Refused(b, fits);
    }
    return {b.Call("pad_edges", {in[0]}, {{"pad", pad}, {"mode", mode}})};
  }
  op::Value x = in[0];
  for (int axis = shape.rank() - axes; axis < shape.rank() && x != nullptr; ++axis)
    x = PaddedAxis(b, x, axis, BorderOf(pad, axis, shape.rank()), mode);
  return {x == in[0] ? b.Call("identity", {x}) : x};
}

op::Sample Of(Shape shape, Ints pad, Attrs attrs = {}) {
  attrs.Set("pad", std::move(pad));
  return {{{DType::kFloat32, shape}}, std::move(attrs)};
}
Attrs Mode(const char* mode) { return {{"mode", std::string(mode)}}; }

}  // namespace

OFL_OP(constant_pad_nd) {
  op.Doc(
        "`input` with borders of `value`: `pad` has the sizes before and after the last axis, then "
        "the\none before it, and so on; negative ones cut off.")
      .In("input")
      .Out("output")
      .Attr("pad", op::AttrType::kInts)
      .Attr("value", op::AttrType::kScalar, int64_t{0})
      .Infer(InferPad)
      .Sbp(PadRule)
      .Grad(GradPad)
      .Strided()
      .Oracle("constant_pad(input, pad, value)")
      .Py("constant_pad_nd(input, pad, value=0)")
      .Public()
      .Samples([] {
        std::vector<op::Sample> samples = InEveryDType(
            {Of({2, 3}, {1, 2}), Of({2, 3}, {0, 0, 1, 0}), Of({2, 3, 4}, {-1, 2, 0, -2}),
             Of({0, 3}, {0, 1, 2, 0}), Of({4}, {-4, 0})});
        samples.push_back(Of({2, 3}, {1, 1}, {{"value", 1.5}}));
        samples.push_back(Of({2, 2}, {1, 1}, {{"value", int64_t{3}}}));
        samples.back().inputs[0].dtype = DType::kInt64;
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"pad", Ints{1, 1, 1, 1}}},
                      Code::kInvalidArgument,
                      "at most 2"},
                     {{{DType::kFloat32, {2}}},
                      {{"pad", Ints{-1, -2}}},
                      Code::kInvalidArgument,
                      "at least 0"},
                     {{{DType::kInt8, {2}}},
                      {{"pad", Ints{1, 1}}, {"value", int64_t{300}}},
                      Code::kInvalidArgument,
                      "int8 cannot hold the value"}});
  CpuForAllTypes(op, RunPad);
}

OFL_OP(pad) {
  op.Doc(
        "`input` with borders: of a value, mirrored, of its edges, or of its other end. `pad` has "
        "the\nsizes before and after the last axis, then the one before it, and so on.")
      .In("input")
      .Out("output")
      .Attr("pad", op::AttrType::kInts)
      .Attr("mode", op::AttrType::kString, std::string("constant"))
      .OptionalAttr("value", op::AttrType::kScalar)
      .Compose(ComposePad)
      .Oracle("padded(input, pad, mode, value)")
      .Py("pad(input, pad, mode='constant', value=None)")
      .Functional()
      .Samples([] {
        std::vector<op::Sample> samples = {Of({2, 3}, {1, 2})};
        for (const char* mode : {"reflect", "replicate", "circular"}) {
          samples.push_back(Of({2, 4}, {1, 2}, Mode(mode)));
          samples.push_back(Of({1, 3, 4}, {0, 1, 2, 2}, Mode(mode)));
          samples.push_back(Of({1, 3, 4}, {-1, 2}, Mode(mode)));
        }
        samples.push_back(Of({1, 2, 2, 2}, {1, 1, 1, 0, 0, 1}, Mode("replicate")));
        samples.push_back(Of({2, 3}, {1, 0}, {{"value", 2.5}}));
        return InEveryDType(std::move(samples));
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"pad", Ints{3, 0}}, {"mode", std::string("reflect")}},
                      Code::kInvalidArgument,
                      "expected at most 2 for mode 'reflect'"},
                     {{{DType::kFloat32, {2, 3}}},
                      {{"pad", Ints{1, 1}}, {"mode", std::string("mirror")}},
                      Code::kUnimplemented,
                      "mode is unknown"},
                     {{{DType::kFloat32, {3}}},
                      {{"pad", Ints{1, 1}}, {"mode", std::string("circular")}},
                      Code::kUnimplemented,
                      "expected 2, 4 or 6"}});
}

}  // namespace ofl::ops
