// flow.fft: torch's functions, in the three transforms of fft.cc.
#include <algorithm>
#include <cmath>
#include <optional>

#include "oneflow_like/ops/fft/fft.h"

namespace ofl::ops {
namespace {

using Inputs = std::span<const op::Value>;

// A function of torch's: which transform, and of which sign it is in torch's words.
struct Function {
  const char* name;
  enum { kComplex, kToHalf, kFromHalf } kind;
  bool forward;  // hfft is, though its exponent has the plus sign of the half it conjugates
  bool conjugated = false;
};

op::Values Refused(op::Builder& b, Status status) {
  b.Fail(std::move(status));
  return {nullptr};
}
ErrorStream Wrong(const Function& f, Code code = Code::kInvalidArgument) {
  ErrorStream error(code);
  error << "[" << f.name << "] ";
  return error;
}

struct Points {
  Ints dims, sizes;  // sizes of the signal: of a half, of what it stands for
};

Result<int64_t> AxisOf(const Function& f, int64_t dim, int64_t rank) {
  OFL_ENSURE(dim >= -rank && dim < rank, Code::kOutOfRange)
      << "[" << f.name << "] there is no such axis: got dim=" << dim << " and " << rank
      << " axes; expected " << -rank << " to " << rank - 1;
  return dim < 0 ? dim + rank : dim;
}

// Which axes are transformed, and how many points along each.
Result<Points> PointsOf(const Function& f, const Shape& shape, const Ints* sizes,
                        const Ints* dims) {
  const int64_t rank = shape.rank();
  Points points;
  if (dims != nullptr) {
    for (const int64_t dim : *dims) {
      OFL_ASSIGN(const int64_t axis, AxisOf(f, dim, rank));
      points.dims.push_back(axis);
    }
  } else {
    const int64_t count = sizes != nullptr ? static_cast<int64_t>(sizes->size()) : rank;
    OFL_ENSURE(count <= rank, Code::kInvalidArgument)
        << "[" << f.name << "] there are more sizes than axes: got " << count << " and " << rank
        << "; expected at most one size for each axis";
    for (int64_t i = rank - count; i < rank; ++i) points.dims.push_back(i);
  }
  Ints sorted = points.dims;
  std::ranges::sort(sorted);
  OFL_ENSURE(std::ranges::adjacent_find(sorted) == sorted.end(), Code::kInvalidArgument)
      << "[" << f.name << "] an axis is named twice; expected different axes in dim";
  OFL_ENSURE(f.kind == Function::kComplex || !sorted.empty(), Code::kInvalidArgument)
      << "[" << f.name << "] no axis is transformed; expected at least one";
  OFL_ENSURE(sizes == nullptr || sizes->size() == points.dims.size(), Code::kInvalidArgument)
      << "[" << f.name << "] there is not one size for each axis: got " << sizes->size()
      << " sizes and " << points.dims.size() << " axes; expected as many";
  for (size_t i = 0; i < points.dims.size(); ++i) {
    const bool half = f.kind == Function::kFromHalf && i + 1 == points.dims.size();
    const int64_t now = shape[static_cast<int>(points.dims[i])];
    const bool given = sizes != nullptr && (*sizes)[i] != -1;
    const int64_t size = given ? (*sizes)[i] : half ? 2 * (now - 1) : now;
    OFL_ENSURE(size >= 1 && size <= kLongestTransform, Code::kInvalidArgument)
        << "[" << f.name << "] an axis has no points: got " << size << " along axis "
        << points.dims[i] << "; expected 1 to " << kLongestTransform;
    points.sizes.push_back(size);
  }
  return points;
}

Result<double> ScaleOf(const Function& f, const std::string* norm, const Points& points) {
  double count = 1;
  for (const int64_t size : points.sizes) count *= static_cast<double>(size);
  const std::string mode = norm == nullptr ? "backward" : *norm;
  if (mode == "ortho") return 1 / std::sqrt(count);
  if (mode == "backward" || mode == "forward")
    return (mode == "forward") == f.forward ? 1 / count : 1.0;
  return Status(Error(Code::kInvalidArgument)
                << "[" << f.name << "] there is no such norm: got '" << mode
                << "'; expected 'backward', 'ortho' or 'forward'");
}

// From so many numbers on, the transform of real ones is that of a half, and the mirrored half.
constexpr int64_t kManyReals = int64_t{1} << 14;

// All numbers of the transform over one axis of real ones.
op::Value TransformWhole(op::Builder& b, const op::Value& x, int64_t dim, double scale,
                         bool forward) {
  const int64_t n = x->meta().shape[static_cast<int>(dim)];
  const op::Value half = TransformReal(b, x, {dim}, scale);
  if (half == nullptr) return nullptr;
  const op::Value others =
      b.Call("narrow", {half}, {{"dim", dim}, {"start", int64_t{1}}, {"length", n - (n / 2 + 1)}});
  const op::Value mirrored =
      b.Call("flip", {forward ? Conj(b, others) : others}, {{"dims", Ints{dim}}});
  return b.Call("concat", {forward ? half : Conj(b, half), mirrored}, {{"dim", dim}});
}

op::Values Transformed(op::Builder& b, const Function& f, op::Value x, const Ints* sizes,
                       const Ints* dims, const std::string* norm) {
  const DType dtype = x->meta().dtype;
  const bool wide = dtype == DType::kFloat32 || dtype == DType::kFloat64 || IsComplex(dtype);
  if (!wide) {
    return Refused(b, Wrong(f, Code::kTypeMismatch)
                          << "there is no transform of this dtype: got " << x->meta().ToString()
                          << "; expected float32, float64 or complex; convert with .to(dtype)");
  }
  if (f.kind == Function::kToHalf && IsComplex(dtype)) {
    return Refused(b, Wrong(f, Code::kTypeMismatch)
                          << "input is not real: got " << x->meta().ToString()
                          << "; expected real numbers; flow.fft.fft takes complex ones");
  }
  auto points = PointsOf(f, x->meta().shape, sizes, dims);
  if (!points.ok()) return Refused(b, points.status());
  const auto scale = ScaleOf(f, norm, *points);
  if (!scale.ok()) return Refused(b, scale.status());
  const bool whole = f.kind == Function::kComplex && !IsComplex(dtype) &&
                     points->dims.size() == 1 && x->meta().shape.numel() >= kManyReals &&
                     points->sizes[0] > 2;
  if (f.kind != Function::kToHalf && !whole) x = CastTo(b, x, ComplexOf(dtype));
  for (size_t i = 0; i < points->dims.size(); ++i) {
    const bool half = f.kind == Function::kFromHalf && i + 1 == points->dims.size();
    const int64_t size = points->sizes[i];
    x = Resized(b, x, points->dims[i], half ? size / 2 + 1 : size);
  }
  if (whole && x != nullptr) return {TransformWhole(b, x, points->dims[0], *scale, f.forward)};
  switch (f.kind) {
    case Function::kComplex: return {TransformComplex(b, x, points->dims, *scale, f.forward)};
    case Function::kToHalf: {
      const op::Value half = TransformReal(b, x, points->dims, *scale);
      return {f.conjugated && half != nullptr ? Conj(b, half) : half};
    }
    default:
      if (f.conjugated && x != nullptr) x = Conj(b, x);
      return {TransformBack(b, x, points->dims, *scale, points->sizes.back())};
  }
}

template <const Function& kFunction>
op::Values ComposeOne(op::Builder& b, Inputs in, const Attrs& attrs) {
  const Ints dims = {attrs.Get<int64_t>("dim")};
  const int64_t* n = attrs.Maybe<int64_t>("n");
  const Ints sizes = {n == nullptr ? -1 : *n};
  if (n != nullptr && *n < 1) {
    return Refused(b, Wrong(kFunction) << "there are no points to transform: got n=" << *n
                                       << "; expected at least 1");
  }
  return Transformed(b, kFunction, in[0], &sizes, &dims, attrs.Maybe<std::string>("norm"));
}

template <const Function& kFunction>
op::Values ComposeMany(op::Builder& b, Inputs in, const Attrs& attrs) {
  return Transformed(b, kFunction, in[0], attrs.Maybe<Ints>("s"), attrs.Maybe<Ints>("dim"),
                     attrs.Maybe<std::string>("norm"));
}

// --- definitions --------------------------------------------------------------------------------

constexpr Function kFft = {"fft", Function::kComplex, true},
                   kIfft = {"ifft", Function::kComplex, false},
                   kRfft = {"rfft", Function::kToHalf, true},
                   kIrfft = {"irfft", Function::kFromHalf, false},
                   kHfft = {"hfft", Function::kFromHalf, true, true},
                   kIhfft = {"ihfft", Function::kToHalf, false, true};

std::vector<op::Sample> Samples(const Function& f, bool many, int axes = 0) {
  std::vector<op::Sample> samples;
  const auto add = [&](Shape shape, Attrs attrs, DType dtype) {
    samples.push_back({{{dtype, std::move(shape)}}, std::move(attrs)});
  };
  const DType own = f.kind == Function::kToHalf ? DType::kFloat32 : DType::kComplex64;
  for (const char* norm : {"backward", "ortho", "forward"}) {
    if (many) {
      add({3, 4}, {{"norm", std::string(norm)}}, own);
    } else {
      add({4}, {{"norm", std::string(norm)}}, own);
    }
  }
  if (many) {
    add({2, 3, 5}, {{"s", Ints{4, 3}}, {"dim", Ints{0, 2}}}, own);
    if (axes == 0) add({4}, {}, own);
    add({0, 2, 3}, {{"dim", Ints{1, -1}}}, own);
  } else {
    add({3, 5}, {{"n", int64_t{4}}}, own);
    add({4, 3}, {{"n", int64_t{7}}, {"dim", int64_t{0}}}, own);
    add({0, 4}, {}, own);
  }
  for (DType dtype : {DType::kFloat32, DType::kFloat64, DType::kComplex64, DType::kComplex128}) {
    if (f.kind != Function::kToHalf || !IsComplex(dtype)) add({2, 4}, {}, dtype);
  }
  return samples;
}

op::OpDefBuilder& Describe(op::OpDefBuilder& op, const char* doc) {
  return op
      .Doc(std::string(doc) +
           "\n`norm`: 'backward' scales the way back by 1/n, 'forward' the way there, 'ortho' "
           "both by\n1/sqrt(n).")
      .In("input")
      .Out("output")
      .OptionalAttr("norm", op::AttrType::kString)
      .Promote(op::Promotion::kFloat);
}

template <const Function& kFunction>
void One(op::OpDefBuilder& op, const char* doc) {
  const std::string name = kFunction.name;
  Describe(op, doc)
      .OptionalAttr("n", op::AttrType::kInt)
      .Attr("dim", op::AttrType::kInt, int64_t{-1})
      .Compose(ComposeOne<kFunction>)
      .Oracle("np.fft." + name + "(input, n, dim, norm)")
      .Py("fft." + name + "(input, n=None, dim=-1, norm=None)")
      .Samples([] { return Samples(kFunction, false); })
      .ErrorSamples(
          {{{{DType::kFloat32, {3}}},
            {{"norm", std::string("best")}},
            Code::kInvalidArgument,
            "expected 'backward', 'ortho' or 'forward'"},
           {{{DType::kFloat32, {3}}}, {{"dim", int64_t{1}}}, Code::kOutOfRange, "axis"},
           {{{DType::kFloat32, {3}}}, {{"n", int64_t{0}}}, Code::kInvalidArgument, "at least 1"},
           {{{DType::kFloat16, {3}}}, {}, Code::kTypeMismatch, "expected float32"}});
}

// Over several axes: all of them, or of the functions whose names end in 2 the last two.
template <const Function& kFunction>
void Many(op::OpDefBuilder& op, const char* doc, bool two) {
  const std::string name = kFunction.name;
  const std::string end = two ? "2" : "n";
  const bool hermitian = kFunction.conjugated;
  Describe(op, doc).OptionalAttr("s", op::AttrType::kInts);
  if (two) {
    op.Attr("dim", op::AttrType::kInts, Ints{-2, -1});
  } else {
    op.OptionalAttr("dim", op::AttrType::kInts);
  }
  op.Compose(ComposeMany<kFunction>)
      .Oracle((hermitian ? "fft_hermitian('" + name + "', input" : "np.fft." + name + "n(input") +
              ", s, dim, norm)")
      .Py("fft." + name + end + "(input, s=None, dim=" + (two ? "(-2, -1)" : "None") +
          ", norm=None)")
      .ErrorSamples({{{{DType::kFloat32, {3, 4}}},
                      {{"dim", Ints{1, -1}}},
                      Code::kInvalidArgument,
                      "named twice"},
                     {{{DType::kFloat32, {3, 4}}},
                      {{"s", Ints{2}}, {"dim", Ints{0, 1}}},
                      Code::kInvalidArgument,
                      "one size for each axis"}});
  if (two) {
    op.Samples([] { return Samples(kFunction, true, 2); });
  } else {
    op.Samples([] { return Samples(kFunction, true); });
  }
}

// --- frequencies and shifts ---------------------------------------------------------------------

Status InferFrequencies(op::InferContext& c) {
  const int64_t n = c.attr<int64_t>("n");
  OFL_ENSURE(n >= 0 && n <= int64_t{1} << 48, Code::kInvalidArgument)
      << "n is no number of points: got " << n << "; expected at least 0, at most 2^48";
  const DType dtype = c.attr<DType>("dtype");
  OFL_ENSURE(Contains(kFloats, dtype), Code::kTypeMismatch)
      << "frequencies are fractions; expected a floating dtype";
  c.AddOutput({dtype, {c.attr<bool>("half") ? n / 2 + 1 : n}});
  return Status::Ok();
}

Status RunFrequencies(op::KernelContext& c) {
  constexpr int64_t kTile = 256;
  const op::TensorView& y = c.outputs[0];
  const int64_t n = c.attr<int64_t>("n"), first = c.output_offsets[0][0];
  const int64_t positive = c.attr<bool>("half") ? n + 1 : (n + 1) / 2;
  const double step = 1 / (static_cast<double>(n) * c.attr<double>("d"));
  const auto size = static_cast<int64_t>(DTypeSize(y.meta.dtype));
  for (int64_t done = 0; done < y.numel(); done += kTile) {
    const int64_t count = std::min(kTile, y.numel() - done);
    double values[kTile];
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at = first + done + i;
      values[i] = static_cast<double>(at < positive ? at : at - n) * step;
    }
    OFL_TRY(CastElements(c.stream, {values, {DType::kFloat64, {count}}},
                         {y.as<std::byte>() + done * size, {y.meta.dtype, {count}}}));
  }
  return Status::Ok();
}

op::Values Shifted(op::Builder& b, const op::Value& x, const Ints* given, bool back) {
  Ints dims, shifts;
  const Function f = {back ? "ifftshift" : "fftshift", Function::kComplex, true};
  const Shape& shape = x->meta().shape;
  if (given != nullptr) {
    dims = *given;
  } else {
    for (int64_t i = 0; i < shape.rank(); ++i) dims.push_back(i);
  }
  if (dims.empty()) {
    return Refused(b, Wrong(f) << "no axis is shifted: got " << x->meta().ToString()
                               << " and no dim; expected at least one axis");
  }
  for (int64_t& dim : dims) {
    const auto axis = AxisOf(f, dim, shape.rank());
    if (!axis.ok()) return Refused(b, axis.status());
    dim = *axis;
    shifts.push_back((shape[static_cast<int>(dim)] + back) / 2);
  }
  return {b.Call("roll", {x}, {{"shifts", shifts}, {"dims", dims}})};
}

template <bool kBack>
op::Values ComposeShift(op::Builder& b, Inputs in, const Attrs& attrs) {
  return Shifted(b, in[0], attrs.Maybe<Ints>("dim"), kBack);
}

void Shift(op::OpDefBuilder& op, const char* doc, op::DecomposeFn fn, const std::string& name) {
  op.Doc(doc)
      .In("input")
      .Out("output")
      .OptionalAttr("dim", op::AttrType::kInts)
      .Compose(fn)
      .Oracle("np.fft." + name + "(input, dim)")
      .Py("fft." + name + "(input, dim=None)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType dtype : ListOf(kNumbers | kBools)) samples.push_back({{{dtype, {2, 3}}}, {}});
        samples.push_back({{{DType::kFloat32, {5, 4}}}, {{"dim", Ints{-1}}}});
        samples.push_back({{{DType::kFloat32, {1, 0}}}, {}});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, Shape{}}}, {}, Code::kInvalidArgument, "no axis"}});
}

}  // namespace

OFL_OP(fft_fft) { One<kFft>(op, "The discrete Fourier transform along `dim`, of `n` points."); }
OFL_OP(fft_ifft) { One<kIfft>(op, "The inverse of fft along `dim`, of `n` points."); }
OFL_OP(fft_rfft) {
  One<kRfft>(op,
             "The discrete Fourier transform of real numbers along `dim`: the n / 2 + 1 results "
             "that say all.");
}
OFL_OP(fft_irfft) { One<kIrfft>(op, "The inverse of rfft, `n` real numbers along `dim`."); }
OFL_OP(fft_hfft) {
  One<kHfft>(op, "The real transform of a signal of which `input` is the half that says all.");
}
OFL_OP(fft_ihfft) { One<kIhfft>(op, "The inverse of hfft: of real numbers the half of a signal."); }

OFL_OP(fft_fft2) { Many<kFft>(op, "fft over the two axes `dim`.", true); }
OFL_OP(fft_ifft2) { Many<kIfft>(op, "The inverse of fft2.", true); }
OFL_OP(fft_rfft2) {
  Many<kRfft>(op, "rfft over the two axes `dim`, the last of them halved.", true);
}
OFL_OP(fft_irfft2) { Many<kIrfft>(op, "The inverse of rfft2.", true); }
OFL_OP(fft_hfft2) {
  Many<kHfft>(op, "hfft over the two axes `dim`, the last of them a half.", true);
}
OFL_OP(fft_ihfft2) { Many<kIhfft>(op, "The inverse of hfft2.", true); }
OFL_OP(fft_fftn) {
  Many<kFft>(op, "fft over the axes `dim` (none: all, or the last of `s`).", false);
}
OFL_OP(fft_ifftn) { Many<kIfft>(op, "The inverse of fftn.", false); }
OFL_OP(fft_rfftn) { Many<kRfft>(op, "rfft over the axes `dim`, the last of them halved.", false); }
OFL_OP(fft_irfftn) { Many<kIrfft>(op, "The inverse of rfftn.", false); }
OFL_OP(fft_hfftn) { Many<kHfft>(op, "hfft over the axes `dim`, the last of them a half.", false); }
OFL_OP(fft_ihfftn) { Many<kIhfft>(op, "The inverse of hfftn.", false); }

OFL_OP(fft_frequencies) {
  op.Doc(
        "The frequencies of a transform of `n` points that are `d` apart, in its order; with "
        "`half` "
        "those\nof rfft.")
      .Out("output")
      .Attr("n", op::AttrType::kInt)
      .Attr("d", op::AttrType::kFloat, 1.0)
      .Attr("half", op::AttrType::kBool, false)
      .Attr("dtype", op::AttrType::kDType, DType::kFloat32)
      .Infer(InferFrequencies)
      .Sbp("->(n); offset n")
      .NotDifferentiable("it has no tensor inputs")
      .Traits({op::Trait::kSource})
      .Oracle("(np.fft.rfftfreq if half else np.fft.fftfreq)(n, d)")
      .Py("fft.fftfreq(n, d=1.0, *, dtype=None)")
      .Py("fft.rfftfreq(n, d=1.0, *, dtype=None)", {{"half", true}})
      .Samples([] {
        std::vector<op::Sample> samples;
        for (int64_t n : {4, 5, 1})
          for (bool half : {false, true})
            samples.push_back({{}, {{"n", n}, {"half", half}, {"d", 0.5}}});
        for (DType dtype : ListOf(kFloats))
          samples.push_back({{}, {{"n", int64_t{6}}, {"dtype", dtype}}});
        return samples;
      })
      .ErrorSamples(
          {{{}, {{"n", int64_t{-1}}}, Code::kInvalidArgument, "at least 0"},
           {{}, {{"n", int64_t{3}}, {"dtype", DType::kInt64}}, Code::kTypeMismatch, "fractions"}});
  for (DType dtype : ListOf(kFloats)) op.Cpu(dtype, RunFrequencies);
}

OFL_OP(fft_fftshift) {
  Shift(op, "Frequency 0 in the middle of the axes `dim` (none: of all).", ComposeShift<false>,
        "fftshift");
}
OFL_OP(fft_ifftshift) { Shift(op, "The inverse of fftshift.", ComposeShift<true>, "ifftshift"); }

}  // namespace ofl::ops
