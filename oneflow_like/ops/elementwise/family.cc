#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/core/integers.h"
#include "oneflow_like/ops/elementwise/numbers.h"
#include "oneflow_like/ops/move/copy.h"

#include <cmath>
#include <cstring>

namespace ofl::ops {
namespace {

struct Same {
  template <class T>
  OFL_INLINE T operator()(T x) const {
    return x;
  }
};
struct Bits128 {
  uint64_t low, high;
};

template <class T>
constexpr Row MoveRow(DType bits) {
  return {Row1<Same, T, T>, 1, bits, {bits}};
}

const Row& MoveRowOf(DType bits) {
  static const Row kRows[] = {MoveRow<uint8_t>(DType::kUInt8), MoveRow<uint16_t>(DType::kInt16),
                              MoveRow<uint32_t>(DType::kInt32), MoveRow<uint64_t>(DType::kInt64),
                              MoveRow<Bits128>(DType::kComplex128)};
  switch (DTypeSize(bits)) {
    case 1: return kRows[0];
    case 2: return kRows[1];
    case 4: return kRows[2];
    case 8: return kRows[3];
    default: return kRows[4];
  }
}

// Without integers and bool: these are promoted.
bool OnlyFloating(DTypeSet set) { return (set & (kInts | kBools)) == 0; }

}  // namespace

std::vector<DType> ListOf(DTypeSet set) {
  std::vector<DType> list;
  for (DType dtype : AllDTypes())  // float32 is the first of all
    if (Contains(set, dtype)) list.push_back(dtype);
  return list;
}

Status RequireIn(const op::InferContext& c, int i, DTypeSet set) {
  const DType d = c.input(i).dtype;
  if (Contains(set, d)) return Status::Ok();
  if (IsFloat8(d)) {
    return Error(Code::kTypeMismatch) << DTypeName(d) << " stores numbers but is not computed in; "
                                      << "expected another dtype; convert with .to(flow.float32)";
  }
  if (set == kBools) {
    return Error(Code::kTypeMismatch)
           << DTypeName(d) << " is not bool; expected bool; compare with 0 first";
  }
  if ((set & ~(kInts | kBools)) == 0) {
    return Error(Code::kTypeMismatch)
           << DTypeName(d) << " is not an integer dtype; expected an integer dtype; convert with "
           << ".to(flow.int64)";
  }
  if (IsComplex(d)) {
    return Error(Code::kTypeMismatch) << DTypeName(d) << " is not real and has no order; expected "
                                      << "a real dtype; take .real or .abs() first";
  }
  if (OnlyFloating(set)) {
    return Error(Code::kTypeMismatch)
           << DTypeName(d) << " is not a floating dtype; expected float32, float64, float16 or "
           << "bfloat16; convert with .to(flow.float32)";
  }
  return Error(Code::kTypeMismatch)
         << DTypeName(d) << " is not a number; expected a floating or integer dtype; convert with "
         << ".to(flow.int64)";
}

Status InferUnary(op::InferContext& c, DTypeSet set, Gives gives) {
  OFL_TRY(RequireIn(c, 0, set));
  TensorMeta out = c.input(0);
  if (gives == Gives::kReal) out.dtype = RealOf(out.dtype);
  if (gives == Gives::kBool) out.dtype = DType::kBool;
  c.AddOutput(out);
  return Status::Ok();
}

op::OpDefBuilder& DescribeUnary(op::OpDefBuilder& op, DTypeSet set, const char* doc,
                                const std::string& rule, Range range) {
  op.Doc(doc)
      .In("input")
      .Out("output")
      .Sbp("(...)->(...)" + rule)
      .Traits({op::Trait::kElementwise})
      .InPlace(0, 0)
      .Strided()
      .Samples([set, range] { return UnarySamples(ListOf(set), range.low, range.high); });
  if (set == kBools) {
    op.ErrorSamples({{{{DType::kFloat32, {2}}}, {}, Code::kTypeMismatch, "float32 is not bool"}});
  } else if (OnlyFloating(set)) {
    op.Promote(op::Promotion::kFloat)
        .ErrorSamples({{{{DType::kInt64, {2}}},
                        {},
                        Code::kTypeMismatch,
                        "int64 is not a floating dtype: got input: int64[2]; expected float32"}});
  } else if (!Contains(set, DType::kBool)) {
    op.ErrorSamples({{{{DType::kBool, {2}}},
                      {},
                      Code::kTypeMismatch,
                      "bool is not a number: got input: bool[2]"}});
  }
  return op;
}

Status InferBinary(op::InferContext& c, DTypeSet set, Gives gives) {
  const TensorMeta& a = c.input(0);
  const TensorMeta& b = c.input(1);
  OFL_ENSURE(a.dtype == b.dtype, Code::kTypeMismatch)
      << "the dtypes " << DTypeName(a.dtype) << " and " << DTypeName(b.dtype)
      << " differ; expected one dtype; convert one of them with .to(dtype)";
  OFL_TRY(RequireIn(c, 0, set));
  const auto shape = BroadcastShapes(a.shape, b.shape);
  OFL_ENSURE(shape.ok(), Code::kInvalidArgument) << shape.status().message();
  c.AddOutput({gives == Gives::kBool ? DType::kBool : a.dtype, *shape});
  return Status::Ok();
}

op::OpDefBuilder& DescribeBinary(op::OpDefBuilder& op, DTypeSet set, const char* doc,
                                 const std::string& rule, Range range) {
  constexpr DType kF = DType::kFloat32;
  op.Doc(doc)
      .In("input")
      .In("other")
      .Out("output")
      .Sbp("(...),(...)->(...)" + rule)
      .Traits({op::Trait::kElementwise})
      .Strided()
      .Promote(OnlyFloating(set) ? op::Promotion::kFloat : op::Promotion::kCommon)
      .Samples([set, range] { return BinarySamples(ListOf(set), range.low, range.high); });
  std::vector<op::ErrorSample> errors = {
      {{{kF, {2}}, {DType::kInt64, {2}}},
       {},
       Code::kTypeMismatch,
       "the dtypes float32 and int64 differ: got input: float32[2], other: int64[2]"}};
  if (set == kBools) {
    errors.push_back({{{kF, {2}}, {kF, {2}}},
                      {},
                      Code::kTypeMismatch,
                      "float32 is not bool: got input: float32[2]"});
    return op.ErrorSamples(std::move(errors));
  }
  errors.push_back(
      {{{kF, {2, 3}}, {kF, {2, 5}}},
       {},
       Code::kInvalidArgument,
       "axis -1 has sizes 3 and 5: got input: float32[2,3], other: float32[2,5]; expected "
       "equal sizes or 1"});
  errors.push_back({{{kF, {2}}}, {}, Code::kInvalidArgument, "got 1; expected 2 (input, other)"});
  if (!Contains(set, DType::kBool)) {
    errors.push_back({{{DType::kBool, {2}}, {DType::kBool, {2}}},
                      {},
                      Code::kTypeMismatch,
                      OnlyFloating(set) ? "bool is not a floating dtype" : "bool is not a number"});
  }
  if (!Contains(set, DType::kComplex64)) {
    errors.push_back({{{DType::kComplex64, {2}}, {DType::kComplex64, {2}}},
                      {},
                      Code::kTypeMismatch,
                      "complex64 is not real and has no order"});
  }
  return op.ErrorSamples(std::move(errors));
}

Status RunSwapped(op::KernelContext& c, const Row& row, const void* functor) {
  const RowInput inputs[] = {{&c.inputs[1]}, {&c.inputs[0]}};
  RunRow(c.stream, row, functor, inputs, c.outputs[0]);
  return Status::Ok();
}

Status RunNumber(op::KernelContext& c, const Row& row, const void* functor, const void* number,
                 bool number_first) {
  RowInput inputs[] = {{&c.inputs[0]}, {nullptr, number}};
  if (number_first) std::swap(inputs[0], inputs[1]);
  RunRow(c.stream, row, functor, inputs, c.outputs[0]);
  return Status::Ok();
}

Status InferNumber(op::InferContext& c, DTypeSet set) {
  OFL_TRY(RequireIn(c, 0, set));
  const DType dtype = c.input(0).dtype;
  const Scalar scalar = c.number("scalar");
  bool fits = scalar.category() <= CategoryOf(dtype);
  if (!fits && scalar.category() == DTypeCategory::kFloating) {
    // 2^53: above it a double no longer holds every integer.
    const double real = scalar.As<double>();
    fits = std::floor(real) == real && std::fabs(real) <= 9007199254740992.0;
  }
  OFL_ENSURE(fits, Code::kTypeMismatch)
      << "the number is not a whole one and the tensor has an integer dtype; expected a floating "
      << "tensor; convert with .to(flow.float32)";
  OFL_ENSURE(!IsInteger(dtype) || Takes(dtype, scalar.As<int64_t>()), Code::kInvalidArgument)
      << DTypeName(dtype) << " cannot hold the number; expected one in its range; convert with "
      << ".to(flow.int64)";
  c.AddOutput(c.input(0));
  return Status::Ok();
}

op::OpDefBuilder& DescribeNumber(op::OpDefBuilder& op, DTypeSet set, const char* doc,
                                 std::vector<double> numbers, Range range) {
  op.Doc(doc)
      .In("input")
      .Out("output")
      .Attr("scalar", op::AttrType::kScalar)
      .Traits({op::Trait::kElementwise})
      .InPlace(0, 0)
      .Strided()
      .Samples([set, numbers, range] {
        auto samples =
            UnarySamples(ListOf(set), range.low, range.high, {{"scalar", Scalar(numbers[0])}});
        for (size_t i = 1; i < numbers.size(); ++i) {
          samples.push_back({{{DType::kFloat32, {5, 3}}},
                             {{"scalar", Scalar(numbers[i])}},
                             range.low,
                             range.high,
                             ""});
        }
        return samples;
      });
  if (OnlyFloating(set)) {
    return op.Promote(op::Promotion::kFloat)
        .ErrorSamples({{{{DType::kInt64, {2}}},
                        {{"scalar", Scalar(2.0)}},
                        Code::kTypeMismatch,
                        "int64 is not a floating dtype"}});
  }
  return op.ErrorSamples(
      {{{{DType::kInt64, {2}}},
        {{"scalar", Scalar(0.5)}},
        Code::kTypeMismatch,
        "not a whole one and the tensor has an integer dtype: got input: int64[2], scalar=0.5"},
       {{{DType::kInt8, {2}}},
        {{"scalar", Scalar(300)}},
        Code::kInvalidArgument,
        "int8 cannot hold the number"},
       {{{DType::kBool, {2}}},
        {{"scalar", Scalar(1.0)}},
        Code::kTypeMismatch,
        "bool is not a number"}});
}

Status InferGrad(op::InferContext& c, DTypeSet set) {
  OFL_TRY(RequireIn(c, 0, set));
  OFL_ENSURE(c.input(0) == c.input(1), Code::kInvalidArgument)
      << "the operands differ; expected one shape and dtype";
  c.AddOutput(c.input(0));
  return Status::Ok();
}

op::OpDefBuilder& DescribeGrad(op::OpDefBuilder& op, DTypeSet set, const char* doc) {
  return op.Doc(doc)
      .In("grad")
      .In("output")
      .Out("input_grad")
      .Sbp("(...),(...)->(...); linear 0; never partial max min")
      .Traits({op::Trait::kElementwise})
      .InPlace(0, 0)
      .InPlace(0, 1)
      .Strided()
      .Promote(op::Promotion::kCommon)
      .Samples([set] {
        std::vector<op::Sample> samples;
        for (DType d : ListOf(set)) {
          for (const Shape& s : {Shape{5, 3}, Shape{}, Shape{0, 2}}) {
            samples.push_back({{{d, s}, {d, s}}, {}, -1, 1, ""});
            if (d != DType::kFloat32) break;
          }
        }
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}, {DType::kFloat32, {3}}},
                      {},
                      Code::kInvalidArgument,
                      "expected one shape and dtype"}});
}

DType BitsOf(DType dtype) {
  switch (DTypeSize(dtype)) {
    case 1: return DType::kUInt8;
    case 2: return DType::kInt16;
    case 4: return DType::kInt32;
    case 8: return DType::kInt64;
    default: return DType::kComplex128;
  }
}

void CopyElements(device::Stream* stream, const op::TensorView& from, const op::TensorView& to) {
  if (from.dense() && to.dense() && from.meta.shape == to.meta.shape) {
    stream->Copy(to.as<std::byte>(), from.as<std::byte>(), to.meta.bytes());
    return;
  }
  if (from.meta.shape == to.meta.shape) return CopyBox(stream, from, to);
  const DType bits = BitsOf(to.meta.dtype);
  const DType storage[] = {bits, bits};
  const Same same;
  const RowInput input{&from};
  RunRow(stream, MoveRowOf(bits), &same, {&input, 1}, to, storage);
}

void FillElements(device::Stream* stream, const Scalar& value, const op::TensorView& to) {
  alignas(16) std::byte element[16];
  WriteElement(value, to.meta.dtype, element);
  const DType bits = BitsOf(to.meta.dtype);
  const DType storage[] = {bits, bits};
  const Same same;
  const RowInput input{nullptr, element};
  RunRow(stream, MoveRowOf(bits), &same, {&input, 1}, to, storage);
}

op::Value ReduceTo(op::Builder& b, op::Value x, const Shape& shape) {
  if (x == nullptr || x->meta().shape == shape) return x;
  return b.Call("sum_to", {std::move(x)}, {{"shape", DimsOf(shape)}});
}

op::Value Conj(op::Builder& b, const op::Value& x) {
  if (x == nullptr || !IsComplex(x->meta().dtype)) return x;
  return b.Call("conj_physical", {x});
}

op::Value CastTo(op::Builder& b, const op::Value& x, DType dtype) {
  if (x == nullptr || x->meta().dtype == dtype) return x;
  return b.Call("cast", {x}, {{"dtype", dtype}});
}

std::vector<op::Sample> UnarySamples(std::vector<DType> dtypes, double low, double high,
                                     Attrs attrs) {
  std::vector<op::Sample> samples;
  for (DType d : dtypes) {
    for (const Shape& shape : {Shape{5, 3}, Shape{}, Shape{0, 3}, Shape{2, 1, 4}}) {
      if (d != dtypes[0] && !samples.empty() && shape != Shape{5, 3}) continue;
      samples.push_back({{{d, shape}}, attrs, low, high, ""});
    }
  }
  // Long enough for whole vectors and a rest.
  samples.push_back({{{dtypes[0], {37, 3}}}, attrs, low, high, "long"});
  return samples;
}

std::vector<op::Sample> BinarySamples(std::vector<DType> dtypes, double low, double high) {
  const std::pair<Shape, Shape> shapes[] = {
      {{5, 3}, {5, 3}}, {{5, 3}, {3}},         {{5, 1}, {1, 3}}, {{5, 3}, {}},
      {{}, {}},         {{2, 3, 4}, {3, 1}},   {{0, 3}, {0, 3}}, {{1, 3}, {0, 3}},
      {{4}, {2, 3, 4}}, {{2, 1, 4}, {1, 3, 1}}};
  std::vector<op::Sample> samples;
  for (DType d : dtypes) {
    if (d != dtypes[0]) {  // what the loops do with shapes does not depend on the dtype
      samples.push_back({{{d, {6}}, {d, {6}}}, {}, low, high, ""});
      continue;
    }
    for (const auto& [a, b] : shapes) samples.push_back({{{d, a}, {d, b}}, {}, low, high, ""});
  }
  return samples;
}

}  // namespace ofl::ops
