// A provider that keeps memory of its own: a product that packs its weight, by the version of the
// weight's contents. It computes from the packed copy alone, so a stale one gives wrong results.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "actor/drivers/instance.h"
#include "compiler/expand/expand.h"
#include "compiler/verify/verify.h"
#include "oneflow_like/op/def/providers.h"
#include "oneflow_like/op/kernel/kernel.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/conversion.h"
#include "oneflow_like/tensor/dispatch.h"
#include "oneflow_like/tensor/target.h"
#include "tests/unit/compiler/graphs.h"

namespace ofl::runtime {
namespace {

using compiler::testing::Must;

constexpr int64_t kRows = 6, kInner = 5, kColumns = 4;  // of x (rows, inner) and w (inner, columns)
const TensorMeta kWeight{DType::kFloat32, {kInner, kColumns}};

int packs = 0, runs = 0;

struct Packed final : op::KernelState {
  const void* data = nullptr;
  uint64_t version = 0;
};

Result<op::KernelStateRef> PreparePacked(const op::KernelQuery& query) {
  const bool fits = query.inputs[1].meta == kWeight && query.inputs[0].meta.shape.rank() == 2 &&
                    !query.attrs.Get<bool>("transpose_a") && !query.attrs.Get<bool>("transpose_b");
  OFL_ENSURE(fits, Code::kUnimplemented) << "another product";
  return op::KernelStateRef(std::make_shared<Packed>());
}

// Columns one behind another.
void Pack(const op::TensorView& w, float* columns) {
  for (int64_t j = 0; j < kColumns; ++j)
    for (int64_t k = 0; k < kInner; ++k)
      columns[j * kInner + k] = w.as<float>()[k * w.strides[0] + j * w.strides[1]];
}

Status RunPacked(op::KernelContext& c) {
  auto& packed = static_cast<Packed&>(*c.state);
  const op::TensorView &x = c.inputs[0], &w = c.inputs[1];
  OFL_ENSURE(c.kept.size() >= static_cast<size_t>(kWeight.bytes()), Code::kInternal) << "no memory";
  auto* columns = reinterpret_cast<float*>(c.kept.data());
  ++runs;
  if (w.version == 0 || w.version != packed.version || w.data != packed.data) {
    ++packs;
    Pack(w, columns);
    packed.version = w.version;
    packed.data = w.data;
  }
  for (int64_t i = 0; i < x.meta.shape[0]; ++i)
    for (int64_t j = 0; j < kColumns; ++j) {
      float sum = 0;
      for (int64_t k = 0; k < kInner; ++k)
        sum += x.as<float>()[i * x.strides[0] + k * x.strides[1]] * columns[j * kInner + k];
      c.outputs[0].as<float>()[i * kColumns + j] = sum;
    }
  return Status::Ok();
}

int64_t PackedBytes(std::span<const TensorMeta> inputs, std::span<const TensorMeta>, const Attrs&,
                    int) {
  return inputs[1] == kWeight ? kWeight.bytes() : 0;
}

void AddPackingProvider() {
  static const bool added = [] {
    op::KernelEntry entry;
    entry.provider = {
        .name = "packed", .run = RunPacked, .prepare = PreparePacked, .state = PackedBytes};
    return op::AddProvider("matmul", entry).ok();
  }();
  ASSERT_TRUE(added);
  packs = runs = 0;
}

// Small integers: sums of their products are exact in any order.
std::vector<float> Numbers(int64_t count, int seed) {
  std::vector<float> numbers;
  for (int64_t i = 0; i < count; ++i)
    numbers.push_back(static_cast<float>((i * 7 + seed * 5) % 11) - 5);
  return numbers;
}

std::vector<float> Product(const std::vector<float>& x, const std::vector<float>& w) {
  std::vector<float> y(x.size() / kInner * kColumns);
  for (size_t i = 0; i < y.size() / kColumns; ++i)
    for (int64_t j = 0; j < kColumns; ++j)
      for (int64_t k = 0; k < kInner; ++k)
        y[i * kColumns + j] += x[i * kInner + k] * w[k * kColumns + j];
  return y;
}

// --- eager --------------------------------------------------------------------------------------

class EagerPacking : public ::testing::Test {
 protected:
  EagerPacking() : context_({}) { tensor::Context::BindThread(&context_); }
  ~EagerPacking() override { tensor::Context::BindThread(nullptr); }
  void SetUp() override { AddPackingProvider(); }

  static tensor::TensorRef Weight(const std::vector<float>& values) {
    return Must(tensor::FromHost(kWeight, values.data()));
  }
  // What x @ w is, computed by the provider.
  void Expect(const tensor::TensorRef& w, const std::vector<float>& values) {
    const op::Value y = Must(tensor::CallOp("matmul", {x_, w}));
    std::vector<float> got(kRows * kColumns);
    std::memcpy(got.data(), tensor::AsTensor(y)->data(), got.size() * sizeof(float));
    EXPECT_EQ(got, Product(Numbers(kRows * kInner, 1), values));
  }

  tensor::Context context_;
  tensor::TensorRef x_ =
      Must(tensor::FromHost({DType::kFloat32, {kRows, kInner}}, Numbers(kRows* kInner, 1).data()));
};

TEST_F(EagerPacking, PacksAWeightOnceUntilItChanges) {
  const auto before = Numbers(kInner * kColumns, 2), after = Numbers(kInner * kColumns, 3);
  const tensor::TensorRef w = Weight(before);
  for (int i = 0; i < 4; ++i) Expect(w, before);
  EXPECT_EQ(packs, 1);
  EXPECT_EQ(runs, 4);
  ASSERT_TRUE(tensor::WriteInto(Weight(after), w, "copy_").ok());
  for (int i = 0; i < 3; ++i) Expect(w, after);
  EXPECT_EQ(packs, 2);
}

TEST_F(EagerPacking, TellsWeightsOfOneShapeApart) {
  const auto first = Numbers(kInner * kColumns, 2), second = Numbers(kInner * kColumns, 3);
  const tensor::TensorRef a = Weight(first), b = Weight(second);  // one prepared kernel serves both
  for (int i = 0; i < 2; ++i) {
    Expect(a, first);
    Expect(b, second);
    Expect(b, second);
  }
  EXPECT_EQ(packs, 4);
  for (int seed = 0; seed < 8; ++seed) {  // memory comes back at an address that was packed
    const auto values = Numbers(kInner * kColumns, seed);
    Expect(Weight(values), values);
  }
  // Two views of one memory have one version and two addresses.
  std::vector<float> both = first;
  both.insert(both.end(), second.begin(), second.end());
  const auto pair = Must(tensor::FromHost({DType::kFloat32, {2, kInner, kColumns}}, both.data()));
  const auto half = [&](int64_t i) {
    return pair->View(kWeight.shape, ContiguousStrides(kWeight.shape), i * kWeight.bytes());
  };
  const tensor::TensorRef views[] = {half(0), half(1)};
  EXPECT_EQ(views[0]->contents(), views[1]->contents());
  for (int i = 0; i < 2; ++i) {
    Expect(views[0], first);
    Expect(views[1], second);
  }
}

TEST_F(EagerPacking, PacksMemoryThatOthersMayWriteEveryTime) {
  const auto before = Numbers(kInner * kColumns, 2), after = Numbers(kInner * kColumns, 3);
  const tensor::TensorRef w = Weight(before);
  Expect(w, before);
  w->storage()->exposed = true;  // as numpy() does
  Expect(w, before);
  std::memcpy(w->data(), after.data(), static_cast<size_t>(kWeight.bytes()));
  Expect(w, after);
  EXPECT_EQ(packs, 3);
}

int prepared = 0;

Result<op::KernelStateRef> PrepareLarge(const op::KernelQuery& query) {
  ++prepared;
  return op::KernelStateRef(std::make_shared<Packed>());
}
Status RunLarge(op::KernelContext& c) {
  EXPECT_EQ(c.kept.size(), size_t{100} << 20);
  std::memcpy(c.outputs[0].data, c.inputs[0].data, static_cast<size_t>(c.outputs[0].meta.bytes()));
  return Status::Ok();
}

TEST_F(EagerPacking, BoundsTheBytesThatKernelsKeep) {
  op::KernelEntry entry;
  entry.dtype = DType::kFloat8E4M3;
  entry.provider = {.name = "large", .run = RunLarge, .prepare = PrepareLarge};
  entry.provider.state = [](std::span<const TensorMeta>, std::span<const TensorMeta>, const Attrs&,
                            int) { return int64_t{100} << 20; };
  ASSERT_TRUE(op::AddProvider("identity", entry).ok());
  const auto call = [](int64_t n) {
    const std::vector<uint8_t> bytes(static_cast<size_t>(n));
    Must(tensor::CallOp("identity",
                        {Must(tensor::FromHost({DType::kFloat8E4M3, {n}}, bytes.data()))}));
  };
  for (int64_t n : {1, 2, 1, 2, 1}) call(n);
  EXPECT_EQ(prepared, 2);
  call(3);  // 300 MB are too many: the table is emptied
  call(3);
  EXPECT_EQ(prepared, 3);
  call(1);
  EXPECT_EQ(prepared, 4);
}

TEST(Contents, AreNumberedAcrossAllMemory) {
  const auto values = Numbers(kInner * kColumns, 2);
  const auto a = Must(tensor::FromHost(kWeight, values.data()));
  const auto b = Must(tensor::FromHost(kWeight, values.data()));
  const uint64_t first = a->contents();
  EXPECT_NE(first, 0u);
  EXPECT_EQ(a->Detach()->contents(), first);
  EXPECT_NE(b->contents(), first);
  a->BumpVersion();
  EXPECT_NE(a->contents(), first);
  EXPECT_NE(a->contents(), b->contents());
  a->storage()->exposed = true;
  EXPECT_EQ(a->contents(), 0u);
}

// --- plans --------------------------------------------------------------------------------------

// y = x @ w in micro-batches; with `train` the loss is y's sum, and SGD updates w.
proto::Plan CompileProduct(int micro_batches, bool train) {
  ir::Graph graph;
  graph.name = "product";
  graph.micro_batches = micro_batches;
  const Placement here = compiler::testing::Ranks(Shape{1});
  ir::GraphBuilder builder(&graph);
  const auto source = [&](ir::NodeKind kind, const char* name, const TensorMeta& meta) {
    const bool input = kind == ir::NodeKind::kInput;
    ir::Node& node = graph.AddNode(kind, input ? "input" : "variable", {}, {meta}, here);
    node.variable = name;
    const int value = node.outputs[0];
    graph.values[value].nd_sbp = sbp::NdSbp::Broadcast(1);
    graph.values[value].requires_grad = train && !input;
    return value;
  };
  const int x =
      source(ir::NodeKind::kInput, "x", {DType::kFloat32, {kRows / micro_batches, kInner}});
  graph.producer(x).binding = 0;
  const int w = source(ir::NodeKind::kVariable, "w", kWeight);
  compiler::TrainingSpec training;
  const op::Value y = builder.Call("matmul", {builder.Handle(x), builder.Handle(w)});
  const auto id = [](const op::Value& v) {
    return static_cast<const ir::GraphValue*>(v.get())->id();
  };
  if (train) {
    const int hyper = source(ir::NodeKind::kInput, "hyper", {DType::kFloat64, {2}});
    graph.producer(hyper).binding = 1;
    graph.producer(hyper).attrs.Set("whole", true);
    training.loss = id(builder.Call("sum", {y}));
    compiler::Update update;
    update.variable = w;
    update.op = Must(op::OpRegistry::Get().Require("sgd_update"));
    update.attrs = Must(update.op->CompleteAttrs({}));
    update.extras = {hyper};
    training.updates.push_back(update);
  }
  graph.AddNode(ir::NodeKind::kOutput, "output", {id(y)}, {}, here).binding = 0;
  EXPECT_TRUE(builder.status().ok()) << builder.status().ToString();
  return Must(compiler::Compile(std::move(graph), std::move(training), {}));
}

// Launches a program of x @ w, with rate and decay of SGD, and says what it must give.
struct Job {
  explicit Job(Program program) {
    actor::InstanceOptions options;
    options.device = Must(device::GetDevice(DeviceKind::kCpu));
    options.variables["w"] =
        device::WrapExternal(reinterpret_cast<std::byte*>(w.data()), kWeight.bytes(), nullptr);
    options.contents = [this](const std::string& name) {
      EXPECT_EQ(name, "w");
      return contents;
    };
    instance = Must(actor::Instance::Create(std::move(program), std::move(options)));
  }
  void Launch(int results = 1) {
    const std::vector<float> before = w;
    const op::TensorView inputs[] = {{x.data(), {DType::kFloat32, {kRows, kInner}}},
                                     {hyper, {DType::kFloat64, {2}}}};
    const op::TensorView outputs[] = {{y[0].data(), {DType::kFloat32, {kRows, kColumns}}},
                                      {y[1].data(), {DType::kFloat32, {kRows, kColumns}}}};
    const Status status = instance->Launch(inputs, {outputs, static_cast<size_t>(results)});
    ASSERT_TRUE(status.ok()) << status.ToString();
    EXPECT_EQ(y[0], Product(x, before));
    if (results > 1) {
      EXPECT_EQ(y[1], Product(x, w));
    }
  }

  std::vector<float> w = Numbers(kInner * kColumns, 2), x = Numbers(kRows * kInner, 1);
  std::vector<float> y[2] = {std::vector<float>(kRows * kColumns),
                             std::vector<float>(kRows * kColumns)};
  double hyper[2] = {1.0, 0.0};
  uint64_t contents = 7;
  std::unique_ptr<actor::Instance> instance;
};

TEST(PlanPacking, PacksAVariableOnceUntilItChanges) {
  AddPackingProvider();
  for (int micro_batches : {1, 3}) {
    Job job(Must(compiler::Expand(CompileProduct(micro_batches, false), 0)));
    packs = runs = 0;
    job.Launch();
    job.Launch();
    EXPECT_EQ(packs, 1);
    EXPECT_EQ(runs, 2 * micro_batches);
    std::ranges::copy(Numbers(kInner * kColumns, 4), job.w.begin());  // as an eager optimizer does
    ++job.contents;
    job.Launch();
    job.Launch();
    EXPECT_EQ(packs, 2);
    job.contents = 0;  // exposed
    job.Launch();
    job.w[3] = 4;
    job.Launch();
    EXPECT_EQ(packs, 4);
  }
}

TEST(PlanPacking, FollowsThePlansOwnUpdates) {
  AddPackingProvider();
  for (int micro_batches : {1, 3}) {
    Job job(Must(compiler::Expand(CompileProduct(micro_batches, true), 0)));
    packs = runs = 0;
    for (int launch = 1; launch <= 3; ++launch) {
      const std::vector<float> before = job.w;
      job.Launch();
      EXPECT_NE(job.w, before);
      EXPECT_EQ(packs, launch);  // once for all micro-batches
    }
    EXPECT_EQ(runs, 3 * micro_batches);
  }
}

// The same product once more behind the update, as its own task with a result of its own.
Program WithASecondProduct(Program p) {
  const auto find = [&](const std::string& op, TaskKind kind) {
    for (const TaskDesc& task : p.tasks)
      if (task.kind == kind && task.op == op) return task.id;
    ADD_FAILURE() << op;
    return 0;
  };
  TaskDesc task = p.tasks[find("matmul", TaskKind::kKernel)];
  RegisterDesc reg = p.registers[task.outputs[0]];
  TaskDesc output = p.tasks[find("", TaskKind::kOutput)];
  task.id = static_cast<int>(p.tasks.size());
  task.name = "matmul_again";
  output.id = task.id + 1;
  output.name = "output_again";
  output.binding = 1;
  reg.id = static_cast<int>(p.registers.size());
  reg.producer = task.id;
  reg.consumers = {output.id};
  reg.offset = p.arena_bytes;
  task.state_offset = p.arena_bytes + 1024;
  p.arena_bytes += 2048;
  task.outputs = output.inputs = {reg.id};
  for (int input : task.inputs) p.registers[input].consumers.push_back(task.id);
  p.streams[0].order.push_back({task.id, 0});
  p.streams[0].order.push_back({output.id, 0});
  p.tasks.push_back(std::move(task));
  p.tasks.push_back(std::move(output));
  p.registers.push_back(std::move(reg));
  return p;
}

TEST(PlanPacking, FollowsAnUpdateWithinAnIteration) {
  AddPackingProvider();
  Job job(WithASecondProduct(Must(compiler::Expand(CompileProduct(1, true), 0))));
  packs = 0;
  for (int launch = 1; launch <= 3; ++launch) {
    const std::vector<float> before = job.w;
    job.Launch(2);
    EXPECT_NE(job.w, before);
  }
  EXPECT_EQ(packs, 6);  // each of the two has a copy of its own, and each launch new contents
}

TEST(PlanPacking, KeepsItsMemoryApart) {
  AddPackingProvider();
  const proto::Plan plan = CompileProduct(3, true);
  const proto::RankClass& map = plan.semantics().classes(0);
  ASSERT_EQ(map.state_ops_size(), 1);
  EXPECT_EQ(plan.semantics().ops(map.state_ops(0)).state(), kWeight.bytes());
  int tried = 0;
  for (int64_t offset : map.offsets()) {
    if (offset + kWeight.bytes() > map.arena_bytes()) continue;
    proto::Plan shared = plan;
    shared.mutable_semantics()->mutable_classes(0)->set_state_offsets(0, offset);
    const Status status = compiler::VerifyPlan(shared);
    EXPECT_NE(status.message().find("share bytes"), std::string::npos) << status.ToString();
    ++tried;
  }
  EXPECT_GT(tried, 0);
  proto::Plan outside = plan;
  outside.mutable_semantics()->mutable_ops(map.state_ops(0))->set_state(int64_t{1} << 40);
  EXPECT_NE(compiler::VerifyPlan(outside).message().find("outside the arena"), std::string::npos);
  proto::Plan lost = plan;
  lost.mutable_semantics()->mutable_classes(0)->clear_state_offsets();
  EXPECT_EQ(compiler::VerifyPlan(lost).code(), Code::kDataLoss);
  EXPECT_NE(compiler::HashOf(lost.semantics()), plan.hash());
}

TEST(PlanPacking, LeavesAPlanWithoutRoomToTheNextProvider) {
  AddPackingProvider();
  proto::Plan plan = CompileProduct(1, false);
  for (proto::OpDef& op : *plan.mutable_semantics()->mutable_ops()) op.clear_state();
  plan.mutable_semantics()->mutable_classes(0)->clear_state_ops();
  plan.mutable_semantics()->mutable_classes(0)->clear_state_offsets();
  Job job(Must(compiler::Expand(plan, 0)));
  job.Launch();
  EXPECT_EQ(runs, 0);
}

}  // namespace
}  // namespace ofl::runtime
