// Window functions of signal processing: bartlett, blackman, hamming, hann, kaiser.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "oneflow_like/ops/elementwise/family.h"

namespace ofl::ops {
namespace {

constexpr int64_t kMostElements = int64_t{1} << 48;

Status InferWindow(op::InferContext& c) {
  const int64_t length = c.attr<int64_t>("window_length");
  OFL_ENSURE(length >= 0 && length <= kMostElements, Code::kInvalidArgument)
      << "window_length is no number of elements; expected at least 0, at most 2^48";
  const DType* given = c.maybe<DType>("dtype");
  const DType dtype = given == nullptr ? DType::kFloat32 : *given;
  OFL_ENSURE(IsFloating(dtype) && !IsFloat8(dtype), Code::kTypeMismatch)
      << "a window is of fractions; expected a floating dtype";
  c.AddOutput({dtype, {length}});
  return Status::Ok();
}

// The window at place `at` of one that ends at place `last`; a periodic one lacks its end.
using WindowFn = double (*)(double at, double last, const Attrs& attrs);

double Cosines(double at, double last, double a, double b, double c) {
  const double turn = 2 * std::numbers::pi * at / last;
  return a - b * std::cos(turn) + c * std::cos(2 * turn);
}
double Bartlett(double at, double last, const Attrs&) {
  return at <= last / 2 ? 2 * at / last : 2 - 2 * at / last;
}
double Blackman(double at, double last, const Attrs&) { return Cosines(at, last, 0.42, 0.5, 0.08); }
double Hamming(double at, double last, const Attrs& attrs) {
  return Cosines(at, last, attrs.Get<double>("alpha"), attrs.Get<double>("beta"), 0);
}
double Hann(double at, double last, const Attrs&) { return Cosines(at, last, 0.5, 0.5, 0); }
// I_0, even and beyond double from 714 on: the library's throws at what it cannot take.
double BesselI0(double x) {
  const double size = std::fabs(x);
  if (std::isnan(size)) return size;
  return size > 713 ? std::numeric_limits<double>::infinity() : std::cyl_bessel_i(0.0, size);
}
double Kaiser(double at, double last, const Attrs& attrs) {
  const double beta = attrs.Get<double>("beta"), x = 2 * at / last - 1;
  const double root = std::sqrt(std::max(1 - x * x, 0.0));
  return BesselI0(beta * root) / BesselI0(beta);
}

template <WindowFn kWindow>
Status RunWindow(op::KernelContext& c) {
  constexpr int64_t kTile = 256;
  const op::TensorView& y = c.outputs[0];
  const int64_t length = c.attr<int64_t>("window_length"), first = c.output_offsets[0][0];
  const auto last = static_cast<double>(length - (c.attr<bool>("periodic") ? 0 : 1));
  const auto size = static_cast<int64_t>(DTypeSize(y.meta.dtype));
  for (int64_t done = 0; done < y.numel(); done += kTile) {
    const int64_t n = std::min(kTile, y.numel() - done);
    double values[kTile];
    for (int64_t i = 0; i < n; ++i)
      values[i] =
          length == 1 ? 1.0 : kWindow(static_cast<double>(first + done + i), last, *c.attrs);
    OFL_TRY(CastElements(c.stream, {values, {DType::kFloat64, {n}}},
                         {y.as<std::byte>() + done * size, {y.meta.dtype, {n}}}));
  }
  return Status::Ok();
}

op::Sample Of(int64_t length, bool periodic, DType dtype = DType::kFloat32) {
  return {{}, {{"window_length", length}, {"periodic", periodic}, {"dtype", dtype}}};
}

template <WindowFn kWindow>
op::OpDefBuilder& Window(op::OpDefBuilder& op, const char* doc) {
  op.Doc(doc)
      .Out("output")
      .Attr("window_length", op::AttrType::kInt)
      .Attr("periodic", op::AttrType::kBool, true)
      .OptionalAttr("dtype", op::AttrType::kDType)
      .Infer(InferWindow)
      .Sbp("->(n); offset n")
      .NotDifferentiable("it has no tensor inputs")
      .Traits({op::Trait::kSource})
      .Samples([] {
        std::vector<op::Sample> samples = {Of(5, true), Of(5, false), Of(1, true), Of(1, false),
                                           Of(0, true), Of(2, false), Of(8, true)};
        for (DType dtype : {DType::kFloat64, DType::kFloat16, DType::kBFloat16})
          samples.push_back(Of(4, true, dtype));
        return samples;
      })
      .ErrorSamples({{{}, Of(-1, true).attrs, Code::kInvalidArgument, "at least 0"},
                     {{}, Of(2, true, DType::kInt64).attrs, Code::kTypeMismatch, "of fractions"}});
  for (DType dtype : {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16})
    op.Cpu(dtype, RunWindow<kWindow>);
  return op;
}

}  // namespace

OFL_OP(bartlett_window) {
  Window<Bartlett>(op, "A triangle from 0 to 1 and back.")
      .Oracle("window('bartlett', window_length, periodic)")
      .Py("bartlett_window(window_length, periodic=True, *, dtype=None)")
      .Public();
}
OFL_OP(blackman_window) {
  Window<Blackman>(op, "0.42 - 0.5 cos(t) + 0.08 cos(2 t), t from 0 to 2 pi.")
      .Oracle("window('blackman', window_length, periodic)")
      .Py("blackman_window(window_length, periodic=True, *, dtype=None)")
      .Public();
}
OFL_OP(hamming_window) {
  Window<Hamming>(op, "alpha - beta cos(t), t from 0 to 2 pi.")
      .Attr("alpha", op::AttrType::kFloat, 0.54)
      .Attr("beta", op::AttrType::kFloat, 0.46)
      .Oracle("window('hamming', window_length, periodic, alpha, beta)")
      .Py("hamming_window(window_length, periodic=True, alpha=0.54, beta=0.46, *, dtype=None)")
      .Public();
}
OFL_OP(hann_window) {
  Window<Hann>(op, "0.5 - 0.5 cos(t), t from 0 to 2 pi.")
      .Oracle("window('hanning', window_length, periodic)")
      .Py("hann_window(window_length, periodic=True, *, dtype=None)")
      .Public();
}
OFL_OP(kaiser_window) {
  Window<Kaiser>(op, "I0(beta sqrt(1 - x^2)) / I0(beta), x from -1 to 1.")
      .Attr("beta", op::AttrType::kFloat, 12.0)
      .Oracle("window('kaiser', window_length, periodic, beta)")
      .Py("kaiser_window(window_length, periodic=True, beta=12.0, *, dtype=None)")
      .Public();
}

}  // namespace ofl::ops
