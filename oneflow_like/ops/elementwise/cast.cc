// cast: the same values in another dtype.
#include <algorithm>
#include <cmath>
#include <limits>

#include "oneflow_like/ops/elementwise/family.h"

namespace ofl::ops {
namespace {

// Conversions the language leaves undefined (NaN or too large for an integer) get fixed values, so
// that every rank and every vector width agree: the smallest integer that is computed in, as x86-64
// and with it torch has it. Into a narrower dtype an int32 wraps: of what it cannot hold 0 is left.
template <class Out>
struct Convert {
  template <class In>
  OFL_FN Out operator()(In x) const {
    if constexpr (math::kIsComplex<In> && math::kIsComplex<Out>) {
      return Out(x);
    } else if constexpr (std::is_same_v<Out, bool>) {
      return x != In(0);
    } else if constexpr (math::kIsComplex<In>) {
      return operator()(x.real());
    } else if constexpr (math::kIsComplex<Out>) {
      return Out(static_cast<typename Out::value_type>(x));
    } else if constexpr (std::is_floating_point_v<In> && std::is_integral_v<Out>) {
      constexpr In kLow = static_cast<In>(std::numeric_limits<Out>::min());
      return static_cast<Out>(x >= kLow && x < -kLow ? x : kLow);
    } else {
      return static_cast<Out>(x);
    }
  }
};

// Into float on the way to a half type: what float cannot hold is marked in its last bit, so that
// the second rounding sees on which side of a tie the number lies.
struct ToOdd {
  OFL_FN float operator()(double x) const { return math::RoundToOdd(x); }
  OFL_FN float operator()(int32_t x) const { return math::RoundToOdd(static_cast<double>(x)); }
  OFL_FN float operator()(int64_t x) const {
    // A double holds the upper 52 bits; one more says whether any below is set.
    const bool large = x > (int64_t{1} << 52) || x < -(int64_t{1} << 52);
    const int64_t marked = (x & ~int64_t{0xfff}) | ((x & 0xfff) != 0 ? 0x800 : 0);
    return math::RoundToOdd(static_cast<double>(large ? marked : x));
  }
  OFL_FN float operator()(std::complex<double> x) const { return math::RoundToOdd(x.real()); }
};

template <class In, class Out>
void RunConvert(device::Stream* stream, const op::TensorView& from, const op::TensorView& to) {
  const RowInput input{&from};
  const DType stored = to.meta.dtype;
  constexpr bool kMayRoundTwice = std::is_same_v<In, double> || std::is_same_v<In, int32_t> ||
                                  std::is_same_v<In, int64_t> ||
                                  std::is_same_v<In, std::complex<double>>;
  if constexpr (kMayRoundTwice && std::is_same_v<Out, float>) {
    if (stored != DType::kFloat32) {
      const ToOdd to_odd;
      return RunRow(stream, kRowOf<ToOdd, In>, &to_odd, {&input, 1}, to);
    }
  }
  const Convert<Out> convert;
  RunRow(stream, kRowOf<Convert<Out>, In>, &convert, {&input, 1}, to);
}

constexpr DTypeSet kEvery = kNumbers | kBools | kFloat8s;

template <class In>
Status ConvertFrom(device::Stream* stream, const op::TensorView& from, const op::TensorView& to) {
  switch (ComputeTypeOf(to.meta.dtype)) {
    case DType::kFloat32: RunConvert<In, float>(stream, from, to); break;
    case DType::kFloat64: RunConvert<In, double>(stream, from, to); break;
    case DType::kInt32: RunConvert<In, int32_t>(stream, from, to); break;
    case DType::kInt64: RunConvert<In, int64_t>(stream, from, to); break;
    case DType::kBool: RunConvert<In, bool>(stream, from, to); break;
    case DType::kComplex64: RunConvert<In, std::complex<float>>(stream, from, to); break;
    default: RunConvert<In, std::complex<double>>(stream, from, to); break;
  }
  return Status::Ok();
}

Status RunCast(op::KernelContext& c) { return CastElements(c.stream, c.inputs[0], c.outputs[0]); }

Status InferCast(op::InferContext& c) {
  c.AddOutput({c.attr<DType>("dtype"), c.input(0).shape});
  return Status::Ok();
}

// A wider floating dtype adds no rounding, so partial sums may pass; everything else rounds or
// wraps each part. The order of values survives, except into bool and narrower integers.
// The rule sees no dtypes of inputs; the gradient's cast back therefore boxes first.
std::string CastRule(std::span<const Shape>, std::span<const Shape>, const Attrs& attrs) {
  const DType to = attrs.Get<DType>("dtype");
  return IsFloating(to) && !IsFloat8(to) ? "(...)->(...); monotone 0" : "(...)->(...)";
}

void GradCast(op::GradContext& c) {
  const DType from = c.inputs[0]->meta().dtype;
  if (!IsDifferentiable(from) || !IsDifferentiable(c.attrs.Get<DType>("dtype"))) return;
  c.Set(0, c.b.Call("cast", {c.grads[0]}, {{"dtype", from}}));
}

std::vector<op::Sample> CastSamples() {
  std::vector<op::Sample> samples;
  const auto add = [&](DType from, Shape shape, DType to) {
    samples.push_back({{{from, shape}}, {{"dtype", to}}, -3, 3, ""});
  };
  add(DType::kFloat32, {5, 3}, DType::kFloat64);
  add(DType::kFloat32, {5, 3}, DType::kInt64);
  add(DType::kFloat32, {5, 3}, DType::kBool);
  add(DType::kFloat64, {0, 3}, DType::kFloat32);
  add(DType::kFloat64, {5}, DType::kFloat32);
  add(DType::kInt64, {5, 3}, DType::kFloat32);
  add(DType::kInt64, {}, DType::kInt32);
  add(DType::kBool, {5, 3}, DType::kFloat32);
  add(DType::kBool, {4}, DType::kInt64);
  add(DType::kUInt8, {4}, DType::kInt64);
  for (DType d : ListOf(kEvery)) {
    add(d, {7}, DType::kFloat32);
    add(DType::kFloat64, {7}, d);
  }
  add(DType::kComplex64, {4}, DType::kComplex128);
  add(DType::kBFloat16, {4}, DType::kFloat16);
  return samples;
}

}  // namespace

Status CastElements(device::Stream* stream, const op::TensorView& from, const op::TensorView& to) {
  if (from.meta.dtype == to.meta.dtype) {
    CopyElements(stream, from, to);
    return Status::Ok();
  }
  switch (ComputeTypeOf(from.meta.dtype)) {
    case DType::kFloat32: return ConvertFrom<float>(stream, from, to);
    case DType::kFloat64: return ConvertFrom<double>(stream, from, to);
    case DType::kInt32: return ConvertFrom<int32_t>(stream, from, to);
    case DType::kInt64: return ConvertFrom<int64_t>(stream, from, to);
    case DType::kBool: return ConvertFrom<bool>(stream, from, to);
    case DType::kComplex64: return ConvertFrom<std::complex<float>>(stream, from, to);
    default: return ConvertFrom<std::complex<double>>(stream, from, to);
  }
}

OFL_OP(cast) {
  op.Doc(
        "input converted to `dtype`. Floats into integers: towards zero in int32 (int64: in\n"
        "int64), of what that cannot hold its smallest number; integers into narrower ones wrap.\n"
        "Into bool: whether it differs from 0. A half type is rounded once; of complex numbers "
        "the\n"
        "real part is left.")
      .In("input")
      .Out("output")
      .Attr("dtype", op::AttrType::kDType)
      .Infer(InferCast)
      .Sbp(CastRule)
      .Grad(GradCast)
      .Traits({op::Trait::kElementwise})
      .Strided()
      .Oracle("cast(input, dtype)")
      .Py("cast(input, dtype)")
      .Samples(CastSamples)
      .Unclaimed("P->P", "only into a wider floating dtype, which the rule does not see")
      .Unclaimed("P(max)->P(max)", "into integers only where nothing wraps")
      .Unclaimed("P(min)->P(min)", "into integers only where nothing wraps")
      .ErrorSamples(
          {{{{DType::kFloat32, {2}}}, {}, Code::kInvalidArgument, "attribute 'dtype' is missing"},
           {{{DType::kFloat32, {2}}},
            {{"dtype", int64_t{1}}},
            Code::kTypeMismatch,
            "attribute 'dtype' has the wrong type: got 1; expected a value of type "
            "dtype"}});
  for (DType dtype : AllDTypes()) op.Cpu(dtype, RunCast);
}

OFL_OP(to_dtype) {
  op.Doc("input in another dtype: itself, where it has that one, else converted as by cast.")
      .In("input")
      .Out("output")
      .Attr("dtype", op::AttrType::kDType)
      .Compose([](op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
        return op::Values{CastTo(b, in[0], attrs.Get<DType>("dtype"))};
      })
      .Oracle("cast(input, dtype)")
      .Py("_to_dtype(input, dtype)")
      .PyMethod("float(input)", {{"dtype", DType::kFloat32}})
      .PyMethod("double(input)", {{"dtype", DType::kFloat64}})
      .PyMethod("half(input)", {{"dtype", DType::kFloat16}})
      .PyMethod("bfloat16(input)", {{"dtype", DType::kBFloat16}})
      .PyMethod("cfloat(input)", {{"dtype", DType::kComplex64}})
      .PyMethod("cdouble(input)", {{"dtype", DType::kComplex128}})
      .PyMethod("long(input)", {{"dtype", DType::kInt64}})
      .PyMethod("int(input)", {{"dtype", DType::kInt32}})
      .PyMethod("short(input)", {{"dtype", DType::kInt16}})
      .PyMethod("char(input)", {{"dtype", DType::kInt8}})
      .PyMethod("byte(input)", {{"dtype", DType::kUInt8}})
      .PyMethod("bool(input)", {{"dtype", DType::kBool}})
      .Samples(CastSamples);
}

OFL_OP(type_as) {
  op.Doc("input in the dtype of other, whose values are not read.")
      .In("input")
      .In("other")
      .Out("output")
      .Compose([](op::Builder& b, std::span<const op::Value> in, const Attrs&) {
        return op::Values{CastTo(b, in[0], in[1]->meta().dtype)};
      })
      .Oracle("input.astype(other.dtype)")
      .PyMethod("type_as(input, other)")
      .Samples([]() -> std::vector<op::Sample> {
        return {{{{DType::kFloat32, {5}}, {DType::kInt64, {2}}}},
                {{{DType::kInt8, {5}}, {DType::kFloat64, {}}}},
                {{{DType::kFloat32, {5}}, {DType::kFloat32, {3}}}}};
      });
}

}  // namespace ofl::ops
