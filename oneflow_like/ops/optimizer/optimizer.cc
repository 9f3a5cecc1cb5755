// Optimizer updates: one pass over a parameter, its state and its gradient, in place.
//
// Numbers come as tensors, so that a compiled step needs no recompiling when they change: `hyper`,
// a float64 vector of what its operator lists in its documentation, and the step as a scalar.
#include <cmath>

#include "device/cpu/simd.h"
#include "oneflow_like/ops/kernel_util.h"

namespace ofl::ops {
namespace {

constexpr int64_t kGrain = 16 * 1024;
constexpr int64_t kSgdNumbers = 2;       // lr, weight_decay
constexpr int64_t kMomentumNumbers = 4;  // lr, weight_decay, momentum, dampening
constexpr int64_t kAdamNumbers = 5;      // lr, weight_decay, beta1, beta2, eps
// A variable is read as it stands.
constexpr const char* kNeverPartial = "; never partial";

// The first `same` inputs share one shape and dtype; then come `numbers` hyper-parameters, then a
// step.
Status CheckUpdate(const op::InferContext& c, int same, int64_t numbers) {
  OFL_TRY(RequireFloat(c, 0, "param"));
  for (int i = 1; i < same; ++i)
    OFL_ENSURE(c.input(i) == c.input(0), Code::kInvalidArgument)
        << "parameter, state and gradient must have one shape and dtype";
  OFL_ENSURE(c.input(same).shape == Shape{numbers}, Code::kInvalidArgument)
      << "hyper must hold the operator's numbers; expected shape (" << numbers << ")";
  OFL_ENSURE(c.input(same).dtype == DType::kFloat64, Code::kTypeMismatch)
      << "hyper must be float64: as float32 a beta of 0.9 would differ from the number given";
  if (c.num_inputs() <= same + 1) return Status::Ok();
  OFL_ENSURE(c.input(same + 1).shape.rank() == 0, Code::kInvalidArgument)
      << "step must be a scalar tensor; expected shape ()";
  OFL_ENSURE(c.input(same + 1).dtype == DType::kFloat32 || c.input(same + 1).dtype == DType::kInt64,
             Code::kTypeMismatch)
      << "step must be float32 or int64";
  return Status::Ok();
}

// Updates act on each element of identical layouts; a partial parameter has no meaning. Numbers are
// needed whole. kSame: the inputs that share the parameter's shape.
template <int kSame>
std::string UpdateRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const std::string axes = "(" + Labels("a", in[0].rank()) + ")";
  std::string text = axes;
  for (int i = 1; i < kSame; ++i) text += "," + axes;
  text += ",(!)";
  for (size_t i = kSame + 1; i < in.size(); ++i) text += ",()";
  return text + "->" + kNeverPartial;
}

double ScalarOf(const op::TensorView& v) {
  return v.meta.dtype == DType::kInt64 ? static_cast<double>(*v.as<int64_t>())
                                       : static_cast<double>(*v.as<float>());
}

// The numbers of an update, which no inference has seen: whoever runs a plan may give any.
Result<const double*> HyperOf(const op::TensorView& v, int64_t numbers) {
  OFL_ENSURE(v.numel() == numbers, Code::kInvalidArgument)
      << "hyper holds " << v.numel() << " numbers on this rank; expected " << numbers;
  const double* values = v.as<double>();
  for (int64_t i = 0; i < numbers; ++i)
    OFL_ENSURE(std::isfinite(values[i]), Code::kInvalidArgument)
        << "number " << i << " of hyper is " << values[i] << "; expected a finite one";
  return values;
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
SgdStep<T> SgdStepOf(const op::KernelContext& c, const double* hyper) {
  SgdStep<T> s{};
  s.lr = static_cast<T>(hyper[0]);
  s.weight_decay = static_cast<T>(hyper[1]);
  s.maximize = c.attr<bool>("maximize");
  return s;
}

Status InferSgd(op::InferContext& c) { return CheckUpdate(c, 2, kSgdNumbers); }

template <class T>
Status RunSgd(op::KernelContext& c) {
  OFL_ASSIGN(const double* hyper, HyperOf(c.inputs[2], kSgdNumbers));
  const SgdStep<T> s = SgdStepOf<T>(c, hyper);
  T* p = c.inputs[0].as<T>();
  const T* g = c.inputs[1].as<T>();
  Parallel(c.stream, c.inputs[0].numel(), kGrain,
           [&](int64_t begin, int64_t end) { SgdPlain(s, p + begin, g + begin, end - begin); });
  return Status::Ok();
}

Status InferSgdMomentum(op::InferContext& c) { return CheckUpdate(c, 3, kMomentumNumbers); }

template <class T>
Status RunSgdMomentum(op::KernelContext& c) {
  OFL_ASSIGN(const double* hyper, HyperOf(c.inputs[3], kMomentumNumbers));
  SgdStep<T> s = SgdStepOf<T>(c, hyper);
  s.momentum = static_cast<T>(hyper[2]);
  s.keep = static_cast<T>(1.0 - hyper[3]);
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

Status InferAdam(op::InferContext& c) { return CheckUpdate(c, 4, kAdamNumbers); }

template <class T, bool kDecoupled>
Status RunAdam(op::KernelContext& c) {
  OFL_ASSIGN(const double* hyper, HyperOf(c.inputs[4], kAdamNumbers));
  const double lr = hyper[0], decay = hyper[1], beta1 = hyper[2], beta2 = hyper[3], eps = hyper[4];
  const double step = ScalarOf(c.inputs[5]);
  OFL_ENSURE(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1, Code::kInvalidArgument)
      << "betas must lie in [0, 1): got " << beta1 << " and " << beta2;
  AdamStep<T> s;
  s.shrink = static_cast<T>(kDecoupled ? 1.0 - lr * decay : 1.0);
  s.l2 = static_cast<T>(kDecoupled ? 0.0 : decay);
  s.gain1 = static_cast<T>(1.0 - beta1);
  s.beta2 = static_cast<T>(beta2);
  s.gain2 = static_cast<T>(1.0 - beta2);
  s.root_bias2 = static_cast<T>(std::sqrt(1.0 - std::pow(beta2, step)));
  s.eps = static_cast<T>(eps);
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
  return axes + "," + axes + "->" + kNeverPartial;
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
  return "(" + Labels("a", in[0].rank()) + ")->" + kNeverPartial;
}

template <class T>
Status RunIncrement(op::KernelContext& c) {
  const T by = static_cast<T>(c.attr<double>("value"));
  T* to = c.inputs[0].as<T>();
  for (int64_t i = 0; i < c.inputs[0].numel(); ++i) to[i] += by;
  return Status::Ok();
}

// --- samples ------------------------------------------------------------------------------------

// `same` tensors of one shape, then (where there are any) the hyper-parameters and the step. Values
// are positive, since a second moment must not be negative; betas must lie in (0, 1), and other
// steps be before and after the first.
std::vector<op::Sample> UpdateSamples(int same, int64_t numbers, bool step,
                                      std::vector<Attrs> variants) {
  const double low = numbers == kAdamNumbers ? 0.1 : 0.5,
               high = numbers == kAdamNumbers ? 0.9 : 3.5;
  std::vector<op::Sample> samples;
  for (const Attrs& attrs : variants)
    for (const Shape& shape : {Shape{5, 3}, Shape{7}, Shape{0, 2}, Shape{}}) {
      op::Sample s{std::vector<TensorMeta>(same, {DType::kFloat32, shape}), attrs, low, high};
      if (numbers > 0) s.inputs.push_back({DType::kFloat64, {numbers}});
      if (step) s.inputs.push_back({DType::kFloat32, {}});
      samples.push_back(std::move(s));
    }
  return samples;
}

// Inputs that are refused: a gradient of another shape, numbers that are too few or not float64.
std::vector<op::ErrorSample> UpdateErrors(int same, int64_t numbers, bool step) {
  const auto inputs = [&](const Shape& grad, const TensorMeta& hyper) {
    std::vector<TensorMeta> metas(same - 1, {DType::kFloat32, {2}});
    metas.push_back({DType::kFloat32, grad});
    metas.push_back(hyper);
    if (step) metas.push_back({DType::kFloat32, {}});
    return metas;
  };
  return {{inputs({3}, {DType::kFloat64, {numbers}}),
           {},
           Code::kInvalidArgument,
           "one shape and dtype"},
          {inputs({2}, {DType::kFloat64, {numbers - 1}}),
           {},
           Code::kInvalidArgument,
           "expected shape (" + std::to_string(numbers) + ")"},
          {inputs({2}, {DType::kFloat32, {numbers}}), {}, Code::kTypeMismatch, "float64"}};
}

template <int kSame>
void DefineUpdate(op::OpDefBuilder& op) {
  op.Sbp(UpdateRule<kSame>)
      .NotDifferentiable("it updates a variable in place")
      .Traits({op::Trait::kUpdate});
}

template <bool kDecoupled>
void DefineAdam(op::OpDefBuilder& op) {
  DefineUpdate<4>(op);
  op.InMutated("param")
      .InMutated("exp_avg")
      .InMutated("exp_avg_sq")
      .In("grad")
      .In("hyper")
      .In("step")
      .Attr("maximize", op::AttrType::kBool, false)
      .Infer(InferAdam)
      .Flops([](std::span<const TensorMeta> in, std::span<const TensorMeta>, const Attrs&) {
        return 14 * in[0].shape.numel();
      })
      .Cpu(DType::kFloat32, RunAdam<float, kDecoupled>)
      .Cpu(DType::kFloat64, RunAdam<double, kDecoupled>)
      .Samples([] { return UpdateSamples(4, kAdamNumbers, true, {{}, {{"maximize", true}}}); })
      .ErrorSamples(UpdateErrors(4, kAdamNumbers, true));
}

// A part of a partial target takes the part of a partial value.
std::string ReplaceRule(std::span<const Shape> in, std::span<const Shape> out, const Attrs& attrs) {
  return AssignRule(in, out, attrs) + "; linear jointly 0 1; max jointly 0 1; min jointly 0 1";
}

op::OpDefBuilder& DefineAssign(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc)
      .InMutated("target")
      .In("value")
      .Infer(InferAssign)
      .Sbp(AssignRule)
      .NotDifferentiable("it updates a variable in place")
      .Traits({op::Trait::kUpdate})
      .Samples([] { return UpdateSamples(2, 0, false, {{}}); })
      .ErrorSamples({{{{DType::kFloat32, {2}}, {DType::kFloat32, {3}}},
                      {},
                      Code::kInvalidArgument,
                      "one shape and dtype"}});
}

}  // namespace

OFL_OP(sgd_update) {
  DefineUpdate<2>(op);
  op.Doc("param -= lr * (grad + weight_decay * param), in place. `hyper` holds lr, weight_decay.")
      .InMutated("param")
      .In("grad")
      .In("hyper")
      .Attr("maximize", op::AttrType::kBool, false)
      .Infer(InferSgd)
      .Cpu(DType::kFloat32, RunSgd<float>)
      .Cpu(DType::kFloat64, RunSgd<double>)
      .Oracle("sgd(param, grad, hyper, maximize)")
      .Py("sgd_update(param, grad, hyper, *, maximize=False)")
      .Samples([] { return UpdateSamples(2, kSgdNumbers, false, {{}, {{"maximize", true}}}); })
      .ErrorSamples(UpdateErrors(2, kSgdNumbers, false));
}

OFL_OP(sgd_momentum_update) {
  DefineUpdate<3>(op);
  op.Doc(
        "SGD with a momentum buffer that starts at zero, in place. `hyper` holds lr, "
        "weight_decay,\n"
        "momentum, dampening. `step` counts from 1; the first step sets the buffer to the "
        "gradient,\n"
        "which differs only under dampening. Without `step` no update is the first.")
      .InMutated("param")
      .InMutated("momentum_buffer")
      .In("grad")
      .In("hyper")
      .InOptional("step")
      .Attr("nesterov", op::AttrType::kBool, false)
      .Attr("maximize", op::AttrType::kBool, false)
      .Infer(InferSgdMomentum)
      .Cpu(DType::kFloat32, RunSgdMomentum<float>)
      .Cpu(DType::kFloat64, RunSgdMomentum<double>)
      .Oracle("sgd_momentum(param, momentum_buffer, grad, hyper, step, nesterov, maximize)")
      .Py("sgd_momentum_update(param, momentum_buffer, grad, hyper, step=None, *, "
          "nesterov=False, maximize=False)")
      .Samples([] {
        std::vector<op::Sample> samples =
            UpdateSamples(3, kMomentumNumbers, true, {{}, {{"maximize", true}}});
        for (op::Sample& s : UpdateSamples(3, kMomentumNumbers, false, {{{"nesterov", true}}}))
          samples.push_back(std::move(s));
        return samples;
      })
      .ErrorSamples(UpdateErrors(3, kMomentumNumbers, true));
}

OFL_OP(adamw_update) {
  op.Doc(
      "AdamW in place, with torch's arithmetic: weight decay acts on the parameter itself.\n"
      "`hyper` holds lr, weight_decay, beta1, beta2, eps; `step` counts from 1.");
  DefineAdam<true>(op);
  op.Oracle("adam(True, param, exp_avg, exp_avg_sq, grad, hyper, step, maximize)")
      .Py("adamw_update(param, exp_avg, exp_avg_sq, grad, hyper, step, *, maximize=False)");
}

OFL_OP(adam_update) {
  op.Doc(
      "Adam in place, with torch's arithmetic: weight decay is added to the gradient.\n"
      "`hyper` holds lr, weight_decay, beta1, beta2, eps; `step` counts from 1.");
  DefineAdam<false>(op);
  op.Oracle("adam(False, param, exp_avg, exp_avg_sq, grad, hyper, step, maximize)")
      .Py("adam_update(param, exp_avg, exp_avg_sq, grad, hyper, step, *, maximize=False)");
}

OFL_OP(assign) {
  DefineAssign(op, "Copies `value` into `target`.")
      .Sbp(ReplaceRule)
      .Oracle("value")
      .Py("assign(target, value)");
  CpuForAllTypes(op, RunAssign);
}

OFL_OP(assign_unrecorded) {
  DefineAssign(op, "Copies `value` into `target`, one that requires grad too: as under no_grad().")
      .Attr("unrecorded", op::AttrType::kBool, true)
      .Sbp(ReplaceRule)
      .Oracle("value")
      .Py("_assign_unrecorded(target, value)");
  CpuForAllTypes(op, RunAssign);
}

OFL_OP(assign_add) {
  DefineAssign(op, "target += value, in place.")
      .Cpu(DType::kFloat32, RunAssignAdd<float>)
      .Cpu(DType::kFloat64, RunAssignAdd<double>)
      .Cpu(DType::kInt64, RunAssignAdd<int64_t>)
      .Oracle("target + value")
      .Py("assign_add(target, value)");
}

OFL_OP(increment) {
  op.Doc("target += value for a number, in place: the step counter.")
      .InMutated("target")
      .Attr("value", op::AttrType::kFloat, 1.0)
      .Infer(InferIncrement)
      .Sbp(IncrementRule)
      .NotDifferentiable("it updates a variable in place")
      .Traits({op::Trait::kUpdate})
      .Cpu(DType::kFloat32, RunIncrement<float>)
      .Cpu(DType::kFloat64, RunIncrement<double>)
      .Cpu(DType::kInt64, RunIncrement<int64_t>)
      .Oracle("target + target.dtype.type(value)")
      .Py("increment(target, *, value=1.0)")
      .Samples([] { return UpdateSamples(1, 0, false, {{}}); });
}

}  // namespace ofl::ops
