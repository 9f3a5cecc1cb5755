// Loops of running results along one axis.
#pragma once

#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/nn/rows.h"

namespace ofl::ops {

// Elements of a row that pass through a tile on the stack.
inline constexpr int64_t kScanTile = 512;

// The axis along which input 0 is scanned; -1: it has no axes and is one row of one element.
inline int ScanAxis(const Attrs& attrs, const Shape& shape) {
  return shape.rank() == 0 ? -1 : AxisAttr(attrs, "dim", shape.rank());
}

// How tiles of one operand come and go: in order, or, of a reversed scan, from the end on.
class TileRows {
 public:
  TileRows(const op::TensorView& view, int64_t stride, DType compute, bool reverse)
      : data_(view.as<std::byte>()),
        size_(static_cast<int64_t>(DTypeSize(view.meta.dtype))),
        stride_((reverse ? -stride : stride) * size_),
        load_(LoaderOf(view.meta.dtype, compute)),
        store_(StorerOf(compute, view.meta.dtype)) {}
  // `start`: element where the row begins, from which `place` counts.
  void Load(int64_t start, int64_t place, int64_t n, void* tile) const {
    load_(data_ + start * size_ + place * stride_, stride_, tile, n);
  }
  void Store(int64_t start, int64_t place, int64_t n, const void* tile) const {
    store_(tile, data_ + start * size_ + place * stride_, stride_, n);
  }

 private:
  std::byte* data_;
  int64_t size_, stride_;
  LoadFn load_;
  StoreFn store_;
};

// Calls body(starts) for each row along `axis` of operands of one shape; where the scan is
// reversed, `starts` are the last elements.
template <class Body>
void ForScanRows(device::Stream* stream, const RowStarts& rows, size_t operands, bool reverse,
                 const Body& body) {
  const int64_t n = rows.length();
  if (n == 0) return;
  Parallel(stream, rows.rows(), RowGrain(n * 4), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      auto at = rows.Of(r);
      for (size_t k = 0; reverse && k < operands; ++k)
        at[k] += (n - 1) * rows.stride(static_cast<int>(k));
      body(at);
    }
  });
}

// --- definitions --------------------------------------------------------------------------------

// "(a0 ! a2)->(a0 ! a2)" for `inputs` operands and `outputs` results of one shape.
std::string ScanRule(const Shape& shape, const Attrs& attrs, int inputs, int outputs);
// Along each axis, in every dtype of the set.
std::vector<op::Sample> ScanSamples(DTypeSet set, double low = -2, double high = 2, int inputs = 1,
                                    const Attrs& more = {});
op::ErrorSample ScanAxisError(int inputs = 1);
Status CheckScanAxis(const op::InferContext& c);

// s[k] = b[k] + a[k] * s[k - 1], from 0 on; reversed: from the end on.
op::Value LinearScan(op::Builder& b, const op::Value& factor, const op::Value& term, int64_t dim,
                     bool reverse);

}  // namespace ofl::ops
