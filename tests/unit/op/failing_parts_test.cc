// A part that fails, whichever it is, ends a composite or a gradient rule with its error: what
// follows gets no value and must not ask one for its shape.
#include <gtest/gtest.h>

#include "oneflow_like/op/def/compose.h"
#include "oneflow_like/op/def/op_def.h"

namespace ofl::op {
namespace {

// Infers, and fails at one call.
class FailingBuilder final : public MetaBuilder {
 public:
  explicit FailingBuilder(int at) : at_(at) {}
  Values Apply(const OpDef& op, Values inputs, const Attrs& attrs) override {
    if (status().ok() && calls_++ == at_) Fail(Error(Code::kUnavailable) << "a part failed");
    return MetaBuilder::Apply(op, std::move(inputs), attrs);
  }
  bool failed() const { return calls_ > at_; }

 private:
  int at_, calls_ = 0;
};

Values ValuesOf(const std::vector<TensorMeta>& metas) {
  Values values;
  for (const TensorMeta& meta : metas) values.push_back(Value(new MetaValue(meta)));
  return values;
}

constexpr size_t kMostSamples = 4;

class FailingParts : public ::testing::TestWithParam<const OpDef*> {
 protected:
  // Calls use(builder) with one that fails at each call in turn, until none does.
  template <class Use>
  void Try(const Use& use) {
    for (int at = 0;; ++at) {
      FailingBuilder builder(at);
      use(builder);
      if (!builder.failed()) return;
      EXPECT_EQ(builder.status().message(), "a part failed");
    }
  }
};

TEST_P(FailingParts, EndTheRuleWithTheirError) {
  const OpDef& def = *GetParam();
  size_t tried = 0;
  for (const Sample& sample : def.samples()) {
    if (tried++ == kMostSamples) break;
    const auto attrs = def.CompleteAttrs(sample.attrs);
    ASSERT_TRUE(attrs.ok());
    const Values inputs = ValuesOf(sample.inputs);
    if (def.decompose != nullptr) {
      Try([&](Builder& b) { (void)def.decompose(b, inputs, *attrs); });
    }
    if (def.grad == nullptr) continue;
    const auto outputs = def.Infer(sample.inputs, *attrs);
    ASSERT_TRUE(outputs.ok());
    const Values results = ValuesOf(*outputs), grads = ValuesOf(*outputs);
    std::vector<char> needs(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) needs[i] = IsDifferentiable(sample.inputs[i].dtype);
    const std::span<const bool> flags(reinterpret_cast<const bool*>(needs.data()), needs.size());
    Try([&](Builder& b) {
      GradContext context(b, inputs, results, grads, *attrs, flags);
      def.grad(context);
    });
  }
}

INSTANTIATE_TEST_SUITE_P(All, FailingParts, ::testing::ValuesIn(OpRegistry::Get().all()),
                         [](const auto& info) { return info.param->name; });

}  // namespace
}  // namespace ofl::op
