// Convolutions of every dtype of numbers: windows become columns of a matrix, tile by tile, and
// BLAS multiplies.
#include <algorithm>

#include "oneflow_like/ops/conv/convolution.h"
#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/linalg/gemm.h"
#include "oneflow_like/ops/linalg/product.h"
#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

constexpr int64_t kTileElements = int64_t{1} << 18;  // of columns, beside which BLAS packs its own

// Columns of a tile: a multiple of 16, so that BLAS sees whole register tiles.
int64_t TileOf(const ConvSizes& s) {
  const int64_t fits = kTileElements / std::max<int64_t>(s.taps(), 1) / 16 * 16;
  return std::clamp<int64_t>(fits, 16, std::max<int64_t>(s.windows.outputs(), 16));
}
int64_t TilesOf(const ConvSizes& s) { return (s.windows.outputs() + TileOf(s) - 1) / TileOf(s); }

// Runs body(first, last, lane's columns) over items cut into one lane for each thread.
template <class T, class Body>
void Lanes(op::KernelContext& c, const ConvSizes& s, T* columns, int64_t items, const Body& body) {
  const int64_t lanes = std::min<int64_t>(c.stream->threads(), items);
  const int64_t each = s.taps() * TileOf(s);
  Parallel(c.stream, lanes, 1, [&](int64_t begin, int64_t end) {
    for (int64_t lane = begin; lane < end; ++lane)
      body(items * lane / lanes, items * (lane + 1) / lanes, columns + lane * each);
  });
}

// The columns of a tile of one group's image: the image itself where windows are its elements.
template <class T>
struct Tile {
  const T* columns;
  int64_t stride, first, width;
};
template <class T>
Tile<T> ReadTile(const ConvSizes& s, const T* image, int64_t tile, T* columns) {
  const int64_t first = tile * TileOf(s);
  const int64_t last = std::min(first + TileOf(s), s.windows.outputs());
  if (s.windows.Pointwise()) return {image + first, s.windows.outputs(), first, last - first};
  ToColumns(s.windows, image, s.channels, first, last, sizeof(T), columns);
  return {columns, last - first, first, last - first};
}

template <class T>
void ComputeOutput(op::KernelContext& c, const ConvSizes& s, const T* x, const T* w, const T* bias,
                   T* y, T* columns) {
  const int64_t tiles = TilesOf(s), outputs = s.windows.outputs();
  Lanes(c, s, columns, s.images * s.groups * tiles, [&](int64_t begin, int64_t end, T* lane) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t unit = item / tiles, group = unit % s.groups;
      const Tile<T> tile = ReadTile(s, x + unit * s.input(), item % tiles, lane);
      T* to = y + unit * s.output() + tile.first;
      for (int64_t f = 0; bias != nullptr && f < s.filters; ++f)
        std::fill_n(to + f * outputs, tile.width, bias[group * s.filters + f]);
      GemmArgs<T> g{.m = s.filters, .n = tile.width, .k = s.taps()};
      g.a = w + group * s.filters * s.taps();
      g.lda = s.taps();
      g.b = tile.columns;
      g.ldb = tile.stride;
      g.c = to;
      g.ldc = outputs;
      g.beta = bias != nullptr ? T(1) : T(0);
      GemmSerial(g);
    }
  });
}

template <class T>
void ComputeInput(op::KernelContext& c, const ConvSizes& s, const T* y, const T* w, T* x,
                  T* columns) {
  const int64_t outputs = s.windows.outputs();
  Lanes(c, s, columns, s.images * s.groups, [&](int64_t begin, int64_t end, T* lane) {
    for (int64_t unit = begin; unit < end; ++unit) {
      T* to = x + unit * s.input();
      const bool direct = s.windows.Pointwise();
      if (!direct) std::fill_n(to, s.input(), T{});
      for (int64_t first = 0; first < outputs; first += TileOf(s)) {
        const int64_t last = std::min(first + TileOf(s), outputs);
        GemmArgs<T> g{.trans_a = true, .m = s.taps(), .n = last - first, .k = s.filters};
        g.a = w + unit % s.groups * s.filters * s.taps();
        g.lda = s.taps();
        g.b = y + unit * s.output() + first;
        g.ldb = outputs;
        g.c = direct ? to + first : lane;
        g.ldc = direct ? outputs : last - first;
        GemmSerial(g);
        if (!direct) AddColumns(s.windows, lane, s.channels, first, last, to);
      }
    }
  });
}

// A lane has some of the filters of a group, and adds the images in their order.
template <class T>
void ComputeWeight(op::KernelContext& c, const ConvSizes& s, const T* y, const T* x, T* w,
                   T* columns) {
  const int64_t blocks = std::min<int64_t>(std::max(c.stream->threads(), 1), s.filters);
  const int64_t tiles = TilesOf(s), outputs = s.windows.outputs();
  Lanes(c, s, columns, s.groups * blocks, [&](int64_t begin, int64_t end, T* lane) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t group = item / blocks, block = item % blocks;
      const int64_t from = s.filters * block / blocks, to = s.filters * (block + 1) / blocks;
      for (int64_t i = 0; i < s.images * tiles; ++i) {
        const int64_t unit = i / tiles * s.groups + group;
        const Tile<T> tile = ReadTile(s, x + unit * s.input(), i % tiles, lane);
        GemmArgs<T> g{.trans_b = true, .m = to - from, .n = s.taps(), .k = tile.width};
        g.a = y + unit * s.output() + from * outputs + tile.first;
        g.lda = outputs;
        g.b = tile.columns;
        g.ldb = tile.stride;
        g.c = w + (group * s.filters + from) * s.taps();
        g.ldc = s.taps();
        g.beta = i == 0 ? T(0) : T(1);
        GemmSerial(g);
      }
    }
  });
}

template <ConvPart kPart>
Status RunPart(op::KernelContext& c) {
  std::vector<TensorMeta> in, out{c.outputs[0].meta};
  for (const op::TensorView& view : c.inputs) in.push_back(view.meta);
  const ConvSizes s = SizesOfConv(kPart, in, out, *c.attrs);
  OFL_TRY(CheckGemmSizes(s.taps(), s.filters, s.windows.outputs()));
  op::TensorView to = c.outputs[0];
  std::vector<op::TensorView> from(c.inputs.begin(), c.inputs.end());
  MutableBytes scratch = c.workspace;
  const bool half = IsHalf(to.meta.dtype);
  if (half) {
    for (op::TensorView& view : from) view = Widened(c.stream, view, scratch);
    to = FloatsLike(to, scratch);
  }
  if (to.numel() == 0) return Status::Ok();
  if (s.empty() && (kPart != ConvPart::kOutput || from.size() < 3)) {
    ZeroBox(c.stream, c.outputs[0]);
    return Status::Ok();
  }
  WithProductType(out[0].dtype, [&]<class T>(T) {
    T* const columns = reinterpret_cast<T*>(scratch.data());
    const T *a = from[0].as<T>(), *b = from[1].as<T>();
    if constexpr (kPart == ConvPart::kOutput) {
      ComputeOutput(c, s, a, b, from.size() > 2 ? from[2].as<T>() : nullptr, to.as<T>(), columns);
    } else if constexpr (kPart == ConvPart::kInput) {
      ComputeInput(c, s, a, b, to.as<T>(), columns);
    } else {
      ComputeWeight(c, s, a, b, to.as<T>(), columns);
    }
  });
  return half ? CastElements(c.stream, to, c.outputs[0]) : Status::Ok();
}

template <ConvPart kPart>
int64_t Scratch(std::span<const TensorMeta> in, std::span<const TensorMeta> out, const Attrs& attrs,
                int threads) {
  const ConvSizes s = SizesOfConv(kPart, in, out, attrs);
  const DType dtype = out[0].dtype;
  int64_t widened = 0;
  if (IsHalf(dtype)) {
    widened = out[0].shape.numel();
    for (const TensorMeta& meta : in) widened = SaturatingAdd(widened, meta.shape.numel());
  }
  const int64_t size = IsHalf(dtype) ? 4 : static_cast<int64_t>(DTypeSize(dtype));
  const int64_t columns = SaturatingMul(SaturatingMul(s.taps(), TileOf(s)), threads);
  return SaturatingAdd(SaturatingMul(columns, size), SaturatingMul(widened, 4));
}

template <ConvPart kPart>
void Add(op::OpDefBuilder& op) {
  for (DType d : AllDTypes())
    if (d != DType::kBool && !IsFloat8(d)) op.Cpu(d, RunPart<kPart>, Scratch<kPart>);
}

}  // namespace

void AddColumnProducts(op::OpDefBuilder& op, ConvPart part) {
  switch (part) {
    case ConvPart::kOutput: return Add<ConvPart::kOutput>(op);
    case ConvPart::kInput: return Add<ConvPart::kInput>(op);
    case ConvPart::kWeight: return Add<ConvPart::kWeight>(op);
  }
}

}  // namespace ofl::ops
