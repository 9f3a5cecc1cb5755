// isin, and the coordinates of flat indices.
#include "oneflow_like/ops/elementwise/forms.h"

namespace ofl::ops {
namespace {

using Inputs = std::span<const op::Value>;

op::Values Refused(op::Builder& b, Status status) {
  b.Fail(std::move(status));
  return {nullptr};
}

// Every element is looked up among the others, sorted.
op::Values ComposeIsIn(op::Builder& b, Inputs in, const Attrs& attrs) {
  const TensorMeta& meta = in[0]->meta();
  if (!Contains(kReals, meta.dtype)) {
    return Refused(b, Error(Code::kTypeMismatch)
                          << "[isin] the elements have no order: got " << meta.ToString()
                          << "; expected an integer or floating dtype");
  }
  const bool invert = attrs.Get<bool>("invert");
  const int64_t count = in[1]->meta().shape.numel();
  op::Value found;
  if (count == 0) {
    found = CastTo(b, ZerosLike(b, in[0]), DType::kBool);
  } else {
    const op::Value flat = b.Call("reshape", {in[1]}, {{"shape", Ints{count}}});
    const op::Value sorted = b.CallAll("sort", {flat})[0];
    const op::Value last = b.Call("searchsorted", {sorted, in[0]});
    if (last == nullptr) return {nullptr};
    const op::Value place =
        b.Call("clamp", {last}, {{"min", int64_t{0}}, {"max", Scalar(count - 1)}});
    found = b.Call("eq", {b.Call("take", {sorted, place}), in[0]});
  }
  return {invert ? Of(b, "logical_not", found) : found};
}

op::Values ComposeUnravel(op::Builder& b, Inputs in, const Attrs& attrs) {
  const TensorMeta& meta = in[0]->meta();
  const Ints& sizes = attrs.Get<Ints>("shape");
  if (!IsInteger(meta.dtype)) {
    return Refused(b, Error(Code::kTypeMismatch)
                          << "[unravel_index] indices are integers: got " << meta.ToString()
                          << "; expected an integer dtype");
  }
  int64_t whole = 1;
  for (const int64_t size : sizes) {
    if (size < 0) {
      return Refused(b, Error(Code::kInvalidArgument) << "[unravel_index] a size is negative: got "
                                                      << size << "; expected at least 0");
    }
    whole = SaturatingMul(whole, size);
  }
  if (whole == 0 && meta.shape.numel() > 0) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "[unravel_index] a shape without elements has no places: got "
                          << meta.ToString() << "; expected no indices, or sizes of at least 1");
  }
  const op::Value indices = CastTo(b, in[0], DType::kInt64);
  op::Values places;
  int64_t behind = 1;
  for (size_t i = sizes.size(); i-- > 0;) {
    const int64_t size = std::max<int64_t>(sizes[i], 1);
    const auto number = [&](int64_t value) {
      return b.Call("full_like", {indices}, {{"value", Scalar(value)}});
    };
    const op::Value over =
        behind == 1 ? indices : b.Call("floor_divide", {indices, number(behind)});
    places.insert(places.begin(), b.Call("remainder", {over, number(size)}));
    behind = SaturatingMul(behind, size);
  }
  return places;
}

}  // namespace

OFL_OP(isin) {
  op.Doc("Whether each of `elements` is among `test_elements`; with `invert` whether it is not.")
      .In("elements")
      .In("test_elements")
      .Out("output")
      .Attr("assume_unique", op::AttrType::kBool, false)
      .Attr("invert", op::AttrType::kBool, false)
      .Promote(op::Promotion::kCommon)
      .Compose(ComposeIsIn)
      .Oracle("np.isin(elements, test_elements, invert=invert)")
      .Py("isin(elements, test_elements, *, assume_unique=False, invert=False)")
      .Py("isin(element: elements, test_elements, *, assume_unique=False, invert=False)")
      .Py("isin(elements, test_element: test_elements, *, assume_unique=False, invert=False)")
      .Public()
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType dtype : ListOf(kReals))
          samples.push_back({{{dtype, {4, 3}}, {dtype, {5}}}, {}, -4, 4});
        samples.push_back(
            {{{DType::kInt64, {7}}, {DType::kInt64, {2, 2}}}, {{"invert", true}}, -4, 4});
        samples.push_back({{{DType::kFloat32, {3}}, {DType::kFloat32, {0}}}, {}});
        samples.push_back({{{DType::kFloat32, {0, 2}}, {DType::kFloat32, {3}}}, {}});
        samples.push_back({{{DType::kInt64, Shape{}}, {DType::kInt64, Shape{}}}, {}, 0, 2});
        return samples;
      })
      .ErrorSamples(
          {{{{DType::kBool, {2}}, {DType::kBool, {2}}}, {}, Code::kTypeMismatch, "order"}});
}

OFL_OP(unravel_index) {
  op.Doc("The places in a tensor of `shape` of flat indices: one tensor for each axis.")
      .In("indices")
      .OutVariadic("output")
      .Attr("shape", op::AttrType::kInts)
      .Compose(ComposeUnravel)
      .Oracle("unravel_index(indices, shape)")
      .Py("unravel_index(indices, shape)")
      .Public()
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType dtype : ListOf(kInts))
          samples.push_back({{{dtype, {4, 2}}}, {{"shape", Ints{3, 4}}}, 0, 12});
        samples.push_back({{{DType::kUInt8, {3}}}, {{"shape", Ints{2, 1000}}}, 0, 250});
        samples.push_back({{{DType::kInt64, Shape{}}}, {{"shape", Ints{6}}}, 0, 6});
        samples.push_back({{{DType::kInt64, {0, 2}}}, {{"shape", Ints{2, 0}}}});
        samples.push_back({{{DType::kInt64, {5}}}, {{"shape", Ints{2, 1, 3}}}, -6, 6});
        return samples;
      })
      .ErrorSamples(
          {{{{DType::kInt64, {2}}},
            {{"shape", Ints{-2}}},
            Code::kInvalidArgument,
            "a size is negative"},
           {{{DType::kFloat32, {2}}}, {{"shape", Ints{2}}}, Code::kTypeMismatch, "integers"}});
}

}  // namespace ofl::ops
