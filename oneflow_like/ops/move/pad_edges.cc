// pad_edges and its adjoint: borders of the last axes that repeat what lies within, mirrored, of
// the edge, or from the other end.
#include <algorithm>

#include "device/cpu/simd.h"
#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/linalg/gemm.h"
#include "oneflow_like/ops/linalg/product.h"
#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

enum class Mode { kReflect, kReplicate, kCircular };

struct Axis {
  int64_t size = 1, before = 0, after = 0;
  int64_t padded() const { return before + size + after; }
  // The element that place `o` of the result repeats.
  int64_t Source(int64_t o, Mode mode) const {
    const int64_t i = o - before;
    switch (mode) {
      case Mode::kReflect: return i < 0 ? -i : i < size ? i : 2 * (size - 1) - i;
      case Mode::kReplicate: return std::clamp<int64_t>(i, 0, size - 1);
      default: return i < 0 ? i + size : i < size ? i : i - size;
    }
  }
};

// Planes of three axes, of which some may be missing in front.
struct Borders {
  std::array<Axis, 3> axes;
  int64_t planes = 1;
  Mode mode = Mode::kReflect;
  int64_t inner() const { return axes[0].size * axes[1].size * axes[2].size; }
  int64_t outer() const { return axes[0].padded() * axes[1].padded() * axes[2].padded(); }
};

// `whole`: the shape without borders.
Borders BordersOf(const Shape& whole, const Attrs& attrs) {
  const Ints& pad = attrs.Get<Ints>("pad");
  const std::string& mode = attrs.Get<std::string>("mode");
  const int count = static_cast<int>(pad.size() / 2), lead = whole.rank() - count;
  Borders b;
  b.planes = ProductOf(whole, 0, lead);
  b.mode = mode == "reflect"     ? Mode::kReflect
           : mode == "replicate" ? Mode::kReplicate
                                 : Mode::kCircular;
  for (int i = 0; i < count; ++i) {
    const size_t at = 2 * static_cast<size_t>(count - 1 - i);
    b.axes[static_cast<size_t>(3 - count + i)] = {whole[lead + i], pad[at], pad[at + 1]};
  }
  return b;
}

Status Check(const Shape& whole, const Attrs& attrs) {
  const Ints& pad = attrs.Get<Ints>("pad");
  const std::string& mode = attrs.Get<std::string>("mode");
  OFL_ENSURE(mode == "reflect" || mode == "replicate" || mode == "circular", Code::kInvalidArgument)
      << "got mode=" << Quoted(mode) << "; expected 'reflect', 'replicate' or 'circular'";
  OFL_ENSURE(pad.size() % 2 == 0 && !pad.empty() && pad.size() <= 6 &&
                 std::ssize(pad) <= 2 * int64_t{whole.rank()},
             Code::kInvalidArgument)
      << "got " << pad.size() << " sizes for " << whole
      << "; expected two for each of the last one, two or three axes";
  for (const Axis& axis : BordersOf(whole, attrs).axes) {
    const int64_t most = mode == "reflect"    ? axis.size - 1
                         : mode == "circular" ? axis.size
                                              : (axis.size > 0 ? int64_t{1} << 47 : 0);
    OFL_ENSURE(std::min(axis.before, axis.after) >= 0 &&
                   std::max(axis.before, axis.after) <= std::max<int64_t>(most, 0),
               Code::kInvalidArgument)
        << "a border is wider than what it repeats: got " << axis.before << " and " << axis.after
        << " around " << axis.size << "; expected 0 to " << std::max<int64_t>(most, 0);
  }
  return Status::Ok();
}

Shape Widened(Shape whole, const Ints& pad) {
  for (size_t i = 0; i < pad.size() / 2; ++i) {
    int64_t& size = whole[whole.rank() - 1 - static_cast<int>(i)];
    size = SaturatingAdd(size, SaturatingAdd(pad[2 * i], pad[2 * i + 1]));
  }
  return whole;
}

Status InferEdges(op::InferContext& c) {
  const Shape& x = c.input(0).shape;
  OFL_TRY(Check(x, c.attrs()));
  c.AddOutput({c.input(0).dtype, Widened(x, c.attr<Ints>("pad"))});
  return Status::Ok();
}
Status InferAdjoint(op::InferContext& c) {
  OFL_TRY(RequireDifferentiable(c, 0, "grad"));
  Ints pad = c.attr<Ints>("pad");
  for (int64_t& size : pad) size = size > INT64_MIN / 4 ? -size : size;
  const Shape& wide = c.input(0).shape;
  OFL_ENSURE(std::ssize(pad) <= 2 * int64_t{wide.rank()}, Code::kInvalidArgument)
      << "got " << pad.size() << " sizes for " << wide << "; expected at most " << 2 * wide.rank();
  const Shape whole = Widened(wide, pad);
  for (int64_t size : whole) {
    OFL_ENSURE(size >= 0, Code::kInvalidArgument)
        << "the borders are wider than " << wide << "; expected a size of at least 0 within";
  }
  OFL_TRY(Check(whole, c.attrs()));
  c.AddOutput({c.input(0).dtype, whole});
  return Status::Ok();
}

std::string Axes(const Shape& shape, const Attrs& attrs) {
  const Ints& pad = attrs.Get<Ints>("pad");
  std::string text = "(";
  for (int i = 0; i < shape.rank(); ++i) {
    const size_t at = 2 * static_cast<size_t>(shape.rank() - 1 - i);
    const bool whole = at >= pad.size() || (pad[at] == 0 && pad[at + 1] == 0);
    text += whole ? "a" + std::to_string(i) + " " : std::string("! ");
  }
  return text + ")";
}
std::string EdgesRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const std::string axes = Axes(in[0], attrs);
  return axes + "->" + axes + "; linear 0; monotone 0";
}
std::string AdjointRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const std::string axes = Axes(in[0], attrs);
  return axes + "->" + axes + "; linear 0; never partial max min";
}

// Rows of the result, and those that they repeat: body(row of the result, row within).
template <class Body>
void ForRowsOf(const Borders& b, int64_t plane, const Body& body) {
  const Axis &first = b.axes[0], &second = b.axes[1], &last = b.axes[2];
  int64_t row = plane * b.outer();
  for (int64_t i = 0; i < first.padded(); ++i) {
    const int64_t line = first.Source(i, b.mode) * second.size;
    for (int64_t j = 0; j < second.padded(); ++j, row += last.padded())
      body(row, plane * b.inner() + (line + second.Source(j, b.mode)) * last.size);
  }
}

template <class Body>
void ForPlanes(op::KernelContext& c, const Borders& b, const Body& body) {
  if (b.inner() == 0) return;
  Parallel(c.stream, b.planes, RowGrain(b.outer()), [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) body(plane);
  });
}

Status RunEdges(op::KernelContext& c) {
  const Borders b = BordersOf(c.inputs[0].meta.shape, *c.attrs);
  const Axis& last = b.axes[2];
  WithBits(ElementSize(c.inputs[0]), [&]<class T>(T) {
    const T* x = c.inputs[0].as<const T>();
    T* y = c.outputs[0].as<T>();
    ForPlanes(c, b, [&](int64_t plane) {
      ForRowsOf(b, plane, [&](int64_t row, int64_t within) {
        const T* from = x + within;
        T* to = y + row;
        for (int64_t o = 0; o < last.before; ++o) to[o] = from[last.Source(o, b.mode)];
        std::copy_n(from, last.size, to + last.before);
        for (int64_t o = last.before + last.size; o < last.padded(); ++o)
          to[o] = from[last.Source(o, b.mode)];
      });
    });
  });
  return Status::Ok();
}

template <class T>
OFL_SIMD void AddRun(const T* from, T* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] += from[i];
}

Status RunAdjoint(op::KernelContext& c) {
  op::TensorView from = c.inputs[0], to = c.outputs[0];
  if (to.numel() == 0) return Status::Ok();
  const bool half = IsHalf(to.meta.dtype);
  MutableBytes scratch = c.workspace;
  if (half) {
    from = ops::Widened(c.stream, from, scratch);
    to = FloatsLike(to, scratch);
  }
  ZeroBox(c.stream, to);
  const Borders b = BordersOf(to.meta.shape, *c.attrs);
  const Axis& last = b.axes[2];
  const auto run = [&]<class T>(T) {
    ForPlanes(c, b, [&](int64_t plane) {
      ForRowsOf(b, plane, [&](int64_t row, int64_t within) {
        const T* y = from.as<const T>() + row;
        T* x = to.as<T>() + within;
        for (int64_t o = 0; o < last.before; ++o) x[last.Source(o, b.mode)] += y[o];
        AddRun(y + last.before, x, last.size);
        for (int64_t o = last.before + last.size; o < last.padded(); ++o)
          x[last.Source(o, b.mode)] += y[o];
      });
    });
  };
  switch (to.meta.dtype) {
    case DType::kFloat64: run(double{}); break;
    case DType::kComplex64: run(std::complex<float>{}); break;
    case DType::kComplex128: run(std::complex<double>{}); break;
    default: run(float{});
  }
  return half ? CastElements(c.stream, to, c.outputs[0]) : Status::Ok();
}
int64_t AdjointScratch(std::span<const TensorMeta> in, std::span<const TensorMeta> out,
                       const Attrs&, int) {
  return 4 * (in[0].shape.numel() + out[0].shape.numel());
}

template <bool kAdjoint>
void Grad(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  c.Set(0, c.b.Call(kAdjoint ? "pad_edges" : "pad_edges_adjoint", {c.grads[0]}, c.attrs));
}

std::vector<op::Sample> Samples(bool adjoint) {
  std::vector<op::Sample> samples;
  for (const char* mode : {"reflect", "replicate", "circular"}) {
    const auto add = [&](Shape x, Ints pad) {
      if (adjoint) x = Widened(x, pad);
      samples.push_back({{{DType::kFloat32, x}}, {{"pad", pad}, {"mode", std::string(mode)}}});
    };
    add({2, 4}, {1, 2});
    add({5, 3, 4}, {0, 1, 2, 2});
    add({2, 3, 4, 3}, {1, 2, 0, 0, 2, 1});
    add({0, 3}, {1, 1});
  }
  return samples;
}

op::OpDefBuilder& Define(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc)
      .Attr("pad", op::AttrType::kInts)
      .Attr("mode", op::AttrType::kString)
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"pad", Ints{-4, 0}}, {"mode", std::string("reflect")}},
                      Code::kInvalidArgument,
                      "wider than what it repeats"},
                     {{{DType::kFloat32, {2, 3}}},
                      {{"pad", Ints{1, 1}}, {"mode", std::string("mirror")}},
                      Code::kInvalidArgument,
                      "got mode="}});
}

}  // namespace

OFL_OP(pad_edges) {
  op.In("input").Out("output");
  Define(op,
         "`input` with borders that repeat it, mirrored ('reflect'), its edges ('replicate') or "
         "its other end\n('circular'). `pad` has the sizes before and after the last axis, then "
         "the one before it, and so on.")
      .Infer(InferEdges)
      .Sbp(EdgesRule)
      .Grad(Grad<false>)
      .Oracle("padded(input, pad, mode, None)")
      .Py("_pad_edges(input, pad, mode)")
      .Samples([] { return InEveryDType(Samples(false)); });
  CpuForAllTypes(op, RunEdges);
}

OFL_OP(pad_edges_adjoint) {
  op.In("grad").Out("output");
  Define(op, "`grad` without its borders, which are added to what they repeat.")
      .Infer(InferAdjoint)
      .Sbp(AdjointRule)
      .Grad(Grad<true>)
      .Oracle("pad_edges_adjoint(grad, pad, mode)")
      .Py("_pad_edges_adjoint(grad, pad, mode)")
      .Samples([] {
        std::vector<op::Sample> samples = Samples(true);
        for (DType dtype : ListOf(kFloats | kComplexes)) {
          samples.push_back(samples.front());
          samples.back().inputs[0].dtype = dtype;
        }
        return samples;
      });
  for (DType dtype : ListOf(kFloats | kComplexes))
    op.Cpu(dtype, RunAdjoint, IsHalf(dtype) ? AdjointScratch : nullptr);
}

}  // namespace ofl::ops
