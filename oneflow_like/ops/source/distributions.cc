// Further distributions that tensors are filled from: exponential, Cauchy, log-normal, geometric,
// whole numbers of a dtype, permutations.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/source/sources.h"

namespace ofl::ops {
namespace {

// A number of two parameters and the element's draws.
using Distribution = double (*)(double a, double b, OwnDraws& draws);

double Exponential(double rate, double, OwnDraws& draws) { return -std::log(draws.Open()) / rate; }
double Cauchy(double median, double sigma, OwnDraws& draws) {
  return median + sigma * std::tan(std::numbers::pi * (draws.Open() - 0.5));
}
double LogNormal(double mean, double deviation, OwnDraws& draws) {
  return std::exp(mean + deviation * draws.Normal());
}
double Geometric(double p, double, OwnDraws& draws) {
  return std::ceil(std::log(draws.Open()) / std::log1p(-p));
}

struct Parameters {
  const char* first;
  const char* second;  // empty: none
};

template <class T>
void FillFrom(op::KernelContext& c, Distribution distribution, double a, double b) {
  T* out = c.outputs[0].as<T>();
  // The last number that a double holds too.
  double most = std::numeric_limits<double>::infinity();
  if constexpr (std::is_integral_v<T>)
    most = std::min(static_cast<double>(std::numeric_limits<T>::max()), 0x1.fffffffffffffp62);
  ForEachOwnDraws(c, [&](int64_t i, OwnDraws& draws) {
    out[i] = Stored<T>::From(std::min(distribution(a, b, draws), most));
  });
}

template <Distribution kDistribution, const Parameters& kNames>
Status RunDistribution(op::KernelContext& c) {
  const double a = c.attr<double>(kNames.first);
  const double* b = c.attrs->Has(kNames.second) ? c.maybe<double>(kNames.second) : nullptr;
  const auto fill = [&]<class T>() {
    FillFrom<T>(c, kDistribution, a, b == nullptr ? 0 : *b);
    return Status::Ok();
  };
  switch (c.outputs[0].meta.dtype) {
    case DType::kFloat32: return fill.template operator()<float>();
    case DType::kFloat64: return fill.template operator()<double>();
    case DType::kFloat16: return fill.template operator()<Float16>();
    case DType::kBFloat16: return fill.template operator()<BFloat16>();
    case DType::kInt64: return fill.template operator()<int64_t>();
    case DType::kInt32: return fill.template operator()<int32_t>();
    case DType::kInt16: return fill.template operator()<int16_t>();
    case DType::kInt8: return fill.template operator()<int8_t>();
    case DType::kUInt8: return fill.template operator()<uint8_t>();
    case DType::kBool:
    case DType::kComplex64:
    case DType::kComplex128:
    case DType::kFloat8E4M3:
    case DType::kFloat8E5M2: break;  // no kernel is registered for these
  }
  return Status::Ok();
}

constexpr Parameters kRate = {"lambd", ""}, kPlace = {"median", "sigma"},
                     kMoments = {"mean", "std"}, kChance = {"p", ""};

template <Distribution kDistribution, const Parameters& kNames>
op::OpDefBuilder& Define(op::OpDefBuilder& op, const char* doc, DTypeSet set = kFloats) {
  for (DType dtype : ListOf(set)) op.Cpu(dtype, RunDistribution<kDistribution, kNames>);
  return DefineSource(op, DType::kFloat32).Doc(doc);
}

// A parameter that must be positive.
Status InferPositive(op::InferContext& c, const char* name) {
  OFL_ENSURE(c.attr<double>(name) > 0, Code::kInvalidArgument)
      << name << " is not positive: got " << c.attr<double>(name) << "; expected more than 0";
  return InferFloatSource(c);
}

Status InferGeometric(op::InferContext& c) {
  const double p = c.attr<double>("p");
  OFL_ENSURE(p > 0 && p < 1, Code::kInvalidArgument)
      << "p is a probability between 0 and 1: got " << p << "; expected 0 < p < 1";
  const DType dtype = c.attr<DType>("dtype");
  OFL_ENSURE(Contains(kReals, dtype), Code::kTypeMismatch)
      << "values are counts; expected an integer or floating dtype";
  return InferSource(c);
}

op::ErrorSample Refuses(const char* name, double value, const char* text) {
  return {{}, {{"shape", std::vector<int64_t>{2}}, {name, value}}, Code::kInvalidArgument, text};
}

// --- whole numbers of a dtype -------------------------------------------------------------------

// What torch's random_ draws from: without bounds 0 up to the dtype's last whole number, that one
// included; without an upper bound likewise from `low`.
Status InferRange(op::InferContext& c) {
  const DType dtype = c.attr<DType>("dtype");
  OFL_ENSURE(!IsComplex(dtype) && !IsFloat8(dtype), Code::kTypeMismatch)
      << "values are whole numbers; expected an integer or floating dtype, or bool";
  const auto [least, most] = WholeRange(dtype);
  const int64_t* high = c.maybe<int64_t>("high");
  const int64_t low = c.attr<int64_t>("low"), last = high == nullptr ? most : *high - 1;
  OFL_ENSURE(low <= last, Code::kInvalidArgument) << "the range is empty; expected from < to";
  OFL_ENSURE(IsFloating(dtype) || (low >= least && last <= most), Code::kInvalidArgument)
      << DTypeName(dtype) << " cannot hold the range; expected " << least
      << " <= from and to <= " << most << " + 1";
  return InferSource(c);
}

Status RunRange(op::KernelContext& c) {
  const int64_t* high = c.maybe<int64_t>("high");
  const auto low = static_cast<uint64_t>(c.attr<int64_t>("low"));
  const uint64_t end = high == nullptr
                           ? static_cast<uint64_t>(WholeRange(c.outputs[0].meta.dtype).second) + 1
                           : static_cast<uint64_t>(*high);
  FillIntegers(c, static_cast<int64_t>(low), end - low);
  return Status::Ok();
}

// --- permutations -------------------------------------------------------------------------------

constexpr int64_t kMostPermuted = int64_t{1} << 44;

Status InferPermutation(op::InferContext& c) {
  const int64_t n = c.attr<int64_t>("n");
  const DType dtype = c.attr<DType>("dtype");
  OFL_ENSURE(n >= 0 && n <= kMostPermuted, Code::kInvalidArgument)
      << "n is no number of elements: got " << n << "; expected at least 0, at most 2^44";
  OFL_ENSURE(Contains(kReals, dtype), Code::kTypeMismatch)
      << "values are whole numbers; expected an integer or floating dtype";
  OFL_ENSURE(n - 1 <= WholeRange(dtype).second, Code::kInvalidArgument)
      << DTypeName(dtype) << " cannot hold every number below n: got " << n;
  c.AddOutput({dtype, {n}});
  return Status::Ok();
}

int64_t PermutationBound(std::span<const TensorMeta>, std::span<const TensorMeta>,
                         const Attrs& attrs, int) {
  return attrs.Get<int64_t>("n") * static_cast<int64_t>(sizeof(int64_t));
}

// As many draws of OwnDraws at once: a block has two.
constexpr int64_t kBulkGroups = 2, kBulkBlocks = kBulkGroups * kGroupBlocks;
constexpr int64_t kBulk = 2 * kBulkBlocks;

// Fisher and Yates. Places are known before their turn, and fetched.
template <class T>
void Permute(const op::KernelContext& c, T* order, int64_t n) {
  std::iota(order, order + n, T{0});
  alignas(64) uint32_t words[kBulkGroups * kGroupWords];
  int64_t places[kBulk];
  uint64_t block = 0;
  for (int64_t i = n - 1; i > 0; i -= kBulk, block += kBulkBlocks) {
    PhiloxGroups(c.random.seed, static_cast<uint64_t>(c.random.offset),
                 static_cast<uint64_t>(c.piece) | block << 44, kBulkGroups, words,
                 uint64_t{1} << 44);
    const int64_t count = std::min(kBulk, i);
    for (int64_t k = 0; k < count; ++k) {
      const uint64_t draw = static_cast<uint64_t>(words[2 * k + 1]) << 32 | words[2 * k];
      const auto product = static_cast<unsigned __int128>(draw) * static_cast<uint64_t>(i - k + 1);
      places[k] = static_cast<int64_t>(product >> 64);
      __builtin_prefetch(order + places[k], 1);
    }
    for (int64_t k = 0; k < count; ++k) std::swap(order[i - k], order[places[k]]);
  }
}

template <class T>
Status RunPermutationOf(op::KernelContext& c) {
  const int64_t n = c.attr<int64_t>("n"), first = c.output_offsets[0][0];
  T* order = reinterpret_cast<T*>(c.workspace.data());
  Permute(c, order, n);
  return CastElements(c.stream, {order + first, {DTypeOf<T>::value, c.outputs[0].meta.shape}},
                      c.outputs[0]);
}

// Every rank makes the whole permutation and keeps its part. Half the memory is quicker by far.
Status RunPermutation(op::KernelContext& c) {
  const bool small = c.attr<int64_t>("n") <= std::numeric_limits<int32_t>::max();
  return small ? RunPermutationOf<int32_t>(c) : RunPermutationOf<int64_t>(c);
}

op::Sample Permuted(int64_t n, DType dtype = DType::kInt64) {
  return {{}, Drawn({{"n", n}, {"dtype", dtype}})};
}

}  // namespace

OFL_OP(random_exponential) {
  Define<Exponential, kRate>(op, "Values with the density lambd exp(-lambd x), x > 0.")
      .Attr("lambd", op::AttrType::kFloat, 1.0)
      .Infer([](op::InferContext& c) { return InferPositive(c, "lambd"); })
      .Oracle("-np.log(random_open(shape, draw)) / lambd")
      .PyMethod("exponential_(input, lambd=1.0, *, generator=None)")
      .Samples([] { return SourceSamples({{"lambd", 2.0}}, kHalves); })
      .ErrorSamples({Refuses("lambd", 0.0, "expected more than 0")});
}

OFL_OP(random_cauchy) {
  Define<Cauchy, kPlace>(op, "Values of the Cauchy distribution around `median`.")
      .Attr("median", op::AttrType::kFloat, 0.0)
      .Attr("sigma", op::AttrType::kFloat, 1.0)
      .Infer([](op::InferContext& c) { return InferPositive(c, "sigma"); })
      .Oracle("median + sigma * np.tan(np.pi * (random_open(shape, draw) - 0.5))")
      .PyMethod("cauchy_(input, median=0.0, sigma=1.0, *, generator=None)")
      .Samples([] { return SourceSamples({{"median", 0.5}}, kHalves); })
      .ErrorSamples({Refuses("sigma", 0.0, "expected more than 0")});
}

OFL_OP(random_log_normal) {
  Define<LogNormal, kMoments>(op, "Values whose logarithms are normal, of `mean` and `std`.")
      .Attr("mean", op::AttrType::kFloat, 1.0)
      .Attr("std", op::AttrType::kFloat, 2.0)
      .Infer([](op::InferContext& c) { return InferPositive(c, "std"); })
      .Oracle("np.exp(mean + std * random_own_normal(shape, draw))")
      .PyMethod("log_normal_(input, mean=1.0, std=2.0, *, generator=None)")
      .Samples([] { return SourceSamples({{"std", 0.5}}, kHalves); })
      .ErrorSamples({Refuses("std", 0.0, "expected more than 0")});
}

OFL_OP(random_geometric) {
  Define<Geometric, kChance>(op, "How many trials of probability p the first success takes.",
                             kReals)
      .Attr("p", op::AttrType::kFloat)
      .Infer(InferGeometric)
      .Oracle("np.ceil(np.log(random_open(shape, draw)) / np.log1p(-p))")
      .PyMethod("geometric_(input, p, *, generator=None)")
      .Samples([] { return SourceSamples({{"p", 0.3}}, ListOf(kReals)); })
      .ErrorSamples({Refuses("p", 1.0, "0 < p < 1"), Refuses("p", 0.0, "0 < p < 1")});
}

OFL_OP(random_range) {
  DefineSource(op, DType::kInt64)
      .Doc("Whole numbers uniform in [low, high), or from `low` up to the dtype's last one.")
      .Attr("low", op::AttrType::kInt, int64_t{0})
      .OptionalAttr("high", op::AttrType::kInt)
      .Infer(InferRange)
      .Oracle("random_range(shape, low, high, draw, dtype)")
      .PyMethod("random_(input, *, generator=None)")
      .PyMethod("random_(input, to: high, *, generator=None)")
      .PyMethod("random_(input, from_: low, to: high, *, generator=None)")
      .Samples([] {
        std::vector<op::Sample> samples = SourceSamples({{"high", int64_t{9}}}, ListOf(kReals));
        for (DType dtype : ListOf(kReals | kBools))
          samples.push_back({{}, Drawn({{"shape", std::vector<int64_t>{5}}, {"dtype", dtype}})});
        samples.push_back({{},
                           Drawn({{"shape", std::vector<int64_t>{5}},
                                  {"low", std::numeric_limits<int64_t>::min()}})});
        return samples;
      })
      .ErrorSamples(
          {{{},
            {{"shape", std::vector<int64_t>{2}}, {"high", int64_t{0}}},
            Code::kInvalidArgument,
            "from < to"},
           {{},
            {{"shape", std::vector<int64_t>{2}}, {"high", int64_t{300}}, {"dtype", DType::kUInt8}},
            Code::kInvalidArgument,
            "uint8 cannot hold the range"}});
  for (DType dtype : ListOf(kReals | kBools)) op.Cpu(dtype, RunRange);
}

OFL_OP(randperm) {
  op.Doc("The numbers 0 to n-1 in random order.")
      .Out("output")
      .Attr("n", op::AttrType::kInt)
      .Attr("dtype", op::AttrType::kDType, DType::kInt64)
      .Generator("generator")
      .Infer(InferPermutation)
      .Sbp("->(n); offset n")
      .NotDifferentiable("a random source has no tensor inputs")
      .Traits({op::Trait::kSource})
      .Oracle("random_permutation(n, draw)")
      .Py("randperm(n, *, generator=None, dtype=None)")
      .Public()
      .Samples([] {
        std::vector<op::Sample> samples = {Permuted(7), Permuted(0), Permuted(1), Permuted(12),
                                           Permuted(150)};
        for (DType dtype : ListOf(kReals)) samples.push_back(Permuted(6, dtype));
        return samples;
      })
      .ErrorSamples({{{}, {{"n", int64_t{-1}}}, Code::kInvalidArgument, "at least 0"},
                     {{},
                      {{"n", int64_t{300}}, {"dtype", DType::kUInt8}},
                      Code::kInvalidArgument,
                      "uint8 cannot hold every number"},
                     {{},
                      {{"n", int64_t{3}}, {"dtype", DType::kBool}},
                      Code::kTypeMismatch,
                      "whole numbers"}});
  for (DType dtype : ListOf(kReals)) op.Cpu(dtype, RunPermutation, PermutationBound);
}

}  // namespace ofl::ops
