#include "oneflow_like/ops/conv/pool.h"

namespace ofl::ops {
namespace {

DType WideOf(DType dtype) {
  return IsHalf(dtype) ? DType::kFloat32 : IsInteger(dtype) ? DType::kInt64 : dtype;
}

}  // namespace

int SpatialOf(const Attrs& attrs) { return static_cast<int>(attrs.Get<Ints>("size").size()); }

// `in` and `out` end in the spatial axes.
Pool PoolOf(const Shape& in, const Shape& out, const Attrs& attrs) {
  const int spatial = SpatialOf(attrs), lead = in.rank() - spatial;
  Pool p;
  p.planes = ProductOf(in, 0, lead);
  p.adaptive = attrs.Get<bool>("adaptive");
  const auto at = [&](const char* name, int i) { return attrs.Get<Ints>(name)[i]; };
  for (int i = 0; i < spatial; ++i) {
    AxisWindows& a = p.axes[static_cast<size_t>(3 - spatial + i)];
    a.in = in[lead + i];
    a.out = out[lead + i];
    a.adaptive = p.adaptive;
    if (p.adaptive) continue;
    a.kernel = at("kernel", i);
    a.stride = at("stride", i);
    a.before = at("padding", i);
    if (attrs.Has("dilation")) a.dilation = at("dilation", i);
  }
  return p;
}

Status CheckPool(const op::InferContext& c, const Shape& in) {
  const int spatial = SpatialOf(c.attrs());
  OFL_ENSURE(spatial >= 1 && spatial <= 3 && in.rank() >= spatial, Code::kInvalidArgument)
      << "got input: " << in << " and " << spatial
      << " sizes; expected one, two or three of its last axes";
  OFL_TRY(CheckSizes(c.attr<Ints>("size"), spatial, "size", 0));
  for (int i = 0; i < spatial; ++i) {
    OFL_ENSURE(in[in.rank() - spatial + i] > 0, Code::kInvalidArgument)
        << "spatial axis " << i << " is empty: got " << in << "; expected at least one element";
  }
  if (c.attr<bool>("adaptive")) return Status::Ok();
  for (const char* name : {"kernel", "stride", "dilation", "padding"}) {
    if (!c.attrs().Has(name)) continue;
    const bool least = std::string_view(name) != "padding";
    OFL_TRY(CheckSizes(c.attr<Ints>(name), spatial, name, least));
  }
  return Status::Ok();
}

Shape Pooled(const Shape& in, const Ints& size) {
  Shape out = in;
  for (size_t i = 0; i < size.size(); ++i)
    out[in.rank() - static_cast<int>(size.size() - i)] = size[i];
  return out;
}

std::string Lead(const Shape& shape, const Attrs& attrs) {
  const int spatial = SpatialOf(attrs);
  std::string text = "(" + Labels("l", shape.rank() - spatial);
  for (int i = 0; i < spatial; ++i) text += " !";
  return text + ")";
}

op::OpDefBuilder& WithWindows(op::OpDefBuilder& op) {
  return op.Attr("kernel", op::AttrType::kInts, Ints{})
      .Attr("stride", op::AttrType::kInts, Ints{})
      .Attr("padding", op::AttrType::kInts, Ints{})
      .Attr("size", op::AttrType::kInts)
      .Attr("adaptive", op::AttrType::kBool, false);
}

op::TensorView WideRoom(const op::TensorView& x, MutableBytes& scratch) {
  const TensorMeta meta{WideOf(x.meta.dtype), x.meta.shape};
  if (meta.dtype == x.meta.dtype) return x;
  op::TensorView wide(x.numel() > 0 ? scratch.data() : nullptr, meta);
  scratch = scratch.subspan(static_cast<size_t>(meta.bytes()));
  return wide;
}
Result<op::TensorView> WideCopy(op::KernelContext& c, const op::TensorView& x,
                                MutableBytes& scratch) {
  const op::TensorView wide = WideRoom(x, scratch);
  if (wide.meta.dtype != x.meta.dtype) OFL_TRY(CastElements(c.stream, x, wide));
  return wide;
}
Status StoreWide(op::KernelContext& c, const op::TensorView& wide, const op::TensorView& to) {
  return wide.meta.dtype == to.meta.dtype ? Status::Ok() : CastElements(c.stream, wide, to);
}
int64_t WideBytes(const TensorMeta& meta) {
  const TensorMeta wide{WideOf(meta.dtype), meta.shape};
  return wide.dtype == meta.dtype ? 0 : wide.bytes();
}
int64_t WideScratch(std::span<const TensorMeta> in, std::span<const TensorMeta> out, const Attrs&,
                    int) {
  return SaturatingAdd(WideBytes(in[0]), WideBytes(out[0]));
}
}  // namespace ofl::ops
