// tril and triu: the lower and the upper triangles of matrices.
#include <algorithm>

#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

Status InferTril(op::InferContext& c) {
  OFL_ENSURE(c.input(0).shape.rank() >= 2, Code::kInvalidArgument)
      << "input must have at least two axes; expected a matrix, or several";
  c.AddOutput(c.input(0));
  return Status::Ok();
}

std::string TrilRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const std::string axes = "(" + Labels("b", in[0].rank() - 2) + " r c)";
  return axes + "->" + axes + "; offset r c; linear 0; monotone 0";
}

// `lower`: of each row the columns before its bound stay, else those from there on.
template <class T>
void CopyTriangle(op::KernelContext& c, bool lower, int64_t shift) {
  const op::TensorView &x = c.inputs[0], &y = c.outputs[0];
  const int last = y.meta.shape.rank() - 1;
  const int64_t height = y.meta.shape[last - 1], width = y.meta.shape[last];
  const int64_t from_step = x.strides[last], to_step = y.strides[last];
  // Rows: all axes but the last.
  const Shape rows(y.meta.shape.dims().first(last));
  const std::array<Strides, 2> strides = {Strides(x.strides.dims().first(last)),
                                          Strides(y.strides.dims().first(last))};
  Parallel(c.stream, rows.numel(), RowGrain(width), [&](int64_t begin, int64_t end) {
    int64_t row = begin;
    ForRows<2>(rows, strides, begin, end, [&](const auto& offset, int64_t n) {
      for (int64_t r = 0; r < n; ++r, ++row) {
        const int64_t bound = std::clamp<int64_t>(row % height + shift, 0, width);
        const int64_t kept = lower ? 0 : bound, kept_end = lower ? bound : width;
        const int64_t cleared = lower ? bound : 0, cleared_end = lower ? width : bound;
        const T* from = x.as<T>() + offset[0] + r * strides[0][last - 1];
        T* to = y.as<T>() + offset[1] + r * strides[1][last - 1];
        for (int64_t j = kept; x.data != y.data && j < kept_end; ++j)
          to[j * to_step] = from[j * from_step];
        for (int64_t j = cleared; j < cleared_end; ++j) to[j * to_step] = T{};
      }
    });
  });
}

template <bool kLower>
Status RunTriangle(op::KernelContext& c) {
  const int rank = c.inputs[0].meta.shape.rank();
  if (c.inputs[0].numel() == 0) return Status::Ok();
  // Column j of local row i stays when its logical position is on the diagonal or on its side.
  // A diagonal further away than any element is as good as one at kMaxElements.
  const int64_t diagonal = std::clamp(c.attr<int64_t>("diagonal"), -kMaxElements, kMaxElements);
  const int64_t shift =
      c.input_offsets[0][rank - 2] - c.input_offsets[0][rank - 1] + diagonal + (kLower ? 1 : 0);
  WithBits(ElementSize(c.outputs[0]),
           [&](auto bits) { CopyTriangle<decltype(bits)>(c, kLower, shift); });
  return Status::Ok();
}

template <bool kLower>
void GradTriangle(op::GradContext& c) {
  if (c.grads[0] && c.Needs(0)) c.Set(0, c.b.Call(kLower ? "tril" : "triu", {c.grads[0]}, c.attrs));
}

template <bool kLower>
op::OpDefBuilder& Triangle(op::OpDefBuilder& op, const char* doc) {
  op.Doc(doc)
      .In("input")
      .Out("output")
      .Attr("diagonal", op::AttrType::kInt, int64_t{0})
      .Infer(InferTril)
      .Sbp(TrilRule)
      .Grad(GradTriangle<kLower>)
      .InPlace(0, 0)
      .Strided()
      .Samples([]() -> std::vector<op::Sample> {
        const auto sample = [](Shape s, int64_t diagonal, DType dtype = DType::kFloat32) {
          return op::Sample{{{dtype, s}}, {{"diagonal", diagonal}}};
        };
        return {sample({5, 4}, 0),
                sample({2, 3, 3}, 1),
                sample({3, 5}, -1),
                sample({0, 3}, 0),
                sample({3, 3}, 0, DType::kComplex128),
                sample({3, 3}, 0, DType::kBFloat16),
                sample({3, 3}, 0, DType::kBool)};
      })
      .ErrorSamples({{{{DType::kFloat32, {5}}}, {}, Code::kInvalidArgument, "two axes"}});
  CpuForAllTypes(op, RunTriangle<kLower>);
  return op;
}

}  // namespace

OFL_OP(tril) {
  Triangle<true>(op, "`input` with zeros above the given diagonal of its last two axes.")
      .Oracle("np.tril(input, diagonal)")
      .PyBoth("tril(input, diagonal=0)")
      .Method("tril_");
}

OFL_OP(triu) {
  Triangle<false>(op, "`input` with zeros below the given diagonal of its last two axes.")
      .Oracle("np.triu(input, diagonal)")
      .PyBoth("triu(input, diagonal=0)")
      .Method("triu_");
}

}  // namespace ofl::ops
