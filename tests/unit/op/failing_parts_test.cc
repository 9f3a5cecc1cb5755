// A part that fails, whichever it is, ends a composite or a gradient rule with its error: what
// follows gets no value and must not ask one for its shape.
#include <gtest/gtest.h>

#include <set>
#include <string>

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

// Samples that differ in dtypes and sizes alone take the same way.
std::string WayOf(const Sample& sample) {
  std::string way = sample.attrs.ToString();
  for (const TensorMeta& meta : sample.inputs) {
    way += " " + std::to_string(meta.shape.rank());
    for (int64_t size : meta.shape) way += size == 0 ? "0" : size == 1 ? "1" : "n";
    way +=
        std::to_string(static_cast<int>(CategoryOf(meta.dtype))) + (IsHalf(meta.dtype) ? "h" : "");
  }
  return way;
}

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
  std::set<std::string> tried;
  for (const Sample& sample : def.samples()) {
    if (!tried.insert(WayOf(sample)).second) continue;
    const auto attrs = def.CompleteAttrs(sample.attrs);
    ASSERT_TRUE(attrs.ok());
    const Values inputs = ValuesOf(sample.inputs);
    if (def.decompose != nullptr) {
      Try([&](Builder& b) { (void)def.decompose(b, inputs, *attrs); });
      // What an operand that may be left out stands for is often drawn, and then in no sample.
      for (size_t count = inputs.size(); count-- > 1;) {
        if (!def.CheckArity(static_cast<int>(count), *attrs).ok()) break;
        const Values fewer(inputs.begin(), inputs.begin() + static_cast<int64_t>(count));
        Try([&](Builder& b) { (void)def.decompose(b, fewer, *attrs); });
      }
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
