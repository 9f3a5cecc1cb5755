// Optimizer updates: one pass over a parameter, its state and its gradient, in place.
//
// Learning rate and step come as scalar tensors, so that a compiled step needs no recompiling
// when a schedule moves them.
#include <cmath>

#include "device/cpu/simd.h"
#include "oneflow_like/ops/kernel_util.h"

namespace ofl::ops {
namespace {

constexpr int64_t kGrain = 16 * 1024;
constexpr const char* kPartialVariable = "a variable is never partial: it is read as it stands";

// The first `same` inputs share one shape and dtype; the rest are scalars.
Status CheckUpdate(const op::InferContext& c, int same) {
  OFL_TRY(RequireFloat(c, 0, "param"));
  for (int i = 1; i < same; ++i)
    OFL_ENSURE(c.input(i) == c.input(0), Code::kInvalidArgument)
        << "parameter, state and gradient must have one shape and dtype";
  for (int i = same; i < c.num_inputs(); ++i)
    OFL_ENSURE(c.input(i).shape.rank() == 0, Code::kInvalidArgument)
        << "lr and step must be scalar tensors; expected shape ()";
  OFL_ENSURE(c.num_inputs() <= same || c.input(same).dtype == DType::kFloat32, Code::kTypeMismatch)
      << "lr must be float32";
  for (int i = same + 1; i < c.num_inputs(); ++i)
    OFL_ENSURE(c.input(i).dtype == DType::kFloat32 || c.input(i).dtype == DType::kInt64,
               Code::kTypeMismatch)
        << "step must be float32 or int64";
  return Status::Ok();
}

// Updates act on each element of identical layouts; a partial parameter has no meaning.
std::string UpdateRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const std::string axes = "(" + Labels("a", in[0].rank()) + ")";
  std::string text = axes;
  bool scalars = in[0].rank() == 0;
  for (size_t i = 1; i < in.size(); ++i) {
    scalars |= in[i].rank() == 0;
    text += scalars ? ",()" : "," + axes;
  }
  return text + "->";
}

double ScalarOf(const op::TensorView& v) {
  return v.meta.dtype == DType::kInt64 ? static_cast<double>(*v.as<int64_t>())
                                       : static_cast<double>(*v.as<float>());
}

// --- SGD ----------------------------------------------------------------------------------------

template <class T>
struct SgdStep {
  T lr, weight_decay, momentum, keep;  // keep = 1 - dampening, or 1 in the first step
  bool first, nesterov, maximize;
};

template <class T>
OFL_SIMD void SgdPlain(const SgdStep<T>& s, T* p, const T* g, int64_t n) {
  const T sign = s.maximize ? T(-1) : T(1);
  for (int64_t i = 0; i < n; ++i) p[i] -= s.lr * (sign * g[i] + s.weight_decay * p[i]);
}

template <class T>
OFL_SIMD void SgdMomentum(const SgdStep<T>& s, T* p, T* buffer, const T* g, int64_t n) {
  const T sign = s.maximize ? T(-1) : T(1);
  const T momentum = s.first ? T(0) : s.momentum;
  const T ahead = s.nesterov ? s.momentum : T(0), own = s.nesterov ? T(1) : T(0);
  const T from_buffer = s.nesterov ? ahead : T(1);
  for (int64_t i = 0; i < n; ++i) {
    const T d = sign * g[i] + s.weight_decay * p[i];
    // The first step ignores what the buffer holds.
    const T b = s.first ? d : momentum * buffer[i] + s.keep * d;
    buffer[i] = b;
    p[i] -= s.lr * (own * d + from_buffer * b);
  }
}

template <class T>
SgdStep<T> SgdStepOf(const op::KernelContext& c, double lr) {
  SgdStep<T> s{};
  s.lr = static_cast<T>(lr);
  s.weight_decay = static_cast<T>(c.attr<double>("weight_decay"));
  s.maximize = c.attr<bool>("maximize");
  return s;
}

Status InferSgd(op::InferContext& c) { return CheckUpdate(c, 2); }

template <class T>
Status RunSgd(op::KernelContext& c) {
  const SgdStep<T> s = SgdStepOf<T>(c, ScalarOf(c.inputs[2]));
  T* p = c.inputs[0].as<T>();
  const T* g = c.inputs[1].as<T>();
  Parallel(c.stream, c.inputs[0].numel(), kGrain,
           [&](int64_t begin, int64_t end) { SgdPlain(s, p + begin, g + begin, end - begin); });
  return Status::Ok();
}

Status InferSgdMomentum(op::InferContext& c) {
  OFL_TRY(CheckUpdate(c, 3));
  OFL_ENSURE(!c.attr<bool>("nesterov") ||
                 (c.attr<double>("momentum") > 0 && c.attr<double>("dampening") == 0),
             Code::kInvalidArgument)
      << "nesterov needs a momentum and no dampening";
  OFL_ENSURE(c.num_inputs() > 4 || c.attr<double>("dampening") == 0, Code::kInvalidArgument)
      << "with dampening the first update differs from the later ones; expected the input step";
  return Status::Ok();
}

template <class T>
Status RunSgdMomentum(op::KernelContext& c) {
  SgdStep<T> s = SgdStepOf<T>(c, ScalarOf(c.inputs[3]));
  s.momentum = static_cast<T>(c.attr<double>("momentum"));
  s.keep = static_cast<T>(1.0 - c.attr<double>("dampening"));
  s.nesterov = c.attr<bool>("nesterov");
  s.first = c.inputs.size() > 4 && ScalarOf(c.inputs[4]) <= 1;
  T* p = c.inputs[0].as<T>();
  T* buffer = c.inputs[1].as<T>();
  const T* g = c.inputs[2].as<T>();
  Parallel(c.stream, c.inputs[0].numel(), kGrain, [&](int64_t begin, int64_t end) {
    SgdMomentum(s, p + begin, buffer + begin, g + begin, end - begin);
  });
  return Status::Ok();
}

// --- Adam ---------------------------------------------------------------------------------------

// Scalars of one step, in double until here: step_size = lr / (1 - beta1^t) and so on, as torch
// computes them, so that float results agree closely.
template <class T>
struct AdamStep {
  T shrink;        // 1 - lr * weight_decay (decoupled), else 1
  T l2;            // weight_decay when it is part of the gradient, else 0
  T gain1;         // 1 - beta1
  T beta2, gain2;  // beta2, 1 - beta2
  T root_bias2;    // sqrt(1 - beta2^t)
  T eps, step_size, sign;
};

template <class T>
OFL_SIMD void AdamLoop(const AdamStep<T>& s, T* p, T* m, T* v, const T* grad, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const T decayed = p[i] * s.shrink;
    const T g = s.sign * grad[i] + s.l2 * p[i];
    const T m1 = m[i] + s.gain1 * (g - m[i]);
    const T v1 = v[i] * s.beta2 + s.gain2 * g * g;
    m[i] = m1;
    v[i] = v1;
    p[i] = decayed - s.step_size * (m1 / (std::sqrt(v1) / s.root_bias2 + s.eps));
  }
}

Status InferAdam(op::InferContext& c) {
  for (const char* beta : {"beta1", "beta2"})
    OFL_ENSURE(c.attr<double>(beta) >= 0 && c.attr<double>(beta) < 1, Code::kInvalidArgument)
        << beta << " must lie in [0, 1)";
  return CheckUpdate(c, 4);
}

template <class T, bool kDecoupled>
Status RunAdam(op::KernelContext& c) {
  const double lr = ScalarOf(c.inputs[4]), step = ScalarOf(c.inputs[5]);
  const double beta1 = c.attr<double>("beta1"), beta2 = c.attr<double>("beta2");
  const double decay = c.attr<double>("weight_decay");
  AdamStep<T> s;
  s.shrink = static_cast<T>(kDecoupled ? 1.0 - lr * decay : 1.0);
  s.l2 = static_cast<T>(kDecoupled ? 0.0 : decay);
  s.gain1 = static_cast<T>(1.0 - beta1);
  s.beta2 = static_cast<T>(beta2);
  s.gain2 = static_cast<T>(1.0 - beta2);
  s.root_bias2 = static_cast<T>(std::sqrt(1.0 - std::pow(beta2, step)));
  s.eps = static_cast<T>(c.attr<double>("eps"));
  s.step_size = static_cast<T>(lr / (1.0 - std::pow(beta1, step)));
  s.sign = c.attr<bool>("maximize") ? T(-1) : T(1);
  T* p = c.inputs[0].as<T>();
  T* m = c.inputs[1].as<T>();
  T* v = c.inputs[2].as<T>();
  const T* g = c.inputs[3].as<T>();
  Parallel(c.stream, c.inputs[0].numel(), kGrain, [&](int64_t begin, int64_t end) {
    AdamLoop(s, p + begin, m + begin, v + begin, g + begin, end - begin);
  });
  return Status::Ok();
}

// --- assignments --------------------------------------------------------------------------------

Status InferAssign(op::InferContext& c) {
  OFL_ENSURE(c.input(0) == c.input(1), Code::kInvalidArgument)
      << "target and value must have one shape and dtype";
  return Status::Ok();
}

std::string AssignRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const std::string axes = "(" + Labels("a", in[0].rank()) + ")";
  return axes + "," + axes + "->";
}

Status RunAssign(op::KernelContext& c) {
  std::byte* to = c.inputs[0].as<std::byte>();
  const std::byte* from = c.inputs[1].as<std::byte>();
  if (to == from) return Status::Ok();
  Parallel(c.stream, c.inputs[0].meta.bytes(), 64 * 1024,
           [&](int64_t begin, int64_t end) { std::memcpy(to + begin, from + begin, end - begin); });
  return Status::Ok();
}

template <class T>
OFL_SIMD void AddLoop(T* to, const T* from, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] += from[i];
}

template <class T>
Status RunAssignAdd(op::KernelContext& c) {
  T* to = c.inputs[0].as<T>();
  const T* from = c.inputs[1].as<T>();
  Parallel(c.stream, c.inputs[0].numel(), kGrain,
           [&](int64_t begin, int64_t end) { AddLoop(to + begin, from + begin, end - begin); });
  return Status::Ok();
}

Status InferIncrement(op::InferContext&) { return Status::Ok(); }

std::string IncrementRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  return "(" + Labels("a", in[0].rank()) + ")->";
}

template <class T>
Status RunIncrement(op::KernelContext& c) {
  const T by = static_cast<T>(c.attr<double>("value"));
  T* to = c.inputs[0].as<T>();
  for (int64_t i = 0; i < c.inputs[0].numel(); ++i) to[i] += by;
  return Status::Ok();
}

// --- samples ------------------------------------------------------------------------------------

// `same` tensors of one shape, then the scalars lr and step. Values are positive, since a second
// moment must not be negative and a step counts from 1.
std::vector<op::Sample> UpdateSamples(int same, int scalars, std::vector<Attrs> variants) {
  std::vector<op::Sample> samples;
  for (const Attrs& attrs : variants)
    for (const Shape& shape : {Shape{5, 3}, Shape{7}, Shape{0, 2}, Shape{}}) {
      op::Sample s{std::vector<TensorMeta>(same, {DType::kFloat32, shape}), attrs, 0.5, 3.5};
      for (int i = 0; i < scalars; ++i) s.inputs.push_back({DType::kFloat32, {}});
      samples.push_back(std::move(s));
    }
  return samples;
}

void DefineUpdate(op::OpDefBuilder& op) {
  op.Sbp(UpdateRule)
      .NotDifferentiable("it updates a variable in place")
      .Traits({op::Trait::kUpdate});
}

template <bool kDecoupled>
void DefineAdam(op::OpDefBuilder& op) {
  DefineUpdate(op);
  op.InMutated("param")
      .InMutated("exp_avg")
      .InMutated("exp_avg_sq")
      .In("grad")
      .In("lr")
      .In("step")
      .Attr("beta1", op::AttrType::kFloat, 0.9)
      .Attr("beta2", op::AttrType::kFloat, 0.999)
      .Attr("eps", op::AttrType::kFloat, 1e-8)
      .Attr("weight_decay", op::AttrType::kFloat, kDecoupled ? 0.01 : 0.0)
      .Attr("maximize", op::AttrType::kBool, false)
      .Unclaimed("P,B,B,B,P,B->", kPartialVariable)
      .Unclaimed("P(max),B,B,B,B,B->", kPartialVariable)
      .Unclaimed("P(min),B,B,B,B,B->", kPartialVariable)
      .Infer(InferAdam)
      .Flops([](std::span<const TensorMeta> in, std::span<const TensorMeta>, const Attrs&) {
        return 14 * in[0].shape.numel();
      })
      .Cpu(DType::kFloat32, RunAdam<float, kDecoupled>)
      .Cpu(DType::kFloat64, RunAdam<double, kDecoupled>)
      .Samples([] { return UpdateSamples(4, 2, {{}, {{"weight_decay", 0.1}}}); })
      .ErrorSamples({{{{DType::kFloat32, {2}},
                       {DType::kFloat32, {2}},
                       {DType::kFloat32, {2}},
                       {DType::kFloat32, {3}},
                       {DType::kFloat32, {}},
                       {DType::kFloat32, {}}},
                      {},
                      Code::kInvalidArgument,
                      "one shape and dtype"}});
}

}  // namespace
}  // namespace ofl::ops

using namespace ofl;       // NOLINT(google-build-using-namespace)
using namespace ofl::ops;  // NOLINT(google-build-using-namespace)

OFL_OP(sgd_update) {
  DefineUpdate(op);
  op.Doc("param -= lr * (grad + weight_decay * param), in place.")
      .InMutated("param")
      .In("grad")
      .In("lr")
      .Attr("weight_decay", op::AttrType::kFloat, 0.0)
      .Attr("maximize", op::AttrType::kBool, false)
      .Unclaimed("P,P,B->", kPartialVariable)
      .Unclaimed("P(max),B,B->", kPartialVariable)
      .Unclaimed("P(min),B,B->", kPartialVariable)
      .Infer(InferSgd)
      .Cpu(DType::kFloat32, RunSgd<float>)
      .Cpu(DType::kFloat64, RunSgd<double>)
      .Py("sgd_update(param, grad, lr, /, *, weight_decay=0.0, maximize=False)")
      .Samples([] { return UpdateSamples(2, 1, {{{"weight_decay", 0.1}}}); })
      .ErrorSamples({{{{DType::kFloat32, {2}}, {DType::kFloat32, {3}}, {DType::kFloat32, {}}},
                      {},
                      Code::kInvalidArgument,
                      "one shape and dtype"}});
}

OFL_OP(sgd_momentum_update) {
  DefineUpdate(op);
  op.Doc(
        "SGD with a momentum buffer that starts at zero, in place. `step` counts from 1; the\n"
        "first step sets the buffer to the gradient, which differs only under dampening.")
      .InMutated("param")
      .InMutated("momentum_buffer")
      .In("grad")
      .In("lr")
      .InOptional("step")
      .Attr("momentum", op::AttrType::kFloat)
      .Attr("dampening", op::AttrType::kFloat, 0.0)
      .Attr("weight_decay", op::AttrType::kFloat, 0.0)
      .Attr("nesterov", op::AttrType::kBool, false)
      .Attr("maximize", op::AttrType::kBool, false)
      .Unclaimed("P,B,B,P,B->", kPartialVariable)
      .Unclaimed("P,P,P,B,B->", kPartialVariable)
      .Unclaimed("P,B,B,P->", kPartialVariable)
      .Unclaimed("P,P,P,B->", kPartialVariable)
      .Unclaimed("P(max),B,B,B,B->", kPartialVariable)
      .Unclaimed("P(min),B,B,B,B->", kPartialVariable)
      .Unclaimed("P(max),B,B,B->", kPartialVariable)
      .Unclaimed("P(min),B,B,B->", kPartialVariable)
      .Infer(InferSgdMomentum)
      .Cpu(DType::kFloat32, RunSgdMomentum<float>)
      .Cpu(DType::kFloat64, RunSgdMomentum<double>)
      .Py("sgd_momentum_update(param, momentum_buffer, grad, lr, step=None, /, *, momentum, "
          "dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False)")
      .Samples([] {
        std::vector<op::Sample> samples =
            UpdateSamples(3, 2, {{{"momentum", 0.9}, {"dampening", 0.1}}});
        for (op::Sample& s : UpdateSamples(3, 1, {{{"momentum", 0.9}, {"nesterov", true}}}))
          samples.push_back(std::move(s));
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2}},
                       {DType::kFloat32, {2}},
                       {DType::kFloat32, {2}},
                       {DType::kFloat32, {}},
                       {DType::kFloat32, {}}},
                      {{"momentum", 0.0}, {"nesterov", true}},
                      Code::kInvalidArgument,
                      "nesterov needs"}});
}

OFL_OP(adamw_update) {
  op.Doc(
      "AdamW in place, with torch's arithmetic: weight decay acts on the parameter itself.\n"
      "`step` counts from 1.");
  DefineAdam<true>(op);
  op.Py(
      "adamw_update(param, exp_avg, exp_avg_sq, grad, lr, step, /, *, beta1=0.9, beta2=0.999, "
      "eps=1e-08, weight_decay=0.01, maximize=False)");
}

OFL_OP(adam_update) {
  op.Doc(
      "Adam in place, with torch's arithmetic: weight decay is added to the gradient.\n"
      "`step` counts from 1.");
  DefineAdam<false>(op);
  op.Py(
      "adam_update(param, exp_avg, exp_avg_sq, grad, lr, step, /, *, beta1=0.9, beta2=0.999, "
      "eps=1e-08, weight_decay=0.0, maximize=False)");
}

OFL_OP(assign) {
  op.Doc("Copies `value` into `target`.")
      .InMutated("target")
      .In("value")
      .Unclaimed("P,P->", kPartialVariable)
      .Unclaimed("P(max),P(max)->", kPartialVariable)
      .Unclaimed("P(min),P(min)->", kPartialVariable)
      .Unclaimed("P(max),B->", kPartialVariable)
      .Unclaimed("P(min),B->", kPartialVariable)
      .Infer(InferAssign)
      .Sbp(AssignRule)
      .NotDifferentiable("it updates a variable in place")
      .Traits({op::Trait::kUpdate})
      .Py("assign(target, value, /)")
      .Samples([] { return UpdateSamples(2, 0, {{}}); })
      .ErrorSamples({{{{DType::kFloat32, {2}}, {DType::kFloat32, {3}}},
                      {},
                      Code::kInvalidArgument,
                      "one shape and dtype"}});
  CpuForAllTypes(op, RunAssign);
}

OFL_OP(assign_add) {
  op.Doc("target += value, in place.")
      .InMutated("target")
      .In("value")
      .Unclaimed("P,P->", kPartialVariable)
      .Unclaimed("P(max),P(max)->", kPartialVariable)
      .Unclaimed("P(min),P(min)->", kPartialVariable)
      .Unclaimed("P(max),B->", kPartialVariable)
      .Unclaimed("P(min),B->", kPartialVariable)
      .Infer(InferAssign)
      .Sbp(AssignRule)
      .NotDifferentiable("it updates a variable in place")
      .Traits({op::Trait::kUpdate})
      .Cpu(DType::kFloat32, RunAssignAdd<float>)
      .Cpu(DType::kFloat64, RunAssignAdd<double>)
      .Cpu(DType::kInt64, RunAssignAdd<int64_t>)
      .Py("assign_add(target, value, /)")
      .Samples([] { return UpdateSamples(2, 0, {{}}); })
      .ErrorSamples({{{{DType::kFloat32, {2}}, {DType::kFloat32, {3}}},
                      {},
                      Code::kInvalidArgument,
                      "one shape and dtype"}});
}

OFL_OP(increment) {
  op.Doc("target += value for a number, in place: the step counter.")
      .InMutated("target")
      .Attr("value", op::AttrType::kFloat, 1.0)
      .Unclaimed("P(max)->", kPartialVariable)
      .Unclaimed("P(min)->", kPartialVariable)
      .Infer(InferIncrement)
      .Sbp(IncrementRule)
      .NotDifferentiable("it updates a variable in place")
      .Traits({op::Trait::kUpdate})
      .Cpu(DType::kFloat32, RunIncrement<float>)
      .Cpu(DType::kFloat64, RunIncrement<double>)
      .Cpu(DType::kInt64, RunIncrement<int64_t>)
      .Py("increment(target, /, *, value=1.0)")
      .Samples([] { return UpdateSamples(1, 0, {{}}); });
}
