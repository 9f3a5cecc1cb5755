// Recurrent networks: cells, and layers of them over sequences that may be packed. The products
// with the inputs are made for all times at once; what is left for a step is the product with the
// state.
#include <algorithm>

#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/nn/recurrent_gates.h"

namespace ofl::ops {
namespace {

using Inputs = std::span<const op::Value>;

enum class Kind { kTanh, kRelu, kGru, kLstm };
constexpr int64_t GatesOf(Kind kind) {
  return kind == Kind::kLstm ? 4 : kind == Kind::kGru ? 3 : 1;
}

op::Value Narrow(op::Builder& b, const op::Value& x, int64_t dim, int64_t start, int64_t length) {
  if (x == nullptr || (start == 0 && length == x->meta().shape[static_cast<int>(dim)])) return x;
  return b.Call("narrow", {x}, {{"dim", dim}, {"start", start}, {"length", length}});
}
op::Value Joined(op::Builder& b, op::Values parts, int64_t dim) {
  if (parts.size() == 1) return parts[0];
  return b.Call("concat", std::move(parts), {{"dim", dim}});
}
op::Value Linear(op::Builder& b, const op::Value& x, const op::Value& weight,
                 const op::Value& bias) {
  op::Values operands = {x, weight};
  if (bias != nullptr) operands.push_back(bias);
  return b.Call("linear", std::move(operands));
}

// The weights of one direction of one layer; biases and projection may be null.
struct Weights {
  op::Value input, state, input_bias, state_bias, projection;
};
// What goes from step to step; only an LSTM has a cell.
struct State {
  op::Value hidden, cell;
};

// Gates lie side by side.
op::Value Gate(op::Builder& b, const op::Value& x, int64_t i, int64_t size, int64_t count = 1) {
  return Narrow(b, x, 1, i * size, count * size);
}

op::Value GruOf(op::Builder& b, const op::Value& from_input, const op::Value& from_state,
                const op::Value& hidden) {
  const int64_t size = hidden->meta().shape[1];
  const op::Value open =
      Of(b, "sigmoid", Add(b, Gate(b, from_input, 0, size, 2), Gate(b, from_state, 0, size, 2)));
  const op::Value fresh = Of(b, "tanh",
                             Add(b, Gate(b, from_input, 2, size),
                                 Mul(b, Gate(b, open, 0, size), Gate(b, from_state, 2, size))));
  return Add(b, Mul(b, Sub(b, hidden, fresh), Gate(b, open, 1, size)), fresh);
}

State LstmOf(op::Builder& b, const op::Value& from_input, const op::Value& from_state,
             const op::Value& before) {
  const int64_t size = before->meta().shape[1];
  const op::Value gates = Add(b, from_input, from_state);
  const op::Value open = Of(b, "sigmoid", Gate(b, gates, 0, size, 2));
  const op::Value cell =
      Add(b, Mul(b, Gate(b, open, 1, size), before),
          Mul(b, Gate(b, open, 0, size), Of(b, "tanh", Gate(b, gates, 2, size))));
  return {Mul(b, Of(b, "sigmoid", Gate(b, gates, 3, size)), Of(b, "tanh", cell)), cell};
}

// Operands that the fused steps take; others are left to the parts, which say what is wrong.
bool Fuses(const op::Value& from_input, const op::Value& from_state, const op::Value& state,
           int64_t gates) {
  const TensorMeta &a = from_input->meta(), &s = state->meta();
  return (a.dtype == DType::kFloat32 || a.dtype == DType::kFloat64) && s.dtype == a.dtype &&
         s.shape.rank() == 2 && a.shape == Shape{s.shape[0], gates * s.shape[1]} &&
         from_state->meta() == a;
}

// `from_input`: the product with the input, and its bias.
State Step(op::Builder& b, Kind kind, const op::Value& from_input, const State& state,
           const Weights& w) {
  if (from_input == nullptr || state.hidden == nullptr) return {};
  const op::Value from_state = Linear(b, state.hidden, w.state, w.state_bias);
  if (from_state == nullptr) return {};
  if (kind == Kind::kGru) {
    if (!Fuses(from_input, from_state, state.hidden, 3))
      return {GruOf(b, from_input, from_state, state.hidden), nullptr};
    return {b.Call("gru_gates", {from_input, from_state, state.hidden}), nullptr};
  }
  if (kind != Kind::kLstm) {
    const op::Value gates = Add(b, from_input, from_state);
    return {Of(b, kind == Kind::kTanh ? "tanh" : "relu", gates), nullptr};
  }
  if (state.cell == nullptr) return {};
  State next;
  if (Fuses(from_input, from_state, state.cell, 4)) {
    const op::Values made = b.CallAll("lstm_gates", {from_input, from_state, state.cell});
    next = {made[0], made[1]};
  } else {
    next = LstmOf(b, from_input, from_state, state.cell);
  }
  if (w.projection != nullptr) next.hidden = Linear(b, next.hidden, w.projection, nullptr);
  return next;
}

// The rows [start, start + count) of a state.
State RowsOf(op::Builder& b, const State& state, int64_t start, int64_t count) {
  return {Narrow(b, state.hidden, 0, start, count),
          state.cell == nullptr ? nullptr : Narrow(b, state.cell, 0, start, count)};
}
State Stacked(op::Builder& b, const std::vector<State>& parts) {
  op::Values hidden, cell;
  for (const State& part : parts) {
    hidden.push_back(part.hidden);
    if (part.cell != nullptr) cell.push_back(part.cell);
  }
  return {Joined(b, std::move(hidden), 0), cell.empty() ? nullptr : Joined(b, std::move(cell), 0)};
}

struct Run {
  op::Value output;
  State last;
};

// One direction over packed rows: of time t there are sizes[t] rows, never more than before.
Run OneWay(op::Builder& b, Kind kind, const op::Value& rows, const Ints& sizes, const State& first,
           const Weights& w, bool backwards) {
  const op::Value from_input = Linear(b, rows, w.input, w.input_bias);
  const auto times = std::ssize(sizes);
  Ints begins(static_cast<size_t>(times) + 1, 0);
  for (int64_t t = 0; t < times; ++t) begins[t + 1] = begins[t] + sizes[t];
  op::Values outputs(static_cast<size_t>(times));
  std::vector<State> ended;  // forwards: of sequences that are over, the shortest first
  State state = RowsOf(b, first, 0, backwards ? sizes[times - 1] : sizes[0]);
  for (int64_t i = 0; i < times && b.status().ok(); ++i) {
    const int64_t t = backwards ? times - 1 - i : i;
    const int64_t now = sizes[t], before = i == 0 ? now : sizes[backwards ? t + 1 : t - 1];
    if (now < before) {
      ended.push_back(RowsOf(b, state, now, before - now));
      state = RowsOf(b, state, 0, now);
    } else if (now > before) {
      state = Stacked(b, {state, RowsOf(b, first, before, now - before)});
    }
    state = Step(b, kind, Narrow(b, from_input, 0, begins[t], now), state, w);
    outputs[static_cast<size_t>(t)] = state.hidden;
  }
  ended.push_back(state);
  std::ranges::reverse(ended);
  return {Joined(b, std::move(outputs), 0), Stacked(b, ended)};
}

// --- layers -------------------------------------------------------------------------------------

struct Net {
  Kind kind;
  bool biases, train, both_ways;
  int64_t layers;
  double dropout;
};

op::Values Refused(op::Builder& b, Status status, size_t outputs) {
  b.Fail(std::move(status));
  return op::Values(outputs, nullptr);
}

// One state of `hx` (layers * directions, batch, size).
op::Value StateAt(op::Builder& b, const op::Value& hx, int64_t at) {
  return b.Call("select", {hx}, {{"dim", int64_t{0}}, {"index", at}});
}

Status CheckNet(const char* name, const Net& net, Inputs hx, size_t params, bool projected) {
  const int64_t ways = net.both_ways ? 2 : 1;
  const int64_t each = (net.biases ? 4 : 2) + projected;
  OFL_ENSURE(net.layers >= 1 && std::ssize(hx) == (net.kind == Kind::kLstm ? 2 : 1),
             Code::kInvalidArgument)
      << "[" << name << "] got " << hx.size() << " states and num_layers=" << net.layers
      << "; expected at least one layer, and "
      << (net.kind == Kind::kLstm ? "h and c" : "one state");
  OFL_ENSURE(static_cast<int64_t>(params) == each * ways * net.layers, Code::kInvalidArgument)
      << "[" << name << "] got " << params << " parameters; expected " << each
      << " for each of the " << ways * net.layers << " layers and directions";
  OFL_ENSURE(net.dropout >= 0 && net.dropout <= 1, Code::kInvalidArgument)
      << "[" << name << "] got dropout=" << net.dropout
      << "; expected a probability between 0 and 1";
  for (const op::Value& state : hx) {
    OFL_ENSURE(state->meta().shape.rank() == 3 && state->meta().shape[0] == ways * net.layers,
               Code::kInvalidArgument)
        << "[" << name << "] the state has another shape: got " << state->meta().ToString()
        << "; expected (layers * directions, batch, size) with " << ways * net.layers
        << " in front";
  }
  return Status::Ok();
}

// All layers over packed rows; the outputs of the last, and the states.
op::Values Layers(op::Builder& b, const Net& net, op::Value rows, const Ints& sizes, Inputs hx,
                  Inputs params, bool projected) {
  const int64_t ways = net.both_ways ? 2 : 1;
  op::Values hidden, cells;
  size_t next = 0;
  for (int64_t layer = 0; layer < net.layers; ++layer) {
    op::Values outputs;
    for (int64_t way = 0; way < ways; ++way) {
      const int64_t at = layer * ways + way;
      Weights w{params[next], params[next + 1], nullptr, nullptr, nullptr};
      next += 2;
      if (net.biases) w.input_bias = params[next], w.state_bias = params[next + 1], next += 2;
      if (projected) w.projection = params[next++];
      const State first = {StateAt(b, hx[0], at), hx.size() > 1 ? StateAt(b, hx[1], at) : nullptr};
      const Run run = OneWay(b, net.kind, rows, sizes, first, w, way == 1);
      if (!b.status().ok()) return op::Values(hx.size() + 1, nullptr);
      outputs.push_back(run.output);
      hidden.push_back(run.last.hidden);
      if (run.last.cell != nullptr) cells.push_back(run.last.cell);
    }
    rows = Joined(b, std::move(outputs), 1);
    if (net.train && net.dropout > 0 && layer + 1 < net.layers)
      rows = b.Call("dropout", {rows}, {{"p", net.dropout}});
  }
  op::Values made = {rows, b.Call("stack", std::move(hidden), {{"dim", int64_t{0}}})};
  if (!cells.empty()) made.push_back(b.Call("stack", std::move(cells), {{"dim", int64_t{0}}}));
  return made;
}

Status CheckSizes(const char* name, const Ints& sizes, const Shape& data, int64_t batch) {
  int64_t before = batch, sum = 0;
  for (const int64_t size : sizes) {
    OFL_ENSURE(size >= 1 && size <= before, Code::kInvalidArgument)
        << "[" << name << "] batch_sizes grow: got " << size << " after " << before
        << "; expected sizes of at least 1 that never grow, the first of them the batch";
    before = size, sum += size;
  }
  OFL_ENSURE(data.rank() == 2 && !sizes.empty() && sum == data[0] && sizes[0] == batch,
             Code::kInvalidArgument)
      << "[" << name << "] batch_sizes do not fit the data: got " << sum << " rows of " << data
      << " and a batch of " << batch << "; expected (rows, size) and as many rows";
  return Status::Ok();
}

template <Kind kKind>
constexpr const char* NameOf() {
  return kKind == Kind::kLstm   ? "lstm"
         : kKind == Kind::kGru  ? "gru"
         : kKind == Kind::kTanh ? "rnn_tanh"
                                : "rnn_relu";
}

template <Kind kKind>
op::Values ComposeNet(op::Builder& b, Inputs in, const Attrs& attrs) {
  constexpr size_t kStates = kKind == Kind::kLstm ? 2 : 1;
  const char* name = NameOf<kKind>();
  const Net net = {kKind,
                   attrs.Get<bool>("has_biases"),
                   attrs.Get<bool>("train"),
                   attrs.Get<bool>("bidirectional"),
                   attrs.Get<int64_t>("num_layers"),
                   attrs.Get<double>("dropout")};
  const Ints* counts = attrs.Maybe<Ints>(op::kArity);
  const size_t states = counts != nullptr ? static_cast<size_t>((*counts)[1]) : kStates;
  const Inputs hx = in.subspan(1, std::min(states, in.size() - 1));
  const Inputs params = in.subspan(1 + hx.size());
  const bool projected = hx.size() == 2 && hx[0]->meta().shape.rank() == 3 &&
                         hx[1]->meta().shape.rank() == 3 &&
                         hx[0]->meta().shape[2] != hx[1]->meta().shape[2];
  if (Status wrong = CheckNet(name, net, hx, params.size(), projected); !wrong.ok())
    return Refused(b, wrong, kStates + 1);
  const Shape& shape = in[0]->meta().shape;
  const int64_t batch = hx[0]->meta().shape[1];
  if (const Ints* sizes = attrs.Maybe<Ints>("batch_sizes"); sizes != nullptr) {
    if (Status wrong = CheckSizes(name, *sizes, shape, batch); !wrong.ok())
      return Refused(b, wrong, kStates + 1);
    return Layers(b, net, in[0], *sizes, hx, params, projected);
  }
  const bool batch_first = attrs.Get<bool>("batch_first");
  const int64_t times = shape.rank() == 3 ? shape[batch_first ? 1 : 0] : 0;
  if (times < 1 || shape[batch_first ? 0 : 1] != batch) {
    return Refused(b,
                   Error(Code::kInvalidArgument)
                       << "[" << name << "] input is no batch of sequences: got "
                       << in[0]->meta().ToString() << " and a batch of " << batch
                       << " states; expected (time, batch, size), or (batch, time, size) with "
                          "batch_first, at least one time long",
                   kStates + 1);
  }
  const auto swapped = [&](const op::Value& x) {
    return batch_first ? b.Call("transpose", {x}, {{"dim0", int64_t{0}}, {"dim1", int64_t{1}}}) : x;
  };
  const op::Value rows =
      b.Call("reshape", {swapped(in[0])}, {{"shape", Ints{times * batch, shape[2]}}});
  op::Values made =
      Layers(b, net, rows, Ints(static_cast<size_t>(times), batch), hx, params, projected);
  if (made[0] == nullptr) return made;
  made[0] = swapped(
      b.Call("reshape", {made[0]}, {{"shape", Ints{times, batch, made[0]->meta().shape[1]}}}));
  return made;
}

// --- cells --------------------------------------------------------------------------------------

template <Kind kKind>
op::Values ComposeCell(op::Builder& b, Inputs in, const Attrs& attrs) {
  constexpr size_t kStates = kKind == Kind::kLstm ? 2 : 1;
  const Ints* counts = attrs.Maybe<Ints>(op::kArity);
  const size_t given =
      counts != nullptr && kKind == Kind::kLstm ? static_cast<size_t>((*counts)[1]) : kStates;
  if (given != kStates) {
    return Refused(b,
                   Error(Code::kInvalidArgument)
                       << "[lstm_cell] got " << given << " states; expected h and c",
                   kStates);
  }
  const State state = {in[1], kStates == 2 ? in[2] : nullptr};
  const size_t at = 1 + kStates;
  Weights w{in[at], in[at + 1], nullptr, nullptr, nullptr};
  if (in.size() > at + 2) w.input_bias = in[at + 2];
  if (in.size() > at + 3) w.state_bias = in[at + 3];
  const State next = Step(b, kKind, Linear(b, in[0], w.input, w.input_bias), state, w);
  if (kStates == 2) return {next.hidden, next.cell};
  return {next.hidden};
}

std::vector<op::Sample> CellSamples(int64_t gates, bool cell) {
  std::vector<op::Sample> samples;
  const auto add = [&](DType dtype, int64_t batch, bool biases) {
    op::Sample s{{{dtype, {batch, 3}}, {dtype, {batch, 2}}}, {}, -1, 1};
    if (cell) s.inputs.push_back({dtype, {batch, 2}});
    s.inputs.push_back({dtype, {gates * 2, 3}});
    s.inputs.push_back({dtype, {gates * 2, 2}});
    if (biases)
      for (int i = 0; i < 2; ++i) s.inputs.push_back({dtype, {gates * 2}});
    const int64_t each = biases ? 1 : 0;
    if (cell) s.attrs.Set(op::kArity, Ints{1, 2, 1, 1, each, each});
    samples.push_back(s);
  };
  add(DType::kFloat32, 4, true);
  add(DType::kFloat32, 1, false);
  add(DType::kFloat64, 2, true);
  return samples;
}

template <Kind kKind>
op::OpDefBuilder& Cell(op::OpDefBuilder& op, const char* doc) {
  const std::string name = std::string(NameOf<kKind>()) + "_cell";
  op.Doc(doc).In("input");
  kKind == Kind::kLstm ? op.InVariadic("hx") : op.In("hx");
  op.In("w_ih").In("w_hh").InOptional("b_ih").InOptional("b_hh");
  op.Out(kKind == Kind::kLstm ? "hidden" : "output");
  if (kKind == Kind::kLstm) op.Out("cell");
  return op.Compose(ComposeCell<kKind>)
      .Oracle("rnn_cell('" + name + "', input, hx, w_ih, w_hh, b_ih, b_hh)")
      .Py(name + "(input, hx, w_ih, w_hh, b_ih=None, b_hh=None)")
      .Public()
      .Samples([] { return CellSamples(GatesOf(kKind), kKind == Kind::kLstm); });
}

// --- samples of layers --------------------------------------------------------------------------

struct NetSample {
  bool biases = true, both_ways = false, batch_first = false;
  int64_t layers = 1, projection = 0;
  Ints sizes;  // of a packed batch
  DType dtype = DType::kFloat32;
};

op::Sample SampleOf(Kind kind, const NetSample& n) {
  constexpr int64_t kTimes = 3, kBatch = 2, kInput = 3, kHidden = 2;
  const int64_t ways = n.both_ways ? 2 : 1, out = n.projection > 0 ? n.projection : kHidden;
  op::Sample s{{}, {}, -1, 1};
  const auto add = [&](Shape shape) { s.inputs.push_back({n.dtype, std::move(shape)}); };
  int64_t rows = 0;
  for (const int64_t size : n.sizes) rows += size;
  if (!n.sizes.empty()) {
    add({rows, kInput});
  } else {
    add(n.batch_first ? Shape{kBatch, kTimes, kInput} : Shape{kTimes, kBatch, kInput});
  }
  add({n.layers * ways, kBatch, out});
  if (kind == Kind::kLstm) add({n.layers * ways, kBatch, kHidden});
  int64_t params = 0;
  const int64_t height = GatesOf(kind) * kHidden;
  for (int64_t i = 0; i < n.layers * ways; ++i) {
    add({height, i < ways ? kInput : out * ways});
    add({height, out});
    params += 2;
    for (int j = 0; n.biases && j < 2; ++j, ++params) add({height});
    if (n.projection > 0) add({out, kHidden}), ++params;
  }
  s.attrs = {
      {"has_biases", n.biases}, {"num_layers", n.layers},       {"dropout", 0.0},
      {"train", false},         {"bidirectional", n.both_ways}, {"batch_first", n.batch_first}};
  if (kind == Kind::kLstm) s.attrs.Set(op::kArity, Ints{1, 2, params});
  if (!n.sizes.empty()) s.attrs.Set("batch_sizes", n.sizes);
  return s;
}

template <Kind kKind>
op::OpDefBuilder& Layered(op::OpDefBuilder& op, const char* doc) {
  constexpr bool kLstm = kKind == Kind::kLstm;
  const std::string name = NameOf<kKind>();
  op.Doc(std::string(doc) +
         "\nOver (time, batch, size), or over rows that are packed, `batch_sizes` of each time; "
         "`params` are the\nweights of each layer and direction.")
      .In("input");
  kLstm ? op.InVariadic("hx") : op.In("hx");
  op.InVariadic("params").Out("output").Out(kLstm ? "h_n" : "hidden");
  if (kLstm) op.Out("c_n");
  const std::string rest = ", params, has_biases, num_layers, dropout, train, bidirectional";
  return op.Attr("has_biases", op::AttrType::kBool)
      .Attr("num_layers", op::AttrType::kInt)
      .Attr("dropout", op::AttrType::kFloat)
      .Attr("train", op::AttrType::kBool)
      .Attr("bidirectional", op::AttrType::kBool)
      .Attr("batch_first", op::AttrType::kBool, false)
      .OptionalAttr("batch_sizes", op::AttrType::kInts)
      .Compose(ComposeNet<kKind>)
      .Oracle("rnn_layers('" + name +
              "', input, hx, params, has_biases, num_layers, bidirectional, batch_first, "
              "batch_sizes)")
      .Py(name + "(input, hx" + rest + ", batch_first)")
      .Py(name + "(data: input, batch_sizes, hx" + rest + ")")
      .Public()
      .Samples([] {
        const Ints packed = {2, 2, 1};
        std::vector<op::Sample> samples = {SampleOf(kKind, {}),
                                           SampleOf(kKind, {.both_ways = true, .layers = 2}),
                                           SampleOf(kKind, {.biases = false, .batch_first = true}),
                                           SampleOf(kKind, {.both_ways = true, .sizes = packed}),
                                           SampleOf(kKind, {.dtype = DType::kFloat64})};
        if (kLstm) {
          samples.push_back(SampleOf(kKind, {.layers = 2, .projection = 1}));
          samples.push_back(SampleOf(kKind, {.layers = 2, .projection = 3, .sizes = packed}));
        }
        return samples;
      });
}

}  // namespace

op::Values DecomposeLstmGates(op::Builder& b, Inputs in, const Attrs&) {
  const State next = LstmOf(b, in[0], in[1], in[2]);
  return {next.hidden, next.cell};
}
op::Values DecomposeGruGates(op::Builder& b, Inputs in, const Attrs&) {
  return {GruOf(b, in[0], in[1], in[2])};
}

OFL_OP(lstm_cell) {
  Cell<Kind::kLstm>(op, "One step of an LSTM: from the state hx = (h, c) the next h and c.");
}
OFL_OP(gru_cell) { Cell<Kind::kGru>(op, "One step of a GRU: from the state `hx` the next one."); }
OFL_OP(rnn_tanh_cell) {
  Cell<Kind::kTanh>(op, "tanh of the products with the input and with the state `hx`.");
}
OFL_OP(rnn_relu_cell) {
  Cell<Kind::kRelu>(op, "relu of the products with the input and with the state `hx`.");
}
OFL_OP(lstm) {
  Layered<Kind::kLstm>(
      op, "Layers of LSTMs, from the states hx = (h, c); the last's outputs, h and c.");
}
OFL_OP(gru) { Layered<Kind::kGru>(op, "Layers of GRUs: the last's outputs, and the states."); }
OFL_OP(rnn_tanh) {
  Layered<Kind::kTanh>(op, "Layers of plain recurrent cells with tanh: outputs and states.");
}
OFL_OP(rnn_relu) {
  Layered<Kind::kRelu>(op, "Layers of plain recurrent cells with relu: outputs and states.");
}

}  // namespace ofl::ops
