// The logical graph: operators on whole tensors, in execution order, with layouts once chosen.
//
// A Graph is a value: passes take one and return one. Node and value ids are positions in the two
// vectors and never change while a graph is extended; `order` lists the nodes as they run.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "oneflow_like/base/status.h"
#include "oneflow_like/core/attrs.h"
#include "oneflow_like/core/placement.h"
#include "oneflow_like/core/tensor_meta.h"
#include "oneflow_like/op/def/op_def.h"
#include "sbp/boxing.h"

namespace ofl::ir {

enum class NodeKind : uint8_t {
  kInput,       // a launch argument
  kVariable,    // a named buffer that outlives launches
  kOp,          // an operator of the registry
  kToLayout,    // a conversion the user (or autograd) asked for; no steps yet
  kBoxing,      // a conversion as its steps
  kAccumulate,  // sums its input over the micro-batches of an iteration
  kOutput,      // a launch result
};
const char* NodeKindName(NodeKind kind);

// Parts of an iteration. With m micro-batches the first two run m times, the last once.
enum class Segment : uint8_t { kForward, kBackward, kUpdate };
const char* SegmentName(Segment segment);

// Where in the user's program a node comes from.
struct Location {
  std::string file;
  int line = 0;
  std::string module_path;
};

// A signature that was considered, with all that it was charged.
struct Choice {
  std::string signature;
  int64_t cost_ps = 0;
};

struct Node {
  int id = -1;
  NodeKind kind = NodeKind::kOp;
  const op::OpDef* op = nullptr;  // of kOp
  Attrs attrs;
  std::vector<int> inputs;   // values
  std::vector<int> outputs;  // values
  std::string name;          // unique: "matmul_3"
  Placement placement;       // where it runs; of conversions: the target
  Segment segment = Segment::kForward;
  Location location;

  int binding = -1;                           // kInput, kOutput: position among the arguments
  std::string variable;                       // kVariable: name of the buffer
  std::optional<sbp::NdSbp> target;           // kToLayout: wanted symbols
  int dual_of = -1;                           // kToLayout: the layout dual to this value's instead
  std::vector<sbp::BoxingStep> steps;         // kBoxing; never empty
  int cause = -1;                             // kBoxing: the node that needs the conversion
  int continue_before = -1;                   // kBoxing: the node before which all steps but the
                                              // last are finished; -1: at its own position
  std::optional<sbp::NdSignature> signature;  // kOp, once chosen
  std::vector<Choice> losing;                 // kOp: what was not chosen
  int64_t charged_ps = 0;                     // kOp: all that the choice was charged
  int64_t choice_cost_ps = 0;                 // kOp: of it, the conversions of operands
};

struct Value {
  int id = -1;
  TensorMeta meta;  // logical; of one micro-batch in the first two segments
  int producer = -1;
  int output_index = 0;
  Placement placement;
  std::optional<sbp::NdSbp> nd_sbp;  // fixed for inputs and variables, else once chosen
  bool requires_grad = false;
  bool pinned = false;  // a user has read `nd_sbp`: the plan keeps exactly it
  // Lies in the memory of its node's first input, as the operator's View says (the views pass).
  bool view = false;
  sbp::Layout layout() const { return {placement, *nd_sbp}; }
};

// A source of random numbers that outlives launches: which one it is, a launch says.
struct Generator {
  std::string name;
  // That a launch takes from it: those of nodes that were dropped since count, as in eager mode.
  int64_t draws = 0;
};
inline constexpr std::string_view kDefaultGenerator = "default";

struct Graph {
  std::string name;
  int world_size = 1;
  int micro_batches = 1;
  std::vector<Node> nodes;
  std::vector<Value> values;
  std::vector<int> order;  // node ids as they run
  std::vector<Generator> generators;
  // Tells this graph's handles from those of another, even of one that lay at the same address.
  uint64_t serial = NextSerial();

  static uint64_t NextSerial();
  // Appends a node (also to `order`) and its output values; names it uniquely after `stem`.
  Node& AddNode(NodeKind kind, std::string stem, std::vector<int> inputs,
                std::vector<TensorMeta> outputs, Placement placement);
  // Bytes a conversion moves between ranks.
  static int64_t BytesMoved(const Node& boxing);
  Node& producer(int value) { return nodes[values[value].producer]; }
  const Node& producer(int value) const { return nodes[values[value].producer]; }
  // Consumers of each value, in execution order; a node stands once for each use.
  std::vector<std::vector<int>> Consumers() const;
  // The value in whose memory this one lies: itself, unless it is a view.
  int Root(int value) const;
  // Whether the node makes a view, and so moves nothing.
  bool IsView(const Node& node) const {
    return node.kind == NodeKind::kOp && !node.outputs.empty() && values[node.outputs[0]].view;
  }
};

// Checks that ids are consistent, values are produced before use, metadata re-infers equally,
// layouts (where chosen) are legal and conversions lead where they say. The message names the node.
Status Verify(const Graph& graph);
// The same for one node, where `produced` tells the values that nodes before it made; marks its
// own.
Status VerifyNode(const Graph& graph, const Node& node, std::vector<bool>& produced);

// Stable text, one line a node, which Parse (ir/parse.h, with the grammar) reads back:
//   %3: float32[8,16]{S(0)} = matmul_3(%1, %2) {transpose_b=true} @placement(...) forward
std::string Print(const Graph& graph);

}  // namespace ofl::ir
