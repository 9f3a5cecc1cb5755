// Generators given by the caller, in eager mode and in graphs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "compiler/expand/expand.h"
#include "oneflow_like/runtime/graph_session.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/conversion.h"
#include "oneflow_like/tensor/dispatch.h"
#include "oneflow_like/tensor/tracer.h"
#include "tests/unit/compiler/graphs.h"

namespace ofl::runtime {
namespace {

using compiler::testing::Must;
using ::testing::HasSubstr;
using Results = std::vector<std::vector<float>>;

class Generators : public ::testing::Test {
 protected:
  Generators() : context_({}) {
    tensor::Context::BindThread(&context_);
    Restart();
  }
  ~Generators() override { tensor::Context::BindThread(nullptr); }

  void Restart() {
    context_.Seed(3);
    mine_.Restore({11, 40});
  }
  static const op::OpDef& Op(const char* name) {
    return *Must(op::OpRegistry::Get().Require(name));
  }
  op::Value Drop(const op::Value& x, tensor::Generator* generator) {
    return Must(tensor::Dispatch(Op("dropout"), std::vector{x}, {{"p", 0.5}}, generator))[0];
  }
  // Draws twice from the caller's generator and three times from the default one.
  op::Values Body(const op::Value& x) {
    op::Values results{Drop(x, &mine_), Drop(x, nullptr)};
    Drop(x, nullptr);  // nobody uses it
    results.push_back(Drop(results[1], &mine_));
    results.push_back(Drop(results[0], nullptr));
    return results;
  }
  static std::vector<float> FloatsOf(const op::Value& value) {
    const tensor::TensorImpl& x = *tensor::AsTensor(value);
    std::vector<float> floats(static_cast<size_t>(x.meta().shape.numel()));
    std::memcpy(floats.data(), x.data(), floats.size() * sizeof(float));
    return floats;
  }
  static Results All(std::span<const op::Value> values) {
    Results all;
    for (const op::Value& value : values) all.push_back(FloatsOf(value));
    return all;
  }

  tensor::Context context_;
  tensor::Generator mine_;
  const tensor::TensorRef x_ =
      Must(tensor::FromHost({DType::kFloat32, {8, 4}}, std::vector<float>(32, 1.0f).data()));
};

TEST_F(Generators, OfTheCallerLeaveTheDefaultOneAlone) {
  const auto first = FloatsOf(Drop(x_, &mine_));
  EXPECT_EQ(mine_.state(), (RandomState{11, 41}));
  EXPECT_EQ(context_.local_generator().state(), (RandomState{3, 0}));
  const auto other = FloatsOf(Drop(x_, nullptr));
  EXPECT_EQ(context_.local_generator().state(), (RandomState{3, 1}));
  EXPECT_NE(first, other);
  Restart();
  EXPECT_EQ(FloatsOf(Drop(x_, &mine_)), first);
  const auto refused = tensor::Dispatch(Op("relu"), std::vector<op::Value>{x_}, {}, &mine_);
  EXPECT_THAT(refused.status().message(), HasSubstr("[relu] draws no random numbers"));
  const Attrs drawn{{"p", 0.5}, {std::string(op::kDraw), op::Draw{{1, 2}}.ToAttr()}};
  EXPECT_EQ(
      tensor::Dispatch(Op("dropout"), std::vector<op::Value>{x_}, drawn, &mine_).status().code(),
      Code::kInvalidArgument);
  EXPECT_EQ(mine_.state(), (RandomState{11, 41}));
}

TEST_F(Generators, OfAGraphStandWhereEagerCallsLeaveThem) {
  std::vector<Results> expected;
  for (int launch = 0; launch < 3; ++launch) expected.push_back(All(Body(x_)));
  const RandomState mine = mine_.state(), local = context_.local_generator().state();
  EXPECT_EQ(mine, (RandomState{11, 46}));
  EXPECT_EQ(local, (RandomState{3, 9}));
  for (int micro_batches : {1, 2}) {
    Restart();
    GraphSession session("drops", micro_batches, 1);
    const op::Value input = Must(session.tracer().AddInput(x_, "x"));
    tensor::SetCurrentTracer(&session.tracer());
    const op::Values outputs = Body(input);
    tensor::SetCurrentTracer(nullptr);
    for (const op::Value& output : outputs) ASSERT_TRUE(session.tracer().AddOutput(output).ok());
    ASSERT_TRUE(session.Compile({}, "").ok());
    EXPECT_EQ(session.draws(), 5);
    EXPECT_EQ(session.plan().semantics().resources_size(), 2);
    EXPECT_EQ(mine_.state(), (RandomState{11, 40}));  // tracing draws nothing
    for (const Results& want : expected) {
      const auto results = Must(session.Launch(std::vector{x_}));
      EXPECT_EQ(All(op::Values(results.begin(), results.end())), want);
    }
    EXPECT_EQ(mine_.state(), mine);
    EXPECT_EQ(context_.local_generator().state(), local);
  }
}

TEST_F(Generators, AreAllGivenToALaunch) {
  const proto::Plan plan = compiler::testing::CompileTwoGenerators();
  Program program = Must(compiler::Expand(plan, 0));
  program.remote_edges.clear();
  actor::InstanceOptions options;
  options.device = Must(device::GetDevice(DeviceKind::kCpu));
  const auto instance = Must(actor::Instance::Create(std::move(program), std::move(options)));
  std::vector<float> x(16, 1.0f), y(16);
  const op::TensorView in{x.data(), {DType::kFloat32, {4, 4}}};
  const op::TensorView out{y.data(), {DType::kFloat32, {4, 4}}};
  const RandomState states[] = {{1, 0}, {2, 0}, {3, 0}};
  for (size_t given : {0, 1, 3}) {
    const Status status = instance->Launch({&in, 1}, {&out, 1}, {states, given});
    EXPECT_THAT(status.message(), HasSubstr("draws from 2 generators"));
  }
  const auto launch = [&](std::span<const RandomState> given) {
    const Status status = instance->Launch({&in, 1}, {&out, 1}, given);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return y;
  };
  const auto first = launch({states, 2});
  EXPECT_EQ(launch({states, 2}), first);
  EXPECT_NE(launch({states + 1, 2}), first);
}

}  // namespace
}  // namespace ofl::runtime
