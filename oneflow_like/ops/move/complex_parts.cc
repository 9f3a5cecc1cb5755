// view_as_real and view_as_complex: complex numbers as pairs of real ones, and back, in one memory.
#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

using Inputs = std::span<const op::Value>;

Shape WithPairs(const Shape& shape) {
  Shape pairs = shape;
  pairs.push_back(2);
  return pairs;
}

Result<op::ViewGeometry> ViewReal(const Shape& base, const Strides& strides, const Attrs&) {
  Strides pairs;
  for (int i = 0; i < base.rank(); ++i) pairs.push_back(2 * strides[i]);
  pairs.push_back(1);
  return op::ViewGeometry{WithPairs(base), pairs, 0};
}

Result<op::ViewGeometry> ViewComplex(const Shape& base, const Strides& strides, const Attrs&) {
  const int last = base.rank() - 1;
  Shape shape = base;
  shape.erase(last);
  Strides numbers;
  if (base.numel() == 0) return op::ViewGeometry{shape, ContiguousStrides(shape), 0};
  OFL_ENSURE(strides[last] == 1, Code::kUnimplemented)
      << "the two parts of a number do not lie side by side: got a last stride of " << strides[last]
      << "; expected 1; use contiguous() first";
  for (int i = 0; i < last; ++i) {
    OFL_ENSURE(strides[i] % 2 == 0 || base[i] <= 1, Code::kUnimplemented)
        << "numbers overlap: got a stride of " << strides[i] << " along axis " << i
        << "; expected even strides; use contiguous() first";
    numbers.push_back(strides[i] / 2);
  }
  return op::ViewGeometry{shape, numbers, 0};
}

Status InferReal(op::InferContext& c) {
  OFL_ENSURE(IsComplex(c.input(0).dtype), Code::kTypeMismatch)
      << "input's numbers are not complex; expected complex64 or complex128";
  c.AddOutput({RealOf(c.input(0).dtype), WithPairs(c.input(0).shape)});
  return Status::Ok();
}

Status InferComplex(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, SetOf(DType::kFloat32, DType::kFloat64)));
  Shape shape = c.input(0).shape;
  OFL_ENSURE(shape.rank() > 0 && shape[shape.rank() - 1] == 2, Code::kInvalidArgument)
      << "the last axis holds no pairs; expected a last axis of size 2";
  shape.erase(shape.rank() - 1);
  c.AddOutput({ComplexOf(c.input(0).dtype), shape});
  return Status::Ok();
}

// A copy of what the view sees.
template <op::ViewFn kView>
Status RunView(op::KernelContext& c) {
  OFL_ASSIGN(const op::ViewGeometry seen,
             kView(c.inputs[0].meta.shape, c.inputs[0].strides, *c.attrs));
  CopyElements(c.stream, {c.inputs[0].data, c.outputs[0].meta, seen.strides}, c.outputs[0]);
  return Status::Ok();
}

template <bool kReal>
std::string PairsRule(std::span<const Shape> in, std::span<const Shape> out, const Attrs&) {
  const std::string numbers = Labels("a", (kReal ? in : out)[0].rank());
  const std::string pairs = numbers + (numbers.empty() ? "!" : " !");
  return kReal ? "(" + numbers + ")->(" + pairs + "); linear 0"
               : "(" + pairs + ")->(" + numbers + "); linear 0";
}

// The base is replaced whole, by a value that may be broadcast.
template <bool kReal>
op::Values ComposePut(op::Builder& b, Inputs in, const Attrs&) {
  const Shape& base = in[0]->meta().shape;
  if (!kReal && (base.rank() == 0 || base[base.rank() - 1] != 2)) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "the last axis holds no pairs: got base: " << in[0]->meta().ToString()
                          << "; expected a last axis of size 2");
  }
  Shape shape = base;
  if (kReal) {
    shape.push_back(2);
  } else {
    shape.erase(shape.rank() - 1);
  }
  const op::Value value = b.Call("broadcast_to", {in[1]}, {{"shape", DimsOf(shape)}});
  return {Of(b, kReal ? "view_as_complex" : "view_as_real", value)};
}

op::Sample PutSample(DType base, Shape shape, DType value, Shape of) {
  return {{{base, std::move(shape)}, {value, std::move(of)}}, {}};
}

}  // namespace

OFL_OP(view_as_real) {
  op.Doc("Complex numbers as pairs of their real and imaginary parts along a last axis.")
      .In("input")
      .Out("output")
      .Strided("input")
      .Infer(InferReal)
      .Sbp(PairsRule<true>)
      .Grad([](op::GradContext& c) { c.Set(0, Of(c.b, "view_as_complex", c.grads[0])); })
      .View(ViewReal, "view_as_real_scatter")
      .Cpu(DType::kComplex64, RunView<ViewReal>)
      .Cpu(DType::kComplex128, RunView<ViewReal>)
      .Oracle("np.stack([input.real, input.imag], -1)")
      .Py("view_as_real(input)")
      .Public()
      .Samples([] { return UnarySamples({DType::kComplex64, DType::kComplex128}); })
      .ErrorSamples({{{{DType::kFloat32, {2}}}, {}, Code::kTypeMismatch, "not complex"}});
}

OFL_OP(view_as_complex) {
  op.Doc("Pairs of real and imaginary parts along the last axis as complex numbers.")
      .In("input")
      .Out("output")
      .Infer(InferComplex)
      .Sbp(PairsRule<false>)
      .Grad([](op::GradContext& c) { c.Set(0, Of(c.b, "view_as_real", c.grads[0])); })
      .View(ViewComplex, "view_as_complex_scatter")
      .Cpu(DType::kFloat32, RunView<ViewComplex>)
      .Cpu(DType::kFloat64, RunView<ViewComplex>)
      .Oracle("input[..., 0] + 1j * input[..., 1]")
      .Py("view_as_complex(input)")
      .Public()
      .Samples([] {
        std::vector<op::Sample> samples;
        for (const Shape& shape : {Shape{5, 3, 2}, Shape{4, 2}, Shape{2}, Shape{0, 2}, Shape{1, 2}})
          for (DType dtype : {DType::kFloat32, DType::kFloat64})
            samples.push_back({{{dtype, shape}}, {}});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {3}}}, {}, Code::kInvalidArgument, "size 2"}});
}

OFL_OP(view_as_real_scatter) {
  op.Doc("The complex numbers of which `value` has the parts, in the shape of `base`.")
      .In("base")
      .In("value")
      .Out("output")
      .Compose(ComposePut<true>)
      .Oracle("np.broadcast_to(value, (*base.shape, 2)) @ np.array([1, 1j])")
      .Py("_view_as_real_scatter(base, value)")
      .Samples([]() -> std::vector<op::Sample> {
        return {PutSample(DType::kComplex64, {3, 2}, DType::kFloat32, {3, 2, 2}),
                PutSample(DType::kComplex64, {3}, DType::kFloat32, {2})};
      });
}

OFL_OP(view_as_complex_scatter) {
  op.Doc("The parts of the complex numbers `value`, in the shape of `base`.")
      .In("base")
      .In("value")
      .Out("output")
      .Compose(ComposePut<false>)
      .Oracle(
          "np.stack([np.broadcast_to(value, base.shape[:-1]).real, "
          "np.broadcast_to(value, base.shape[:-1]).imag], -1)")
      .Py("_view_as_complex_scatter(base, value)")
      .Samples([]() -> std::vector<op::Sample> {
        return {PutSample(DType::kFloat32, {3, 2, 2}, DType::kComplex64, {3, 2}),
                PutSample(DType::kFloat32, {3, 2}, DType::kComplex64, {1})};
      })
      .ErrorSamples({{PutSample(DType::kFloat32, {}, DType::kComplex64, {}).inputs,
                      {},
                      Code::kInvalidArgument,
                      "size 2"}});
}

}  // namespace ofl::ops
