// Providers beside an operator's own kernels. What is added here stays for the whole test binary,
// so it computes what the operator means.
#include "oneflow_like/op/def/providers.h"

#include <gtest/gtest.h>

#include <cstring>

#include "oneflow_like/op/kernel/kernel.h"

namespace ofl::op {
namespace {

constexpr DType kType = DType::kFloat8E5M2;
constexpr const char* kOp = "identity";

int prepared = 0;
int64_t rows_of_last_run = 0;

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
  rows_of_last_run = static_cast<const Variant&>(*c.state).rows;
  std::memcpy(c.outputs[0].data, c.inputs[0].data, static_cast<size_t>(c.outputs[0].meta.bytes()));
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
  std::byte from[10] = {std::byte{7}}, to[10] = {};
  const TensorView in{from, {kType, {5, 2}}}, out{to, {kType, {5, 2}}};
  KernelContext context;
  context.inputs = {&in, 1};
  context.outputs = {&out, 1};
  ASSERT_TRUE(large.Run(context).ok());
  EXPECT_EQ(to[0], std::byte{7});
  EXPECT_EQ(rows_of_last_run, 5);  // what it kept

  const Kernel small = Find({nullptr, {kType, {2, 2}}});
  EXPECT_STREQ(small.provider->name, "own");
  const Kernel strided = Find({nullptr, {kType, {6, 4}}, Shape{1, 6}});
  EXPECT_STREQ(strided.provider->name, "own");  // strides are part of the question
  EXPECT_GE(prepared, 3);
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
