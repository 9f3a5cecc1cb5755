// Tensors brought to common shapes and joined: meshgrid, broadcast_tensors, atleast_*d, the stacks
// of NumPy, block_diag, cartesian_prod, vander: composites.
#include <algorithm>

#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

using Span = std::span<const op::Value>;

op::Value Reshaped(op::Builder& b, const op::Value& x, Ints shape) {
  return b.Call("reshape", {x}, {{"shape", std::move(shape)}});
}

// --- common shapes --------------------------------------------------------------------------

op::Values ComposeMeshgrid(op::Builder& b, Span in, const Attrs& attrs) {
  const std::string* said = attrs.Maybe<std::string>("indexing");
  const std::string indexing = said == nullptr ? "ij" : *said;
  if (indexing != "ij" && indexing != "xy") {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "indexing is neither 'ij' nor 'xy': got " << Quoted(indexing)
                          << "; expected one of them");
  }
  Ints grid;
  for (const op::Value& x : in) {
    const TensorMeta& meta = x->meta();
    if (meta.shape.rank() > 1) {
      return Refused(b, Error(Code::kInvalidArgument)
                            << "a tensor is no axis of a grid: got shape " << meta.shape
                            << "; expected vectors or 0-d tensors");
    }
    if (meta.dtype != in[0]->meta().dtype) {
      return Refused(b, Error(Code::kTypeMismatch)
                            << "the tensors differ in dtype: got " << DTypeName(in[0]->meta().dtype)
                            << " and " << DTypeName(meta.dtype) << "; expected one dtype");
    }
    grid.push_back(meta.shape.numel());
  }
  op::Values out;
  for (size_t i = 0; i < in.size(); ++i) {
    Ints thin(in.size(), 1);
    thin[i] = grid[i];
    op::Value x = b.Call("broadcast_to", {Reshaped(b, in[i], std::move(thin))}, {{"shape", grid}});
    if (indexing == "xy" && in.size() > 1)
      x = b.Call("transpose", {x}, {{"dim0", int64_t{0}}, {"dim1", int64_t{1}}});
    out.push_back(std::move(x));
  }
  return out;
}

op::Values ComposeBroadcastTensors(op::Builder& b, Span in, const Attrs&) {
  Shape common = in[0]->meta().shape;
  for (const op::Value& x : in) {
    const auto both = BroadcastShapes(common, x->meta().shape);
    if (!both.ok()) return Refused(b, both.status());
    common = *both;
  }
  op::Values out;
  for (const op::Value& x : in)
    out.push_back(b.Call("broadcast_to", {x}, {{"shape", DimsOf(common)}}));
  return out;
}

// `x` with at least `least` axes, where NumPy puts the new ones.
op::Value AtLeast(op::Builder& b, const op::Value& x, int least) {
  const Shape& shape = x->meta().shape;
  if (shape.rank() >= least) return x;
  Ints dims = DimsOf(shape);
  if (least == 3) {
    if (dims.empty()) dims = {1};
    if (dims.size() == 1) dims.insert(dims.begin(), 1);
    dims.push_back(1);
  } else {
    dims.insert(dims.begin(), least - dims.size(), 1);
  }
  return Reshaped(b, x, std::move(dims));
}
template <int kLeast>
op::Values ComposeAtLeast(op::Builder& b, Span in, const Attrs&) {
  op::Values out;
  for (const op::Value& x : in) out.push_back(AtLeast(b, x, kLeast));
  return out;
}

// --- joins ----------------------------------------------------------------------------------

op::Values JoinedAlong(op::Builder& b, op::Values parts, int64_t dim) {
  return {b.Call("concat", std::move(parts), {{"dim", dim}})};
}
op::Values ComposeHstack(op::Builder& b, Span in, const Attrs& attrs) {
  op::Values parts = ComposeAtLeast<1>(b, in, attrs);
  if (parts[0] == nullptr) return {nullptr};
  return JoinedAlong(b, std::move(parts), in[0]->meta().shape.rank() > 1 ? 1 : 0);
}
op::Values ComposeVstack(op::Builder& b, Span in, const Attrs& attrs) {
  return JoinedAlong(b, ComposeAtLeast<2>(b, in, attrs), 0);
}
op::Values ComposeDstack(op::Builder& b, Span in, const Attrs& attrs) {
  return JoinedAlong(b, ComposeAtLeast<3>(b, in, attrs), 2);
}
op::Values ComposeColumnStack(op::Builder& b, Span in, const Attrs&) {
  op::Values parts;
  for (const op::Value& x : in)
    parts.push_back(x->meta().shape.rank() > 1 ? x : Reshaped(b, x, {x->meta().shape.numel(), 1}));
  return JoinedAlong(b, std::move(parts), 1);
}

op::Values ComposeBlockDiag(op::Builder& b, Span in, const Attrs&) {
  op::Values blocks;
  int64_t width = 0;
  for (const op::Value& x : in) {
    if (x->meta().shape.rank() > 2) {
      return Refused(b, Error(Code::kInvalidArgument)
                            << "a block has more than two axes: got shape " << x->meta().shape
                            << "; expected matrices, vectors or 0-d tensors");
    }
    blocks.push_back(AtLeast(b, x, 2));
    if (blocks.back() == nullptr) return {nullptr};
    width = SaturatingAdd(width, blocks.back()->meta().shape[1]);
  }
  op::Values rows;
  int64_t at = 0;
  for (const op::Value& block : blocks) {
    const Shape& shape = block->meta().shape;
    const int64_t end = at + shape[1];
    rows.push_back(b.Call("slice_grad", {block},
                          {{"shape", Ints{shape[0], width}},
                           {"begin", Ints{0, at}},
                           {"end", Ints{shape[0], end}},
                           {"step", Ints{1, 1}}}));
    at = end;
  }
  return JoinedAlong(b, std::move(rows), 0);
}

op::Values ComposeCartesian(op::Builder& b, Span in, const Attrs&) {
  for (const op::Value& x : in) {
    if (x->meta().shape.rank() == 1) continue;
    return Refused(b, Error(Code::kInvalidArgument) << "a tensor is no vector: got shape "
                                                    << x->meta().shape << "; expected vectors");
  }
  if (in.size() == 1) return {in[0]};
  op::Values grids = b.CallAll("meshgrid", {in.begin(), in.end()});
  if (grids[0] == nullptr) return {nullptr};
  const op::Value places = b.Call("stack", std::move(grids), {{"dim", int64_t{-1}}});
  int64_t count = 1;
  for (const op::Value& x : in) count = SaturatingMul(count, x->meta().shape[0]);
  return {Reshaped(b, places, {count, std::ssize(in)})};
}

// --- matrices -------------------------------------------------------------------------------

constexpr int64_t kMaxColumns = 1 << 16;  // each is a tensor

// x^0, x^1, ...: `count` of them.
op::Values Powers(op::Builder& b, const op::Value& x, int64_t count) {
  op::Values powers = {b.Call("ones_like", {x})};
  for (int64_t i = 1; i < count; ++i)
    powers.push_back(i == 1 ? x : b.Call("mul", {powers.back(), x}));
  return powers;
}

op::Values ComposeVander(op::Builder& b, Span in, const Attrs& attrs) {
  const Shape& shape = in[0]->meta().shape;
  if (shape.rank() != 1) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "x is no vector: got shape " << shape << "; expected one axis");
  }
  const int64_t* given = attrs.Maybe<int64_t>("N");
  const int64_t count = given == nullptr ? shape[0] : *given;
  if (count < 0 || count > kMaxColumns) {
    return Refused(b, Error(Code::kInvalidArgument) << "N is no number of columns: got " << count
                                                    << "; expected 0 to " << kMaxColumns);
  }
  const DType dtype = in[0]->meta().dtype;
  op::Value x = in[0];
  if (CategoryOf(dtype) <= DTypeCategory::kInteger && dtype != DType::kInt64)
    x = b.Call("cast", {x}, {{"dtype", DType::kInt64}});
  if (count == 0) {
    const op::Value column = Reshaped(b, x, {-1, 1});
    return {b.Call("identity",
                   {b.Call("narrow", {column},
                           {{"dim", int64_t{1}}, {"start", int64_t{0}}, {"length", int64_t{0}}})})};
  }
  op::Values columns = Powers(b, x, count);
  if (!attrs.Get<bool>("increasing")) std::ranges::reverse(columns);
  return {b.Call("stack", std::move(columns), {{"dim", int64_t{1}}})};
}

op::Values ComposeLinalgVander(op::Builder& b, Span in, const Attrs& attrs) {
  const Shape& shape = in[0]->meta().shape;
  const DType dtype = in[0]->meta().dtype;
  const int64_t* given = attrs.Maybe<int64_t>("N");
  const int64_t count = given != nullptr ? *given : shape.rank() > 0 ? shape[shape.rank() - 1] : 1;
  if (dtype == DType::kBool || count < 2 || count > kMaxColumns) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "powers are of numbers, and at least two: got N=" << count << " of "
                          << in[0]->meta().ToString() << "; expected N from 2 to " << kMaxColumns
                          << ", and no bool");
  }
  op::Value x = shape.rank() == 0 ? Reshaped(b, in[0], {1}) : in[0];
  if (IsInteger(dtype) && dtype != DType::kInt64)
    x = b.Call("cast", {x}, {{"dtype", DType::kInt64}});
  return {b.Call("stack", Powers(b, x, count), {{"dim", int64_t{-1}}})};
}

op::Values ComposeTrace(op::Builder& b, Span in, const Attrs&) {
  const TensorMeta& meta = in[0]->meta();
  if (meta.shape.rank() != 2 || meta.dtype == DType::kBool) {
    return Refused(b, Error(meta.shape.rank() != 2 ? Code::kInvalidArgument : Code::kUnimplemented)
                          << "the trace is of matrices of numbers: got " << meta.ToString()
                          << "; expected two axes, and no bool");
  }
  return {b.Call("sum", {b.Call("diagonal", {in[0]})})};
}

// --- samples --------------------------------------------------------------------------------

op::Sample Of(std::vector<Shape> shapes, Attrs attrs = {}) {
  op::Sample sample;
  for (const Shape& shape : shapes) sample.inputs.push_back({DType::kFloat32, shape});
  sample.attrs = std::move(attrs);
  return sample;
}

op::OpDefBuilder& Joined(op::OpDefBuilder& op, const char* doc, op::DecomposeFn fn) {
  return op.Doc(doc).InVariadic("tensors").Out("output").Compose(fn);
}
op::OpDefBuilder& Several(op::OpDefBuilder& op, const char* doc, op::DecomposeFn fn) {
  return op.Doc(doc).InVariadic("tensors").OutVariadic("outputs").Compose(fn);
}
std::vector<op::ErrorSample> Unequal(Shape a, Shape c) {
  return {{{{DType::kFloat32, a}, {DType::kFloat32, c}},
           {},
           Code::kInvalidArgument,
           "every axis but dim"}};
}
std::vector<op::Sample> AtLeastSamples() {
  return InEveryDType({Of({Shape{}}), Of({{3}}), Of({{2, 3}}), Of({{2, 3, 4}})});
}
std::vector<op::Sample> AtLeastLists() {
  return InEveryDType({Of({Shape{}, {3}}), Of({{2, 3}, {2, 1, 2}})});
}

}  // namespace

OFL_OP(meshgrid) {
  Several(op,
          "Grids of the places that vectors name: result i repeats tensors[i] along all axes but "
          "i; with\n'xy' the first two axes are swapped.",
          ComposeMeshgrid)
      .OptionalAttr("indexing", op::AttrType::kString)
      .Oracle("tuple(np.meshgrid(*tensors, indexing=indexing or 'ij'))")
      .Py("meshgrid(*tensors, indexing=None)")
      .Public()
      .Samples([] {
        return InEveryDType({Of({{2}, {3}}), Of({{2}, {3}}, {{"indexing", std::string("xy")}}),
                             Of({{2}, Shape{}, {3}}, {{"indexing", std::string("xy")}}),
                             Of({{2}}, {{"indexing", std::string("ij")}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}, {DType::kInt64, {2}}},
                      {},
                      Code::kTypeMismatch,
                      "expected one dtype"},
                     {{{DType::kFloat32, {2, 2}}}, {}, Code::kInvalidArgument, "expected vectors"},
                     {{{DType::kFloat32, {2}}},
                      {{"indexing", std::string("ab")}},
                      Code::kInvalidArgument,
                      "expected one of them"}});
}

OFL_OP(broadcast_tensors) {
  Several(op, "The tensors repeated to their common shape.", ComposeBroadcastTensors)
      .Oracle("tuple(np.broadcast_arrays(*tensors))")
      .Py("broadcast_tensors(*tensors)")
      .Public()
      .Samples([] { return InEveryDType({Of({{2, 1}, {3}}), Of({Shape{}, {2, 3}}), Of({{3}})}); })
      .ErrorSamples(
          {{{{DType::kFloat32, {2}}, {DType::kFloat32, {3}}}, {}, Code::kInvalidArgument, "(3,)"}});
}

OFL_OP(atleast_1d) {
  op.Doc("`input`, a 0-d one as a vector.").In("input").Out("output").Compose(ComposeAtLeast<1>);
  op.Oracle("np.atleast_1d(input)").Py("atleast_1d(input)").Public().Samples(AtLeastSamples);
}
OFL_OP(atleast_1d_list) {
  Several(op, "The tensors, 0-d ones as vectors.", ComposeAtLeast<1>)
      .Oracle("tuple(np.atleast_1d(t) for t in tensors)")
      .Py("atleast_1d(*tensors)")
      .Public()
      .Samples(AtLeastLists);
}
OFL_OP(atleast_2d) {
  op.Doc("`input` with axes of size 1 in front until there are two.")
      .In("input")
      .Out("output")
      .Compose(ComposeAtLeast<2>)
      .Oracle("np.atleast_2d(input)")
      .Py("atleast_2d(input)")
      .Public()
      .Samples(AtLeastSamples);
}
OFL_OP(atleast_2d_list) {
  Several(op, "The tensors with axes of size 1 in front until there are two.", ComposeAtLeast<2>)
      .Oracle("tuple(np.atleast_2d(t) for t in tensors)")
      .Py("atleast_2d(*tensors)")
      .Public()
      .Samples(AtLeastLists);
}
OFL_OP(atleast_3d) {
  op.Doc("`input` with three axes: those of a vector are (1, n, 1), those of a matrix (m, n, 1).")
      .In("input")
      .Out("output")
      .Compose(ComposeAtLeast<3>)
      .Oracle("np.atleast_3d(input)")
      .Py("atleast_3d(input)")
      .Public()
      .Samples(AtLeastSamples);
}
OFL_OP(atleast_3d_list) {
  Several(op, "The tensors with three axes: (1, n, 1) of a vector, (m, n, 1) of a matrix.",
          ComposeAtLeast<3>)
      .Oracle("tuple(np.atleast_3d(t) for t in tensors)")
      .Py("atleast_3d(*tensors)")
      .Public()
      .Samples(AtLeastLists);
}

OFL_OP(hstack) {
  Joined(op, "The tensors side by side: along axis 1, vectors along axis 0.", ComposeHstack)
      .Oracle("np.hstack(tensors)")
      .Py("hstack(tensors)")
      .Public()
      .Samples(
          [] { return InEveryDType({Of({{2, 3}, {2, 1}}), Of({{3}, {2}}), Of({Shape{}, {2}})}); })
      .ErrorSamples(Unequal({2, 3}, {3, 3}));
}
OFL_OP(vstack) {
  Joined(op, "The tensors on top of each other; vectors are rows.", ComposeVstack)
      .Oracle("np.vstack(tensors)")
      .Py("vstack(tensors)")
      .Py("row_stack(tensors)")
      .Public()
      .Samples([] { return InEveryDType({Of({{2, 3}, {3}}), Of({{3}, {3}}), Of({Shape{}})}); })
      .ErrorSamples(Unequal({2, 3}, {2, 4}));
}
OFL_OP(dstack) {
  Joined(op, "The tensors behind each other: along axis 2.", ComposeDstack)
      .Oracle("np.dstack(tensors)")
      .Py("dstack(tensors)")
      .Public()
      .Samples([] { return InEveryDType({Of({{2, 3}, {2, 3, 2}}), Of({{3}, {3}})}); })
      .ErrorSamples(Unequal({2, 3}, {2, 4}));
}
OFL_OP(column_stack) {
  Joined(op, "The tensors side by side; vectors are columns.", ComposeColumnStack)
      .Oracle("np.column_stack(tensors)")
      .Py("column_stack(tensors)")
      .Public()
      .Samples([] { return InEveryDType({Of({{3}, {3, 2}, {3}}), Of({Shape{}, Shape{}})}); })
      .ErrorSamples(Unequal({2, 3}, {3}));
}

OFL_OP(block_diag) {
  Joined(op, "A matrix of zeros with the tensors as blocks along its diagonal.", ComposeBlockDiag)
      .Promote(op::Promotion::kCommon)
      .Oracle("block_diag(tensors)")
      .Py("block_diag(*tensors)")
      .Public()
      .Samples([] {
        return InEveryDType(
            {Of({{2, 3}, {2}}), Of({Shape{}, {2, 1}, {1, 2}}), Of({{0, 3}, {2}}), Of({{3}})});
      })
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 2, 2}}}, {}, Code::kInvalidArgument, "more than two axes"}});
}

OFL_OP(cartesian_prod) {
  Joined(op, "Rows of all ways to take one element of each vector.", ComposeCartesian)
      .Oracle("cartesian(tensors)")
      .Py("cartesian_prod(*tensors)")
      .Public()
      .Samples([] { return InEveryDType({Of({{2}, {3}}), Of({{2}, {1}, {2}}), Of({{3}})}); })
      .ErrorSamples({{{{DType::kFloat32, {2, 2}}}, {}, Code::kInvalidArgument, "expected vectors"},
                     {{{DType::kFloat32, {2}}, {DType::kInt64, {2}}},
                      {},
                      Code::kTypeMismatch,
                      "expected one dtype"}});
}

OFL_OP(vander) {
  op.Doc("Columns x^(N-1) ... x^1 x^0, or in increasing order. Integers are int64.")
      .In("x")
      .Out("output")
      .OptionalAttr("N", op::AttrType::kInt)
      .Attr("increasing", op::AttrType::kBool, false)
      .Compose(ComposeVander)
      .Oracle("np.vander(x, N, increasing)")
      .Py("vander(x, N=None, increasing=False)")
      .Public()
      .Samples([] {
        std::vector<op::Sample> samples = {Of({{3}}), Of({{3}}, {{"N", int64_t{2}}}),
                                           Of({{2}}, {{"N", int64_t{4}}, {"increasing", true}}),
                                           Of({{2}}, {{"N", int64_t{0}}})};
        for (DType dtype : {DType::kInt64, DType::kInt8, DType::kBool, DType::kComplex64}) {
          samples.push_back(samples.front());
          samples.back().inputs[0].dtype = dtype;
        }
        return samples;
      })
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 2}}}, {}, Code::kInvalidArgument, "one axis"},
           {{{DType::kFloat32, {2}}}, {{"N", int64_t{-1}}}, Code::kInvalidArgument, "got -1"}});
}

OFL_OP(linalg_vander) {
  op.Doc("Vandermonde matrices of the last axis: rows x^0 x^1 ... x^(N-1). Integers are int64.")
      .In("x")
      .Out("output")
      .OptionalAttr("N", op::AttrType::kInt)
      .Compose(ComposeLinalgVander)
      .Oracle("powers(x, N)")
      .Py("linalg.vander(x, N=None)")
      .Samples([] {
        std::vector<op::Sample> samples = {Of({{2, 3}}), Of({{3}}, {{"N", int64_t{2}}}),
                                           Of({Shape{}}, {{"N", int64_t{3}}})};
        for (DType dtype : {DType::kInt32, DType::kComplex64}) {
          samples.push_back(samples.front());
          samples.back().inputs[0].dtype = dtype;
        }
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {1}}}, {}, Code::kInvalidArgument, "expected N from 2"},
                     {{{DType::kBool, {2}}}, {}, Code::kInvalidArgument, "no bool"}});
}

OFL_OP(trace) {
  op.Doc("The sum of a matrix's diagonal; of integers as int64.")
      .In("input")
      .Out("output")
      .Compose(ComposeTrace)
      .Oracle("np.trace(input)")
      .PyBoth("trace(input)")
      .Samples([] {
        std::vector<op::Sample> samples = {Of({{3, 3}}), Of({{2, 4}}), Of({{0, 2}})};
        for (DType dtype : {DType::kInt32, DType::kFloat16, DType::kComplex64}) {
          samples.push_back(samples.front());
          samples.back().inputs[0].dtype = dtype;
        }
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}}, {}, Code::kInvalidArgument, "two axes"},
                     {{{DType::kBool, {2, 2}}}, {}, Code::kUnimplemented, "no bool"}});
}

}  // namespace ofl::ops
