// Shapes and numbers that no tensor has, given to every operator: each is an error or leads to
// results within bounds. Nothing here touches memory of the sizes it speaks of; the sanitizers see
// any arithmetic that leaves 63 bits.
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <random>
#include <vector>

#include "oneflow_like/op/def/op_def.h"

namespace ofl::op {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();

// What is known of a value: gradient rules and decompositions need no more to be followed.
class Meta final : public ValueBase {
 public:
  explicit Meta(const TensorMeta& meta) : meta_(meta) {}
  const TensorMeta& meta() const override { return meta_; }
  const sbp::Layout* layout() const override { return nullptr; }
  bool is_symbolic() const override { return true; }

 private:
  TensorMeta meta_;
};

void ExpectTensor(const TensorMeta& meta, const std::string& what) {
  EXPECT_TRUE(meta.shape.Check().ok()) << what << ": " << meta.shape;
  EXPECT_GE(meta.bytes(), 0) << what;
  EXPECT_LE(meta.bytes(), kMaxElements * 16) << what;
}

class MetaBuilder final : public Builder {
 public:
  Values Apply(const OpDef& op, Values inputs, const Attrs& attrs) override {
    std::vector<TensorMeta> metas;
    for (const Value& v : inputs) metas.push_back(v->meta());
    auto outputs = op.Infer(metas, attrs);
    if (!outputs.ok()) {
      Fail(outputs.status());
      return Values(op.outputs.size());
    }
    Values values;
    for (const TensorMeta& m : *outputs) {
      ExpectTensor(m, op.name);
      values.push_back(Value(new Meta(m)));
    }
    return values;
  }
  Value ToLayout(const Value& x, const sbp::Layout&) override { return x; }
};

class HostileCalls : public ::testing::TestWithParam<const OpDef*> {
 protected:
  const OpDef& def() const { return *GetParam(); }

  // All that is asked about a call before it runs.
  void Try(const std::vector<TensorMeta>& inputs, const Attrs& given) {
    const auto attrs = def().CompleteAttrs(given);
    if (!attrs.ok()) return;
    const auto outputs = def().Infer(inputs, *attrs);
    if (!outputs.ok()) {
      EXPECT_NE(outputs.status().message().find("[" + def().name + "]"), std::string::npos)
          << outputs.status().message();
      return;
    }
    ++accepted_;
    if (outputs->size() > 1000 && ++crowds_ > 8) return;  // a call of many outputs is a long one
    for (const TensorMeta& m : *outputs) ExpectTensor(m, def().name);
    EXPECT_GE(def().Flops(inputs, *outputs, *attrs), 0) << def().name;
    for (const Shape& mesh : {Shape{3}, Shape{2, 2}})
      (void)def().Signatures(inputs, *outputs, *attrs, mesh);  // an error is as good
    for (const KernelEntry& kernel : def().kernels) {
      if (kernel.provider.bound == nullptr) continue;
      EXPECT_GE(kernel.provider.bound(inputs, *outputs, *attrs, 64), 0) << def().name;
    }
    FollowRules(inputs, *outputs, *attrs);
  }

  int accepted_ = 0, crowds_ = 0;

 private:
  void FollowRules(const std::vector<TensorMeta>& inputs, const std::vector<TensorMeta>& outputs,
                   const Attrs& attrs) {
    const auto values = [](const std::vector<TensorMeta>& metas) {
      Values list;
      for (const TensorMeta& m : metas) list.push_back(Value(new Meta(m)));
      return list;
    };
    MetaBuilder b;
    const Values in = values(inputs), out = values(outputs), grads = values(outputs);
    if (def().grad != nullptr) {
      std::vector<char> needs(inputs.size());
      for (size_t i = 0; i < inputs.size(); ++i) needs[i] = IsFloating(inputs[i].dtype);
      const std::span<const bool> flags(reinterpret_cast<const bool*>(needs.data()), needs.size());
      GradContext context(b, in, out, grads, attrs, flags);
      def().grad(context);
    }
    if (def().decompose != nullptr) {
      MetaBuilder parts;
      (void)def().decompose(parts, in, attrs);
    }
  }
};

const int64_t kSizes[] = {0,
                          1,
                          2,
                          3,
                          int64_t{1} << 16,
                          (int64_t{1} << 31) - 1,
                          int64_t{1} << 33,
                          int64_t{1} << 47,
                          int64_t{1} << 48,
                          int64_t{1} << 61,
                          kMost};

int64_t AnySize(std::mt19937& random) { return kSizes[random() % std::size(kSizes)]; }

// Every size of a sample becomes another, the same everywhere, so that the operands still fit, or
// stays, since some operators take one size alone; now and then one axis goes its own way, is
// negative, or axes are added.
Sample Distorted(Sample s, std::mt19937& random) {
  std::map<int64_t, int64_t> map;
  const auto mapped = [&](int64_t size) {
    if (size == 1 && random() % 4 != 0) return size;
    if (random() % 32 == 0) return random() % 4 == 0 ? kLeast : AnySize(random);
    const int64_t other = random() % 4 == 0 ? size : AnySize(random);
    return map.try_emplace(size, other).first->second;
  };
  const int added = random() % 3 == 0 ? static_cast<int>(random() % 8) : 0;
  for (TensorMeta& m : s.inputs) {
    Shape shape;
    for (int64_t d : m.shape) shape.push_back(mapped(d));
    for (int i = 0; i < added && random() % 8 != 0; ++i) shape.insert(0, AnySize(random));
    m.shape = shape;
  }
  Attrs attrs;
  for (const auto& [name, value] : s.attrs) {
    AttrValue changed = value;
    if (auto* list = std::get_if<std::vector<int64_t>>(&changed)) {
      for (int64_t& d : *list)
        if (d > 0) d = mapped(d);
      if (random() % 8 == 0) list->resize(random() % 11, AnySize(random));
    } else if (auto* number = std::get_if<int64_t>(&changed); number != nullptr) {
      if (random() % 4 == 0) {
        *number = random() % 2 == 0 ? kLeast : AnySize(random);
      } else if (*number > 0 && random() % 2 == 0) {
        *number = mapped(*number);
      }
    }
    attrs.Set(name, std::move(changed));
  }
  s.attrs = std::move(attrs);
  return s;
}

TEST_P(HostileCalls, RefusesOrBoundsAnyShape) {
  std::mt19937 random(20);
  for (const Sample& sample : def().samples()) {
    for (int round = 0; round < 200; ++round) {
      const Sample s = Distorted(sample, random);
      Try(s.inputs, s.attrs);
    }
  }
  EXPECT_GT(accepted_, 0) << "no distorted sample passed, so nothing was looked at";
}

// Operands at the limit, whose product or result is far beyond it.
TEST_P(HostileCalls, RefusesOrBoundsThePairsThatEndedProcesses) {
  const std::vector<std::vector<Shape>> pairs = {
      {{int64_t{1} << 33, 1, 0}, {1, int64_t{1} << 31, 0}},
      {{int64_t{1} << 31, 1}, {1, int64_t{1} << 31}},
      {{int64_t{1} << 24, 1}, {1, int64_t{1} << 24}, {int64_t{1} << 24, 1, 1}},
      {{0, int64_t{1} << 40}, {int64_t{1} << 40}},
      {{3, int64_t{1} << 40}, {int64_t{1} << 30}},
      {{1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1}},
      {{1, 1, 1, 1, 1, 1, 1, 1, 1}, {2}},
      {{kMost, kMost, 2}, {kLeast}}};
  for (const Sample& sample : def().samples()) {
    for (const std::vector<Shape>& shapes : pairs) {
      Sample s = sample;
      for (size_t i = 0; i < s.inputs.size(); ++i) s.inputs[i].shape = shapes[i % shapes.size()];
      Try(s.inputs, s.attrs);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, HostileCalls, ::testing::ValuesIn(OpRegistry::Get().all()),
                         [](const ::testing::TestParamInfo<const OpDef*>& info) {
                           return info.param->name;
                         });

Status InferStatus(const char* name, std::vector<TensorMeta> inputs, Attrs attrs = {}) {
  const OpDef& def = *OpRegistry::Get().Find(name);
  return def.Infer(inputs, def.CompleteAttrs(std::move(attrs)).value()).status();
}

TEST(HostileErrors, AreErrorsThatNameTheOperatorAndTheLimit) {
  const TensorMeta tall{DType::kFloat32, {int64_t{1} << 33, 1, 0}};
  const TensorMeta wide{DType::kFloat32, {1, int64_t{1} << 31, 0}};
  const Status added = InferStatus("add", {tall, wide});
  EXPECT_EQ(added.code(), Code::kInvalidArgument);
  EXPECT_EQ(added.message(),
            "[add] shapes (8589934592, 1, 0) and (1, 2147483648, 0) broadcast to a shape that no "
            "tensor has: a shape of more than 2^48 elements, sizes of 0 not counted, got "
            "(8589934592, 2147483648, 0): got input: float32[8589934592,1,0], other: "
            "float32[1,2147483648,0]; expected equal sizes or 1");
  const TensorMeta index{DType::kInt64, {int64_t{1} << 20}};
  const Status hot = InferStatus("one_hot", {index}, {{"num_classes", int64_t{1} << 61}});
  EXPECT_EQ(hot.code(), Code::kInvalidArgument);
  EXPECT_NE(hot.message().find("[one_hot] the result would have a shape that no tensor has"),
            std::string::npos);
  EXPECT_NE(hot.message().find("expected at most 8 axes and 2^48 elements"), std::string::npos);
  const Status nine = InferStatus("relu", {{DType::kFloat32, {1, 1, 1, 1, 1, 1, 1, 1, 1}}});
  EXPECT_NE(nine.message().find("an operand has a shape that no tensor has (a tensor has "
                                "at most 8 axes, got 9)"),
            std::string::npos)
      << nine.message();
}

}  // namespace
}  // namespace ofl::op
