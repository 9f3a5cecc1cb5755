// Random sources and dropout. Every value is drawn by the element's index in the logical tensor.
#include <algorithm>
#include <cmath>
#include <limits>

#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/source/sources.h"

namespace ofl::ops {
namespace {

// --- sources ------------------------------------------------------------------------------------

// Of a complex number both parts are drawn.
Status InferNumbers(op::InferContext& c) {
  return IsComplex(c.attr<DType>("dtype")) ? InferSource(c) : InferFloatSource(c);
}

Status InferUniform(op::InferContext& c) {
  OFL_ENSURE(c.attr<double>("low") <= c.attr<double>("high"), Code::kInvalidArgument)
      << "the range is empty; expected low <= high";
  return InferNumbers(c);
}

Status InferNormal(op::InferContext& c) {
  OFL_ENSURE(c.attr<double>("std") >= 0, Code::kInvalidArgument)
      << "std must not be negative; expected at least 0";
  return InferNumbers(c);
}

Status InferInteger(op::InferContext& c) {
  const int64_t low = c.attr<int64_t>("low"), high = c.attr<int64_t>("high");
  OFL_ENSURE(low < high, Code::kInvalidArgument) << "the range is empty; expected low < high";
  const DType dtype = c.attr<DType>("dtype");
  OFL_ENSURE(!IsComplex(dtype) && !IsFloat8(dtype), Code::kTypeMismatch)
      << "values are whole numbers; expected an integer or floating dtype, or bool";
  const auto [least, most] = WholeRange(dtype);
  OFL_ENSURE(IsFloating(dtype) || (low >= least && high - 1 <= most), Code::kInvalidArgument)
      << DTypeName(dtype) << " cannot hold the range; expected " << least
      << " <= low and high <= " << most << " + 1";
  return InferSource(c);
}

Status InferBernoulli(op::InferContext& c) {
  const double p = c.attr<double>("p");
  OFL_ENSURE(p >= 0 && p <= 1, Code::kInvalidArgument)
      << "p is a probability; expected 0 <= p <= 1";
  return InferSource(c);
}

template <class T>
OFL_SIMD void NormalRow(const double* values, double mean, double deviation, T* out, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) out[i] = Stored<T>::From(mean + deviation * values[i]);
}

template <class T>
Status RunNormal(op::KernelContext& c) {
  const double mean = c.attr<double>("mean"), deviation = c.attr<double>("std");
  T* out = c.outputs[0].as<T>();
  ForEachNormals(c, [&](int64_t begin, const double* values, int64_t n) {
    NormalRow(values, mean, deviation, out + begin, n);
  });
  return Status::Ok();
}

template <class T>
Status RunComplexNormal(op::KernelContext& c) {
  const double mean = c.attr<double>("mean"), deviation = c.attr<double>("std") / std::sqrt(2.0);
  auto* out = c.outputs[0].as<std::complex<T>>();
  ForEachWords<2>(c, [&](int64_t begin, const uint32_t* words, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      const uint32_t a = words[2 * i], b = words[2 * i + 1];
      out[begin + i] = {static_cast<T>(mean + deviation * NormalOf(a, b)),
                        static_cast<T>(deviation * NormalOf(a, b, true))};
    }
  });
  return Status::Ok();
}

// The largest number of a half type below `high`, and not below `low`.
template <class Half>
Half LastBelow(float low, float high) {
  Half last = Half::Round(high);
  if (Half::Widen(last) >= high) {  // towards minus infinity
    const uint16_t magnitude = last.bits & 0x7fffu;
    last.bits = static_cast<uint16_t>(magnitude == 0          ? 0x8001u
                                      : (last.bits & 0x8000u) ? last.bits + 1u
                                                              : last.bits - 1u);
  }
  return Half::Widen(last) < low ? Half::Round(low) : last;
}

// The float's draw, rounded; a draw that rounds to the bound is the last number below it.
template <class Half>
Status RunHalfUniform(op::KernelContext& c) {
  const float low = static_cast<float>(c.attr<double>("low"));
  const float high = static_cast<float>(c.attr<double>("high"));
  const float width = high - low;
  const Half last = LastBelow<Half>(low, high);
  Half* out = c.outputs[0].as<Half>();
  ForEachWord(c, [&](int64_t i, uint32_t bits) {
    const Half drawn = Half::Round(low + width * UnitFloat(bits));
    out[i] = Half::Widen(drawn) < high ? drawn : last;
  });
  return Status::Ok();
}

OFL_SIMD void UniformRow(const uint32_t* words, float low, float width, float last, float* out,
                         int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const float drawn = low + width * UnitFloat(words[i]);
    out[i] = drawn < last ? drawn : last;
  }
}

template <class T>
Status RunUniform(op::KernelContext& c) {
  const T low = static_cast<T>(c.attr<double>("low"));
  const T high = static_cast<T>(c.attr<double>("high"));
  const T width = high - low;
  // In a range far from 0 the largest draws round to the bound, which is outside.
  const T last = std::max(low, std::nextafter(high, low));
  T* out = c.outputs[0].as<T>();
  if constexpr (std::is_same_v<T, double>) {
    ForEachWideWord(c, [&](int64_t i, uint64_t bits) {
      out[i] = std::min(low + width * UnitDouble(bits), last);
    });
  } else {
    ForEachWords(c, [&](int64_t begin, const uint32_t* words, int64_t n) {
      UniformRow(words, low, width, last, out + begin, n);
    });
  }
  return Status::Ok();
}

// Two parts a number.
template <class T>
Status RunComplexUniform(op::KernelContext& c) {
  constexpr int kWords = std::is_same_v<T, double> ? 4 : 2;
  const T low = static_cast<T>(c.attr<double>("low"));
  const T high = static_cast<T>(c.attr<double>("high"));
  const T width = high - low, last = std::max(low, std::nextafter(high, low));
  T* parts = c.outputs[0].as<T>();
  ForEachWords<kWords>(c, [&](int64_t begin, const uint32_t* words, int64_t n) {
    for (int64_t i = 0; i < 2 * n; ++i) {
      T unit;
      if constexpr (kWords == 2) {
        unit = UnitFloat(words[i]);
      } else {
        unit = UnitDouble(static_cast<uint64_t>(words[2 * i + 1]) << 32 | words[2 * i]);
      }
      parts[2 * begin + i] = std::min(low + width * unit, last);
    }
  });
  return Status::Ok();
}

Status RunInteger(op::KernelContext& c) {
  const int64_t low = c.attr<int64_t>("low");
  FillIntegers(c, low, static_cast<uint64_t>(c.attr<int64_t>("high")) - static_cast<uint64_t>(low));
  return Status::Ok();
}

// Of words below p * 2^32, as an integer comparison: those up to `last`, if any.
struct Below {
  explicit Below(double p)
      : any(p > 0),
        last(static_cast<uint32_t>(static_cast<uint64_t>(std::ceil(p * 0x1.0p32)) - 1)) {}
  OFL_INLINE bool operator()(uint32_t word) const { return any & (word <= last); }
  bool any;
  uint32_t last;
};

template <class T>
Status RunBernoulli(op::KernelContext& c) {
  const double p = c.attr<double>("p");
  T* out = c.outputs[0].as<T>();
  const Below one(p);
  ForEachWord(c, [&](int64_t i, uint32_t word) { out[i] = Stored<T>::From(one(word) ? 1 : 0); });
  return Status::Ok();
}

// --- dropout ------------------------------------------------------------------------------------

Status InferDropout(op::InferContext& c) {
  const DType dtype = c.input(0).dtype;
  OFL_ENSURE(IsFloating(dtype) && !IsFloat8(dtype), Code::kTypeMismatch)
      << "input must be floating point; expected float32, float64, float16 or bfloat16";
  const double p = c.attr<double>("p");
  OFL_ENSURE(p >= 0 && p <= 1, Code::kInvalidArgument)
      << "p is a probability; expected 0 <= p <= 1";
  c.AddOutput(c.input(0));
  return Status::Ok();
}

constexpr DType kDrawnDTypes[] = {DType::kFloat16, DType::kBFloat16, DType::kFloat64,
                                  DType::kComplex64, DType::kComplex128};

std::string DropoutRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const std::string axes = Labels("a", in[0].rank());
  return "(" + axes + ")->(" + axes + "); linear 0; monotone 0" +
         (axes.empty() ? "" : "; offset " + axes);
}

template <class T>
OFL_SIMD void DropoutRow(const uint32_t* words, Below dropped, T scale, const T* x, T* y,
                         int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const T scaled = x[i] * scale;
    y[i] = dropped(words[i]) ? T(0) : scaled;
  }
}

template <class T>
Status RunDropout(op::KernelContext& c) {
  const double p = c.attr<double>("p");
  const Below dropped(p);
  const T scale = p < 1 ? static_cast<T>(1.0 / (1.0 - p)) : T(0);
  const T* x = c.inputs[0].as<T>();
  T* y = c.outputs[0].as<T>();
  ForEachWords(c, [&](int64_t begin, const uint32_t* words, int64_t n) {
    DropoutRow(words, dropped, scale, x + begin, y + begin, n);
  });
  return Status::Ok();
}

template <class Half>
Status RunHalfDropout(op::KernelContext& c) {
  const double p = c.attr<double>("p");
  const Below dropped(p);
  const float scale = p < 1 ? static_cast<float>(1.0 / (1.0 - p)) : 0.0f;
  const Half* x = c.inputs[0].as<Half>();
  Half* y = c.outputs[0].as<Half>();
  ForEachWord(c, [&](int64_t i, uint32_t word) {
    y[i] = dropped(word) ? Half{0} : Half::Round(Half::Widen(x[i]) * scale);
  });
  return Status::Ok();
}

// In the shape of the operand.
template <class T>
Status RunBeside(op::KernelContext& c) {
  const T low = static_cast<T>(c.attr<double>("low"));
  const T width = static_cast<T>(c.attr<double>("high")) - low;
  T* out = c.outputs[0].as<T>();
  ForEachWord(
      c, [&](int64_t i, uint32_t bits) { out[i] = low + width * static_cast<T>(UnitFloat(bits)); });
  return Status::Ok();
}

Status InferBeside(op::InferContext& c) {
  const DType dtype = c.input(0).dtype;
  OFL_ENSURE(dtype == DType::kFloat32 || dtype == DType::kFloat64, Code::kTypeMismatch)
      << "input must be float32 or float64; expected one of them; convert with .to(flow.float32)";
  OFL_ENSURE(c.attr<double>("low") <= c.attr<double>("high"), Code::kInvalidArgument)
      << "low is above high; expected low <= high";
  c.AddOutput(c.input(0));
  return Status::Ok();
}

// The mask is drawn again from the same counters: dropout is linear and its own transpose.
void GradDropout(op::GradContext& c) {
  if (c.grads[0] && c.Needs(0)) c.Set(0, c.b.Call("dropout", {c.grads[0]}, c.attrs));
}

op::Sample DropoutSample(Shape shape, double p, DType dtype = DType::kFloat32) {
  return {{{dtype, shape}}, {{"p", p}, {std::string(op::kDraw), op::Draw{{7, 1}}.ToAttr()}}};
}

}  // namespace

OFL_OP(random_normal) {
  DefineSource(op, DType::kFloat32);
  op.Doc("Normal values of the given mean and std.")
      .Attr("mean", op::AttrType::kFloat, 0.0)
      .Attr("std", op::AttrType::kFloat, 1.0)
      .Infer(InferNormal)
      .Cpu(DType::kFloat32, RunNormal<float>)
      .Cpu(DType::kFloat64, RunNormal<double>)
      .Cpu(DType::kFloat16, RunNormal<Float16>)
      .Cpu(DType::kBFloat16, RunNormal<BFloat16>)
      .Cpu(DType::kComplex64, RunComplexNormal<float>)
      .Cpu(DType::kComplex128, RunComplexNormal<double>)
      .Oracle("mean + std * random_normal(shape, draw, dtype)")
      .Py("randn(*size: shape, generator=None, dtype=None)")
      .Py("randn_like(input, *, generator=None, dtype=None)")
      .Py("normal(mean, std, size: shape, *, generator=None, dtype=None)")
      .Public()
      .PyMethod("normal_(input, mean=0.0, std=1.0, *, generator=None)")
      .Py("normal(shape, *, mean=0.0, std=1.0, dtype=float32)")
      .Samples([] { return SourceSamples({{"std", 2.0}}, kDrawnDTypes); })
      .ErrorSamples({{{},
                      {{"shape", std::vector<int64_t>{2}}, {"std", -1.0}},
                      Code::kInvalidArgument,
                      "std must not be negative"}});
}

OFL_OP(uniform_beside) {
  op.Doc("Uniform values in [low, high), as many as input has, whose own are not read.")
      .In("input")
      .Out("output")
      .Attr("low", op::AttrType::kFloat, 0.0)
      .Attr("high", op::AttrType::kFloat, 1.0)
      .Generator("generator")
      .Infer(InferBeside)
      .Sbp(BesideRule)
      .NotDifferentiable("what is drawn does not depend on the operand")
      .Traits({op::Trait::kIgnoresValues})
      .Cpu(DType::kFloat32, RunBeside<float>)
      .Cpu(DType::kFloat64, RunBeside<double>)
      .Oracle("low + (high - low) * random_unit(input.shape, draw, bits=24)")
      .Py("_uniform_beside(input, low, high)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (const Shape& shape : {Shape{5, 3}, Shape{7}, Shape{0, 4}, Shape{}}) {
          op::Sample sample = DropoutSample(shape, 0);
          sample.attrs = {{"low", -1.0}, {std::string(op::kDraw), op::Draw{{7, 1}}.ToAttr()}};
          samples.push_back(sample);
        }
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"low", 2.0}},
                      Code::kInvalidArgument,
                      "low is above high"}});
}

OFL_OP(random_uniform) {
  DefineSource(op, DType::kFloat32);
  op.Doc("Values uniform in [low, high).")
      .Attr("low", op::AttrType::kFloat, 0.0)
      .Attr("high", op::AttrType::kFloat, 1.0)
      .Infer(InferUniform)
      .Cpu(DType::kFloat32, RunUniform<float>)
      .Cpu(DType::kFloat64, RunUniform<double>)
      .Cpu(DType::kFloat16, RunHalfUniform<Float16>)
      .Cpu(DType::kBFloat16, RunHalfUniform<BFloat16>)
      .Cpu(DType::kComplex64, RunComplexUniform<float>)
      .Cpu(DType::kComplex128, RunComplexUniform<double>)
      .Oracle("random_uniform(low, high, shape, draw, dtype)")
      .Py("rand(*size: shape, generator=None, dtype=None)")
      .Py("rand_like(input, *, generator=None, dtype=None)")
      .Public()
      .PyMethod("uniform_(input, from_: low=0.0, to: high=1.0, *, generator=None)")
      .PyMethod("uniform_(input, a: low=0.0, b: high=1.0, *, generator=None)")
      .Py("uniform(shape, *, low=0.0, high=1.0, dtype=float32)")
      .Samples([] { return SourceSamples({{"low", -1.0}}, kDrawnDTypes); })
      .ErrorSamples({{{},
                      {{"shape", std::vector<int64_t>{2}}, {"dtype", DType::kInt64}},
                      Code::kTypeMismatch,
                      "real numbers"},
                     {{},
                      {{"shape", std::vector<int64_t>{2}}, {"low", 2.0}},
                      Code::kInvalidArgument,
                      "low <= high"}});
}

OFL_OP(random_int) {
  DefineSource(op, DType::kInt64);
  for (DType dtype : ListOf(kReals | kBools)) op.Cpu(dtype, RunInteger);
  op.Doc("Integers uniform in [low, high).")
      .Attr("low", op::AttrType::kInt, int64_t{0})
      .Attr("high", op::AttrType::kInt)
      .Infer(InferInteger)
      .Oracle("random_int(shape, low, high, draw)")
      .Py("randint(high, size: shape, *, generator=None, dtype=None)")
      .Py("randint(low, high, size: shape, *, generator=None, dtype=None)")
      .Py("randint_like(input, high, *, generator=None, dtype=None)")
      .Py("randint_like(input, low, high, *, generator=None, dtype=None)")
      .Public()
      .Py("random_int(shape, *, low=0, high, dtype=int64)")
      .Samples([] {
        std::vector<op::Sample> samples = SourceSamples({{"high", int64_t{10}}}, ListOf(kReals));
        samples.push_back({{},
                           Drawn({{"shape", std::vector<int64_t>{4, 3}},
                                  {"high", int64_t{2}},
                                  {"dtype", DType::kBool}})});
        return samples;
      })
      .ErrorSamples(
          {{{},
            {{"shape", std::vector<int64_t>{2}}, {"high", int64_t{0}}},
            Code::kInvalidArgument,
            "low < high"},
           {{},
            {{"shape", std::vector<int64_t>{2}}, {"high", int64_t{200}}, {"dtype", DType::kInt8}},
            Code::kInvalidArgument,
            "int8 cannot hold the range"}});
}

OFL_OP(random_bernoulli) {
  DefineSource(op, DType::kFloat32);
  op.Doc("1 with probability p, else 0.")
      .Attr("p", op::AttrType::kFloat, 0.5)
      .Infer(InferBernoulli)
      .Cpu(DType::kFloat32, RunBernoulli<float>)
      .Cpu(DType::kFloat64, RunBernoulli<double>)
      .Cpu(DType::kBool, RunBernoulli<bool>)
      .Cpu(DType::kInt64, RunBernoulli<int64_t>)
      .Cpu(DType::kInt32, RunBernoulli<int32_t>)
      .Cpu(DType::kInt16, RunBernoulli<int16_t>)
      .Cpu(DType::kInt8, RunBernoulli<int8_t>)
      .Cpu(DType::kUInt8, RunBernoulli<uint8_t>)
      .Cpu(DType::kFloat16, RunBernoulli<Float16>)
      .Cpu(DType::kBFloat16, RunBernoulli<BFloat16>)
      .Oracle("(random_unit(shape, draw) < p).astype(np.float64)")
      .PyMethod("bernoulli_(input, p=0.5, *, generator=None)")
      .Py("random_bernoulli(shape, *, p=0.5, dtype=float32)")
      .Samples([] { return SourceSamples({{"p", 0.3}}, kHalves); })
      .ErrorSamples({{{},
                      {{"shape", std::vector<int64_t>{2}}, {"p", 1.5}},
                      Code::kInvalidArgument,
                      "0 <= p <= 1"}});
}

OFL_OP(dropout) {
  op.Doc(
        "Each element is 0 with probability p, else scaled by 1/(1-p). The mask follows from\n"
        "the draw and the element's logical index.")
      .In("input")
      .Out("output")
      .Attr("p", op::AttrType::kFloat, 0.5)
      .Generator("generator")
      .Version(2)
      .Infer(InferDropout)
      .Sbp(DropoutRule)
      .Grad(GradDropout)
      .InPlace(0, 0)
      .Cpu(DType::kFloat32, RunDropout<float>)
      .Cpu(DType::kFloat64, RunDropout<double>)
      .Cpu(DType::kFloat16, RunHalfDropout<Float16>)
      .Cpu(DType::kBFloat16, RunHalfDropout<BFloat16>)
      .Oracle(
          "np.where(random_unit(input.shape, draw) >= p, "
          "input * (1 / (1 - p) if p < 1 else 0), 0)")
      .Py("_dropout(input, p=0.5)")
      .Samples([]() -> std::vector<op::Sample> {
        return {DropoutSample({5, 4}, 0.5),
                DropoutSample({7}, 0.2),
                DropoutSample({2, 3, 2}, 0.0),
                DropoutSample({3}, 1.0),
                DropoutSample({0, 2}, 0.5),
                DropoutSample({5}, 0.3, DType::kFloat16),
                DropoutSample({5}, 0.3, DType::kBFloat16)};
      })
      .ErrorSamples(
          {{{{DType::kFloat32, {2}}}, {{"p", 1.5}}, Code::kInvalidArgument, "0 <= p <= 1"}});
}

}  // namespace ofl::ops
