// Rows along an axis in the order of their elements.
//
// An element becomes a key, a whole number that is ordered as the elements are: NaN is the
// largest, both zeros are equal. With its index behind it, it is an entry: entries are all
// different, so that every algorithm on them is stable and knows no dtype.
#pragma once

#include <bit>

#include "oneflow_like/ops/move/copy.h"
#include "oneflow_like/ops/nn/rows.h"
#include "oneflow_like/ops/reduce/reduction.h"

namespace ofl::ops {

// Of dtypes of up to 32 bits, in rows of fewer than 2^32 elements: the key above the index.
using ShortEntry = uint64_t;
struct LongEntry {
  uint64_t key;
  int64_t index;
  bool operator<(const LongEntry& o) const { return key != o.key ? key < o.key : index < o.index; }
};
inline uint64_t KeyOf(ShortEntry e) { return e >> 32; }
inline int64_t IndexOf(ShortEntry e) { return static_cast<int64_t>(e & 0xffffffffu); }
inline uint64_t KeyOf(const LongEntry& e) { return e.key; }
inline int64_t IndexOf(const LongEntry& e) { return e.index; }

bool HasShortEntries(DType dtype, int64_t n);
// The keys of `n` elements `stride` bytes apart; of descending order.
void MakeKeys(DType dtype, const void* from, int64_t stride, int64_t n, bool descending,
              uint64_t* keys);
// The key of NaN in ascending order, where the dtype has one.
uint64_t NanKey(DType dtype);

void MakeEntries(DType dtype, const void* from, int64_t stride, int64_t n, bool descending,
                 ShortEntry* entries);
void MakeEntries(DType dtype, const void* from, int64_t stride, int64_t n, bool descending,
                 LongEntry* entries);
// `scratch` holds as many.
void SortEntries(ShortEntry* entries, ShortEntry* scratch, int64_t n);
void SortEntries(LongEntry* entries, LongEntry* scratch, int64_t n);
// The `k` first ones stand at the front, in order.
void SortFirst(ShortEntry* entries, int64_t n, int64_t k);
void SortFirst(LongEntry* entries, int64_t n, int64_t k);

// A view with an axis of size 1 at `axis`, where it has one axis less than `rank`.
op::TensorView WithAxis(const op::TensorView& view, int axis, int rank);

// One row of input 0 and where its results go.
struct OrderedRow {
  const std::byte* x;  // the first element
  int64_t stride;      // in bytes
  int64_t n;
  std::array<int64_t, 3> at;  // where the row starts in the operands, in elements
};

// Calls body(row, entries, scratch) for each row along `axis` (-1: the tensor without axes is one),
// several at once; both hold n entries. `operands` are input 0 and results that lie row by row
// beside it. kOrderScratch says the bytes of workspace.
template <class Body>
void ForOrderedRows(op::KernelContext& c, std::initializer_list<const op::TensorView*> operands,
                    int axis, const Body& body) {
  const op::TensorView& x = **operands.begin();
  if (x.numel() == 0) return;
  const RowStarts starts(operands, axis);
  const int64_t n = starts.length(), rows = starts.rows();
  const auto size = static_cast<int64_t>(DTypeSize(x.meta.dtype));
  const int64_t chunks = std::min<int64_t>(rows, std::max(c.stream->threads(), 1));
  const auto each = [&](auto* entries) {
    Parallel(c.stream, chunks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t chunk = begin; chunk < end; ++chunk) {
        auto* own = entries + chunk * 2 * n;
        for (int64_t r = rows * chunk / chunks; r < rows * (chunk + 1) / chunks; ++r) {
          const auto at = starts.Of(r);
          const OrderedRow row{x.as<std::byte>() + at[0] * size, starts.stride(0) * size, n, at};
          body(row, own, own + n);
        }
      }
    });
  };
  if (HasShortEntries(x.meta.dtype, n)) {
    each(reinterpret_cast<ShortEntry*>(c.workspace.data()));
  } else {
    each(reinterpret_cast<LongEntry*>(c.workspace.data()));
  }
}
int64_t OrderScratch(const TensorMeta& x, int axis, int threads);
// Of the axis that an attribute `dim` names.
int64_t OrderScratchAlong(std::span<const TensorMeta> in, std::span<const TensorMeta> out,
                          const Attrs& attrs, int threads);

// The axis of an attribute `dim`; -1 of a tensor without axes.
int OrderAxis(const Attrs& attrs, const Shape& shape);

// Copies elements of a row, chosen by index, to `count` places of a result.
template <class Entry>
void WriteChosen(const OrderedRow& row, const Entry* entries, int64_t count,
                 const op::TensorView& values, int64_t at, int64_t stride) {
  WithBits(ElementSize(values), [&](auto bits) {
    using Bits = decltype(bits);
    Bits* to = values.as<Bits>() + at;
    for (int64_t i = 0; i < count; ++i)
      to[i * stride] = *reinterpret_cast<const Bits*>(row.x + IndexOf(entries[i]) * row.stride);
  });
}
template <class Entry>
void WriteIndices(const Entry* entries, int64_t count, const op::TensorView& indices, int64_t at,
                  int64_t stride) {
  int64_t* to = indices.as<int64_t>() + at;
  for (int64_t i = 0; i < count; ++i) to[i * stride] = IndexOf(entries[i]);
}

// "(a0 ! a2)->(a0 ! a2),(a0 ! a2)": the axis is whole, and in `results` results stays, becomes
// size 1 or goes.
std::string OrderRule(const Shape& in, const Shape& out, int axis, int results);
// The gradient of values that were chosen by the indices of result 1 along `dim`.
void GradChosen(op::GradContext& c);

// kOutOfRange, kTypeMismatch of `dim` and of dtypes without an order.
Status CheckOrdered(const op::InferContext& c, DTypeSet set, int* axis);

}  // namespace ofl::ops
