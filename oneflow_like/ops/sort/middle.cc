// median, nanmedian and mode.
#include "oneflow_like/ops/sort/order.h"

namespace ofl::ops {
namespace {

// Of a row's entries the middle one, the lower of two; NaN where there is one, unless they are left
// out. What stands before `entries + result` afterwards is not larger.
template <class Entry>
int64_t FindMiddle(DType dtype, Entry* entries, int64_t n, bool ignore_nan) {
  int64_t numbers = n;
  if (IsFloating(dtype)) {
    const uint64_t nan = NanKey(dtype);
    int64_t first = -1;
    for (int64_t i = n - 1; i >= 0; --i) {
      if (KeyOf(entries[i]) != nan) continue;
      first = i;
      --numbers;
    }
    if (first >= 0 && (!ignore_nan || numbers == 0)) return first;
  }
  // NaN is the largest: the numbers are the first ones.
  const int64_t middle = (numbers - 1) / 2;
  std::nth_element(entries, entries + middle, entries + n);
  return middle;
}

Status InferAlong(op::InferContext& c, DTypeSet set) {
  int axis = 0;
  OFL_TRY(CheckOrdered(c, set, &axis));
  Shape out = c.input(0).shape;
  OFL_ENSURE(axis < 0 || out[axis] > 0, Code::kOutOfRange)
      << "axis " << axis << " is empty and has no such value; expected at least one element";
  if (axis >= 0 && c.attr<bool>("keepdim")) out[axis] = 1;
  if (axis >= 0 && !c.attr<bool>("keepdim")) out.erase(axis);
  c.AddOutput({c.input(0).dtype, out});
  c.AddOutput({DType::kInt64, out});
  return Status::Ok();
}
Status InferMiddleAlong(op::InferContext& c) { return InferAlong(c, kReals); }
Status InferMode(op::InferContext& c) { return InferAlong(c, kReals | kBools); }

std::string AlongRule(std::span<const Shape> in, std::span<const Shape> out, const Attrs& attrs) {
  return OrderRule(in[0], out[0], OrderAxis(attrs, in[0]), 2);
}

// Calls choose(entries, scratch, n), which says which entry is the result, for each row.
template <class Choose>
Status ChooseAlong(op::KernelContext& c, const Choose& choose) {
  const op::TensorView& x = c.inputs[0];
  const int axis = OrderAxis(*c.attrs, x.meta.shape), rank = x.meta.shape.rank();
  const op::TensorView values = WithAxis(c.outputs[0], axis, rank);
  const op::TensorView indices = WithAxis(c.outputs[1], axis, rank);
  ForOrderedRows(c, {&x, &values, &indices}, axis,
                 [&](const OrderedRow& row, auto* entries, auto* scratch) {
                   MakeEntries(x.meta.dtype, row.x, row.stride, row.n, false, entries);
                   const int64_t at = choose(entries, scratch, row.n);
                   WriteChosen(row, entries + at, 1, values, row.at[1], 1);
                   WriteIndices(entries + at, 1, indices, row.at[2], 1);
                 });
  return Status::Ok();
}

Status RunMiddleAlong(op::KernelContext& c) {
  const bool ignore_nan = c.attr<bool>("ignore_nan");
  const DType dtype = c.inputs[0].meta.dtype;
  return ChooseAlong(c, [&](auto* entries, auto*, int64_t n) {
    return FindMiddle(dtype, entries, n, ignore_nan);
  });
}

// The smallest of the most frequent values; of its places the last one, as in torch.
Status RunMode(op::KernelContext& c) {
  return ChooseAlong(c, [&](auto* entries, auto* scratch, int64_t n) {
    SortEntries(entries, scratch, n);
    int64_t best = 0, longest = 0;
    for (int64_t i = 0, begin = 0; i < n; ++i) {
      if (KeyOf(entries[i]) != KeyOf(entries[begin])) begin = i;
      if (i - begin + 1 <= longest) continue;
      longest = i - begin + 1;
      best = i;
    }
    return best;
  });
}

// --- of all elements ----------------------------------------------------------------------------

Status InferMiddle(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kReals));
  c.AddOutput({c.input(0).dtype, {}});
  return Status::Ok();
}

void MoveOn(ShortEntry& entry, int64_t places) { entry += static_cast<uint64_t>(places); }
void MoveOn(LongEntry& entry, int64_t places) { entry.index += places; }

template <class Entry>
void MiddleOfAll(op::KernelContext& c) {
  const op::TensorView& x = c.inputs[0];
  const auto size = static_cast<int64_t>(DTypeSize(x.meta.dtype));
  const int last = x.meta.shape.rank() - 1;
  auto* entries = reinterpret_cast<Entry*>(c.workspace.data());
  int64_t done = 0;
  ForRows<1>(x.meta.shape, {x.strides}, 0, x.numel(),
             [&](const std::array<int64_t, 1>& offset, int64_t n) {
               MakeEntries(x.meta.dtype, x.as<std::byte>() + offset[0] * size,
                           last < 0 ? 0 : x.strides[last] * size, n, false, entries + done);
               for (int64_t i = 0; i < n; ++i) MoveOn(entries[done + i], done);
               done += n;
             });
  const int64_t at = FindMiddle(x.meta.dtype, entries, x.numel(), c.attr<bool>("ignore_nan"));
  int64_t place = IndexOf(entries[at]), offset = 0;
  for (int i = last; i >= 0; --i) {
    offset += place % x.meta.shape[i] * x.strides[i];
    place /= x.meta.shape[i];
  }
  std::memcpy(c.outputs[0].data, x.as<std::byte>() + offset * size, static_cast<size_t>(size));
}

Status RunMiddle(op::KernelContext& c) {
  const op::TensorView& x = c.inputs[0];
  if (x.numel() == 0) {
    // NaN, and of whole numbers what torch makes of it.
    const DType dtype = x.meta.dtype;
    Scalar none = std::numeric_limits<double>::quiet_NaN();
    if (IsInteger(dtype)) none = int64_t{0};
    if (dtype == DType::kInt64) none = std::numeric_limits<int64_t>::min();
    if (dtype == DType::kInt32) none = int64_t{std::numeric_limits<int32_t>::min()};
    FillElements(c.stream, none, c.outputs[0]);
    return Status::Ok();
  }
  if (HasShortEntries(x.meta.dtype, x.numel())) {
    MiddleOfAll<ShortEntry>(c);
  } else {
    MiddleOfAll<LongEntry>(c);
  }
  return Status::Ok();
}

int64_t MiddleScratch(std::span<const TensorMeta> in, std::span<const TensorMeta>, const Attrs&,
                      int) {
  const int64_t n = in[0].shape.numel();
  const size_t size = HasShortEntries(in[0].dtype, n) ? sizeof(ShortEntry) : sizeof(LongEntry);
  return n * static_cast<int64_t>(size);
}

std::string MiddleRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  std::string axes;
  for (int i = 0; i < in[0].rank(); ++i) axes += "! ";
  return "(" + axes + ")->()";
}

// All elements that equal the median share its gradient.
void GradMiddle(op::GradContext& c) {
  op::Builder& b = c.b;
  const op::Value &x = c.inputs[0], &y = c.outputs[0];
  const op::Value hit = b.Call(
      "logical_or", {b.Call("eq", {x, y}), b.Call("logical_and", {IsNan(b, x), IsNan(b, y)})});
  const op::Value mask = CastTo(b, hit, x->meta().dtype);
  const op::Value share = b.Call("div", {c.grads[0], b.Call("sum", {mask})});
  c.Set(0, Mul(b, mask, share));
}

std::vector<op::Sample> AlongSamples(DTypeSet set, const Attrs& more) {
  std::vector<op::Sample> samples;
  const auto add = [&](DType d, Shape shape, int64_t dim, bool keepdim) {
    Attrs attrs = more;
    attrs.Set("dim", dim);
    attrs.Set("keepdim", keepdim);
    samples.push_back({{{d, shape}}, std::move(attrs), -4, 4, ""});
  };
  for (DType d : ListOf(set)) add(d, {4, 5}, -1, false);
  add(DType::kFloat32, {5, 3}, 0, true);
  add(DType::kFloat32, {2, 4, 3}, 1, false);
  add(DType::kFloat32, {0, 3}, 1, false);
  add(DType::kFloat32, {}, 0, false);
  return samples;
}

op::OpDefBuilder& Along(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc)
      .In("input")
      .Out("values")
      .Out("indices")
      .Sbp(AlongRule)
      .Grad(GradChosen)
      .Strided()
      .Unclaimed("P*->P*,*", "of a tensor without axes")
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 3}}}, {{"dim", int64_t{2}}}, Code::kOutOfRange, "but got 2"},
           {{{DType::kFloat32, {2, 0}}},
            {{"dim", int64_t{1}}},
            Code::kOutOfRange,
            "axis 1 is empty"},
           {{{DType::kComplex64, {2, 3}}},
            {{"dim", int64_t{0}}},
            Code::kTypeMismatch,
            "has no order"}});
}

}  // namespace

OFL_OP(median_along) {
  Along(op,
        "The middle element along `dim`, the lower of two, and where it stands; NaN where there\n"
        "is one, or (nanmedian) where there is nothing else.")
      .Attr("dim", op::AttrType::kInt)
      .Attr("keepdim", op::AttrType::kBool, false)
      .Attr("ignore_nan", op::AttrType::kBool, false)
      .Infer(InferMiddleAlong)
      .Oracle("median(input, dim, keepdim)")
      .PyBoth("median(input, dim, keepdim=False)")
      .PyBoth("nanmedian(input, dim, keepdim=False)", {{"ignore_nan", true}})
      .Samples([] {
        auto samples = AlongSamples(kReals, {});
        samples.push_back(AlongSamples(SetOf(DType::kFloat32), {{"ignore_nan", true}})[0]);
        return samples;
      });
  for (DType dtype : ListOf(kReals)) op.Cpu(dtype, RunMiddleAlong, OrderScratchAlong);
}

OFL_OP(median) {
  op.Doc(
        "The middle one of all elements, the lower of two; NaN where there is one, or (nanmedian)\n"
        "where there is nothing else.")
      .In("input")
      .Out("output")
      .Attr("ignore_nan", op::AttrType::kBool, false)
      .Infer(InferMiddle)
      .Sbp(MiddleRule)
      .Grad(GradMiddle)
      .Strided()
      .Unclaimed("P*->P*", "of a tensor without axes")
      .Oracle("median(input.reshape(-1), 0, False)[0]")
      .PyBoth("median(input)")
      .PyBoth("nanmedian(input)", {{"ignore_nan", true}})
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType d : ListOf(kReals)) samples.push_back({{{d, {4, 5}}}, {}, -4, 4, ""});
        samples.push_back({{{DType::kFloat32, {2, 3, 4}}}, {{"ignore_nan", true}}, -4, 4, ""});
        samples.push_back({{{DType::kFloat32, {}}}, {}, -4, 4, ""});
        return samples;
      })
      .ErrorSamples({{{{DType::kComplex64, {3}}}, {}, Code::kTypeMismatch, "has no order"}});
  for (DType dtype : ListOf(kReals)) op.Cpu(dtype, RunMiddle, MiddleScratch);
}

OFL_OP(mode) {
  Along(op,
        "The most frequent element along `dim`, the smallest of several, and where it stands\n"
        "last.")
      .Attr("dim", op::AttrType::kInt, int64_t{-1})
      .Attr("keepdim", op::AttrType::kBool, false)
      .Infer(InferMode)
      .Oracle("mode(input, dim, keepdim)")
      .PyBoth("mode(input, dim=-1, keepdim=False)")
      .Samples([] { return AlongSamples(kReals | kBools, {}); });
  for (DType dtype : ListOf(kReals | kBools)) op.Cpu(dtype, RunMode, OrderScratchAlong);
}

}  // namespace ofl::ops
