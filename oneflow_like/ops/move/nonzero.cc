// Where the elements are that are not zero.
#include <algorithm>
#include <array>
#include <complex>

#include "oneflow_like/ops/elementwise/loops.h"
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

// The indices of the elements that count, at most as many as there is room for; how many they are.
// Every element is written behind those that count, which the next one then replaces or keeps:
// without a jump, since which elements count cannot be foreseen.
template <class T, class Counts>
int64_t Find(const op::TensorView& in, int64_t* out, int64_t room) {
  const T* x = in.as<T>();
  const Shape& shape = in.meta.shape;
  const int rank = shape.rank(), last = rank - 1;
  if (shape.numel() == 0) return 0;
  if (rank == 0) return room > 0 && Counts{}(ElementAt(x)) ? 1 : 0;
  const int64_t width = shape[last], rows = shape.numel() / width;
  std::array<int64_t, kMaxRank> at{};
  int64_t used = 0;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < width && used < room; ++j) {
      int64_t* entry = out + used * rank;
      for (int i = 0; i < last; ++i) entry[i] = at[i];
      entry[last] = j;
      used += Counts{}(ElementAt(x + r * width + j)) ? 1 : 0;
    }
    for (int i = last - 1; i >= 0; --i) {
      if (++at[i] < shape[i]) break;
      at[i] = 0;
    }
  }
  return used;
}

constexpr int64_t kMostRows = int64_t{1} << 48;

Status InferStatic(op::InferContext& c) {
  const int64_t size = c.attr<int64_t>("size");
  OFL_ENSURE(size >= 0 && size <= kMostRows, Code::kInvalidArgument)
      << "size is no number of rows; expected at least 0, at most 2^48";
  const Shape shape{size, c.input(0).shape.rank()};
  OFL_TRY(shape.Check());
  c.AddOutput({DType::kInt64, shape});
  return Status::Ok();
}

// The kernel of each dtype: a template of the type that it is stored in.
template <template <class, class> class Kernel>
void ForStoredTypes(op::OpDefBuilder& op) {
  op.Cpu(DType::kFloat32, Kernel<float, Value>::Run)
      .Cpu(DType::kFloat64, Kernel<double, Value>::Run)
      .Cpu(DType::kFloat16, Kernel<uint16_t, HalfBits>::Run)
      .Cpu(DType::kBFloat16, Kernel<uint16_t, HalfBits>::Run)
      .Cpu(DType::kInt8, Kernel<int8_t, Value>::Run)
      .Cpu(DType::kUInt8, Kernel<uint8_t, Value>::Run)
      .Cpu(DType::kInt16, Kernel<int16_t, Value>::Run)
      .Cpu(DType::kInt32, Kernel<int32_t, Value>::Run)
      .Cpu(DType::kInt64, Kernel<int64_t, Value>::Run)
      .Cpu(DType::kBool, Kernel<bool, Value>::Run)
      .Cpu(DType::kComplex64, Kernel<std::complex<float>, Value>::Run)
      .Cpu(DType::kComplex128, Kernel<std::complex<double>, Value>::Run);
}
template <class T, class Counts>
struct Bounded {
  static Status Run(op::KernelContext& c) {
    const op::TensorView& x = c.inputs[0];
    *c.extent = Find<T, Counts>(x, c.outputs[0].as<int64_t>(), x.numel());
    return Status::Ok();
  }
};
template <class T, class Counts>
struct Sized {
  static Status Run(op::KernelContext& c) {
    const op::TensorView& y = c.outputs[0];
    const int64_t used = Find<T, Counts>(c.inputs[0], y.as<int64_t>(), y.meta.shape[0]);
    int64_t* const all = y.as<int64_t>();
    std::fill(all + used * y.meta.shape[1], all + y.numel(), c.attr<int64_t>("fill_value"));
    return Status::Ok();
  }
};

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
      .Oracle("np.argwhere(input)")
      .Py("nonzero(input)")
      .PyBoth("argwhere(input)")
      .Samples([] {
        return std::vector<op::Sample>{{{{DType::kInt64, {4, 3}}}, {}, -1, 2, ""},
                                       {{{DType::kBool, {7}}}},
                                       {{{kF, {0, 3}}}},
                                       {{{DType::kInt64, {2, 1, 3}}}, {}, 0, 2, ""}};
      });
  ForStoredTypes<Bounded>(op);
}

OFL_OP(nonzero_static) {
  op.Doc(
        "The indices of the first `size` elements that are not zero, in the order of the elements, "
        "as int64\nof shape (size, axes): nonzero in a shape that depends on no value. Rows that "
        "are "
        "left are `fill_value`.")
      .In("input")
      .Out("output")
      .Attr("size", op::AttrType::kInt)
      .Attr("fill_value", op::AttrType::kInt, int64_t{-1})
      .Infer(InferStatic)
      .Sbp(NonzeroRule)
      .NotDifferentiable("an index is piecewise constant")
      .Oracle("nonzero_static(input, size, fill_value)")
      .PyBoth("nonzero_static(input, *, size, fill_value=-1)")
      .Samples([] {
        const auto of = [](DType dtype, Shape shape, int64_t size) {
          return op::Sample{{{dtype, shape}}, {{"size", size}}, -1, 2, ""};
        };
        std::vector<op::Sample> samples = {
            of(DType::kInt64, {4, 3}, 5), of(DType::kBool, {7}, 9), of(DType::kFloat32, {0, 3}, 2),
            of(DType::kInt64, {2, 1, 3}, 0), of(DType::kInt64, {}, 3)};
        samples[0].attrs.Set("fill_value", int64_t{7});
        return samples;
      })
      .ErrorSamples({{{{DType::kInt64, {2}}},
                      {{"size", int64_t{-1}}},
                      Code::kInvalidArgument,
                      "expected at least 0"}});
  ForStoredTypes<Sized>(op);
}

}  // namespace ofl::ops
