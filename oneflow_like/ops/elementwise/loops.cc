#include "oneflow_like/ops/elementwise/loops.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "oneflow_like/ops/elementwise/repeats.h"
#include "oneflow_like/ops/kernel_util.h"

namespace ofl::ops {
namespace {

constexpr int kMaxOperands = kMaxRowInputs + 1;
constexpr int kOut = kMaxRowInputs;  // the output's place among the operands
// Bytes of a tile: those of all operands fit the first cache and any thread's stack.
constexpr int64_t kTileBytes = 4096;

struct Loop {
  const Row* row = nullptr;
  const void* functor = nullptr;
  int rank = 1;
  std::array<int64_t, kMaxRank> size{1};                             // innermost last
  std::array<std::array<int64_t, kMaxRank>, kMaxOperands> stride{};  // in bytes; 0: repeats
  std::array<std::byte*, kMaxOperands> data{};
  // Null: the row function sees the operand's memory itself.
  std::array<LoadFn, kMaxRowInputs> load{};
  StoreFn store = nullptr;
  RowFn fn = nullptr;  // the row's, or its form for an operand that repeats
  int64_t tile = 0;    // elements; 0: no operand needs one
  int inner() const { return rank - 1; }
};

struct Tiles {
  alignas(64) std::byte row[kMaxOperands][kTileBytes];
  std::array<const std::byte*, kMaxRowInputs> splat{};  // what a tile of a repeating value holds
};

// Elements from `at` on, along the innermost axis.
void RunTiled(const Loop& loop, const std::array<std::byte*, kMaxOperands>& at, int64_t n,
              Tiles& tiles) {
  const Row& row = *loop.row;
  const int inner = loop.inner();
  for (int64_t done = 0; done < n; done += loop.tile) {
    const int64_t count = std::min(loop.tile, n - done);
    const void* in[kMaxRowInputs] = {};
    for (int k = 0; k < row.arity; ++k) {
      const int64_t stride = loop.stride[k][inner];
      std::byte* from = at[k] + done * stride;
      in[k] = from;
      if (loop.load[k] == nullptr) continue;
      in[k] = tiles.row[k];
      if (stride != 0) {
        loop.load[k](from, stride, tiles.row[k], count);
      } else if (tiles.splat[k] != from) {
        loop.load[k](from, stride, tiles.row[k], 1);
        Splat(tiles.row[k], DTypeSize(row.in[k]), std::min(loop.tile, loop.size[inner]));
        tiles.splat[k] = from;
      }
    }
    const int64_t stride = loop.stride[kOut][inner];
    std::byte* to = at[kOut] + done * stride;
    if (loop.store == nullptr) {
      row.fn(loop.functor, in, to, count);
    } else {
      row.fn(loop.functor, in, tiles.row[kOut], count);
      loop.store(tiles.row[kOut], to, stride, count);
    }
  }
}

// Elements [begin, end) in the order of the loop's axes.
void RunRange(const Loop& loop, int64_t begin, int64_t end) {
  const int inner = loop.inner();
  std::array<int64_t, kMaxRank> at{};
  std::array<std::byte*, kMaxOperands> data = loop.data;
  if (begin > 0) {
    int64_t rest = begin;
    for (int i = inner; i >= 0; --i) {
      at[i] = rest % loop.size[i];
      rest /= loop.size[i];
      for (int k = 0; k < kMaxOperands; ++k) data[k] += at[i] * loop.stride[k][i];
    }
  }
  Tiles tiles;
  while (true) {
    const int64_t n = std::min(loop.size[inner] - at[inner], end - begin);
    if (loop.tile == 0) {
      const void* in[kMaxRowInputs] = {data[0], data[1], data[2]};
      loop.fn(loop.functor, in, data[kOut], n);
    } else {
      RunTiled(loop, data, n, tiles);
    }
    begin += n;
    if (begin >= end) return;
    for (int k = 0; k < kMaxOperands; ++k) data[k] -= at[inner] * loop.stride[k][inner];
    at[inner] = 0;
    for (int i = inner - 1; i >= 0; --i) {
      for (int k = 0; k < kMaxOperands; ++k) data[k] += loop.stride[k][i];
      if (++at[i] < loop.size[i]) break;
      for (int k = 0; k < kMaxOperands; ++k) data[k] -= at[i] * loop.stride[k][i];
      at[i] = 0;
    }
  }
}

// Whether all operands lie alike and without gaps: then one axis says all.
bool Flatten(std::span<const RowInput> inputs, const op::TensorView& output, Loop& loop) {
  if (!output.dense()) return false;
  for (const RowInput& input : inputs) {
    if (input.view == nullptr || input.view->meta.shape.rank() == 0) continue;
    if (!(input.view->meta.shape == output.meta.shape)) return false;
    if (!(input.view->strides == output.strides) && !input.view->dense()) return false;
  }
  for (size_t k = 0; k < inputs.size(); ++k) {
    const op::TensorView* view = inputs[k].view;
    if (view == nullptr || view->meta.shape.rank() == 0) continue;  // repeats
    loop.stride[k][0] = static_cast<int64_t>(DTypeSize(view->meta.dtype));
  }
  loop.stride[kOut][0] = static_cast<int64_t>(DTypeSize(output.meta.dtype));
  loop.size[0] = output.numel();
  return true;
}

// Byte strides of all operands along an axis of the output.
std::array<int64_t, kMaxOperands> StepsAlong(std::span<const RowInput> inputs,
                                             const op::TensorView& output, int axis) {
  std::array<int64_t, kMaxOperands> step{};
  for (size_t k = 0; k < inputs.size(); ++k) {
    const op::TensorView* view = inputs[k].view;
    if (view == nullptr) continue;
    const int own = axis - (output.meta.shape.rank() - view->meta.shape.rank());
    if (own < 0 || view->meta.shape[own] == 1) continue;
    step[k] = view->strides[own] * static_cast<int64_t>(DTypeSize(view->meta.dtype));
  }
  step[kOut] = output.strides[axis] * static_cast<int64_t>(DTypeSize(output.meta.dtype));
  return step;
}

// Axes from the output's largest stride to its smallest, walked upwards in its memory, neighbours
// merged where every operand allows.
void Arrange(std::span<const RowInput> inputs, const op::TensorView& output, Loop& loop) {
  const Shape& shape = output.meta.shape;
  std::array<int64_t, kMaxRank> size{};
  std::array<std::array<int64_t, kMaxOperands>, kMaxRank> steps{};
  int axes = 0;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] == 1) continue;
    auto step = StepsAlong(inputs, output, axis);
    if (step[kOut] < 0) {
      for (int k = 0; k < kMaxOperands; ++k) {
        loop.data[k] += (shape[axis] - 1) * step[k];
        step[k] = -step[k];
      }
    }
    int at = axes++;
    for (; at > 0 && steps[at - 1][kOut] < step[kOut]; --at) {
      steps[at] = steps[at - 1];
      size[at] = size[at - 1];
    }
    steps[at] = step;
    size[at] = shape[axis];
  }
  int used = 0;
  for (int i = 0; i < axes; ++i) {
    bool merge = used > 0;
    for (int k = 0; merge && k < kMaxOperands; ++k)
      merge = loop.stride[k][used - 1] == steps[i][k] * size[i];
    const int at = merge ? used - 1 : used++;
    loop.size[at] = merge ? loop.size[at] * size[i] : size[i];
    for (int k = 0; k < kMaxOperands; ++k) loop.stride[k][at] = steps[i][k];
  }
  loop.rank = std::max(used, 1);
}

// Both operands and the output are stored as they are computed, one operand repeats along the
// innermost axis, and the row has a form for that.
bool TakeRepeating(const RepeatingRows& repeating, std::span<const RowInput> inputs, DType output,
                   Loop& loop) {
  const Row& row = *loop.row;
  const int inner = loop.inner();
  const auto runs = [&](int k, DType stored, DType computed) {
    return stored == computed && loop.stride[k][inner] == static_cast<int64_t>(DTypeSize(stored));
  };
  if (row.arity != 2 || inputs[0].view == nullptr || inputs[1].view == nullptr) return false;
  const DType a = inputs[0].view->meta.dtype, b = inputs[1].view->meta.dtype;
  if (a != row.in[0] || b != row.in[1] || !runs(kOut, output, row.out)) return false;
  if (loop.stride[0][inner] == 0 && runs(1, b, row.in[1])) loop.fn = repeating.first;
  if (loop.stride[1][inner] == 0 && runs(0, a, row.in[0])) loop.fn = repeating.second;
  return loop.fn != nullptr;
}

void ChooseTiles(std::span<const RowInput> inputs, DType output, const DType* storage, Loop& loop) {
  const Row& row = *loop.row;
  const int inner = loop.inner();
  size_t widest = 1;
  bool tiled = false;
  const auto lies = [&](int k, DType stored, DType computed) {
    widest = std::max(widest, DTypeSize(computed));
    const bool once = loop.rank == 1 && loop.size[0] == 1;
    return stored == computed &&
           (once || loop.stride[k][inner] == static_cast<int64_t>(DTypeSize(stored)));
  };
  for (int k = 0; k < row.arity; ++k) {
    const op::TensorView* view = inputs[static_cast<size_t>(k)].view;
    const DType stored = view == nullptr ? row.in[k] : storage ? storage[k] : view->meta.dtype;
    if (lies(k, stored, row.in[k])) continue;
    loop.load[k] = LoaderOf(stored, row.in[k]);
    OFL_CHECK(loop.load[k] != nullptr)
        << "a row of " << DTypeName(row.in[k]) << " was given " << DTypeName(stored);
    tiled = true;
  }
  const DType stored = storage ? storage[row.arity] : output;
  if (!lies(kOut, stored, row.out)) {
    loop.store = StorerOf(row.out, stored);
    OFL_CHECK(loop.store != nullptr)
        << "a row of " << DTypeName(row.out) << " was asked for " << DTypeName(stored);
    tiled = true;
  }
  loop.tile = tiled ? kTileBytes / static_cast<int64_t>(widest) : 0;
}

// A short call whose operands are dense, of one shape, and stored as they are computed: the most
// frequent one, for which laying out a loop costs more than the row.
bool RunDirect(const Row& row, const void* functor, std::span<const RowInput> inputs,
               const op::TensorView& output, int64_t n) {
  if (n > kElementGrain || output.meta.dtype != row.out || !output.dense()) return false;
  const void* in[kMaxRowInputs] = {};
  alignas(64) std::byte tiles[kMaxRowInputs][kTileBytes];
  for (size_t k = 0; k < inputs.size(); ++k) {
    const op::TensorView* view = inputs[k].view;
    if (view == nullptr) {
      const size_t size = DTypeSize(row.in[k]);
      if (n * static_cast<int64_t>(size) > kTileBytes) return false;
      std::memcpy(tiles[k], inputs[k].number, size);
      Splat(tiles[k], size, n);
      in[k] = tiles[k];
      continue;
    }
    if (view->meta.dtype != row.in[k] || !(view->meta.shape == output.meta.shape) ||
        !view->dense()) {
      return false;
    }
    in[k] = view->data;
  }
  row.fn(functor, in, output.data, n);
  return true;
}

void RunRowIn(device::Stream* stream, const Row& row, const void* functor,
              std::span<const RowInput> inputs, const op::TensorView& output, const DType* storage,
              const RepeatingRows& repeating) {
  const int64_t n = output.numel();
  if (n == 0 || (storage == nullptr && RunDirect(row, functor, inputs, output, n))) return;
  Loop loop;
  loop.row = &row;
  loop.functor = functor;
  for (size_t k = 0; k < inputs.size(); ++k) {
    const op::TensorView* view = inputs[k].view;
    loop.data[k] = view ? view->as<std::byte>()
                        : const_cast<std::byte*>(static_cast<const std::byte*>(inputs[k].number));
  }
  loop.data[kOut] = output.as<std::byte>();
  if (!Flatten(inputs, output, loop)) Arrange(inputs, output, loop);
  if (!TakeRepeating(repeating, inputs, output.meta.dtype, loop)) {
    loop.fn = row.fn;
    ChooseTiles(inputs, output.meta.dtype, storage, loop);
  }
  Parallel(stream, n, kElementGrain,
           [&](int64_t begin, int64_t end) { RunRange(loop, begin, end); });
}

}  // namespace

void RunRow(device::Stream* stream, const Row& row, const void* functor,
            std::span<const RowInput> inputs, const op::TensorView& output, const DType* storage) {
  RunRowIn(stream, row, functor, inputs, output, storage, {});
}

Status RunRow(op::KernelContext& c, const Row& row, const void* functor,
              const RepeatingRows& repeating) {
  const RowInput inputs[] = {{&c.inputs[0]}, {&c.inputs[1]}};
  RunRowIn(c.stream, row, functor, inputs, c.outputs[0], nullptr, repeating);
  return Status::Ok();
}

Status RunRow(op::KernelContext& c, const Row& row, const void* functor) {
  std::array<RowInput, kMaxRowInputs> inputs;
  for (int k = 0; k < row.arity; ++k) inputs[static_cast<size_t>(k)].view = &c.inputs[k];
  RunRow(c.stream, row, functor, {inputs.data(), static_cast<size_t>(row.arity)}, c.outputs[0]);
  return Status::Ok();
}

}  // namespace ofl::ops
