// Reads the text that Print writes, so that graphs can be kept, edited and given to passes.
//
//   graph 'mlp' world 2 micro_batches 1 nodes 12 values 11
//   %0: float32[4,3]{S(0)} grad = variable_0() 'w' @placement(cpu, ranks=[0, 1]) forward
//   %1: float32[4,3]{S(0)} = relu_1(%0) as (S(0))->(S(0)) @placement(...) forward at 'a.py':3 'fc'
//
// The first line ends in "draws 'name' n, ..." where the graph draws random numbers: its
// generators, and how many numbers a launch takes from each.
// One line a node, in execution order. A value is "%id: type", with its layout in braces once it
// has one, "pinned" when the program has read that layout, "grad" when it requires a gradient, and
// "view" when it lies in its operand's memory.
// A node is stem_id: the stem names an operator or is input, variable, to_global, boxing,
// accumulate or output. After its operands stand, where they apply, in this order:
//   {name=value, ...}              attributes
//   'name'                         of an input's argument or a variable
//   #n                             position among the arguments or results
//   -> (S(0)) | -> dual of %v      what a to_global asks for
//   kind layout -> layout {...};   each step of a boxing node: its mesh axis, bytes and cost
//   for node                       why it converts; "(segment)" follows if the node has no line
//   before node                    the node before which all steps but the last are finished
//   as (S(0)),(B)->(S(0))          the chosen signature
//   cost n                         picoseconds its conversions take
//   @placement segment             where and in which part of an iteration it runs
//   at 'file':line 'module'        where the user's program says so
// Ids that no line has stay free ("nodes" and "values" count them too), so that passes number what
// they add as they would for the original. Not in the text: what `explain` shows of
// the choices, all that they were charged and the losing ones.
#pragma once

#include <string_view>

#include "oneflow_like/ir/graph.h"

namespace ofl::ir {

// The graph, which Verify accepts. kInvalidArgument, or kNotFound for an unknown operator; the
// message names line and column.
Result<Graph> Parse(std::string_view text);

}  // namespace ofl::ir
