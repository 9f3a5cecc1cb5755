// combinations: all ways to choose elements of a vector.
#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

using Span = std::span<const op::Value>;

constexpr int64_t kMostChosen = 1 << 10;

// n over r; the largest int64 where that is exceeded.
int64_t Ways(int64_t n, int64_t r) {
  if (r > n) return 0;
  __int128 ways = 1;
  for (int64_t i = 1; i <= std::min(r, n - r); ++i) {
    ways = ways * (n - i + 1) / i;
    if (ways > kMaxElements) return INT64_MAX;
  }
  return static_cast<int64_t>(ways);
}

Status InferIndices(op::InferContext& c) {
  const Shape& from = c.input(0).shape;
  const int64_t r = c.attr<int64_t>("r");
  OFL_ENSURE(from.rank() == 1, Code::kInvalidArgument)
      << "the input is no vector; expected one axis";
  OFL_ENSURE(r >= 1 && r <= kMostChosen, Code::kInvalidArgument)
      << "r is no number of elements to choose; expected 1 to " << kMostChosen;
  const int64_t n = from[0];
  const int64_t ways =
      c.attr<bool>("with_replacement") ? (n > 0 ? Ways(n + r - 1, r) : 0) : Ways(n, r);
  c.AddOutput({DType::kInt64, {ways, r}});
  return Status::Ok();
}

// In lexicographic order.
Status RunIndices(op::KernelContext& c) {
  const op::TensorView& y = c.outputs[0];
  const int64_t n = c.inputs[0].meta.shape[0], r = y.meta.shape[1];
  const bool again = c.attr<bool>("with_replacement");
  int64_t* row = y.as<int64_t>();
  for (int64_t i = 0; i < y.meta.shape[0]; ++i, row += r) {
    if (i == 0) {
      for (int64_t j = 0; j < r; ++j) row[j] = again ? 0 : j;
      continue;
    }
    std::copy(row - r, row, row);
    int64_t at = r - 1;
    while (row[at] == (again ? n - 1 : n - r + at)) --at;
    const int64_t next = row[at] + 1;
    for (int64_t j = at; j < r; ++j) row[j] = again ? next : next + j - at;
  }
  return Status::Ok();
}

op::Values ComposeCombinations(op::Builder& b, Span in, const Attrs& attrs) {
  const Shape& shape = in[0]->meta().shape;
  const int64_t r = attrs.Get<int64_t>("r");
  if (shape.rank() != 1 || r < 0) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "expected a vector, and a number of elements to choose of at least 0: "
                          << "got shape " << shape << ", r=" << r << "; expected one axis, r >= 0");
  }
  if (r == 0) {
    return {b.Call("identity",
                   {b.Call("narrow", {in[0]},
                           {{"dim", int64_t{0}}, {"start", int64_t{0}}, {"length", int64_t{0}}})})};
  }
  const op::Value index = b.Call("combination_indices", {in[0]}, attrs);
  if (index == nullptr) return {nullptr};
  const op::Value flat = b.Call("reshape", {index}, {{"shape", Ints{-1}}});
  const op::Value chosen = b.Call("index_select", {in[0], flat}, {{"dim", int64_t{0}}});
  return {b.Call("reshape", {chosen}, {{"shape", DimsOf(index->meta().shape)}})};
}

std::vector<op::Sample> Samples() {
  const auto of = [](int64_t n, int64_t r, bool again) {
    return op::Sample{{{DType::kFloat32, {n}}}, {{"r", r}, {"with_replacement", again}}};
  };
  return InEveryDType({of(4, 2, false), of(3, 3, true), of(2, 3, false), of(3, 1, false)});
}

}  // namespace

OFL_OP(combination_indices) {
  op.Doc("Rows of `r` places of a vector: all ways to choose so many, in lexicographic order.")
      .In("input")
      .Out("output")
      .Attr("r", op::AttrType::kInt, int64_t{2})
      .Attr("with_replacement", op::AttrType::kBool, false)
      .Infer(InferIndices)
      .Sbp("(!)->(! !); never partial")
      .NotDifferentiable("the result does not depend on the input's values")
      .Traits({op::Trait::kIgnoresValues})
      .Strided("input")
      .Oracle("choices(np.arange(len(input)), r, with_replacement)")
      .Py("_combination_indices(input, r=2, with_replacement=False)")
      .Samples(Samples)
      .ErrorSamples({{{{DType::kFloat32, {2, 2}}}, {}, Code::kInvalidArgument, "one axis"}});
  CpuForAllTypes(op, RunIndices);
}

OFL_OP(combinations) {
  op.Doc("Rows of `r` elements of a vector: all ways to choose so many, in lexicographic order.")
      .In("input")
      .Out("output")
      .Attr("r", op::AttrType::kInt, int64_t{2})
      .Attr("with_replacement", op::AttrType::kBool, false)
      .Compose(ComposeCombinations)
      .Oracle("choices(input, r, with_replacement)")
      .Py("combinations(input, r=2, with_replacement=False)")
      .Public()
      .Samples([] {
        std::vector<op::Sample> samples = Samples();
        samples.push_back(samples.front());
        samples.back().attrs.Set("r", int64_t{0});
        return samples;
      })
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 2}}}, {}, Code::kInvalidArgument, "one axis"},
           {{{DType::kFloat32, {2}}}, {{"r", int64_t{-1}}}, Code::kInvalidArgument, "r=-1"}});
}

}  // namespace ofl::ops
