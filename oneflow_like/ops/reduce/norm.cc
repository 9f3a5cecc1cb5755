// Norms, and what is made of them: distances, vectors of length 1.
#include "oneflow_like/ops/reduce/norm.h"
#include "oneflow_like/ops/elementwise/forms.h"

#include <cmath>

#include "oneflow_like/ops/move/copy.h"
#include "oneflow_like/ops/nn/rows.h"

namespace ofl::ops {
namespace {

using Span = std::span<const op::Value>;

// --- powers whose slope at 0 is 0 ---------------------------------------------------------------

struct RootPower {
  double exponent;
  explicit RootPower(const Attrs& attrs) : exponent(attrs.Get<double>("exponent")) {}
  template <class T>
  OFL_FN T operator()(T x) const {
    return exponent == 0.5 ? math::Sqrt(x) : math::Pow(x, static_cast<T>(exponent));
  }
};

void GradRootPower(op::GradContext& c) {
  op::Builder& b = c.b;
  const op::Value& x = c.inputs[0];
  const double e = c.attrs.Get<double>("exponent");
  const op::Value none = Against(b, "eq", x, 0);
  const op::Value safe = ReplaceWhere(b, none, 1.0, x);
  const op::Value lower = b.Call("pow_scalar", {safe}, {{"scalar", Scalar(e - 1)}});
  c.Set(0, ReplaceWhere(b, none, 0.0, Mul(b, c.grads[0], MulScalar(b, lower, e))));
}

// --- sums of absolute values and of squares -----------------------------------------------------

template <class T>
struct AbsOf {
  using Acc = double;
  static OFL_INLINE Acc Identity() { return 0; }
  static OFL_INLINE Acc Of(T x) {
    if constexpr (math::kIsComplex<T>) {
      return std::hypot(static_cast<double>(x.real()), static_cast<double>(x.imag()));
    } else {
      return std::fabs(static_cast<double>(x));
    }
  }
  static OFL_INLINE Acc Join(Acc a, Acc x) { return a + x; }
};
template <class T>
struct CountOfNonzero {
  using Acc = double;
  static OFL_INLINE Acc Identity() { return 0; }
  static OFL_INLINE Acc Of(T x) { return x != T(0) ? 1 : 0; }
  static OFL_INLINE Acc Join(Acc a, Acc x) { return a + x; }
};
template <class T>
struct SquareOf {
  using Acc = double;
  static OFL_INLINE Acc Identity() { return 0; }
  static OFL_INLINE Acc Of(T x) {
    if constexpr (math::kIsComplex<T>) {
      const double re = x.real(), im = x.imag();
      return re * re + im * im;
    } else {
      return static_cast<double>(x) * static_cast<double>(x);
    }
  }
  static OFL_INLINE Acc Join(Acc a, Acc x) { return a + x; }
};

DType SumDType(DType input) { return StatisticOf(RealOf(input)); }

Status InferPowerSum(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kFloats | kComplexes));
  OFL_TRY(CheckDims(c));
  const int64_t power = c.attr<int64_t>("power");
  OFL_ENSURE(power >= 0 && power <= 2, Code::kInvalidArgument)
      << "no such sum: got power=" << power << "; expected 0, 1 or 2";
  c.AddOutput({SumDType(c.input(0).dtype), ReducedShapeOf(c)});
  return Status::Ok();
}

template <class T>
Status RunPowerSum(op::KernelContext& c) {
  using Real = decltype(std::real(T{}));
  const int64_t power = c.attr<int64_t>("power");
  if (power == 0) return Reduce(c, kReducer<CountOfNonzero<T>, T, Real>, AxesFor(c));
  return Reduce(c, power == 2 ? kReducer<SquareOf<T>, T, Real> : kReducer<AbsOf<T>, T, Real>,
                AxesFor(c));
}

std::string PowerSumRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  return ReduceRule(in[0], attrs, "sum") + "; never partial";
}

// The slope of |z|: its sign, or z / |z|, and 0 at 0.
op::Value DirectionOf(op::Builder& b, const op::Value& z) {
  if (z == nullptr || !IsComplex(z->meta().dtype)) return b.Call("sign", {z});
  const op::Value size = CastTo(b, b.Call("abs", {z}), z->meta().dtype);
  const op::Value none = Against(b, "eq", size, 0);
  return b.Call("div", {z, ReplaceWhere(b, none, 1, size)});
}

void GradPowerSum(op::GradContext& c) {
  op::Builder& b = c.b;
  const int64_t power = c.attrs.Get<int64_t>("power");
  if (power == 0) return;  // a count has no gradient, as in torch
  const op::Value& x = c.inputs[0];
  const DType dtype = x->meta().dtype;
  const DType wide = IsComplex(dtype) ? dtype : SumDType(dtype);
  const op::Value grad = CastTo(b, SpreadOut(b, c.grads[0], x, c.attrs), wide);
  const op::Value z = CastTo(b, x, wide);
  const op::Value slope = power == 2 ? MulScalar(b, z, 2.0) : DirectionOf(b, z);
  c.Set(0, CastTo(b, Mul(b, grad, slope), dtype));
}

std::vector<op::Sample> PowerSumSamples() {
  auto samples = ReduceSamples(kFloats | kComplexes, true, {{"power", int64_t{2}}});
  for (DType dtype : ListOf(kFloats | kComplexes)) {
    samples.push_back({{{dtype, {5, 3}}}, {{"dim", Ints{0}}, {"power", int64_t{1}}}, -4, 4, ""});
    if (dtype != DType::kFloat32) continue;
    samples.push_back({{{dtype, {3, 40}}}, {{"dim", Ints{1}}, {"power", int64_t{1}}}, -4, 4, ""});
  }
  return samples;
}

// --- norms --------------------------------------------------------------------------------------

Status CheckFloating(const op::Value& x, const char* what) {
  const DType dtype = x->meta().dtype;
  OFL_ENSURE(Contains(kFloats | kComplexes, dtype), Code::kTypeMismatch)
      << what << " of " << DTypeName(dtype) << ": got " << x->meta().ToString()
      << "; expected a floating or complex dtype; use x.to(flow.float32)";
  return Status::Ok();
}

Attrs OverOf(const Attrs& attrs) {
  return {{"dim", attrs.Get<Ints>("dim")}, {"keepdim", attrs.Get<bool>("keepdim")}};
}

op::Values NormOf(op::Builder& b, const op::Value& input, double p, const Attrs& attrs) {
  for (const op::Value& x : {input, InDType(b, input, attrs)}) {
    if (x == nullptr) return {nullptr};
    if (Status wrong = CheckFloating(x, "a norm"); !wrong.ok()) return Refused(b, wrong);
  }
  const op::Value x = InDType(b, input, attrs);
  return {VectorNorm(b, x, p, OverOf(attrs))};
}

op::Values ComposeNormOfOrder(op::Builder& b, Span in, const Attrs& attrs) {
  return NormOf(b, in[0], attrs.Number("p").As<double>(), attrs);
}

// Of a matrix, or of those in two axes.
op::Values NuclearNorm(op::Builder& b, const op::Value& x, const Attrs& attrs) {
  Ints dims = attrs.Get<Ints>("dim");
  const int rank = x->meta().shape.rank();
  if (dims.empty() && rank == 2) dims = {0, 1};
  if (dims.size() != 2) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "the nuclear norm is of matrices: got " << x->meta().ToString()
                          << " and " << dims.size() << " axes; expected two");
  }
  Attrs named = {{"ord", std::string("nuc")}, {"dim", dims}};
  for (const char* name : {"keepdim", "dtype"})
    if (const AttrValue* value = attrs.Find(name)) named.Set(name, *value);
  return {b.Call("matrix_norm_named", {x}, named)};
}

op::Values ComposeNormByName(op::Builder& b, Span in, const Attrs& attrs) {
  const std::string* p = attrs.Maybe<std::string>("p");
  if (p != nullptr && *p == "nuc") return NuclearNorm(b, in[0], attrs);
  if (p != nullptr && *p != "fro") {
    return Refused(b, Error(Code::kUnimplemented)
                          << "no such norm: got p='" << *p << "'; expected 'fro' or a number");
  }
  return NormOf(b, in[0], 2, attrs);
}

op::Values ComposeDist(op::Builder& b, Span in, const Attrs& attrs) {
  const op::Value apart = b.Call("sub", {in[0], in[1]});
  if (apart == nullptr) return {nullptr};
  return NormOf(b, apart, attrs.Number("p").As<double>(),
                {{"dim", Ints{}}, {"keepdim", false}, {"dtype", NoValue{}}});
}

// Slices along `dim` whose norm exceeds maxnorm are shortened to it.
op::Values ComposeRenorm(op::Builder& b, Span in, const Attrs& attrs) {
  const Shape& shape = in[0]->meta().shape;
  const double p = attrs.Number("p").As<double>(), most = attrs.Number("maxnorm").As<double>();
  const auto axis = NormalizeAxis(attrs.Get<int64_t>("dim"), shape.rank());
  Status wrong = CheckFloating(in[0], "a norm");
  if (wrong.ok() && !axis.ok()) wrong = axis.status();
  if (wrong.ok() && (shape.rank() < 2 || !(p > 0) || !(most >= 0))) {
    wrong = Error(Code::kInvalidArgument)
            << "no norms to bound: got " << in[0]->meta().ToString() << ", p=" << p
            << ", maxnorm=" << most << "; expected at least 2 axes, p > 0, maxnorm >= 0";
  }
  if (!wrong.ok()) return Refused(b, wrong);
  Ints others;
  for (int i = 0; i < shape.rank(); ++i)
    if (i != *axis) others.push_back(i);
  const DType dtype = in[0]->meta().dtype;
  const op::Value x = CastTo(b, in[0], StatisticOf(dtype));
  const op::Value norm = VectorNorm(b, x, p, {{"dim", others}, {"keepdim", true}});
  const op::Value bound = b.Call("full_like", {norm}, {{"value", Scalar(most)}});
  const op::Value factor = b.Call("div", {bound, AddScalar(b, norm, 1e-7)});
  const op::Value within = b.Call("logical_not", {b.Call("gt", {norm, bound})});  // NaN is
  const op::Value scale = ReplaceWhere(b, within, 1.0, factor);
  return {CastTo(b, Mul(b, x, scale), dtype)};
}

// --- vectors ------------------------------------------------------------------------------------

op::Values ComposeNormalize(op::Builder& b, Span in, const Attrs& attrs) {
  if (Status wrong = CheckFloating(in[0], "a norm"); !wrong.ok()) return Refused(b, wrong);
  const DType dtype = in[0]->meta().dtype;
  const op::Value x = CastTo(b, in[0], StatisticOf(dtype));
  const op::Value norm = VectorNorm(b, x, attrs.Number("p").As<double>(),
                                    {{"dim", attrs.Get<Ints>("dim")}, {"keepdim", true}});
  const op::Value length = b.Call("clamp", {norm}, {{"min", Scalar(attrs.Get<double>("eps"))}});
  return {CastTo(b, b.Call("div", {x, length}), dtype)};
}

op::Values ComposeCosine(op::Builder& b, Span in, const Attrs& attrs) {
  if (!IsFloating(in[0]->meta().dtype) || IsFloat8(in[0]->meta().dtype)) {
    return Refused(b, Error(Code::kTypeMismatch)
                          << "a cosine of " << DTypeName(in[0]->meta().dtype) << ": got "
                          << in[0]->meta().ToString()
                          << "; expected a floating dtype; use x.to(flow.float32)");
  }
  const DType dtype = in[0]->meta().dtype;
  const Ints dim{attrs.Get<int64_t>("dim")};
  auto shape = BroadcastShapes(in[0]->meta().shape, in[1]->meta().shape);
  if (!shape.ok()) return Refused(b, shape.status());
  op::Values unit;
  for (const op::Value& given : in) {
    op::Value x = CastTo(b, given, StatisticOf(dtype));
    if (!(given->meta().shape == *shape))
      x = b.Call("broadcast_to", {x}, {{"shape", DimsOf(*shape)}});
    const op::Value norm = VectorNorm(b, x, 2, {{"dim", dim}, {"keepdim", true}});
    const op::Value length = b.Call("clamp", {norm}, {{"min", Scalar(attrs.Get<double>("eps"))}});
    unit.push_back(b.Call("div", {x, length}));
  }
  return {CastTo(b, b.Call("sum", {Mul(b, unit[0], unit[1])}, {{"dim", dim}}), dtype)};
}

// The difference of integers is one of integers, which may wrap.
op::Values ComposePairwise(op::Builder& b, Span in, const Attrs& attrs) {
  const DType dtype = in[0]->meta().dtype;
  const bool whole = IsInteger(dtype) || dtype == DType::kBool;
  const auto wide = [&](const op::Value& x) {
    return whole ? x : CastTo(b, x, StatisticOf(dtype));
  };
  op::Value apart = b.Call("sub", {wide(in[0]), wide(in[1])});
  if (whole) apart = CastTo(b, apart, DType::kFloat32);
  if (apart == nullptr) return {nullptr};
  if (Status wrong = CheckFloating(apart, "a distance"); !wrong.ok()) return Refused(b, wrong);
  const op::Value away = AddScalar(b, apart, attrs.Get<double>("eps"));
  if (away == nullptr) return {nullptr};
  const op::Value norm = VectorNorm(b, away, attrs.Number("p").As<double>(),
                                    {{"dim", Ints{-1}}, {"keepdim", attrs.Get<bool>("keepdim")}});
  return {CastTo(b, norm, whole ? DType::kFloat32 : RealOf(dtype))};
}

std::vector<op::Sample> PairSamples(std::vector<Attrs> forms, DTypeSet set) {
  std::vector<op::Sample> samples;
  constexpr DType kF = DType::kFloat32;
  for (const Attrs& attrs : forms) samples.push_back({{{kF, {5, 3}}, {kF, {5, 3}}}, attrs});
  samples.push_back({{{kF, {2, 5, 3}}, {kF, {5, 3}}}, forms[0]});
  for (DType dtype : ListOf(set)) samples.push_back({{{dtype, {4, 3}}, {dtype, {4, 3}}}, forms[0]});
  return samples;
}

op::ErrorSample WholeError(size_t operands, Attrs attrs) {
  return {std::vector<TensorMeta>(operands, {DType::kInt64, {2, 3}}), std::move(attrs),
          Code::kTypeMismatch, "expected a floating or complex dtype"};
}

op::OpDefBuilder& Norm(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc)
      .In("input")
      .Out("output")
      .Attr("dim", op::AttrType::kInts, Ints{})
      .Attr("keepdim", op::AttrType::kBool, false)
      .OptionalAttr("dtype", op::AttrType::kDType);
}

}  // namespace

op::Value VectorNorm(op::Builder& b, const op::Value& x, double p, const Attrs& over) {
  if (x == nullptr) return x;
  const DType dtype = x->meta().dtype;
  const DType real = RealOf(dtype), wide = StatisticOf(real);
  const auto power_sum = [&](int64_t power) {
    Attrs attrs = over;
    attrs.Set("power", power);
    return b.Call("power_sum", {x}, attrs);
  };
  const auto root = [&](const op::Value& y, double e) {
    return b.Call("root_power", {y}, {{"exponent", e}});
  };
  if (p == 2) return CastTo(b, root(power_sum(2), 0.5), real);
  if (p == 1 || p == 0) return CastTo(b, power_sum(static_cast<int64_t>(p)), real);
  const op::Value size = CastTo(b, b.Call("abs", {x}), wide);
  if (std::isinf(p)) return CastTo(b, b.Call(p > 0 ? "amax" : "amin", {size}, over), real);
  return CastTo(b, root(b.Call("sum", {root(size, p)}, over), 1 / p), real);
}

OFL_OP(root_power) {
  Unary<RootPower, kFloats>(op, "input to the power of exponent; its slope at 0 is taken as 0.",
                            "; never partial max min", {0.5, 4});
  op.Attr("exponent", op::AttrType::kFloat, 0.5)
      .Grad(GradRootPower)
      .Oracle("np.power(input, exponent)")
      .Py("root_power(input, exponent=0.5)")
      .Samples([] {
        auto samples = UnarySamples(ListOf(kFloats), 0.5, 4, {{"exponent", 0.5}});
        samples.push_back({{{DType::kFloat32, {5, 3}}}, {{"exponent", 3.0}}, 0.5, 4});
        samples.push_back({{{DType::kFloat32, {5, 3}}}, {{"exponent", -1.5}}, 0.5, 4});
        return samples;
      });
}

OFL_OP(power_sum) {
  Reduction(
      op,
      "The sum over the axes `dim` (none given: all) of absolute values to the power 0 (how many\n"
      "are not 0), 1 or 2: real; of half types in float32.")
      .Attr("power", op::AttrType::kInt)
      .Infer(InferPowerSum)
      .Sbp(PowerSumRule)
      .Grad(GradPowerSum)
      .Autocast(op::Autocast::kFloat32)
      .Oracle(
          "np.sum(np.abs(input) ** power if power else input != 0, axis=axes(input, dim), "
          "keepdims=keepdim)")
      .Py("power_sum(input, power, dim=None, keepdim=False)")
      .Samples(PowerSumSamples)
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"power", int64_t{3}}},
                      Code::kInvalidArgument,
                      "got power=3"}});
  ForEachDType<kFloats | kComplexes>([&]<class T>(DType dtype) { op.Cpu(dtype, RunPowerSum<T>); });
}

OFL_OP(norm_of_order) {
  Norm(op,
       "The norm of order p over the axes `dim` (none given: all): (sum |x|^p)^(1/p); of order\n"
       "inf and -inf the extreme absolute value, of order 0 the count of what is not 0.")
      .Attr("p", op::AttrType::kScalar, int64_t{2})
      .Compose(ComposeNormOfOrder)
      .Oracle("norm(input, p, dim, keepdim)")
      .Py("norm(input, p, dim=None, keepdim=False, *, dtype=None)")
      .Public()
      .PyMethod("norm(input, p, dim=None, keepdim=False, dtype=None)")
      .Py("vector_norm(input, ord: p=2, dim=None, keepdim=False, *, dtype=None)")
      .Samples([] {
        std::vector<op::Sample> samples;
        const auto add = [&](DType d, Shape shape, Scalar p, Ints dim) {
          samples.push_back({{{d, shape}}, {{"p", p}, {"dim", dim}}, -4, 4, ""});
        };
        for (DType d : ListOf(kFloats | kComplexes)) add(d, {5, 3}, 2, {0});
        constexpr double kInf = std::numeric_limits<double>::infinity();
        for (double p : {0.0, 0.5, 1.0, 3.0, -2.0, kInf, -kInf})
          add(DType::kFloat32, {5, 3}, p, {1});
        add(DType::kFloat32, {2, 3, 4}, 2, {0, 2});
        add(DType::kFloat32, {2, 3, 4}, 2, {});
        add(DType::kFloat32, {}, 2, {});
        add(DType::kFloat32, {0, 3}, 2, {0});
        return samples;
      })
      .ErrorSamples({WholeError(1, {})});
}

OFL_OP(norm) {
  Norm(op, "The Euclidean (Frobenius) norm over the axes `dim` (none given: all).")
      .OptionalAttr("p", op::AttrType::kString)
      .Compose(ComposeNormByName)
      .Oracle(
          "norm(input, 2, dim, keepdim) if p != 'nuc' else "
          "matrix_norm(input, 'nuc', dim or (0, 1), keepdim)")
      .Py("norm(input, p='fro', dim=None, keepdim=False, *, dtype=None)")
      .Public()
      .PyMethod("norm(input, p='fro', dim=None, keepdim=False, dtype=None)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType d : ListOf(kFloats | kComplexes)) samples.push_back({{{d, {5, 3}}}, {}});
        samples.push_back({{{DType::kFloat32, {5, 3}}}, {{"dim", Ints{0}}, {"keepdim", true}}});
        samples.push_back({{{DType::kFloat32, {5, 3}}}, {{"p", std::string("nuc")}}});
        return samples;
      })
      .ErrorSamples({WholeError(1, {}),
                     {{{DType::kFloat32, {2, 3}}},
                      {{"p", std::string("x")}},
                      Code::kUnimplemented,
                      "got p='x'"}});
}

OFL_OP(dist) {
  op.Doc("The norm of order p of input - other, which broadcast.")
      .In("input")
      .In("other")
      .Out("output")
      .Attr("p", op::AttrType::kScalar, int64_t{2})
      .Promote(op::Promotion::kCommon)
      .Compose(ComposeDist)
      .Oracle("norm(input - other, p, [], False)")
      .PyBoth("dist(input, other, p=2)")
      .Samples([] {
        return PairSamples({{{"p", int64_t{2}}}, {{"p", 1.0}}, {{"p", 3.0}}},
                           SetOf(DType::kFloat64, DType::kComplex64));
      })
      .ErrorSamples({WholeError(2, {})});
}

OFL_OP(renorm) {
  op.Doc(
        "input with its slices along `dim` scaled down to a p-norm of maxnorm where theirs is\n"
        "larger.")
      .In("input")
      .Out("output")
      .Attr("p", op::AttrType::kScalar)
      .Attr("dim", op::AttrType::kInt)
      .Attr("maxnorm", op::AttrType::kScalar)
      .Compose(ComposeRenorm)
      .Oracle("renorm(input, p, dim, maxnorm)")
      .PyBoth("renorm(input, p, dim, maxnorm)")
      .PyMethod("renorm_(input, p, dim, maxnorm)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType d : ListOf(kFloats))
          samples.push_back(
              {{{d, {4, 3}}}, {{"p", 2.0}, {"dim", int64_t{0}}, {"maxnorm", 1.5}}, 0.2, 2, ""});
        samples.push_back({{{DType::kFloat32, {4, 2, 3}}},
                           {{"p", 1.0}, {"dim", int64_t{-1}}, {"maxnorm", 8.0}},
                           0.2,
                           2,
                           ""});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {3}}},
                      {{"p", 2.0}, {"dim", int64_t{0}}, {"maxnorm", 1.0}},
                      Code::kInvalidArgument,
                      "at least 2 axes"}});
}

OFL_OP(normalize) {
  op.Doc("input divided by its p-norm over `dim`, which counts as eps at least.")
      .In("input")
      .Out("output")
      .Attr("p", op::AttrType::kScalar, 2.0)
      .Attr("dim", op::AttrType::kInts, Ints{1})
      .Attr("eps", op::AttrType::kFloat, 1e-12)
      .Compose(ComposeNormalize)
      .Oracle("input / np.maximum(norm(input, p, dim, True), eps)")
      .Py("normalize(input, p=2.0, dim=1, eps=1e-12)")
      .Functional()
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType d : ListOf(kFloats)) samples.push_back({{{d, {4, 3}}}, {}});
        samples.push_back({{{DType::kFloat32, {4, 3}}}, {{"dim", Ints{0}}, {"p", 1.0}}});
        samples.push_back({{{DType::kFloat32, {2, 3, 2}}}, {{"dim", Ints{0, 2}}, {"p", 3.0}}});
        return samples;
      })
      .ErrorSamples({WholeError(1, {})});
}

OFL_OP(cosine_similarity) {
  op.Doc("The cosine of the angle between x1 and x2 along `dim`; norms count as eps at least.")
      .In("x1")
      .In("x2")
      .Out("output")
      .Attr("dim", op::AttrType::kInt, int64_t{1})
      .Attr("eps", op::AttrType::kFloat, 1e-8)
      .Promote(op::Promotion::kCommon)
      .Compose(ComposeCosine)
      .Oracle("cosine_similarity(x1, x2, dim, eps)")
      .Py("cosine_similarity(x1, x2, dim=1, eps=1e-08)")
      .Public()
      .Functional()
      .Samples([] { return PairSamples({{}, {{"dim", int64_t{0}}}}, kFloats); })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {4}}},
                      {},
                      Code::kInvalidArgument,
                      "cannot be broadcast"}});
}

OFL_OP(pairwise_distance) {
  op.Doc("The p-norm of x1 - x2 + eps over the last axis.")
      .In("x1")
      .In("x2")
      .Out("output")
      .Attr("p", op::AttrType::kScalar, 2.0)
      .Attr("eps", op::AttrType::kFloat, 1e-6)
      .Attr("keepdim", op::AttrType::kBool, false)
      .Promote(op::Promotion::kCommon)
      .Compose(ComposePairwise)
      .Oracle("norm(x1 - x2 + eps, p, [-1], keepdim)")
      .Py("pairwise_distance(x1, x2, p=2.0, eps=1e-06, keepdim=False)")
      .Public()
      .Functional()
      .Samples(
          [] { return PairSamples({{}, {{"p", 1.0}, {"keepdim", true}}, {{"p", 3.0}}}, kFloats); });
}

}  // namespace ofl::ops
