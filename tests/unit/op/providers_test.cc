// Providers beside an operator's own kernels. What is added here stays for the whole test binary,
// so it is added for a dtype that nothing else computes in.
#include "oneflow_like/op/kernel/providers.h"

#include <gtest/gtest.h>

#include <cstring>

#include "oneflow_like/op/kernel/kernel.h"

namespace ofl::op {
namespace {

constexpr DType kType = DType::kFloat8E5M2;
constexpr const char* kOp = "identity";

int prepared = 0;

struct Variant final : KernelState {
  int64_t rows = 0;
};

// Takes matrices of at least four rows alone, and reads what it prepared.
Result<KernelStateRef> PrepareRows(const KernelQuery& query) {
  ++prepared;
  const Shape& shape = query.inputs[0].meta.shape;
  OFL_ENSURE(shape.rank() == 2 && shape[0] >= 4 && query.inputs[0].dense(), Code::kUnimplemented)
      << "rows of " << shape;
  auto variant = std::make_shared<Variant>();
  variant->rows = shape[0];
  return KernelStateRef(std::move(variant));
}

Status RunRows(KernelContext& c) {
  const auto& variant = static_cast<const Variant&>(*c.state);
  std::memset(c.outputs[0].data, static_cast<int>(variant.rows), c.outputs[0].numel());
  return Status::Ok();
}

Kernel Find(const TensorView& view) {
  return FindKernel(kOp, DeviceKind::kCpu, {&view, 1}, {&view, 1}, {}, 1).value();
}

TEST(Providers, OfALibraryAreAskedFirstAndMayDecline) {
  const KernelEntry entry{DeviceKind::kCpu, kType, {"rows", RunRows, PrepareRows, nullptr}};
  ASSERT_TRUE(AddProvider(kOp, entry).ok());
  EXPECT_EQ(AddProvider(kOp, entry).code(), Code::kInvalidArgument);  // once is enough

  const Kernel large = Find({nullptr, {kType, {5, 2}}});
  EXPECT_STREQ(large.provider->name, "rows");
  std::byte memory[10] = {};
  const TensorView out{memory, {kType, {5, 2}}};
  KernelContext context;
  context.inputs = context.outputs = {&out, 1};
  ASSERT_TRUE(large.Run(context).ok());
  EXPECT_EQ(memory[9], std::byte{5});  // what it kept, not what the call says

  const Kernel small = Find({nullptr, {kType, {2, 2}}});
  EXPECT_STREQ(small.provider->name, "own");
  const Kernel strided = Find({nullptr, {kType, {4, 4}}, Shape{1, 4}});
  EXPECT_STREQ(strided.provider->name, "own");  // strides are part of the question
  EXPECT_EQ(prepared, 3);
}

TEST(Providers, OfARegionStandUnderItsName) {
  EXPECT_TRUE(ProvidersOf("add+relu", DeviceKind::kCpu, DType::kFloat32).empty());
  const KernelEntry entry{DeviceKind::kCpu, DType::kFloat32, {"fused", RunRows, nullptr, nullptr}};
  ASSERT_TRUE(AddProvider("add+relu", entry).ok());
  ASSERT_EQ(ProvidersOf("add+relu", DeviceKind::kCpu, DType::kFloat32).size(), 1u);
  EXPECT_TRUE(ProvidersOf("add+relu", DeviceKind::kCpu, DType::kFloat64).empty());
  EXPECT_TRUE(ProvidersOf("add+relu", DeviceKind::kCuda, DType::kFloat32).empty());
  EXPECT_EQ(AddProvider("x", {DeviceKind::kCpu, DType::kFloat32, {}}).code(),
            Code::kInvalidArgument);
}

}  // namespace
}  // namespace ofl::op
