// scaled_dot_product_attention as it is called: any leading axes, masks, dropout, grouped queries.
// Without mask and dropout it is the operator attention; with them scores are held in memory.
#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/linalg/attention.h"

namespace ofl::ops {
namespace {

using Inputs = std::span<const op::Value>;

op::Values Refused(op::Builder& b, Status status) {
  b.Fail(std::move(status));
  return {nullptr};
}

std::string Operands(Inputs in) {
  const char* names[] = {"query: ", ", key: ", ", value: ", ", attn_mask: "};
  std::string text;
  for (size_t i = 0; i < in.size(); ++i) text += names[i] + in[i]->meta().ToString();
  return text;
}

Status CheckOperands(Inputs in, const Attrs& attrs) {
  const TensorMeta& q = in[0]->meta();
  const auto wrong = [&](const char* what, const char* expected) {
    return Status(Error(Code::kInvalidArgument)
                  << "[scaled_dot_product_attention] " << what << ": got " << Operands(in)
                  << "; expected " << expected);
  };
  for (size_t i = 0; i < 3; ++i) {
    const TensorMeta& x = in[i]->meta();
    if (!Contains(kFloats, x.dtype) || x.dtype != q.dtype) {
      return Error(Code::kTypeMismatch)
             << "[scaled_dot_product_attention] the operands have no common floating dtype: got "
             << Operands(in) << "; expected one; convert with .to(dtype)";
    }
    if (x.shape.rank() < 2)
      return wrong("an operand is no matrix", "(..., length, depth) of at least 2 axes");
  }
  const double p = attrs.Get<double>("dropout_p");
  OFL_ENSURE(p <= 1, Code::kInvalidArgument) << "[scaled_dot_product_attention] got dropout_p=" << p
                                             << "; expected a probability between 0 and 1";
  if (in.size() < 4) return Status::Ok();
  const TensorMeta& mask = in[3]->meta();
  if (attrs.Get<bool>("is_causal"))
    return wrong("there are two masks, attn_mask and is_causal=True", "one of them");
  OFL_ENSURE(mask.dtype == DType::kBool || mask.dtype == DType::kFloat32 || mask.dtype == q.dtype,
             Code::kTypeMismatch)
      << "[scaled_dot_product_attention] the mask has another dtype: got " << Operands(in)
      << "; expected bool, or query's dtype";
  if (mask.shape.rank() < 2) return wrong("the mask is no matrix", "(..., queries, keys)");
  return Status::Ok();
}

// Each head of keys and values serves several of the queries': repeated as often.
op::Value Repeated(op::Builder& b, const op::Value& x, int64_t times) {
  if (x == nullptr || times == 1) return x;
  const Shape& shape = x->meta().shape;
  const int64_t heads = shape.rank() - 3;
  Ints wide = DimsOf(shape), joined = wide;
  wide.insert(wide.begin() + heads + 1, times);
  joined[static_cast<size_t>(heads)] *= times;
  const op::Value apart = b.Call("unsqueeze", {x}, {{"dim", heads + 1}});
  return b.Call("reshape", {b.Call("broadcast_to", {apart}, {{"shape", wide}})},
                {{"shape", joined}});
}

Result<int64_t> QueriesOfEachHead(Inputs in) {
  const Shape &q = in[0]->meta().shape, &k = in[1]->meta().shape, &v = in[2]->meta().shape;
  OFL_ENSURE(q.rank() >= 3 && k.rank() >= 3 && v.rank() >= 3, Code::kOutOfRange)
      << "[scaled_dot_product_attention] there are no heads to group: got " << Operands(in)
      << "; expected (..., heads, length, depth) beside enable_gqa=True";
  const int64_t heads = q[q.rank() - 3], keys = k[k.rank() - 3], values = v[v.rank() - 3];
  OFL_ENSURE(keys > 0 && keys == values && heads % keys == 0, Code::kInvalidArgument)
      << "[scaled_dot_product_attention] the heads do not group: got " << Operands(in)
      << "; expected as many heads of value as of key, a divisor of query's";
  return heads / keys;
}

// (..., length, depth) as (batch, heads, length, depth), with the leading axes `lead`.
op::Value Folded(op::Builder& b, const op::Value& x, const Ints& lead) {
  if (x == nullptr) return x;
  const Shape& shape = x->meta().shape;
  const int64_t length = shape[shape.rank() - 2], depth = shape[shape.rank() - 1];
  Ints whole = lead;
  whole.insert(whole.end(), {length, depth});
  op::Value made = x;
  if (DimsOf(shape) != whole) made = b.Call("broadcast_to", {made}, {{"shape", whole}});
  if (lead.size() == 2) return made;
  int64_t batch = 1;
  for (size_t i = 0; i + 1 < lead.size(); ++i) batch *= lead[i];
  const Ints four = lead.size() == 1 ? Ints{lead[0], 1, length, depth}
                                     : Ints{batch, lead.empty() ? 1 : lead.back(), length, depth};
  return b.Call("reshape", {made}, {{"shape", four}});
}

op::Values Plain(op::Builder& b, Inputs in, const Attrs& attrs) {
  Shape lead;
  for (const op::Value& x : in.first(3)) {
    Shape own = x->meta().shape;
    own.erase(own.rank() - 1);
    own.erase(own.rank() - 1);
    const auto common = BroadcastShapes(lead, own);
    if (!common.ok())
      return Refused(b, common.status().WithNote("in [scaled_dot_product_attention]"));
    lead = *common;
  }
  const Ints axes = DimsOf(lead);
  op::Values four;
  for (const op::Value& x : in.first(3)) four.push_back(Folded(b, x, axes));
  const op::Value made =
      b.CallAll("attention", four,
                {{"is_causal", attrs.Get<bool>("is_causal")}, {"scale", *attrs.Find("scale")}})[0];
  if (made == nullptr || lead.rank() == 2) return {made};
  Ints whole = axes;
  const Shape& shape = made->meta().shape;
  whole.insert(whole.end(), {shape[2], shape[3]});
  return {b.Call("reshape", {made}, {{"shape", whole}})};
}

// softmax of rows of which some may be hidden whole: these give 0, as in torch.
op::Value SafeSoftmax(op::Builder& b, const op::Value& scores) {
  constexpr double kHidden = -std::numeric_limits<double>::infinity();
  if (scores == nullptr || scores->meta().shape[scores->meta().shape.rank() - 1] == 0)
    return scores;
  const op::Value most = b.Call("amax", {b.Call("without_gradient", {scores})},
                                {{"dim", Ints{-1}}, {"keepdim", true}});
  if (most == nullptr) return nullptr;
  const op::Value seen = Against(b, "ne", most, kHidden);
  const op::Value none = ZerosLike(b, scores);
  const op::Value soft = b.Call("softmax", {Where(b, seen, scores, none)}, {{"dim", int64_t{-1}}});
  return Where(b, seen, soft, none);
}

op::Values Masked(op::Builder& b, Inputs in, const Attrs& attrs) {
  constexpr double kHidden = -std::numeric_limits<double>::infinity();
  const DType dtype = in[0]->meta().dtype, wide = RowDType(dtype);
  op::Value scores = ScoresOf(b, CastTo(b, in[0], wide), CastTo(b, in[1], wide), attrs);
  if (in.size() > 3 && in[3]->meta().dtype == DType::kBool && scores != nullptr) {
    scores = Where(b, in[3], scores, b.Call("full_like", {scores}, {{"value", Scalar(kHidden)}}));
  } else if (in.size() > 3) {
    scores = Add(b, scores, CastTo(b, in[3], wide));
  }
  op::Value weights = SafeSoftmax(b, scores);
  const double p = attrs.Get<double>("dropout_p");
  if (p > 0) weights = b.Call("dropout", {weights}, {{"p", p}});
  const op::Value made = b.Call("matmul", {weights, CastTo(b, in[2], wide)});
  return {made == nullptr ? made : CastTo(b, made, dtype)};
}

op::Values ComposeAttention(op::Builder& b, Inputs in, const Attrs& attrs) {
  if (Status wrong = CheckOperands(in, attrs); !wrong.ok()) return Refused(b, wrong);
  op::Values operands(in.begin(), in.end());
  if (attrs.Get<bool>("enable_gqa")) {
    const auto times = QueriesOfEachHead(in);
    if (!times.ok()) return Refused(b, times.status());
    for (size_t i = 1; i < 3; ++i) operands[i] = Repeated(b, operands[i], *times);
    if (!b.status().ok()) return {nullptr};
  }
  if (operands.size() > 3 || attrs.Get<double>("dropout_p") > 0) return Masked(b, operands, attrs);
  return Plain(b, operands, attrs);
}

op::Sample Of(std::vector<Shape> shapes, Attrs attrs, DType dtype = DType::kFloat32,
              DType mask = DType::kBool) {
  op::Sample sample{{}, std::move(attrs), -1, 1};
  for (size_t i = 0; i < shapes.size(); ++i)
    sample.inputs.push_back({i == 3 ? mask : dtype, shapes[i]});
  return sample;
}

std::vector<op::Sample> Samples() {
  const Attrs causal = {{"is_causal", true}}, grouped = {{"enable_gqa", true}, {"scale", 0.3}};
  std::vector<op::Sample> samples = {
      Of({{2, 3, 5, 4}, {2, 3, 5, 4}, {2, 3, 5, 4}}, causal),
      Of({{2, 2, 3, 4}, {2, 2, 5, 4}, {2, 2, 5, 3}}, {{"scale", 0.3}}),
      Of({{3, 4}, {5, 4}, {5, 2}}, {}),
      Of({{2, 3, 4}, {2, 3, 4}, {2, 3, 4}}, causal),
      Of({{2, 1, 2, 3, 4}, {2, 1, 2, 3, 4}, {2, 1, 2, 3, 4}}, {}),
      Of({{0, 2, 3, 2}, {0, 2, 3, 2}, {0, 2, 3, 2}}, causal),
      Of({{1, 4, 3, 2}, {1, 2, 3, 2}, {1, 2, 3, 2}}, grouped),
      Of({{2, 3, 4}, {2, 5, 4}, {2, 5, 4}, {3, 5}}, {}),
      Of({{2, 3, 4}, {2, 5, 4}, {2, 5, 4}, {2, 1, 5}}, {}, DType::kFloat32, DType::kFloat32),
      Of({{2, 4, 3, 2}, {2, 2, 3, 2}, {2, 2, 3, 2}, {4, 3, 3}}, grouped, DType::kFloat32,
         DType::kFloat32)};
  for (DType dtype : {DType::kFloat64, DType::kFloat16, DType::kBFloat16}) {
    samples.push_back(Of({{1, 2, 4, 2}, {1, 2, 3, 2}, {1, 2, 3, 2}}, causal, dtype));
    samples.push_back(Of({{2, 4, 2}, {2, 3, 2}, {2, 3, 2}, {4, 3}}, {}, dtype));
  }
  return samples;
}

}  // namespace

OFL_OP(scaled_dot_product_attention) {
  op.Doc(
        "softmax(scale * query key^T + attn_mask) value over (..., length, depth). `scale` is\n"
        "1/sqrt(depth) unless given. With `is_causal`, position i sees keys 0..i. A bool mask says "
        "which\nkeys are seen; a query that sees none gives 0. With `enable_gqa` each head of keys "
        "serves several\nheads of queries.")
      .In("query")
      .In("key")
      .In("value")
      .InOptional("attn_mask")
      .NoPromotion("attn_mask")
      .Out("output")
      .Attr("dropout_p", op::AttrType::kFloat, 0.0)
      .Attr("is_causal", op::AttrType::kBool, false)
      .OptionalAttr("scale", op::AttrType::kFloat)
      .Attr("enable_gqa", op::AttrType::kBool, false)
      .Compose(ComposeAttention)
      .Oracle("masked_attention(query, key, value, attn_mask, is_causal, scale, enable_gqa)")
      .Py("scaled_dot_product_attention(query, key, value, attn_mask=None, dropout_p=0.0, "
          "is_causal=False, *, scale=None, enable_gqa=False)")
      .Functional()
      .Samples(Samples)
      .ErrorSamples(
          {{{{DType::kFloat32, {2}}, {DType::kFloat32, {2, 2}}, {DType::kFloat32, {2, 2}}},
            {},
            Code::kInvalidArgument,
            "at least 2 axes"},
           {{{DType::kFloat32, {2, 2}},
             {DType::kFloat32, {2, 2}},
             {DType::kFloat32, {2, 2}},
             {DType::kBool, {2, 2}}},
            {{"is_causal", true}},
            Code::kInvalidArgument,
            "two masks"},
           {{{DType::kInt64, {2, 2}}, {DType::kInt64, {2, 2}}, {DType::kInt64, {2, 2}}},
            {},
            Code::kTypeMismatch,
            "common floating dtype"}});
}

}  // namespace ofl::ops
