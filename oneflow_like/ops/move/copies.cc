// What views show, in memory of its own: permute_copy, select_copy and their kin. A copy is its
// view's definition but for the name, so each is a line.
#include <algorithm>
#include <string>

#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

using Span = std::span<const op::Value>;

// The name of a view as an argument of a template.
template <size_t N>
struct Name {
  constexpr Name(const char (&text)[N]) { std::copy_n(text, N, chars); }  // NOLINT: on purpose
  char chars[N];
};

template <Name kView>
op::Values ComposeCopy(op::Builder& b, Span in, const Attrs& attrs) {
  op::Values copies;
  for (const op::Value& shown : b.CallAll(kView.chars, {in[0]}, attrs))
    copies.push_back(shown == nullptr ? shown : b.Call("identity", {shown}));
  if (copies.empty() && !b.status().ok()) return {nullptr};
  return copies;
}

op::OpDef DefinitionOf(std::string_view name) {
  op::OpDef def;
  op::OpDefBuilder builder(def);
  for (const op::OpEntry& entry : op::AllOps())
    if (name == entry.name) entry.fn(builder);
  return def;
}

// The samples of a view; its first one in each dtype that the view has a kernel for.
std::function<std::vector<op::Sample>()> SamplesOf(const op::OpDef& view) {
  std::vector<DType> dtypes;
  for (const op::KernelEntry& kernel : view.kernels) dtypes.push_back(kernel.dtype);
  return [make = view.samples, dtypes] {
    std::vector<op::Sample> samples = make();
    for (DType dtype : dtypes) {
      if (std::ranges::any_of(samples,
                              [&](const op::Sample& s) { return s.inputs[0].dtype == dtype; }))
        continue;
      samples.push_back(samples.front());
      samples.back().inputs[0].dtype = dtype;
    }
    return samples;
  };
}

template <Name kView>
op::OpDefBuilder& DefineCopy(op::OpDefBuilder& op) {
  const op::OpDef view = DefinitionOf(kView.chars);
  op.Doc(std::string("What ") + kView.chars + " shows, in memory of its own.");
  op.In(view.inputs[0].name);
  if (view.outputs[0].variadic) {
    op.OutVariadic(view.outputs[0].name);
  } else {
    op.Out(view.outputs[0].name);
  }
  for (const op::AttrDef& attr : view.attrs) {
    if (attr.optional) {
      op.OptionalAttr(attr.name, attr.type);
    } else if (attr.default_value) {
      op.Attr(attr.name, attr.type, *attr.default_value);
    } else {
      op.Attr(attr.name, attr.type);
    }
  }
  return op.Compose(ComposeCopy<kView>)
      .Oracle(view.oracle)
      .Samples(SamplesOf(view))
      .ErrorSamples(view.error_samples);
}

// One axis of slice, with Python's rules for bounds.
op::Values ComposeSlice(op::Builder& b, Span in, const Attrs& attrs) {
  const Shape& shape = in[0]->meta().shape;
  if (shape.rank() == 0) {
    return Refused(b, Error(Code::kOutOfRange)
                          << "a 0-d tensor has no axis to slice; expected at least one axis");
  }
  const auto axis = NormalizeAxis(attrs.Get<int64_t>("dim"), shape.rank());
  if (!axis.ok()) return Refused(b, axis.status());
  const int64_t *start = attrs.Maybe<int64_t>("start"), *end = attrs.Maybe<int64_t>("end");
  Ints begin(shape.rank(), 0), stop = DimsOf(shape), step(begin.size(), 1);
  if (start != nullptr) begin[*axis] = *start;
  if (end != nullptr) stop[*axis] = *end;
  step[*axis] = attrs.Get<int64_t>("step");
  return {b.Call("slice", {in[0]}, {{"begin", begin}, {"end", stop}, {"step", step}})};
}

}  // namespace

OFL_OP(slice_along) {
  op.Doc("The places start, start + step, ... before end of axis `dim`.")
      .In("input")
      .Out("output")
      .Attr("dim", op::AttrType::kInt, int64_t{0})
      .OptionalAttr("start", op::AttrType::kInt)
      .OptionalAttr("end", op::AttrType::kInt)
      .Attr("step", op::AttrType::kInt, int64_t{1})
      .Compose(ComposeSlice)
      .Oracle("input[along(input.ndim, dim, slice(start, end, step))]")
      .Py("_slice_along(input, dim=0, start=None, end=None, step=1)")
      .Samples([] {
        const auto of = [](Shape shape, Attrs attrs) {
          return op::Sample{{{DType::kFloat32, shape}}, std::move(attrs)};
        };
        return InEveryDType({of({5, 2}, {{"start", int64_t{1}}, {"step", int64_t{2}}}),
                             of({2, 5}, {{"dim", int64_t{-1}}, {"start", int64_t{-2}}}),
                             of({3}, {{"end", int64_t{9}}}),
                             of({3, 2}, {{"start", int64_t{2}}, {"end", int64_t{1}}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {4}}},
                      {{"step", int64_t{0}}},
                      Code::kInvalidArgument,
                      "step must be positive"},
                     {{{DType::kFloat32, {}}}, {}, Code::kOutOfRange, "at least one axis"}});
}

#define OFL_COPY_OP(NAME, VIEW, SIGNATURE) \
  OFL_OP(NAME) { DefineCopy<VIEW>(op).Py(SIGNATURE).Public(); }

// clang-format off
OFL_COPY_OP(as_strided_copy, "as_strided",
            "as_strided_copy(input, size, stride, storage_offset=None)")
OFL_COPY_OP(diagonal_copy, "diagonal", "diagonal_copy(input, offset=0, dim1=0, dim2=1)")
OFL_COPY_OP(expand_copy, "broadcast_to", "expand_copy(input, size: shape)")
OFL_COPY_OP(permute_copy, "permute", "permute_copy(input, dims)")
OFL_COPY_OP(select_copy, "select", "select_copy(input, dim, index)")
OFL_COPY_OP(slice_copy, "slice_along", "slice_copy(input, dim=0, start=None, end=None, step=1)")
OFL_COPY_OP(split_copy, "split", "split_copy(input: tensor, split_size, dim=0)")
OFL_COPY_OP(split_with_sizes_copy, "split_with_sizes",
            "split_with_sizes_copy(input: tensor, split_sizes, dim=0)")
OFL_COPY_OP(squeeze_copy, "squeeze", "squeeze_copy(input, dim=None)")
OFL_COPY_OP(t_copy, "t", "t_copy(input)")
OFL_COPY_OP(transpose_copy, "transpose", "transpose_copy(input, dim0, dim1)")
OFL_COPY_OP(unbind_copy, "unbind", "unbind_copy(input, dim=0)")
OFL_COPY_OP(unfold_copy, "unfold", "unfold_copy(input, dimension, size, step)")
OFL_COPY_OP(unsqueeze_copy, "unsqueeze", "unsqueeze_copy(input, dim)")
OFL_COPY_OP(view_as_complex_copy, "view_as_complex", "view_as_complex_copy(input)")
OFL_COPY_OP(view_as_real_copy, "view_as_real", "view_as_real_copy(input)")
OFL_COPY_OP(view_copy, "reshape", "view_copy(input, size: shape)")
OFL_COPY_OP(view_dtype_copy, "view_dtype", "view_copy(input, dtype)")
// clang-format on

#undef OFL_COPY_OP

}  // namespace ofl::ops
