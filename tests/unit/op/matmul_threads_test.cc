// Matrix products under concurrent callers, and with several threads of one stream.
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "device/device.h"
#include "oneflow_like/op/def/op_def.h"
#include "oneflow_like/op/kernel/kernel.h"

namespace ofl::op::testing {
namespace {

// Sides at which a library without locks around its buffers was seen to corrupt results.
constexpr int64_t kSide = 192;

class Product {
 public:
  explicit Product(int threads) {
    stream_ = device::GetDevice(DeviceKind::kCpu).value()->NewStream(threads);
    attrs_ = OpRegistry::Get().Find("matmul")->CompleteAttrs({}).value();
  }
  std::vector<float> Run(const std::vector<float>& a, const std::vector<float>& b) {
    const std::vector<TensorMeta> metas(2, {DType::kFloat32, {kSide, kSide}});
    std::vector<float> c(kSide * kSide, -1.0f);
    const TensorView inputs[] = {{const_cast<float*>(a.data()), metas[0]},
                                 {const_cast<float*>(b.data()), metas[1]}};
    const TensorView outputs[] = {{c.data(), metas[0]}};
    const Shape zeros[] = {{0, 0}, {0, 0}};
    KernelContext context;
    context.inputs = inputs;
    context.outputs = outputs;
    context.attrs = &attrs_;
    context.stream = stream_.get();
    context.logical_inputs = metas;
    context.logical_outputs = std::span(metas).first(1);
    context.input_offsets = zeros;
    context.output_offsets = std::span(zeros).first(1);
    const Kernel kernel =
        FindKernel("matmul", DeviceKind::kCpu, inputs, outputs, attrs_, stream_->threads()).value();
    EXPECT_TRUE(kernel.Run(context).ok());
    return c;
  }

 private:
  std::unique_ptr<device::Stream> stream_;
  Attrs attrs_;
};

// Small whole numbers, so that every order of adding gives the same bits.
std::vector<float> WholeNumbers(uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(kSide * kSide);
  for (float& v : values) v = static_cast<float>(static_cast<int>(random() % 9) - 4);
  return values;
}

std::vector<float> Reference(const std::vector<float>& a, const std::vector<float>& b) {
  std::vector<float> c(kSide * kSide, 0.0f);
  for (int64_t i = 0; i < kSide; ++i)
    for (int64_t k = 0; k < kSide; ++k)
      for (int64_t j = 0; j < kSide; ++j) c[i * kSide + j] += a[i * kSide + k] * b[k * kSide + j];
  return c;
}

TEST(MatmulThreads, ConcurrentCallersGetExactProducts) {
  constexpr int kCallers = 4, kRounds = 40;
  std::atomic<int> wrong{0};
  std::barrier start(kCallers);
  std::vector<std::thread> callers;
  for (int t = 0; t < kCallers; ++t)
    callers.emplace_back([&, t] {
      Product product(1 + t % 2);
      const auto a = WholeNumbers(2 * t + 1), b = WholeNumbers(2 * t + 2);
      const auto want = Reference(a, b);
      start.arrive_and_wait();
      for (int round = 0; round < kRounds; ++round)
        if (product.Run(a, b) != want) ++wrong;
    });
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST(MatmulThreads, AnyNumberOfThreadsGivesTheSameProduct) {
  const auto a = WholeNumbers(1), b = WholeNumbers(2);
  const auto want = Reference(a, b);
  for (int threads : {1, 2, 3, 5}) EXPECT_EQ(Product(threads).Run(a, b), want) << threads;
}

}  // namespace
}  // namespace ofl::op::testing
