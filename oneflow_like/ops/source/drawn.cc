// Draws whose parameters are tensors: bernoulli, poisson, binomial, normal.
#include <algorithm>
#include <boost/random/binomial_distribution.hpp>
#include <boost/random/poisson_distribution.hpp>
#include <cmath>

#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/source/sources.h"

namespace ofl::ops {
namespace {

// Above it neighbouring counts are further apart than 1 in a double.
constexpr double kMostCount = 0x1.0p52;

// A number of an element's parameters and its draws.
using Distribution = double (*)(double a, double b, OwnDraws& draws);

double Bernoulli(double p, double, OwnDraws& draws) { return draws.Closed() < p ? 1 : 0; }
double Exponential(double, double, OwnDraws& draws) { return -std::log(draws.Open()); }
double Normal(double mean, double deviation, OwnDraws& draws) {
  return mean + deviation * draws.Normal();
}
// Small rates by inversion (Boost's may not end), others by Boost's transformed rejection.
double Poisson(double rate, double, OwnDraws& draws) {
  if (rate > kMostCount) return rate + std::sqrt(rate) * draws.Normal();
  if (rate < 10) {
    double count = 0, chance = std::exp(-rate), left = draws.Closed();
    while (left > chance && chance > 0) {
      left -= chance;
      count += 1;
      chance *= rate / count;
    }
    return count;
  }
  return static_cast<double>(boost::random::poisson_distribution<int64_t, double>(rate)(draws));
}
double Binomial(double count, double p, OwnDraws& draws) {
  if (std::isnan(count) || std::isnan(p)) return std::numeric_limits<double>::quiet_NaN();
  if (count <= 0 || p <= 0) return 0;
  if (p >= 1) return count;
  count = std::floor(count);
  if (count > kMostCount) {
    const double drawn = count * p + std::sqrt(count * p * (1 - p)) * draws.Normal();
    return std::clamp(std::round(drawn), 0.0, count);
  }
  return static_cast<double>(
      boost::random::binomial_distribution<int64_t, double>(static_cast<int64_t>(count), p)(draws));
}

// Whether parameters are ones; what else to say.
using Accepts = bool (*)(double a, double b);
bool Any(double, double) { return true; }
bool Probability(double p, double) { return p >= 0 && p <= 1; }
bool NotNegative(double rate, double) { return rate >= 0; }
bool DeviationNotNegative(double, double deviation) { return !(deviation < 0); }

template <class T>
bool Draw(op::KernelContext& c, Distribution distribution, Accepts accepts, bool reads) {
  const size_t operands = c.inputs.size();
  const T* first = c.inputs[0].as<T>();
  const T* second = operands > 1 ? c.inputs[1].as<T>() : nullptr;
  T* out = c.outputs[0].as<T>();
  const auto a = [&](int64_t i) { return reads ? Stored<T>::Read(first[i]) : 0; };
  const auto b = [&](int64_t i) { return second != nullptr ? Stored<T>::Read(second[i]) : 0; };
  for (int64_t i = 0; i < c.outputs[0].numel(); ++i)
    if (!accepts(a(i), b(i))) return false;
  ForEachOwnDraws(c, [&](int64_t i, OwnDraws& draws) {
    out[i] = Stored<T>::From(distribution(a(i), b(i), draws));
  });
  return true;
}

template <Distribution kDistribution, Accepts kAccepts, const char* const& kExpected, bool kReads>
Status RunDrawn(op::KernelContext& c) {
  const auto draw = [&]<class T>() { return Draw<T>(c, kDistribution, kAccepts, kReads); };
  bool accepted = true;
  switch (c.outputs[0].meta.dtype) {
    case DType::kFloat64: accepted = draw.template operator()<double>(); break;
    case DType::kFloat16: accepted = draw.template operator()<Float16>(); break;
    case DType::kBFloat16: accepted = draw.template operator()<BFloat16>(); break;
    default: accepted = draw.template operator()<float>();
  }
  OFL_ENSURE(accepted, Code::kInvalidArgument)
      << "a parameter is out of range; expected " << kExpected;
  return Status::Ok();
}

Status InferDrawn(op::InferContext& c) {
  for (int i = 0; i < c.num_inputs(); ++i) {
    OFL_TRY(RequireIn(c, i, kFloats));
    OFL_TRY(RequireSameDType(c, 0, i, "the parameters"));
    OFL_ENSURE(c.input(i).shape == c.input(0).shape, Code::kInvalidArgument)
        << "the parameters have different shapes; expected one shape";
  }
  c.AddOutput(c.input(0));
  return Status::Ok();
}

// As in torch: what is drawn has a gradient, which is zero.
void GradDrawn(op::GradContext& c) {
  if (!c.grads[0]) return;
  for (size_t i = 0; i < c.inputs.size(); ++i)
    if (c.Needs(static_cast<int>(i))) c.Set(static_cast<int>(i), ZerosLike(c.b, c.grads[0]));
}

std::vector<op::Sample> DrawnSamples(int operands, double low, double high) {
  std::vector<op::Sample> samples;
  const auto add = [&](Shape shape, DType dtype) {
    op::Sample sample{std::vector<TensorMeta>(static_cast<size_t>(operands), {dtype, shape}),
                      Drawn()};
    sample.low = low, sample.high = high;
    samples.push_back(sample);
  };
  for (const Shape& shape : {Shape{5, 3}, Shape{7}, Shape{2, 1, 2}, Shape{0, 4}, Shape{}})
    add(shape, DType::kFloat32);
  for (DType dtype : ListOf(kFloats)) add({4, 3}, dtype);
  return samples;
}

constexpr const char* kAnything = "any number";
constexpr const char* kProbabilities = "probabilities between 0 and 1";
constexpr const char* kRates = "rates of at least 0";
constexpr const char* kDeviations = "every element of std to be at least 0";

template <Distribution kDistribution, Accepts kAccepts, const char* const& kExpected,
          bool kReads = true>
op::OpDefBuilder& Describe(op::OpDefBuilder& op, const char* doc) {
  for (DType dtype : ListOf(kFloats))
    op.Cpu(dtype, RunDrawn<kDistribution, kAccepts, kExpected, kReads>);
  return op.Doc(doc).Out("output").Generator("generator").Infer(InferDrawn).Sbp(BesideRule);
}

const op::ErrorSample kWholeOperand = {{{DType::kInt64, {2}}}, {}, Code::kTypeMismatch, "expected"};

// --- composites ---------------------------------------------------------------------------------

// Both parameters in one shape and dtype.
op::Values Aligned(op::Builder& b, const op::Value& first, const op::Value& second, DType dtype) {
  if (first == nullptr || second == nullptr) return {nullptr, nullptr};
  const op::Values both = b.CallAll("broadcast_tensors", {first, second});
  if (both.size() != 2 || both[0] == nullptr) return {nullptr, nullptr};
  return {CastTo(b, both[0], dtype), CastTo(b, both[1], dtype)};
}

op::Values ComposeNormal(op::Builder& b, std::span<const op::Value> in, const Attrs&) {
  return {b.Call("normal_drawn", Aligned(b, in[0], in[1], in[0]->meta().dtype))};
}

op::Values ComposeNormalAround(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const double deviation = attrs.Get<double>("std");
  if (!(deviation >= 0)) {
    b.Fail(Error(Code::kInvalidArgument)
           << "[normal] std is negative: got " << deviation << "; expected at least 0");
    return {nullptr};
  }
  const op::Value second = b.Call("full_like", {in[0]}, {{"value", Scalar(deviation)}});
  return {b.Call("normal_drawn", {in[0], second})};
}

op::Values ComposeNormalOf(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const op::Value first =
      b.Call("full_like", {in[0]}, {{"value", Scalar(attrs.Get<double>("mean"))}});
  return {b.Call("normal_drawn", {first, in[0]})};
}

op::Values ComposeBinomial(op::Builder& b, std::span<const op::Value> in, const Attrs&) {
  const DType dtype = in[0]->meta().dtype;
  if (in[1]->meta().dtype != dtype) {
    b.Fail(Error(Code::kTypeMismatch)
           << "[binomial] count and prob have different dtypes: got " << DTypeName(dtype) << " and "
           << DTypeName(in[1]->meta().dtype) << "; expected one; convert one with .to(dtype)");
    return {nullptr};
  }
  return {b.Call("binomial_drawn", Aligned(b, in[0], in[1], dtype))};
}

// Into a tensor of any dtype, whose values are not read.
op::Values ComposeBernoulliInto(op::Builder& b, std::span<const op::Value> in, const Attrs&) {
  const TensorMeta& into = in[0]->meta();
  const op::Value p = b.Call("broadcast_to", {in[1]}, {{"shape", DimsOf(into.shape)}});
  const op::Value drawn = b.Call("bernoulli", {p});
  return {drawn == nullptr ? drawn : CastTo(b, drawn, into.dtype)};
}

op::Values ComposeBernoulliLike(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const double p = attrs.Get<double>("p");
  if (!(p >= 0 && p <= 1)) {
    b.Fail(Error(Code::kInvalidArgument)
           << "[bernoulli] got p=" << p << "; expected a probability between 0 and 1");
    return {nullptr};
  }
  const DType dtype = in[0]->meta().dtype;
  const op::Value shaped = Contains(kFloats, dtype) ? in[0] : CastTo(b, in[0], DType::kFloat32);
  const op::Value drawn =
      b.Call("bernoulli", {b.Call("full_like", {shaped}, {{"value", Scalar(p)}})});
  return {drawn == nullptr ? drawn : CastTo(b, drawn, dtype)};
}

}  // namespace

OFL_OP(bernoulli) {
  Describe<Bernoulli, Probability, kProbabilities>(op, "1 with the probability that input says.")
      .In("input")
      .Grad(GradDrawn)
      .Traits({op::Trait::kInexactGrad})
      .Oracle("(random_open(input.shape, draw) - 2.0 ** -54 < input).astype(np.float64)")
      .PyBoth("bernoulli(input, *, generator=None)")
      .Public()
      .Samples([] { return DrawnSamples(1, 0, 1); })
      .ErrorSamples({kWholeOperand});
}

OFL_OP(bernoulli_into) {
  op.Doc("1 with the probability that `p` says, in the shape and dtype of input.")
      .In("input")
      .In("p")
      .Out("output")
      .Generator("generator")
      .Compose(ComposeBernoulliInto)
      .Traits({op::Trait::kInexactGrad})
      .Oracle("np.broadcast_to(p, input.shape)")
      .PyMethod("bernoulli_(input, p, *, generator=None)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType dtype : ListOf(kFloats)) {
          samples.push_back({{{dtype, {2, 3}}, {DType::kFloat32, {3}}}, {}, 0, 0});
          samples.push_back({{{dtype, {2}}, {dtype, {}}}, {}, 1, 1});
        }
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}, {DType::kFloat32, {3}}},
                      {},
                      Code::kInvalidArgument,
                      "expected"}});
}

OFL_OP(bernoulli_like) {
  op.Doc("1 with probability p, in the shape and dtype of input.")
      .In("input")
      .Out("output")
      .Attr("p", op::AttrType::kFloat)
      .Generator("generator")
      .Compose(ComposeBernoulliLike)
      .Traits({op::Trait::kInexactGrad})
      .Oracle("np.full(input.shape, p)")  // of the samples
      .PyBoth("bernoulli(input, p, *, generator=None)")
      .Public()
      .Samples([] {
        std::vector<op::Sample> samples =
            UnarySamples(ListOf(kReals | kBools), -2, 2, {{"p", 1.0}});
        samples.push_back({{{DType::kFloat32, {3}}}, {{"p", 0.0}}});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"p", 1.5}},
                      Code::kInvalidArgument,
                      "expected a probability"}});
}

OFL_OP(poisson) {
  Describe<Poisson, NotNegative, kRates>(op, "Counts of the Poisson distribution of these rates.")
      .In("input")
      .Grad(GradDrawn)
      .Traits({op::Trait::kInexactGrad})
      .Oracle("random_poisson(input, draw)")
      .Py("poisson(input, generator=None)")
      .Public()
      .Samples([] { return DrawnSamples(1, 0, 6); })
      .ErrorSamples({kWholeOperand});
}

OFL_OP(binomial_drawn) {
  Describe<Binomial, Any, kAnything>(
      op, "How many of `count` trials succeed, each with probability `prob`; one shape.")
      .In("count")
      .In("prob")
      .Grad(GradDrawn)
      .Traits({op::Trait::kInexactGrad})
      .Oracle("random_binomial(count, prob, draw)")
      .Py("_binomial_drawn(count, prob)")
      .Samples([] { return DrawnSamples(2, -0.2, 1.2); })
      .ErrorSamples({{{{DType::kFloat32, {2}}, {DType::kFloat32, {3}}},
                      {},
                      Code::kInvalidArgument,
                      "expected one shape"}});
}

OFL_OP(binomial) {
  op.Doc("How many of `count` trials succeed, each with probability `prob`.")
      .In("count")
      .In("prob")
      .Out("output")
      .Generator("generator")
      .Compose(ComposeBinomial)
      .Traits({op::Trait::kInexactGrad})
      .Oracle("np.floor(count) * (prob > 0)")
      .Py("binomial(count, prob, generator=None)")
      .Public()
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType dtype : ListOf(kFloats))
          samples.push_back({{{dtype, {2, 3}}, {dtype, {3}}}, {}, 0, 1});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}, {DType::kFloat64, {2}}},
                      {},
                      Code::kTypeMismatch,
                      "different dtypes"}});
}

OFL_OP(normal_drawn) {
  Describe<Normal, DeviationNotNegative, kDeviations>(
      op, "Normal values around `mean` with the deviations `std`; one shape.")
      .In("mean")
      .In("std")
      .Grad(GradDrawn)
      .Traits({op::Trait::kInexactGrad})
      .Oracle("mean + std * random_own_normal(mean.shape, draw)")
      .Py("_normal_drawn(mean, std)")
      .Samples([] { return DrawnSamples(2, 0, 2); })
      .ErrorSamples({{{{DType::kFloat32, {2}}, {DType::kFloat32, {3}}},
                      {},
                      Code::kInvalidArgument,
                      "expected one shape"}});
}

OFL_OP(normal) {
  op.Doc("Normal values around `mean` with the deviations `std`, in mean's dtype.")
      .In("mean")
      .In("std")
      .Out("output")
      .Generator("generator")
      .Compose(ComposeNormal)
      .Traits({op::Trait::kInexactGrad})
      .Oracle("mean + std")
      .Py("normal(mean, std, *, generator=None)")
      .Public()
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType dtype : ListOf(kFloats))
          samples.push_back({{{dtype, {2, 3}}, {DType::kFloat32, {3}}}, {}, 0, 0});
        return samples;
      });
}

OFL_OP(normal_around) {
  op.Doc("Normal values around `mean` with the deviation `std`.")
      .In("mean")
      .Out("output")
      .Attr("std", op::AttrType::kFloat, 1.0)
      .Generator("generator")
      .Compose(ComposeNormalAround)
      .Traits({op::Trait::kInexactGrad})
      .Oracle("mean")
      .Py("normal(mean, std=1.0, *, generator=None)")
      .Public()
      .Samples([] { return UnarySamples(ListOf(kFloats), -2, 2, {{"std", 0.0}}); })
      .ErrorSamples(
          {{{{DType::kFloat32, {2}}}, {{"std", -1.0}}, Code::kInvalidArgument, "std is negative"}});
}

OFL_OP(normal_of_deviations) {
  op.Doc("Normal values around `mean` with the deviations `std`.")
      .In("std")
      .Out("output")
      .Attr("mean", op::AttrType::kFloat)
      .Generator("generator")
      .Compose(ComposeNormalOf)
      .Traits({op::Trait::kInexactGrad})
      .Oracle("np.full(std.shape, mean)")
      .Py("normal(mean, std, *, generator=None)")
      .Public()
      .Samples([] {
        std::vector<op::Sample> samples = UnarySamples(ListOf(kFloats), 0, 0, {{"mean", 1.5}});
        return samples;
      });
}

OFL_OP(exponential_beside) {
  Describe<Exponential, Any, kAnything, false>(
      op, "Values with the density exp(-x), as many as input has, whose own are not read.")
      .In("input")
      .NotDifferentiable("what is drawn does not depend on the operand")
      .Traits({op::Trait::kIgnoresValues})
      .Oracle("-np.log(random_open(input.shape, draw))")
      .Py("_exponential_beside(input)")
      .Samples([] { return DrawnSamples(1, -1, 1); })
      .ErrorSamples({kWholeOperand});
}

}  // namespace ofl::ops
