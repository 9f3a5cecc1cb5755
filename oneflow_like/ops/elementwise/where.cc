// where: a choice between two tensors.
#include "oneflow_like/ops/elementwise/family.h"

namespace ofl::ops {
namespace {

struct Choose {
  template <class T>
  OFL_FN T operator()(bool condition, T a, T b) const {
    return condition ? a : b;
  }
};

// `T` is any type of the element's size: values only move.
template <class T>
constexpr Row ChooseRow(DType bits) {
  return {Row3<Choose, T, bool, T, T>, 3, bits, {DType::kBool, bits, bits}};
}

Status RunWhere(op::KernelContext& c) {
  static const Row kRows[] = {ChooseRow<uint8_t>(DType::kUInt8), ChooseRow<uint16_t>(DType::kInt16),
                              ChooseRow<uint32_t>(DType::kInt32),
                              ChooseRow<uint64_t>(DType::kInt64),
                              ChooseRow<std::complex<double>>(DType::kComplex128)};
  const DType bits = BitsOf(c.outputs[0].meta.dtype);
  const DType storage[] = {DType::kBool, bits, bits, bits};
  const Choose choose;
  for (const Row& row : kRows) {
    if (row.out != bits) continue;
    const RowInput inputs[] = {{&c.inputs[0]}, {&c.inputs[1]}, {&c.inputs[2]}};
    RunRow(c.stream, row, &choose, inputs, c.outputs[0], storage);
  }
  return Status::Ok();
}

Status InferWhere(op::InferContext& c) {
  OFL_ENSURE(c.input(0).dtype == DType::kBool, Code::kTypeMismatch)
      << "the condition is not bool; expected condition: bool; compare with 0 first";
  OFL_ENSURE(c.input(1).dtype == c.input(2).dtype, Code::kTypeMismatch)
      << "the dtypes of input and other differ; expected one dtype; convert with .to(dtype)";
  auto shape = BroadcastShapes(c.input(0).shape, c.input(1).shape);
  if (shape.ok()) shape = BroadcastShapes(*shape, c.input(2).shape);
  OFL_ENSURE(shape.ok(), Code::kInvalidArgument)
      << shape.status().message() << "; expected equal sizes or 1";
  c.AddOutput({c.input(1).dtype, *shape});
  return Status::Ok();
}

void GradWhere(op::GradContext& c) {
  const op::Value none = c.b.Call("zeros_like", {c.grads[0]});
  if (c.Needs(1)) {
    const op::Value taken = c.b.Call("where", {c.inputs[0], c.grads[0], none});
    c.Set(1, ReduceTo(c.b, taken, c.inputs[1]->meta().shape));
  }
  if (c.Needs(2)) {
    const op::Value left = c.b.Call("where", {c.inputs[0], none, c.grads[0]});
    c.Set(2, ReduceTo(c.b, left, c.inputs[2]->meta().shape));
  }
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

}  // namespace ofl::ops
