#include "oneflow_like/ops/reduce/reducer.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "oneflow_like/core/integers.h"
#include "oneflow_like/ops/kernel_util.h"

namespace ofl::ops {
namespace {

// Outputs that are combined side by side, and elements of each that a tile holds: what is on the
// stack fits the first cache.
constexpr int64_t kBlock = kRowGroup;
constexpr int64_t kTileBytes = 1024;  // of one row
constexpr int64_t kRowBytes = kTileBytes + 64;
constexpr int64_t kColumns = 512;   // the most outputs of a row that accumulate at once
constexpr size_t kMaxElement = 16;  // complex128

struct Axis {
  int64_t size = 1, in = 0, out = 0;  // strides in bytes
};
// A row-major walk over some axes.
struct Axes {
  std::array<Axis, kMaxRank> axis;
  int count = 0;
  int64_t total = 1;
  const Axis& last() const { return axis[static_cast<size_t>(count - 1)]; }
  void Add(const Axis& next) {
    total *= next.size;
    if (count > 0) {
      Axis& before = axis[static_cast<size_t>(count - 1)];
      if (before.in == next.in * next.size && before.out == next.out * next.size) {
        before = {before.size * next.size, next.in, next.out};
        return;
      }
    }
    axis[static_cast<size_t>(count++)] = next;
  }
  // Byte offsets of position `at` in the input and in the output.
  Axis Offset(int64_t at) const {
    Axis offset;
    for (int i = count - 1; i >= 0 && at > 0; --i) {
      const Axis& a = axis[static_cast<size_t>(i)];
      offset.in += at % a.size * a.in;
      offset.out += at % a.size * a.out;
      at /= a.size;
    }
    return offset;
  }
};

struct Loop {
  const Reducer* reducer;
  Finish how;
  bool inner_reduced = false;
  Axes inner;    // the innermost axes of one kind
  Axes kept;     // the other kept ones
  Axes reduced;  // the other reduced ones
  const std::byte* x = nullptr;
  std::byte* y = nullptr;
  int64_t in_size = 1;      // bytes of an element that is computed with
  LoadFn load = nullptr;    // null: rows are read where they lie
  StoreFn store = nullptr;  // null: outputs are finished where they lie
};

using TileRow = std::byte[kRowBytes];
struct Tiles {
  alignas(64) TileRow rows[kBlock];
  alignas(64) std::byte lanes[kBlock][kLanes * kMaxElement];
};

int64_t Magnitude(int64_t stride) { return stride < 0 ? -stride : stride; }

// Calls body(offset, position, n) for stretches of [begin, begin + n) along the last axis.
template <class Body>
void ForStretches(const Axes& axes, int64_t begin, int64_t n, const Body& body) {
  for (int64_t done = 0; done < n;) {
    const int64_t row = axes.count == 0 ? 1 : axes.last().size;
    const int64_t count = std::min(row - (begin + done) % row, n - done);
    body(axes.Offset(begin + done), done, count);
    done += count;
  }
}

// Elements [begin, begin + n) of the inner axes, dense in `row`.
void LoadRow(const Loop& loop, const std::byte* x, int64_t begin, int64_t n, std::byte* row) {
  ForStretches(loop.inner, begin, n, [&](const Axis& offset, int64_t done, int64_t count) {
    const int64_t stride = loop.inner.count == 0 ? 0 : loop.inner.last().in;
    loop.load(x + offset.in, stride, row + done * loop.in_size, count);
  });
}

template <class T>
void Scatter(const std::byte* from, TileRow* rows, int64_t column, int64_t n) {
  const T* x = reinterpret_cast<const T*>(from);
  for (int64_t b = 0; b < n; ++b) reinterpret_cast<T*>(rows[b])[column] = x[b];
}

// Where memory runs across the rows: elements [begin, begin + n) of `count` rows `step` bytes
// apart, read along the memory and turned.
void LoadAcross(const Loop& loop, const std::byte* x, int64_t step, int64_t count, int64_t begin,
                int64_t n, TileRow* rows) {
  struct Wide {
    uint64_t low, high;
  };
  alignas(16) std::byte column[kBlock * kMaxElement];
  for (int64_t i = 0; i < n; ++i) {
    loop.load(x + (begin + i) * loop.inner.last().in, step, column, count);
    switch (loop.in_size) {
      case 1: Scatter<uint8_t>(column, rows, i, count); break;
      case 4: Scatter<uint32_t>(column, rows, i, count); break;
      case 8: Scatter<uint64_t>(column, rows, i, count); break;
      default: Scatter<Wide>(column, rows, i, count); break;
    }
  }
}

bool RunsAcross(const Loop& loop, const Axes& rows) {
  return loop.load != nullptr && loop.inner.count == 1 && rows.count > 0 &&
         Magnitude(rows.last().in) < Magnitude(loop.inner.last().in);
}

// One part of a run after another into one accumulator.
void RunParts(const Loop& loop, const std::byte* x, int64_t begin, int64_t n, int64_t position,
              std::byte* acc, Tiles& tiles) {
  if (loop.load == nullptr) {
    loop.reducer->run(acc, tiles.lanes[0], x + begin * loop.in_size, n, position, true, true);
    return;
  }
  const int64_t tile = kTileBytes / loop.in_size;
  for (int64_t at = 0; at == 0 || at < n; at += tile) {
    const int64_t count = std::min(tile, n - at);
    LoadRow(loop, x, begin + at, count, tiles.rows[0]);
    loop.reducer->run(acc, tiles.lanes[0], tiles.rows[0], count, position + at, at == 0,
                      at + count == n);
  }
}

// The same for `count` neighbouring runs, `step` bytes apart, that lie across the memory.
void RunPartsAcross(const Loop& loop, const std::byte* x, int64_t step, int64_t count,
                    int64_t position, std::byte* acc, Tiles& tiles) {
  const int64_t n = loop.inner.total, tile = kTileBytes / loop.in_size;
  for (int64_t at = 0; at == 0 || at < n; at += tile) {
    const int64_t width = std::min(tile, n - at);
    LoadAcross(loop, x, step, count, at, width, tiles.rows);
    for (int64_t b = 0; b < count; ++b) {
      loop.reducer->run(acc + b * static_cast<int64_t>(loop.reducer->acc_size), tiles.lanes[b],
                        tiles.rows[b], width, position + at, at == 0, at + width == n);
    }
  }
}

void Write(const Loop& loop, const std::byte* acc, std::byte* y, int64_t stride, int64_t n) {
  if (loop.store == nullptr) {
    loop.reducer->finish(acc, loop.how, y, n);
    return;
  }
  alignas(16) std::byte row[kColumns * kMaxElement];
  loop.reducer->finish(acc, loop.how, row, n);
  loop.store(row, y, stride, n);
}

// Outputs [begin, end), each from runs of the inner axes.
void ReduceRuns(const Loop& loop, int64_t begin, int64_t end) {
  const Reducer& r = *loop.reducer;
  const int64_t acc_size = static_cast<int64_t>(r.acc_size);
  const Axis last = loop.kept.count == 0 ? Axis{} : loop.kept.last();
  const bool across = RunsAcross(loop, loop.kept);
  const bool brief =
      loop.load == nullptr && r.short_runs != nullptr && loop.inner.total <= kShortRun;
  alignas(16) std::byte acc[kBlock * kMaxAccumulator];
  Tiles tiles;
  for (int64_t k = begin; k < end;) {
    const int64_t n = std::min({kBlock, last.size - k % last.size, end - k});
    const Axis at = loop.kept.Offset(k);
    r.clear(acc, n);
    for (int64_t i = 0; i < loop.reduced.total; ++i) {
      const std::byte* x = loop.x + at.in + loop.reduced.Offset(i).in;
      const int64_t position = i * loop.inner.total;
      if (across) {
        RunPartsAcross(loop, x, last.in, n, position, acc, tiles);
      } else if (brief) {
        r.short_runs(acc, x, last.in, n, loop.inner.total);
      } else {
        for (int64_t b = 0; b < n; ++b)
          RunParts(loop, x + b * last.in, 0, loop.inner.total, position, acc + b * acc_size, tiles);
      }
    }
    Write(loop, acc, loop.y + at.out, last.out, n);
    k += n;
  }
}

// A single output over one long run: blocks of a fixed size on several threads.
void ReduceLong(device::Stream* stream, const Loop& loop) {
  constexpr int64_t kMaxBlocks = 256;
  constexpr int64_t kMinBlock = 32768;
  const int64_t n = loop.inner.total, acc_size = static_cast<int64_t>(loop.reducer->acc_size);
  const int64_t block = std::max((n + kMaxBlocks - 1) / kMaxBlocks, kMinBlock);
  const int64_t blocks = (n + block - 1) / block;
  alignas(16) std::byte partial[kMaxBlocks * kMaxAccumulator];
  loop.reducer->clear(partial, blocks);
  Parallel(stream, blocks, 1, [&](int64_t begin, int64_t end) {
    Tiles tiles;
    for (int64_t i = begin; i < end; ++i)
      RunParts(loop, loop.x, i * block, std::min(block, n - i * block), i * block,
               partial + i * acc_size, tiles);
  });
  alignas(16) std::byte acc[kMaxAccumulator];
  loop.reducer->clear(acc, 1);
  for (int64_t i = 0; i < blocks; ++i) loop.reducer->join(acc, partial + i * acc_size);
  Write(loop, acc, loop.y, 0, 1);
}

// Rows [first, first + n) of the reduced axes, from column `column` on, as rows of the tile.
void LoadRows(const Loop& loop, const std::byte* x, int64_t first, int64_t n, int64_t column,
              int64_t width, Tiles& tiles) {
  if (loop.load != nullptr && RunsAcross(loop, loop.reduced)) {
    ForStretches(loop.reduced, first, n, [&](const Axis& offset, int64_t done, int64_t count) {
      LoadAcross(loop, x + offset.in, loop.reduced.last().in, count, column, width,
                 tiles.rows + done);
    });
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    const std::byte* row = x + loop.reduced.Offset(first + i).in;
    if (loop.load != nullptr) {
      LoadRow(loop, row, column, width, tiles.rows[i]);
    } else {
      std::memcpy(tiles.rows[i], row + column * loop.in_size,
                  static_cast<size_t>(width * loop.in_size));
    }
  }
}

// The rows [0, loop.reduced.total) of `width` outputs from `column` on. The groups depend on sizes
// alone, so that what a reducer makes of a group does not depend on strides.
void JoinRows(const Loop& loop, const std::byte* x, int64_t column, int64_t width, std::byte* acc,
              Tiles& tiles) {
  const Axes& reduced = loop.reduced;
  for (int64_t i = 0; i < reduced.total; i += kBlock) {
    const int64_t n = std::min(kBlock, reduced.total - i);
    const Axis last = reduced.count == 0 ? Axis{} : reduced.last();
    if (loop.load == nullptr && i % last.size + n <= last.size) {
      loop.reducer->rows(acc, x + reduced.Offset(i).in + column * loop.in_size, last.in, n, width,
                         i);
      continue;
    }
    LoadRows(loop, x, i, n, column, width, tiles);
    loop.reducer->rows(acc, tiles.rows, kRowBytes, n, width, i);
  }
}

// Columns that accumulate at once: no more than a row of the tile holds, where one is used.
int64_t ColumnsOf(const Loop& loop) {
  const bool tiled = loop.load != nullptr || loop.reduced.count > 1;
  return tiled ? std::min(kColumns, kTileBytes / loop.in_size) : kColumns;
}

// Rows of outputs: tiles [begin, end) of columns, so that the accumulators stay in cache.
void ReduceRows(const Loop& loop, int64_t begin, int64_t end) {
  const int64_t columns = ColumnsOf(loop);
  const int64_t tiles_of_row = (loop.inner.total + columns - 1) / columns;
  const int64_t acc_size = static_cast<int64_t>(loop.reducer->acc_size);
  alignas(64) std::byte acc[kColumns * kMaxAccumulator];
  Tiles tiles;
  for (int64_t t = begin; t < end; ++t) {
    const int64_t column = t % tiles_of_row * columns;
    const int64_t width = std::min(columns, loop.inner.total - column);
    const Axis at = loop.kept.Offset(t / tiles_of_row);
    loop.reducer->clear(acc, width);
    JoinRows(loop, loop.x + at.in, column, width, acc, tiles);
    ForStretches(loop.inner, column, width, [&](const Axis& offset, int64_t done, int64_t n) {
      const int64_t stride = loop.inner.count == 0 ? 0 : loop.inner.last().out;
      Write(loop, acc + done * acc_size, loop.y + at.out + offset.out, stride, n);
    });
  }
}

Loop Arrange(const op::TensorView& in, const op::TensorView& out, const ReducedAxes& axes) {
  const Shape& shape = in.meta.shape;
  const auto in_size = static_cast<int64_t>(DTypeSize(in.meta.dtype));
  const auto out_size = static_cast<int64_t>(DTypeSize(out.meta.dtype));
  Loop loop{};
  int inner = shape.rank();  // the first of the innermost axes
  bool found = false;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    if (shape[i] == 1) continue;
    if (found && axes.reduce[static_cast<size_t>(i)] != loop.inner_reduced) break;
    loop.inner_reduced = axes.reduce[static_cast<size_t>(i)];
    found = true;
    inner = i;
  }
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] == 1) continue;
    const bool reduced = axes.reduce[static_cast<size_t>(i)];
    const Axis axis = {shape[i], in.strides[i] * in_size,
                       reduced ? 0 : out.strides[axes.output[static_cast<size_t>(i)]] * out_size};
    (i >= inner ? loop.inner : reduced ? loop.reduced : loop.kept).Add(axis);
  }
  if (in.numel() == 0) loop.reduced.total = 0;
  loop.x = in.as<std::byte>();
  loop.y = out.as<std::byte>();
  return loop;
}

// Narrow integers hold less than what is computed in.
void SetBounds(DType stored, Finish& how) {
  if (IsInteger(stored) || stored == DType::kBool) std::tie(how.low, how.high) = BoundsOf(stored);
}

}  // namespace

ReducedAxes AxesOf(const Attrs& attrs, int rank, bool keepdim) {
  const auto& dims = attrs.Get<std::vector<int64_t>>("dim");
  ReducedAxes axes;
  if (dims.empty()) axes.reduce.fill(true);
  for (int64_t d : dims)
    if (rank > 0) axes.reduce[static_cast<size_t>(d < 0 ? d + rank : d)] = true;
  for (int i = 0, out = 0; i < rank; ++i) {
    axes.output[static_cast<size_t>(i)] = out;
    if (keepdim || !axes.reduce[static_cast<size_t>(i)]) ++out;
  }
  return axes;
}

Shape ReducedShape(const Shape& input, const ReducedAxes& axes, bool keepdim) {
  Shape out;
  for (int i = 0; i < input.rank(); ++i) {
    const bool reduced = axes.reduce[static_cast<size_t>(i)];
    if (!reduced) out.push_back(input[i]);
    if (reduced && keepdim) out.push_back(1);
  }
  return out;
}

void Reduce(device::Stream* stream, const op::TensorView& in, const op::TensorView& out,
            const Reducer& reducer, const ReducedAxes& axes, const Finish& how) {
  if (out.numel() == 0) return;
  Loop loop = Arrange(in, out, axes);
  loop.reducer = &reducer;
  loop.how = how;
  loop.how.half = IsHalf(out.meta.dtype);
  SetBounds(out.meta.dtype, loop.how);
  loop.in_size = static_cast<int64_t>(DTypeSize(reducer.in));
  const Axes& inner = loop.inner;
  const bool dense = inner.count == 0 || (inner.count == 1 && inner.last().in == loop.in_size);
  if (in.meta.dtype != reducer.in) {
    loop.load = LoaderOf(in.meta.dtype, reducer.in);
  } else if (!dense) {  // as they are: reducers read any byte of a bool
    loop.load = LoaderOf(BitsOf(reducer.in), BitsOf(reducer.in));
  }
  const Axes& written = loop.inner_reduced || inner.count == 0 ? loop.kept : inner;
  const auto out_size = static_cast<int64_t>(DTypeSize(reducer.out));
  const bool fits = written.count == 0 || written.last().out == out_size;
  if (out.meta.dtype == reducer.out) {
    if (!fits) loop.store = StorerOf(reducer.out, reducer.out);
  } else {
    loop.store = StorerOf(reducer.out, out.meta.dtype);
  }
  if (loop.inner_reduced || inner.count == 0) {
    if (loop.kept.total == 1 && loop.reduced.total == 1) {
      ReduceLong(stream, loop);
    } else {
      Parallel(stream, loop.kept.total, RowGrain(inner.total * loop.reduced.total),
               [&](int64_t begin, int64_t end) { ReduceRuns(loop, begin, end); });
    }
    return;
  }
  const int64_t columns = ColumnsOf(loop);
  const int64_t tiles = (inner.total + columns - 1) / columns;
  Parallel(stream, loop.kept.total * tiles, RowGrain(columns * loop.reduced.total),
           [&](int64_t begin, int64_t end) { ReduceRows(loop, begin, end); });
}

Status Reduce(op::KernelContext& c, const Reducer& reducer, const ReducedAxes& axes,
              double divisor) {
  Reduce(c.stream, c.inputs[0], c.outputs[0], reducer, axes, {.divisor = divisor});
  return Status::Ok();
}

}  // namespace ofl::ops
