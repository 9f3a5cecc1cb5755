// unique and unique_consecutive: how many there are depends on values.
#include <numeric>

#include "oneflow_like/ops/sort/order.h"

namespace ofl::ops {
namespace {

using Span = std::span<const op::Value>;

// Slices of axis 0; of vectors they are elements.
Status InferUnique(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kReals | kBools));
  const Shape& shape = c.input(0).shape;
  OFL_ENSURE(shape.rank() > 0, Code::kInvalidArgument) << "expected at least one axis";
  OFL_ENSURE(shape[0] == 0 || shape.numel() > 0, Code::kInvalidArgument)
      << "slices without elements cannot be told apart; expected none of size 0";
  c.AddOutput(c.input(0));
  c.AddOutput({DType::kInt64, {shape[0]}});
  c.AddOutput({DType::kInt64, {shape[0]}});
  return Status::Ok();
}

std::string UniqueRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  std::string axes;
  for (int i = 0; i < in[0].rank(); ++i) axes += "! ";
  return "(" + axes + ")->(" + axes + "),(!),(!); never partial";
}

// Order of slices by the keys of their elements, and by their place where these are equal.
struct Slices {
  const uint64_t* keys;
  int64_t width;
  int Compare(int64_t a, int64_t b) const {
    const uint64_t *x = keys + a * width, *y = keys + b * width;
    for (int64_t i = 0; i < width; ++i)
      if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
    return 0;
  }
  bool HasNan(int64_t slice, uint64_t nan) const {
    const uint64_t* x = keys + slice * width;
    return std::find(x, x + width, nan) != x + width;
  }
};

Status RunUnique(op::KernelContext& c) {
  const op::TensorView& x = c.inputs[0];
  const int64_t n = x.meta.shape[0], width = n == 0 ? 0 : x.numel() / n;
  *c.extent = 0;
  if (n == 0) return Status::Ok();
  const auto size = static_cast<int64_t>(DTypeSize(x.meta.dtype));
  auto* keys = reinterpret_cast<uint64_t*>(c.workspace.data());
  auto* order = reinterpret_cast<int64_t*>(keys + x.numel());
  MakeKeys(x.meta.dtype, x.data, size, x.numel(), false, keys);
  const Slices slices{keys, width};
  if (c.attr<bool>("consecutive") || width > 1) {
    std::iota(order, order + n, int64_t{0});
    if (!c.attr<bool>("consecutive"))
      std::sort(order, order + n, [&](int64_t a, int64_t b) {
        const int way = slices.Compare(a, b);
        return way != 0 ? way < 0 : a < b;
      });
  } else {
    auto* entries = reinterpret_cast<LongEntry*>(order + n);
    for (int64_t i = 0; i < n; ++i) entries[i] = {keys[i], i};
    SortEntries(entries, entries + n, n);
    for (int64_t i = 0; i < n; ++i) order[i] = entries[i].index;
  }
  // NaN is equal to nothing.
  const bool floating = IsFloating(x.meta.dtype);
  const uint64_t nan = NanKey(x.meta.dtype);
  int64_t *inverse = c.outputs[1].as<int64_t>(), *counts = c.outputs[2].as<int64_t>();
  int64_t used = 0;
  for (int64_t i = 0; i < n; ++i) {
    const bool same = i > 0 && slices.Compare(order[i - 1], order[i]) == 0 &&
                      !(floating && slices.HasNan(order[i], nan));
    if (!same) {
      std::memcpy(c.outputs[0].as<std::byte>() + used * width * size,
                  x.as<std::byte>() + order[i] * width * size, static_cast<size_t>(width * size));
      counts[used++] = 0;
    }
    ++counts[used - 1];
    inverse[order[i]] = used - 1;
  }
  *c.extent = used;
  return Status::Ok();
}

// Slices that are one share its gradient.
void GradUnique(op::GradContext& c) {
  if (c.grads[0] == nullptr || !c.Needs(0)) return;
  op::Builder& b = c.b;
  const Shape& shape = c.grads[0]->meta().shape;
  Ints column(static_cast<size_t>(shape.rank()), 1);
  column[0] = shape[0];
  const op::Value counts = b.Call("reshape", {c.outputs[2]}, {{"shape", column}});
  const op::Value share = b.Call("div", {c.grads[0], CastTo(b, counts, c.inputs[0]->meta().dtype)});
  c.Set(0, b.Call("index_select", {share, c.outputs[1]}, {{"dim", int64_t{0}}}));
}

int64_t UniqueScratch(std::span<const TensorMeta> in, std::span<const TensorMeta>, const Attrs&,
                      int) {
  return 8 * (in[0].shape.numel() + in[0].shape[0]) +
         2 * in[0].shape[0] * static_cast<int64_t>(sizeof(LongEntry));
}

template <bool kConsecutive>
op::Values ComposeUnique(op::Builder& b, Span in, const Attrs& attrs) {
  const Shape& shape = in[0]->meta().shape;
  const int64_t* dim = attrs.Maybe<int64_t>("dim");
  if (dim != nullptr && shape.rank() == 0) {
    return Refused(b, Error(Code::kOutOfRange)
                          << "a 0-d tensor has no axes: got dim=" << *dim << "; expected no dim");
  }
  op::Value x = in[0];
  int axis = 0;
  if (dim == nullptr) {
    x = b.Call("reshape", {x}, {{"shape", Ints{shape.numel()}}});
  } else {
    const auto found = NormalizeAxis(*dim, shape.rank());
    if (!found.ok()) return Refused(b, found.status());
    axis = *found;
  }
  const Attrs swap = {{"dim0", int64_t{0}}, {"dim1", int64_t{axis}}};
  if (axis != 0) x = b.Call("transpose", {x}, swap);
  op::Values made = b.CallAll("unique_slices", {x}, {{"consecutive", kConsecutive}});
  if (made[0] == nullptr) return {nullptr};
  op::Values results{axis == 0 ? made[0] : b.Call("transpose", {made[0]}, swap)};
  if (attrs.Get<bool>("return_inverse")) {
    op::Value inverse = made[1];
    if (dim == nullptr) inverse = b.Call("reshape", {inverse}, {{"shape", DimsOf(shape)}});
    results.push_back(inverse);
  }
  if (attrs.Get<bool>("return_counts")) results.push_back(made[2]);
  return results;
}

template <bool kConsecutive>
op::OpDefBuilder& Unique(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc)
      .In("input")
      .OutBounded("output")
      .Attr("sorted", op::AttrType::kBool, true)
      .Attr("return_inverse", op::AttrType::kBool, false)
      .Attr("return_counts", op::AttrType::kBool, false)
      .OptionalAttr("dim", op::AttrType::kInt)
      .Compose(ComposeUnique<kConsecutive>)
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType d : ListOf(kReals | kBools)) samples.push_back({{{d, {7}}}, {}, 0, 3, ""});
        samples.push_back({{{DType::kInt64, {4, 2}}}, {}, 0, 3, ""});
        samples.push_back({{{DType::kInt64, {4, 2}}}, {{"dim", int64_t{0}}}, 0, 2, ""});
        return samples;
      })
      .ErrorSamples({{{{DType::kComplex64, {2, 3}}}, {}, Code::kTypeMismatch, "has no order"}});
}

}  // namespace

OFL_OP(unique_slices) {
  op.Doc(
        "The different slices of axis 0, in order or (`consecutive`) without those that repeat\n"
        "the one before; which of them each slice is; and how often each one stands there. Their\n"
        "number depends on values, so a graph refuses it.")
      .In("input")
      .OutBounded("output")
      .Out("inverse")
      .OutBounded("counts")
      .Attr("consecutive", op::AttrType::kBool, false)
      .Infer(InferUnique)
      .Sbp(UniqueRule)
      .Grad(GradUnique)
      .Oracle("unique(input, consecutive)")
      .Py("unique_slices(input, consecutive=False)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType d : ListOf(kReals | kBools)) samples.push_back({{{d, {7}}}, {}, 0, 3, ""});
        for (bool consecutive : {true, false}) {
          const Attrs attrs = {{"consecutive", consecutive}};
          samples.push_back({{{DType::kInt64, {8}}}, attrs, 0, 2, ""});
          samples.push_back({{{DType::kFloat32, {6, 2}}}, attrs, 0, 2, ""});
          samples.push_back({{{DType::kFloat32, {0}}}, attrs, 0, 2, ""});
        }
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {}}}, {}, Code::kInvalidArgument, "at least one axis"}});
  for (DType dtype : ListOf(kReals | kBools)) op.Cpu(dtype, RunUnique, UniqueScratch);
}

OFL_OP(unique) {
  Unique<false>(
      op,
      "The different elements, or slices of `dim`, in order; with return_inverse which of\n"
      "them each element is, with return_counts how often each one stands there. Not in a\n"
      "graph: how many there are depends on values.")
      .Oracle("unique_of(input, False, dim)")
      .PyBoth("unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None)");
}

OFL_OP(unique_consecutive) {
  Unique<true>(
      op,
      "The elements, or slices of `dim`, without those that repeat the one before; with\n"
      "return_inverse which of them each element is, with return_counts how often each one\n"
      "stands there. Not in a graph: how many there are depends on values.")
      .Oracle("unique_of(input, True, dim)")
      .PyBoth("unique_consecutive(input, return_inverse=False, return_counts=False, dim=None)");
}

}  // namespace ofl::ops
