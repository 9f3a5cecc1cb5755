// Views: geometry applied to memory is what the kernel copies, and writing back is assignment.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <set>

#include "tests/unit/op/laid_out.h"

namespace ofl::op::testing {
namespace {

std::vector<Lie> AllLies() {
  std::vector<Lie> lies = {kDense};
  lies.insert(lies.end(), kLies.begin(), kLies.end());
  return lies;
}

class EveryView : public ::testing::TestWithParam<const OpDef*> {
 protected:
  const OpDef& def() const { return *GetParam(); }
};

TEST_P(EveryView, LiesWhereTheKernelReads) {
  std::mt19937 random(31);
  for (const Sample& sample : def().samples()) {
    const auto attrs = def().CompleteAttrs(sample.attrs);
    ASSERT_TRUE(attrs.ok());
    const Host base = Draw(sample.inputs[0], sample, false, random);
    const auto want = RunWhole(def(), {base}, *attrs);
    ASSERT_TRUE(want.ok()) << want.status().ToString();
    const size_t size = DTypeSize(base->meta().dtype);
    for (const Lie& lie : AllLies()) {
      const ViewGeometry memory = lie.of(base->meta().shape);
      const auto view = def().view(memory.shape, memory.strides, *attrs);
      const std::string what = def().name + " of a " + lie.name + " " + base->meta().ToString() +
                               " " + attrs->ToString();
      if (!view.ok()) {
        EXPECT_EQ(view.status().code(), Code::kUnimplemented) << what;
        EXPECT_STRNE(lie.name, "dense") << what;
        continue;
      }
      ASSERT_EQ(view->shape, (*want)[0]->meta().shape) << what;
      const std::vector<int64_t> from = PlacesOf(memory);
      // The buffer holds each element's bytes where the base has it.
      std::vector<std::byte> buffer((2 * base->meta().shape.numel() + 8) * size);
      for (size_t n = 0; n < from.size(); ++n)
        std::memcpy(buffer.data() + from[n] * size, base->data() + n * size, size);
      // A view may have another dtype than its base: its elements begin where the base's do.
      const std::byte* start = buffer.data() + memory.offset * size;
      const size_t each = DTypeSize((*want)[0]->meta().dtype);
      const std::vector<int64_t> places = PlacesOf(*view);
      for (size_t n = 0; n < places.size(); ++n)
        EXPECT_EQ(std::memcmp(start + places[n] * each, (*want)[0]->data() + n * each, each), 0)
            << what << ", element " << n;
    }
  }
}

TEST_P(EveryView, IsWrittenBackAsAssignment) {
  std::mt19937 random(32);
  for (const Sample& sample : def().samples()) {
    const auto attrs = def().CompleteAttrs(sample.attrs);
    ASSERT_TRUE(attrs.ok());
    const Host base = Draw(sample.inputs[0], sample, false, random);
    const auto view = def().view(base->meta().shape, ContiguousStrides(base->meta().shape), *attrs);
    ASSERT_TRUE(view.ok()) << view.status().ToString();
    if (def().write_back.empty()) continue;  // its elements lie in one place
    const auto seen = def().Infer(std::vector<TensorMeta>{base->meta()}, *attrs);
    ASSERT_TRUE(seen.ok()) << seen.status().ToString();
    const Host value = Draw({(*seen)[0].dtype, view->shape}, sample, false, random);
    const Host want = Copy(base);
    const size_t size = DTypeSize((*seen)[0].dtype);
    const std::vector<int64_t> places = PlacesOf(*view);
    for (size_t n = 0; n < places.size(); ++n)
      std::memcpy(want->data() + places[n] * size, value->data() + n * size, size);
    Evaluator builder;
    const Value got = builder.Call(def().write_back, {base, value}, *attrs);
    if (std::set<int64_t>(places.begin(), places.end()).size() < places.size()) {
      // Two places, one element: which value it would get is nobody's to say.
      EXPECT_EQ(builder.status().code(), Code::kInvalidArgument) << def().name;
      continue;
    }
    ASSERT_TRUE(builder.status().ok()) << builder.status().ToString();
    EXPECT_TRUE(SameBits(AsHost(got), want))
        << def().name << " " << base->meta().ToString() << " " << attrs->ToString() << "\n"
        << Difference(AsHost(got), want);
  }
}

std::vector<const OpDef*> Views() {
  std::vector<const OpDef*> views;
  for (const OpDef* def : OpRegistry::Get().all())
    if (def->view != nullptr) views.push_back(def);
  return views;
}

INSTANTIATE_TEST_SUITE_P(Ops, EveryView, ::testing::ValuesIn(Views()),
                         [](const auto& info) { return info.param->name; });

TEST(Views, AreRefusedWhereNoStridesExpressThem) {
  const OpDef* reshape = OpRegistry::Get().Find("reshape");
  const Attrs flat = {{"shape", std::vector<int64_t>{-1}}};
  EXPECT_EQ(reshape->view({2, 3}, {1, 2}, flat).status().code(), Code::kUnimplemented);
  // Rows that lie apart can still be taken apart themselves.
  const auto rows = reshape->view({2, 6}, {12, 2}, {{"shape", std::vector<int64_t>{2, 3, 2}}});
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(rows->strides, Strides({12, 4, 2}));
  // Axes that lie evenly are joined.
  const auto joined = reshape->view({2, 3, 4}, {24, 8, 2}, {{"shape", std::vector<int64_t>{6, 4}}});
  ASSERT_TRUE(joined.ok());
  EXPECT_EQ(joined->strides, Strides({8, 2}));
}

TEST(Views, TakeWhatBroadcastsToThemAndNothingElse) {
  const Host base = Make({DType::kFloat32, {2, 3}});
  const Host row = Make({DType::kFloat64, {2}});
  for (int i = 0; i < 6; ++i) base->Set(i, i);
  for (int i = 0; i < 2; ++i) row->Set(i, 10 + i);
  const Attrs dims = {{"dims", std::vector<int64_t>{1, 0}}};
  Evaluator builder;
  const Value got = builder.Call("permute_scatter", {base, row}, dims);  // base.T[:] = row
  ASSERT_TRUE(builder.status().ok()) << builder.status().ToString();
  ASSERT_EQ(got->meta(), base->meta());
  for (int i = 0; i < 6; ++i) EXPECT_EQ(AsHost(got)->Get(i), i < 3 ? 10 : 11);
  for (const auto& [name, attrs] : std::vector<std::pair<std::string, Attrs>>{
           {"permute_scatter", dims},
           {"transpose_scatter", {{"dim0", int64_t{0}}, {"dim1", int64_t{1}}}},
           {"reshape_scatter", {{"shape", std::vector<int64_t>{6}}}},
           {"slice_scatter",
            {{"begin", std::vector<int64_t>{0, 0}},
             {"end", std::vector<int64_t>{1, 3}},
             {"step", std::vector<int64_t>{1, 1}}}}}) {
    Evaluator refusing;
    (void)refusing.Call(name, {base, base}, attrs);
    EXPECT_EQ(refusing.status().code(), Code::kInvalidArgument) << name;
  }
}

}  // namespace
}  // namespace ofl::op::testing
