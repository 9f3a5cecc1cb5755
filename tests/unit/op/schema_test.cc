// Definitions made here alone: the parts of the schema that few operators use.
#include <gtest/gtest.h>

#include "oneflow_like/op/def/op_def.h"

namespace ofl::op {
namespace {

constexpr DType kF = DType::kFloat32;

// Two lists, and an optional operand in their midst.
OpDef TwoLists() {
  OpDef def;
  def.name = "two_lists";
  OpDefBuilder(def)
      .InVariadic("left")
      .InOptional("weight")
      .InVariadic("right")
      .OutVariadic("outputs")
      .Attr("scale", AttrType::kScalar, int64_t{1})
      .OptionalAttr("limit", AttrType::kFloat)
      .Infer([](InferContext& c) {
        for (int i = 0; i < c.num_inputs(); ++i) c.AddOutput(c.input(i));
        return Status::Ok();
      });
  return def;
}

Result<Attrs> WithCounts(const OpDef& def, std::vector<int64_t> counts) {
  return def.CompleteAttrs({{std::string(kArity), std::move(counts)}});
}

TEST(Arity, SaysWhichOperandAnInputBelongsTo) {
  const OpDef def = TwoLists();
  ASSERT_TRUE(def.NeedsArity());
  const Attrs attrs = WithCounts(def, {2, 0, 3}).value();
  const std::pair<int, int> expected[] = {{0, 0}, {0, 1}, {2, 0}, {2, 1}, {2, 2}};
  for (int i = 0; i < 5; ++i) EXPECT_EQ(def.OperandOf(i, attrs), expected[i]) << i;
  EXPECT_EQ(def.InputAt(2, attrs).name, "right");
  const std::vector<TensorMeta> inputs(5, TensorMeta{kF, {2}});
  EXPECT_EQ(def.Infer(inputs, attrs)->size(), 5u);  // as many outputs as inference says
}

TEST(Arity, MustFitTheOperandsAndTheInputs) {
  const OpDef def = TwoLists();
  const std::vector<TensorMeta> inputs(3, TensorMeta{kF, {2}});
  const auto refused = [&](std::vector<int64_t> counts) {
    const auto attrs = WithCounts(def, std::move(counts));
    if (!attrs.ok()) return attrs.status().message();
    return def.Infer(inputs, *attrs).status().message();
  };
  EXPECT_EQ(refused({1, 1, 1}), "");
  EXPECT_NE(refused({1, 2, 0}).find("operand 'weight' cannot have this many tensors: got 2"),
            std::string::npos);
  EXPECT_NE(refused({1, 1, 2}).find("got counts for 4 and 3 tensors"), std::string::npos);
  EXPECT_NE(refused({3}).find("got 1 counts"), std::string::npos);
  EXPECT_NE(refused({-1, 1, 3}).find("operand 'left'"), std::string::npos);
  EXPECT_NE(def.Infer(inputs, *def.CompleteAttrs({})).status().message().find("need attribute"),
            std::string::npos);
}

// Optional operands of which any may be left out are counted too.
TEST(Arity, TellsWhichOptionalOperandsThereAre) {
  const OpDef& clamp = **OpRegistry::Get().Require("clamp_tensor");
  ASSERT_TRUE(clamp.NeedsArity());
  const Attrs only_max = WithCounts(clamp, {1, 0, 1}).value();
  EXPECT_EQ(clamp.InputAt(1, only_max).name, "max");
  EXPECT_EQ(clamp.InputAt(1, WithCounts(clamp, {1, 1, 0}).value()).name, "min");
  const std::vector<TensorMeta> two(2, TensorMeta{kF, {2}});
  EXPECT_TRUE(clamp.Infer(two, only_max).ok());
  EXPECT_FALSE(clamp.Infer(two, WithCounts(clamp, {1, 1, 1}).value()).ok());
}

TEST(Arity, RefusesTooFewInputsOfAnyOperator) {
  for (const OpDef* def : OpRegistry::Get().all()) {
    if (def->NeedsArity() || def->inputs.empty() || def->inputs[0].optional) continue;
    const Status none = def->CheckArity(0, {});
    EXPECT_EQ(none.code(), Code::kInvalidArgument) << def->name;
    EXPECT_EQ(none.message().rfind("[" + def->name + "] wrong number of tensor inputs", 0), 0u);
  }
}

TEST(Arity, IsNoAttributeOfOthers) {
  const OpDef& add = **OpRegistry::Get().Require("add");
  EXPECT_FALSE(add.NeedsArity());
  EXPECT_FALSE(WithCounts(add, {1, 1}).ok());
  const OpDef& concat = **OpRegistry::Get().Require("concat");
  EXPECT_FALSE(concat.NeedsArity());
  EXPECT_EQ(concat.OperandOf(4), (std::pair{0, 4}));
}

TEST(OptionalAttribute, HasNoValueUnlessGiven) {
  const OpDef def = TwoLists();
  const Attrs none = WithCounts(def, {1, 0, 0}).value();
  EXPECT_EQ(none.Maybe<double>("limit"), nullptr);
  const Attrs zero = def.CompleteAttrs({{"limit", int64_t{0}},
                                        {std::string(kArity), std::vector<int64_t>{1, 0, 0}}})
                         .value();
  ASSERT_NE(zero.Maybe<double>("limit"), nullptr);
  EXPECT_EQ(*zero.Maybe<double>("limit"), 0.0);
  EXPECT_EQ(def.CompleteAttrs({{"scale", NoValue{}}}).status().code(), Code::kTypeMismatch);
}

TEST(Schema, ADrawBelongsToOperatorsWithAGenerator) {
  const OpDef& dropout = *OpRegistry::Get().Find("dropout");
  EXPECT_EQ(dropout.generator, "generator");
  for (const Draw& draw : {Draw{{~uint64_t{0}, -3}}, Draw{{0, 5}, 2}}) {
    const auto attrs = dropout.CompleteAttrs({{std::string(kDraw), draw.ToAttr()}});
    ASSERT_TRUE(attrs.ok()) << attrs.status().ToString();
    EXPECT_EQ(Draw::Of(*attrs), draw);
  }
  for (const AttrValue& wrong : {AttrValue(Ints{}), AttrValue(Ints{1}), AttrValue(Ints{1, 2, -1}),
                                 AttrValue(Ints{1, 2, 3, 4}), AttrValue(Ints{1, 2, kMaxGenerators}),
                                 AttrValue(1.5), AttrValue(NoValue{})}) {
    const auto attrs = dropout.CompleteAttrs({{std::string(kDraw), wrong}});
    EXPECT_EQ(attrs.status().code(), Code::kTypeMismatch) << AttrToString(wrong);
  }
  const OpDef& relu = *OpRegistry::Get().Find("relu");
  EXPECT_FALSE(relu.Draws());
  EXPECT_EQ(relu.CompleteAttrs({{std::string(kDraw), Draw{}.ToAttr()}}).status().code(),
            Code::kInvalidArgument);
}

}  // namespace
}  // namespace ofl::op
