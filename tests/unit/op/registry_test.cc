// Schemas, lookup and error text of operators and kernels.
#include <gtest/gtest.h>

#include "oneflow_like/op/def/op_def.h"
#include "oneflow_like/op/kernel/kernel.h"

namespace ofl::op {
namespace {

const OpDef& Op(const char* name) { return *OpRegistry::Get().Find(name); }

TEST(OpRegistry, ListsOperatorsByName) {
  const auto& all = OpRegistry::Get().all();
  ASSERT_FALSE(all.empty());
  for (size_t i = 1; i < all.size(); ++i) EXPECT_LT(all[i - 1]->name, all[i]->name);
  EXPECT_EQ(OpRegistry::Get().Find("no_such_operator"), nullptr);
}

TEST(OpRegistry, SuggestsNearNames) {
  const auto missing = OpRegistry::Get().Require("simgoid");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.status().code(), Code::kNotFound);
  EXPECT_EQ(missing.status().message(), "no operator is named 'simgoid'; did you mean 'sigmoid'?");
  const auto far = OpRegistry::Get().Require("qqqqqqqqqq");
  EXPECT_EQ(far.status().message(), "no operator is named 'qqqqqqqqqq'");
  EXPECT_FALSE(OpRegistry::Get().Require(std::string(10'000, 'x')).ok());
}

TEST(OpDef, FillsInDefaults) {
  const auto attrs = Op("sum").CompleteAttrs({{"keepdim", true}});
  ASSERT_TRUE(attrs.ok());
  EXPECT_TRUE(attrs->Get<bool>("keepdim"));
  EXPECT_TRUE(attrs->Get<std::vector<int64_t>>("dim").empty());
}

TEST(OpDef, TakesAWholeNumberForAFloat) {
  const auto attrs = Op("dropout").CompleteAttrs({{"p", int64_t{1}}});
  ASSERT_TRUE(attrs.ok());
  EXPECT_EQ(attrs->Get<double>("p"), 1.0);
}

TEST(OpDef, LeavesANumberAsItIs) {
  const int64_t big = (int64_t{1} << 53) + 1;
  const auto attrs = Op("add_scalar").CompleteAttrs({{"scalar", big}});
  ASSERT_TRUE(attrs.ok());
  EXPECT_EQ(attrs->Number("scalar"), Scalar(big));
}

TEST(OpDef, RefusesWrongAttributes) {
  const auto unknown = Op("sum").CompleteAttrs({{"axis", int64_t{1}}});
  EXPECT_EQ(unknown.status().message(),
            "[sum] no attribute is named 'axis': got axis=1; expected one of: dim, keepdim, dtype");
  const auto missing = Op("cast").CompleteAttrs({});
  EXPECT_EQ(missing.status().message(),
            "[cast] attribute 'dtype' is missing; expected a value of type dtype");
  const auto wrong = Op("sum").CompleteAttrs({{"keepdim", int64_t{1}}});
  EXPECT_EQ(wrong.status().code(), Code::kTypeMismatch);
}

TEST(OpDef, CountsInputs) {
  const std::vector<TensorMeta> three(3, TensorMeta{DType::kFloat32, {2}});
  const auto status = Op("add").Infer(three, {}).status();
  EXPECT_EQ(status.message(),
            "[add] wrong number of tensor inputs: got 3; expected 2 (input, other)");
}

TEST(OpDef, PutsOperandsIntoErrors) {
  const std::vector<TensorMeta> inputs{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {4, 3}}};
  EXPECT_EQ(Op("add").Infer(inputs, {}).status().message(),
            "[add] shapes (2, 3) and (4, 3) cannot be broadcast: axis -2 has sizes 2 and 4: got "
            "input: float32[2,3], other: float32[4,3]; expected equal sizes or 1");
}

TEST(Kernels, AreFoundByDTypeOfTheFirstOperand) {
  const std::vector<TensorMeta> inputs(2, TensorMeta{DType::kFloat32, {2}});
  const std::vector<TensorMeta> outputs{{DType::kFloat32, {2}}};
  const auto kernel =
      FindKernel("add", DeviceKind::kCpu, DenseViews(inputs), DenseViews(outputs), {}, 1);
  ASSERT_TRUE(kernel.ok());
  EXPECT_EQ(kernel->provider, Op("add").Providers(DeviceKind::kCpu, DType::kFloat32).at(0));
  // A source has no input; its output decides.
  const std::vector<TensorMeta> longs{{DType::kInt64, {2}}};
  const auto source = FindKernel("full", DeviceKind::kCpu, {}, DenseViews(longs), {}, 1);
  ASSERT_TRUE(source.ok());
  EXPECT_EQ(source->provider, Op("full").Providers(DeviceKind::kCpu, DType::kInt64).at(0));
}

TEST(Kernels, SayWhatExistsWhenOneIsMissing) {
  const auto inputs = DenseViews(std::vector<TensorMeta>{{DType::kFloat8E4M3, {2}}});
  const auto missing = FindKernel("exp", DeviceKind::kCpu, inputs, inputs, {}, 1);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.status().code(), Code::kUnimplemented);
  EXPECT_EQ(
      missing.status().message(),
      "[exp] no cpu kernel for float8_e4m3fn: got float8_e4m3fn[2]; expected one of: float32, "
      "float16, bfloat16, float64, complex64, complex128; cast the input first");
  EXPECT_EQ(FindKernel("exp", DeviceKind::kCuda, inputs, inputs, {}, 1).status().code(),
            Code::kUnimplemented);
  EXPECT_EQ(FindKernel("no_such", DeviceKind::kCpu, inputs, inputs, {}, 1).status().code(),
            Code::kNotFound);
}

TEST(Kernels, OfTheNullDeviceRunNothing) {
  const auto inputs = DenseViews(std::vector<TensorMeta>{{DType::kFloat16, {2}}});
  const auto kernel = FindKernel("exp", DeviceKind::kNull, inputs, inputs, {}, 1);
  ASSERT_TRUE(kernel.ok());
  KernelContext context;
  EXPECT_TRUE(kernel->Run(context).ok());
}

}  // namespace
}  // namespace ofl::op
