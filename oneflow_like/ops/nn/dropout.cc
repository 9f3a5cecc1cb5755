// dropout as layers call it: only in training, and only where something is dropped.
#include "oneflow_like/ops/kernel_util.h"

namespace ofl::ops {
namespace {

op::Values ComposeDropout(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const double p = attrs.Get<double>("p");
  if (!(p >= 0 && p <= 1)) {
    b.Fail(Error(Code::kInvalidArgument)
           << "[dropout] got p=" << p << "; expected a probability between 0 and 1");
    return {nullptr};
  }
  if (!attrs.Get<bool>("training") || p == 0) return {in[0]};
  return {b.Call("dropout", {in[0]}, {{"p", p}})};
}

}  // namespace

OFL_OP(dropout_in_training) {
  op.Doc(
        "In training each element is 0 with probability p, else scaled by 1/(1-p); the input "
        "itself\n"
        "otherwise. Global tensors draw from the job's generator, local ones from the rank's own.")
      .In("input")
      .Out("output")
      .Attr("p", op::AttrType::kFloat, 0.5)
      .Attr("training", op::AttrType::kBool, true)
      .Compose(ComposeDropout)
      .Oracle("input")  // of the samples, which draw nothing
      .Py("dropout(input, p=0.5, training=True)")
      .Functional()
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType dtype : {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16})
          samples.push_back({{{dtype, {5, 3}}}, {{"training", false}}});
        samples.push_back({{{DType::kFloat32, {5, 3}}}, {{"p", 0.0}}});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"p", 1.5}},
                      Code::kInvalidArgument,
                      "expected a probability between 0 and 1"}});
}

}  // namespace ofl::ops
