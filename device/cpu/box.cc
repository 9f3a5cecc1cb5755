#include "device/cpu/box.h"

#include <algorithm>
#include <array>
#include <complex>
#include <cstring>
#include <limits>
#include <vector>

#include "oneflow_like/core/half.h"
#include "oneflow_like/core/reduction_tree.h"

// The element loops below are short and plain: they want the vectoriser, whatever the build type.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

namespace ofl::device {
namespace {

constexpr int64_t kGrainBytes = 64 << 10;  // less than this is not worth another thread
constexpr int64_t kBlock = 512;            // elements of a general combination held in cache

// The common geometry of boxes of several tensors: axes that are contiguous in all of them are
// merged, so that the innermost run is as long as it can be.
class BoxWalk {
 public:
  explicit BoxWalk(const Shape& extent) : extent_(extent), run_(1) {
    for (int axis = 0; axis < extent.rank(); ++axis) sizes_[axis] = extent[axis];
    rank_ = extent.rank();
    inner_ = rank_;
  }

  // Offset of the box's first element within its tensor.
  static int64_t Origin(const Shape& shape, const Shape& begin, const Shape& extent) {
    OFL_CHECK(shape.rank() == extent.rank() && begin.rank() == extent.rank());
    int64_t stride = 1, origin = 0;
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      OFL_DCHECK(begin[axis] >= 0 && begin[axis] + extent[axis] <= shape[axis]);
      origin += begin[axis] * stride;
      stride *= shape[axis];
    }
    return origin;
  }

  // Call for every tensor, then Seal.
  void Restrict(const Shape& shape) {
    // An axis may join the run when every axis inside it is taken whole.
    int inner = rank_;
    while (inner > 0) {
      --inner;
      if (extent_[inner] != shape[inner]) break;
    }
    whole_ = std::max(whole_, inner);
  }
  void Seal() {
    inner_ = std::min(whole_, std::max(rank_ - 1, 0));
    run_ = 1;
    for (int axis = inner_; axis < rank_; ++axis) run_ *= sizes_[axis];
    rows_ = 1;
    for (int axis = 0; axis < inner_; ++axis) rows_ *= sizes_[axis];
  }

  int64_t run() const { return run_; }
  int64_t elements() const { return run_ * rows_; }

  // Element offset of row `row` relative to the box's origin, for a tensor of this shape.
  int64_t RowOffset(const Shape& shape, int64_t row) const {
    int64_t stride = 1;
    for (int axis = inner_; axis < rank_; ++axis) stride *= shape[axis];
    int64_t offset = 0;
    for (int axis = inner_ - 1; axis >= 0; --axis) {
      offset += row % sizes_[axis] * stride;
      row /= sizes_[axis];
      stride *= shape[axis];
    }
    return offset;
  }

 private:
  Shape extent_;
  std::array<int64_t, kMaxRank> sizes_{};
  int rank_ = 0;
  int whole_ = 0;  // axes from here on can be one run
  int inner_ = 0;
  int64_t run_ = 1;
  int64_t rows_ = 1;
};

// Calls body(row, first column, columns) over the whole box, split over the stream.
template <class Body>
void ForEachRun(const BoxWalk& walk, int64_t element_size, Stream* stream, const Body& body) {
  const int64_t n = walk.elements();
  if (n == 0) return;
  const int64_t run = walk.run();
  auto range = [&](int64_t begin, int64_t end) {
    int64_t row = begin / run, column = begin % run;
    while (begin < end) {
      const int64_t columns = std::min(run - column, end - begin);
      body(row, column, columns);
      begin += columns;
      column = 0;
      ++row;
    }
  };
  if (stream == nullptr || stream->threads() == 1 || n * element_size <= kGrainBytes) {
    range(0, n);
    return;
  }
  // One pointer of capture: std::function then needs no heap.
  stream->ParallelFor(n, std::max<int64_t>(kGrainBytes / element_size, 1),
                      [&range](int64_t begin, int64_t end) { range(begin, end); });
}

// --- elements -----------------------------------------------------------------------------------

template <class T>
struct Sum {
  static T Apply(T a, T b) { return static_cast<T>(a + b); }
  static T Identity() { return std::is_floating_point_v<T> ? static_cast<T>(-0.0) : T{}; }
};
template <class T>
struct Sum<std::complex<T>> {
  static std::complex<T> Apply(std::complex<T> a, std::complex<T> b) { return a + b; }
  static std::complex<T> Identity() { return {T(-0.0), T(-0.0)}; }
};
// Integers wrap; unsigned arithmetic says so without undefined behaviour.
template <>
struct Sum<int32_t> {
  static int32_t Apply(int32_t a, int32_t b) {
    return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
  }
  static int32_t Identity() { return 0; }
};
template <>
struct Sum<int64_t> {
  static int64_t Apply(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  }
  static int64_t Identity() { return 0; }
};
template <>
struct Sum<bool> {
  static bool Apply(bool a, bool b) { return a | b; }
  static bool Identity() { return false; }
};
template <class T>
struct Max {
  static T Apply(T a, T b) { return a > b || a != a ? a : b; }
  static T Identity() {
    if constexpr (std::is_floating_point_v<T>) return -std::numeric_limits<T>::infinity();
    return std::numeric_limits<T>::lowest();
  }
};
template <class T>
struct Min {
  static T Apply(T a, T b) { return a < b || a != a ? a : b; }
  static T Identity() {
    if constexpr (std::is_floating_point_v<T>) return std::numeric_limits<T>::infinity();
    return std::numeric_limits<T>::max();
  }
};
template <class T, template <class> class Op>
struct Narrow {
  static T Apply(T a, T b) { return T::Round(Op<float>::Apply(T::Widen(a), T::Widen(b))); }
  static T Identity() { return T::Round(Op<float>::Identity()); }
};
template <>
struct Sum<BFloat16> : Narrow<BFloat16, Sum> {};
template <>
struct Max<BFloat16> : Narrow<BFloat16, Max> {};
template <>
struct Min<BFloat16> : Narrow<BFloat16, Min> {};
template <>
struct Sum<Float16> : Narrow<Float16, Sum> {};
template <>
struct Max<Float16> : Narrow<Float16, Max> {};
template <>
struct Min<Float16> : Narrow<Float16, Min> {};

// Calls visit with an Op<T> for the dtype and reduction. Complex numbers have no order.
template <class T, class Visit>
Status VisitReduction(int reduce_op, Visit visit) {
  if (reduce_op == kBoxSum) return visit(T{}, Sum<T>{});
  if constexpr (std::is_class_v<T> && sizeof(T) >= 8) {
    return Error(Code::kTypeMismatch) << "[boxing] complex numbers have no order: got reduction "
                                      << reduce_op << "; expected 0 (sum)";
  } else {
    if (reduce_op == kBoxMax) return visit(T{}, Max<T>{});
    if (reduce_op == kBoxMin) return visit(T{}, Min<T>{});
  }
  return Error(Code::kInvalidArgument) << "[boxing] unknown reduction: got " << reduce_op
                                       << "; expected 0 (sum), 1 (max) or 2 (min)";
}
template <class Visit>
Status VisitElement(DType dtype, int reduce_op, Visit visit) {
  switch (dtype) {
    case DType::kFloat32: return VisitReduction<float>(reduce_op, visit);
    case DType::kFloat64: return VisitReduction<double>(reduce_op, visit);
    case DType::kFloat16: return VisitReduction<Float16>(reduce_op, visit);
    case DType::kBFloat16: return VisitReduction<BFloat16>(reduce_op, visit);
    case DType::kInt8: return VisitReduction<int8_t>(reduce_op, visit);
    case DType::kUInt8: return VisitReduction<uint8_t>(reduce_op, visit);
    case DType::kInt32: return VisitReduction<int32_t>(reduce_op, visit);
    case DType::kInt64: return VisitReduction<int64_t>(reduce_op, visit);
    case DType::kBool: return VisitReduction<bool>(reduce_op, visit);
    case DType::kInt16: return VisitReduction<int16_t>(reduce_op, visit);
    case DType::kComplex64: return VisitReduction<std::complex<float>>(reduce_op, visit);
    case DType::kComplex128: return VisitReduction<std::complex<double>>(reduce_op, visit);
    case DType::kFloat8E4M3:
    case DType::kFloat8E5M2:
      return Error(Code::kTypeMismatch)
             << "[boxing] " << DTypeName(dtype) << " is a storage type: nothing is added in it; "
             << "convert with .to(flow.float32)";
  }
  return Error(Code::kTypeMismatch) << "[boxing] unknown dtype number " << static_cast<int>(dtype);
}

// --- combination --------------------------------------------------------------------------------

struct Combination {
  std::span<const BoxSource> sources;
  std::span<const int64_t> origins;  // of the sources, in elements
  std::span<const std::pair<int, int>> additions;
  std::byte* dst;
  const Shape* dst_shape;
  int64_t dst_origin;
};

// (a + b) + c for three, (a + b) + (c + d) for four: every tree of so few leaves says this, the
// one axis of four and the two axes of two alike.
template <class T, class Op>
void CombineDirect(const T* const* from, size_t sources, T* out, int64_t n) {
  const T *a = from[0], *b = from[1];
  if (sources == 2) {
    for (int64_t i = 0; i < n; ++i) out[i] = Op::Apply(a[i], b[i]);
  } else if (sources == 3) {
    const T* c = from[2];
    for (int64_t i = 0; i < n; ++i) out[i] = Op::Apply(Op::Apply(a[i], b[i]), c[i]);
  } else {
    const T *c = from[2], *d = from[3];
    for (int64_t i = 0; i < n; ++i)
      out[i] = Op::Apply(Op::Apply(a[i], b[i]), Op::Apply(c[i], d[i]));
  }
}

template <class T, class Op>
void CombineGeneral(const T* const* from, const Combination& c, T* out, int64_t n) {
  const size_t sources = c.sources.size();
  thread_local std::vector<std::byte> scratch;  // grows once to the widest tree of this thread
  scratch.resize(std::max(scratch.size(), sources * kBlock * sizeof(T)));
  T* slots = reinterpret_cast<T*>(scratch.data());
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t block = std::min(kBlock, n - begin);
    for (size_t s = 0; s < sources; ++s)
      std::memcpy(slots + s * kBlock, from[s] + begin, block * sizeof(T));
    for (auto [first, second] : c.additions) {
      T* a = slots + first * kBlock;
      const T* b = slots + second * kBlock;
      for (int64_t i = 0; i < block; ++i) a[i] = Op::Apply(a[i], b[i]);
    }
    std::memcpy(out + begin, slots, block * sizeof(T));
  }
}

template <class T, class Op>
void CombineRuns(const BoxWalk& walk, const Combination& c, Stream* stream) {
  const size_t sources = c.sources.size();
  const bool direct = sources <= kDirectSources;
  ForEachRun(walk, sizeof(T), stream, [&](int64_t row, int64_t column, int64_t n) {
    std::array<const T*, kDirectSources> few;
    std::vector<const T*> many(direct ? 0 : sources);
    const T** from = direct ? few.data() : many.data();
    for (size_t s = 0; s < sources; ++s)
      from[s] = reinterpret_cast<const T*>(c.sources[s].data) + c.origins[s] +
                walk.RowOffset(c.sources[s].shape, row) + column;
    T* out =
        reinterpret_cast<T*>(c.dst) + c.dst_origin + walk.RowOffset(*c.dst_shape, row) + column;
    if (direct) {
      CombineDirect<T, Op>(from, sources, out, n);
    } else {
      CombineGeneral<T, Op>(from, c, out, n);
    }
  });
}

}  // namespace

void CopyBox(const std::byte* src, const Shape& src_shape, const Shape& src_begin, std::byte* dst,
             const Shape& dst_shape, const Shape& dst_begin, const Shape& extent,
             int64_t element_size, Stream* stream) {
  BoxWalk walk(extent);
  walk.Restrict(src_shape);
  walk.Restrict(dst_shape);
  walk.Seal();
  src += BoxWalk::Origin(src_shape, src_begin, extent) * element_size;
  dst += BoxWalk::Origin(dst_shape, dst_begin, extent) * element_size;
  if (src == dst && src_shape == dst_shape) return;
  ForEachRun(walk, element_size, stream, [&](int64_t row, int64_t column, int64_t n) {
    std::memcpy(dst + (walk.RowOffset(dst_shape, row) + column) * element_size,
                src + (walk.RowOffset(src_shape, row) + column) * element_size, n * element_size);
  });
}

Status CombineBoxes(DType dtype, int reduce_op, std::span<const BoxSource> sources,
                    const Shape& tree, std::byte* dst, const Shape& dst_shape,
                    const Shape& dst_begin, const Shape& extent, Stream* stream) {
  if (sources.empty()) return FillBox(dtype, reduce_op, dst, dst_shape, dst_begin, extent, stream);
  OFL_ENSURE(sources.size() == 1 || tree.numel() == static_cast<int64_t>(sources.size()),
             Code::kInvalidArgument)
      << "[boxing] reduction tree does not fit: got tree " << tree << " for " << sources.size()
      << " sources; expected one source for each leaf";
  if (sources.size() == 1) {
    CopyBox(sources[0].data, sources[0].shape, sources[0].begin, dst, dst_shape, dst_begin, extent,
            static_cast<int64_t>(DTypeSize(dtype)), stream);
    return Status::Ok();
  }
  BoxWalk walk(extent);
  walk.Restrict(dst_shape);
  std::array<int64_t, kDirectSources> few_origins;
  std::vector<int64_t> many_origins(sources.size() > kDirectSources ? sources.size() : 0);
  int64_t* origins = many_origins.empty() ? few_origins.data() : many_origins.data();
  for (size_t s = 0; s < sources.size(); ++s) {
    walk.Restrict(sources[s].shape);
    origins[s] = BoxWalk::Origin(sources[s].shape, sources[s].begin, extent);
  }
  walk.Seal();
  std::vector<std::pair<int, int>> additions;
  if (sources.size() > kDirectSources) additions = TreeAdditions(tree);
  const Combination c{sources,    {origins, sources.size()},
                      additions,  dst,
                      &dst_shape, BoxWalk::Origin(dst_shape, dst_begin, extent)};
  return VisitElement(dtype, reduce_op, [&]<class T, class Op>(T, Op) {
    CombineRuns<T, Op>(walk, c, stream);
    return Status::Ok();
  });
}

Status FillBox(DType dtype, int reduce_op, std::byte* dst, const Shape& dst_shape,
               const Shape& dst_begin, const Shape& extent, Stream* stream) {
  BoxWalk walk(extent);
  walk.Restrict(dst_shape);
  walk.Seal();
  const int64_t origin = BoxWalk::Origin(dst_shape, dst_begin, extent);
  return VisitElement(dtype, reduce_op, [&]<class T, class Op>(T, Op) {
    const T identity = Op::Identity();
    ForEachRun(walk, sizeof(T), stream, [&](int64_t row, int64_t column, int64_t n) {
      T* out = reinterpret_cast<T*>(dst) + origin + walk.RowOffset(dst_shape, row) + column;
      std::fill_n(out, n, identity);
    });
    return Status::Ok();
  });
}

}  // namespace ofl::device
