// Margin losses of class indices: multi_margin_loss, multilabel_margin_loss.
#include "oneflow_like/ops/nn/losses.h"

namespace ofl::ops {
namespace {

// The input as rows: (N, C), of (C,) and () one row.
Shape RowsOf(const Shape& x) { return x.rank() == 2 ? x : Shape{1, x.numel()}; }

Status CheckRows(Operands in, const Shape& expected) {
  const TensorMeta &x = in[0]->meta(), &t = in[1]->meta();
  OFL_ENSURE(IsFloating(x.dtype) && t.dtype == DType::kInt64, Code::kTypeMismatch)
      << "got input: " << x.ToString() << ", target: " << t.ToString()
      << "; expected floats and class indices of int64";
  OFL_ENSURE(x.shape.rank() <= 2 && t.shape == expected, Code::kInvalidArgument)
      << "target fits no rows: got input: " << x.ToString() << ", target: " << t.ToString()
      << "; expected input (N, C) or (C,) and a target of shape " << expected;
  return Status::Ok();
}

// 1 at a row's class, in `dtype`.
op::Value Hot(op::Builder& b, const op::Value& classes, int64_t count, DType dtype) {
  return CastTo(b, b.Call("one_hot", {classes}, {{"num_classes", count}}), dtype);
}

Status CheckMultiMargin(Operands in, const Attrs& attrs) {
  const Shape& x = in[0]->meta().shape;
  const double p = attrs.Number("p").As<double>();
  OFL_TRY(CheckRows(in, x.rank() < 2 ? in[1]->meta().shape : Shape{x[0]}));
  OFL_ENSURE(in[1]->meta().shape.numel() == RowsOf(x)[0], Code::kInvalidArgument)
      << "target must have one class for each row: got " << in[1]->meta().ToString()
      << "; expected " << RowsOf(x)[0] << " of them";
  OFL_ENSURE(RowsOf(x)[1] > 0, Code::kInvalidArgument)
      << "there are no classes: got input: " << in[0]->meta().ToString()
      << "; expected a vector or rows of at least one number";
  OFL_ENSURE(p == 1 || p == 2, Code::kInvalidArgument) << "got p=" << p << "; expected 1 or 2";
  if (in.size() < 3) return Status::Ok();
  OFL_ENSURE(in[2]->meta().shape == Shape{RowsOf(x)[1]}, Code::kInvalidArgument)
      << "weight must have one number for each class: got " << in[2]->meta().ToString()
      << "; expected the shape " << Shape{RowsOf(x)[1]};
  return Status::Ok();
}

// Of a row with class k the mean over the others j of max(0, margin - x_k + x_j)^p weight_k.
op::Value MultiMargins(op::Builder& b, Operands in, const Attrs& attrs) {
  if (Status wrong = CheckMultiMargin(in, attrs); !wrong.ok()) return Wrong(b, wrong);
  const Shape given = in[0]->meta().shape, rows = RowsOf(given);
  const DType dtype = in[0]->meta().dtype;
  const op::Value x = ShapedAs(b, in[0], rows), target = ShapedAs(b, in[1], Shape{rows[0]});
  const op::Value hot = Hot(b, target, rows[1], dtype);  // refuses what is no class
  const op::Value own =
      b.Call("gather", {x, ShapedAs(b, target, Shape{rows[0], 1})}, {{"dim", int64_t{1}}});
  const op::Value gap = AddScalar(b, Sub(b, x, own), attrs.Get<double>("margin"));
  op::Value losses = Mul(b, Of(b, "relu", gap), From(b, int64_t{1}, hot));
  if (attrs.Number("p").As<double>() == 2) losses = Of(b, "square", losses);
  if (in.size() > 2) {
    const op::Value weight = b.Call("index_select", {in[2], target}, {{"dim", int64_t{0}}});
    losses = Mul(b, losses, ShapedAs(b, weight, Shape{rows[0], 1}));
  }
  const op::Value each = MulScalar(b, SumOver(b, losses, 1), 1 / static_cast<double>(rows[1]));
  return given.rank() == 2 ? each : ShapedAs(b, each, Shape{});
}

// The classes of a row are those before its first -1. Of all pairs of one of them, k, and another
// class j the sum of max(0, 1 - x_k + x_j), by the number of classes.
op::Value LabelMargins(op::Builder& b, Operands in, const Attrs&) {
  const Shape given = in[0]->meta().shape;
  if (Status wrong = CheckRows(in, given); !wrong.ok()) return Wrong(b, wrong);
  const Shape rows = RowsOf(given);
  const int64_t count = rows[0], classes = rows[1];
  const DType dtype = in[0]->meta().dtype;
  const op::Value x = ShapedAs(b, in[0], rows), target = ShapedAs(b, in[1], rows);
  const op::Value open = CastTo(b, Against(b, "ne", target, -1), DType::kInt64);
  const op::Value valid = b.Call("cumprod", {open}, {{"dim", int64_t{1}}});
  const op::Value safe = Mul(b, target, valid);
  const op::Value place = ShapedAs(b, valid, Shape{count, classes, 1});
  const op::Value hot = Mul(b, Hot(b, safe, classes, DType::kInt64), place);
  const op::Value named = b.Call("amax", {hot}, {{"dim", std::vector<int64_t>{1}}});
  const op::Value own = b.Call("gather", {x, safe}, {{"dim", int64_t{1}}});
  const op::Value others = From(b, int64_t{1}, CastTo(b, named, dtype));
  const op::Value gap =
      Sub(b, ShapedAs(b, x, Shape{count, 1, classes}), ShapedAs(b, own, Shape{count, classes, 1}));
  op::Value losses = Of(b, "relu", AddScalar(b, gap, 1.0));
  losses = Mul(b, losses, CastTo(b, place, dtype));
  losses = Mul(b, losses, ShapedAs(b, others, Shape{count, 1, classes}));
  const op::Value each =
      MulScalar(b, b.Call("sum", {losses}, {{"dim", std::vector<int64_t>{1, 2}}}),
                1 / static_cast<double>(classes));
  return given.rank() == 2 ? each : ShapedAs(b, each, Shape{});
}

// Of nothing the mean is 0, as in torch.
op::Values ComposeLabelMargins(op::Builder& b, Operands in, const Attrs& attrs) {
  Attrs given = attrs;
  if (in[0]->meta().shape.numel() == 0 && attrs.Get<std::string>("reduction") == "mean")
    given.Set("reduction", std::string("sum"));
  return ComposeLoss<LabelMargins>(b, in, given);
}

op::Sample IndexSample(DType dtype, Shape x, Shape target, double classes, Attrs attrs = {},
                       bool weighted = false) {
  op::Sample s{{{dtype, x}, {DType::kInt64, target}}, std::move(attrs), 0, classes, ""};
  s.ranges = {{-2, 2}, {0, classes}, {0.5, 2}};
  if (weighted) s.inputs.push_back({dtype, {x[x.rank() - 1]}});
  return s;
}

op::OpDefBuilder& Margins(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc)
      .In("input")
      .In("target")
      .Out("loss")
      .Attr("reduction", op::AttrType::kString, std::string("mean"))
      .ErrorSamples({{{{DType::kFloat32, {5, 4}}, {DType::kInt64, {3}}},
                      {},
                      Code::kInvalidArgument,
                      "target fits no rows"}});
}

}  // namespace

OFL_OP(multi_margin_loss) {
  Margins(op,
          "Of a row with class k the mean over the classes j beside it of\n"
          "max(0, margin - input[k] + input[j])^p, by weight[k].")
      .InOptional("weight")
      .Attr("p", op::AttrType::kScalar, int64_t{1})
      .Attr("margin", op::AttrType::kFloat, 1.0)
      .Compose(ComposeLoss<MultiMargins>)
      .Oracle("reduced(multi_margin(input, target, p, margin, weight), reduction)")
      .Py("nn.functional.multi_margin_loss(input, target, p=1, margin=1.0, "
          "weight=None, " OFL_REDUCTION ")")
      .Samples([] {
        constexpr DType kF = DType::kFloat32;
        std::vector<op::Sample> samples = {
            IndexSample(kF, {5, 4}, {5}, 4, {{"p", int64_t{2}}, {"margin", 0.7}}, true),
            IndexSample(kF, {5, 4}, {5}, 4, {{"reduction", std::string("none")}}),
            IndexSample(kF, {4}, {}, 4), IndexSample(kF, {}, {}, 1)};
        for (DType dtype : ListOf(kFloats)) samples.push_back(IndexSample(dtype, {5, 4}, {5}, 4));
        return samples;
      });
}

OFL_OP(multilabel_margin_loss) {
  Margins(op,
          "The classes of a row are those before its first -1. Over all pairs of one of them, k,\n"
          "and another class j: the sum of max(0, 1 - input[k] + input[j]) by the number of "
          "classes.")
      .Compose(ComposeLabelMargins)
      .Oracle("reduced(multilabel_margin(input, target), reduction)")
      .Py("nn.functional.multilabel_margin_loss(input, target, " OFL_REDUCTION ")")
      .Samples([] {
        constexpr DType kF = DType::kFloat32;
        std::vector<op::Sample> samples = {
            IndexSample(kF, {5, 4}, {5, 4}, 4, {{"reduction", std::string("none")}}),
            IndexSample(kF, {4}, {4}, 4), IndexSample(kF, {}, {}, 1)};
        for (DType dtype : ListOf(kFloats))
          samples.push_back(IndexSample(dtype, {5, 4}, {5, 4}, 4));
        for (op::Sample& s : samples) s.ranges[1].first = -1;
        return samples;
      });
}

}  // namespace ofl::ops
