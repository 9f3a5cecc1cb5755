// where: a choice between two tensors, and between a tensor and a number.
#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/elementwise/numbers.h"

namespace ofl::ops {
namespace {

// Of bits: a choice written as one becomes a jump, which unsorted conditions make slow.
struct Choose {
  template <class T>
  OFL_FN T operator()(bool condition, T a, T b) const {
    if constexpr (std::is_integral_v<T>) {
      const T taken = static_cast<T>(T(0) - static_cast<T>(condition));
      return static_cast<T>((a & taken) | (b & static_cast<T>(~taken)));
    } else {
      return condition ? a : b;
    }
  }
};

// `T` is any type of the element's size: values only move.
template <class T>
constexpr Row ChooseRow(DType bits) {
  return {Row3<Choose, T, bool, T, T>, 3, bits, {DType::kBool, bits, bits}};
}

// Of a condition and two choices, one of which may be a number.
Status RunChoose(op::KernelContext& c, std::span<const RowInput> inputs) {
  static const Row kRows[] = {ChooseRow<uint8_t>(DType::kUInt8), ChooseRow<uint16_t>(DType::kInt16),
                              ChooseRow<uint32_t>(DType::kInt32),
                              ChooseRow<uint64_t>(DType::kInt64),
                              ChooseRow<std::complex<double>>(DType::kComplex128)};
  const DType bits = BitsOf(c.outputs[0].meta.dtype);
  const DType storage[] = {DType::kBool, bits, bits, bits};
  const Choose choose;
  for (const Row& row : kRows) {
    if (row.out == bits) RunRow(c.stream, row, &choose, inputs, c.outputs[0], storage);
  }
  return Status::Ok();
}

Status RunWhere(op::KernelContext& c) {
  const RowInput inputs[] = {{&c.inputs[0]}, {&c.inputs[1]}, {&c.inputs[2]}};
  return RunChoose(c, inputs);
}

Status RunWhereNumber(op::KernelContext& c) {
  alignas(16) std::byte element[16];
  WriteElement(c.number("value"), c.outputs[0].meta.dtype, element);
  RowInput inputs[] = {{&c.inputs[0]}, {nullptr, element}, {&c.inputs[1]}};
  if (!c.attr<bool>("holds")) std::swap(inputs[1], inputs[2]);
  return RunChoose(c, inputs);
}

Status InferWhereNumber(op::InferContext& c) {
  OFL_ENSURE(c.input(0).dtype == DType::kBool, Code::kTypeMismatch)
      << "the condition is not bool; expected condition: bool; compare with 0 first";
  OFL_TRY(CheckHolds(c.input(1).dtype, c.number("value")));
  const auto shape = BroadcastShapes(c.input(0).shape, c.input(1).shape);
  OFL_ENSURE(shape.ok(), Code::kInvalidArgument) << shape.status().message();
  c.AddOutput({c.input(1).dtype, *shape});
  return Status::Ok();
}

// `x` where the condition is `holds`, 0 elsewhere.
op::Value Kept(op::Builder& b, const op::Value& condition, bool holds, const op::Value& x) {
  return holds ? ZeroUnless(b, condition, x) : Filled(b, condition, int64_t{0}, x);
}

Status InferWhere(op::InferContext& c) {
  OFL_ENSURE(c.input(0).dtype == DType::kBool, Code::kTypeMismatch)
      << "the condition is not bool; expected condition: bool; compare with 0 first";
  OFL_ENSURE(c.input(1).dtype == c.input(2).dtype, Code::kTypeMismatch)
      << "the dtypes of input and other differ; expected one dtype; convert with .to(dtype)";
  auto shape = BroadcastShapes(c.input(0).shape, c.input(1).shape);
  if (shape.ok()) shape = BroadcastShapes(*shape, c.input(2).shape);
  OFL_ENSURE(shape.ok(), Code::kInvalidArgument) << shape.status().message();
  c.AddOutput({c.input(1).dtype, *shape});
  return Status::Ok();
}

void GradWhere(op::GradContext& c) {
  for (int i : {1, 2}) {
    if (!c.Needs(i)) continue;
    const op::Value taken = Kept(c.b, c.inputs[0], i == 1, c.grads[0]);
    c.Set(i, ReduceTo(c.b, taken, c.inputs[i]->meta().shape));
  }
}

void GradWhereNumber(op::GradContext& c) {
  if (!c.Needs(1)) return;
  const op::Value taken = Kept(c.b, c.inputs[0], !c.attrs.Get<bool>("holds"), c.grads[0]);
  c.Set(1, ReduceTo(c.b, taken, c.inputs[1]->meta().shape));
}

std::vector<op::Sample> WhereSamples() {
  constexpr DType kB = DType::kBool, kF = DType::kFloat32;
  return {{{{kB, {5, 3}}, {kF, {5, 3}}, {kF, {5, 3}}}, {}},
          {{{kB, {3}}, {kF, {5, 1}}, {kF, {}}}, {}},
          {{{kB, {5, 1}}, {kF, {5, 3}}, {kF, {3}}}, {}},
          {{{kB, {}}, {kF, {4}}, {kF, {4}}}, {}},
          {{{kB, {0, 3}}, {kF, {0, 3}}, {kF, {3}}}, {}},
          {{{kB, {5, 3}}, {DType::kInt64, {5, 3}}, {DType::kInt64, {5, 3}}}, {}},
          {{{kB, {5}}, {kB, {5}}, {kB, {5}}}, {}},
          {{{kB, {5}}, {DType::kBFloat16, {5}}, {DType::kBFloat16, {5}}}, {}},
          {{{kB, {5}}, {DType::kComplex128, {5}}, {DType::kComplex128, {5}}}, {}}};
}

}  // namespace

OFL_OP(where) {
  op.Doc("input where condition is true, other elsewhere, with NumPy broadcasting.")
      .In("condition")
      .NoPromotion("condition")
      .In("input")
      .In("other")
      .Out("output")
      .Infer(InferWhere)
      .Sbp(
          "(...),(...),(...)->(...); linear jointly 1 2; monotone 1 2; "
          "max jointly 1 2; min jointly 1 2")
      .Grad(GradWhere)
      .Traits({op::Trait::kElementwise})
      .Promote(op::Promotion::kCommon)
      .InPlace(0, 1)
      .InPlace(0, 2)
      .Strided()
      .Cpu(DType::kBool, RunWhere)
      .Oracle("np.where(condition, input, other)")
      .PyMethod("where(input, condition, other)")  // before the function's form: they look alike
      .Py("where(condition, input, other)")
      .Public()
      .Samples(WhereSamples)
      .ErrorSamples({{{{DType::kInt64, {2}}, {DType::kFloat32, {2}}, {DType::kFloat32, {2}}},
                      {},
                      Code::kTypeMismatch,
                      "the condition is not bool: got condition: int64[2]"},
                     {{{DType::kBool, {2}}, {DType::kFloat32, {2}}, {DType::kInt64, {2}}},
                      {},
                      Code::kTypeMismatch,
                      "dtypes of input and other differ"},
                     {{{DType::kBool, {2}}, {DType::kFloat32, {3}}, {DType::kFloat32, {3}}},
                      {},
                      Code::kInvalidArgument,
                      "cannot be broadcast"}});
}

OFL_OP(where_number) {
  static constexpr char kTruth[] = "holds for bool alone, of which it is the one or the other";
  constexpr DType kB = DType::kBool, kF = DType::kFloat32;
  op.Doc("The number `value` where the condition is `holds`, input elsewhere, with broadcasting.")
      .In("condition")
      .In("input")
      .Out("output")
      .Attr("value", op::AttrType::kScalar)
      .Attr("holds", op::AttrType::kBool, true)
      .Infer(InferWhereNumber)
      .Sbp([](std::span<const Shape>, std::span<const Shape>, const Attrs& attrs) {
        const Scalar value = attrs.Number("value");
        const bool zero = value.category() != DTypeCategory::kComplex && value.As<double>() == 0;
        return std::string("(...),(...)->(...); monotone 1") + (zero ? "; linear 1" : "");
      })
      .Grad(GradWhereNumber)
      .Traits({op::Trait::kElementwise})
      .InPlace(0, 1)
      .Strided()
      .Cpu(DType::kBool, RunWhereNumber)
      .Unclaimed("P*,P*->P*", kTruth)
      .Unclaimed("P*,B->P*", kTruth)
      .Oracle("np.where(condition == holds, np.asarray(value).astype(input.dtype), input)")
      .Py("where_number(condition, input, value, holds=True)")
      .Samples([] {
        const Attrs zero = {{"value", int64_t{0}}}, some = {{"value", 1.5}};
        const Attrs kept = {{"value", int64_t{0}}, {"holds", false}};
        std::vector<op::Sample> samples = {
            {{{kB, {5, 3}}, {kF, {5, 3}}}, zero}, {{{kB, {5, 3}}, {kF, {5, 3}}}, some},
            {{{kB, {3}}, {kF, {5, 1}}}, kept},    {{{kB, {5, 1}}, {kF, {}}}, some},
            {{{kB, {}}, {kF, {4}}}, kept},        {{{kB, {0, 3}}, {kF, {3}}}, zero}};
        for (DType dtype : AllDTypes())
          if (dtype != kF) samples.push_back({{{kB, {5}}, {dtype, {5}}}, kept});
        return samples;
      })
      .ErrorSamples({{{{DType::kInt64, {2}}, {kF, {2}}},
                      {{"value", int64_t{0}}},
                      Code::kTypeMismatch,
                      "the condition is not bool"},
                     {{{kB, {2}}, {DType::kInt8, {2}}},
                      {{"value", 200.5}},
                      Code::kInvalidArgument,
                      "int8 cannot hold the value"},
                     {{{kB, {2}}, {kF, {3}}},
                      {{"value", int64_t{0}}},
                      Code::kInvalidArgument,
                      "cannot be broadcast"}});
}

}  // namespace ofl::ops
