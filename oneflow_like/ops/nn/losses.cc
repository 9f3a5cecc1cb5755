#include "oneflow_like/ops/nn/losses.h"

#include <algorithm>
#include <tuple>

namespace ofl::ops {

op::OpDefBuilder& Loss(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc)
      .Out("loss")
      .Attr("reduction", op::AttrType::kString, std::string("mean"))
      .OptionalAttr("code", op::AttrType::kInt)
      .Promote(op::Promotion::kCommon)
      .Autocast(op::Autocast::kFloat32);
}

Result<std::string> ReductionOf(const Attrs& attrs, bool batchmean) {
  static const std::string kNames[] = {"none", "mean", "sum"};
  if (const int64_t* code = attrs.Maybe<int64_t>("code")) {
    OFL_ENSURE(*code >= 0 && *code < 3, Code::kInvalidArgument)
        << "got reduction=" << *code << "; expected 0 (none), 1 (mean) or 2 (sum)";
    return kNames[*code];
  }
  const std::string& name = attrs.Get<std::string>("reduction");
  for (const std::string& known : kNames)
    if (name == known) return name;
  if (batchmean && name == "batchmean") return name;
  return Error(Code::kInvalidArgument)
         << "got reduction='" << name << "'; expected 'mean', 'sum' or 'none'"
         << (batchmean ? ", or 'batchmean'" : "");
}

op::Value Reduced(op::Builder& b, const op::Value& losses, const std::string& how) {
  return losses == nullptr || how == "none" ? losses : Of(b, how.c_str(), losses);
}

Status RequireFloating(const op::Value& x) {
  OFL_ENSURE(IsDifferentiable(x->meta().dtype), Code::kTypeMismatch)
      << DTypeName(x->meta().dtype) << " is not a floating dtype: got " << x->meta().ToString()
      << "; expected float32; convert with .to(flow.float32)";
  return Status::Ok();
}

op::Values ComposeReduced(op::Builder& b, Operands in, const Attrs& attrs, LossFn losses,
                          Whole whole) {
  const auto how = ReductionOf(attrs);
  if (!how.ok()) return Refused(b, how.status());
  const DType dtype = in[0]->meta().dtype;
  if (whole == Whole::kRefused) {
    if (Status wrong = RequireFloating(in[0]); !wrong.ok()) return Refused(b, wrong);
  }
  const bool to_float = whole == Whole::kToFloat && !IsDifferentiable(dtype);
  op::Values wide;
  for (const op::Value& x : in) {
    wide.push_back(to_float ? CastTo(b, x, DType::kFloat32) : Wide(b, x));
    if (wide.back() == nullptr) return {nullptr};
  }
  return {Narrow(b, Reduced(b, losses(b, wide, attrs), *how), dtype)};
}

const op::Value* OperandAt(Operands in, const Attrs& attrs, size_t operand) {
  const auto* counts = attrs.Maybe<std::vector<int64_t>>(op::kArity);
  if (counts == nullptr) return operand < in.size() ? &in[operand] : nullptr;
  size_t at = 0;
  for (size_t i = 0; i < operand; ++i) at += static_cast<size_t>((*counts)[i]);
  return (*counts)[operand] > 0 ? &in[at] : nullptr;
}

op::Value AtLeast(op::Builder& b, const op::Value& x, double least) {
  return b.Call("clamp", {x}, {{"min", Scalar(least)}});
}

op::Value SumOver(op::Builder& b, const op::Value& x, int64_t axis) {
  return b.Call("sum", {x}, {{"dim", std::vector<int64_t>{axis}}});
}

op::Value ShapedAs(op::Builder& b, const op::Value& x, const Shape& shape) {
  return b.Call("reshape", {x}, {{"shape", DimsOf(shape)}});
}

op::Value Wrong(op::Builder& b, Status status) {
  b.Fail(std::move(status));
  return nullptr;
}

std::vector<op::Sample> LossSamples(const std::vector<Shape>& shapes,
                                    std::vector<std::pair<double, double>> ranges,
                                    const Attrs& more) {
  std::vector<op::Sample> samples;
  const auto add = [&](DType dtype, const char* reduction) {
    op::Sample s{{}, more, -2, 2, "", ranges};
    for (size_t i = 0; i < ranges.size(); ++i) {  // what suits every operand
      s.low = i == 0 ? ranges[i].first : std::max(s.low, ranges[i].first);
      s.high = i == 0 ? ranges[i].second : std::min(s.high, ranges[i].second);
    }
    if (s.low > s.high) std::tie(s.low, s.high) = ranges[0];
    for (const Shape& shape : shapes) s.inputs.push_back({dtype, shape});
    s.attrs.Set("reduction", std::string(reduction));
    samples.push_back(std::move(s));
  };
  add(DType::kFloat32, "sum");
  add(DType::kFloat32, "none");
  for (DType dtype : ListOf(kFloats)) add(dtype, "mean");
  return samples;
}

op::ErrorSample ReductionError(const std::vector<Shape>& shapes, Attrs attrs) {
  attrs.Set("reduction", std::string("max"));
  op::ErrorSample error{{}, std::move(attrs), Code::kInvalidArgument, "got reduction='max'"};
  for (const Shape& shape : shapes) error.inputs.push_back({DType::kFloat32, shape});
  return error;
}

}  // namespace ofl::ops
