#include "oneflow_like/ir/parse.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "oneflow_like/ir/line_reader.h"

namespace ofl::ir {
namespace {

constexpr int64_t kMaxIds = int64_t{1} << 20;  // so that a wrong number claims no memory
constexpr int64_t kMaxInt = std::numeric_limits<int>::max();
constexpr int64_t kMaxInt64 = std::numeric_limits<int64_t>::max();

// The stems that are no operators' names.
NodeKind KindOf(std::string_view stem) {
  constexpr std::pair<std::string_view, NodeKind> kStems[] = {
      {"input", NodeKind::kInput},           {"variable", NodeKind::kVariable},
      {"to_global", NodeKind::kToLayout},    {"boxing", NodeKind::kBoxing},
      {"accumulate", NodeKind::kAccumulate}, {"output", NodeKind::kOutput}};
  for (const auto& [name, kind] : kStems)
    if (name == stem) return kind;
  return NodeKind::kOp;
}

// Reads lines into the graph they add up to.
class Parser {
 public:
  Result<Graph> Run(std::string_view text);

 private:
  Status ReadHeader(LineReader& in);
  Status ReadLine(LineReader& in);
  Status ReadOutputs(LineReader& in);
  Status ReadExtras(LineReader& in, Node& node);
  Status ReadConversion(LineReader& in, Node& node);
  Status ReadChoice(LineReader& in, Node& node);
  Status CheckOp(LineReader& in, Node& node, size_t column);
  Result<int> ReadValueId(LineReader& in);
  // An id from "stem_id"; kind and operator into `node`.
  Status ReadName(LineReader& in, Node& node);
  Node& At(int id);  // makes room
  void GrowValues(int count);
  Status CheckReferences() const;

  Graph graph_;
  int64_t max_nodes_ = kMaxIds, max_values_ = kMaxIds;
  std::vector<Value> outputs_;  // of the line being read
  std::vector<bool> listed_;    // nodes
  std::vector<bool> produced_;  // values
  // A node that was named before its line could be known.
  struct Reference {
    std::string name;
    int id;
    int after;     // the node whose line must come first, or -1
    Status error;  // if there is no such line
  };
  std::vector<Reference> references_;
};

Status Parser::ReadHeader(LineReader& in) {
  OFL_TRY(in.Expect("graph"));
  OFL_ASSIGN(graph_.name, in.String("the graph's name"));
  OFL_TRY(in.Expect("world"));
  OFL_ASSIGN(int64_t world, in.Int("the number of ranks", 1, kMaxInt));
  OFL_TRY(in.Expect("micro_batches"));
  OFL_ASSIGN(int64_t micro_batches, in.Int("their number", 1, kMaxInt));
  graph_.world_size = static_cast<int>(world);
  graph_.micro_batches = static_cast<int>(micro_batches);
  OFL_TRY(in.Expect("nodes"));
  OFL_ASSIGN(max_nodes_, in.Int("the number of node ids", 0, kMaxIds));
  OFL_TRY(in.Expect("values"));
  OFL_ASSIGN(max_values_, in.Int("the number of value ids", 0, kMaxIds));
  bool more = in.Accept("draws");
  while (more) {
    Generator generator;
    OFL_ASSIGN(generator.name, in.String("a generator's name"));
    OFL_ASSIGN(generator.draws, in.Int("draws of a launch", 0, op::kMaxDraws));
    graph_.generators.push_back(std::move(generator));
    more = in.Accept(",");
  }
  return in.ExpectEnd();
}

Node& Parser::At(int id) {
  while (static_cast<int>(graph_.nodes.size()) <= id) {
    Node node;
    node.id = static_cast<int>(graph_.nodes.size());
    node.name = "dropped_" + std::to_string(node.id);
    graph_.nodes.push_back(std::move(node));
    listed_.push_back(false);
  }
  return graph_.nodes[id];
}

void Parser::GrowValues(int count) {
  while (static_cast<int>(graph_.values.size()) < count) {
    Value value;
    value.id = static_cast<int>(graph_.values.size());
    graph_.values.push_back(std::move(value));
    produced_.push_back(false);
  }
}

Status Parser::ReadName(LineReader& in, Node& node) {
  OFL_ASSIGN(node.name, in.Word("a node's name"));
  const size_t line = node.name.rfind('_');
  int id = -1;
  if (line != std::string::npos) {
    Cursor digits(std::string_view(node.name).substr(line + 1), 1);
    auto number = digits.Int("", 0, max_nodes_ - 1);
    if (number.ok() && digits.AtEnd()) id = static_cast<int>(*number);
  }
  if (id < 0 || node.name != node.name.substr(0, line) + "_" + std::to_string(id))
    return in.Fail() << "got node '" << node.name << "'; expected a name that ends in _id, with an "
                     << "id below the " << max_nodes_ << " nodes of the first line";
  node.id = id;
  const std::string stem = node.name.substr(0, line);
  node.kind = KindOf(stem);
  if (node.kind != NodeKind::kOp) return Status::Ok();
  auto op = op::OpRegistry::Get().Require(stem);
  if (!op.ok()) return in.At(op.status());
  node.op = *op;
  return Status::Ok();
}

Result<int> Parser::ReadValueId(LineReader& in) {
  OFL_TRY(in.Expect("%"));
  OFL_ASSIGN(int64_t id, in.Int("a value's id", 0, max_values_ - 1));
  return static_cast<int>(id);
}

Status Parser::ReadOutputs(LineReader& in) {
  outputs_.clear();
  if (!in.Next("%")) return Status::Ok();
  do {
    Value value;
    OFL_ASSIGN(value.id, ReadValueId(in));
    bool known = value.id < static_cast<int>(produced_.size()) && produced_[value.id];
    for (const Value& other : outputs_) known |= other.id == value.id;
    if (known) return in.Fail() << "got value %" << value.id << " again; expected each id once";
    OFL_TRY(in.Expect(":"));
    OFL_ASSIGN(value.meta, in.ReadType());
    if (in.Next("{")) {
      OFL_ASSIGN(value.nd_sbp, in.Symbols("{", "}"));
      value.pinned = in.Accept("pinned");
    }
    value.requires_grad = in.Accept("grad");
    value.view = in.Accept("view");
    value.output_index = static_cast<int>(outputs_.size());
    outputs_.push_back(std::move(value));
  } while (in.Accept(","));
  return in.Expect("=");
}

Status Parser::ReadConversion(LineReader& in, Node& node) {
  if (node.kind == NodeKind::kToLayout) {
    OFL_TRY(in.Expect("->"));
    if (!in.Accept("dual")) {
      OFL_ASSIGN(node.target, in.Symbols("(", ")"));
      return Status::Ok();
    }
    OFL_TRY(in.Expect("of"));
    OFL_ASSIGN(node.dual_of, ReadValueId(in));
    return Status::Ok();
  }
  bool more = true;
  while (more) {
    OFL_ASSIGN(more, in.AcceptStep(node.steps));
  }
  OFL_TRY(in.Expect("for"));
  Node cause;
  OFL_TRY(ReadName(in, cause));
  node.cause = cause.id;
  if (in.Accept("(")) {
    OFL_ASSIGN(cause.segment, in.ReadSegment());
    OFL_TRY(in.Expect(")"));
    if (Node& dropped = At(cause.id); !listed_[cause.id]) dropped = cause;
  } else {
    Status error = in.Fail() << "got '" << cause.name << "', which has no line; expected one, or "
                             << "its segment in parentheses behind it";
    references_.push_back({cause.name, cause.id, -1, std::move(error)});
  }
  if (!in.Accept("before")) return Status::Ok();
  Node reader;
  OFL_TRY(ReadName(in, reader));
  node.continue_before = reader.id;
  Status error = in.Fail() << "got '" << reader.name << "'; expected a node with a later line";
  references_.push_back({reader.name, reader.id, node.id, std::move(error)});
  return Status::Ok();
}

Status Parser::ReadChoice(LineReader& in, Node& node) {
  if (in.Accept("as")) {
    OFL_ASSIGN(node.signature, in.ReadSignature());
  }
  if (in.Accept("cost")) {
    OFL_ASSIGN(node.choice_cost_ps, in.Int("picoseconds", 1, kMaxInt64));
  }
  return Status::Ok();
}

// What stands behind a node's operands.
Status Parser::ReadExtras(LineReader& in, Node& node) {
  if (in.Next("{")) {
    OFL_ASSIGN(node.attrs, in.ReadAttrs());
  }
  if (in.Next("'")) {
    OFL_ASSIGN(node.variable, in.String("a name"));
  }
  if (node.kind == NodeKind::kInput || node.kind == NodeKind::kOutput) {
    OFL_TRY(in.Expect("#"));
    OFL_ASSIGN(int64_t binding, in.Int("a position", 0, kMaxIds));
    node.binding = static_cast<int>(binding);
  }
  if (node.kind == NodeKind::kToLayout || node.kind == NodeKind::kBoxing)
    OFL_TRY(ReadConversion(in, node));
  if (node.kind == NodeKind::kOp) OFL_TRY(ReadChoice(in, node));
  OFL_TRY(in.Expect("@"));
  OFL_ASSIGN(node.placement, in.ReadPlacement());
  OFL_ASSIGN(node.segment, in.ReadSegment());
  OFL_ASSIGN(node.location, in.ReadLocation());
  return in.ExpectEnd();
}

// Attributes are complete and of the declared types, the signature is one the operator has.
Status Parser::CheckOp(LineReader& in, Node& node, size_t column) {
  auto complete = node.op->CompleteAttrs(node.attrs);
  if (!complete.ok()) return in.At(complete.status(), column);
  node.attrs = *std::move(complete);
  if (!node.signature) return Status::Ok();
  std::vector<TensorMeta> inputs, outputs;
  for (int v : node.inputs) inputs.push_back(graph_.values[v].meta);
  for (const Value& value : outputs_) outputs.push_back(value.meta);
  auto inferred = node.op->Infer(inputs, node.attrs);
  if (!inferred.ok() || *inferred != outputs) return Status::Ok();  // VerifyNode says what is wrong
  auto legal = node.op->Signatures(inputs, outputs, node.attrs, node.placement.hierarchy());
  if (!legal.ok()) return in.At(legal.status(), column);
  for (const sbp::NdSignature& signature : *legal)
    if (signature == *node.signature) return Status::Ok();
  return in.At(Error(Code::kInvalidArgument)
                   << "got signature " << node.signature->ToString() << "; expected one that "
                   << node.op->name << " has for these operands",
               column);
}

Status Parser::ReadLine(LineReader& in) {
  OFL_TRY(ReadOutputs(in));
  Node node;
  OFL_TRY(ReadName(in, node));
  const size_t column = in.column();
  At(node.id);
  if (listed_[node.id]) return in.Fail() << "got " << node.name << " again; expected it once";
  OFL_TRY(in.Expect("("));
  if (!in.Accept(")")) {
    do {
      OFL_ASSIGN(int value, ReadValueId(in));
      if (value >= static_cast<int>(produced_.size()) || !produced_[value])
        return in.Fail() << "got value %" << value << "; expected one of an earlier line";
      node.inputs.push_back(value);
    } while (in.Accept(","));
    OFL_TRY(in.Expect(")"));
  }
  OFL_TRY(ReadExtras(in, node));
  if (node.kind == NodeKind::kOp) OFL_TRY(CheckOp(in, node, column));
  for (Value& value : outputs_) {
    value.producer = node.id;
    value.placement = node.placement;
    node.outputs.push_back(value.id);
    GrowValues(value.id + 1);
    graph_.values[value.id] = value;
  }
  if (Status bad = VerifyNode(graph_, node, produced_); !bad.ok()) return in.At(bad, column);
  listed_[node.id] = true;
  graph_.order.push_back(node.id);
  graph_.nodes[node.id] = std::move(node);
  return Status::Ok();
}

// Nodes named on other lines have a line, on the right side.
Status Parser::CheckReferences() const {
  std::vector<int> position(graph_.nodes.size(), -1);
  for (size_t i = 0; i < graph_.order.size(); ++i) position[graph_.order[i]] = static_cast<int>(i);
  for (const Reference& r : references_) {
    const bool listed = r.id < static_cast<int>(position.size()) && position[r.id] >= 0 &&
                        graph_.nodes[r.id].name == r.name;
    if (!listed || (r.after >= 0 && position[r.id] <= position[r.after])) return r.error;
  }
  return Status::Ok();
}

Result<Graph> Parser::Run(std::string_view text) {
  int number = 0;
  bool header = false;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    LineReader in(text.substr(0, end), ++number, graph_.world_size);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (in.AtEnd()) continue;
    OFL_TRY(header ? ReadLine(in) : ReadHeader(in));
    header = true;
  }
  OFL_TRY(CheckReferences());
  OFL_ENSURE(header, Code::kInvalidArgument)
      << "[graph text] line 1, column 1: got nothing; expected 'graph'";
  if (max_nodes_ > 0) At(static_cast<int>(max_nodes_) - 1);
  GrowValues(static_cast<int>(max_values_));
  return std::move(graph_);
}

}  // namespace

Result<Graph> Parse(std::string_view text) { return Parser().Run(text); }

}  // namespace ofl::ir
