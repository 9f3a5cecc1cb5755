#include "oneflow_like/ops/elementwise/forms.h"

namespace ofl::ops {

op::OpDefBuilder& Named(op::OpDefBuilder& op, const std::string& signature, Writes writes) {
  op.PyBoth(signature);
  if (writes == Writes::kNothing) return op;
  const size_t end = signature.find('(');
  const std::string in_place = signature.substr(0, end) + "_";
  op.Method(in_place);
  if (writes == Writes::kBoth) op.Py(in_place + signature.substr(end)).Public();
  return op;
}

op::Value Against(op::Builder& b, const char* compare, const op::Value& x, double number) {
  if (x == nullptr) return nullptr;
  return b.Call("compare_number", {x},
                {{"compare", std::string(compare)}, {"value", Scalar(number)}});
}

void SetSlope(op::GradContext& c, const op::Value& slope) {
  c.Set(0, Mul(c.b, c.grads[0], Conj(c.b, slope)));
}

void SetReduced(op::GradContext& c, int i, op::Value grad) {
  c.Set(i, ReduceTo(c.b, std::move(grad), c.inputs[static_cast<size_t>(i)]->meta().shape));
}

op::OpDefBuilder& DescribePredicate(op::OpDefBuilder& op, DTypeSet set, const char* doc,
                                    const std::string& rule) {
  return op.Doc(doc)
      .In("input")
      .Out("output")
      .Sbp("(...)->(...)" + rule)
      .Traits({op::Trait::kElementwise})
      .Strided()
      .NotDifferentiable("a predicate is piecewise constant")
      .Samples([set] { return UnarySamples(ListOf(set), -2, 2); });
}

Status InferTernary(op::InferContext& c, DTypeSet set) {
  OFL_ENSURE(c.input(0).dtype == c.input(1).dtype && c.input(0).dtype == c.input(2).dtype,
             Code::kTypeMismatch)
      << "the dtypes differ; expected one dtype; convert with .to(dtype)";
  OFL_TRY(RequireIn(c, 0, set));
  auto shape = BroadcastShapes(c.input(0).shape, c.input(1).shape);
  if (shape.ok()) shape = BroadcastShapes(*shape, c.input(2).shape);
  OFL_ENSURE(shape.ok(), Code::kInvalidArgument) << shape.status().message();
  c.AddOutput({c.input(0).dtype, *shape});
  return Status::Ok();
}

op::OpDefBuilder& DescribeTernary(op::OpDefBuilder& op, DTypeSet set, const char* doc,
                                  const std::string& rule, Range range, Attrs attrs) {
  constexpr DType kF = DType::kFloat32;
  return op.Doc(doc)
      .Out("output")
      .Sbp("(...),(...),(...)->(...)" + rule)
      .Traits({op::Trait::kElementwise})
      .InPlace(0, 0)
      .InPlace(0, 1)
      .InPlace(0, 2)
      .Strided()
      .Promote(op::Promotion::kCommon)
      .Samples([set, range, attrs] {
        const std::vector<Shape> shapes[] = {
            {{5, 3}, {5, 3}, {5, 3}}, {{5, 3}, {3}, {5, 1}}, {{}, {4}, {}},
            {{0, 3}, {0, 3}, {3}},    {{}, {}, {}},          {{2, 1, 4}, {3, 1}, {1, 3, 4}}};
        std::vector<op::Sample> samples;
        for (DType d : ListOf(set)) {
          for (const auto& s : shapes) {
            samples.push_back(
                {{{d, s[0]}, {d, s[1]}, {d, s[2]}}, attrs, range.low, range.high, ""});
            if (d != kF) break;
          }
        }
        return samples;
      })
      .ErrorSamples({{{{kF, {2}}, {DType::kInt64, {2}}, {kF, {2}}},
                      attrs,
                      Code::kTypeMismatch,
                      "the dtypes differ"},
                     {{{kF, {2}}, {kF, {3}}, {kF, {2}}},
                      attrs,
                      Code::kInvalidArgument,
                      "expected equal sizes or 1"}});
}

std::vector<op::Sample> ExactSamples(double low, double high, Attrs attrs) {
  return UnarySamples({DType::kFloat32, DType::kFloat64}, low, high, std::move(attrs));
}

}  // namespace ofl::ops
