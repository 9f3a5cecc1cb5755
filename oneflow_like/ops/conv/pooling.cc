// Max, average and adaptive pooling as torch names them, in other operators.
#include "oneflow_like/ops/conv/pooling.h"

#include "oneflow_like/ops/conv/pool.h"

namespace ofl::ops {

Result<PoolRequest> RequestOfPool(const TensorMeta& x, const Attrs& attrs, int axes) {
  OFL_ENSURE(x.shape.rank() == axes + 1 || x.shape.rank() == axes + 2, Code::kInvalidArgument)
      << "got input: " << x.ToString() << "; expected " << axes + 2 << " axes, or " << axes + 1
      << " without images";
  PoolRequest r;
  OFL_ASSIGN(r.kernel, SizesOf(attrs.Get<Ints>("kernel_size"), axes, "kernel_size", 1));
  const Ints* stride = attrs.Maybe<Ints>("stride");
  r.stride = r.kernel;
  if (stride != nullptr && !stride->empty()) {
    OFL_ASSIGN(r.stride, SizesOf(*stride, axes, "stride", 1));
  }
  const auto sizes = [&](const char* name, int64_t least) -> Result<Ints> {
    if (!attrs.Has(name)) return Ints(static_cast<size_t>(axes), least);
    return SizesOf(attrs.Get<Ints>(name), axes, name, least);
  };
  OFL_ASSIGN(r.padding, sizes("padding", 0));
  OFL_ASSIGN(r.dilation, sizes("dilation", 1));
  const bool ceil = attrs.Get<bool>("ceil_mode");
  for (int i = 0; i < axes; ++i) {
    const size_t at = static_cast<size_t>(i);
    const int64_t in = x.shape[x.shape.rank() - axes + i];
    const int64_t span = Span(r.kernel[at], r.dilation[at]), stride_of = r.stride[at];
    const int64_t border = r.padding[at];
    OFL_ENSURE(border <= r.kernel[at] / 2, Code::kInvalidArgument)
        << "padding is more than half of the kernel: got " << border << " of " << r.kernel[at]
        << "; expected at most " << r.kernel[at] / 2;
    int64_t out = WindowsIn(in, r.kernel[at], stride_of, r.dilation[at], border,
                            border + (ceil ? stride_of - 1 : 0));
    // A window that would begin behind the input and its first border counts as none.
    if (ceil && out > 0 && (out - 1) * stride_of >= in + border) --out;
    OFL_ENSURE(in > 0 && out > 0, Code::kInvalidArgument)
        << "no window fits into spatial axis " << i << ": got " << span << " elements of a window "
        << "and " << in << " of the input; expected at most those and the padding";
    r.size.push_back(out);
  }
  return r;
}

Attrs PoolRequest::ToAttrs() const {
  return {{"kernel", kernel}, {"stride", stride}, {"padding", padding}, {"size", size}};
}

namespace {

template <int kAxes>
op::Values ComposeMax(op::Builder& b, Operands in, const Attrs& attrs) {
  const auto request = RequestOfPool(in[0]->meta(), attrs, kAxes);
  if (!request.ok()) return Refused(b, request.status());
  Attrs windows = request->ToAttrs();
  windows.Set("dilation", request->dilation);
  op::Values made = b.CallAll("window_max", {in[0]}, windows);
  if (made[0] == nullptr) return {nullptr};
  if (!attrs.Get<bool>("return_indices")) made.resize(1);
  return made;
}

// Where nobody will ask for places, as no gradient will.
template <int kAxes>
Status RunMaxPool(op::KernelContext& c) {
  OFL_ASSIGN(const PoolRequest r, RequestOfPool(c.inputs[0].meta, *c.attrs, kAxes));
  const Shape& x = c.inputs[0].meta.shape;
  Pool p;
  p.planes = ProductOf(x, 0, x.rank() - kAxes);
  for (int i = 0; i < kAxes; ++i) {
    const auto at = static_cast<size_t>(i);
    p.axes[static_cast<size_t>(3 - kAxes + i)] = {
        x[x.rank() - kAxes + i], r.size[at],   r.kernel[at], r.stride[at],
        r.dilation[at],          r.padding[at]};
  }
  return RunWindowMax(c, p);
}

// Integers are divided as whole numbers, rounded towards 0.
op::Value WholeMean(op::Builder& b, const op::Value& x, const PoolRequest& r, const Attrs& attrs) {
  Attrs windows = r.ToAttrs();
  windows.Set("divisor", int64_t{1});
  const op::Value wide = CastTo(b, x, DType::kInt64);
  const op::Value sum = b.Call("window_mean", {wide}, windows);
  op::Value by;
  if (const int64_t* divisor = attrs.Maybe<int64_t>("divisor_override")) {
    by = b.Call("full_like", {sum}, {{"value", *divisor}});
  } else {
    op::Value ones = OnesLike(b, wide);
    if (attrs.Get<bool>("count_include_pad")) {
      Ints around;
      for (size_t i = r.padding.size(); i-- > 0;) around.insert(around.end(), 2, r.padding[i]);
      ones = b.Call("constant_pad_nd", {ones}, {{"pad", around}, {"value", int64_t{1}}});
      windows.Set("padding", Ints(r.padding.size(), 0));
    }
    by = b.Call("window_mean", {ones}, windows);
  }
  return CastTo(b, b.Call("trunc_divide", {sum, by}), x->meta().dtype);
}

op::Value MeanOf(op::Builder& b, const op::Value& x, const Attrs& attrs, int axes) {
  const auto request = RequestOfPool(x->meta(), attrs, axes);
  if (!request.ok()) return Wrong(b, request.status());
  for (int i = 0; axes == 3 && i < axes; ++i) {  // torch's check, of three axes alone
    const int64_t in = x->meta().shape[x->meta().shape.rank() - axes + i];
    const int64_t kernel = request->kernel[static_cast<size_t>(i)];
    if (in >= kernel) continue;
    return Wrong(b, Error(Code::kInvalidArgument)
                        << "the kernel is larger than the input: got " << kernel << " and " << in
                        << " along spatial axis " << i << "; expected at most " << in);
  }
  const int64_t* divisor = attrs.Maybe<int64_t>("divisor_override");
  if (divisor != nullptr && *divisor == 0) {
    return Wrong(b, Error(Code::kInvalidArgument)
                        << "got divisor_override=0; expected another number");
  }
  if (IsInteger(x->meta().dtype)) return WholeMean(b, x, *request, attrs);
  Attrs windows = request->ToAttrs();
  windows.Set("count_include_pad", attrs.Get<bool>("count_include_pad"));
  if (divisor != nullptr) windows.Set("divisor", *divisor);
  return b.Call("window_mean", {x}, windows);
}

template <int kAxes>
op::Values ComposeMean(op::Builder& b, Operands in, const Attrs& attrs) {
  return {MeanOf(b, in[0], attrs, kAxes)};
}

// --- windows by their number ---------------------------------------------------------------------

// One number, or one each; None keeps an axis.
Result<Ints> AdaptiveSizes(const TensorMeta& x, const Attrs& attrs, int axes) {
  const int rank = x.shape.rank();
  OFL_ENSURE(rank == axes + 1 || rank == axes + 2, Code::kInvalidArgument)
      << "got input: " << x.ToString() << "; expected " << axes + 2 << " axes, or " << axes + 1
      << " without images";
  const Ints* given = attrs.Maybe<Ints>("output_size");
  OFL_ENSURE(given != nullptr, Code::kInvalidArgument)
      << "got output_size=None; expected a number or one for each spatial axis";
  Ints sizes = *given;
  const bool one = sizes.size() == 1;
  if (one) sizes.resize(static_cast<size_t>(axes), sizes[0]);
  OFL_ENSURE(std::ssize(sizes) == axes, Code::kInvalidArgument)
      << "output_size has not one number for each spatial axis: got " << sizes.size()
      << "; expected 1 or " << axes;
  for (int i = 0; i < axes; ++i) {
    int64_t& size = sizes[static_cast<size_t>(i)];
    if (size == kKeepAxis && !one) size = x.shape[rank - axes + i];
    OFL_ENSURE(size >= 0 && x.shape[rank - axes + i] > 0, Code::kInvalidArgument)
        << "got output_size " << size << " over " << x.shape[rank - axes + i]
        << " elements; expected a number that is not negative, and elements";
  }
  return sizes;
}

// Windows of one size, if all are: the regular ones are faster.
Attrs WindowsOfSizes(const Shape& x, const Ints& sizes, bool dilated) {
  const int axes = static_cast<int>(sizes.size());
  Ints kernel;
  for (int i = 0; i < axes; ++i) {
    const int64_t in = x[x.rank() - axes + i], out = sizes[static_cast<size_t>(i)];
    if (out == 0 || in % out != 0) return {{"size", sizes}, {"adaptive", true}};
    kernel.push_back(in / out);
  }
  Attrs attrs = {
      {"kernel", kernel}, {"stride", kernel}, {"padding", Ints(sizes.size(), 0)}, {"size", sizes}};
  if (dilated) attrs.Set("dilation", Ints(sizes.size(), 1));
  return attrs;
}

template <int kAxes, bool kMax>
op::Values ComposeAdaptive(op::Builder& b, Operands in, const Attrs& attrs) {
  const TensorMeta& x = in[0]->meta();
  const auto sizes = AdaptiveSizes(x, attrs, kAxes);
  if (!sizes.ok()) return Refused(b, sizes.status());
  if (!kMax && !IsFloating(x.dtype)) {
    return Refused(b, Error(Code::kTypeMismatch) << "got input: " << x.ToString()
                                                 << "; expected a floating dtype, as float32");
  }
  if (!kMax && std::ranges::all_of(*sizes, [](int64_t size) { return size == 1; })) {
    Ints axes;
    for (int64_t i = -kAxes; i < 0; ++i) axes.push_back(i);
    return {b.Call("mean", {in[0]}, {{"dim", axes}, {"keepdim", true}})};
  }
  const Attrs windows = WindowsOfSizes(x.shape, *sizes, kMax);
  if (!kMax) return {b.Call("window_mean", {in[0]}, windows)};
  op::Values made = b.CallAll("window_max", {in[0]}, windows);
  if (made[0] == nullptr) return {nullptr};
  if (!attrs.Get<bool>("return_indices")) made.resize(1);
  return made;
}

// --- norms ---------------------------------------------------------------------------------------

// The root of the windows' sums of powers, by way of their means.
template <int kAxes>
op::Values ComposeLp(op::Builder& b, Operands in, const Attrs& attrs) {
  const Scalar p = attrs.Number("norm_type");
  const double order = p.As<double>();
  Attrs windows = attrs;
  windows.Set("padding", Ints{0});
  windows.Set("count_include_pad", true);
  // Bool counts 0 and 1.
  const op::Value x = in[0]->meta().dtype == DType::kBool ? CastTo(b, in[0], DType::kInt64) : in[0];
  const op::Value powers = b.Call("pow_scalar", {x}, {{"scalar", p}});
  if (powers == nullptr) return {nullptr};
  const op::Value mean = MeanOf(b, powers, windows, kAxes);
  if (mean == nullptr) return {nullptr};
  const Ints kernel = SizesOf(attrs.Get<Ints>("kernel_size"), kAxes, "kernel_size", 1).value();
  int64_t count = 1;
  for (int64_t size : kernel) count = SaturatingMul(count, size);
  const op::Value sign = Of(b, "sign", mean), size = Of(b, "relu", Of(b, "abs", mean));
  op::Value sum = MulScalar(b, Mul(b, sign, size), count);
  if (sum == nullptr) return {nullptr};
  if (!IsFloating(sum->meta().dtype)) sum = CastTo(b, sum, DType::kFloat32);
  return {b.Call("pow_scalar", {sum}, {{"scalar", 1.0 / order}})};
}

// --- definitions ---------------------------------------------------------------------------------

constexpr DTypeSet kMeans = kFloats;

op::Sample Of(int axes, Attrs attrs, DType dtype = DType::kFloat32, bool images = true) {
  Shape x = images ? Shape{2, 3} : Shape{3};
  for (int i = 0; i < axes; ++i) x.push_back(Shape{7, 5, 4}[3 - axes + i]);
  op::Sample sample{{{dtype, x}}, std::move(attrs)};
  sample.low = dtype == DType::kUInt8 ? 0 : -20;
  sample.high = 20;
  return sample;
}

std::vector<op::Sample> PoolSamples(int axes, DTypeSet dtypes, const Attrs& more = {}) {
  std::vector<op::Sample> samples = {
      Of(axes, {{"kernel_size", Ints{2}}}),
      Of(axes, {{"kernel_size", Ints{3}}, {"stride", Ints{2}}, {"padding", Ints{1}}}),
      Of(axes, {{"kernel_size", Ints{3}}, {"stride", Ints{2}}, {"ceil_mode", true}}),
      Of(axes, {{"kernel_size", Ints{2}}, {"stride", Ints{1}}}, DType::kFloat32, false),
      Of(axes, {{"kernel_size", Ints{2}}})};
  for (const auto& [name, value] : more) samples[4].attrs.Set(name, value);
  for (DType dtype : ListOf(dtypes)) samples.push_back(Of(axes, {{"kernel_size", Ints{2}}}, dtype));
  return samples;
}

op::OpDefBuilder& WithPool(op::OpDefBuilder& op) {
  return op.In("input")
      .Out("output")
      .Attr("kernel_size", op::AttrType::kInts)
      .OptionalAttr("stride", op::AttrType::kInts)
      .Attr("ceil_mode", op::AttrType::kBool, false);
}
std::vector<op::ErrorSample> PoolErrors(int axes) {
  Attrs wide = {{"kernel_size", Ints{20}}}, none = {{"kernel_size", Ints{0}}};
  return {{Of(axes, {}).inputs, wide, Code::kInvalidArgument, "no window fits"},
          {Of(axes, {}).inputs, none, Code::kInvalidArgument, "expected at least 1"}};
}

template <int kAxes>
void MaxPool(op::OpDefBuilder& op) {
  const std::string name = "max_pool" + std::to_string(kAxes) + "d";
  const std::string rest = ", padding=0, dilation=1, ceil_mode=False";
  WithPool(op.Doc("The largest element of each window, `stride` (the kernel's size by default) "
                  "apart; with\nreturn_indices its place in the plane as well. Of equal ones the "
                  "first counts, NaN is the largest."))
      .Attr("padding", op::AttrType::kInts, Ints{0})
      .Attr("dilation", op::AttrType::kInts, Ints{1})
      .Attr("return_indices", op::AttrType::kBool, false)
      .Compose(ComposeMax<kAxes>)
      .Oracle(
          "max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, "
          "return_indices, " +
          std::to_string(kAxes) + ")")
      .Py("nn.functional." + name + "(input, kernel_size, stride=None" + rest +
          ", return_indices=False)")
      .Py("nn.functional." + name + "_with_indices(input, kernel_size, stride=None" + rest +
              ", return_indices=False)",
          {{"return_indices", true}})
      .Py(name + "(input, kernel_size, stride=()" + rest + ")")
      .Public()
      .Samples([] { return PoolSamples(kAxes, kReals, {{"dilation", Ints{2}}}); })
      .ErrorSamples(PoolErrors(kAxes));
  for (DType dtype : ListOf(kReals)) op.Cpu(dtype, RunMaxPool<kAxes>, WideScratch);
  if (kAxes != 1) return;
  op.Py("max_pool1d_with_indices(input, kernel_size, stride=()" + rest + ")",
        {{"return_indices", true}})
      .Public();
}

template <int kAxes>
void AvgPool(op::OpDefBuilder& op) {
  const std::string name = "avg_pool" + std::to_string(kAxes) + "d";
  const std::string rest = ", padding=0, ceil_mode=False, count_include_pad=True";
  WithPool(op.Doc("The mean of each window, `stride` (the kernel's size by default) apart. Borders "
                  "count as zeros, or\nnot at all; divisor_override: what the sum is divided by. "
                  "Means of integers are rounded to 0."))
      .Attr("padding", op::AttrType::kInts, Ints{0})
      .Attr("count_include_pad", op::AttrType::kBool, true)
      .OptionalAttr("divisor_override", op::AttrType::kInt)
      .Compose(ComposeMean<kAxes>)
      .Oracle(
          "avg_pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad, "
          "divisor_override, " +
          std::to_string(kAxes) + ")")
      .Py("nn.functional." + name + "(input, kernel_size, stride=None" + rest +
          (kAxes > 1 ? ", divisor_override=None)" : ")"))
      .Samples([] {
        return PoolSamples(kAxes, kReals, {{"padding", Ints{1}}, {"count_include_pad", false}});
      })
      .ErrorSamples(PoolErrors(kAxes));
  if (kAxes == 1) op.Py(name + "(input, kernel_size, stride=()" + rest + ")").Public();
}

template <int kAxes, bool kMax>
void Adaptive(op::OpDefBuilder& op) {
  const std::string name =
      std::string(kMax ? "adaptive_max_pool" : "adaptive_avg_pool") + std::to_string(kAxes) + "d";
  op.Doc(kMax ? "The largest element of each of `output_size` windows that cover an axis; with "
                "return_indices its place\nin the plane as well."
              : "The mean of each of `output_size` windows that cover an axis; None keeps an axis "
                "as it is.")
      .In("input")
      .Out("output")
      .OptionalAttr("output_size", op::AttrType::kInts)
      .Attr("return_indices", op::AttrType::kBool, false)
      .Compose(ComposeAdaptive<kAxes, kMax>)
      .Oracle("adaptive_pool(input, output_size, " + std::to_string(kAxes) +
              (kMax ? ", True, return_indices)" : ", False, False)"))
      .Samples([] {
        std::vector<op::Sample> samples = {
            Of(kAxes, {{"output_size", Ints{3}}}), Of(kAxes, {{"output_size", Ints{1}}}),
            Of(kAxes, {{"output_size", Ints{2}}}, DType::kFloat32, false)};
        for (DType dtype : ListOf(kMax ? kReals : kMeans))
          samples.push_back(Of(kAxes, {{"output_size", Ints{2}}}, dtype));
        return samples;
      })
      .ErrorSamples({{Of(kAxes, {}).inputs,
                      {{"output_size", Ints{-2}}},
                      Code::kInvalidArgument,
                      "not negative"}});
  if (kMax) {
    op.Py("nn.functional." + name + "(input, output_size, return_indices=False)")
        .Py("nn.functional." + name + "_with_indices(input, output_size, return_indices=False)",
            {{"return_indices", true}});
    if (kAxes == 1) op.Py(name + "(input, output_size)", {{"return_indices", true}}).Public();
  } else if (kAxes == 1) {
    op.Py(name + "(input, output_size)").Public().Functional();
  } else {
    op.Py("nn.functional." + name + "(input, output_size)");
  }
}

template <int kAxes>
void LpPool(op::OpDefBuilder& op) {
  WithPool(op.Doc("The root of order norm_type of the sum of each window's powers of that order."))
      .Attr("norm_type", op::AttrType::kScalar)
      .Compose(ComposeLp<kAxes>)
      .Oracle("lp_pool(input, norm_type, kernel_size, stride, ceil_mode, " + std::to_string(kAxes) +
              ")")
      .Py("nn.functional.lp_pool" + std::to_string(kAxes) +
          "d(input, norm_type, kernel_size, stride=None, ceil_mode=False)")
      .Samples([] {
        std::vector<op::Sample> samples = {
            Of(kAxes, {{"norm_type", int64_t{2}}, {"kernel_size", Ints{2}}}),
            Of(kAxes, {{"norm_type", 3.0}, {"kernel_size", Ints{3}}, {"stride", Ints{2}}})};
        for (op::Sample& s : samples) s.low = 0.5, s.high = 2;
        samples.push_back(samples[0]);
        samples.back().inputs[0].dtype = DType::kFloat64;
        return samples;
      })
      .ErrorSamples({{Of(kAxes, {}).inputs,
                      {{"norm_type", 2.0}, {"kernel_size", Ints{20}}},
                      Code::kInvalidArgument,
                      "no window fits"}});
}

}  // namespace

OFL_OP(max_pool1d) { MaxPool<1>(op); }
OFL_OP(max_pool2d) { MaxPool<2>(op); }
OFL_OP(max_pool3d) { MaxPool<3>(op); }
OFL_OP(avg_pool1d) { AvgPool<1>(op); }
OFL_OP(avg_pool2d) { AvgPool<2>(op); }
OFL_OP(avg_pool3d) { AvgPool<3>(op); }
OFL_OP(adaptive_max_pool1d) { Adaptive<1, true>(op); }
OFL_OP(adaptive_max_pool2d) { Adaptive<2, true>(op); }
OFL_OP(adaptive_max_pool3d) { Adaptive<3, true>(op); }
OFL_OP(adaptive_avg_pool1d) { Adaptive<1, false>(op); }
OFL_OP(adaptive_avg_pool2d) { Adaptive<2, false>(op); }
OFL_OP(adaptive_avg_pool3d) { Adaptive<3, false>(op); }
OFL_OP(lp_pool1d) { LpPool<1>(op); }
OFL_OP(lp_pool2d) { LpPool<2>(op); }
OFL_OP(lp_pool3d) { LpPool<3>(op); }

}  // namespace ofl::ops
