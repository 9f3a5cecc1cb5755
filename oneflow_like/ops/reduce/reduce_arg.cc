// argmax and argmin: where the extreme value stands.
#include <limits>

#include "oneflow_like/ops/kernel_util.h"

namespace ofl::ops {
namespace {

// NaN counts as the extreme, the first of equal values wins: as in torch.
template <class T, bool kMax>
bool Beats(T x, T best) {
  if (best != best) return false;
  return x != x || (kMax ? x > best : x < best);
}

// The axis searched; -1: the flattened tensor.
int AxisOf(const Attrs& attrs, int rank) {
  const auto& dim = attrs.Get<std::vector<int64_t>>("dim");
  if (dim.empty()) return -1;
  return static_cast<int>(dim[0] < 0 ? dim[0] + rank : dim[0]);
}

template <class T, bool kMax>
Status RunArg(op::KernelContext& c) {
  const Shape& in = c.inputs[0].meta.shape;
  const int axis = in.rank() == 0 ? -1 : AxisOf(*c.attrs, in.rank());
  const AxisView view = axis < 0 ? AxisView{1, in.numel(), 1} : ViewAround(in, axis);
  const T* x = c.inputs[0].as<T>();
  int64_t* y = c.outputs[0].as<int64_t>();
  Parallel(c.stream, view.outer * view.inner, RowGrain(view.size), [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const T* run = x + k / view.inner * view.size * view.inner + k % view.inner;
      int64_t best = 0;
      for (int64_t i = 1; i < view.size; ++i)
        if (Beats<T, kMax>(run[i * view.inner], run[best * view.inner])) best = i;
      y[k] = best;
    }
  });
  return Status::Ok();
}

Status InferArg(op::InferContext& c) {
  const Shape& in = c.input(0).shape;
  const bool keepdim = c.attr<bool>("keepdim");
  OFL_ENSURE(c.input(0).dtype != DType::kBool, Code::kTypeMismatch)
      << "bool is not a number; expected a floating or integer dtype";
  const auto& dim = c.attr<std::vector<int64_t>>("dim");
  OFL_ENSURE(dim.size() <= 1, Code::kInvalidArgument)
      << "several axes at once; expected one dim, or none for the flattened tensor";
  Shape out;
  if (dim.empty()) {
    OFL_ENSURE(in.numel() > 0, Code::kInvalidArgument)
        << "an empty tensor has no extreme value; expected at least one element";
    for (int i = 0; keepdim && i < in.rank(); ++i) out.push_back(1);
  } else {
    OFL_ASSIGN(const int axis, NormalizeAxis(dim[0], in.rank()));
    OFL_ENSURE(in.rank() == 0 || in[axis] > 0, Code::kInvalidArgument)
        << "axis " << axis << " is empty and has no extreme value; expected at least one element";
    out = in;
    if (in.rank() > 0 && keepdim) out[axis] = 1;
    if (in.rank() > 0 && !keepdim) out.erase(axis);
  }
  c.AddOutput({DType::kInt64, out});
  return Status::Ok();
}

std::string ArgRule(std::span<const Shape> in, std::span<const Shape> out, const Attrs& attrs) {
  const int rank = in[0].rank();
  const int axis = rank == 0 ? -1 : AxisOf(attrs, rank);
  std::string from, to;
  for (int i = 0; i < rank; ++i) {
    const bool searched = axis < 0 || i == axis;
    const std::string label = searched ? "! " : "a" + std::to_string(i) + " ";
    from += label;
    if (!searched || out[0].rank() == rank) to += searched ? std::string("1 ") : label;
  }
  return "(" + from + ")->(" + to + ")";
}

template <bool kMax>
void Arg(op::OpDefBuilder& op, const char* doc) {
  op.Doc(doc)
      .In("input")
      .Out("output")
      .Attr("dim", op::AttrType::kInts, std::vector<int64_t>{})
      .Attr("keepdim", op::AttrType::kBool, false)
      .Infer(InferArg)
      .Sbp(ArgRule)
      .NotDifferentiable("an index is piecewise constant")
      .Cpu(DType::kFloat32, RunArg<float, kMax>)
      .Cpu(DType::kFloat64, RunArg<double, kMax>)
      .Cpu(DType::kInt64, RunArg<int64_t, kMax>)
      .Cpu(DType::kInt32, RunArg<int32_t, kMax>)
      .Samples([] {
        using Dims = std::vector<int64_t>;
        constexpr DType kF = DType::kFloat32;
        return std::vector<op::Sample>{{{{kF, {5, 3}}}, {{"dim", Dims{0}}}},
                                       {{{kF, {5, 3}}}, {{"dim", Dims{-1}}, {"keepdim", true}}},
                                       {{{kF, {2, 3, 4}}}, {{"dim", Dims{1}}}},
                                       {{{kF, {5, 3}}}, {}},
                                       {{{kF, {}}}, {}},
                                       {{{kF, {0, 3}}}, {{"dim", Dims{1}}}},
                                       {{{DType::kInt64, {5, 3}}}, {{"dim", Dims{1}}}}};
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"dim", std::vector<int64_t>{2}}},
                      Code::kOutOfRange,
                      "but got 2"},
                     {{{DType::kFloat32, {2, 0}}},
                      {{"dim", std::vector<int64_t>{1}}},
                      Code::kInvalidArgument,
                      "axis 1 is empty"},
                     {{{DType::kFloat32, {2, 3}}},
                      {{"dim", std::vector<int64_t>{0, 1}}},
                      Code::kInvalidArgument,
                      "several axes at once"}});
}

}  // namespace

OFL_OP(argmax) {
  Arg<true>(op, "The index of the first largest value along `dim` (none: of the flat tensor).");
  op.Py("argmax(input, /, dim=None, *, keepdim=False)").Method("argmax");
}
OFL_OP(argmin) {
  Arg<false>(op, "The index of the first smallest value along `dim` (none: of the flat tensor).");
  op.Py("argmin(input, /, dim=None, *, keepdim=False)").Method("argmin");
}

}  // namespace ofl::ops
