// What a step of an LSTM or a GRU does between its products, in one pass, with the gradients.
//
// `from_input` and `from_state` are the products of all gates side by side: input, forget, cell and
// output of an LSTM; reset, update and new of a GRU. Gates are computed again for the gradient:
// keeping them would cost more memory than the exponentials cost time.
#include <cmath>

#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/nn/recurrent_gates.h"

namespace ofl::ops {
namespace {

constexpr DTypeSet kComputed = SetOf(DType::kFloat32, DType::kFloat64);
constexpr int64_t kStepsPerElement = 64;

// --- rows ----------------------------------------------------------------------------------------

// The gates of element j, one of n.
template <class T>
struct LstmGates {
  T in, forget, fresh, out;
  static OFL_INLINE LstmGates At(const T* a, const T* b, int64_t j, int64_t n) {
    return {math::Sigmoid(a[j] + b[j]), math::Sigmoid(a[n + j] + b[n + j]),
            math::Tanh(a[2 * n + j] + b[2 * n + j]), math::Sigmoid(a[3 * n + j] + b[3 * n + j])};
  }
};
template <class T>
struct GruGates {
  T reset, update, fresh;
  static OFL_INLINE GruGates At(const T* a, const T* b, int64_t j, int64_t n) {
    const T reset = math::Sigmoid(a[j] + b[j]);
    return {reset, math::Sigmoid(a[n + j] + b[n + j]),
            math::Tanh(a[2 * n + j] + reset * b[2 * n + j])};
  }
};

template <class T>
OFL_SIMD void LstmRow(const T* a, const T* b, const T* cell, T* hidden, T* next, int64_t n) {
#pragma GCC ivdep
  for (int64_t j = 0; j < n; ++j) {
    const auto [in, forget, fresh, out] = LstmGates<T>::At(a, b, j, n);
    const T state = forget * cell[j] + in * fresh;
    next[j] = state;
    hidden[j] = out * math::Tanh(state);
  }
}

template <class T>
OFL_SIMD void LstmGradRow(const T* dh, const T* dc, const T* a, const T* b, const T* cell,
                          T* dgates, T* dcell, int64_t n) {
#pragma GCC ivdep
  for (int64_t j = 0; j < n; ++j) {
    const auto [in, forget, fresh, out] = LstmGates<T>::At(a, b, j, n);
    const T shown = math::Tanh(forget * cell[j] + in * fresh);
    const T to_state = dc[j] + dh[j] * out * (1 - shown * shown);
    dgates[j] = to_state * fresh * in * (1 - in);
    dgates[n + j] = to_state * cell[j] * forget * (1 - forget);
    dgates[2 * n + j] = to_state * in * (1 - fresh * fresh);
    dgates[3 * n + j] = dh[j] * shown * out * (1 - out);
    dcell[j] = to_state * forget;
  }
}

template <class T>
OFL_SIMD void GruRow(const T* a, const T* b, const T* hidden, T* next, int64_t n) {
#pragma GCC ivdep
  for (int64_t j = 0; j < n; ++j) {
    const auto [reset, update, fresh] = GruGates<T>::At(a, b, j, n);
    next[j] = (hidden[j] - fresh) * update + fresh;
  }
}

template <class T>
OFL_SIMD void GruGradRow(const T* dy, const T* a, const T* b, const T* hidden, T* da, T* db,
                         T* dhidden, int64_t n) {
#pragma GCC ivdep
  for (int64_t j = 0; j < n; ++j) {
    const auto [reset, update, fresh] = GruGates<T>::At(a, b, j, n);
    const T to_fresh = dy[j] * (1 - update) * (1 - fresh * fresh);
    const T to_reset = to_fresh * b[2 * n + j] * reset * (1 - reset);
    const T to_update = dy[j] * (hidden[j] - fresh) * update * (1 - update);
    da[j] = to_reset;
    da[n + j] = to_update;
    da[2 * n + j] = to_fresh;
    db[j] = to_reset;
    db[n + j] = to_update;
    db[2 * n + j] = to_fresh * reset;
    dhidden[j] = dy[j] * update;
  }
}

// --- kernels -------------------------------------------------------------------------------------

// body(row) for each row of `state`, (rows, n).
template <class Body>
Status ForStates(op::KernelContext& c, const op::TensorView& state, const Body& body) {
  const int64_t rows = state.meta.shape[0], n = state.meta.shape[1];
  Parallel(c.stream, rows, RowGrain(n * kStepsPerElement), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) body(r, n);
  });
  return Status::Ok();
}

template <class T>
Status RunLstm(op::KernelContext& c) {
  return ForStates(c, c.inputs[2], [&](int64_t r, int64_t n) {
    const int64_t all = r * n * 4, one = r * n;
    LstmRow(c.inputs[0].as<T>() + all, c.inputs[1].as<T>() + all, c.inputs[2].as<T>() + one,
            c.outputs[0].as<T>() + one, c.outputs[1].as<T>() + one, n);
  });
}
template <class T>
Status RunLstmGrad(op::KernelContext& c) {
  return ForStates(c, c.inputs[4], [&](int64_t r, int64_t n) {
    const int64_t all = r * n * 4, one = r * n;
    LstmGradRow(c.inputs[0].as<T>() + one, c.inputs[1].as<T>() + one, c.inputs[2].as<T>() + all,
                c.inputs[3].as<T>() + all, c.inputs[4].as<T>() + one, c.outputs[0].as<T>() + all,
                c.outputs[1].as<T>() + one, n);
  });
}
template <class T>
Status RunGru(op::KernelContext& c) {
  return ForStates(c, c.inputs[2], [&](int64_t r, int64_t n) {
    const int64_t all = r * n * 3, one = r * n;
    GruRow(c.inputs[0].as<T>() + all, c.inputs[1].as<T>() + all, c.inputs[2].as<T>() + one,
           c.outputs[0].as<T>() + one, n);
  });
}
template <class T>
Status RunGruGrad(op::KernelContext& c) {
  return ForStates(c, c.inputs[3], [&](int64_t r, int64_t n) {
    const int64_t all = r * n * 3, one = r * n;
    GruGradRow(c.inputs[0].as<T>() + one, c.inputs[1].as<T>() + all, c.inputs[2].as<T>() + all,
               c.inputs[3].as<T>() + one, c.outputs[0].as<T>() + all, c.outputs[1].as<T>() + all,
               c.outputs[2].as<T>() + one, n);
  });
}

// --- definitions ---------------------------------------------------------------------------------

// Inputs `first` and the next are (rows, gates * n), the one behind them, and those before, (rows,
// n).
Status CheckGates(const op::InferContext& c, int first, int64_t gates) {
  const Shape& state = c.input(first + 2).shape;
  OFL_ENSURE(state.rank() == 2, Code::kInvalidArgument)
      << "the state is no batch; expected (rows, size)";
  const Shape all{state[0], SaturatingMul(state[1], gates)};
  for (int i = 0; i < c.num_inputs(); ++i) {
    OFL_TRY(RequireIn(c, i, kComputed));
    const bool wide = i == first || i == first + 1;
    OFL_ENSURE(c.input(i) == (TensorMeta{c.input(0).dtype, wide ? all : state}),
               Code::kInvalidArgument)
        << "the operands do not fit one another; expected states of shape " << state
        << ", the products of their " << gates << " gates " << all << ", all of one dtype";
  }
  return Status::Ok();
}

Status InferLstm(op::InferContext& c) {
  OFL_TRY(CheckGates(c, 0, 4));
  c.AddOutput(c.input(2));
  c.AddOutput(c.input(2));
  return Status::Ok();
}
Status InferLstmGrad(op::InferContext& c) {
  OFL_TRY(CheckGates(c, 2, 4));
  c.AddOutput(c.input(2));
  c.AddOutput(c.input(4));
  return Status::Ok();
}
Status InferGru(op::InferContext& c) {
  OFL_TRY(CheckGates(c, 0, 3));
  c.AddOutput(c.input(2));
  return Status::Ok();
}
Status InferGruGrad(op::InferContext& c) {
  OFL_TRY(CheckGates(c, 1, 3));
  c.AddOutput(c.input(1));
  c.AddOutput(c.input(2));
  c.AddOutput(c.input(3));
  return Status::Ok();
}

op::Value OrZeros(op::Builder& b, const op::Value& grad, const op::Value& like) {
  return grad != nullptr ? grad : b.Call("zeros_like", {like});
}

void GradLstm(op::GradContext& c) {
  const op::Values made = c.b.CallAll("lstm_gates_grad", {OrZeros(c.b, c.grads[0], c.inputs[2]),
                                                          OrZeros(c.b, c.grads[1], c.inputs[2]),
                                                          c.inputs[0], c.inputs[1], c.inputs[2]});
  if (c.Needs(0)) c.Set(0, made[0]);
  if (c.Needs(1)) c.Set(1, made[0]);
  if (c.Needs(2)) c.Set(2, made[1]);
}
void GradGru(op::GradContext& c) {
  const op::Values made =
      c.b.CallAll("gru_gates_grad", {c.grads[0], c.inputs[0], c.inputs[1], c.inputs[2]});
  for (int i = 0; i < 3; ++i)
    if (c.Needs(i)) c.Set(i, made[static_cast<size_t>(i)]);
}

// Samples of shapes (rows, gates * n) where `wide` says 'w', else (rows, n).
std::vector<op::Sample> GateSamples(const char* operands, int64_t gates) {
  std::vector<op::Sample> samples;
  const auto add = [&](DType dtype, int64_t rows, int64_t n) {
    op::Sample s;
    for (const char* k = operands; *k != 0; ++k)
      s.inputs.push_back({dtype, {rows, *k == 'w' ? gates * n : n}});
    samples.push_back(std::move(s));
  };
  add(DType::kFloat32, 4, 3);
  add(DType::kFloat32, 2, 20);
  add(DType::kFloat32, 0, 3);
  add(DType::kFloat32, 1, 1);
  add(DType::kFloat64, 3, 2);
  return samples;
}
op::ErrorSample GateError(const char* operands) {
  op::ErrorSample e{{}, {}, Code::kInvalidArgument, "do not fit one another"};
  for (const char* k = operands; *k != 0; ++k)
    e.inputs.push_back({DType::kFloat32, {2, *k == 'w' ? 7 : 2}});
  return e;
}

int64_t FlopsGates(std::span<const TensorMeta> in, std::span<const TensorMeta>, const Attrs&) {
  return SaturatingMul(in.back().shape.numel(), kStepsPerElement);
}

constexpr char kClosed[] = "a gate that is closed would meet the infinity of an empty part";
constexpr char kTwice[] = "a gradient that is differentiated goes through the composition";

}  // namespace

OFL_OP(lstm_gates) {
  op.Doc("The next hidden state and cell of an LSTM, from the products of its gates.")
      .In("from_input")
      .In("from_state")
      .In("cell")
      .Out("hidden")
      .Out("next_cell")
      .Infer(InferLstm)
      .Sbp("(n !),(n !),(n !)->(n !),(n !)")
      .Unclaimed("B,B,P(max)->P(max),P(max)", kClosed)
      .Unclaimed("B,B,P(min)->P(min),P(min)", kClosed)
      .Grad(GradLstm)
      .Decompose(DecomposeLstmGates)
      .Flops(FlopsGates)
      .Cpu(DType::kFloat32, RunLstm<float>)
      .Cpu(DType::kFloat64, RunLstm<double>)
      .Oracle("lstm_gates(from_input, from_state, cell)")
      .Py("lstm_gates(from_input, from_state, cell)")
      .Samples([] { return GateSamples("wws", 4); })
      .ErrorSamples({GateError("wws")});
}

OFL_OP(lstm_gates_grad) {
  op.Doc("Gradients of lstm_gates: of both products, which are equal, and of the cell.")
      .In("hidden_grad")
      .In("cell_grad")
      .In("from_input")
      .In("from_state")
      .In("cell")
      .Out("gates_grad")
      .Out("input_cell_grad")
      .Infer(InferLstmGrad)
      .Sbp("(n !),(n !),(n !),(n !),(n !)->(n !),(n !); linear jointly 0 1")
      .NotDifferentiable(kTwice)
      .Flops(FlopsGates)
      .Cpu(DType::kFloat32, RunLstmGrad<float>)
      .Cpu(DType::kFloat64, RunLstmGrad<double>)
      .Oracle("lstm_gates_grad(hidden_grad, cell_grad, from_input, from_state, cell)")
      .Py("lstm_gates_grad(hidden_grad, cell_grad, from_input, from_state, cell)")
      .Samples([] { return GateSamples("sswws", 4); })
      .ErrorSamples({GateError("sswws")});
}

OFL_OP(gru_gates) {
  op.Doc("The next state of a GRU, from the products of its gates.")
      .In("from_input")
      .In("from_state")
      .In("hidden")
      .Out("output")
      .Infer(InferGru)
      .Sbp("(n !),(n !),(n !)->(n !)")
      .Unclaimed("B,B,P(max)->P(max)", kClosed)
      .Unclaimed("B,B,P(min)->P(min)", kClosed)
      .Grad(GradGru)
      .Decompose(DecomposeGruGates)
      .Flops(FlopsGates)
      .Cpu(DType::kFloat32, RunGru<float>)
      .Cpu(DType::kFloat64, RunGru<double>)
      .Oracle("gru_gates(from_input, from_state, hidden)")
      .Py("gru_gates(from_input, from_state, hidden)")
      .Samples([] { return GateSamples("wws", 3); })
      .ErrorSamples({GateError("wws")});
}

OFL_OP(gru_gates_grad) {
  op.Doc("Gradients of gru_gates: of both products and of the state.")
      .In("grad")
      .In("from_input")
      .In("from_state")
      .In("hidden")
      .Out("input_grad")
      .Out("state_grad")
      .Out("hidden_grad")
      .Infer(InferGruGrad)
      .Sbp("(n !),(n !),(n !),(n !)->(n !),(n !),(n !); linear 0")
      .NotDifferentiable(kTwice)
      .Flops(FlopsGates)
      .Cpu(DType::kFloat32, RunGruGrad<float>)
      .Cpu(DType::kFloat64, RunGruGrad<double>)
      .Oracle("gru_gates_grad(grad, from_input, from_state, hidden)")
      .Py("gru_gates_grad(grad, from_input, from_state, hidden)")
      .Samples([] { return GateSamples("swws", 3); })
      .ErrorSamples({GateError("swws")});
}

}  // namespace ofl::ops
