// flip: axes backwards; and what is composed of it: roll, rot90.
#include <algorithm>

#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

using Span = std::span<const op::Value>;

// Which axes `dims` names; kInvalidArgument where one is named twice.
Result<std::array<bool, kMaxRank>> NamedAxes(const Ints& dims, int rank) {
  std::array<bool, kMaxRank> named{};
  for (int64_t dim : dims) {
    OFL_ASSIGN(const int axis, NormalizeAxis(dim, rank));
    OFL_ENSURE(!named[axis], Code::kInvalidArgument)
        << "dims names axis " << axis << " twice; expected each axis once";
    named[axis] = true;
  }
  return named;
}

Status InferFlip(op::InferContext& c) {
  OFL_TRY(NamedAxes(c.attr<Ints>("dims"), c.input(0).shape.rank()).status());
  c.AddOutput(c.input(0));
  return Status::Ok();
}

std::string FlipRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const auto named = NamedAxes(attrs.Get<Ints>("dims"), in[0].rank()).value();  // passed Infer
  std::string axes = "(";
  for (int i = 0; i < in[0].rank(); ++i)
    axes += named[i] ? std::string("! ") : "a" + std::to_string(i) + " ";
  return axes + ")->" + axes + "); linear 0; monotone 0";
}

Status RunFlip(op::KernelContext& c) {
  const op::TensorView& in = c.inputs[0];
  op::ViewGeometry view{in.meta.shape, in.strides, 0};
  OFL_ASSIGN(const auto named, NamedAxes(c.attr<Ints>("dims"), in.meta.shape.rank()));
  if (in.numel() == 0) return Status::Ok();
  for (int i = 0; i < in.meta.shape.rank(); ++i) {
    if (!named[i]) continue;
    view.offset += (view.shape[i] - 1) * view.strides[i];
    view.strides[i] = -view.strides[i];
  }
  CopyBox(c.stream, ViewOf(in, view), c.outputs[0]);
  return Status::Ok();
}

void GradFlip(op::GradContext& c) {
  if (c.grads[0] && c.Needs(0)) c.Set(0, c.b.Call("flip", {c.grads[0]}, c.attrs));
}

// The gradient comes turned: it is turned back first, so that what is flipped lies dense.
void GradTurnedFlip(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  const auto first = c.attrs.Get<int64_t>("dim0"), second = c.attrs.Get<int64_t>("dim1");
  const Attrs turn = {{"dim0", first}, {"dim1", second}};
  const int64_t axis = c.attrs.Get<Ints>("dims")[0];
  Attrs attrs = c.attrs;
  attrs.Set("dims", Ints{axis == first ? second : first});
  const op::Value turned = c.b.Call("transpose", {c.grads[0]}, turn);
  c.Set(0, c.b.Call("transpose", {c.b.Call("turned_flip", {turned}, attrs)}, turn));
}

Status InferTurnedFlip(op::InferContext& c) {
  const Ints& dims = c.attr<Ints>("dims");
  const auto first = c.attr<int64_t>("dim0"), second = c.attr<int64_t>("dim1");
  OFL_ENSURE(dims.size() == 1 && first != second && (dims[0] == first || dims[0] == second),
             Code::kInvalidArgument)
      << "dims must be one of two axes, dim0 and dim1; expected dims=(dim0,) or dims=(dim1,)";
  for (int64_t axis : {first, second})
    OFL_ENSURE(axis >= 0 && axis < c.input(0).shape.rank(), Code::kOutOfRange)
        << "dim0 and dim1 must be axes of input, counted from the front; expected 0 <= axis < "
        << c.input(0).shape.rank();
  return InferFlip(c);
}

op::Values ComposeFliplr(op::Builder& b, Span in, const Attrs&) {
  if (in[0]->meta().shape.rank() < 2) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "a vector has no columns: got " << in[0]->meta().shape.rank()
                          << " axes; expected at least 2");
  }
  return {b.Call("flip", {in[0]}, {{"dims", Ints{1}}})};
}
op::Values ComposeFlipud(op::Builder& b, Span in, const Attrs&) {
  if (in[0]->meta().shape.rank() < 1) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "a 0-d tensor has no rows: got 0 axes; expected at least 1");
  }
  return {b.Call("flip", {in[0]}, {{"dims", Ints{0}}})};
}

op::Value Rolled(op::Builder& b, const op::Value& x, int axis, int64_t shift) {
  const int64_t size = x->meta().shape[axis];
  const int64_t at = size == 0 ? 0 : (shift % size + size) % size;
  if (at == 0) return x;
  const Attrs dim = {{"dim", int64_t{axis}}};
  const auto part = [&](int64_t start, int64_t length) {
    return b.Call("narrow", {x}, {{"dim", int64_t{axis}}, {"start", start}, {"length", length}});
  };
  return b.Call("concat", {part(size - at, at), part(0, size - at)}, dim);
}

op::Values ComposeRoll(op::Builder& b, Span in, const Attrs& attrs) {
  const Shape& shape = in[0]->meta().shape;
  const Ints &shifts = attrs.Get<Ints>("shifts"), &dims = attrs.Get<Ints>("dims");
  const bool flat = dims.empty() && shifts.size() == 1;
  if (shifts.empty() || (shifts.size() != dims.size() && !flat)) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "shifts and dims must align: got " << shifts.size() << " shifts and "
                          << dims.size() << " dims; expected one shift for each of dims, or one "
                          << "shift alone");
  }
  op::Value rolled = in[0];
  if (flat && shape.numel() > 1) {
    rolled = b.Call("reshape", {rolled}, {{"shape", Ints{-1}}});
    if (rolled == nullptr) return {nullptr};
    rolled = b.Call("reshape", {Rolled(b, rolled, 0, shifts[0])}, {{"shape", DimsOf(shape)}});
  }
  for (size_t i = 0; i < dims.size() && rolled != nullptr; ++i) {
    if (shape.rank() == 0) {
      return Refused(b, Error(Code::kOutOfRange)
                            << "a 0-d tensor has no axis " << dims[i] << "; expected no dims");
    }
    const auto axis = NormalizeAxis(dims[i], shape.rank());
    if (!axis.ok()) return Refused(b, axis.status());
    rolled = Rolled(b, rolled, *axis, shifts[i]);
  }
  return {rolled == in[0] ? b.Call("identity", {rolled}) : rolled};
}

op::Values ComposeRot90(op::Builder& b, Span in, const Attrs& attrs) {
  const int rank = in[0]->meta().shape.rank();
  const Ints& dims = attrs.Get<Ints>("dims");
  if (dims.size() != 2 || rank < 2) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "a rotation turns two axes: got " << dims.size() << " dims of " << rank
                          << " axes; expected two dims of at least 2 axes");
  }
  const auto first = NormalizeAxis(dims[0], rank), second = NormalizeAxis(dims[1], rank);
  if (!first.ok() || !second.ok()) return Refused(b, first.ok() ? second.status() : first.status());
  if (*first == *second) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "a rotation turns two axes: both dims are axis " << *first
                          << "; expected two axes");
  }
  const int64_t turns = (attrs.Get<int64_t>("k") % 4 + 4) % 4;
  if (turns == 0) return {b.Call("identity", {in[0]})};
  if (turns == 2) return {b.Call("flip", {in[0]}, {{"dims", Ints{*first, *second}}})};
  // A flip of what lies dense is quick; turned, the result is strided, as torch's is.
  Attrs turn = {{"dim0", int64_t{*first}}, {"dim1", int64_t{*second}}};
  Attrs flip = turn;
  flip.Set("dims", Ints{turns == 1 ? *second : *first});
  return {b.Call("transpose", {b.Call("turned_flip", {in[0]}, flip)}, turn)};
}

op::Sample Of(Shape shape, Attrs attrs = {}) {
  return {{{DType::kFloat32, shape}}, std::move(attrs)};
}

}  // namespace

OFL_OP(flip) {
  op.Doc("`input` with the axes of `dims` backwards. A copy.")
      .In("input")
      .Out("output")
      .Attr("dims", op::AttrType::kInts)
      .Infer(InferFlip)
      .Sbp(FlipRule)
      .Grad(GradFlip)
      .Strided()
      .Oracle("np.flip(input, [d for d in dims if input.ndim])")
      .PyBoth("flip(input, *dims)")
      .Samples([] {
        return InEveryDType({Of({2, 3, 4}, {{"dims", Ints{0, -1}}}), Of({3}, {{"dims", Ints{0}}}),
                             Of({2, 3}, {{"dims", Ints{}}}), Of({0, 3}, {{"dims", Ints{1}}}),
                             Of({}, {{"dims", Ints{0}}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"dims", Ints{0, -2}}},
                      Code::kInvalidArgument,
                      "expected each axis once"},
                     {{{DType::kFloat32, {2, 3}}},
                      {{"dims", Ints{2}}},
                      Code::kOutOfRange,
                      "[-2, 1], but got 2"}});
  CpuForAllTypes(op, RunFlip);
}

OFL_OP(turned_flip) {
  op.Doc(
        "`input` with axis dims[0] backwards, of which a transposed view of dim0 and dim1 is taken "
        "next.")
      .In("input")
      .Out("output")
      .Attr("dims", op::AttrType::kInts)
      .Attr("dim0", op::AttrType::kInt)
      .Attr("dim1", op::AttrType::kInt)
      .Infer(InferTurnedFlip)
      .Sbp(FlipRule)
      .Grad(GradTurnedFlip)
      .Strided()
      .Oracle("np.flip(input, dims)")
      .Py("_turned_flip(input, dims, dim0, dim1)")
      .Samples([] {
        const Attrs first = {{"dims", Ints{0}}, {"dim0", int64_t{0}}, {"dim1", int64_t{1}}};
        const Attrs last = {{"dims", Ints{2}}, {"dim0", int64_t{0}}, {"dim1", int64_t{2}}};
        return InEveryDType({Of({2, 3}, first), Of({2, 3, 4}, last), Of({0, 3}, first)});
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"dims", Ints{0}}, {"dim0", int64_t{1}}, {"dim1", int64_t{1}}},
                      Code::kInvalidArgument,
                      "one of two axes"},
                     {{{DType::kFloat32, {2, 3}}},
                      {{"dims", Ints{0}}, {"dim0", int64_t{0}}, {"dim1", int64_t{2}}},
                      Code::kOutOfRange,
                      "counted from the front"}});
  CpuForAllTypes(op, RunFlip);
}

OFL_OP(fliplr) {
  op.Doc("`input` with its columns, axis 1, backwards.")
      .In("input")
      .Out("output")
      .Compose(ComposeFliplr)
      .Oracle("np.fliplr(input)")
      .PyBoth("fliplr(input)")
      .Samples([] { return InEveryDType({Of({2, 3}), Of({2, 3, 2})}); })
      .ErrorSamples({{{{DType::kFloat32, {3}}}, {}, Code::kInvalidArgument, "at least 2"}});
}

OFL_OP(flipud) {
  op.Doc("`input` with its rows, axis 0, backwards.")
      .In("input")
      .Out("output")
      .Compose(ComposeFlipud)
      .Oracle("np.flipud(input)")
      .PyBoth("flipud(input)")
      .Samples([] { return InEveryDType({Of({2, 3}), Of({3})}); })
      .ErrorSamples({{{{DType::kFloat32, {}}}, {}, Code::kInvalidArgument, "at least 1"}});
}

OFL_OP(roll) {
  op.Doc(
        "`input` moved on by shifts[i] places along axis dims[i]; what leaves at the end comes in "
        "at the\nbeginning. Without dims the elements move on in row-major order.")
      .In("input")
      .Out("output")
      .Attr("shifts", op::AttrType::kInts)
      .Attr("dims", op::AttrType::kInts, Ints{})
      .Compose(ComposeRoll)
      .Oracle("roll(input, shifts, dims)")
      .PyBoth("roll(input, shifts, dims=None)")
      .Samples([] {
        return InEveryDType({Of({2, 3}, {{"shifts", Ints{1}}, {"dims", Ints{-1}}}),
                             Of({2, 3}, {{"shifts", Ints{-4}}}),
                             Of({4, 3}, {{"shifts", Ints{5, -1}}, {"dims", Ints{0, 1}}}),
                             Of({0, 3}, {{"shifts", Ints{2}}, {"dims", Ints{0}}}),
                             Of({}, {{"shifts", Ints{1}}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"shifts", Ints{1, 2}}, {"dims", Ints{0}}},
                      Code::kInvalidArgument,
                      "got 2 shifts and 1 dims"},
                     {{{DType::kFloat32, {2, 3}}},
                      {{"shifts", Ints{1}}, {"dims", Ints{2}}},
                      Code::kOutOfRange,
                      "[-2, 1], but got 2"}});
}

OFL_OP(rot90) {
  op.Doc("`input` turned `k` times by a right angle, from the first of `dims` to the second.")
      .In("input")
      .Out("output")
      .Attr("k", op::AttrType::kInt, int64_t{1})
      .Attr("dims", op::AttrType::kInts, Ints{0, 1})
      .Compose(ComposeRot90)
      .Oracle("np.rot90(input, k, dims)")
      .PyBoth("rot90(input, k=1, dims=(0, 1))")
      .Samples([] {
        return InEveryDType({Of({2, 3}), Of({2, 3, 4}, {{"k", int64_t{-1}}, {"dims", Ints{2, 0}}}),
                             Of({2, 3}, {{"k", int64_t{2}}}), Of({2, 3}, {{"k", int64_t{4}}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {3}}}, {}, Code::kInvalidArgument, "at least 2 axes"},
                     {{{DType::kFloat32, {3, 3}}},
                      {{"dims", Ints{1, -1}}},
                      Code::kInvalidArgument,
                      "both dims are axis 1"}});
}

}  // namespace ofl::ops
