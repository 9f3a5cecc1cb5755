// One rank's share of a plan: what compiler/expand writes and actor runs. Values only.
//
// All ids are dense and local to the program, except edge ids of remote edges, which are the
// same on both ends. Offsets are bytes into the rank's arena.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "oneflow_like/base/status.h"
#include "oneflow_like/core/attrs.h"
#include "oneflow_like/core/tensor_meta.h"

namespace ofl {

// What a task does when it fires.
enum class TaskKind : uint8_t {
  kKernel,      // an operator's kernel on local shards
  kInput,       // hands in a launch argument: one micro-batch slice of it each firing
  kOutput,      // hands a piece to the launch's results
  kVariable,    // lends a variable's buffer to its readers
  kPack,        // copies one box of its input register into a send register
  kReceive,     // its register is filled by a peer
  kAssemble,    // writes its output from boxes of its inputs, combining partials in the tree
  kAccumulate,  // fires m times, adds each piece into one register, hands it on at the m-th
};

// A register: one block of memory for each of `instances` pieces in flight.
struct RegisterDesc {
  int id = 0;
  TensorMeta meta;             // extent on this rank; bytes <= bound
  int64_t bound = 0;           // bytes reserved for each instance
  int instances = 1;           // credits
  int64_t offset = -1;         // of instance 0 in the arena; -1: memory comes from elsewhere
  int64_t stride = 0;          // bytes between instances
  int producer = -1;           // task
  std::vector<int> consumers;  // local tasks, in plan order
  int alias_of = -1;           // in-place: takes over this register's memory
  std::string variable;        // of kVariable: name of the bound buffer
};

// Where firings stand in the one order of which all streams of all ranks are parts: by slot, then
// within it. What a rank waits for stands before it, which proves that nobody waits in a circle
// (docs/plan.md).
struct Place {
  int region = 0;      // firing k is in slot Program::slots[region][k]
  int64_t within = 0;  // a slot
};

// A register filled over the wire: the producer's send register, the consumer's register.
struct RemoteEdge {
  int64_t edge_id = 0;  // dense over the whole plan, the same on both ends
  int peer = 0;         // rank at the other end
  int local_register = 0;
  int64_t local_offset = 0;  // outgoing: first byte of the message within the register
  int64_t bytes = 0;         // of one piece
  int credits = 1;           // instances at the consumer
  bool outgoing = false;
  Place push;  // of its pieces, the same on both ends
};

// A box copied or combined by kPack and kAssemble, in elements relative to the local shards.
struct BoxCopy {
  int input = 0;    // which input register (index into TaskDesc::inputs)
  Shape src_begin;  // within the input's shard
};
struct AssemblePiece {
  Shape dst_begin;  // within the output's shard
  Shape extent;
  std::vector<BoxCopy> sources;  // one: copy; several: combine; none: fill with the identity
  Shape tree;                    // reduction tree, see sbp::Piece
  int reduce_op = 0;             // sbp::ReduceOp as a number
};

// An input that a task reads as a view of its register: elements at offset + index · strides.
struct InputView {
  int input = 0;       // index into TaskDesc::inputs
  TensorMeta meta;     // of the register's dtype
  Strides strides;     // in elements
  int64_t offset = 0;  // in elements, from the register's first
};

struct TaskDesc {
  int id = 0;
  TaskKind kind = TaskKind::kKernel;
  std::string name;  // unique within the plan, e.g. "matmul_3" or "boxing_12.pack.1"
  std::string op;    // of kKernel
  Attrs attrs;
  std::vector<int> inputs;       // registers read
  std::vector<int> outputs;      // registers written
  std::vector<int> mutates;      // indices into inputs whose memory the kernel updates
  std::vector<InputView> views;  // of kKernel: inputs not read as their registers lie, ascending
  // Of kKernel: logical metadata and where this rank's shards start, for kernels that ask.
  std::vector<TensorMeta> logical_inputs;
  std::vector<TensorMeta> logical_outputs;
  std::vector<Shape> input_offsets;
  std::vector<Shape> output_offsets;
  std::vector<AssemblePiece> pieces;  // of kPack (one) and kAssemble
  int64_t workspace_offset = -1;
  int64_t workspace_bytes = 0;
  int64_t state_offset = -1;  // memory that the kernel keeps from firing to firing
  int64_t state_bytes = 0;
  int generator = -1;   // of kKernel: what it draws from, of the program's
  int64_t draw = 0;     // its place among the draws that a launch takes from it
  int binding = -1;     // of kInput, kOutput: position in the launch's arguments
  int firings = 1;      // in one iteration
  int logical_op = -1;  // index of the plan's operator that caused it
  Place place;          // of its firings
};

// A stream's order: firing `task` for micro-batch `piece`, one after another.
struct Firing {
  int task = 0;
  int piece = 0;
};
struct StreamDesc {
  std::string name;
  int threads = 1;            // kernels on this stream use exactly this many
  std::vector<Firing> order;  // one iteration
};

// "`after` may fire piece k only when `before` has finished piece k - tokens": edges of the proof
// that no data, credit or stream order implies. With unequal firings (1 and m; tokens are 0) all
// firings of `after` wait for the last of `before`. A piece still being pushed is not waited for.
struct ControlEdge {
  int before = 0;
  int after = 0;
  int tokens = 0;  // firings `after` may run ahead
};

struct GeneratorDesc {
  std::string name;
  int64_t draws = 0;  // of one launch
};

struct Program {
  int rank = 0;
  int world_size = 1;
  int micro_batches = 1;
  uint64_t plan_id = 0;
  std::string plan_hash;
  int64_t arena_bytes = 0;
  std::vector<TaskDesc> tasks;
  std::vector<RegisterDesc> registers;
  std::vector<RemoteEdge> remote_edges;
  std::vector<StreamDesc> streams;
  std::vector<ControlEdge> control_edges;
  std::vector<GeneratorDesc> generators;    // a launch says where each of them stands
  std::vector<std::vector<int64_t>> slots;  // of each region, for each of its trips
};

// kDataLoss unless every view of the task is of one of its inputs, ascending, of the register's
// dtype and within the register's elements, and none of an input that the task mutates.
Status CheckInputViews(const Program& program, const TaskDesc& task);

}  // namespace ofl
