// Operators whose operands take strides: however the memory of inputs and outputs lies, the result
// has the bits of the dense call.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <set>

#include "tests/unit/op/laid_out.h"

namespace ofl::op::testing {
namespace {

Host Gathered(const Laid& laid, const ViewGeometry& g) {
  Host x = Make(laid.view.meta);
  const size_t size = DTypeSize(x->meta().dtype);
  int64_t n = 0;
  for (int64_t at : PlacesOf(g))
    std::memcpy(x->data() + n++ * size, laid.buffer.data() + at * size, size);
  return x;
}

// Some operand comes as it lies; the others of the call are dense.
bool TakesStrides(const OpDef& def) {
  if (def.inputs.empty() || def.Has(Trait::kUpdate)) return false;
  const auto strided = [](const auto& operand) { return operand.access == Access::kStrided; };
  return std::ranges::any_of(def.inputs, strided) || std::ranges::any_of(def.outputs, strided);
}

std::vector<const OpDef*> StridedOps() {
  std::vector<const OpDef*> ops;
  for (const OpDef* def : OpRegistry::Get().all())
    if (TakesStrides(*def)) ops.push_back(def);
  return ops;
}

class EveryStridedOp : public ::testing::TestWithParam<const OpDef*> {
 protected:
  const OpDef& def() const { return *GetParam(); }

  // Runs on views; zero offsets: the call is local.
  Result<Hosts> RunOn(std::span<const TensorView> inputs, const std::vector<TensorMeta>& outputs,
                      const std::vector<ViewGeometry>& lies, const Attrs& attrs, int threads) {
    std::vector<Laid> laid;
    std::vector<TensorView> views;
    std::vector<TensorMeta> in_metas;
    std::vector<Shape> in_offsets, out_offsets;
    const auto zeros = [](Shape shape) {
      for (int i = 0; i < shape.rank(); ++i) shape[i] = 0;
      return shape;
    };
    for (const TensorView& view : inputs) {
      in_metas.push_back(view.meta);
      in_offsets.push_back(zeros(view.meta.shape));
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      laid.push_back(LayOut(outputs[i], lies[i]));
      views.push_back(laid.back().view);
      out_offsets.push_back(zeros(outputs[i].shape));
    }
    OFL_ASSIGN(const Kernel kernel,
               FindKernel(def().name, DeviceKind::kCpu, inputs, views, attrs, threads));
    const auto stream = Cpu()->NewStream(threads);
    OFL_ASSIGN(const device::BufferRef scratch, Undefined(kernel.needs.scratch));
    KernelContext context;
    context.inputs = inputs;
    context.outputs = views;
    context.attrs = &attrs;
    context.stream = stream.get();
    context.workspace = {scratch->data(), static_cast<size_t>(kernel.needs.scratch)};
    context.logical_inputs = in_metas;
    context.logical_outputs = outputs;
    context.input_offsets = in_offsets;
    context.output_offsets = out_offsets;
    OFL_TRY(kernel.Run(context));
    Hosts results;
    for (size_t i = 0; i < outputs.size(); ++i) {
      results.push_back(Gathered(laid[i], lies[i]));
      // Bytes between the elements are nobody's to write.
      int64_t written = 0;
      const auto size = static_cast<int64_t>(DTypeSize(outputs[i].dtype));
      std::vector<bool> mine(laid[i].buffer.size());
      for (int64_t at : PlacesOf(lies[i]))
        for (int64_t b = 0; b < size; ++b) mine[static_cast<size_t>(at * size + b)] = true;
      for (size_t b = 0; b < mine.size(); ++b) written += !mine[b] && laid[i].buffer[b] != kFiller;
      EXPECT_EQ(written, 0) << def().name << " writes between the elements of its output";
    }
    return results;
  }
};

TEST_P(EveryStridedOp, GivesTheBitsOfTheDenseCall) {
  std::mt19937 random(21);
  for (const Sample& sample : def().samples()) {
    const auto attrs = def().CompleteAttrs(sample.attrs);
    ASSERT_TRUE(attrs.ok());
    const Hosts inputs = DrawInputs(sample, false, random);
    const auto metas = def().Infer(sample.inputs, *attrs);
    ASSERT_TRUE(metas.ok());
    const auto want = RunWhole(def(), inputs, *attrs);
    ASSERT_TRUE(want.ok());
    for (size_t kind = 0; kind < kLies.size(); ++kind) {
      // Every operand in another way.
      std::vector<Laid> laid;
      std::vector<TensorView> views;
      std::string what = def().name;
      for (size_t i = 0; i < inputs.size(); ++i) {
        const bool strided = def().InputAt(static_cast<int>(i)).access == Access::kStrided;
        const Lie& lie = strided ? kLies[(kind + i) % kLies.size()] : kDense;
        laid.push_back(Scattered(inputs[i], lie.of(inputs[i]->meta().shape)));
        views.push_back(laid.back().view);
        what += " " + inputs[i]->meta().ToString() + " " + lie.name;
      }
      for (size_t out = 0; out <= kLies.size(); ++out) {
        std::vector<ViewGeometry> lies;
        for (const TensorMeta& meta : *metas) {
          const auto at = static_cast<int>(lies.size());
          const bool strided = def().OutputAt(at).access == Access::kStrided;
          lies.push_back((out == kLies.size() || !strided ? kDense : kLies[out]).of(meta.shape));
        }
        const auto got = RunOn(views, *metas, lies, *attrs, 1);
        ASSERT_TRUE(got.ok()) << what << "\n" << got.status().ToString();
        for (size_t i = 0; i < got->size(); ++i)
          EXPECT_TRUE(SameBits((*got)[i], (*want)[i]))
              << what << " into " << (out == kLies.size() ? "dense" : kLies[out].name) << "\n"
              << Difference((*got)[i], (*want)[i]);
      }
    }
  }
}

// A view of stride 0 is what broadcasting makes; many elements, so that tiles and threads end
// within rows.
TEST_P(EveryStridedOp, TakesExpandedInputsOfManyElements) {
  constexpr int64_t kRows = 130, kMostElements = 1 << 22;
  std::mt19937 random(22);
  std::set<std::string> seen;
  for (const Sample& sample : def().samples()) {
    std::string key = sample.attrs.ToString();
    for (const TensorMeta& meta : sample.inputs) key += DTypeName(meta.dtype);
    if (!seen.insert(key).second) continue;
    const auto attrs = def().CompleteAttrs(sample.attrs);
    ASSERT_TRUE(attrs.ok());
    Sample large = sample;
    int64_t columns = 400;
    const auto infer = [&] {
      for (TensorMeta& meta : large.inputs) meta.shape = {kRows, columns};
      return def().Infer(large.inputs, *attrs);
    };
    auto metas = infer();
    if (!metas.ok()) continue;  // its attributes say the shape
    if (!metas->empty() &&
        metas->front().shape.numel() > kMostElements) {  // one operand counts places in another
      columns = 40;
      metas = infer();
    }
    Hosts parts, dense;
    std::vector<TensorView> views;
    for (size_t i = 0; i < large.inputs.size(); ++i) {
      const bool by_row = i % 2 == 0;  // one value a row, or one row for all
      const TensorMeta part{large.inputs[i].dtype, {by_row ? kRows : columns}};
      parts.push_back(Draw(part, sample, false, random));
      views.emplace_back(parts.back()->data(), large.inputs[i],
                         by_row ? Strides{1, 0} : Strides{0, 1});
      dense.push_back(Make(large.inputs[i]));
      const size_t size = DTypeSize(part.dtype);
      for (int64_t r = 0; r < kRows; ++r)
        for (int64_t k = 0; k < columns; ++k)
          std::memcpy(dense.back()->data() + (r * columns + k) * size,
                      parts.back()->data() + (by_row ? r : k) * size, size);
      if (def().InputAt(static_cast<int>(i)).access != Access::kStrided)
        views.back() = dense.back()->view();
    }
    const auto want = RunWhole(def(), dense, *attrs);
    ASSERT_TRUE(want.ok());
    std::vector<ViewGeometry> lies;
    for (const TensorMeta& meta : *metas) {
      const bool strided = def().OutputAt(static_cast<int>(lies.size())).access == Access::kStrided;
      lies.push_back(strided ? Transposed(meta.shape) : kDense.of(meta.shape));
    }
    for (int threads : {1, 3}) {
      const auto got = RunOn(views, *metas, lies, *attrs, threads);
      ASSERT_TRUE(got.ok()) << got.status().ToString();
      for (size_t i = 0; i < got->size(); ++i)
        EXPECT_TRUE(SameBits((*got)[i], (*want)[i])) << def().name << " " << key << "\n"
                                                     << Difference((*got)[i], (*want)[i]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, EveryStridedOp, ::testing::ValuesIn(StridedOps()),
                         [](const auto& info) { return info.param->name; });

}  // namespace
}  // namespace ofl::op::testing
