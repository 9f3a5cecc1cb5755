// permute and transpose: the axes of a tensor in another order, as a dense copy.
#include <algorithm>
#include <array>

#include "oneflow_like/ops/kernel_util.h"

namespace ofl::ops {
namespace {

using Order = std::array<int, kMaxRank>;

// Output axis i is input axis order[i].
Result<Order> OrderOf(const Attrs& attrs, int rank) {
  Order order{};
  if (const AttrValue* swap = attrs.Find("dim0")) {
    OFL_ASSIGN(const int a, NormalizeAxis(std::get<int64_t>(*swap), rank));
    OFL_ASSIGN(const int b, NormalizeAxis(attrs.Get<int64_t>("dim1"), rank));
    for (int i = 0; i < rank; ++i) order[i] = i;
    if (rank > 0) std::swap(order[a], order[b]);
    return order;
  }
  const auto& dims = attrs.Get<std::vector<int64_t>>("dims");
  OFL_ENSURE(static_cast<int>(dims.size()) == rank, Code::kInvalidArgument)
      << "dims must name every axis once; expected " << rank << " axes";
  std::array<bool, kMaxRank> seen{};
  for (int i = 0; i < rank; ++i) {
    OFL_ASSIGN(order[i], NormalizeAxis(dims[i], rank));
    OFL_ENSURE(!seen[order[i]], Code::kInvalidArgument)
        << "dims must name every axis once; axis " << order[i] << " is repeated";
    seen[order[i]] = true;
  }
  return order;
}

Status InferPermute(op::InferContext& c) {
  const Shape& from = c.input(0).shape;
  OFL_ASSIGN(const Order order, OrderOf(c.attrs(), from.rank()));
  Shape to;
  for (int i = 0; i < from.rank(); ++i) to.push_back(from[order[i]]);
  c.AddOutput({c.input(0).dtype, to});
  return Status::Ok();
}

std::string PermuteRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const int rank = in[0].rank();
  const Order order = OrderOf(attrs, rank).value();  // the call has passed Infer
  std::string to;
  for (int i = 0; i < rank; ++i) to += (i > 0 ? " a" : "a") + std::to_string(order[i]);
  return "(" + Labels("a", rank) + ")->(" + to + "); linear 0; monotone 0";
}

// Axes of size 1 dropped and neighbours that stay together merged: most permutations become two
// to four axes, the last of them often a run of contiguous bytes.
struct CopyLoops {
  int rank = 0;
  std::array<int64_t, kMaxRank> size{}, stride{};  // of the output's axes; strides in the input
};

CopyLoops LoopsOf(const Shape& from, const Order& order) {
  const Strides strides = ContiguousStrides(from);
  CopyLoops loops;
  for (int i = 0; i < from.rank(); ++i) {
    const int64_t size = from[order[i]], stride = strides[order[i]];
    if (size == 1) continue;
    if (loops.rank > 0 && loops.stride[loops.rank - 1] == stride * size) {
      loops.size[loops.rank - 1] *= size;
      loops.stride[loops.rank - 1] = stride;
      continue;
    }
    loops.size[loops.rank] = size;
    loops.stride[loops.rank++] = stride;
  }
  return loops;
}

// Input offset of row `index` of the output's leading axes (all but the last `skip`).
int64_t OffsetOf(const CopyLoops& loops, int skip, int64_t index) {
  int64_t offset = 0;
  for (int i = loops.rank - 1 - skip; i >= 0; --i) {
    offset += index % loops.size[i] * loops.stride[i];
    index /= loops.size[i];
  }
  return offset;
}

// The last axis is contiguous in both: runs of bytes.
void CopyRuns(device::Stream* stream, const CopyLoops& loops, int64_t rows, int64_t element,
              const std::byte* from, std::byte* to) {
  const int64_t run = loops.size[loops.rank - 1] * element;
  Parallel(stream, rows, RowGrain(run / 8 + 4), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      std::memcpy(to + r * run, from + OffsetOf(loops, 1, r) * element, run);
  });
}

// Transposes the two last output axes in square tiles, so that both sides stay in cache.
template <class T>
void CopyTiles(device::Stream* stream, const CopyLoops& loops, int64_t rows, const T* from, T* to) {
  constexpr int64_t kTile = 16;
  const int64_t width = loops.size[loops.rank - 1], stride = loops.stride[loops.rank - 1];
  const int64_t height = loops.rank > 1 ? loops.size[loops.rank - 2] : 1;
  const int64_t step = loops.rank > 1 ? loops.stride[loops.rank - 2] : 0;
  const int64_t planes = rows / height;
  const int64_t bands = (height + kTile - 1) / kTile;
  Parallel(stream, planes * bands, RowGrain(kTile * width), [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const T* plane = from + OffsetOf(loops, 2, b / bands);
      T* out = to + b / bands * height * width;
      const int64_t i0 = b % bands * kTile, i1 = std::min(i0 + kTile, height);
      for (int64_t j0 = 0; j0 < width; j0 += kTile) {
        const int64_t j1 = std::min(j0 + kTile, width);
        for (int64_t i = i0; i < i1; ++i)
          for (int64_t j = j0; j < j1; ++j) out[i * width + j] = plane[i * step + j * stride];
      }
    }
  });
}

Status RunPermute(op::KernelContext& c) {
  const op::TensorView& in = c.inputs[0];
  if (in.numel() == 0) return Status::Ok();
  OFL_ASSIGN(const Order order, OrderOf(*c.attrs, in.meta.shape.rank()));
  const CopyLoops loops = LoopsOf(in.meta.shape, order);
  const int64_t element = static_cast<int64_t>(DTypeSize(in.meta.dtype));
  if (loops.rank <= 1) {
    std::memcpy(c.outputs[0].data, in.data, in.meta.bytes());
    return Status::Ok();
  }
  const int64_t rows = in.numel() / loops.size[loops.rank - 1];
  if (loops.stride[loops.rank - 1] == 1) {
    CopyRuns(c.stream, loops, rows, element, in.as<std::byte>(), c.outputs[0].as<std::byte>());
    return Status::Ok();
  }
  switch (element) {
    case 1: CopyTiles(c.stream, loops, rows, in.as<uint8_t>(), c.outputs[0].as<uint8_t>()); break;
    case 2: CopyTiles(c.stream, loops, rows, in.as<uint16_t>(), c.outputs[0].as<uint16_t>()); break;
    case 4: CopyTiles(c.stream, loops, rows, in.as<uint32_t>(), c.outputs[0].as<uint32_t>()); break;
    default:
      CopyTiles(c.stream, loops, rows, in.as<uint64_t>(), c.outputs[0].as<uint64_t>());
      break;
  }
  return Status::Ok();
}

void GradPermute(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  const int rank = c.inputs[0]->meta().shape.rank();
  const Order order = OrderOf(c.attrs, rank).value();  // the call has passed Infer
  std::vector<int64_t> inverse(rank);
  for (int i = 0; i < rank; ++i) inverse[order[i]] = i;
  c.Set(0, c.b.Call("permute", {c.grads[0]}, {{"dims", inverse}}));
}

void GradTranspose(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  c.Set(0, c.b.Call("transpose", {c.grads[0]}, c.attrs));
}

int64_t NoFlops(std::span<const TensorMeta>, std::span<const TensorMeta>, const Attrs&) {
  return 0;
}

op::Sample PermuteSample(Shape from, std::vector<int64_t> dims, DType dtype = DType::kFloat32) {
  return {{{dtype, from}}, {{"dims", std::move(dims)}}};
}

op::Sample TransposeSample(Shape from, int64_t dim0, int64_t dim1) {
  return {{{DType::kFloat32, from}}, {{"dim0", dim0}, {"dim1", dim1}}};
}

}  // namespace

OFL_OP(permute) {
  op.Doc("The axes of `input` in the order `dims`.")
      .In("input")
      .Out("output")
      .Attr("dims", op::AttrType::kInts)
      .Infer(InferPermute)
      .Sbp(PermuteRule)
      .Grad(GradPermute)
      .Flops(NoFlops)
      .Py("permute(input, /, dims)")
      .Method("permute")
      .Samples([]() -> std::vector<op::Sample> {
        return {PermuteSample({2, 3, 4, 5}, {0, 2, 1, 3}),
                PermuteSample({2, 3, 4}, {2, 0, 1}),
                PermuteSample({5, 3}, {1, 0}, DType::kInt64),
                PermuteSample({18, 20}, {-1, 0}),
                PermuteSample({2, 1, 3}, {1, 2, 0}, DType::kBool),
                PermuteSample({0, 3}, {1, 0}),
                PermuteSample({4}, {0}),
                PermuteSample({}, {})};
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"dims", std::vector<int64_t>{0, 0}}},
                      Code::kInvalidArgument,
                      "every axis once"},
                     {{{DType::kFloat32, {2, 3}}},
                      {{"dims", std::vector<int64_t>{0, 2}}},
                      Code::kOutOfRange,
                      "[-2, 1]"}});
  CpuForAllTypes(op, RunPermute);
}

OFL_OP(transpose) {
  op.Doc("`input` with two axes swapped.")
      .In("input")
      .Out("output")
      .Attr("dim0", op::AttrType::kInt)
      .Attr("dim1", op::AttrType::kInt)
      .Infer(InferPermute)
      .Sbp(PermuteRule)
      .Grad(GradTranspose)
      .Flops(NoFlops)
      .Py("transpose(input, /, dim0, dim1)")
      .Method("transpose")
      .Samples([]() -> std::vector<op::Sample> {
        return {TransposeSample({2, 3, 4}, 1, 2), TransposeSample({2, 3, 2, 2}, 1, -2),
                TransposeSample({3, 5}, 0, 1), TransposeSample({3}, 0, 0)};
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"dim0", int64_t{0}}, {"dim1", int64_t{2}}},
                      Code::kOutOfRange,
                      "[-2, 1]"}});
  CpuForAllTypes(op, RunPermute);
}

}  // namespace ofl::ops
