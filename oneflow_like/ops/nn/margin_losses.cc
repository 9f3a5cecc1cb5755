// Losses with a margin: hinge, ranking, soft, cosine, triplet.
#include "oneflow_like/ops/nn/losses.h"

namespace ofl::ops {
namespace {

op::Value HingeLosses(op::Builder& b, Operands in, const Attrs& attrs) {
  const op::Value &x = in[0], &t = in[1];
  const double margin = attrs.Get<double>("margin");
  const bool whole = !IsDifferentiable(x->meta().dtype);
  const Scalar bound = whole ? Scalar(Scalar(margin).As<int64_t>()) : Scalar(margin);
  const op::Value apart =
      b.Call("clamp", {From(b, bound, x)}, {{"min", whole ? Scalar(0) : Scalar(0.0)}});
  const op::Value none = ZerosLike(b, x);
  return Add(b, Where(b, Against(b, "ne", t, 1), apart, none),
             Where(b, Against(b, "ne", t, -1), x, none));
}

op::Value RankingLosses(op::Builder& b, Operands in, const Attrs& attrs) {
  const int rank = in[0]->meta().shape.rank();
  if (rank != in[1]->meta().shape.rank() || rank != in[2]->meta().shape.rank()) {
    return Wrong(b, Error(Code::kInvalidArgument)
                        << "the operands have different numbers of axes: got input1: "
                        << in[0]->meta().ToString() << ", input2: " << in[1]->meta().ToString()
                        << ", target: " << in[2]->meta().ToString() << "; expected one number");
  }
  const op::Value order = Mul(b, Of(b, "neg", in[2]), Sub(b, in[0], in[1]));
  return AtLeast(b, AddScalar(b, order, attrs.Get<double>("margin")), 0);
}

op::Value SoftLosses(op::Builder& b, Operands in, const Attrs&) {
  return Of(b, "log1p", Of(b, "exp", Mul(b, Of(b, "neg", in[1]), in[0])));
}

op::Value CosineLosses(op::Builder& b, Operands in, const Attrs& attrs) {
  constexpr double kLeast = 1e-12;
  const Shape &x = in[0]->meta().shape, &y = in[1]->meta().shape, &t = in[2]->meta().shape;
  if (t.rank() > 1 || x.rank() != t.rank() + 1 || y.rank() != t.rank() + 1) {
    return Wrong(b, Error(Code::kInvalidArgument)
                        << "the operands fit no rows: got input1: " << in[0]->meta().ToString()
                        << ", input2: " << in[1]->meta().ToString()
                        << ", target: " << in[2]->meta().ToString()
                        << "; expected (N, D), (N, D), (N,) or (D,), (D,), ()");
  }
  const auto product = [&](int i, int j) { return SumOver(b, Mul(b, in[i], in[j]), -1); };
  const op::Value lengths =
      Mul(b, AddScalar(b, product(0, 0), kLeast), AddScalar(b, product(1, 1), kLeast));
  const op::Value cosine = Div(b, product(0, 1), Of(b, "sqrt", lengths));
  const op::Value none = cosine == nullptr ? nullptr : ZerosLike(b, cosine);
  const op::Value apart = AtLeast(b, AddScalar(b, cosine, -attrs.Get<double>("margin")), 0);
  const op::Value near = Where(b, Against(b, "eq", in[2], 1), From(b, int64_t{1}, cosine), none);
  return Add(b, near, Where(b, Against(b, "eq", in[2], -1), apart, none));
}

op::Value TripletLosses(op::Builder& b, Operands in, const Attrs& attrs) {
  const int rank = in[0]->meta().shape.rank();
  const double margin = attrs.Get<double>("margin");
  if (rank != in[1]->meta().shape.rank() || rank != in[2]->meta().shape.rank()) {
    return Wrong(b, Error(Code::kInvalidArgument)
                        << "the operands have different numbers of axes: got anchor: "
                        << in[0]->meta().ToString() << ", positive: " << in[1]->meta().ToString()
                        << ", negative: " << in[2]->meta().ToString() << "; expected one number");
  }
  if (!(margin > 0)) {
    return Wrong(b, Error(Code::kInvalidArgument)
                        << "margin is not positive: got " << margin << "; expected more than 0");
  }
  const auto distance = [&](const op::Value& x, const op::Value& y) {
    return b.Call("pairwise_distance", {x, y},
                  {{"p", *attrs.Find("p")}, {"eps", attrs.Get<double>("eps")}});
  };
  op::Value apart = distance(in[0], in[2]);
  if (attrs.Get<bool>("swap")) apart = b.Call("minimum", {apart, distance(in[1], in[2])});
  const op::Value gap = Sub(b, distance(in[0], in[1]), apart);
  return AtLeast(b, AddScalar(b, gap, margin), 0);
}

op::Value SoftLabelLosses(op::Builder& b, Operands in, const Attrs&) {
  const op::Value &x = in[0], &t = in[1];
  const Shape& shape = x->meta().shape;
  if (shape.rank() == 0) {
    return Wrong(b, Error(Code::kInvalidArgument)
                        << "input has no classes: got " << x->meta().ToString()
                        << "; expected an axis at least");
  }
  const op::Value yes = Mul(b, t, Of(b, "logsigmoid", x));
  const op::Value no = Mul(b, From(b, int64_t{1}, t), Of(b, "logsigmoid", Of(b, "neg", x)));
  op::Value losses = Of(b, "neg", Add(b, yes, no));
  if (in.size() > 2) losses = Mul(b, losses, in[2]);
  const auto classes = static_cast<double>(shape[shape.rank() - 1]);
  return b.Call("div_scalar", {SumOver(b, losses, -1)}, {{"scalar", Scalar(classes)}});
}

}  // namespace

OFL_OP(hinge_embedding_loss) {
  Loss(op.In("input").In("target"),
       "input where the target is 1, and where it is -1 what is missing to the margin.")
      .Attr("margin", op::AttrType::kFloat, 1.0)
      .Compose(ComposeLoss<HingeLosses, Whole::kKept>)
      .Oracle("reduced(hinge(input, target, margin), reduction)")
      .Py("nn.functional.hinge_embedding_loss(input, target, margin=1.0, " OFL_REDUCTION ")")
      .Py("hinge_embedding_loss(input, target, margin=1.0, reduction: code=0)",
          {{"code", int64_t{0}}})
      .Public()
      .Samples([] { return LossSamples({{5, 3}, {5, 3}}, {{-2, 2}, {1, 1}}, {{"margin", 0.7}}); })
      .ErrorSamples({ReductionError({{5}, {5}})});
}

OFL_OP(margin_ranking_loss) {
  Loss(op.In("input1").In("input2").In("target"), "max(0, -target (input1 - input2) + margin).")
      .Attr("margin", op::AttrType::kFloat, 0.0)
      .Compose(ComposeLoss<RankingLosses, Whole::kToFloat>)
      .Oracle("reduced(np.maximum(0, -target * (input1 - input2) + margin), reduction)")
      .Py("nn.functional.margin_ranking_loss(input1, input2, target, margin=0, " OFL_REDUCTION ")")
      .Py("margin_ranking_loss(input1, input2, target, margin=0.0, reduction: code=0)",
          {{"code", int64_t{0}}})
      .Public()
      .Samples([] { return LossSamples({{5, 3}, {5, 3}, {5, 1}}, {}, {{"margin", 0.7}}); })
      .ErrorSamples({ReductionError({{5}, {5}, {5}}),
                     {{{DType::kFloat32, {5}}, {DType::kFloat32, {5}}, {DType::kFloat32, {}}},
                      {},
                      Code::kInvalidArgument,
                      "different numbers of axes"}});
}

OFL_OP(soft_margin_loss) {
  Loss(op.In("input").In("target"), "log(1 + exp(-target * input)).")
      .Compose(ComposeLoss<SoftLosses>)
      .Oracle("reduced(np.log1p(np.exp(-target * input)), reduction)")
      .Py("nn.functional.soft_margin_loss(input, target, " OFL_REDUCTION ")")
      .Samples([] { return LossSamples({{5, 3}, {5, 3}}); })
      .ErrorSamples({ReductionError({{5}, {5}})});
}

OFL_OP(cosine_embedding_loss) {
  Loss(op.In("input1").In("input2").In("target"),
       "Of rows: 1 - cos where the target is 1, max(0, cos - margin) where it is -1.")
      .Attr("margin", op::AttrType::kFloat, 0.0)
      .Compose(ComposeLoss<CosineLosses, Whole::kToFloat>)
      .Oracle("reduced(cosine_rows(input1, input2, target, margin), reduction)")
      .Py("nn.functional.cosine_embedding_loss(input1, input2, target, margin=0, " OFL_REDUCTION
          ")")
      .Py("cosine_embedding_loss(input1, input2, target, margin=0.0, reduction: code=0)",
          {{"code", int64_t{0}}})
      .Public()
      .Samples([] {
        auto samples = LossSamples({{5, 3}, {5, 3}, {5}}, {{-2, 2}, {-2, 2}, {1, 1}});
        const auto far =
            LossSamples({{5, 3}, {5, 3}, {5}}, {{-2, 2}, {-2, 2}, {-1, -1}}, {{"margin", 0.1}});
        samples.insert(samples.end(), far.begin(), far.begin() + 3);
        samples.push_back({{{DType::kFloat32, {4}}, {DType::kFloat32, {4}}, {DType::kFloat32, {}}},
                           {},
                           -2,
                           2,
                           "",
                           {{-2, 2}, {-2, 2}, {1, 1}}});
        return samples;
      })
      .ErrorSamples({ReductionError({{5, 3}, {5, 3}, {5}}),
                     {{{DType::kFloat32, {5}}, {DType::kFloat32, {5}}, {DType::kFloat32, {5}}},
                      {},
                      Code::kInvalidArgument,
                      "fit no rows"}});
}

OFL_OP(triplet_margin_loss) {
  Loss(op.In("anchor").In("positive").In("negative"),
       "max(0, d(anchor, positive) - d(anchor, negative) + margin), d being the p-norm of the\n"
       "difference; with `swap` the negative's smaller distance from both others.")
      .Attr("margin", op::AttrType::kFloat, 1.0)
      .Attr("p", op::AttrType::kScalar, 2.0)
      .Attr("eps", op::AttrType::kFloat, 1e-6)
      .Attr("swap", op::AttrType::kBool, false)
      .Compose(ComposeLoss<TripletLosses, Whole::kToFloat>)
      .Oracle(
          "reduced(triplet(lambda x, y: norm(x - y + eps, p, [-1], False), anchor, positive, "
          "negative, margin, swap), reduction)")
      .Py("nn.functional.triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2, "
          "eps=1e-06, swap=False, " OFL_REDUCTION ")")
      .Py("triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2, eps=1e-06, "
          "swap=False, reduction: code=0)",
          {{"code", int64_t{0}}})
      .Public()
      .Samples([] {
        auto samples = LossSamples({{5, 3}, {5, 3}, {5, 3}}, {}, {{"margin", 2.0}});
        const auto swapped =
            LossSamples({{5, 3}, {5, 3}, {5, 3}}, {}, {{"swap", true}, {"p", 1.0}});
        samples.insert(samples.end(), swapped.begin(), swapped.begin() + 2);
        return samples;
      })
      .ErrorSamples({ReductionError({{5, 3}, {5, 3}, {5, 3}}),
                     {{{DType::kFloat32, {5}}, {DType::kFloat32, {5}}, {DType::kFloat32, {5}}},
                      {{"margin", 0.0}},
                      Code::kInvalidArgument,
                      "margin is not positive"}});
}

OFL_OP(multilabel_soft_margin_loss) {
  Loss(op.In("input").In("target").InOptional("weight"),
       "binary_cross_entropy_with_logits of each class, averaged over the last axis.")
      .Compose(ComposeLoss<SoftLabelLosses>)
      .Oracle(
          "reduced((bce_logits(input, target, None) * (1 if weight is None else weight)).mean(-1), "
          "reduction)")
      .Py("nn.functional.multilabel_soft_margin_loss(input, target, weight=None, " OFL_REDUCTION
          ")")
      .Samples([] {
        auto samples = LossSamples({{5, 3}, {5, 3}}, {{-4, 4}, {0, 1}});
        const auto weighted = LossSamples({{5, 3}, {5, 3}, {3}}, {{-4, 4}, {0, 1}, {0.5, 2}});
        samples.insert(samples.end(), weighted.begin(), weighted.begin() + 2);
        return samples;
      })
      .ErrorSamples({ReductionError({{5}, {5}})});
}

}  // namespace ofl::ops
