// Matrix products of operands that lie transposed, with gaps between their rows, or with batch axes
// in any order: BLAS reads them where they are.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "tests/unit/op/laid_out.h"

namespace ofl::op::testing {
namespace {

// How the last two axes lie; batch axes lie in reverse order.
enum class Matrix { kDense, kTransposed, kRowGaps, kTransposedGaps, kBatchFirst };
constexpr Matrix kMatrices[] = {Matrix::kDense, Matrix::kTransposed, Matrix::kRowGaps,
                                Matrix::kTransposedGaps, Matrix::kBatchFirst};

Strides StridesOf(const Shape& shape, Matrix lie) {
  if (lie == Matrix::kDense || shape.rank() < 2) return ContiguousStrides(shape);
  const int row = shape.rank() - 2, column = shape.rank() - 1;
  const bool transposed = lie == Matrix::kTransposed || lie == Matrix::kTransposedGaps;
  const int64_t gap = lie == Matrix::kRowGaps || lie == Matrix::kTransposedGaps ? 3 : 0;
  Strides strides = shape;
  const int fast = transposed ? row : column, slow = transposed ? column : row;
  strides[fast] = 1;
  int64_t step = std::max<int64_t>(shape[fast], 1);
  if (lie == Matrix::kBatchFirst) {  // heads between rows: (rows, heads, columns) in memory
    for (int i = 0; i < row; ++i) {
      strides[i] = step;
      step *= std::max<int64_t>(shape[i], 1);
    }
    strides[slow] = step;
    return strides;
  }
  strides[slow] = step + gap;
  step = strides[slow] * std::max<int64_t>(shape[slow], 1);
  for (int i = 0; i < row; ++i) {
    strides[i] = step;
    step *= std::max<int64_t>(shape[i], 1);
  }
  return strides;
}

Laid LayOut(const Host& x, Matrix lie) {
  const Shape& shape = x->meta().shape;
  return Scattered(x, {shape, StridesOf(shape, lie), 0});
}

Result<Host> RunOn(const OpDef& def, const std::vector<Laid>& inputs, const Attrs& given,
                   int threads) {
  std::vector<TensorView> in;
  std::vector<TensorMeta> metas;
  std::vector<Shape> offsets;
  for (const Laid& laid : inputs) {
    EXPECT_TRUE(Allows(def.InputAt(static_cast<int>(in.size())).access, laid.view.meta.shape,
                       laid.view.strides));
    in.push_back(laid.view);
    metas.push_back(laid.view.meta);
    Shape zero = laid.view.meta.shape;
    for (int i = 0; i < zero.rank(); ++i) zero[i] = 0;
    offsets.push_back(zero);
  }
  OFL_ASSIGN(const Attrs attrs, def.CompleteAttrs(given));
  OFL_ASSIGN(const auto made, def.Infer(metas, attrs));
  const Host out = Make(made[0]);
  const TensorView out_view = out->view();
  OFL_ASSIGN(const Kernel kernel,
             FindKernel(def.name, DeviceKind::kCpu, in, {&out_view, 1}, attrs, threads));
  OFL_ASSIGN(device::Device * cpu, device::GetDevice(DeviceKind::kCpu));
  const auto stream = cpu->NewStream(threads);
  OFL_ASSIGN(const device::BufferRef scratch, cpu->Allocate(kernel.needs.scratch));
  KernelContext context;
  context.inputs = in;
  context.outputs = {&out_view, 1};
  context.attrs = &attrs;
  context.stream = stream.get();
  context.workspace = {scratch->data(), static_cast<size_t>(kernel.needs.scratch)};
  context.logical_inputs = metas;
  context.logical_outputs = made;
  context.input_offsets = offsets;
  context.output_offsets = {&offsets[0], 1};
  OFL_TRY(kernel.Run(context));
  return out;
}

struct Case {
  const char* op;
  std::vector<Shape> shapes;
  Attrs attrs;
};
std::vector<Case> Cases() {
  const auto flags = [](bool a, bool b) { return Attrs{{"transpose_a", a}, {"transpose_b", b}}; };
  return {{"matmul", {{17, 33}, {33, 65}}, flags(false, false)},
          {"matmul", {{33, 17}, {33, 65}}, flags(true, false)},
          {"matmul", {{17, 33}, {65, 33}}, flags(false, true)},
          {"matmul", {{33, 17}, {65, 33}}, flags(true, true)},
          {"matmul", {{128, 64}, {64, 256}}, flags(false, false)},
          {"matmul", {{2, 3, 20, 16}, {2, 3, 16, 24}}, flags(false, false)},
          {"matmul", {{2, 3, 20, 16}, {2, 3, 24, 16}}, flags(false, true)},
          {"matmul", {{2, 1, 5, 4}, {3, 4, 6}}, flags(false, false)},
          {"matmul", {{4, 9, 16}, {16, 12}}, flags(false, false)},
          {"matmul", {{1, 40}, {40, 30}}, flags(false, false)},
          {"matmul", {{30, 40}, {40, 1}}, flags(false, false)},
          {"matmul", {{30, 1}, {1, 20}}, flags(false, false)},
          {"matmul", {{40}, {40, 30}}, flags(false, false)},
          {"matmul", {{5, 30, 40}, {40}}, flags(false, false)},
          {"matmul", {{3, 0}, {0, 2}}, flags(false, false)},
          {"linear", {{4, 9, 16}, {12, 16}, {12}}, {}},
          {"linear", {{4, 9, 16}, {12, 16}}, {}},
          {"linear_weight_grad", {{4, 9, 16}, {4, 9, 12}}, {}},
          {"linear_weight_grad", {{50, 16}, {50, 12}}, {}}};
}

class Products : public ::testing::TestWithParam<DType> {};

TEST_P(Products, OfOperandsAsTheyLie) {
  const DType dtype = GetParam();
  std::mt19937 random(41);
  Sample range;
  int64_t same = 0, other = 0;
  for (const Case& c : Cases()) {
    const OpDef& def = *OpRegistry::Get().Find(c.op);
    if (IsInteger(dtype) && def.name == "linear_weight_grad") continue;
    Hosts inputs;
    for (const Shape& shape : c.shapes)
      inputs.push_back(Draw({dtype, shape}, range, false, random));
    const auto dense = RunWhole(def, inputs, c.attrs);
    ASSERT_TRUE(dense.ok()) << dense.status().ToString();
    for (Matrix left : kMatrices) {
      for (Matrix right : kMatrices) {
        std::vector<Laid> laid;
        for (size_t i = 0; i < inputs.size(); ++i)
          laid.push_back(LayOut(inputs[i], i == 0 ? left : right));
        for (int threads : {1, 3}) {
          const auto got = RunOn(def, laid, c.attrs, threads);
          ASSERT_TRUE(got.ok()) << got.status().ToString();
          EXPECT_EQ(Difference(*got, (*dense)[0]), "") << c.op << " " << c.shapes[0];
          if (threads > 1) continue;
          ++(SameBits(*got, (*dense)[0]) ? same : other);
          if (IsInteger(dtype)) {
            EXPECT_TRUE(SameBits(*got, (*dense)[0]));
          }
        }
      }
    }
  }
  RecordProperty("same_bits", std::to_string(same));
  RecordProperty("other_bits", std::to_string(other));
  std::printf("%s: %ld calls with the dense call's bits, %ld without\n", DTypeName(dtype),
              static_cast<long>(same), static_cast<long>(other));
}

INSTANTIATE_TEST_SUITE_P(DTypes, Products,
                         ::testing::Values(DType::kFloat32, DType::kFloat64, DType::kFloat16,
                                           DType::kBFloat16, DType::kComplex64, DType::kComplex128,
                                           DType::kInt64, DType::kInt32, DType::kInt16,
                                           DType::kInt8, DType::kUInt8),
                         [](const auto& info) { return DTypeName(info.param); });

TEST(IntegerProducts, Wrap) {
  const OpDef& matmul = *OpRegistry::Get().Find("matmul");
  for (DType dtype : {DType::kInt8, DType::kUInt8, DType::kInt16}) {
    const Host a = Make({dtype, {1, 3}}), b = Make({dtype, {3, 1}});
    const double large = dtype == DType::kInt16 ? 300 : 100;
    for (int i = 0; i < 3; ++i) {
      a->Set(i, large);
      b->Set(i, large);
    }
    const auto got = RunWhole(matmul, {a, b}, {});
    ASSERT_TRUE(got.ok());
    const auto exact = static_cast<int64_t>(3 * large * large);
    const double want = dtype == DType::kInt8    ? static_cast<int8_t>(exact)
                        : dtype == DType::kUInt8 ? static_cast<uint8_t>(exact)
                                                 : static_cast<int16_t>(exact);
    EXPECT_EQ((*got)[0]->Get(0), want) << DTypeName(dtype);
  }
}

}  // namespace
}  // namespace ofl::op::testing
