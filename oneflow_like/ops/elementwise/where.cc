// where: a choice between two tensors.
#include "oneflow_like/ops/elementwise/elementwise.h"

namespace ofl::ops {
namespace {

template <class T>
OFL_SIMD void WhereRow(const bool* cond, const T* a, const T* b, T* y, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const T x = a[i], z = b[i];
    y[i] = cond[i] ? x : z;
  }
}

template <class T>
void WhereStrided(const bool* cond, const T* a, const T* b, T* y, int64_t n, int64_t sc, int64_t sa,
                  int64_t sb) {
  for (int64_t i = 0; i < n; ++i) y[i] = cond[i * sc] ? a[i * sa] : b[i * sb];
}

// `T` is any type of the element's size: values only move.
template <class T>
void WhereAll(op::KernelContext& c) {
  const auto loop = MakeBroadcastLoop<3>(
      c.outputs[0].meta.shape,
      {c.inputs[0].meta.shape, c.inputs[1].meta.shape, c.inputs[2].meta.shape});
  const int inner = loop.rank - 1;
  const int64_t sc = loop.stride[0][inner], sa = loop.stride[1][inner], sb = loop.stride[2][inner];
  const bool* cond = c.inputs[0].as<bool>();
  const T* a = c.inputs[1].as<T>();
  const T* b = c.inputs[2].as<T>();
  T* y = c.outputs[0].as<T>();
  Parallel(c.stream, c.outputs[0].numel(), kElementGrain, [&](int64_t begin, int64_t end) {
    ForRows(loop, begin, end, [&](int64_t out, const std::array<int64_t, 3>& in, int64_t n) {
      if (sc == 1 && sa == 1 && sb == 1) {
        WhereRow(cond + in[0], a + in[1], b + in[2], y + out, n);
      } else {
        WhereStrided(cond + in[0], a + in[1], b + in[2], y + out, n, sc, sa, sb);
      }
    });
  });
}

Status RunWhere(op::KernelContext& c) {
  if (c.outputs[0].numel() == 0) return Status::Ok();
  switch (DTypeSize(c.outputs[0].meta.dtype)) {
    case 1: WhereAll<uint8_t>(c); break;
    case 2: WhereAll<uint16_t>(c); break;
    case 4: WhereAll<uint32_t>(c); break;
    default: WhereAll<uint64_t>(c); break;
  }
  return Status::Ok();
}

Status InferWhere(op::InferContext& c) {
  OFL_ENSURE(c.input(0).dtype == DType::kBool, Code::kTypeMismatch)
      << "the condition is not bool; expected condition: bool; compare with 0 first";
  OFL_ENSURE(c.input(1).dtype == c.input(2).dtype, Code::kTypeMismatch)
      << "the dtypes of input and other differ; expected one dtype; convert with .to(dtype)";
  auto shape = BroadcastShapes(c.input(0).shape, c.input(1).shape);
  if (shape.ok()) shape = BroadcastShapes(*shape, c.input(2).shape);
  OFL_ENSURE(shape.ok(), Code::kInvalidArgument)
      << shape.status().message() << "; expected equal sizes or 1";
  c.AddOutput({c.input(1).dtype, *shape});
  return Status::Ok();
}

void GradWhere(op::GradContext& c) {
  const op::Value none = c.b.Call("zeros_like", {c.grads[0]});
  if (c.Needs(1)) {
    const op::Value taken = c.b.Call("where", {c.inputs[0], c.grads[0], none});
    c.Set(1, ReduceTo(c.b, taken, c.inputs[1]->meta().shape));
  }
  if (c.Needs(2)) {
    const op::Value left = c.b.Call("where", {c.inputs[0], none, c.grads[0]});
    c.Set(2, ReduceTo(c.b, left, c.inputs[2]->meta().shape));
  }
}

std::vector<op::Sample> WhereSamples() {
  constexpr DType kB = DType::kBool, kF = DType::kFloat32;
  return {{{{kB, {5, 3}}, {kF, {5, 3}}, {kF, {5, 3}}}, {}},
          {{{kB, {3}}, {kF, {5, 1}}, {kF, {}}}, {}},
          {{{kB, {5, 1}}, {kF, {5, 3}}, {kF, {3}}}, {}},
          {{{kB, {}}, {kF, {4}}, {kF, {4}}}, {}},
          {{{kB, {0, 3}}, {kF, {0, 3}}, {kF, {3}}}, {}},
          {{{kB, {5, 3}}, {DType::kInt64, {5, 3}}, {DType::kInt64, {5, 3}}}, {}},
          {{{kB, {5}}, {kB, {5}}, {kB, {5}}}, {}}};
}

}  // namespace

OFL_OP(where) {
  op.Doc("input where condition is true, other elsewhere, with NumPy broadcasting.")
      .In("condition")
      .NoPromotion("condition")
      .In("input")
      .In("other")
      .Out("output")
      .Infer(InferWhere)
      .Sbp("(...),(...),(...)->(...); linear jointly 1 2; monotone 1 2")
      .Grad(GradWhere)
      .Traits({op::Trait::kElementwise})
      .InPlace(0, 1)
      .InPlace(0, 2)
      .Cpu(DType::kBool, RunWhere)
      .Py("where(condition, input, other, /)")
      .Samples(WhereSamples)
      .Unclaimed("B,P(max),P(max)->P(max)", "rules have no joint form of monotone yet")
      .Unclaimed("B,P(min),P(min)->P(min)", "rules have no joint form of monotone yet")
      .ErrorSamples({{{{DType::kInt64, {2}}, {DType::kFloat32, {2}}, {DType::kFloat32, {2}}},
                      {},
                      Code::kTypeMismatch,
                      "the condition is not bool: got condition: int64[2]"},
                     {{{DType::kBool, {2}}, {DType::kFloat32, {2}}, {DType::kInt64, {2}}},
                      {},
                      Code::kTypeMismatch,
                      "dtypes of input and other differ"},
                     {{{DType::kBool, {2}}, {DType::kFloat32, {3}}, {DType::kFloat32, {3}}},
                      {},
                      Code::kInvalidArgument,
                      "cannot be broadcast"}});
}

}  // namespace ofl::ops
