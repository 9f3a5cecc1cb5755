// Runs a saved plan on arrays in files, without Python.
#pragma once

#include <optional>
#include <string>

#include "oneflow_like/base/status.h"
#include "oneflow_like/proto/plan.pb.h"

namespace ofl::runtime {

struct RunFiles {
  std::string plan;  // written by graph.plan().save()
  // <variable name>.npy, logical values, and generator@<name>.npy where there is one: seed and
  // offset of the next draw; graph.save_variables()
  std::string variables_dir;
  std::string inputs_dir;   // <argument name>.npy, logical values
  std::string outputs_dir;  // output_<k>.rank<r>.npy: each rank's part
  int launches = 1;
  std::optional<uint64_t> seed;  // starts every generator anew; else one without a file has 0
};

// Loads, verifies, expands this rank's share (rank and world from the launcher's environment),
// runs it and writes the results and the updated variables' directory "variables" below
// outputs_dir. Every file may be wrong; the error says which and how.
Status RunPlan(const RunFiles& files);

}  // namespace ofl::runtime
