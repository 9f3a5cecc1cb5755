// Values that lie in another's memory: which the pass marks, what plans make of them, and damage
// that the verifier must refuse.

#include "compiler/views.h"

#include <functional>

#include "compiler/expand/expand.h"
#include "compiler/verify/verify.h"
#include "oneflow_like/ir/parse.h"
#include "tests/unit/compiler/heads.h"

namespace ofl::compiler {
namespace {

using testing::CompileHeads;
using testing::HeadsLayout;
using testing::Must;

ir::Graph Marked(const std::string& text) {
  ir::Graph graph = Must(RunViews(Must(ir::Parse(text))));
  EXPECT_TRUE(ir::Verify(graph).ok()) << ir::Verify(graph).ToString();
  const std::string printed = ir::Print(graph);
  EXPECT_EQ(ir::Print(Must(ir::Parse(printed))), printed);
  return graph;
}

std::vector<int> ViewsOf(const ir::Graph& graph) {
  std::vector<int> views;
  for (const ir::Value& value : graph.values)
    if (value.view) views.push_back(value.id);
  return views;
}

proto::Plan PlanOf(const std::string& text) {
  const proto::Plan plan = Must(Lower(Marked(text), {}));
  const Status status = VerifyPlan(plan);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return plan;
}

// --- the pass -----------------------------------------------------------------------------------

constexpr const char* kHere = " @placement(cpu, ranks=[0]) forward\n";

std::string Lines(std::initializer_list<std::string> lines) {
  std::string text = "graph 'g' world 1 micro_batches 1 nodes 20 values 20\n";
  for (const std::string& line : lines) text += line + kHere;
  return text;
}

const std::string kInput = "%0: float32[2,4,3,8]{B} = input_0() 'x' #0";
const std::string kHeads = "%1: float32[2,3,4,8]{B} = transpose_1(%0) {dim0=1, dim1=2} as (B)->(B)";
const std::string kAttention =
    "%2: float32[2,3,4,8]{B}, %3: float32[2,3,4]{B} = attention_2(%1, %1, %1) "
    "{is_causal=false, scale=none} as (B),(B),(B)->(B),(B)";
const std::string kResult = "output_3(%2) #0";

TEST(Views, AreMarkedWhereEveryReaderTakesTheirStrides) {
  EXPECT_EQ(ViewsOf(Marked(Lines({kInput, kHeads, kAttention, kResult}))), std::vector<int>{1});
}

TEST(Views, OfViewsLieInTheMemoryOfTheFirst) {
  const ir::Graph graph =
      Marked(Lines({"%0: float32[4,2,3,8]{B} = input_0() 'x' #0",
                    "%4: float32[2,4,3,8]{B} = permute_4(%0) {dims=[1, 0, 2, 3]} as (B)->(B)",
                    "%1: float32[2,3,4,8]{B} = transpose_1(%4) {dim0=1, dim1=2} as (B)->(B)",
                    kAttention, kResult}));
  EXPECT_EQ(ViewsOf(graph), (std::vector<int>{1, 4}));
  EXPECT_EQ(graph.Root(1), 0);
  const op::ViewGeometry view = Must(GeometriesOf(graph))[1].at(0);
  EXPECT_EQ(view.shape, (Shape{2, 3, 4, 8}));
  EXPECT_EQ(view.strides, (Strides{24, 8, 48, 1}));
}

TEST(Views, BecomeCopiesForWhoeverNeedsDenseMemory) {
  // A result of the graph.
  EXPECT_TRUE(
      ViewsOf(Marked(Lines({kInput, kHeads, kAttention, kResult, "output_4(%1) #1"}))).empty());
  // An operand that takes other strides; what is a copy then is the base of the next view.
  const ir::Graph graph =
      Marked(Lines({"%0: float32[4,2,3,8]{B} = input_0() 'x' #0",
                    "%4: float32[3,8,4,2]{B} = permute_4(%0) {dims=[2, 3, 0, 1]} as (B)->(B)",
                    "%5: float32[3,8,4,2]{B}, %6: float32[3,8,4]{B} = attention_5(%4, %4, %4) "
                    "{is_causal=false, scale=none} as (B),(B),(B)->(B),(B)",
                    "%1: float32[3,4,8,2]{B} = transpose_1(%4) {dim0=1, dim1=2} as (B)->(B)",
                    "%2: float32[3,4,8,2]{B}, %3: float32[3,4,8]{B} = attention_2(%1, %1, %1) "
                    "{is_causal=false, scale=none} as (B),(B),(B)->(B),(B)",
                    kResult, "output_6(%5) #1"}));
  EXPECT_EQ(ViewsOf(graph), std::vector<int>{1});
  EXPECT_EQ(graph.Root(1), 4);
}

TEST(Views, AreReadInRunsByWhoReadsInOrder) {
  const auto marks = [](const std::string& made) {
    return ViewsOf(Marked(Lines({"%0: float32[40,40]{B} = input_0() 'x' #0", made,
                                 "%2: float32[40,40]{B} = relu_2(%1) as (B)->(B)", kResult})));
  };
  // Across the rows every element would be a cache line.
  EXPECT_TRUE(
      marks("%1: float32[40,40]{B} = transpose_1(%0) {dim0=0, dim1=1} as (B)->(B)").empty());
  // One element again and again is no way at all.
  EXPECT_EQ(ViewsOf(Marked(
                Lines({"%0: float32[40,1]{B} = input_0() 'x' #0",
                       "%1: float32[40,40]{B} = broadcast_to_1(%0) {shape=[40, 40]} as (B)->(B)",
                       "%2: float32[40,40]{B} = relu_2(%1) as (B)->(B)", kResult}))),
            std::vector<int>{1});
  // Rows of 64 bytes may lie anywhere, of less not.
  const auto rows = [](const std::string& n) {
    return ViewsOf(
        Marked(Lines({"%0: float32[8,9," + n + "]{B} = input_0() 'x' #0",
                      "%1: float32[9,8," + n +
                          "]{B} = transpose_1(%0) {dim0=0, "
                          "dim1=1} as (B)->(B)",
                      "%2: float32[9,8," + n + "]{B} = relu_2(%1) as (B)->(B)", kResult})));
  };
  EXPECT_EQ(rows("16"), std::vector<int>{1});
  EXPECT_TRUE(rows("15").empty());
  // Little stays in the first cache.
  EXPECT_EQ(rows("14"), std::vector<int>{1});
}

TEST(Views, KeepAProductOfAllRowsWhole) {
  const std::string weight = "%5: float32[5,8]{B} = input_5() 'w' #1";
  const std::string product = "%2: float32[4,3,5]{B} = linear_2(%1, %5) as (B),(B)->(B)";
  // Rows that lie evenly are one product, with gaps between them or without.
  EXPECT_EQ(
      ViewsOf(Marked(Lines({"%0: float32[4,3,11]{B} = input_0() 'x' #0", weight,
                            "%1: float32[4,3,8]{B} = slice_1(%0) {begin=[0, 0, 3], end=[4, 3, 11], "
                            "step=[1, 1, 1]} as (B)->(B)",
                            product, kResult}))),
      std::vector<int>{1});
  // Rows in another order would be four.
  EXPECT_TRUE(ViewsOf(Marked(Lines({"%0: float32[3,4,8]{B} = input_0() 'x' #0", weight,
                                    "%1: float32[4,3,8]{B} = transpose_1(%0) {dim0=0, dim1=1} "
                                    "as (B)->(B)",
                                    product, kResult})))
                  .empty());
  // One matrix may lie by columns.
  EXPECT_EQ(
      ViewsOf(Marked(Lines({"%0: float32[8,3]{B} = input_0() 'x' #0", weight,
                            "%1: float32[3,8]{B} = transpose_1(%0) {dim0=0, dim1=1} "
                            "as (B)->(B)",
                            "%2: float32[3,5]{B} = linear_2(%1, %5) as (B),(B)->(B)", kResult}))),
      std::vector<int>{1});
}

TEST(Views, BecomeCopiesForConversions) {
  const std::string at = " @placement(cpu, ranks=[0, 1]) forward\n";
  ir::Graph graph = Must(ir::Parse(
      "graph 'g' world 2 micro_batches 1 nodes 20 values 20\n"
      "%0: float32[2,4,3,8]{S(0)} = input_0() 'x' #0" +
      at + "%1: float32[2,3,4,8]{S(0)} = transpose_1(%0) {dim0=1, dim1=2} as (S(0))->(S(0))" + at +
      "%4: float32[2,3,4,8] = to_global_4(%1) -> (B)" + at + "output_5(%4) #0" + at));
  for (ir::Value& value : graph.values)
    if (value.id == 4) value.nd_sbp = sbp::NdSbp{sbp::Sbp::Broadcast()};
  graph = Must(RunViews(Must(RunOrder(Must(RunBoxing(std::move(graph), {}))))));
  EXPECT_TRUE(ViewsOf(graph).empty()) << ir::Print(graph);
}

const std::string kTrained =
    "graph 'g' world 1 micro_batches 1 nodes 20 values 20\n"
    "%0: float32[2,4,3,8]{B} grad = variable_0() 'w' @placement(cpu, ranks=[0]) forward\n"
    "%4: float64[2]{B} = input_4() {whole=true} 'hyper' #0 @placement(cpu, ranks=[0]) forward\n"
    "%5: float32[2,4,3,8]{B} = input_5() 'grad' #1 @placement(cpu, ranks=[0]) forward\n"
    "%1: float32[2,3,4,8]{B} = transpose_1(%0) {dim0=1, dim1=2} as (B)->(B) "
    "@placement(cpu, ranks=[0]) forward\n";
const std::string kUpdate =
    "sgd_update_6(%0, %5, %4) as (B),(B),(B)-> @placement(cpu, ranks=[0]) update\n";
const std::string kReader =
    "%2: float32[2,3,4,8]{B}, %3: float32[2,3,4]{B} = attention_2(%1, %1, %1) "
    "{is_causal=false, scale=none} as (B),(B),(B)->(B),(B) @placement(cpu, ranks=[0]) update\n";
const std::string kRead = "output_3(%2) #0 @placement(cpu, ranks=[0]) update\n";

TEST(Views, OfVariablesAreReadBeforeTheUpdate) {
  EXPECT_EQ(ViewsOf(Marked(kTrained + kReader + kUpdate + kRead)), std::vector<int>{1});
  EXPECT_TRUE(ViewsOf(Marked(kTrained + kUpdate + kReader + kRead)).empty());
}

// --- plans --------------------------------------------------------------------------------------

int ValueOf(const proto::Semantics& s, const std::string& op) {
  for (const proto::OpDef& candidate : s.ops())
    if (candidate.name() == op) return candidate.outputs(0);
  ADD_FAILURE() << "no op " << op;
  return 0;
}

int CountTasks(const Program& program, const std::string& op) {
  int count = 0;
  for (const TaskDesc& task : program.tasks) count += task.op == op;
  return count;
}
// Inputs read by strides that are not row-major.
int CountStrided(const Program& program) {
  int count = 0;
  for (const TaskDesc& task : program.tasks)
    for (const InputView& view : task.views) count += !IsDense(view.meta.shape, view.strides);
  return count;
}

TEST(ViewPlans, ReadHeadsWhereTheyLie) {
  for (const HeadsLayout& layout :
       {HeadsLayout{1, false, 1}, HeadsLayout{2, false, 1}, HeadsLayout{2, true, 1},
        HeadsLayout{2, false, 2}, HeadsLayout{3, false, 1}}) {
    const proto::Plan plan = CompileHeads(layout);
    for (int rank = 0; rank < layout.ranks; ++rank) {
      const Program program = Must(Expand(plan, rank));
      // Forward: query, key, value are views and the result's heads are copied together; backward:
      // the result's gradient is a view, those of query, key, value are copied together. The
      // gradient of the sum is one number, read again and again. Between tokens and heads that are
      // split stands a conversion of the result's gradient, which reads a copy.
      const int converted = layout.split_heads ? 1 : 0;
      EXPECT_EQ(CountTasks(program, "transpose"), converted) << Summary(plan);
      EXPECT_EQ(CountTasks(program, "reshape"), 4) << Summary(plan);
      EXPECT_EQ(CountTasks(program, "broadcast_to"), 0) << Summary(plan);
      EXPECT_EQ(CountStrided(program), 3 + 1 + 1 + 4 + 3 - converted);
      for (const TaskDesc& task : program.tasks)
        for (const InputView& view : task.views) {
          const Shape& register_shape = program.registers[task.inputs[view.input]].meta.shape;
          if (register_shape.numel() > 1) {
            EXPECT_EQ(view.meta.shape.numel(), register_shape.numel()) << task.name;
          }
        }
    }
  }
}

TEST(ViewPlans, KeepNothingOfTheirOwn) {
  const proto::Plan plan = CompileHeads({2, false, 1});
  const proto::Semantics& s = plan.semantics();
  int views = 0;
  for (int v = 0; v < s.values_size(); ++v) {
    if (!s.values(v).view()) continue;
    ++views;
    EXPECT_EQ(s.values(v).bound(), 0);
    for (const auto& c : s.classes())
      EXPECT_EQ(std::count(c.values().begin(), c.values().end(), v), 0);
  }
  EXPECT_EQ(views, 8 + 5 + 1);  // transposes, reshapes, the gradient of the sum
  EXPECT_NE(Summary(plan).find("views         14"), std::string::npos) << Summary(plan);
  proto::Semantics other = s;
  for (auto& value : *other.mutable_values()) value.set_view(false);
  EXPECT_NE(HashOf(other), HashOf(s));
}

TEST(ViewPlans, WhatIsWrittenOverAWholeViewTakesOverItsRegister) {
  const proto::Plan plan =
      PlanOf(Lines({kInput, "%4: float32[2,4,3,8]{B} = relu_4(%0) as (B)->(B)",
                    "%1: float32[8,24]{B} = reshape_1(%4) {shape=[8, 24]} as (B)->(B)",
                    "%2: float32[8,24]{B} = relu_2(%1) as (B)->(B)", kResult}));
  const proto::Semantics& s = plan.semantics();
  EXPECT_TRUE(s.values(ValueOf(s, "reshape_1")).view());
  EXPECT_EQ(s.values(ValueOf(s, "relu_2")).alias_of(), ValueOf(s, "relu_4") + 1);
  const Program program = Must(Expand(plan, 0));
  EXPECT_TRUE(VerifyLiveness({program}).ok());
}

// relu could be written over %4, were it not for the view that is read later.
const std::string kInPlace =
    Lines({kInput, "%4: float32[2,4,3,8]{B} = relu_4(%0) as (B)->(B)",
           "%1: float32[2,3,4,8]{B} = transpose_1(%4) {dim0=1, dim1=2} as (B)->(B)",
           "%5: float32[2,4,3,8]{B} = relu_5(%4) as (B)->(B)", kAttention,
           "%6: float32[2,4,3,8]{B} = relu_6(%4) as (B)->(B)", kResult, "output_7(%5) #1",
           "output_8(%6) #2"});

TEST(ViewPlans, NothingTakesOverABaseThatAViewStillReads) {
  const proto::Plan plan = PlanOf(kInPlace);
  const proto::Semantics& s = plan.semantics();
  EXPECT_TRUE(s.values(ValueOf(s, "transpose_1")).view());
  EXPECT_EQ(s.values(ValueOf(s, "relu_5")).alias_of(), 0);
  EXPECT_EQ(s.values(ValueOf(s, "relu_6")).alias_of(), ValueOf(s, "relu_4") + 1);
}

// --- damage -------------------------------------------------------------------------------------

struct Damage {
  const char* name;
  std::function<void(proto::Semantics&)> apply;
  const char* says;
};

void ExpectRefusals(const proto::Plan& good, const std::vector<Damage>& all) {
  for (const Damage& damage : all) {
    proto::Plan bad = good;
    damage.apply(*bad.mutable_semantics());
    const Status status = VerifyPlan(bad);
    EXPECT_FALSE(status.ok()) << damage.name;
    EXPECT_NE(status.ToString().find(damage.says), std::string::npos)
        << damage.name << ": " << status.ToString();
  }
}

void MoveOver(proto::Semantics& s, int value, int base) {
  auto* c = s.mutable_classes(0);
  int from = -1, to = -1;
  for (int i = 0; i < c->values_size(); ++i) {
    if (c->values(i) == value) from = i;
    if (c->values(i) == base) to = i;
  }
  ASSERT_TRUE(from >= 0 && to >= 0);
  c->set_offsets(from, c->offsets(to));
}

TEST(DamagedViews, AreRefusedInThePlan) {
  ExpectRefusals(
      PlanOf(kInPlace),
      {{"a view of an operator that makes none",
        [](auto& s) {
          auto* value = s.mutable_values(ValueOf(s, "relu_5"));
          value->set_view(true);
          value->set_bound(0);
        },
        "does not say where"},
       {"a view that is an argument", [](auto& s) { s.mutable_values(0)->set_view(true); },
        "makes no view"},
       {"a view with bytes",
        [](auto& s) { s.mutable_values(ValueOf(s, "transpose_1"))->set_bound(64); },
        "memory of its own"},
       {"a view with instances",
        [](auto& s) { s.mutable_values(ValueOf(s, "transpose_1"))->set_instances(2); },
        "memory of its own"},
       {"a view that takes memory over",
        [](auto& s) {
          s.mutable_values(ValueOf(s, "transpose_1"))->set_alias_of(ValueOf(s, "relu_4") + 1);
        },
        "memory of its own"},
       {"a view of another dtype",
        [](auto& s) {
          s.mutable_values(ValueOf(s, "transpose_1"))->set_dtype(static_cast<int>(DType::kInt32));
        },
        "inputs give"},
       {"a view of another shape",
        [](auto& s) { s.mutable_values(ValueOf(s, "transpose_1"))->set_shape(0, 3); },
        "inputs give"},
       {"a view of itself",
        [](auto& s) {
          for (auto& op : *s.mutable_ops())
            if (op.name() == "transpose_1") op.set_inputs(0, op.outputs(0));
        },
        "not produced before"},
       {"two views of one another",
        [](auto& s) {
          for (auto& op : *s.mutable_ops())
            if (op.name() == "relu_4") {
              op.set_type("transpose");
              op.set_inputs(0, ValueOf(s, "transpose_1"));
              s.mutable_values(op.outputs(0))->set_view(true);
            }
        },
        "not produced before"},
       {"in place over a base with a live view",
        [](auto& s) {
          s.mutable_values(ValueOf(s, "relu_5"))->set_alias_of(ValueOf(s, "relu_4") + 1);
        },
        "while others read it"},
       {"in place over a part of a base",
        [](auto& s) {
          s.mutable_values(ValueOf(s, "attention_2"))->set_alias_of(ValueOf(s, "relu_4") + 1);
        },
        "take over"},
       {"in place over a view",
        [](auto& s) {
          s.mutable_values(ValueOf(s, "relu_6"))->set_alias_of(ValueOf(s, "transpose_1") + 1);
        },
        "take over"},
       {"a base that is freed while a view is read",
        [](auto& s) { MoveOver(s, ValueOf(s, "relu_5"), ValueOf(s, "relu_4")); }, "share bytes"},
       {"a view that a result of the graph is read from",
        [](auto& s) {
          for (auto& op : *s.mutable_ops())
            if (op.kind() == proto::OpDef::OUTPUT && op.binding() == 0) {
              op.set_inputs(0, ValueOf(s, "transpose_1"));
              s.mutable_outputs(0)->set_value(op.inputs(0));
            }
        },
        "a view, which only operators take"}});
}

TEST(DamagedViews, AreRefusedWhereReadersNeedDenseMemory) {
  const proto::Plan plan = PlanOf(
      Lines({kInput, "%1: float32[3,8,2,4]{B} = permute_1(%0) {dims=[2, 3, 0, 1]} as (B)->(B)",
             "%2: float32[3,8,2,4]{B}, %3: float32[3,8,2]{B} = attention_2(%1, %1, %1) "
             "{is_causal=false, scale=none} as (B),(B),(B)->(B),(B)",
             kResult}));
  ASSERT_FALSE(plan.semantics().values(ValueOf(plan.semantics(), "permute_1")).view());
  ExpectRefusals(plan, {{"a copy made a view",
                         [](auto& s) {
                           auto* value = s.mutable_values(ValueOf(s, "permute_1"));
                           value->set_view(true);
                           value->set_bound(0);
                         },
                         "strides that the operator takes"}});
}

TEST(DamagedViews, AreRefusedWhenTheVariableHasBeenUpdated) {
  ExpectRefusals(PlanOf(kTrained + kUpdate + kReader + kRead),
                 {{"a copy made a view",
                   [](auto& s) {
                     auto* value = s.mutable_values(ValueOf(s, "transpose_1"));
                     value->set_view(true);
                     value->set_bound(0);
                   },
                   "has been updated"}});
}

TEST(DamagedViews, AreRefusedInTheProgram) {
  const Program good = Must(Expand(PlanOf(kInPlace), 0));
  ASSERT_TRUE(VerifyMemory(good).ok()) << VerifyMemory(good).ToString();
  const std::vector<std::pair<const char*, std::function<void(InputView&)>>> all = {
      {"before the register", [](InputView& v) { v.offset = -1; }},
      {"behind the register", [](InputView& v) { v.offset = 1; }},
      {"far behind", [](InputView& v) { v.offset = INT64_MAX; }},
      {"too wide a stride", [](InputView& v) { v.strides[0] += 1; }},
      {"a stride backwards", [](InputView& v) { v.strides[3] = -1; }},
      {"a stride beyond all numbers", [](InputView& v) { v.strides[1] = INT64_MAX; }},
      {"more elements", [](InputView& v) { v.meta.shape[2] += 1; }},
      {"a negative size", [](InputView& v) { v.meta.shape[2] = -4; }},
      {"fewer strides", [](InputView& v) { v.strides.erase(0); }},
      {"another dtype", [](InputView& v) { v.meta.dtype = DType::kFloat64; }},
      {"no input", [](InputView& v) { v.input = 3; }},
      {"a negative input", [](InputView& v) { v.input = -1; }}};
  for (const auto& [name, damage] : all) {
    Program bad = good;
    for (TaskDesc& task : bad.tasks)
      if (!task.views.empty()) damage(task.views.back());
    EXPECT_FALSE(VerifyMemory(bad).ok()) << name;
  }
  Program changed = good;
  for (TaskDesc& task : changed.tasks)
    if (!task.views.empty()) task.mutates = {task.views[0].input};
  EXPECT_FALSE(VerifyMemory(changed).ok());
}

}  // namespace
}  // namespace ofl::compiler
