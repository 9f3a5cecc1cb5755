// Operands that may lie as matrices (Access::kMatrix): rows cut out of wider ones give the bits of
// the dense call; a matrix that lies by columns is another order of BLAS's reading, and gives its
// values.
#include <gtest/gtest.h>

#include <cstring>

#include "tests/unit/op/laid_out.h"

namespace ofl::op::testing {
namespace {

// The strides of a tensor whose matrices are columns of wider rows, as heads that a transpose has
// split off: the axis before the last two lies inside the row.
Strides InWiderRows(const Shape& shape) {
  Strides strides = ContiguousStrides(shape);
  const int rank = shape.rank();
  const int64_t gap = 3, columns = std::max<int64_t>(shape[rank - 1], 1) + gap;
  const int64_t inner = rank > 2 ? std::max<int64_t>(shape[rank - 3], 1) : 1;
  strides[rank - 2] = columns * inner;
  if (rank > 2) strides[rank - 3] = columns;
  int64_t step = columns * inner * std::max<int64_t>(shape[rank - 2], 1);
  for (int i = rank - 4; i >= 0; --i) {
    strides[i] = step;
    step *= std::max<int64_t>(shape[i], 1);
  }
  return strides;
}

Strides ByColumns(const Shape& shape) {
  const int rank = shape.rank();
  Shape swapped = shape;
  std::swap(swapped[rank - 1], swapped[rank - 2]);
  Strides strides = InWiderRows(swapped);
  std::swap(strides[rank - 1], strides[rank - 2]);
  return strides;
}

class EveryMatrixOp : public ::testing::TestWithParam<const OpDef*> {
 protected:
  const OpDef& def() const { return *GetParam(); }

  Result<Hosts> RunLaid(const Hosts& inputs, const std::vector<TensorMeta>& outputs,
                        const Attrs& attrs, Strides (*lie)(const Shape&)) {
    std::vector<Laid> laid;
    std::vector<TensorView> in, out;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const Shape& shape = inputs[i]->meta().shape;
      const bool matrix = def().InputAt(static_cast<int>(i)).access == Access::kMatrix;
      const Strides strides = matrix && shape.rank() > 1 ? lie(shape) : ContiguousStrides(shape);
      EXPECT_TRUE(Allows(def().InputAt(static_cast<int>(i)).access, shape, strides));
      laid.push_back(Scattered(inputs[i], {inputs[i]->meta().shape, strides, 0}));
    }
    for (const Laid& l : laid) in.push_back(l.view);
    Hosts results;
    for (const TensorMeta& meta : outputs) {
      results.push_back(Make(meta));
      out.push_back(results.back()->view());
    }
    OFL_ASSIGN(const Kernel kernel, FindKernel(def().name, DeviceKind::kCpu, in, out, attrs, 2));
    const auto stream = Cpu()->NewStream(2);
    OFL_ASSIGN(const device::BufferRef workspace, Undefined(kernel.needs.scratch));
    KernelContext context;
    context.inputs = in;
    context.outputs = out;
    context.attrs = &attrs;
    context.stream = stream.get();
    context.workspace = {workspace->data(), static_cast<size_t>(kernel.needs.scratch)};
    const std::vector<TensorMeta> metas = MetasOf(inputs);
    std::vector<Shape> in_offsets, out_offsets;
    const auto zeros = [](Shape shape) {
      for (int i = 0; i < shape.rank(); ++i) shape[i] = 0;
      return shape;
    };
    for (const TensorMeta& m : metas) in_offsets.push_back(zeros(m.shape));
    for (const TensorMeta& m : outputs) out_offsets.push_back(zeros(m.shape));
    context.logical_inputs = metas;
    context.logical_outputs = outputs;
    context.input_offsets = in_offsets;
    context.output_offsets = out_offsets;
    OFL_TRY(kernel.Run(context));
    return results;
  }
};

TEST_P(EveryMatrixOp, TakesMatricesAsTheyLie) {
  std::mt19937 random(7);
  for (const Sample& s : def().samples()) {
    const auto attrs = def().CompleteAttrs(s.attrs);
    ASSERT_TRUE(attrs.ok());
    const auto outputs = def().Infer(s.inputs, *attrs);
    ASSERT_TRUE(outputs.ok());
    const Hosts inputs = DrawInputs(s, false, random);
    const auto want = RunWhole(def(), inputs, *attrs, 2);
    const auto rows = RunLaid(inputs, *outputs, *attrs, InWiderRows);
    const auto columns = RunLaid(inputs, *outputs, *attrs, ByColumns);
    ASSERT_TRUE(want.ok() && rows.ok() && columns.ok());
    for (size_t i = 0; i < outputs->size(); ++i) {
      EXPECT_TRUE(SameBits((*rows)[i], (*want)[i])) << Difference((*rows)[i], (*want)[i]);
      EXPECT_EQ(Difference((*columns)[i], (*want)[i], 10), "");
    }
  }
}

std::vector<const OpDef*> MatrixOps() {
  std::vector<const OpDef*> ops;
  for (const OpDef* def : OpRegistry::Get().all())
    for (const Operand& operand : def->inputs)
      if (operand.access == Access::kMatrix && (ops.empty() || ops.back() != def))
        ops.push_back(def);
  return ops;
}

INSTANTIATE_TEST_SUITE_P(Ops, EveryMatrixOp, ::testing::ValuesIn(MatrixOps()),
                         [](const auto& info) { return info.param->name; });

}  // namespace
}  // namespace ofl::op::testing
