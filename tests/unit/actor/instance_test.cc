#include "actor/drivers/instance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "transport/memory/memory.h"

namespace ofl::actor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

device::Device* Cpu() { return device::GetDevice(DeviceKind::kCpu).value(); }

// Writes a program down task by task; registers lie one behind another in the arena.
struct ProgramWriter {
  Program p;

  ProgramWriter(int rank, int world, int micro_batches) {
    p.rank = rank;
    p.world_size = world;
    p.micro_batches = micro_batches;
    p.plan_id = 7;
    p.plan_hash = "hash";
    p.streams.push_back({"compute", 1, {}});
  }
  TaskDesc& Task(TaskKind kind, const std::string& name, int firings, std::vector<int> inputs) {
    TaskDesc task;
    task.id = static_cast<int>(p.tasks.size());
    task.kind = kind;
    task.name = name;
    task.firings = firings;
    task.inputs = std::move(inputs);
    for (int r : task.inputs) {
      p.registers[r].consumers.push_back(task.id);
      task.logical_inputs.push_back(p.registers[r].meta);
      task.input_offsets.push_back(Shape(std::vector<int64_t>(p.registers[r].meta.shape.rank())));
    }
    p.tasks.push_back(task);
    return p.tasks.back();
  }
  int Register(int task, const TensorMeta& meta, int instances, bool in_arena = true) {
    RegisterDesc reg;
    reg.id = static_cast<int>(p.registers.size());
    reg.meta = meta;
    reg.bound = meta.bytes();
    reg.instances = instances;
    reg.producer = task;
    reg.stride = (meta.bytes() + 63) / 64 * 64;
    if (in_arena) {
      reg.offset = p.arena_bytes;
      p.arena_bytes += reg.stride * instances;
    }
    p.registers.push_back(reg);
    p.tasks[task].outputs.push_back(reg.id);
    return reg.id;
  }
  int Input(int binding, const TensorMeta& meta, int firings) {
    TaskDesc& task = Task(TaskKind::kInput, "input" + std::to_string(binding), firings, {});
    task.binding = binding;
    return Register(task.id, meta, firings, false);
  }
  void Output(int binding, int reg, int firings) {
    Task(TaskKind::kOutput, "output" + std::to_string(binding), firings, {reg}).binding = binding;
  }
  int Kernel(const std::string& op, std::vector<int> inputs, const TensorMeta& out, int firings) {
    TaskDesc& task = Task(TaskKind::kKernel, op + "_1", firings, std::move(inputs));
    task.op = op;
    task.logical_outputs = {out};
    task.output_offsets = {Shape(std::vector<int64_t>(out.shape.rank()))};
    return Register(task.id, out, 1);
  }
  void Order(int stream, std::vector<int> tasks, int pieces) {
    while (static_cast<int>(p.streams.size()) <= stream) p.streams.push_back({"comm", 1, {}});
    for (int k = 0; k < pieces; ++k)
      for (int task : tasks) p.streams[stream].order.push_back({task, k});
  }
};

const TensorMeta kPair{DType::kFloat32, {2}};

template <class T>
op::TensorView View(std::vector<T>& data, DType dtype = DTypeOf<T>::value) {
  return {data.data(), {dtype, {static_cast<int64_t>(data.size())}}};
}

// x (m slices) + w -> y -> output 0, summed over the slices -> output 1.
Program SoloProgram() {
  ProgramWriter w(0, 1, 2);
  const int variable = w.Task(TaskKind::kVariable, "w", 1, {}).id;
  const int reg = w.Register(variable, kPair, 1, false);
  w.p.registers[reg].variable = "w";
  const int x = w.Input(0, kPair, 2);
  const int y = w.Kernel("add", {x, reg}, kPair, 2);
  w.Output(0, y, 2);
  const int sum = w.Task(TaskKind::kAccumulate, "accumulate", 2, {y}).id;
  const int total = w.Register(sum, kPair, 1);
  w.Output(1, total, 1);
  w.Order(0, {2, 3, 4}, 2);
  w.Order(0, {5}, 1);
  return w.p;
}

device::BufferRef Wrap(std::vector<float>& data) {
  return device::WrapExternal(reinterpret_cast<std::byte*>(data.data()),
                              static_cast<int64_t>(data.size() * sizeof(float)), nullptr);
}

TEST(Instance, RunsMicroBatchesAndAccumulatesWithTheCountersThePlanPredicts) {
  std::vector<float> w{10, 20}, x{1, 2, 3, 4}, y(4), total(2);
  InstanceOptions options;
  options.device = Cpu();
  options.variables["w"] = Wrap(w);
  auto instance = Instance::Create(SoloProgram(), options);
  ASSERT_TRUE(instance.ok()) << instance.status().ToString();
  for (int launch = 1; launch <= 3; ++launch) {
    const op::TensorView inputs[] = {View(x)}, outputs[] = {View(y), View(total)};
    const Status status = (*instance)->Launch(inputs, outputs);
    ASSERT_TRUE(status.ok()) << status.ToString();
    EXPECT_THAT(y, ElementsAre(11, 22, 13, 24));
    EXPECT_THAT(total, ElementsAre(24, 46));
    EXPECT_EQ((*instance)->counters().launches, launch);
    EXPECT_EQ((*instance)->counters().firings, launch * (*instance)->predicted().firings);
  }
  EXPECT_EQ((*instance)->predicted().firings, 1 + 2 + 2 + 2 + 2 + 1);
  EXPECT_EQ((*instance)->predicted().firings_by_kind[static_cast<int>(TaskKind::kKernel)], 2);
}

TEST(Instance, RefusesArgumentsThatDoNotFitAndStaysUsable) {
  std::vector<float> w{10, 20}, x{1, 2, 3, 4}, y(4), total(2), small(3);
  InstanceOptions options;
  options.device = Cpu();
  options.variables["w"] = Wrap(w);
  auto instance = Instance::Create(SoloProgram(), options);
  ASSERT_TRUE(instance.ok()) << instance.status().ToString();
  Instance* owner = instance->get();
  const op::TensorView good[] = {View(x)}, bad[] = {View(small)};
  const op::TensorView outputs[] = {View(y), View(total)};
  Status status = owner->Launch(bad, outputs);
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("input 0 (input0) does not fit: got float32[3]"));
  status = owner->Launch(good, std::span(outputs, 1));
  EXPECT_THAT(status.message(), HasSubstr("output 1 is missing: got 1"));
  EXPECT_TRUE(owner->Launch(good, outputs).ok());
}

TEST(Instance, RefusesProgramsThatCannotRun) {
  InstanceOptions options;
  options.device = Cpu();
  auto missing = Instance::Create(SoloProgram(), options);
  EXPECT_THAT(missing.status().message(), HasSubstr("variable w is not bound"));

  std::vector<float> w(2);
  options.variables["w"] = Wrap(w);
  Program arena = SoloProgram();
  arena.arena_bytes = 16;
  EXPECT_THAT(Instance::Create(arena, options).status().message(),
              HasSubstr("does not lie in the arena"));
  Program order = SoloProgram();
  order.streams[0].order.pop_back();
  EXPECT_THAT(Instance::Create(order, options).status().message(),
              HasSubstr("output1 fires 1 times, but the streams order 0"));
  Program consumers = SoloProgram();
  consumers.registers[0].consumers.clear();
  EXPECT_THAT(Instance::Create(consumers, options).status().message(), HasSubstr("consumers"));
  Program op = SoloProgram();
  op.tasks[2].op = "no_such_operator";
  EXPECT_EQ(Instance::Create(op, options).status().code(), Code::kNotFound);
}

// y = x[:, 1] + the same of the transposed w, for slices x of 2 x 2.
Program ProgramOfViews() {
  const TensorMeta square{DType::kFloat32, {2, 2}};
  ProgramWriter w(0, 1, 2);
  const int variable = w.Task(TaskKind::kVariable, "w", 1, {}).id;
  const int reg = w.Register(variable, square, 1, false);
  w.p.registers[reg].variable = "w";
  const int x = w.Input(0, square, 2);
  const int y = w.Kernel("add", {x, reg}, kPair, 2);
  w.p.tasks[2].views = {{0, kPair, Strides{2}, 1}, {1, kPair, Strides{1}, 2}};
  w.Output(0, y, 2);
  w.Order(0, {2, 3}, 2);
  return w.p;
}

TEST(Instance, ReadsViewsOfRegisters) {
  std::vector<float> w{10, 20, 30, 40}, x{1, 2, 3, 4, 5, 6, 7, 8}, y(4);
  InstanceOptions options;
  options.device = Cpu();
  options.variables["w"] = Wrap(w);
  auto instance = Instance::Create(ProgramOfViews(), options);
  ASSERT_TRUE(instance.ok()) << instance.status().ToString();
  for (int launch = 1; launch <= 2; ++launch) {
    const op::TensorView inputs[] = {View(x)}, outputs[] = {View(y)};
    const Status status = (*instance)->Launch(inputs, outputs);
    ASSERT_TRUE(status.ok()) << status.ToString();
    EXPECT_THAT(y, ElementsAre(32, 44, 36, 48));
  }
}

TEST(Instance, RefusesViewsThatLeaveTheirRegisters) {
  std::vector<float> w{10, 20, 30, 40};
  InstanceOptions options;
  options.device = Cpu();
  options.variables["w"] = Wrap(w);
  Program far = ProgramOfViews();
  far.tasks[2].views[1].offset = 3;
  EXPECT_THAT(Instance::Create(far, options).status().ToString(),
              HasSubstr("add_1 reads input 1 as a view that does not fit its register"));
  Program moved = ProgramOfViews();
  moved.tasks[3].views = {{0, kPair, Strides{1}, 0}};
  EXPECT_THAT(Instance::Create(moved, options).status().ToString(),
              HasSubstr("expected a kernel's inputs"));
}

TEST(Instance, AKernelsErrorNamesTheActorAndClosesTheInstance) {
  ProgramWriter w(0, 1, 1);
  const TensorMeta table{DType::kFloat32, {2, 1}}, index{DType::kInt64, {1}};
  const int x = w.Input(0, table, 1), i = w.Input(1, index, 1);
  w.Output(0, w.Kernel("embedding", {x, i}, {DType::kFloat32, {1, 1}}, 1), 1);
  w.Order(0, {2, 3}, 1);
  InstanceOptions options;
  options.device = Cpu();
  auto instance = Instance::Create(w.p, options);
  ASSERT_TRUE(instance.ok()) << instance.status().ToString();
  std::vector<float> rows{1, 2}, out(1);
  std::vector<int64_t> at{5};
  const op::TensorView inputs[] = {View(rows), View(at)}, outputs[] = {View(out)};
  Status status = (*instance)->Launch(inputs, outputs);
  EXPECT_EQ(status.code(), Code::kOutOfRange);
  EXPECT_THAT(status.ToString(), HasSubstr("in actor 2 embedding_1 on rank 0 (micro-batch 0)"));
  at[0] = 0;
  status = (*instance)->Launch(inputs, outputs);
  EXPECT_EQ(status.code(), Code::kOutOfRange);
  EXPECT_THAT(status.ToString(), HasSubstr("an earlier launch failed"));
}

// Rank 0 packs the second half of its input and pushes it; rank 1 adds it to its own input on a
// stream of its own.
std::vector<Program> TwoRanks(int m) {
  const TensorMeta whole{DType::kFloat32, {4}};
  ProgramWriter a(0, 2, m), b(1, 2, m);
  const int x = a.Input(0, whole, m);
  TaskDesc& pack = a.Task(TaskKind::kPack, "boxing_1.pack", m, {x});
  pack.pieces = {{{0}, {2}, {{0, {2}}}, {}, 0}};
  const int packed = a.Register(pack.id, kPair, 2);
  a.p.remote_edges.push_back({12, 1, packed, 0, kPair.bytes(), 2, true});
  a.Order(0, {1}, m);

  const int own = b.Input(0, kPair, m);
  const int receive = b.Task(TaskKind::kReceive, "boxing_1.from.0", m, {}).id;
  const int received = b.Register(receive, kPair, 2);
  b.p.remote_edges.push_back({12, 0, received, 0, kPair.bytes(), 2, false});
  TaskDesc& assemble = b.Task(TaskKind::kAssemble, "boxing_1", m, {received, own});
  assemble.pieces = {{{0}, {2}, {{0, {0}}, {1, {0}}}, {2}, 0}};
  const int id = assemble.id;
  b.Output(0, b.Register(id, kPair, 1), m);
  b.Order(1, {id}, m);
  b.Order(0, {3}, m);
  return {a.p, b.p};
}

struct TwoInstances {
  explicit TwoInstances(int m, std::chrono::milliseconds deadline = std::chrono::seconds(60),
                        std::function<void(std::function<void(int)>)> ask_peers = nullptr)
      : network(2), transports(network.TakeTransports()) {
    const std::vector<Program> programs = TwoRanks(m);
    for (int r = 0; r < 2; ++r) {
      InstanceOptions options;
      options.device = Cpu();
      options.transport = transports[r].get();
      options.deadline = deadline;
      options.ask_peers = ask_peers;
      auto instance = Instance::Create(programs[r], options);
      EXPECT_TRUE(instance.ok()) << instance.status().ToString();
      instances.push_back(std::move(instance).value());
    }
  }
  transport::MemoryNetwork network;
  std::vector<std::unique_ptr<transport::Transport>> transports;
  std::vector<std::unique_ptr<Instance>> instances;
};

TEST(Instances, ExchangePiecesWithBackPressureOverManyLaunches) {
  constexpr int kMicroBatches = 3, kLaunches = 200;
  TwoInstances world(kMicroBatches);
  std::thread sender([&] {
    std::vector<float> x(4 * kMicroBatches);
    for (int launch = 0; launch < kLaunches; ++launch) {
      for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(launch * 100 + i);
      const op::TensorView inputs[] = {View(x)};
      const Status status = world.instances[0]->Launch(inputs, {});
      ASSERT_TRUE(status.ok()) << status.ToString();
    }
  });
  std::vector<float> own(2 * kMicroBatches), out(2 * kMicroBatches);
  for (int launch = 0; launch < kLaunches; ++launch) {
    for (float& v : own) v = 1000;
    const op::TensorView inputs[] = {View(own)}, outputs[] = {View(out)};
    const Status status = world.instances[1]->Launch(inputs, outputs);
    EXPECT_TRUE(status.ok()) << status.ToString();
    for (int k = 0; k < kMicroBatches; ++k)
      for (int i = 0; i < 2; ++i)
        EXPECT_EQ(out[k * 2 + i], 1000.0f + static_cast<float>(launch * 100 + k * 4 + 2 + i));
    if (HasFailure()) break;
  }
  sender.join();
  for (int r = 0; r < 2; ++r) {
    const Counters counted = world.instances[r]->counters();
    const Counters predicted = world.instances[r]->predicted();
    EXPECT_EQ(counted.firings, kLaunches * predicted.firings);
    EXPECT_EQ(counted.messages_sent, kLaunches * predicted.messages_sent);
    EXPECT_EQ(counted.message_bytes_sent, kLaunches * predicted.message_bytes_sent);
    EXPECT_EQ(counted.messages_received, kLaunches * predicted.messages_received);
    EXPECT_EQ(world.transports[r]->counters().pieces_sent, kLaunches * predicted.messages_sent);
    // Pieces are read into their registers; only the greeting may come before it is asked for.
    EXPECT_LE(world.transports[r]->counters().payload_copies, 1);
  }
  EXPECT_EQ(world.instances[0]->predicted().message_bytes_sent, kMicroBatches * 8);
}

// The sender is a launch ahead as often as credits let it: a stamp waits for its own launch.
TEST(Instances, CompareTheStampsOfEachLaunch) {
  constexpr int kMicroBatches = 3, kLaunches = 300;
  const auto other = [](int launch) { return launch % 50 == 7; };
  TwoInstances world(kMicroBatches);
  std::thread sender([&] {
    std::vector<float> x(4 * kMicroBatches);
    const op::TensorView inputs[] = {View(x)};
    for (int launch = 1; launch <= kLaunches; ++launch) {
      const uint32_t stamp = launch % 50 == 8 ? 0 : other(launch) ? 999'999 : launch;
      const Status status = world.instances[0]->Launch(inputs, {}, {}, stamp);
      ASSERT_TRUE(status.ok()) << status.ToString();
      EXPECT_TRUE(world.instances[0]->stamps_agree());  // it hears of nobody
    }
  });
  std::vector<float> own(2 * kMicroBatches), out(2 * kMicroBatches);
  const op::TensorView inputs[] = {View(own)}, outputs[] = {View(out)};
  for (int launch = 1; launch <= kLaunches; ++launch) {
    const uint32_t stamp = launch % 50 == 9 ? 0 : launch;
    const Status status = world.instances[1]->Launch(inputs, outputs, {}, stamp);
    EXPECT_TRUE(status.ok()) << status.ToString();
    EXPECT_EQ(world.instances[1]->stamps_agree(), !other(launch)) << launch;
    if (HasFailure()) break;
  }
  sender.join();
}

TEST(Instances, KnowWhetherTheirStampsReachAllOthers) {
  std::vector<Program> programs = TwoRanks(1);
  EXPECT_TRUE(StampsReachAll(programs[0]));
  EXPECT_FALSE(StampsReachAll(programs[1]));  // it sends nothing
  programs[0].world_size = 3;
  EXPECT_FALSE(StampsReachAll(programs[0]));
  programs[0].world_size = 2;
  programs[0].tasks[1].kind = TaskKind::kReceive;  // what is passed on carries none
  EXPECT_FALSE(StampsReachAll(programs[0]));
}

TEST(Instances, ADeadlineSaysWhichActorWaitsForWhomAndWhatItHas) {
  TwoInstances world(1, std::chrono::milliseconds(200));
  std::vector<float> x{1, 2, 3, 4}, own{1, 1}, out(2);
  std::thread sender([&] {
    const op::TensorView inputs[] = {View(x)};
    EXPECT_TRUE(world.instances[0]->Launch(inputs, {}).ok());
  });
  const op::TensorView inputs[] = {View(own)}, outputs[] = {View(out)};
  EXPECT_TRUE(world.instances[1]->Launch(inputs, outputs).ok());
  sender.join();
  const Status status = world.instances[1]->Launch(inputs, outputs);  // rank 0 launches no more
  EXPECT_EQ(status.code(), Code::kDeadlineExceeded);
  EXPECT_THAT(status.message(),
              HasSubstr("no progress for 200 ms: actor 2 boxing_1 on rank 1 waits for register 1 "
                        "from boxing_1.from.0 on rank 0: 0 of 1 received"));
}

TEST(Instances, APeerThatStartsAnotherPlanEndsWhatStillNeedsIt) {
  // The first launch gets all it needs, though late and after the peer has moved on.
  TwoInstances world(1, std::chrono::seconds(60), [](const auto& started) { started(0); });
  std::vector<float> x{1, 2, 3, 4}, own{1, 1}, out(2);
  const op::TensorView inputs[] = {View(own)}, outputs[] = {View(out)};
  std::thread sender([&] {
    const op::TensorView arguments[] = {View(x)};
    EXPECT_TRUE(world.instances[0]->Launch(arguments, {}).ok());
  });
  EXPECT_TRUE(world.instances[1]->Launch(inputs, outputs).ok());
  sender.join();
  const Status status = world.instances[1]->Launch(inputs, outputs);  // rank 0 launches no more
  EXPECT_EQ(status.code(), Code::kUnavailable) << status.ToString();
  EXPECT_THAT(status.message(), HasSubstr("rank 0 is starting another plan"));
  EXPECT_THAT(status.message(), HasSubstr("still waits for boxing_1.from.0 from it"));
}

TEST(Instances, ALostPeerEndsTheLaunchWithItsCause) {
  TwoInstances world(1);
  std::vector<float> x{1, 2, 3, 4}, own{1, 1}, out(2);
  const op::TensorView inputs[] = {View(own)}, outputs[] = {View(out)};
  std::thread sender([&] {
    const op::TensorView arguments[] = {View(x)};
    EXPECT_TRUE(world.instances[0]->Launch(arguments, {}).ok());
    world.network.Cut(0, 1);
  });
  Status status;
  for (int launch = 0; launch < 2 && status.ok(); ++launch)
    status = world.instances[1]->Launch(inputs, outputs);
  sender.join();
  EXPECT_EQ(status.code(), Code::kUnavailable) << status.ToString();
  EXPECT_THAT(status.message(), HasSubstr("rank 0"));
}

// Both ranks refuse what they find of each other when they meet.
void ExpectRefused(const std::vector<Program>& programs, const char* says) {
  transport::MemoryNetwork network(2);
  auto transports = network.TakeTransports();
  std::vector<float> x{1, 2, 3, 4}, own{1, 1}, out(2);
  auto run = [&](int r, std::span<const op::TensorView> inputs,
                 std::span<const op::TensorView> outputs) {
    InstanceOptions options;
    options.device = Cpu();
    options.transport = transports[r].get();
    options.shutdown_on_failure = false;
    auto instance = Instance::Create(programs[r], options);
    EXPECT_TRUE(instance.ok());
    const Status status = (*instance)->Launch(inputs, outputs);
    EXPECT_EQ(status.code(), Code::kFailedPrecondition);
    EXPECT_THAT(status.message(), HasSubstr(says));
  };
  std::thread sender([&] {
    const op::TensorView inputs[] = {View(x)};
    run(0, inputs, {});
  });
  const op::TensorView inputs[] = {View(own)}, outputs[] = {View(out)};
  run(1, inputs, outputs);
  sender.join();
}

TEST(Instances, OfDifferentPlansRefuseEachOther) {
  std::vector<Program> programs = TwoRanks(1);
  programs[1].plan_hash = "other";
  ExpectRefused(programs, "ranks run different plans");
}

TEST(Instances, WhoseEdgesHaveDifferentEndsRefuseEachOther) {
  std::vector<Program> programs = TwoRanks(1);
  for (RemoteEdge& edge : programs[0].remote_edges) edge.credits += edge.outgoing ? 1 : 0;
  ExpectRefused(programs, "do not match");
}

}  // namespace
}  // namespace ofl::actor
