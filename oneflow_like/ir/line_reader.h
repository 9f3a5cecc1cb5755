// Reads the parts of a line of a graph's text that say nothing of other lines.
#pragma once

#include <array>
#include <vector>

#include "oneflow_like/ir/cursor.h"
#include "oneflow_like/ir/graph.h"

namespace ofl::ir {

class LineReader : public Cursor {
 public:
  LineReader(std::string_view line, int number, int world_size)
      : Cursor(line, number), world_size_(world_size) {}

  Result<sbp::NdSbp> Symbols(std::string_view open, std::string_view close);
  Result<Placement> ReadPlacement();
  Result<sbp::Layout> ReadLayout();
  Result<TensorMeta> ReadType();
  Result<Segment> ReadSegment();
  Result<Location> ReadLocation();
  Result<sbp::NdSignature> ReadSignature();
  Result<bool> AcceptStep(std::vector<sbp::BoxingStep>& steps);

 private:
  struct Mesh {
    std::array<int64_t, kMaxMeshRank> sizes{};  // 0: not known yet
    int rank = 0;                               // 0: not known yet
    std::vector<int> ranks;
  };
  Status ReadMesh(int depth, Mesh& mesh);
  Result<int64_t> TakeInt(const Attrs& attrs, std::string_view name, int64_t low, int64_t high);
  Status ReadStepNumbers(sbp::BoxingStep& step);

  int world_size_;
};

}  // namespace ofl::ir
