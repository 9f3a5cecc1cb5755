// Where the elements are that are not zero.
#include "oneflow_like/ops/kernel_util.h"

namespace ofl::ops {
namespace {

Status InferNonzero(op::InferContext& c) {
  const Shape& shape = c.input(0).shape;
  c.AddOutput({DType::kInt64, {shape.numel(), shape.rank()}});  // at most so many
  return Status::Ok();
}

// Any element may stand anywhere in the result.
std::string NonzeroRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  std::string axes;
  for (int i = 0; i < in[0].rank(); ++i) axes += i > 0 ? " !" : "!";
  return "(" + axes + ")->(! !)";
}

struct Value {
  template <class T>
  bool operator()(T x) const {
    return x != T{};
  }
};
// Of float16 and bfloat16 both zeros, which differ in the sign bit alone.
struct HalfBits {
  bool operator()(uint16_t bits) const { return (bits & 0x7fff) != 0; }
};

template <class T, class Counts = Value>
Status RunNonzero(op::KernelContext& c) {
  const T* x = c.inputs[0].as<T>();
  const Shape& shape = c.inputs[0].meta.shape;
  int64_t* out = c.outputs[0].as<int64_t>();
  int64_t used = 0;
  for (int64_t i = 0; i < shape.numel(); ++i) {
    if (!Counts{}(x[i])) continue;
    int64_t rest = i;
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      out[used * shape.rank() + axis] = rest % shape[axis];
      rest /= shape[axis];
    }
    ++used;
  }
  *c.extent = used;
  return Status::Ok();
}

}  // namespace

OFL_OP(nonzero) {
  constexpr DType kF = DType::kFloat32;
  op.Doc(
        "The indices of the elements that are not zero: int64 of shape (count, axes), in the\n"
        "order of the elements. Its size depends on values, so a graph refuses it.")
      .In("input")
      .OutBounded("output")
      .Infer(InferNonzero)
      .Sbp(NonzeroRule)
      .NotDifferentiable("an index is piecewise constant")
      .Cpu(kF, RunNonzero<float>)
      .Cpu(DType::kFloat64, RunNonzero<double>)
      .Cpu(DType::kFloat16, RunNonzero<uint16_t, HalfBits>)
      .Cpu(DType::kBFloat16, RunNonzero<uint16_t, HalfBits>)
      .Cpu(DType::kInt8, RunNonzero<int8_t>)
      .Cpu(DType::kUInt8, RunNonzero<uint8_t>)
      .Cpu(DType::kInt16, RunNonzero<int16_t>)
      .Cpu(DType::kInt32, RunNonzero<int32_t>)
      .Cpu(DType::kInt64, RunNonzero<int64_t>)
      .Cpu(DType::kBool, RunNonzero<bool>)
      .Cpu(DType::kComplex64, RunNonzero<std::complex<float>>)
      .Cpu(DType::kComplex128, RunNonzero<std::complex<double>>)
      .Oracle("np.argwhere(input)")
      .Py("nonzero(input)")
      .PyBoth("argwhere(input)")
      .Samples([] {
        return std::vector<op::Sample>{{{{DType::kInt64, {4, 3}}}, {}, -1, 2, ""},
                                       {{{DType::kBool, {7}}}},
                                       {{{kF, {0, 3}}}},
                                       {{{DType::kInt64, {2, 1, 3}}}, {}, 0, 2, ""}};
      });
}

}  // namespace ofl::ops
