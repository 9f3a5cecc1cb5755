// Random sources and dropout. Every value is drawn by the element's index in the logical tensor.
#include <algorithm>
#include <cmath>
#include <limits>

#include "oneflow_like/core/half.h"
#include "oneflow_like/ops/kernel_util.h"
#include "oneflow_like/ops/source/philox.h"

namespace ofl::ops {
namespace {

constexpr int64_t kStepsPerElement = 16;

// The logical tensor of all micro-batches, and where this one's shard starts in it: micro-batch k
// is the k-th slice along axis 0 of each rank's shard of the whole. A scalar becomes a vector.
struct Whole {
  Shape logical, first, local;
};

Whole WholeOf(const op::KernelContext& c) {
  Whole whole{c.logical_outputs[0].shape, c.output_offsets[0], c.outputs[0].meta.shape};
  if (c.pieces == 1) return whole;
  if (whole.local.rank() == 0) return {Shape{c.pieces}, Shape{c.piece}, Shape{1}};
  whole.logical[0] *= c.pieces;
  whole.first[0] = whole.first[0] * c.pieces + c.piece * whole.local[0];
  return whole;
}

// Calls body(local begin, local end, logical index of local begin) for every run of the output's
// shard that is contiguous in the logical tensor.
template <class Body>
void ForEachRun(op::KernelContext& c, const Body& body) {
  const Whole whole = WholeOf(c);
  const Shape &logical = whole.logical, &first = whole.first, &local = whole.local;
  if (local.numel() == 0) return;
  const Strides strides = ContiguousStrides(logical);
  // Trailing axes that the shard holds whole, and the axis before them, run on.
  int axis = local.rank();
  int64_t run = 1, start = 0;
  while (axis > 0) {
    --axis;
    run *= local[axis];
    if (local[axis] != logical[axis]) break;
  }
  for (int i = axis; i < local.rank(); ++i) start += first[i] * strides[i];
  const auto logical_start = [&](int64_t index) {
    int64_t at = start;
    for (int i = axis - 1; i >= 0; --i) {
      at += (first[i] + index % local[i]) * strides[i];
      index /= local[i];
    }
    return at;
  };
  const int64_t runs = local.numel() / run;
  if (runs == 1) {
    // A single run is shared out itself.
    const int64_t begin_at = logical_start(0);
    Parallel(c.stream, run, RowGrain(kStepsPerElement),
             [&](int64_t begin, int64_t end) { body(begin, end, begin_at + begin); });
    return;
  }
  Parallel(c.stream, runs, RowGrain(run * kStepsPerElement), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) body(r * run, (r + 1) * run, logical_start(r));
  });
}

// Calls put(local index, value) for every element, where make(block) gives the four values of
// four logical neighbours.
template <class Make, class Put>
void ForEachDraw(op::KernelContext& c, const Make& make, const Put& put) {
  const uint64_t seed = c.random.seed, offset = static_cast<uint64_t>(c.random.offset);
  ForEachRun(c, [&](int64_t begin, int64_t end, int64_t logical) {
    decltype(make(PhiloxBlock{})) values{};
    int64_t current = -1;
    for (int64_t i = begin; i < end; ++i, ++logical) {
      if (logical / 4 != current) {
        current = logical / 4;
        values = make(Philox(seed, offset, static_cast<uint64_t>(current)));
      }
      put(i, values[logical % 4]);
    }
  });
}

PhiloxBlock Bits(const PhiloxBlock& block) { return block; }

std::array<double, 4> Normals(const PhiloxBlock& block) {
  std::array<double, 4> values;
  NormalPair(block[0], block[1], &values[0], &values[1]);
  NormalPair(block[2], block[3], &values[2], &values[3]);
  return values;
}

// The same for 64-bit draws: two neighbours share one block.
template <class Put>
void ForEachWideDraw(op::KernelContext& c, const Put& put) {
  const uint64_t seed = c.random.seed, offset = static_cast<uint64_t>(c.random.offset);
  ForEachRun(c, [&](int64_t begin, int64_t end, int64_t logical) {
    for (int64_t i = begin; i < end; ++i, ++logical) {
      const PhiloxBlock b = Philox(seed, offset, static_cast<uint64_t>(logical / 2));
      const int lane = logical % 2 == 0 ? 0 : 2;
      put(i, static_cast<uint64_t>(b[lane + 1]) << 32 | b[lane]);
    }
  });
}

// --- sources ------------------------------------------------------------------------------------

Status InferSource(op::InferContext& c) {
  OFL_ASSIGN(const Shape shape, Shape::Checked(c.attr<std::vector<int64_t>>("shape")));
  c.AddOutput({c.attr<DType>("dtype"), shape});
  return Status::Ok();
}

Status InferFloatSource(op::InferContext& c) {
  const DType dtype = c.attr<DType>("dtype");
  OFL_ENSURE(IsFloating(dtype) && !IsFloat8(dtype), Code::kTypeMismatch)
      << "values are real numbers; expected dtype float32, float64, float16 or bfloat16";
  return InferSource(c);
}

Status InferUniform(op::InferContext& c) {
  OFL_ENSURE(c.attr<double>("low") <= c.attr<double>("high"), Code::kInvalidArgument)
      << "the range is empty; expected low <= high";
  return InferFloatSource(c);
}

Status InferNormal(op::InferContext& c) {
  OFL_ENSURE(c.attr<double>("std") >= 0, Code::kInvalidArgument) << "std must not be negative";
  return InferFloatSource(c);
}

Status InferInteger(op::InferContext& c) {
  OFL_ENSURE(c.attr<int64_t>("low") < c.attr<int64_t>("high"), Code::kInvalidArgument)
      << "the range is empty; expected low < high";
  const DType dtype = c.attr<DType>("dtype");
  OFL_ENSURE(IsInteger(dtype), Code::kTypeMismatch)
      << "values are integers; expected dtype int64, int32, int16, int8 or uint8";
  const int bits = static_cast<int>(DTypeSize(dtype)) * 8 - (dtype == DType::kUInt8 ? 0 : 1);
  const int64_t most = bits == 63 ? std::numeric_limits<int64_t>::max() : (int64_t{1} << bits) - 1;
  const int64_t least = dtype == DType::kUInt8 ? 0 : -most - 1;
  OFL_ENSURE(c.attr<int64_t>("low") >= least && c.attr<int64_t>("high") - 1 <= most,
             Code::kInvalidArgument)
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

std::string SourceRule(std::span<const Shape>, std::span<const Shape> out, const Attrs&) {
  const std::string axes = Labels("a", out[0].rank());
  return "->(" + axes + ")" + (axes.empty() ? "" : "; offset " + axes);
}

Attrs LocalSource(const Attrs& attrs, std::span<const Shape>, std::span<const Shape> outputs) {
  Attrs local = attrs;
  local.Set("shape", DimsOf(outputs[0]));
  return local;
}

// How a number becomes an element: as C++ converts, or of a half type the float's rounding.
template <class T>
struct Stored {
  template <class V>
  static T From(V value) {
    return static_cast<T>(value);
  }
};
template <>
struct Stored<Float16> {
  static Float16 From(double value) { return Float16::Round(static_cast<float>(value)); }
};
template <>
struct Stored<BFloat16> {
  static BFloat16 From(double value) { return BFloat16::Round(static_cast<float>(value)); }
};

template <class T>
Status RunNormal(op::KernelContext& c) {
  const double mean = c.attr<double>("mean"), deviation = c.attr<double>("std");
  T* out = c.outputs[0].as<T>();
  ForEachDraw(c, Normals,
              [&](int64_t i, double value) { out[i] = Stored<T>::From(mean + deviation * value); });
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
  ForEachDraw(c, Bits, [&](int64_t i, uint32_t bits) {
    const Half drawn = Half::Round(low + width * UnitFloat(bits));
    out[i] = Half::Widen(drawn) < high ? drawn : last;
  });
  return Status::Ok();
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
    ForEachWideDraw(c, [&](int64_t i, uint64_t bits) {
      out[i] = std::min(low + width * UnitDouble(bits), last);
    });
  } else {
    ForEachDraw(c, Bits, [&](int64_t i, uint32_t bits) {
      out[i] = std::min(low + width * UnitFloat(bits), last);
    });
  }
  return Status::Ok();
}

template <class T>
Status RunInteger(op::KernelContext& c) {
  const int64_t low = c.attr<int64_t>("low");
  const uint64_t width =
      static_cast<uint64_t>(c.attr<int64_t>("high")) - static_cast<uint64_t>(low);
  T* out = c.outputs[0].as<T>();
  // The high word of a 128-bit product maps 64 bits onto the range with a bias below 2^-32 for
  // ranges below 2^32.
  ForEachWideDraw(c, [&](int64_t i, uint64_t bits) {
    const auto product = static_cast<unsigned __int128>(bits) * width;
    out[i] = static_cast<T>(static_cast<uint64_t>(low) + static_cast<uint64_t>(product >> 64));
  });
  return Status::Ok();
}

template <class T>
Status RunBernoulli(op::KernelContext& c) {
  const double p = c.attr<double>("p");
  T* out = c.outputs[0].as<T>();
  ForEachDraw(c, Bits, [&](int64_t i, uint32_t bits) {
    out[i] = Stored<T>::From(static_cast<double>(bits) * 0x1.0p-32 < p ? 1 : 0);
  });
  return Status::Ok();
}

void DefineSource(op::OpDefBuilder& op, DType dtype) {
  op.Out("output")
      .Attr("shape", op::AttrType::kInts)
      .Attr("dtype", op::AttrType::kDType, dtype)
      .Generator("generator")
      .Version(2)
      .Sbp(SourceRule)
      .LocalAttrs(LocalSource)
      .NotDifferentiable("a random source has no tensor inputs")
      .Traits({op::Trait::kSource});
}

constexpr DType kHalves[] = {DType::kFloat16, DType::kBFloat16};

std::vector<op::Sample> SourceSamples(Attrs extra, std::span<const DType> dtypes) {
  std::vector<op::Sample> samples;
  for (std::vector<int64_t> shape : {std::vector<int64_t>{5, 3}, {7}, {2, 3, 2}, {0, 4}, {}}) {
    Attrs attrs = extra;
    attrs.Set("shape", shape);
    attrs.Set(op::kDraw, op::Draw{{42, 3}}.ToAttr());
    samples.push_back({{}, attrs});
  }
  for (DType dtype : dtypes) {
    Attrs attrs = samples[0].attrs;
    attrs.Set("dtype", dtype);
    samples.push_back({{}, attrs});
  }
  return samples;
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

std::string DropoutRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const std::string axes = Labels("a", in[0].rank());
  return "(" + axes + ")->(" + axes + "); linear 0; monotone 0" +
         (axes.empty() ? "" : "; offset " + axes);
}

template <class T>
Status RunDropout(op::KernelContext& c) {
  const double p = c.attr<double>("p");
  const T scale = p < 1 ? static_cast<T>(1.0 / (1.0 - p)) : T(0);
  const T* x = c.inputs[0].as<T>();
  T* y = c.outputs[0].as<T>();
  ForEachDraw(c, Bits, [&](int64_t i, uint32_t bits) {
    const bool keep = static_cast<double>(bits) * 0x1.0p-32 >= p;
    y[i] = keep ? x[i] * scale : T(0);
  });
  return Status::Ok();
}

template <class Half>
Status RunHalfDropout(op::KernelContext& c) {
  const double p = c.attr<double>("p");
  const float scale = p < 1 ? static_cast<float>(1.0 / (1.0 - p)) : 0.0f;
  const Half* x = c.inputs[0].as<Half>();
  Half* y = c.outputs[0].as<Half>();
  ForEachDraw(c, Bits, [&](int64_t i, uint32_t bits) {
    const bool keep = static_cast<double>(bits) * 0x1.0p-32 >= p;
    y[i] = keep ? Half::Round(Half::Widen(x[i]) * scale) : Half{0};
  });
  return Status::Ok();
}

// In the shape of the operand.
template <class T>
Status RunBeside(op::KernelContext& c) {
  const T low = static_cast<T>(c.attr<double>("low"));
  const T width = static_cast<T>(c.attr<double>("high")) - low;
  T* out = c.outputs[0].as<T>();
  ForEachDraw(c, Bits, [&](int64_t i, uint32_t bits) {
    out[i] = low + width * static_cast<T>(UnitFloat(bits));
  });
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

std::string BesideRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const std::string axes = Labels("a", in[0].rank());
  return "(" + axes + ")->(" + axes + "); never partial" + (axes.empty() ? "" : "; offset " + axes);
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
      .Oracle("mean + std * random_normal(shape, draw)")
      .Py("randn(*size: shape, dtype=None)")
      .Py("randn_like(input, *, dtype=None)")
      .Public()
      .PyMethod("normal_(input, mean=0.0, std=1.0)")
      .Py("normal(shape, *, mean=0.0, std=1.0, dtype=float32)")
      .Samples([] { return SourceSamples({{"std", 2.0}}, kHalves); })
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
      .Oracle(
          "low + (high - low) * random_unit(shape, draw, bits=53 if dtype.name == 'float64' else "
          "24)")
      .Py("rand(*size: shape, dtype=None)")
      .Py("rand_like(input, *, dtype=None)")
      .Public()
      .PyMethod("uniform_(input, a: low=0.0, b: high=1.0)")
      .Py("uniform(shape, *, low=0.0, high=1.0, dtype=float32)")
      .Samples([] { return SourceSamples({{"low", -1.0}}, kHalves); })
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
  op.Doc("Integers uniform in [low, high).")
      .Attr("low", op::AttrType::kInt, int64_t{0})
      .Attr("high", op::AttrType::kInt)
      .Infer(InferInteger)
      .Cpu(DType::kInt64, RunInteger<int64_t>)
      .Cpu(DType::kInt32, RunInteger<int32_t>)
      .Cpu(DType::kInt16, RunInteger<int16_t>)
      .Cpu(DType::kInt8, RunInteger<int8_t>)
      .Cpu(DType::kUInt8, RunInteger<uint8_t>)
      .Oracle("random_int(shape, low, high, draw)")
      .Py("randint(high, size: shape, *, dtype=None)")
      .Py("randint(low, high, size: shape, *, dtype=None)")
      .Py("randint_like(input, high, *, dtype=None)")
      .Py("randint_like(input, low, high, *, dtype=None)")
      .Public()
      .Py("random_int(shape, *, low=0, high, dtype=int64)")
      .Samples([] {
        constexpr DType kNarrow[] = {DType::kInt32, DType::kInt16, DType::kInt8, DType::kUInt8};
        return SourceSamples({{"high", int64_t{10}}}, kNarrow);
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
