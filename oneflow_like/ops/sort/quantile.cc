// quantile and nanquantile, composed of sort and gather.
#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/sort/order.h"

namespace ofl::ops {
namespace {

Status CheckQuantile(std::span<const op::Value> in, const Attrs& attrs) {
  const TensorMeta &x = in[0]->meta(), &q = in[1]->meta();
  OFL_ENSURE(x.dtype == DType::kFloat32 || x.dtype == DType::kFloat64, Code::kTypeMismatch)
      << "input must be float32 or float64: got " << x.ToString()
      << "; expected one of them; use x.to(flow.float32)";
  OFL_ENSURE(q.dtype == x.dtype, Code::kTypeMismatch)
      << "q must have the dtype of input: got q: " << q.ToString() << "; expected "
      << DTypeName(x.dtype);
  OFL_ENSURE(q.shape.rank() < 2, Code::kInvalidArgument)
      << "q must be a number or a vector: got q: " << q.ToString() << "; expected at most one axis";
  OFL_ENSURE(x.shape.numel() > 0, Code::kInvalidArgument)
      << "an empty tensor has no quantile: got " << x.ToString()
      << "; expected at least one element";
  const std::string& how = attrs.Get<std::string>("interpolation");
  for (const char* known : {"linear", "lower", "higher", "midpoint", "nearest"})
    if (how == known) return Status::Ok();
  return Error(Code::kInvalidArgument)
         << "no such interpolation: got interpolation='" << how
         << "'; expected 'linear', 'lower', 'higher', 'midpoint' or 'nearest'";
}

class Quantile {
 public:
  Quantile(op::Builder& b, const Attrs& attrs, bool ignore_nan)
      : b_(b), how_(attrs.Get<std::string>("interpolation")), ignore_nan_(ignore_nan) {}

  // Of the rows x (..., n) and the vector q (Q): (..., Q).
  op::Value Of(const op::Value& x, const op::Value& q) {
    const Shape& shape = x->meta().shape;
    const int last = shape.rank() - 1;
    const double n = static_cast<double>(shape[last]);
    const op::Value sorted = b_.CallAll("sort", {x}, {{"dim", int64_t{-1}}})[0];
    if (sorted == nullptr || q == nullptr) return nullptr;
    Shape places = shape;
    places[last] = q->meta().shape[0];
    op::Value ranks = b_.Call("broadcast_to", {q}, {{"shape", DimsOf(places)}});
    const op::Value nan = IsNan(b_, x);
    const Attrs over = {{"dim", Ints{-1}}, {"keepdim", true}};
    if (ignore_nan_) {
      // Of the numbers alone; where there are none, of the first NaN.
      const op::Value count = b_.Call("sum", {b_.Call("logical_not", {nan})}, over);
      const op::Value most = AddScalar(b_, CastTo(b_, count, x->meta().dtype), -1.0);
      ranks = Mul(b_, ranks, b_.Call("clamp", {most}, {{"min", Scalar(0.0)}}));
    } else {
      const op::Value any = b_.Call("any", {nan}, over);
      ranks = ReplaceWhere(b_, any, n - 1, MulScalar(b_, ranks, n - 1));
    }
    return Between(sorted, ranks);
  }

 private:
  op::Value Pick(const op::Value& sorted, const op::Value& ranks) {
    return b_.Call("gather", {sorted, CastTo(b_, ranks, DType::kInt64)}, {{"dim", int64_t{-1}}});
  }
  // A cast to integers rounds towards 0.
  op::Value Floor(const op::Value& ranks) {
    if (ranks == nullptr) return ranks;
    const op::Value below = CastTo(b_, CastTo(b_, ranks, DType::kInt64), ranks->meta().dtype);
    // A negative one is no place, which gather says.
    return ReplaceWhere(b_, Against(b_, "lt", ranks, 0), -1.0, below);
  }
  op::Value Ceil(const op::Value& ranks, const op::Value& below) {
    const op::Value more = b_.Call("gt", {ranks, below});
    if (more == nullptr) return more;
    return b_.Call("add", {below, CastTo(b_, more, below->meta().dtype)});
  }
  // To the nearest, of two the even one.
  op::Value Round(const op::Value& ranks, const op::Value& below, const op::Value& above) {
    const op::Value rest = b_.Call("sub", {ranks, below});
    if (rest == nullptr) return rest;
    const op::Value half = b_.Call("full_like", {rest}, {{"value", Scalar(0.5)}});
    const op::Value odd =
        b_.Call("ne", {below, MulScalar(b_, Floor(MulScalar(b_, below, 0.5)), 2.0)});
    const op::Value up = b_.Call(
        "logical_or",
        {b_.Call("gt", {rest, half}), b_.Call("logical_and", {b_.Call("eq", {rest, half}), odd})});
    return b_.Call("where", {up, above, below});
  }
  op::Value Between(const op::Value& sorted, const op::Value& ranks) {
    const op::Value below = Floor(ranks);
    if (how_ == "lower") return Pick(sorted, below);
    const op::Value above = Ceil(ranks, below);
    if (how_ == "higher") return Pick(sorted, above);
    if (how_ == "nearest") return Pick(sorted, Round(ranks, below, above));
    const op::Value low = Pick(sorted, below), high = Pick(sorted, above);
    op::Value weight = b_.Call("sub", {ranks, below});
    if (how_ == "midpoint") weight = b_.Call("full_like", {weight}, {{"value", Scalar(0.5)}});
    // What lies above an infinite neighbour is that, until it comes to the opposite one.
    const op::Value stays = b_.Call(
        "logical_and", {b_.Call("ne", {high, b_.Call("neg", {low})}), b_.Call("isinf", {low})});
    const op::Value apart = ReplaceWhere(b_, stays, 0.0, b_.Call("sub", {high, low}));
    return b_.Call("add", {low, Mul(b_, apart, weight)});
  }

  op::Builder& b_;
  std::string how_;
  bool ignore_nan_;
};

template <bool kIgnoreNan>
op::Values ComposeQuantile(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  if (Status wrong = CheckQuantile(in, attrs); !wrong.ok()) return Refused(b, wrong);
  const Shape& shape = in[0]->meta().shape;
  const int64_t* dim = attrs.Maybe<int64_t>("dim");
  int axis = 0;
  if (dim != nullptr) {
    const auto found = NormalizeAxis(*dim, shape.rank());
    if (!found.ok()) return Refused(b, found.status());
    axis = *found;
  }
  op::Value x = in[0], q = in[1];
  const bool vector = q->meta().shape.rank() == 1;
  if (!vector) q = b.Call("reshape", {q}, {{"shape", Ints{1}}});
  Shape out;  // without the axis, or with it at size 1
  const bool keepdim = attrs.Get<bool>("keepdim");
  for (int i = 0; i < shape.rank(); ++i) {
    const bool goes = dim == nullptr || i == axis;
    if (!goes) out.push_back(shape[i]);
    if (goes && keepdim) out.push_back(1);
  }
  if (dim == nullptr || shape.rank() == 0) {
    x = b.Call("reshape", {x}, {{"shape", Ints{shape.numel()}}});
    axis = 0;
  }
  const int last = std::max(shape.rank() - 1, 0);
  if (x != nullptr && x->meta().shape.rank() > 1 && axis != last)
    x = b.Call("transpose", {x}, {{"dim0", int64_t{axis}}, {"dim1", int64_t{last}}});
  if (x == nullptr) return {nullptr};
  op::Value y = Quantile(b, attrs, kIgnoreNan).Of(x, q);
  if (y == nullptr) return {nullptr};
  // (..., Q), the last axis in the place of the quantile's: the quantiles come first.
  const int rank = y->meta().shape.rank();
  Ints order{rank - 1};
  for (int i = 0; i < rank - 1; ++i) order.push_back(i);
  if (axis != last && rank > 1 && dim != nullptr) {
    // The axis that was moved aside stands where the quantile's was.
    order.assign(1, rank - 1);
    for (int i = 0; i < rank; ++i) {
      if (i == axis) continue;
      order.push_back(i == last ? axis : i);
    }
  }
  if (rank > 1) y = b.Call("permute", {y}, {{"dims", order}});
  Ints target = DimsOf(out);
  if (vector) target.insert(target.begin(), q->meta().shape[0]);
  return {b.Call("reshape", {y}, {{"shape", target}})};
}

std::vector<op::Sample> QuantileSamples() {
  std::vector<op::Sample> samples;
  const auto add = [&](Shape shape, Shape q, Attrs attrs) {
    op::Sample sample{{{DType::kFloat32, shape}, {DType::kFloat32, q}}, std::move(attrs)};
    sample.ranges = {{-4, 4}, {0, 1}};
    sample.low = 0;
    sample.high = 1;
    samples.push_back(std::move(sample));
  };
  add({5, 4}, {}, {});
  add({5, 4}, {2}, {{"dim", int64_t{0}}});
  add({5, 4}, {2}, {{"dim", int64_t{1}}, {"keepdim", true}});
  add({2, 5, 3}, {3}, {{"dim", int64_t{1}}});
  for (const char* how : {"lower", "higher", "nearest", "midpoint"})
    add({5, 4}, {2}, {{"dim", int64_t{0}}, {"interpolation", std::string(how)}});
  return samples;
}

template <bool kIgnoreNan>
void DefineQuantile(op::OpDefBuilder& op, const char* doc) {
  op.Doc(doc)
      .In("input")
      .In("q")
      .Out("output")
      .OptionalAttr("dim", op::AttrType::kInt)
      .Attr("keepdim", op::AttrType::kBool, false)
      .Attr("interpolation", op::AttrType::kString, std::string("linear"))
      .Compose(ComposeQuantile<kIgnoreNan>)
      .Samples(QuantileSamples)
      .ErrorSamples({{{{DType::kInt64, {3}}, {DType::kInt64, {}}},
                      {},
                      Code::kTypeMismatch,
                      "must be float32 or float64"},
                     {{{DType::kFloat32, {3}}, {DType::kFloat32, {}}},
                      {{"interpolation", std::string("cubic")}},
                      Code::kInvalidArgument,
                      "got interpolation='cubic'"}});
}

}  // namespace

OFL_OP(quantile) {
  DefineQuantile<false>(op,
                        "The q-th quantiles along `dim` (none: of all), between neighbours by\n"
                        "`interpolation`; those of a vector q along a new first axis.");
  op.Oracle("quantile(np.quantile, input, q, dim, keepdim, interpolation)")
      .PyBoth("quantile(input, q, dim=None, keepdim=False, *, interpolation='linear')");
}

OFL_OP(nanquantile) {
  DefineQuantile<true>(op, "As quantile, of what is not NaN; of nothing NaN.");
  op.Oracle("quantile(np.nanquantile, input, q, dim, keepdim, interpolation)")
      .PyBoth("nanquantile(input, q, dim=None, keepdim=False, *, interpolation='linear')");
}

}  // namespace ofl::ops
