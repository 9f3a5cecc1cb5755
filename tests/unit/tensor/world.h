// Several ranks in one process: one thread and one context each, over in-memory wires.
#pragma once

#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/conversion.h"
#include "oneflow_like/tensor/dispatch.h"
#include "transport/memory/memory.h"

namespace ofl::tensor {

// Runs body(rank) on n ranks at once and returns when all are done.
inline void RunWorld(int n, const std::function<void(int)>& body) {
  auto wires = transport::MemoryWorld(n);
  std::vector<std::unique_ptr<Context>> contexts;
  for (int rank = 0; rank < n; ++rank) {
    ContextOptions options;
    options.rank = rank;
    options.world_size = n;
    auto wire = std::make_shared<std::unique_ptr<transport::Transport>>(std::move(wires[rank]));
    options.connect = [wire]() -> Result<std::unique_ptr<transport::Transport>> {
      return std::move(*wire);
    };
    contexts.push_back(std::make_unique<Context>(std::move(options)));
  }
  std::vector<std::thread> threads;
  for (int rank = 0; rank < n; ++rank) {
    threads.emplace_back([&, rank] {
      Context::BindThread(contexts[rank].get());
      body(rank);
      Context::BindThread(nullptr);
    });
  }
  for (std::thread& t : threads) t.join();
}

// The value of a Result, which a test needs.
template <class T>
T Must(Result<T> result) {
  EXPECT_TRUE(result.ok()) << result.status().ToString();
  if (!result.ok()) std::abort();
  return std::move(result).value();
}

inline TensorRef FromFloats(const Shape& shape, const std::vector<float>& values) {
  return Must(FromHost({DType::kFloat32, shape}, values.data()));
}

inline std::vector<float> FloatsOf(const TensorRef& x) {
  TensorRef dense = Must(Contiguous(x));
  const auto* at = reinterpret_cast<const float*>(dense->data());
  return {at, at + (at == nullptr ? 0 : dense->local_shape().numel())};
}

// Integers small enough that sums of floats are exact.
inline std::vector<float> RandomIntegers(int64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& v : values) v = static_cast<float>(static_cast<int>(random() % 201) - 100);
  return values;
}

inline LayoutRef MakeLayout(std::vector<int> ranks, sbp::NdSbp nd_sbp, Shape hierarchy = {}) {
  if (hierarchy.rank() == 0) hierarchy = Shape({static_cast<int64_t>(ranks.size())});
  return std::make_shared<const sbp::Layout>(
      sbp::Layout{Must(Placement::Make(DeviceKind::kCpu, hierarchy, std::move(ranks))), nd_sbp});
}

// A global tensor of known logical value under any layout, made without communication: partial
// parts are random integers that sum to the value.
inline TensorRef GlobalOf(const Shape& shape, const std::vector<float>& logical,
                          const LayoutRef& layout) {
  const TensorMeta meta{DType::kFloat32, shape};
  TensorRef x = Must(EmptyGlobal(meta, layout));
  if (!x->has_data()) return x;
  const Placement& placement = layout->placement;
  const int self = placement.IndexOf(Context::Get().rank());
  const std::vector<int> at = placement.Coordinates(self);
  std::vector<float> mine = logical;
  for (int k = 0; k < layout->nd_sbp.rank(); ++k) {
    if (!layout->nd_sbp[k].is_partial()) continue;
    // Coordinate 0 holds the rest; the others random numbers that all ranks can compute.
    const int64_t parts = placement.hierarchy()[k];
    std::vector<float> next(mine.size(), 0.0f);
    if (at[k] == 0) next = mine;
    for (int64_t c = 1; c < parts; ++c) {
      const auto noise = RandomIntegers(shape.numel(), static_cast<uint32_t>(100 * k + c));
      for (size_t i = 0; i < next.size(); ++i) {
        if (at[k] == 0) next[i] -= noise[i];
        if (at[k] == c) next[i] = noise[i];
      }
    }
    mine = next;
  }
  const sbp::Box box = sbp::LocalBox(shape, *layout, self);
  const Strides strides = ContiguousStrides(shape);
  auto* out = reinterpret_cast<float*>(x->data());
  const Shape extent = box.Extent();
  for (int64_t i = 0; i < extent.numel(); ++i) {
    int64_t rest = i, offset = 0;
    for (int a = shape.rank() - 1; a >= 0; --a) {
      offset += (box.begin[a] + rest % extent[a]) * strides[a];
      rest /= extent[a];
    }
    out[i] = mine[static_cast<size_t>(offset)];
  }
  return x;
}

}  // namespace ofl::tensor
