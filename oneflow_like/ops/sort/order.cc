#include "oneflow_like/ops/sort/order.h"

#include <algorithm>
#include <cstring>

namespace ofl::ops {
namespace {

constexpr int64_t kTile = 512;

// Keys of a dense row, in as many bits as the elements have.
template <class T>
OFL_SIMD void KeysOfRow(const T* x, int64_t n, uint64_t* keys) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    if constexpr (std::is_same_v<T, float>) {
      const float v = x[i] + 0.0f;  // -0 becomes 0
      const uint32_t bits = std::bit_cast<uint32_t>(v);
      const uint32_t flip = static_cast<uint32_t>(static_cast<int32_t>(bits) >> 31) | 0x80000000u;
      keys[i] = v != v ? 0xffffffffu : bits ^ flip;
    } else if constexpr (std::is_same_v<T, double>) {
      const double v = x[i] + 0.0;
      const uint64_t bits = std::bit_cast<uint64_t>(v);
      const uint64_t flip =
          static_cast<uint64_t>(static_cast<int64_t>(bits) >> 63) | 0x8000000000000000u;
      keys[i] = v != v ? ~uint64_t{0} : bits ^ flip;
    } else if constexpr (sizeof(T) == 4) {
      keys[i] = static_cast<uint32_t>(x[i]) ^ 0x80000000u;
    } else {
      keys[i] = static_cast<uint64_t>(x[i]) ^ 0x8000000000000000u;
    }
  }
}

// Keys of bool are those of the integer of its size.
DType KeyType(DType dtype) { return ComputeTypeOf(dtype == DType::kBool ? DType::kUInt8 : dtype); }

void KeysOfTile(DType type, const void* tile, int64_t n, uint64_t* keys) {
  switch (type) {
    case DType::kFloat32: return KeysOfRow(static_cast<const float*>(tile), n, keys);
    case DType::kFloat64: return KeysOfRow(static_cast<const double*>(tile), n, keys);
    case DType::kInt64: return KeysOfRow(static_cast<const int64_t*>(tile), n, keys);
    default: return KeysOfRow(static_cast<const int32_t*>(tile), n, keys);
  }
}

// Calls body(keys, begin, count) tile by tile.
template <class Body>
void ForKeyTiles(DType dtype, const void* from, int64_t stride, int64_t n, const Body& body) {
  const DType type = KeyType(dtype);
  const LoadFn load = LoaderOf(dtype, type);
  alignas(64) std::byte tile[kTile * 8];
  uint64_t keys[kTile];
  for (int64_t i = 0; i < n; i += kTile) {
    const int64_t count = std::min(kTile, n - i);
    load(static_cast<const std::byte*>(from) + i * stride, stride, tile, count);
    KeysOfTile(type, tile, count, keys);
    body(keys, i, count);
  }
}

uint64_t MaskOf(DType dtype) { return DTypeSize(KeyType(dtype)) == 4 ? 0xffffffffu : ~uint64_t{0}; }

// By digits, the last one first: as many passes as there are digits that differ.
constexpr int kDigitBits = 11;
constexpr int kBuckets = 1 << kDigitBits;
constexpr int64_t kFewEntries = 1024;

template <class Entry, int kKeyBits>
void RadixSort(Entry* entries, Entry* scratch, int64_t n) {
  constexpr int kDigits = (kKeyBits + kDigitBits - 1) / kDigitBits;
  static thread_local uint32_t counts[kDigits][kBuckets];
  static thread_local int64_t starts[kBuckets];
  std::memset(counts, 0, sizeof counts);
  const auto digit = [](const Entry& e, int d) {
    return static_cast<size_t>(KeyOf(e) >> (d * kDigitBits) & (kBuckets - 1));
  };
  for (int64_t i = 0; i < n; ++i)
    for (int d = 0; d < kDigits; ++d) ++counts[d][digit(entries[i], d)];
  Entry *from = entries, *to = scratch;
  for (int d = 0; d < kDigits; ++d) {
    if (counts[d][digit(entries[0], d)] == static_cast<uint64_t>(n)) continue;
    int64_t start = 0;
    for (int b = 0; b < kBuckets; ++b) {
      starts[b] = start;
      start += counts[d][b];
    }
    for (int64_t i = 0; i < n; ++i) to[starts[digit(from[i], d)]++] = from[i];
    std::swap(from, to);
  }
  if (from != entries) std::memcpy(entries, from, static_cast<size_t>(n) * sizeof(Entry));
}

template <class Entry>
void SortFirstOf(Entry* entries, int64_t n, int64_t k) {
  if (k >= n) {
    std::sort(entries, entries + n);
  } else if (k * 32 <= n) {
    // The k first so far as a heap; most of the others are larger than its top.
    std::make_heap(entries, entries + k);
    for (int64_t i = k; i < n; ++i) {
      if (!(entries[i] < entries[0])) continue;
      std::pop_heap(entries, entries + k);
      std::swap(entries[k - 1], entries[i]);
      std::push_heap(entries, entries + k);
    }
    std::sort_heap(entries, entries + k);
  } else {
    std::nth_element(entries, entries + k - 1, entries + n);
    std::sort(entries, entries + k);
  }
}

}  // namespace

bool HasShortEntries(DType dtype, int64_t n) {
  return DTypeSize(KeyType(dtype)) == 4 && n < int64_t{1} << 32;
}

uint64_t NanKey(DType dtype) { return MaskOf(dtype); }

void MakeKeys(DType dtype, const void* from, int64_t stride, int64_t n, bool descending,
              uint64_t* to) {
  const uint64_t flip = descending ? MaskOf(dtype) : 0;
  ForKeyTiles(dtype, from, stride, n, [&](const uint64_t* keys, int64_t begin, int64_t count) {
    for (int64_t i = 0; i < count; ++i) to[begin + i] = keys[i] ^ flip;
  });
}

void MakeEntries(DType dtype, const void* from, int64_t stride, int64_t n, bool descending,
                 ShortEntry* entries) {
  const uint64_t flip = descending ? MaskOf(dtype) : 0;
  ForKeyTiles(dtype, from, stride, n, [&](const uint64_t* keys, int64_t begin, int64_t count) {
    ShortEntry* to = entries + begin;
    for (int64_t i = 0; i < count; ++i)
      to[i] = (keys[i] ^ flip) << 32 | static_cast<uint64_t>(begin + i);
  });
}

void MakeEntries(DType dtype, const void* from, int64_t stride, int64_t n, bool descending,
                 LongEntry* entries) {
  const uint64_t flip = descending ? MaskOf(dtype) : 0;
  ForKeyTiles(dtype, from, stride, n, [&](const uint64_t* keys, int64_t begin, int64_t count) {
    LongEntry* to = entries + begin;
    for (int64_t i = 0; i < count; ++i) to[i] = {keys[i] ^ flip, begin + i};
  });
}

void SortEntries(ShortEntry* entries, ShortEntry* scratch, int64_t n) {
  if (n <= kFewEntries) {
    std::sort(entries, entries + n);
  } else {
    RadixSort<ShortEntry, 32>(entries, scratch, n);
  }
}
void SortEntries(LongEntry* entries, LongEntry* scratch, int64_t n) {
  if (n <= kFewEntries) {
    std::sort(entries, entries + n);
  } else {
    RadixSort<LongEntry, 64>(entries, scratch, n);
  }
}

void SortFirst(ShortEntry* entries, int64_t n, int64_t k) { SortFirstOf(entries, n, k); }
void SortFirst(LongEntry* entries, int64_t n, int64_t k) { SortFirstOf(entries, n, k); }

op::TensorView WithAxis(const op::TensorView& view, int axis, int rank) {
  op::TensorView wide = view;
  if (view.meta.shape.rank() == rank || axis < 0) return wide;
  wide.meta.shape.insert(axis, 1);
  wide.strides.insert(axis, 0);
  return wide;
}

int64_t OrderScratch(const TensorMeta& x, int axis, int threads) {
  const int64_t n = axis < 0 ? 1 : x.shape[axis];
  if (n == 0 || x.shape.numel() == 0) return 0;
  const int64_t rows = std::min<int64_t>(x.shape.numel() / n, std::max(threads, 1));
  const size_t size = HasShortEntries(x.dtype, n) ? sizeof(ShortEntry) : sizeof(LongEntry);
  return rows * n * 2 * static_cast<int64_t>(size);
}

int OrderAxis(const Attrs& attrs, const Shape& shape) {
  return shape.rank() == 0 ? -1 : AxisAttr(attrs, "dim", shape.rank());
}

int64_t OrderScratchAlong(std::span<const TensorMeta> in, std::span<const TensorMeta>,
                          const Attrs& attrs, int threads) {
  return OrderScratch(in[0], OrderAxis(attrs, in[0].shape), threads);
}

std::string OrderRule(const Shape& in, const Shape& out, int axis, int results) {
  std::string from, to;
  for (int i = 0; i < in.rank(); ++i) {
    const std::string label = i == axis ? "! " : "a" + std::to_string(i) + " ";
    from += label;
    if (i != axis || out.rank() == in.rank()) to += label;
  }
  std::string text = "(" + from + ")->(" + to + ")";
  for (int i = 1; i < results; ++i) text += ",(" + to + ")";
  return text;
}

void GradChosen(op::GradContext& c) {
  if (c.grads[0] == nullptr) return;
  op::Builder& b = c.b;
  const Shape& shape = c.inputs[0]->meta().shape;
  if (shape.rank() == 0) {
    c.Set(0, c.grads[0]);
    return;
  }
  const int axis = OrderAxis(c.attrs, shape);
  op::Value grad = c.grads[0], index = c.outputs[1];
  if (grad->meta().shape.rank() < shape.rank()) {
    const Attrs at = {{"dim", int64_t{axis}}};
    grad = b.Call("unsqueeze", {grad}, at);
    index = b.Call("unsqueeze", {index}, at);
  }
  c.Set(0, b.Call("gather_grad", {grad, index}, {{"dim", int64_t{axis}}, {"size", shape[axis]}}));
}

Status CheckOrdered(const op::InferContext& c, DTypeSet set, int* axis) {
  OFL_TRY(RequireIn(c, 0, set));
  const int rank = c.input(0).shape.rank();
  OFL_ASSIGN(*axis, NormalizeAxis(c.attr<int64_t>("dim"), rank));
  if (rank == 0) *axis = -1;
  return Status::Ok();
}

}  // namespace ofl::ops
