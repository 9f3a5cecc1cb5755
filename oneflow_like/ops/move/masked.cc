// What masks choose: masked_fill, masked_select, masked_scatter, where and the places of nonzero.
#include <algorithm>
#include <array>

#include "oneflow_like/op/def/promotion.h"
#include "oneflow_like/ops/elementwise/loops.h"
#include "oneflow_like/ops/elementwise/numbers.h"
#include "oneflow_like/ops/move/indices.h"
#include "oneflow_like/ops/move/places.h"

namespace ofl::ops {
namespace {

constexpr DType kF = DType::kFloat32, kB = DType::kBool;

// The shape of tensor and mask together, or none and an error.
std::optional<Shape> Together(op::Builder& b, const char* name, const op::Value& x,
                              const op::Value& mask) {
  const auto shape = BroadcastShapes(x->meta().shape, mask->meta().shape);
  if (mask->meta().dtype == kB && shape.ok()) return *shape;
  b.Fail(Error(shape.ok() ? Code::kTypeMismatch : Code::kInvalidArgument)
         << "[" << name << "] the mask is of no use: got " << mask->meta().ToString() << " for "
         << x->meta().ToString() << "; expected bool, of sizes that broadcast with the tensor's");
  return std::nullopt;
}

op::Values ComposeMaskedFill(op::Builder& b, Span in, const Attrs&) {
  const auto shape = Together(b, "masked_fill", in[0], in[1]);
  if (!shape) return {nullptr};
  op::Value value = in[2];
  if (value->meta().shape.rank() > 0)
    return Refused(b, Error(Code::kInvalidArgument)
                          << "[masked_fill] value has axes: got " << value->meta().ToString()
                          << "; expected a number or a 0-d tensor; use where");
  if (IsComplex(value->meta().dtype) && !IsComplex(in[0]->meta().dtype))
    return Refused(b, Error(Code::kTypeMismatch)
                          << "[masked_fill] a real dtype cannot hold the value: got "
                          << in[0]->meta().ToString() << " and value: " << value->meta().ToString()
                          << "; expected a complex input, or value.real");
  if (value->meta().dtype != in[0]->meta().dtype) value = CastTo(b, value, in[0]->meta().dtype);
  return {b.Call("where", {in[1], value, in[0]})};
}
op::Values ComposeMaskedFillNumber(op::Builder& b, Span in, const Attrs& attrs) {
  const auto shape = Together(b, "masked_fill", in[0], in[1]);
  if (!shape) return {nullptr};
  return {Filled(b, in[1], attrs.Number("value"), in[0])};
}

op::Values Places(op::Builder& b, const op::Value& x) {
  const op::Value places = b.Call("nonzero", {AsVector(b, x)});
  return b.CallAll("unbind", {places}, {{"dim", int64_t{1}}});
}
op::Values ComposePlaces(op::Builder& b, Span in, const Attrs&) { return Places(b, in[0]); }

op::Values ComposeMaskedSelect(op::Builder& b, Span in, const Attrs&) {
  const auto shape = Together(b, "masked_select", in[0], in[1]);
  if (!shape) return {nullptr};
  const op::Value x = AsVector(b, Expanded(b, in[0], *shape));
  const op::Value mask = Expanded(b, in[1], *shape);
  if (!x || !mask) return {nullptr};
  if (x->layout() == nullptr) {  // one index is enough; of a shard it would cost a conversion
    const Shape flat{shape->numel()};
    const op::Value places = b.Call("nonzero", {Reshaped(b, mask, flat)});
    const op::Value place =
        b.Call("select", {places}, {{"dim", int64_t{1}}, {"index", int64_t{0}}});
    return {b.Call("index", {Reshaped(b, x, flat), place})};
  }
  op::Values all = {x};
  for (const op::Value& at : Places(b, mask)) all.push_back(at);
  if (!b.status().ok()) return {nullptr};
  return {b.Call("index", std::move(all))};
}

// The k-th true place takes the k-th element: an index from 1, 0 where the mask is false.
op::Values ComposeMaskedScatter(op::Builder& b, Span in, const Attrs&) {
  const auto shape = Together(b, "masked_scatter", in[0], in[1]);
  if (!shape || !OneDType(b, "masked_scatter", in[0], in[2])) return {nullptr};
  const op::Value x = Expanded(b, in[0], *shape), mask = Expanded(b, in[1], *shape);
  if (!x || !mask) return {nullptr};
  const Shape flat = {shape->numel()};
  const op::Value chosen = Reshaped(b, mask, flat);
  op::Value place = b.Call("cumsum", {chosen}, {{"dim", int64_t{0}}});
  place = Mul(b, place, CastTo(b, chosen, DType::kInt64));
  const op::Value source = Reshaped(b, in[2], {in[2]->meta().shape.numel()});
  const op::Value padded = b.Call("constant_pad_nd", {source},
                                  {{"pad", std::vector<int64_t>{1, 0}}, {"value", int64_t{0}}});
  const op::Value taken = Reshaped(b, b.Call("index", {padded, place}), *shape);
  return {b.Call("where", {mask, taken, x})};
}

// --- in one pass, for calls without a tape and without layouts
// ------------------------------------

// The strides of an operand as its elements repeat over `shape`.
Strides Repeating(const op::TensorView& x, const Shape& shape) {
  Strides strides = ContiguousStrides(shape);
  const int more = shape.rank() - x.meta.shape.rank();
  for (int i = 0; i < shape.rank(); ++i) {
    const bool still = i < more || x.meta.shape[i - more] == 1;
    strides[i] = still ? 0 : x.strides[i - more];
  }
  return strides;
}

Status RunMaskedSelect(op::KernelContext& c) {
  const op::TensorView &x = c.inputs[0], &mask = c.inputs[1], &y = c.outputs[0];
  OFL_ASSIGN(const Shape shape, BroadcastShapes(x.meta.shape, mask.meta.shape));
  const std::array<Strides, 2> strides = {Repeating(x, shape), Repeating(mask, shape)};
  const int last = shape.rank() - 1;
  int64_t used = 0;
  WithBits(ElementSize(y), [&]<class T>(T) {
    T* to = y.as<T>();
    ForRows<2>(shape, strides, 0, shape.numel(), [&](const auto& offset, int64_t n) {
      const T* from = x.as<T>() + offset[0];
      const bool* chosen = mask.as<bool>() + offset[1];
      const int64_t step = last < 0 ? 0 : strides[0][last], next = last < 0 ? 0 : strides[1][last];
      // Each is written behind those that count, without a jump: the next one may replace it.
      for (int64_t j = 0; j < n; ++j) {
        to[used] = from[j * step];
        used += ElementAt(chosen + j * next) ? 1 : 0;
      }
    });
  });
  *c.extent = used;
  return Status::Ok();
}

Status RunMaskedScatter(op::KernelContext& c) {
  const op::TensorView &x = c.inputs[0], &mask = c.inputs[1], &source = c.inputs[2];
  const op::TensorView& y = c.outputs[0];
  const Shape& shape = y.meta.shape;
  if (y.numel() == 0) return Status::Ok();
  CopyBox(c.stream, {x.data, y.meta, Repeating(x, shape)}, y);
  const std::array<Strides, 2> strides = {y.strides, Repeating(mask, shape)};
  const int last = shape.rank() - 1;
  const int64_t given = source.numel();
  int64_t used = 0;
  WithBits(ElementSize(y), [&]<class T>(T) {
    const T* from = source.as<T>();
    ForRows<2>(shape, strides, 0, shape.numel(), [&](const auto& offset, int64_t n) {
      T* to = y.as<T>() + offset[0];
      const bool* chosen = mask.as<bool>() + offset[1];
      const int64_t next = last < 0 ? 0 : strides[1][last];
      for (int64_t j = 0; j < n; ++j) {
        const bool takes = ElementAt(chosen + j * next);
        if (takes && used < given) to[j] = from[used];
        used += takes ? 1 : 0;
      }
    });
  });
  OFL_ENSURE(used <= given, Code::kOutOfRange)
      << "[masked_scatter] the true places are out of bounds of source: got " << given
      << " elements for " << used << " places; expected one for each";
  return Status::Ok();
}

DType TogetherOf(const Scalar& a, const Scalar& b) {
  return op::DTypeOfNumber(std::max(a.category(), b.category()) == a.category() ? a : b);
}
op::Values ComposeWhereNumbers(op::Builder& b, Span in, const Attrs& attrs) {
  const Scalar yes = attrs.Number("input"), no = attrs.Number("other");
  const DType dtype = TogetherOf(yes, no);
  const op::Value shaped = CastTo(b, in[0], dtype);
  return {b.Call("where", {in[0], b.Call("full_like", {shaped}, {{"value", yes}}),
                           b.Call("full_like", {shaped}, {{"value", no}})})};
}

op::Sample Of(std::vector<TensorMeta> inputs, Attrs attrs = {}) {
  return {std::move(inputs), std::move(attrs), -2, 2};
}
constexpr DType kSome[] = {DType::kFloat64,   DType::kInt64, DType::kFloat16,
                           DType::kComplex64, DType::kUInt8, DType::kBool};

}  // namespace

OFL_OP(masked_fill) {
  op.Doc("`value` where mask is true, `input` elsewhere, with broadcasting.")
      .In("input")
      .In("mask")
      .Out("output")
      .Attr("value", op::AttrType::kScalar)
      .Compose(ComposeMaskedFillNumber)
      .Oracle("np.where(mask, np.asarray(value).astype(input.dtype), input)")
      .PyBoth("masked_fill(input, mask, value)")
      .PyMethod("masked_fill_(input, mask, value)")
      .Samples([] {
        return WithDTypes({Of({{kF, {2, 3}}, {kB, {2, 3}}}, {{"value", 1.5}}),
                           Of({{kF, {3}}, {kB, {2, 1}}}, {{"value", int64_t{0}}}),
                           Of({{kF, {}}, {kB, {}}}, {{"value", int64_t{0}}})},
                          kSome, {0});
      })
      .ErrorSamples({{{{kF, {2}}, {DType::kInt64, {2}}},
                      {{"value", 1.0}},
                      Code::kTypeMismatch,
                      "expected bool"}});
}

OFL_OP(masked_fill_tensor) {
  op.Doc("The 0-d tensor `value` where mask is true, `input` elsewhere, with broadcasting.")
      .In("input")
      .In("mask")
      .In("value")
      .Out("output")
      .Compose(ComposeMaskedFill)
      .Oracle("np.where(mask, value.astype(input.dtype), input)")
      .PyBoth("masked_fill(input, mask, value)")
      .PyMethod("masked_fill_(input, mask, value)")
      .Samples([] {
        return WithDTypes(
            {Of({{kF, {2, 3}}, {kB, {2, 3}}, {kF, {}}}), Of({{kF, {3}}, {kB, {2, 1}}, {kF, {}}})},
            kSome, {0, 2});
      })
      .ErrorSamples({{{{kF, {2}}, {kB, {2}}, {kF, {2}}}, {}, Code::kInvalidArgument, "0-d tensor"},
                     {{{kF, {2}}, {kB, {2}}, {DType::kComplex64, {}}},
                      {},
                      Code::kTypeMismatch,
                      "value.real"}});
}

OFL_OP(masked_select) {
  op.Doc(
        "The elements of `input` where mask is true, with broadcasting, as a vector. Its size\n"
        "depends on values, so a graph refuses it; where(mask, x, 0) keeps the shape.")
      .In("input")
      .In("mask")
      .OutBounded("output")
      .Compose(ComposeMaskedSelect)
      .Oracle("masked_select(input, mask)")
      .PyBoth("masked_select(input, mask)")
      .Samples([] {
        // Empty: of how many there are inference knows no more than the most.
        return WithDTypes({Of({{kF, {0, 3}}, {kB, {0, 3}}}), Of({{kF, {3}}, {kB, {0, 1}}})}, kSome,
                          {0});
      })
      .ErrorSamples({{{{kF, {2}}, {kB, {3}}}, {}, Code::kInvalidArgument, "broadcast"}});
  CpuForAllTypes(op, RunMaskedSelect);
}

OFL_OP(masked_scatter) {
  op.Doc(
        "The elements of `source`, in their order, where mask is true, `input` elsewhere; source "
        "has\n"
        "one at least for each true place.")
      .In("input")
      .In("mask")
      .In("source")
      .Out("output")
      .Compose(ComposeMaskedScatter)
      .Oracle("masked_scatter(input, mask, source)")
      .PyBoth("masked_scatter(input, mask, source)")
      .PyMethod("masked_scatter_(input, mask, source)")
      .Samples([] {
        return WithDTypes({Of({{kF, {2, 3}}, {kB, {2, 3}}, {kF, {6}}}),
                           Of({{kF, {2, 3}}, {kB, {3}}, {kF, {2, 4}}})},
                          kSome, {0, 2});
      })
      .ErrorSamples(
          {{{{kF, {2}}, {kB, {2}}, {DType::kInt64, {2}}}, {}, Code::kTypeMismatch, "one dtype"}});
  CpuForAllTypes(op, RunMaskedScatter);
}

OFL_OP(nonzero_places) {
  op.Doc("The indices of the elements that are not zero: one int64 vector for each axis.")
      .In("input")
      .OutVariadic("outputs")
      .Compose(ComposePlaces)
      .Oracle("np.nonzero(np.atleast_1d(input))")
      .Py("where(condition: input)")
      .Public()
      .Samples([] {
        // Without zeros: inference gives the most that there can be.
        std::vector<op::Sample> samples = {Of({{DType::kInt64, {2, 3}}}),
                                           Of({{DType::kInt64, {}}})};
        for (op::Sample& s : samples) s.low = 1, s.high = 3;
        return WithDTypes(std::move(samples), std::array{kF}, {0});
      });
}

OFL_OP(where_numbers) {
  op.Doc("The number `input` where condition is true, `other` elsewhere.")
      .In("condition")
      .Out("output")
      .Attr("input", op::AttrType::kScalar)
      .Attr("other", op::AttrType::kScalar)
      .Compose(ComposeWhereNumbers)
      .Oracle("np.where(condition, input, other).astype(number_dtype(input, other))")
      .Py("where(condition, input, other)")
      .Public()
      .Samples([]() -> std::vector<op::Sample> {
        return {Of({{kB, {2, 3}}}, {{"input", int64_t{1}}, {"other", int64_t{2}}}),
                Of({{kB, {3}}}, {{"input", 1.5}, {"other", int64_t{2}}}),
                Of({{kB, {}}}, {{"input", true}, {"other", false}})};
      })
      .ErrorSamples(
          {{{{kF, {2}}}, {{"input", 1.0}, {"other", 2.0}}, Code::kTypeMismatch, "not bool"}});
}

}  // namespace ofl::ops
