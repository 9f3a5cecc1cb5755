// A Program as the core reads it: flat index tables, checked once, constant afterwards.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "oneflow_like/base/status.h"
#include "oneflow_like/core/program.h"

namespace ofl::actor {

// How a task's firings meet the pieces of a register. P: pieces of an iteration; f: firings.
enum class Rate : uint8_t {
  kEach,  // P == f: firing k reads piece k and lets go of it
  kHeld,  // P == 1 < f: every firing reads piece 0; the last lets go of it
  kLast,  // f == 1 < P: the one firing reads piece P - 1; earlier pieces are not for this task
};

struct Range {
  int begin = 0;
  int end = 0;
};

// One entry of TaskDesc::inputs. A register read twice by a task counts as one reader.
struct InputUse {
  int reg = 0;
  Rate rate = Rate::kEach;
  bool counted = true;  // false: a repeated entry
};

// `other` must have let go of this task's piece of the register: the write of a mutated or
// in-place register keeps its place among the register's readers.
struct OrderedAfter {
  int reg = 0;
  int other = 0;
  Rate rate = Rate::kEach;  // of `other`
};

// The task's firing k needs firing k - tokens of `before`, or all of them (kLast), or its one.
struct Control {
  int before = 0;
  int tokens = 0;
  Rate rate = Rate::kEach;
};

struct TaskTable {
  TaskKind kind = TaskKind::kKernel;
  int firings = 1;
  Range inputs, outputs, ordered, controls;  // into the vectors of Tables
};

struct RegisterTable {
  int instances = 1;
  int pieces = 1;  // of an iteration
  int producer = -1;
  int alias_of = -1;
  int readers = 0;       // of every piece: local tasks and pushes
  int last_readers = 0;  // of the last piece of an iteration only
  int incoming = -1;     // index of the remote edge that fills it
  Range pushes;          // into Tables::pushes
  int first_slot = 0;    // of its instances among all slots
};

struct EdgeTable {
  int reg = 0;
  int credits = 1;
  bool outgoing = false;
};

struct StreamTable {
  std::vector<Firing> order;
  bool inline_task = false;  // a variable or argument on no stream: its firing is no work
};

struct Tables {
  std::vector<TaskTable> tasks;
  std::vector<RegisterTable> registers;
  std::vector<EdgeTable> edges;      // parallel to Program::remote_edges
  std::vector<StreamTable> streams;  // Program::streams, then one for each inline task
  std::vector<InputUse> inputs;
  std::vector<int> outputs;
  std::vector<OrderedAfter> ordered;
  std::vector<Control> controls;
  std::vector<int> pushes;  // edges, grouped by register
  int slots = 0;

  // kInvalidArgument names what in the program cannot be run.
  static Result<Tables> Make(const Program& program);
};

}  // namespace ofl::actor
