#include "oneflow_like/ops/move/copy.h"

#include <algorithm>
#include <cstdlib>

#include "device/cpu/simd.h"

namespace ofl::ops {
namespace {

// Rows of a plane that are handled together; the side of a tile where rows of one side are columns
// of the other, so that the lines of both stay in cache.
constexpr int64_t kTile = 16;
// Columns that are so few that a row is not worth a loop: the loop runs down the columns.
constexpr int64_t kFew = 8, kTallTile = 256;
constexpr int64_t kChunkBytes = 64 * 1024;

// Parallel, on the calling thread alone without a stream.
template <class Body>
void Share(device::Stream* stream, int64_t n, int64_t grain, const Body& body) {
  if (stream == nullptr) return body(int64_t{0}, n);
  Parallel(stream, n, grain, body);
}

// Axes of size 1 dropped, walked upwards in the target's memory from its largest stride to its
// smallest, and neighbours that stay together merged: most copies become one to four axes, the
// last of them often a run of contiguous bytes. Strides in bytes.
struct Loops {
  int rank = 0;
  std::array<int64_t, kMaxRank> size{}, from{}, to{};
  const std::byte* source = nullptr;
  std::byte* target = nullptr;
};

struct Axis {
  int64_t size, from, to;
};

Loops LoopsOf(const Shape& shape, const std::byte* source, const Strides& from, std::byte* target,
              const Strides& to, int64_t element) {
  std::array<Axis, kMaxRank> axes{};
  int count = 0;
  Loops loops;
  loops.source = source;
  loops.target = target;
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] == 1) continue;
    Axis axis{shape[i], from[i] * element, to[i] * element};
    if (axis.to < 0) {
      loops.source += (axis.size - 1) * axis.from;
      loops.target += (axis.size - 1) * axis.to;
      axis.from = -axis.from;
      axis.to = -axis.to;
    }
    int at = count++;
    for (; at > 0 && axes[at - 1].to < axis.to; --at) axes[at] = axes[at - 1];
    axes[at] = axis;
  }
  for (int i = 0; i < count; ++i) {
    const Axis& axis = axes[i];
    const int last = loops.rank - 1;
    if (last >= 0 && loops.from[last] == axis.from * axis.size &&
        loops.to[last] == axis.to * axis.size) {
      loops.size[last] *= axis.size;
      loops.from[last] = axis.from;
      loops.to[last] = axis.to;
      continue;
    }
    loops.size[loops.rank] = axis.size;
    loops.from[loops.rank] = axis.from;
    loops.to[loops.rank++] = axis.to;
  }
  return loops;
}

// Where the source does not run along the last axis, the axis along which it does comes before it:
// the plane of the two is copied in tiles.
void PairForTiles(Loops& loops, int64_t element) {
  const int last = loops.rank - 1;
  if (last < 2 || std::abs(loops.from[last]) <= element) return;
  int best = last - 1;
  for (int i = last - 1; i >= 0; --i) {
    const int64_t stride = std::abs(loops.from[i]), known = std::abs(loops.from[best]);
    if (stride != 0 && (known == 0 || stride < known)) best = i;
  }
  const auto rotate = [&](std::array<int64_t, kMaxRank>& of) {
    std::rotate(of.begin() + best, of.begin() + best + 1, of.begin() + last);
  };
  rotate(loops.size);
  rotate(loops.from);
  rotate(loops.to);
}

// y[j] = x[-j]
template <class T>
OFL_SIMD void CopyBackwards(const T* x, T* y, int64_t n) {
#pragma GCC ivdep
  for (int64_t j = 0; j < n; ++j) y[j] = x[-j];
}

// `n` elements along one axis.
template <class T>
void CopyRow(const std::byte* source, int64_t from, std::byte* target, int64_t to, int64_t n) {
  constexpr int64_t kElement = sizeof(T);
  if (to == kElement && from == kElement) {
    std::memcpy(target, source, n * kElement);
    return;
  }
  if (to == kElement) {
    T* y = reinterpret_cast<T*>(target);
    if (from == 0) {
      std::fill(y, y + n, *reinterpret_cast<const T*>(source));
      return;
    }
    if (from == -kElement) {
      CopyBackwards(reinterpret_cast<const T*>(source), y, n);
      return;
    }
    for (int64_t j = 0; j < n; ++j) y[j] = *reinterpret_cast<const T*>(source + j * from);
    return;
  }
  if (from == kElement) {  // worth a loop of its own: columns of a plane
    const T* x = reinterpret_cast<const T*>(source);
    for (int64_t j = 0; j < n; ++j) *reinterpret_cast<T*>(target + j * to) = x[j];
    return;
  }
  for (int64_t j = 0; j < n; ++j)
    *reinterpret_cast<T*>(target + j * to) = *reinterpret_cast<const T*>(source + j * from);
}

// Rows [first, last) of a plane whose columns lie `from` and `to` apart.
template <class T>
void CopyTiles(const Loops& loops, const std::byte* source, std::byte* target, int64_t first,
               int64_t last) {
  const int row = loops.rank - 2, column = loops.rank - 1;
  const int64_t from_row = loops.from[row], to_row = loops.to[row];
  const int64_t from = loops.from[column], to = loops.to[column], width = loops.size[column];
  for (int64_t j0 = 0; j0 < width; j0 += kTile) {
    const int64_t n = std::min(kTile, width - j0);
    for (int64_t i = first; i < last; ++i)
      CopyRow<T>(source + i * from_row + j0 * from, from, target + i * to_row + j0 * to, to, n);
  }
}

// The same, column by column.
template <class T>
void CopyColumns(const Loops& loops, const std::byte* source, std::byte* target, int64_t first,
                 int64_t last) {
  const int row = loops.rank - 2, column = loops.rank - 1;
  source += first * loops.from[row];
  target += first * loops.to[row];
  for (int64_t j = 0; j < loops.size[column]; ++j)
    CopyRow<T>(source + j * loops.from[column], loops.from[row], target + j * loops.to[column],
               loops.to[row], last - first);
}

// Bytes from the first element to the one at row-major index `plane` of all axes but the last two.
int64_t OffsetOf(const Loops& loops, const std::array<int64_t, kMaxRank>& strides, int64_t plane) {
  int64_t offset = 0;
  for (int i = loops.rank - 3; i >= 0; --i) {
    offset += plane % loops.size[i] * strides[i];
    plane /= loops.size[i];
  }
  return offset;
}

template <class T>
void CopyLine(device::Stream* stream, const Loops& loops) {
  const int64_t from = loops.from[0], to = loops.to[0];
  Share(stream, loops.size[0], kChunkBytes / static_cast<int64_t>(sizeof(T)),
        [&](int64_t begin, int64_t end) {
          CopyRow<T>(loops.source + begin * from, from, loops.target + begin * to, to, end - begin);
        });
}

template <class T>
void CopyPlanes(device::Stream* stream, const Loops& loops) {
  const int row = loops.rank - 2, column = loops.rank - 1;
  const int64_t height = loops.size[row], width = loops.size[column];
  const bool runs = loops.from[column] == sizeof(T) && loops.to[column] == sizeof(T);
  // Rows of the source that repeat, and runs, gain nothing from tiles.
  const int64_t along = std::abs(loops.from[row]);
  const bool tiles = !runs && along != 0 && along < std::abs(loops.from[column]);
  const bool down = width < kFew && height > width;
  const int64_t tall = down ? kTallTile : kTile;
  int64_t planes = 1;
  for (int i = 0; i < row; ++i) planes *= loops.size[i];
  const int64_t bands = (height + tall - 1) / tall;
  const int64_t cost = runs ? width * static_cast<int64_t>(sizeof(T)) / 8 + 4 : width;
  Share(stream, planes * bands, RowGrain(tall * cost), [&](int64_t begin, int64_t end) {
    const std::byte* source = nullptr;
    std::byte* target = nullptr;
    for (int64_t b = begin; b < end; ++b) {
      const int64_t plane = b / bands, first = b % bands * tall;
      if (b == begin || first == 0) {
        source = loops.source + OffsetOf(loops, loops.from, plane);
        target = loops.target + OffsetOf(loops, loops.to, plane);
      }
      const int64_t last = std::min(first + tall, height);
      if (down) {
        CopyColumns<T>(loops, source, target, first, last);
        continue;
      }
      if (tiles) {
        CopyTiles<T>(loops, source, target, first, last);
        continue;
      }
      for (int64_t i = first; i < last; ++i)
        CopyRow<T>(source + i * loops.from[row], loops.from[column], target + i * loops.to[row],
                   loops.to[column], width);
    }
  });
}

}  // namespace

op::TensorView ViewOf(const op::TensorView& base, const op::ViewGeometry& geometry) {
  void* data = geometry.shape.numel() == 0
                   ? nullptr
                   : base.as<std::byte>() + geometry.offset * ElementSize(base);
  return {data, {base.meta.dtype, geometry.shape}, geometry.strides};
}

op::Values Refused(op::Builder& b, Status status) {
  b.Fail(std::move(status));
  return {nullptr};
}

std::vector<op::Sample> InEveryDType(std::vector<op::Sample> samples) {
  const op::Sample first = samples.front();
  for (DType dtype : AllDTypes()) {
    if (dtype == first.inputs[0].dtype) continue;
    samples.push_back(first);
    for (TensorMeta& meta : samples.back().inputs) meta.dtype = dtype;
  }
  return samples;
}

op::Value Assigned(op::Builder& b, const op::Value& base, const op::Value& value,
                   const Shape& view) {
  op::Value assigned = value;
  if (value->meta().dtype != base->meta().dtype)
    assigned = b.Call("cast", {assigned}, {{"dtype", base->meta().dtype}});
  if (value->meta().shape != view && assigned != nullptr)
    assigned = b.Call("broadcast_to", {assigned}, {{"shape", DimsOf(view)}});
  return assigned;
}

Status RequireDifferentiable(const op::InferContext& c, int i, const char* what) {
  const DType d = c.input(i).dtype;
  OFL_ENSURE(IsDifferentiable(d) && !IsFloat8(d), Code::kTypeMismatch)
      << what << " must be floating point; expected float32, float64, float16, bfloat16 or complex";
  return Status::Ok();
}

Strides Without(Strides strides, int axis) {
  strides[axis] = 0;
  return strides;
}

void CopyBox(device::Stream* stream, const op::TensorView& from, const op::TensorView& to) {
  if (to.numel() == 0 || from.data == to.data) return;
  const int64_t element = ElementSize(to);
  Loops loops = LoopsOf(to.meta.shape, from.as<std::byte>(), from.strides, to.as<std::byte>(),
                        to.strides, element);
  PairForTiles(loops, element);
  WithBits(element, [&](auto bits) {
    using T = decltype(bits);
    if (loops.rank == 0) {
      std::memcpy(loops.target, loops.source, sizeof(T));
    } else if (loops.rank == 1) {
      CopyLine<T>(stream, loops);
    } else {
      CopyPlanes<T>(stream, loops);
    }
  });
}

void ZeroBox(device::Stream* stream, const op::TensorView& to) {
  static constexpr Bits128 kZero{0, 0};
  Strides still = to.strides;
  for (int i = 0; i < still.rank(); ++i) still[i] = 0;
  CopyBox(stream, {const_cast<Bits128*>(&kZero), to.meta, still}, to);
}

}  // namespace ofl::ops
