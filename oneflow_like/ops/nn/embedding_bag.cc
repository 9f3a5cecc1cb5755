// embedding with all of torch's arguments, and embedding_bag, in other operators.
#include "oneflow_like/ops/nn/losses.h"

namespace ofl::ops {
namespace {

Status CheckTable(Operands in, const Attrs& attrs) {
  const TensorMeta& w = in[1]->meta();
  OFL_ENSURE(!attrs.Get<bool>("sparse"), Code::kUnimplemented)
      << "gradients are dense here: got sparse=true; expected sparse=false";
  OFL_ENSURE(w.shape.rank() == 2, Code::kInvalidArgument)
      << "weight must be a matrix (num_embeddings, embedding_dim): got weight: " << w.ToString()
      << "; expected two axes";
  return Status::Ok();
}

// The row that has no gradient, counted from the front.
Result<AttrValue> PaddingOf(const Attrs& attrs, int64_t rows) {
  if (const int64_t* place = attrs.Maybe<int64_t>("place"))  // torch's own: negative is none
    return *place < 0 ? AttrValue(NoValue{}) : AttrValue(*place);
  const int64_t* given = attrs.Maybe<int64_t>("padding_idx");
  if (given == nullptr) return AttrValue(NoValue{});
  OFL_ENSURE(*given >= -rows && *given < rows, Code::kInvalidArgument)
      << "padding_idx lies outside the table: got " << *given << "; expected -" << rows
      << " <= padding_idx < " << rows;
  return AttrValue(*given < 0 ? *given + rows : *given);
}

// How often each row is asked for: (rows, 1), in float32 or float64.
op::Value Frequencies(op::Builder& b, const op::Value& index, int64_t rows, DType dtype) {
  Shape column = index->meta().shape;
  column.push_back(1);
  const op::Value ones = CastTo(b, OnesLike(b, index), dtype);
  return b.Call("embedding_grad", {ShapedAs(b, ones, column), index}, {{"num_embeddings", rows}});
}

// Scales rows that are asked for and longer than max_norm down to it, in place.
void Renorm(op::Builder& b, const op::Value& weight, const op::Value& index, const Attrs& attrs) {
  const double* most = attrs.Maybe<double>("max_norm");
  if (most == nullptr) return;
  const DType dtype = weight->meta().dtype, wide = StatisticOf(dtype);
  if (!IsFloating(dtype)) {
    b.Fail(Error(Code::kTypeMismatch)
           << "max_norm bounds rows of real numbers: got weight: " << weight->meta().ToString()
           << "; expected a floating dtype, or max_norm=None");
    return;
  }
  const op::Value w = CastTo(b, b.Call("without_gradient", {weight}), wide);
  const op::Value norm = b.Call(
      "norm_of_order", {w}, {{"p", *attrs.Find("norm_type")}, {"dim", Ints{1}}, {"keepdim", true}});
  if (norm == nullptr) return;
  const op::Value used = Against(b, "gt", Frequencies(b, index, w->meta().shape[0], wide), 0);
  const op::Value beyond = b.Call("logical_and", {used, Against(b, "gt", norm, *most)});
  const op::Value scale = MulScalar(b, Of(b, "reciprocal", AddScalar(b, norm, 1e-7)), *most);
  const op::Value fresh = CastTo(b, Where(b, beyond, Mul(b, w, scale), w), dtype);
  if (fresh != nullptr) (void)b.CallAll("assign_unrecorded", {weight, fresh});
}

struct Lookup {
  op::Value index, padding;  // padding: where rows count, null where all do
  op::Value rows;
};

Result<Lookup> LookUp(op::Builder& b, Operands in, const Attrs& attrs) {
  OFL_TRY(CheckTable(in, attrs));
  const op::Value& weight = in[1];
  OFL_ASSIGN(const AttrValue padding, PaddingOf(attrs, weight->meta().shape[0]));
  Lookup made;
  made.index = in[0]->meta().dtype == DType::kInt32 ? CastTo(b, in[0], DType::kInt64) : in[0];
  OFL_TRY(b.status());
  if (attrs.Has("max_norm")) Renorm(b, weight, made.index, attrs);
  OFL_TRY(b.status());
  made.rows = b.Call(
      "embedding", {weight, made.index},
      {{"padding_idx", padding}, {"scale_grad_by_freq", attrs.Get<bool>("scale_grad_by_freq")}});
  if (const int64_t* row = std::get_if<int64_t>(&padding))
    made.padding = Against(b, "ne", made.index, static_cast<double>(*row));
  OFL_TRY(b.status());
  return made;
}

op::Values ComposeEmbedding(op::Builder& b, Operands in, const Attrs& attrs) {
  if (in[1]->meta().shape.rank() != 2) return {b.Call("embedding", {in[1], in[0]})};  // refused
  const auto made = LookUp(b, in, attrs);
  if (!made.ok()) return Refused(b, made.status());
  return {made->rows};
}

// --- embedding_bag ------------------------------------------------------------------------------

class Bags {
 public:
  Bags(op::Builder& b, const Lookup& found, const Attrs& attrs)
      : b_(b), found_(found), mode_(attrs.Get<std::string>("mode")) {
    dtype_ = found.rows->meta().dtype;
    wide_ = StatisticOf(dtype_);
    rows_ = CastTo(b, found.rows, wide_);
    Shape column = found.index->meta().shape;
    column.push_back(1);
    if (found.padding != nullptr) keep_ = ShapedAs(b, found.padding, column);
  }
  // Multiplies rows by numbers of their own.
  void Scale(const op::Value& weights) {
    Shape column = weights->meta().shape;
    column.push_back(1);
    rows_ = Mul(b_, rows_, ShapedAs(b_, CastTo(b_, weights, wide_), column));
  }
  // Bags of axis 1.
  op::Value OfMatrix() {
    const int64_t length = found_.index->meta().shape[1];
    if (mode_ == "max" && length > 0) return Largest(rows_, keep_, 1);
    const op::Value sum = SumOver(b_, Kept(), 1);
    if (mode_ != "mean") return CastTo(b_, sum, dtype_);
    if (keep_ == nullptr)
      return CastTo(b_, MulScalar(b_, sum, 1.0 / static_cast<double>(std::max<int64_t>(length, 1))),
                    dtype_);
    return Mean(sum, SumOver(b_, CastTo(b_, keep_, wide_), 1));
  }
  // The bag of each element, one of `count`.
  op::Value OfBags(const op::Value& bag, int64_t count) {
    const Shape& index = found_.index->meta().shape;
    if (mode_ == "max" && index[0] > 0 && count > 0) {
      const op::Value hot = b_.Call("one_hot", {bag}, {{"num_classes", count}});
      op::Value mine = CastTo(b_, ShapedAs(b_, hot, Shape{index[0], count, 1}), DType::kBool);
      if (keep_ != nullptr)
        mine = b_.Call("logical_and", {mine, ShapedAs(b_, keep_, Shape{index[0], 1, 1})});
      const int64_t depth = rows_->meta().shape[1];
      return Largest(ShapedAs(b_, rows_, Shape{index[0], 1, depth}), mine, 0);
    }
    const auto add = [&](const op::Value& x) {
      return b_.Call("embedding_grad", {x, bag}, {{"num_embeddings", count}});
    };
    const op::Value sum = add(Kept());
    if (mode_ != "mean") return CastTo(b_, sum, dtype_);
    const op::Value counted =
        keep_ != nullptr ? CastTo(b_, keep_, wide_)
                         : ShapedAs(b_, CastTo(b_, OnesLike(b_, bag), wide_), Shape{index[0], 1});
    return Mean(sum, add(counted));
  }

 private:
  op::Value Kept() {
    return keep_ == nullptr ? rows_ : Where(b_, keep_, rows_, ZerosLike(b_, rows_));
  }
  op::Value Mean(const op::Value& sum, const op::Value& count) {
    return CastTo(b_, Div(b_, sum, AtLeast(b_, count, 1)), dtype_);
  }
  // Of the rows that are a bag's along `axis`; of none 0.
  op::Value Largest(op::Value rows, const op::Value& mine, int64_t axis) {
    constexpr double kInf = std::numeric_limits<double>::infinity();
    const Attrs along = {{"dim", axis}};
    if (mine == nullptr) return CastTo(b_, b_.CallAll("max", {rows}, along)[0], dtype_);
    const op::Value least = b_.Call("full_like", {rows}, {{"value", Scalar(-kInf)}});
    const op::Value most = b_.CallAll("max", {Where(b_, mine, rows, least)}, along)[0];
    if (most == nullptr) return nullptr;
    const op::Value any =
        CastTo(b_, SumOver(b_, CastTo(b_, mine, DType::kInt64), axis), DType::kBool);
    return CastTo(b_, Where(b_, any, most, ZerosLike(b_, most)), dtype_);
  }

  op::Builder& b_;
  const Lookup& found_;
  std::string mode_;
  DType dtype_, wide_;
  op::Value rows_, keep_;
};

// --- where bags begin ---------------------------------------------------------------------------

Status InferStarts(op::InferContext& c) {
  OFL_ENSURE(c.input(0).dtype == DType::kInt64 && c.input(0).shape.rank() == 1,
             Code::kInvalidArgument)
      << "offsets are no places: got " << c.input(0).ToString() << "; expected a vector of int64";
  c.AddOutput(c.input(0));
  return Status::Ok();
}

Status RunStarts(op::KernelContext& c) {
  const op::TensorView &from = c.inputs[0], &to = c.outputs[0];
  const int64_t length = c.attr<int64_t>("length"), before = c.output_offsets[0][0];
  for (int64_t i = 0; i < to.numel(); ++i) {
    const int64_t at = from.as<int64_t>()[i * from.strides[0]];
    OFL_ENSURE(before + i > 0 || at == 0, Code::kInvalidArgument)
        << "[embedding_bag] offsets[0] has to be 0, where the first bag begins: got " << at
        << "; expected 0";
    OFL_ENSURE(at >= 0 && at <= length, Code::kInvalidArgument)
        << "[embedding_bag] offsets[" << before + i << "] lies outside of the input: got " << at
        << "; expected 0 to its length " << length;
    to.as<int64_t>()[i] = at;
  }
  return Status::Ok();
}

Status CheckBags(Operands in, const Attrs& attrs) {
  const TensorMeta& x = in[0]->meta();
  const op::Value *offsets = OperandAt(in, attrs, 2), *weights = OperandAt(in, attrs, 3);
  const std::string& mode = attrs.Get<std::string>("mode");
  OFL_ENSURE(mode == "sum" || mode == "mean" || mode == "max", Code::kInvalidArgument)
      << "got mode='" << mode << "'; expected 'sum', 'mean' or 'max'";
  OFL_ENSURE(x.shape.rank() == 1 || x.shape.rank() == 2, Code::kInvalidArgument)
      << "input holds no bags: got input: " << x.ToString() << "; expected (N,) or (B, N)";
  OFL_ENSURE((offsets != nullptr) == (x.shape.rank() == 1), Code::kInvalidArgument)
      << "offsets say where the bags of a vector begin, and rows are bags: got input: "
      << x.ToString() << (offsets != nullptr ? " and offsets" : " without offsets")
      << "; expected offsets for a vector alone";
  if (offsets != nullptr) {
    const TensorMeta& o = (*offsets)->meta();
    const bool last = attrs.Get<bool>("include_last_offset");
    OFL_ENSURE(o.shape.rank() == 1 && IsInteger(o.dtype) && (!last || o.shape[0] > 0),
               Code::kInvalidArgument)
        << "got offsets: " << o.ToString() << "; expected a vector of int64"
        << (last ? " with the end as its last" : "");
    OFL_ENSURE(o.shape[0] > (last ? 1 : 0) || x.shape.numel() == 0, Code::kInvalidArgument)
        << "there is no bag for the indices: got input: " << x.ToString()
        << " and offsets: " << o.ToString() << "; expected a bag that begins at 0";
  }
  OFL_ENSURE(mode != "max" || !attrs.Get<bool>("scale_grad_by_freq"), Code::kInvalidArgument)
      << "got scale_grad_by_freq=true and mode='max'; expected another mode";
  if (weights == nullptr) return Status::Ok();
  OFL_ENSURE((*weights)->meta().shape == x.shape, Code::kInvalidArgument)
      << "got per_sample_weights: " << (*weights)->meta().ToString() << "; expected input's shape "
      << x.shape;
  OFL_ENSURE(mode == "sum", Code::kUnimplemented)
      << "got per_sample_weights and mode='" << mode << "'; expected mode='sum'";
  return Status::Ok();
}

// Sums and means of whole rows, in one pass over the table's.
bool AddsPlainRows(Operands in, const Attrs& attrs) {
  const DType dtype = in[1]->meta().dtype;
  const bool own = OperandAt(in, attrs, 2) == nullptr && OperandAt(in, attrs, 3) == nullptr;
  const int64_t* place = attrs.Maybe<int64_t>("place");
  const bool padded = (place != nullptr && *place >= 0) || attrs.Maybe<int64_t>("padding_idx");
  return own && !padded && (dtype == DType::kFloat32 || dtype == DType::kFloat64) &&
         in[0]->meta().shape.rank() == 2 && in[1]->meta().shape.rank() == 2 &&
         attrs.Get<std::string>("mode") != "max" && attrs.Maybe<double>("max_norm") == nullptr &&
         !attrs.Get<bool>("scale_grad_by_freq");
}

op::Values ComposeBag(op::Builder& b, Operands in, const Attrs& attrs) {
  if (Status wrong = CheckBags(in, attrs); !wrong.ok()) return Refused(b, wrong);
  if (AddsPlainRows(in, attrs)) {
    if (Status wrong = CheckTable(in, attrs); !wrong.ok()) return Refused(b, wrong);
    const int64_t length = std::max<int64_t>(in[0]->meta().shape[1], 1);
    const double scale =
        attrs.Get<std::string>("mode") == "mean" ? 1.0 / static_cast<double>(length) : 1.0;
    const op::Value index =
        in[0]->meta().dtype == DType::kInt32 ? CastTo(b, in[0], DType::kInt64) : in[0];
    return {b.Call("embedding_sum", {in[1], index}, {{"scale", scale}})};
  }
  const auto found = LookUp(b, in, attrs);
  if (!found.ok()) return Refused(b, found.status());
  Bags bags(b, *found, attrs);
  if (const op::Value* weights = OperandAt(in, attrs, 3)) bags.Scale(*weights);
  if (!b.status().ok()) return {nullptr};
  const op::Value* offsets = OperandAt(in, attrs, 2);
  if (offsets == nullptr) return {bags.OfMatrix()};
  const int64_t ends = attrs.Get<bool>("include_last_offset") ? 1 : 0;
  const int64_t count = (*offsets)->meta().shape[0] - ends;
  const op::Value one = OnesLike(b, found->index);
  const op::Value place = Sub(b, b.Call("cumsum", {one}, {{"dim", int64_t{0}}}), one);
  const op::Value begins = b.Call("bag_starts", {CastTo(b, *offsets, DType::kInt64)},
                                  {{"length", in[0]->meta().shape[0]}});
  const op::Value after = b.Call("searchsorted", {begins, place}, {{"right", true}});
  if (after == nullptr) return {nullptr};
  return {bags.OfBags(AddScalar(b, after, int64_t{-1}), count)};
}

// --- samples ------------------------------------------------------------------------------------

op::OpDefBuilder& Table(op::OpDefBuilder& op, const char* doc, const Attrs& given = {}) {
  Attrs sparse = given;
  sparse.Set("sparse", true);
  return op.Doc(doc)
      .In("input")
      .In("weight")
      .Out("output")
      .OptionalAttr("padding_idx", op::AttrType::kInt)
      .OptionalAttr("max_norm", op::AttrType::kFloat)
      .Attr("norm_type", op::AttrType::kFloat, 2.0)
      .Attr("scale_grad_by_freq", op::AttrType::kBool, false)
      .Attr("sparse", op::AttrType::kBool, false)
      .ErrorSamples({{{{DType::kInt64, {5, 1}}, {DType::kFloat32, {7, 3}}},
                      sparse,
                      Code::kUnimplemented,
                      "gradients are dense"}});
}

op::Sample TableSample(Shape index, Shape table, Attrs attrs, DType dtype = DType::kFloat32) {
  const auto rows = static_cast<double>(table[0]);
  op::Sample s{{{DType::kInt64, index}, {dtype, table}}, std::move(attrs), 0, rows, ""};
  s.ranges = {{0, rows}, {-2, 2}};
  return s;
}

}  // namespace

OFL_OP(embedding_rows) {
  Table(op,
        "Rows of `weight` (num_embeddings, embedding_dim) by the indices `input`. Row padding_idx\n"
        "has no gradient; max_norm scales longer rows down first, in place; scale_grad_by_freq\n"
        "divides a row's gradient by how often it is asked for.")
      .OptionalAttr("place", op::AttrType::kInt)
      .Compose(ComposeEmbedding)
      .Oracle("weight[input]")
      .Py("nn.functional.embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0, "
          "scale_grad_by_freq=False, sparse=False)")
      .Py("embedding(weight, indices: input, padding_idx: place=-1, scale_grad_by_freq=False, "
          "sparse=False)")
      .Public()
      .Samples([] {
        std::vector<op::Sample> samples = {TableSample({2, 3}, {4, 2}, {}),
                                           TableSample({0, 3}, {5, 1}, {})};
        for (DType dtype : ListOf(kNumbers)) samples.push_back(TableSample({5}, {7, 3}, {}, dtype));
        return samples;
      });
}

OFL_OP(bag_starts) {
  op.Doc("The places where bags of `length` indices begin, if they are such places.")
      .In("offsets")
      .Out("output")
      .Attr("length", op::AttrType::kInt)
      .Infer(InferStarts)
      .Sbp("(n)->(n); never partial; offset n")
      .NotDifferentiable("it is whole numbers")
      .Oracle("offsets")
      .Py("_bag_starts(offsets, *, length)")
      .Cpu(DType::kInt64, RunStarts)
      .Samples([] {
        std::vector<op::Sample> samples;
        for (const int64_t bags : {0, 1, 4})
          samples.push_back({{{DType::kInt64, {bags}}}, {{"length", int64_t{2}}}, 0, 1, ""});
        return samples;
      })
      .ErrorSamples({{{{DType::kInt64, {2, 2}}},
                      {{"length", int64_t{2}}},
                      Code::kInvalidArgument,
                      "a vector of int64"}});
}

OFL_OP(embedding_bag) {
  Table(
      op,
      "The sum, mean or maximum of bags of rows of `weight`. Bags are the rows of `input`, or of\n"
      "a vector what begins at each of `offsets` (the last of which is the end where\n"
      "include_last_offset). Row padding_idx counts in no bag; an empty bag is 0.",
      {{std::string(op::kArity), Ints{1, 1, 0, 0}}})
      .InOptional("offsets")
      .InOptional("per_sample_weights")
      .AnyMissing()
      .Attr("mode", op::AttrType::kString, std::string("mean"))
      .Attr("include_last_offset", op::AttrType::kBool, false)
      .Compose(ComposeBag)
      .Oracle(
          "embedding_bag(input, weight, offsets, per_sample_weights, mode, include_last_offset, "
          "padding_idx)")
      .Py("nn.functional.embedding_bag(input, weight, offsets=None, max_norm=None, norm_type=2, "
          "scale_grad_by_freq=False, mode='mean', sparse=False, per_sample_weights=None, "
          "include_last_offset=False, padding_idx=None)")
      .Samples([] {
        std::vector<op::Sample> samples;
        const auto add = [&](DType dtype, const char* mode, Attrs attrs = {}) {
          samples.push_back(TableSample({4, 3}, {5, 2}, std::move(attrs), dtype));
          samples.back().attrs.Set("mode", std::string(mode));
          samples.back().attrs.Set(op::kArity, Ints{1, 1, 0, 0});
        };
        for (const char* mode : {"sum", "max"}) add(DType::kFloat32, mode);
        for (const char* mode : {"sum", "mean", "max"})
          add(DType::kFloat32, mode, {{"padding_idx", int64_t{-4}}});
        for (DType dtype : ListOf(kFloats)) add(dtype, "mean");
        samples.push_back(samples[0]);
        samples.back().inputs.push_back({DType::kFloat32, {4, 3}});
        samples.back().attrs.Set(op::kArity, Ints{1, 1, 0, 1});
        for (const char* mode : {"sum", "mean", "max"}) {
          add(DType::kFloat32, mode);  // one bag, which begins at 0
          samples.back().inputs[0].shape = {5};
          samples.back().inputs.push_back({DType::kInt64, {1}});
          samples.back().ranges.push_back({0, 1});
          samples.back().high = 1;
          samples.back().attrs.Set(op::kArity, Ints{1, 1, 1, 0});
        }
        return samples;
      });
}

}  // namespace ofl::ops
