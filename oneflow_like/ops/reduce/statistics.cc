// Differences, integrals and covariances, composed.
#include "oneflow_like/ops/move/copy.h"
#include "oneflow_like/ops/nn/rows.h"
#include "oneflow_like/ops/reduce/reduction.h"

namespace ofl::ops {
namespace {

using Span = std::span<const op::Value>;

// --- diff ---------------------------------------------------------------------------------------

constexpr int64_t kMaxTimes = 4096;  // each is an operator

// The differences of neighbours; of truth values whether they differ.
op::Value Differences(op::Builder& b, const op::Value& x, int64_t axis) {
  if (x == nullptr) return x;
  const int64_t n = x->meta().shape[static_cast<int>(axis)];
  if (n < 2) return Part(b, x, axis, 0, 0);
  const op::Values sides{Part(b, x, axis, 1, n), Part(b, x, axis, 0, n - 1)};
  return b.Call(x->meta().dtype == DType::kBool ? "ne" : "sub", sides);
}

op::Values ComposeDiff(op::Builder& b, Span in, const Attrs& attrs) {
  const Shape& shape = in[0]->meta().shape;
  const int64_t times = attrs.Get<int64_t>("n");
  Status wrong;
  if (shape.rank() == 0)
    wrong = Error(Code::kInvalidArgument)
            << "diff expects input to be at least one-dimensional: got a 0-d tensor; expected axes";
  const auto axis = NormalizeAxis(attrs.Get<int64_t>("dim"), std::max(shape.rank(), 1));
  if (wrong.ok() && !axis.ok()) wrong = axis.status();
  if (wrong.ok() && times < 0)
    wrong = Error(Code::kInvalidArgument)
            << "order must be non-negative: got n=" << times << "; expected n >= 0";
  if (!wrong.ok()) return Refused(b, wrong);
  op::Value x = in[0];
  if (times == 0) return {x};
  if (in.size() > 1) {
    const Ints& arity = attrs.Get<Ints>(op::kArity);
    op::Values parts;
    if (arity[1] > 0) parts.push_back(in[1]);
    parts.push_back(x);
    if (arity[2] > 0) parts.push_back(in.back());
    x = b.Call("concat", std::move(parts), {{"dim", int64_t{*axis}}});
  }
  if (x == nullptr) return {x};
  const int64_t size = x->meta().shape[*axis];
  if (times >= size) return {Part(b, x, *axis, 0, 0)};
  if (times > kMaxTimes) {
    return Refused(b, Error(Code::kInvalidArgument) << "differences of too high an order: got n="
                                                    << times << "; expected at most " << kMaxTimes);
  }
  for (int64_t i = 0; i < times; ++i) x = Differences(b, x, *axis);
  return {x};
}

// --- trapezoid ----------------------------------------------------------------------------------

// What torch divides by two after it has added up: sums of sides times widths, of integers in their
// own dtype, where they wrap.
op::Values Areas(op::Builder& b, Span in, const Attrs& attrs, int* axis_of) {
  op::Value y = in[0];
  const int rank = y->meta().shape.rank();
  const auto axis = NormalizeAxis(attrs.Get<int64_t>("dim"), rank);
  if (!axis.ok()) return Refused(b, axis.status());
  if (rank == 0)
    return Refused(b, Error(Code::kInvalidArgument)
                          << "nothing to add up: got a 0-d tensor; expected at least one axis");
  if (y->meta().dtype == DType::kBool || (in.size() > 1 && in[1]->meta().dtype == DType::kBool))
    return Refused(b, Error(Code::kTypeMismatch)
                          << "bool is no number to add up: got y: " << y->meta().ToString()
                          << "; expected numbers; use y.to(flow.float32)");
  *axis_of = *axis;
  const int64_t n = y->meta().shape[*axis];
  op::Value widths;
  if (in.size() > 1) {
    op::Value x = in[1];
    const Shape& given = x->meta().shape;
    int64_t along = *axis;
    if (given.rank() == 1) {
      if (given[0] != n)
        return Refused(b,
                       Error(Code::kInvalidArgument)
                           << "There must be one `x` value for each sample point: got x: " << given
                           << " for y: " << y->meta().shape << "; expected (" << n << ",)");
      Ints shape(static_cast<size_t>(rank), 1);
      shape[static_cast<size_t>(*axis)] = n;
      x = b.Call("reshape", {x}, {{"shape", shape}});
    } else {
      along = *axis - rank + given.rank();
      if (along < 0 || given[static_cast<int>(along)] != n)
        return Refused(b, Error(Code::kInvalidArgument)
                              << "x does not fit y: got x: " << given
                              << " for y: " << y->meta().shape << "; expected its size along dim");
    }
    widths = Differences(b, x, along);
  }
  if (n < 2) {
    op::Value none = Part(b, y, *axis, 0, 0);
    return {none};
  }
  const op::Value sides = b.Call("add", {Part(b, y, *axis, 1, n), Part(b, y, *axis, 0, n - 1)});
  return {widths != nullptr ? b.Call("mul", {sides, widths}) : sides};
}

op::Value Halved(op::Builder& b, op::Value sums, Span in, const Attrs& attrs) {
  if (sums == nullptr) return sums;
  if (!IsDifferentiable(sums->meta().dtype)) sums = CastTo(b, sums, DType::kFloat32);
  const Scalar dx = in.size() > 1 ? Scalar(1.0) : attrs.Number("dx");
  if (dx.category() == DTypeCategory::kComplex)
    return MulScalar(b, sums, dx.As<std::complex<double>>() * 0.5);
  return MulScalar(b, sums, dx.As<double>() * 0.5);
}

op::Values ComposeTrapezoid(op::Builder& b, Span in, const Attrs& attrs) {
  int axis = 0;
  const op::Values areas = Areas(b, in, attrs, &axis);
  if (areas[0] == nullptr) return areas;
  return {Halved(b, b.Call("sum", {areas[0]}, {{"dim", Ints{axis}}}), in, attrs)};
}

op::Values ComposeCumulativeTrapezoid(op::Builder& b, Span in, const Attrs& attrs) {
  int axis = 0;
  const op::Values areas = Areas(b, in, attrs, &axis);
  if (areas[0] == nullptr) return areas;
  return {Halved(b, b.Call("cumsum", {areas[0]}, {{"dim", int64_t{axis}}}), in, attrs)};
}

op::OpDefBuilder& Integral(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc)
      .In("y")
      .InOptional("x")
      .Out("output")
      .Attr("dx", op::AttrType::kScalar, int64_t{1})
      .Attr("dim", op::AttrType::kInt, int64_t{-1})
      .Samples([] {
        std::vector<op::Sample> samples;
        constexpr DType kF = DType::kFloat32;
        for (DType d : {kF, DType::kFloat64, DType::kInt64, DType::kComplex64})
          samples.push_back({{{d, {4, 3}}}, {}, -4, 4, ""});
        samples.push_back({{{kF, {4, 3}}}, {{"dim", int64_t{0}}, {"dx", 0.5}}});
        samples.push_back({{{kF, {4, 3}}, {kF, {4, 3}}}, {{"dim", int64_t{0}}}});
        samples.push_back({{{kF, {2, 4, 3}}, {kF, {4}}}, {{"dim", int64_t{1}}}});
        samples.push_back({{{kF, {4, 1}}}, {}});
        samples.push_back({{{DType::kUInt8, {2, 4}}, {DType::kUInt8, {2, 4}}}, {}, 0, 250, ""});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {2}}},
                      {},
                      Code::kInvalidArgument,
                      "one `x` value for each sample point"}});
}

// --- covariances --------------------------------------------------------------------------------

// Weights of observations; null where there are none.
struct Weights {
  const op::Value* frequencies = nullptr;
  const op::Value* reliabilities = nullptr;

  static Weights Of(Span in, const Attrs& attrs) {
    if (in.size() == 1 || !attrs.Has(op::kArity)) return {};
    const Ints& arity = attrs.Get<Ints>(op::kArity);
    return {arity[1] > 0 ? &in[1] : nullptr, arity[2] > 0 ? &in.back() : nullptr};
  }
};

class Covariance {
 public:
  Covariance(op::Builder& b, Span in, const Attrs& attrs) : b_(b) {
    const Weights given = Weights::Of(in, attrs);
    if (IsDifferentiable(in[0]->meta().dtype)) dtype_ = in[0]->meta().dtype;
    if (given.reliabilities != nullptr)
      dtype_ = PromoteTypes(dtype_, (*given.reliabilities)->meta().dtype).value();
    const DType wide = StatisticOf(dtype_), real = RealOf(wide);
    x_ = CastTo(b, in[0], wide);
    const Shape& shape = in[0]->meta().shape;
    if (x_ != nullptr && shape.rank() < 2)
      x_ = b.Call("reshape", {x_}, {{"shape", Ints{1, shape.numel()}}});
    if (const AttrValue* times = attrs.Find("correction")) correction_ = std::get<int64_t>(*times);
    if (given.frequencies != nullptr) weights_ = CastTo(b, *given.frequencies, real);
    if (given.reliabilities == nullptr) return;
    reliable_ = CastTo(b, *given.reliabilities, real);
    weights_ = weights_ == nullptr ? reliable_ : Mul(b, weights_, reliable_);
  }

  // The rows without their (weighted) mean, and what squares are divided by.
  op::Value Centred() {
    if (x_ == nullptr) return x_;
    const Attrs over = {{"dim", Ints{1}}, {"keepdim", true}};
    if (weights_ == nullptr) return b_.Call("sub", {x_, b_.Call("mean", {x_}, over)});
    total_ = b_.Call("sum", {weights_});
    const op::Value sum = b_.Call("sum", {Mul(b_, x_, weights_)}, over);
    return b_.Call("sub", {x_, b_.Call("div", {sum, total_})});
  }
  op::Value Divided(const op::Value& products) {
    if (products == nullptr) return products;
    if (weights_ == nullptr) {
      const double n = static_cast<double>(x_->meta().shape[1]) - static_cast<double>(correction_);
      return b_.Call("div_scalar", {products}, {{"scalar", std::max(n, 0.0)}});
    }
    op::Value divisor = AddScalar(b_, total_, -static_cast<double>(correction_));
    if (reliable_ != nullptr && correction_ != 0) {
      const op::Value squares = b_.Call("sum", {Mul(b_, weights_, reliable_)});
      const op::Value off =
          MulScalar(b_, b_.Call("div", {squares, total_}), static_cast<double>(correction_));
      divisor = b_.Call("sub", {total_, off});
    }
    return b_.Call("div", {products, b_.Call("clamp", {divisor}, {{"min", Scalar(0.0)}})});
  }
  op::Values Of() {
    const op::Value centred = Centred();
    if (centred == nullptr) return {centred};
    const op::Value weighted = weights_ == nullptr ? centred : Mul(b_, centred, weights_);
    return Stored(
        Divided(b_.Call("matmul", {centred, Conj(b_, weighted)}, {{"transpose_b", true}})));
  }
  // In the dtype of the result; of one row a number.
  op::Values Stored(const op::Value& y) {
    if (y == nullptr) return {y};
    const op::Value stored = CastTo(b_, y, dtype_);
    if (stored == nullptr || stored->meta().shape.numel() != 1) return {stored};
    return {b_.Call("reshape", {stored}, {{"shape", Ints{}}})};
  }

 private:
  op::Builder& b_;
  op::Value x_, weights_, reliable_, total_;
  DType dtype_ = DType::kFloat32;  // of the result: that of numbers and weights together
  int64_t correction_ = 1;
};

Status CheckWeights(const op::Value& weights, bool frequencies) {
  const TensorMeta& meta = weights->meta();
  const bool fits = frequencies ? IsInteger(meta.dtype) : IsFloating(meta.dtype);
  OFL_ENSURE(fits, Code::kTypeMismatch)
      << (frequencies ? "fweights are no counts" : "aweights are no weights") << ": got "
      << meta.ToString() << "; expected " << (frequencies ? "an integer" : "a floating")
      << " dtype";
  return Status::Ok();
}

Status CheckCovariance(Span in, const Attrs& attrs) {
  const Shape& x = in[0]->meta().shape;
  OFL_ENSURE(x.rank() <= 2, Code::kInvalidArgument)
      << "expected input to have two or fewer dimensions: got " << x << "; expected rows of "
      << "observations";
  OFL_ENSURE(in[0]->meta().dtype != DType::kBool, Code::kTypeMismatch)
      << "bool dtype is not supported for input: got " << in[0]->meta().ToString()
      << "; expected numbers";
  const int64_t n = x.rank() == 0 ? 1 : x[x.rank() - 1];
  for (size_t i = 1; i < in.size(); ++i) {
    OFL_ENSURE(in[i]->meta().shape == (Shape{n}), Code::kInvalidArgument)
        << "weights must have one number for each observation: got " << in[i]->meta().ToString()
        << "; expected (" << n << ",)";
  }
  const Weights weights = Weights::Of(in, attrs);
  if (weights.frequencies != nullptr) OFL_TRY(CheckWeights(*weights.frequencies, true));
  if (weights.reliabilities != nullptr) OFL_TRY(CheckWeights(*weights.reliabilities, false));
  return Status::Ok();
}

op::Values ComposeCov(op::Builder& b, Span in, const Attrs& attrs) {
  if (Status wrong = CheckCovariance(in, attrs); !wrong.ok()) return Refused(b, wrong);
  return Covariance(b, in, attrs).Of();
}

op::Values ComposeCorrcoef(op::Builder& b, Span in, const Attrs& attrs) {
  if (Status wrong = CheckCovariance(in, attrs); !wrong.ok()) return Refused(b, wrong);
  Covariance covariance(b, in, attrs);
  const op::Value x = covariance.Centred();
  if (x == nullptr) return {nullptr};
  const op::Value products =
      covariance.Divided(b.Call("matmul", {x, Conj(b, x)}, {{"transpose_b", true}}));
  const op::Value squares =
      b.Call("power_sum", {x}, {{"power", int64_t{2}}, {"dim", Ints{1}}, {"keepdim", true}});
  const op::Value spread = b.Call("sqrt", {covariance.Divided(squares)});
  if (spread == nullptr || products == nullptr) return {nullptr};
  const int64_t rows = products->meta().shape[0];
  if (rows == 1) return covariance.Stored(b.Call("div", {products, products}));
  op::Value y = b.Call("div", {products, spread});
  y = b.Call("div", {y, b.Call("reshape", {spread}, {{"shape", Ints{1, rows}}})});
  if (!IsComplex(in[0]->meta().dtype))
    y = b.Call("clamp", {y}, {{"min", Scalar(-1.0)}, {"max", Scalar(1.0)}});
  return covariance.Stored(y);
}

std::vector<op::Sample> CovarianceSamples() {
  constexpr DType kF = DType::kFloat32;
  std::vector<op::Sample> samples{{{{kF, {6}}}, {}, -4, 4, ""}};
  for (DType d : {kF, DType::kFloat64, DType::kInt64, DType::kComplex64})
    samples.push_back({{{d, {3, 6}}}, {}, -4, 4, ""});
  return samples;
}

}  // namespace

OFL_OP(diff) {
  op.Doc("The differences of neighbours along `dim`, taken n times; prepend and append first.")
      .In("input")
      .InOptional("prepend")
      .InOptional("append")
      .AnyMissing()
      .Out("output")
      .Attr("n", op::AttrType::kInt, int64_t{1})
      .Attr("dim", op::AttrType::kInt, int64_t{-1})
      .Promote(op::Promotion::kCommon)
      .Compose(ComposeDiff)
      .Oracle("diff(arity, input, prepend, append, n, dim)")
      .PyBoth("diff(input, n=1, dim=-1, prepend=None, append=None)")
      .Samples([] {
        std::vector<op::Sample> samples;
        const Attrs alone = {{"arity", Ints{1, 0, 0}}};
        const auto with = [&](Attrs more, Ints arity) {
          more.Set("arity", std::move(arity));
          return more;
        };
        constexpr DType kF = DType::kFloat32;
        for (DType d : ListOf(kNumbers | kBools))
          samples.push_back({{{d, {4, 3}}}, alone, 0, 4, ""});
        samples.push_back(
            {{{kF, {4, 3}}}, with({{"n", int64_t{2}}, {"dim", int64_t{0}}}, {1, 0, 0})});
        samples.push_back({{{kF, {4, 3}}, {kF, {4, 1}}}, with({}, {1, 1, 0})});
        samples.push_back({{{kF, {4, 3}}, {kF, {4, 2}}}, with({}, {1, 0, 1})});
        samples.push_back(
            {{{kF, {4, 3}}, {kF, {1, 3}}, {kF, {2, 3}}}, with({{"dim", int64_t{0}}}, {1, 1, 1})});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {}}},
                      {{"arity", Ints{1, 0, 0}}},
                      Code::kInvalidArgument,
                      "at least one-dimensional"},
                     {{{DType::kFloat32, {3}}},
                      {{"arity", Ints{1, 0, 0}}, {"n", int64_t{-1}}},
                      Code::kInvalidArgument,
                      "got n=-1"}});
}

OFL_OP(trapezoid) {
  Integral(op,
           "The integral of y along `dim` by the trapezoidal rule, at places x or in steps of dx.")
      .Compose(ComposeTrapezoid)
      .Oracle("trapezoid(y, x, dx, dim)")
      .Py("trapezoid(y, x=None, *, dim=-1)")
      .Py("trapezoid(y, *, dx=1, dim=-1)")
      .Py("trapz(y, x=None, *, dim=-1)")
      .Py("trapz(y, *, dx=1, dim=-1)")
      .Public();
}

OFL_OP(cumulative_trapezoid) {
  Integral(op, "The integrals of y along `dim` up to each place but the first; see trapezoid.")
      .Compose(ComposeCumulativeTrapezoid)
      .Oracle("cumulative_trapezoid(y, x, dx, dim)")
      .Py("cumulative_trapezoid(y, x=None, *, dim=-1)")
      .Py("cumulative_trapezoid(y, *, dx=1, dim=-1)")
      .Public();
}

OFL_OP(cov) {
  op.Doc(
        "The covariances of the rows of input, whose columns are observations: counted `fweights`\n"
        "times, weighted by `aweights`.")
      .In("input")
      .InOptional("fweights")
      .InOptional("aweights")
      .AnyMissing()
      .Out("output")
      .Attr("correction", op::AttrType::kInt, int64_t{1})
      .Compose(ComposeCov)
      .Oracle("cov(arity, input, fweights, aweights, correction)")
      .PyBoth("cov(input, *, correction=1, fweights=None, aweights=None)")
      .Samples([] {
        auto samples = CovarianceSamples();
        for (op::Sample& s : samples) s.attrs.Set("arity", Ints{1, 0, 0});
        constexpr DType kF = DType::kFloat32, kI = DType::kInt64;
        const auto add = [&](std::vector<TensorMeta> inputs, Ints arity, int64_t correction) {
          op::Sample s{std::move(inputs),
                       {{"arity", std::move(arity)}, {"correction", correction}},
                       1,
                       4,
                       ""};
          samples.push_back(std::move(s));
        };
        add({{kF, {3, 6}}}, {1, 0, 0}, 0);
        add({{kF, {3, 6}}, {kI, {6}}}, {1, 1, 0}, 1);
        add({{kF, {3, 6}}, {kF, {6}}}, {1, 0, 1}, 1);
        add({{kF, {3, 6}}, {kI, {6}}, {kF, {6}}}, {1, 1, 1}, 1);
        add({{DType::kBFloat16, {3, 6}}, {kF, {6}}}, {1, 0, 1}, 1);
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3, 4}}},
                      {{"arity", Ints{1, 0, 0}}},
                      Code::kInvalidArgument,
                      "two or fewer dimensions"},
                     {{{DType::kFloat32, {3, 4}}, {DType::kFloat32, {4}}},
                      {{"arity", Ints{1, 1, 0}}},
                      Code::kTypeMismatch,
                      "no counts"}});
}

OFL_OP(corrcoef) {
  op.Doc("The correlation coefficients of the rows of input, whose columns are observations.")
      .In("input")
      .Out("output")
      .Compose(ComposeCorrcoef)
      .Oracle("np.asarray(np.corrcoef(input))")
      .PyBoth("corrcoef(input)")
      .Samples(CovarianceSamples)
      .ErrorSamples({{{{DType::kFloat32, {2, 3, 4}}},
                      {},
                      Code::kInvalidArgument,
                      "two or fewer dimensions"}});
}

}  // namespace ofl::ops
