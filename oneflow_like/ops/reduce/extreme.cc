// max and min along one axis: the values and where they stand, composed.
#include "oneflow_like/ops/elementwise/family.h"

namespace ofl::ops {
namespace {

template <bool kMax>
op::Values ComposeExtreme(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const Attrs over = {{"dim", std::vector<int64_t>{attrs.Get<int64_t>("dim")}},
                      {"keepdim", attrs.Get<bool>("keepdim")}};
  return {b.Call(kMax ? "amax" : "amin", {in[0]}, over),
          b.Call(kMax ? "argmax" : "argmin", {in[0]}, over)};
}

template <bool kMax>
op::OpDefBuilder& Extreme(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc)
      .In("input")
      .Out("values")
      .Out("indices")
      .Attr("dim", op::AttrType::kInt)
      .Attr("keepdim", op::AttrType::kBool, false)
      .Compose(ComposeExtreme<kMax>)
      .Samples([] {
        std::vector<op::Sample> samples{
            {{{DType::kFloat32, {5, 3}}}, {{"dim", int64_t{0}}, {"keepdim", true}}}};
        for (DType dtype : ListOf(kReals))
          samples.push_back({{{dtype, {5, 3}}}, {{"dim", int64_t{1}}}});
        return samples;
      })
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 3}}}, {{"dim", int64_t{2}}}, Code::kOutOfRange, "but got 2"},
           {{{DType::kFloat32, {2, 0}}},
            {{"dim", int64_t{1}}},
            Code::kInvalidArgument,
            "axis 1 is empty"}});
}

}  // namespace

OFL_OP(max) {
  Extreme<true>(op, "The largest values along `dim`, and the index of the first of each.")
      .Oracle("(np.max(input, dim, keepdims=keepdim), np.argmax(input, dim, keepdims=keepdim))")
      .PyBoth("max(input, dim, keepdim=False)");
}

OFL_OP(min) {
  Extreme<false>(op, "The smallest values along `dim`, and the index of the first of each.")
      .Oracle("(np.min(input, dim, keepdims=keepdim), np.argmin(input, dim, keepdims=keepdim))")
      .PyBoth("min(input, dim, keepdim=False)");
}

}  // namespace ofl::ops
