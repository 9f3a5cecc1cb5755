// Rows that lie side by side in memory, a panel of them at a time.
#pragma once

#include "oneflow_like/ops/nn/panel_math.h"
#include "oneflow_like/ops/nn/rows.h"

namespace ofl::ops {

// Whether rows of these operands can be taken so: stored as T, each row strided, and neighbouring
// rows next to one another in all of them.
template <class T>
bool LiesInPanels(const RowStarts& starts, std::initializer_list<const op::TensorView*> operands) {
  int k = 0;
  for (const op::TensorView* operand : operands) {
    if (operand->meta.dtype != DTypeOf<T>::value || starts.step(k) != 1) return false;
    ++k;
  }
  return starts.stride(0) != 1 && starts.neighbours() >= kLeastPanel;
}

// Calls body(first row, where that row starts in each operand, number of rows).
template <class Body>
void ForPanels(device::Stream* stream, const RowStarts& starts, int64_t row_cost,
               const Body& body) {
  const int64_t neighbours = starts.neighbours();
  const int64_t panels = (neighbours + kPanel - 1) / kPanel;
  Parallel(stream, starts.rows() / neighbours * panels, RowGrain(row_cost * kPanel),
           [&](int64_t begin, int64_t end) {
             for (int64_t i = begin; i < end; ++i) {
               const int64_t within = i % panels * kPanel;
               const int64_t first = i / panels * neighbours + within;
               body(first, starts.Of(first), std::min(kPanel, neighbours - within));
             }
           });
}

}  // namespace ofl::ops
