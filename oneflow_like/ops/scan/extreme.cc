// The largest and the smallest element so far, and where it stands.
#include "oneflow_like/ops/scan/scan.h"

namespace ofl::ops {
namespace {

// Of equal values the last one counts, and NaN stays: as in torch.
template <class T, bool kMax>
Status RunExtreme(op::KernelContext& c) {
  const op::TensorView &x = c.inputs[0], &y = c.outputs[0], &where = c.outputs[1];
  if (y.numel() == 0) return Status::Ok();
  const RowStarts rows({&x, &y, &where}, ScanAxis(*c.attrs, x.meta.shape));
  const TileRows from(x, rows.stride(0), DTypeOf<T>::value, false);
  const TileRows to(y, rows.stride(1), DTypeOf<T>::value, false);
  const TileRows places(where, rows.stride(2), DType::kInt64, false);
  const int64_t n = rows.length();
  ForScanRows(c.stream, rows, 3, false, [&](const std::array<int64_t, 3>& at) {
    T tile[kScanTile];
    int64_t found[kScanTile];
    T best{};
    int64_t place = 0;
    for (int64_t i = 0; i < n; i += kScanTile) {
      const int64_t count = std::min(kScanTile, n - i);
      from.Load(at[0], i, count, tile);
      if (i == 0) best = tile[0];
      for (int64_t j = 0; j < count; ++j) {
        const T value = tile[j];
        // Nothing is before NaN but another one.
        if ((kMax ? value >= best : value <= best) || value != value) [[unlikely]] {
          best = value;
          place = i + j;
        }
        tile[j] = best;
        found[j] = place;
      }
      to.Store(at[1], i, count, tile);
      places.Store(at[2], i, count, found);
    }
  });
  return Status::Ok();
}

Status InferExtreme(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kReals | kBools));
  OFL_TRY(CheckScanAxis(c));
  c.AddOutput(c.input(0));
  c.AddOutput({DType::kInt64, c.input(0).shape});
  return Status::Ok();
}

void GradExtreme(op::GradContext& c) {
  if (c.grads[0] == nullptr) return;
  const Shape& shape = c.inputs[0]->meta().shape;
  if (shape.rank() == 0) {
    c.Set(0, c.grads[0]);
    return;
  }
  const int axis = AxisAttr(c.attrs, "dim", shape.rank());
  c.Set(0, c.b.Call("gather_grad", {c.grads[0], c.outputs[1]},
                    {{"dim", int64_t{axis}}, {"size", shape[axis]}}));
}

template <bool kMax>
void Extreme(op::OpDefBuilder& op, const char* doc) {
  op.Doc(doc)
      .In("input")
      .Out("values")
      .Out("indices")
      .Attr("dim", op::AttrType::kInt)
      .Infer(InferExtreme)
      .Sbp([](std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
        return ScanRule(in[0], attrs, 1, 2);
      })
      .Grad(GradExtreme)
      .Strided()
      .Unclaimed("P*->P*,*", "of a tensor without axes")
      .Oracle(kMax ? "running_extreme(np.maximum, input, dim)"
                   : "running_extreme(np.minimum, input, dim)")
      .Samples([] { return ScanSamples(kReals | kBools, -4, 4); })
      .ErrorSamples({ScanAxisError(),
                     {{{DType::kComplex64, {2}}},
                      {{"dim", int64_t{0}}},
                      Code::kTypeMismatch,
                      "has no order"}});
  ForEachDType<kReals | kBools>([&]<class Stored>(DType dtype) {
    using T = std::conditional_t<std::is_same_v<Stored, bool>, int32_t, Stored>;
    op.Cpu(dtype, RunExtreme<T, kMax>);
  });
}

}  // namespace

OFL_OP(cummax) {
  Extreme<true>(op, "The largest element up to each one along `dim`, and where it stands.");
  op.PyBoth("cummax(input, dim)");
}
OFL_OP(cummin) {
  Extreme<false>(op, "The smallest element up to each one along `dim`, and where it stands.");
  op.PyBoth("cummin(input, dim)");
}

}  // namespace ofl::ops
