// torch.embedding_bag: beside the bags what PyTorch keeps for their gradient.
#include "oneflow_like/ops/elementwise/numbers.h"
#include "oneflow_like/ops/nn/losses.h"

namespace ofl::ops {
namespace {

op::Values Refused(op::Builder& b, Status status) {
  b.Fail(std::move(status));
  return op::Values(4, nullptr);
}

op::Value Flat(op::Builder& b, const op::Value& x, Ints shape) {
  return b.Call("reshape", {x}, {{"shape", std::move(shape)}});
}

// Which index of each bag has the largest element of each column; 0 of an empty bag.
op::Value LargestOf(op::Builder& b, const op::Value& rows, const op::Value& index,
                    const op::Value& mine) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  if (rows == nullptr || mine == nullptr) return nullptr;
  const int64_t count = rows->meta().shape[0], width = rows->meta().shape[1];
  const int64_t bags = mine->meta().shape[1];
  const op::Value wide = Flat(b, rows, {count, 1, width});
  const op::Value seen = Flat(b, mine, {count, bags, 1});
  const op::Value least = b.Call("full_like", {wide}, {{"value", Scalar(-kInf)}});
  const op::Value place = b.Call("argmax", {Where(b, seen, wide, least)}, {{"dim", Ints{0}}});
  const op::Value any = b.Call("any", {seen}, {{"dim", Ints{0}}});
  const op::Value row = b.Call("take", {index, place});
  return row == nullptr ? row : ZeroUnless(b, any, row);
}

op::Values ComposeParts(op::Builder& b, Operands in, const Attrs& attrs) {
  static const std::string kModes[] = {"sum", "mean", "max"};
  const int64_t mode = attrs.Get<int64_t>("mode");
  if (mode < 0 || mode > 2) {
    return Refused(b, Error(Code::kInvalidArgument) << "[embedding_bag] got mode=" << mode
                                                    << "; expected 0 (sum), 1 (mean) or 2 (max)");
  }
  const TensorMeta& index = in[1]->meta();
  if (index.shape.rank() != 1) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "[embedding_bag] indices have another number of axes: got "
                          << index.ToString() << "; expected a vector");
  }
  const bool weighted = in.size() > 3, last = attrs.Get<bool>("include_last_offset");
  Attrs given = {{"mode", kModes[mode]},
                 {"scale_grad_by_freq", attrs.Get<bool>("scale_grad_by_freq")},
                 {"sparse", attrs.Get<bool>("sparse")},
                 {"include_last_offset", last},
                 {std::string(op::kArity), Ints{1, 1, 1, weighted ? 1 : 0}}};
  const int64_t* padding = attrs.Maybe<int64_t>("padding_idx");
  if (padding != nullptr) given.Set("padding_idx", *padding);
  op::Values operands = {in[1], in[0], in[2]};
  if (weighted) operands.push_back(in[3]);
  const op::Value bags = b.Call("embedding_bag", std::move(operands), given);
  if (bags == nullptr) return op::Values(4, nullptr);
  const int64_t count = bags->meta().shape[0], rows = index.shape[0];
  const op::Value one = OnesLike(b, in[1]);
  const op::Value place = Sub(b, b.Call("cumsum", {one}, {{"dim", int64_t{0}}}), one);
  const op::Value begins = CastTo(b, in[2], DType::kInt64);
  op::Value bag = CastTo(
      b,
      AddScalar(
          b, b.Call("searchsorted", {begins, CastTo(b, place, DType::kInt64)}, {{"right", true}}),
          int64_t{-1}),
      index.dtype);
  // With the end among the offsets nothing lies behind it.
  if (last && count > 0)
    bag = b.Call("clamp", {bag}, {{"min", NoValue{}}, {"max", Scalar(count - 1)}});
  if (bag == nullptr) return op::Values(4, nullptr);
  const DType dtype = in[0]->meta().dtype;
  const bool nothing_kept = mode == 0 && padding == nullptr && dtype != DType::kFloat64;
  const op::Value bag_of =
      nothing_kept ? b.Call("narrow", {bag},
                            {{"dim", int64_t{0}}, {"start", int64_t{0}}, {"length", int64_t{0}}})
                   : bag;
  const op::Value hot =
      CastTo(b, b.Call("one_hot", {CastTo(b, bag, DType::kInt64)}, {{"num_classes", count}}),
             DType::kBool);
  op::Value mine = hot;
  if (padding != nullptr && hot != nullptr) {
    const int64_t table = in[0]->meta().shape[0];
    const double skipped = static_cast<double>(*padding < 0 ? *padding + table : *padding);
    const op::Value kept = Flat(b, Against(b, "ne", in[1], skipped), {rows, 1});
    mine = b.Call("logical_and", {hot, kept});
  }
  op::Value sizes =
      CastTo(b, b.Call("sum", {CastTo(b, mine, DType::kInt64)}, {{"dim", Ints{0}}}), index.dtype);
  if (mode == 0) sizes = sizes == nullptr ? sizes : ZerosLike(b, sizes);
  op::Value largest = sizes;
  if (mode == 2 && rows > 0) {
    const op::Value taken =
        b.Call("without_gradient", {b.Call("embedding", {in[0], CastTo(b, in[1], DType::kInt64)})});
    largest = LargestOf(b, taken, in[1], mine);
  } else if (mode == 2 && sizes != nullptr) {
    largest = b.Call("broadcast_to", {Flat(b, sizes, {count, 1})},
                     {{"shape", Ints{count, in[0]->meta().shape[1]}}});
  }
  return {bags, bag_of, sizes, largest};
}

op::Sample Of(int64_t mode, DType dtype, bool weighted = false) {
  op::Sample s{
      {{dtype, {5, 2}}, {DType::kInt64, {6}}, {DType::kInt64, {1}}}, {{"mode", mode}}, 0, 1};
  if (weighted) s.inputs.push_back({dtype, {6}});
  return s;
}

}  // namespace

OFL_OP(embedding_bag_parts) {
  op.Doc(
        "embedding_bag of a vector of indices, and what PyTorch keeps beside it: the bag of each "
        "index, the\nsizes of the bags (of the mean and the maximum), and of the maximum which "
        "index it was.")
      .In("weight")
      .In("indices")
      .In("offsets")
      .InOptional("per_sample_weights")
      .Out("output")
      .Out("offset2bag")
      .Out("bag_size")
      .Out("max_indices")
      .Attr("scale_grad_by_freq", op::AttrType::kBool, false)
      .Attr("mode", op::AttrType::kInt, int64_t{0})
      .Attr("sparse", op::AttrType::kBool, false)
      .Attr("include_last_offset", op::AttrType::kBool, false)
      .OptionalAttr("padding_idx", op::AttrType::kInt)
      .Compose(ComposeParts)
      .Oracle("embedding_bag_parts(weight, indices, per_sample_weights, mode)")
      .Py("embedding_bag(weight, indices, offsets, scale_grad_by_freq=False, mode=0, sparse=False, "
          "per_sample_weights=None, include_last_offset=False)")
      .Py("embedding_bag(weight, indices, offsets, scale_grad_by_freq, mode, sparse, "
          "per_sample_weights, include_last_offset, padding_idx)")
      .Public()
      .Samples([] {
        std::vector<op::Sample> samples = {Of(1, DType::kFloat32), Of(2, DType::kFloat32),
                                           Of(0, DType::kFloat64), Of(0, DType::kFloat64, true)};
        return samples;
      })
      .ErrorSamples({{Of(0, DType::kFloat32).inputs,
                      {{"mode", int64_t{3}}},
                      Code::kInvalidArgument,
                      "expected 0 (sum)"}});
}

OFL_OP(narrow_copy) {
  op.Doc("`length` places of axis `dim`, from `start` on, as a copy.")
      .In("input")
      .Out("output")
      .Attr("dim", op::AttrType::kInt)
      .Attr("start", op::AttrType::kInt)
      .Attr("length", op::AttrType::kInt)
      .Compose([](op::Builder& b, Operands in, const Attrs& attrs) -> op::Values {
        return {b.Call("identity", {b.Call("narrow", {in[0]}, attrs)})};
      })
      .Oracle("narrow(input, dim, start, length)")
      .PyBoth("narrow_copy(input, dim, start, length)")
      .Public()
      .Samples([] {
        std::vector<op::Sample> samples;
        const Attrs middle = {{"dim", int64_t{0}}, {"start", int64_t{1}}, {"length", int64_t{2}}};
        for (DType dtype : ListOf(kNumbers | kBools))
          samples.push_back({{{dtype, {4, 3}}}, middle});
        return samples;
      });
}

}  // namespace ofl::ops
