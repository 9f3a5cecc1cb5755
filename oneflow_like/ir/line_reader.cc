#include "oneflow_like/ir/line_reader.h"

#include <limits>

namespace ofl::ir {
namespace {

constexpr int64_t kMaxInt = std::numeric_limits<int>::max();
constexpr int64_t kMaxInt64 = std::numeric_limits<int64_t>::max();

}  // namespace

Result<sbp::NdSbp> LineReader::Symbols(std::string_view open, std::string_view close) {
  OFL_TRY(Expect(open));
  sbp::NdSbp nd;
  do {
    OFL_ASSIGN(std::string text, Word("a layout symbol"));
    const size_t begin = column();
    if (Accept("(")) {
      OFL_ASSIGN(std::string inner, Word("an axis or a reduction"));
      OFL_TRY(Expect(")"));
      text += "(" + inner + ")";
    }
    auto symbol = sbp::Sbp::Parse(text);
    if (!symbol.ok()) return At(symbol.status(), begin);
    if (nd.rank() == kMaxMeshRank)
      return Fail() << "got more than " << kMaxMeshRank << " symbols; expected at most so many";
    nd.push_back(*symbol);
  } while (Accept(","));
  OFL_TRY(Expect(close));
  return nd;
}

// Nested lists of ranks, all of one shape.
Status LineReader::ReadMesh(int depth, Mesh& mesh) {
  OFL_TRY(Expect("["));
  if (depth == kMaxMeshRank)
    return Fail() << "got a mesh of more than " << kMaxMeshRank
                  << " axes; expected at most so many";
  int64_t count = 0;
  do {
    if (Next("[")) {
      OFL_TRY(ReadMesh(depth + 1, mesh));
    } else {
      OFL_ASSIGN(int64_t rank, Int("a rank of the world", 0, world_size_ - 1));
      if (mesh.rank == 0) mesh.rank = depth + 1;
      if (mesh.rank != depth + 1) return Fail() << "got ranks nested unevenly; expected a mesh";
      mesh.ranks.push_back(static_cast<int>(rank));
    }
    ++count;
  } while (Accept(","));
  OFL_TRY(Expect("]"));
  if (mesh.sizes[depth] == 0) mesh.sizes[depth] = count;
  if (mesh.sizes[depth] != count || mesh.rank <= depth)
    return Fail() << "got ranks nested unevenly; expected a mesh";
  return Status::Ok();
}

Result<Placement> LineReader::ReadPlacement() {
  OFL_TRY(Expect("placement"));
  const size_t begin = column();
  OFL_TRY(Expect("("));
  OFL_ASSIGN(std::string device, Word("a device kind"));
  auto kind = DeviceKindFromName(device);
  if (!kind.ok()) return At(kind.status());
  OFL_TRY(Expect(","));
  OFL_TRY(Expect("ranks"));
  OFL_TRY(Expect("="));
  Mesh mesh;
  OFL_TRY(ReadMesh(0, mesh));
  std::vector<std::string> axes;
  if (Accept(",")) {
    OFL_TRY(Expect("axes"));
    OFL_TRY(Expect("="));
    OFL_TRY(Expect("["));
    do {
      OFL_ASSIGN(std::string axis, String("an axis name"));
      axes.push_back(std::move(axis));
    } while (Accept(","));
    OFL_TRY(Expect("]"));
  }
  OFL_TRY(Expect(")"));
  const Shape hierarchy(std::span<const int64_t>(mesh.sizes.data(), mesh.rank));
  auto placement = Placement::Make(*kind, hierarchy, std::move(mesh.ranks), std::move(axes));
  if (!placement.ok()) return At(placement.status(), begin);
  return *placement;
}

Result<sbp::Layout> LineReader::ReadLayout() {
  OFL_ASSIGN(Placement placement, ReadPlacement());
  OFL_ASSIGN(sbp::NdSbp nd_sbp, Symbols("(", ")"));
  return sbp::Layout{placement, nd_sbp};
}

Result<TensorMeta> LineReader::ReadType() {
  OFL_ASSIGN(std::string name, Word("a dtype"));
  const size_t begin = column();
  auto dtype = DTypeFromName(name);
  if (!dtype.ok()) return At(dtype.status());
  OFL_TRY(Expect("["));
  std::vector<int64_t> sizes;
  if (!Accept("]")) {
    do {
      OFL_ASSIGN(int64_t size, Int("a size", 0, kMaxInt64));
      sizes.push_back(size);
    } while (Accept(","));
    OFL_TRY(Expect("]"));
  }
  auto shape = Shape::Checked(sizes);
  if (!shape.ok()) return At(shape.status(), begin);
  return TensorMeta{*dtype, *shape};
}

Result<Segment> LineReader::ReadSegment() {
  for (Segment segment : {Segment::kForward, Segment::kBackward, Segment::kUpdate})
    if (Accept(SegmentName(segment))) return segment;
  OFL_ASSIGN(std::string word, Word("forward, backward or update"));
  return Fail() << "got '" << word << "'; expected forward, backward or update";
}

Result<Location> LineReader::ReadLocation() {
  Location location;
  if (!Accept("at")) return location;
  OFL_ASSIGN(location.file, String("a file"));
  OFL_TRY(Expect(":"));
  OFL_ASSIGN(int64_t line, Int("a line", -kMaxInt - 1, kMaxInt));
  location.line = static_cast<int>(line);
  OFL_ASSIGN(location.module_path, String("a module"));
  return location;
}

Result<sbp::NdSignature> LineReader::ReadSignature() {
  sbp::NdSignature signature;
  for (auto* side : {&signature.inputs, &signature.outputs}) {
    if (Next("(")) {
      do {
        OFL_ASSIGN(sbp::NdSbp nd_sbp, Symbols("(", ")"));
        side->push_back(nd_sbp);
      } while (Accept(","));
    }
    if (side == &signature.inputs) OFL_TRY(Expect("->"));
  }
  return signature;
}

Result<int64_t> LineReader::TakeInt(const Attrs& attrs, std::string_view name, int64_t low,
                                    int64_t high) {
  const AttrValue* value = attrs.Find(name);
  const int64_t* number = value == nullptr ? nullptr : std::get_if<int64_t>(value);
  if (number == nullptr || *number < low || *number > high)
    return Fail() << "got " << attrs.ToString() << "; expected " << name << ", an integer from "
                  << low << " to " << high;
  return *number;
}

Status LineReader::ReadStepNumbers(sbp::BoxingStep& step) {
  OFL_ASSIGN(Attrs attrs, ReadAttrs());
  OFL_ASSIGN(step.total_bytes, TakeInt(attrs, "bytes", 0, kMaxInt64));
  OFL_ASSIGN(step.max_rank_bytes, TakeInt(attrs, "rank_bytes", 0, kMaxInt64));
  OFL_ASSIGN(step.rounds, TakeInt(attrs, "rounds", 0, kMaxInt64));
  OFL_ASSIGN(step.cost_ps, TakeInt(attrs, "cost_ps", 0, kMaxInt64));
  size_t known = 4;
  if (attrs.Has("axis")) {
    const int axes = step.from.placement.hierarchy().rank();
    OFL_ASSIGN(int64_t axis, TakeInt(attrs, "axis", 0, axes - 1));
    step.mesh_axis = static_cast<int>(axis);
    ++known;
  }
  if ((step.mesh_axis < 0) != (step.kind == sbp::StepKind::kRedistribute))
    return Fail() << "got " << attrs.ToString() << "; expected axis in all kinds but redistribute";
  if (const AttrValue* order = attrs.Find("order")) {
    if (*order != AttrValue(std::string("backend")))
      return Fail() << "got order=" << AttrToString(*order) << "; expected 'backend'";
    step.order = sbp::ReduceOrder::kBackend;
    ++known;
  }
  if (const AttrValue* codec = attrs.Find("codec")) {
    if (!std::holds_alternative<std::string>(*codec))
      return Fail() << "got codec=" << AttrToString(*codec) << "; expected a string";
    step.codec = std::get<std::string>(*codec);
    ++known;
  }
  if (attrs.size() != known)
    return Fail() << "got " << attrs.ToString() << "; expected only bytes, rank_bytes, rounds, "
                  << "cost_ps, axis, order and codec";
  return Status::Ok();
}

Result<bool> LineReader::AcceptStep(std::vector<sbp::BoxingStep>& steps) {
  using sbp::StepKind;
  for (StepKind kind :
       {StepKind::kSlice, StepKind::kFill, StepKind::kAllGather, StepKind::kReduceScatter,
        StepKind::kAllReduce, StepKind::kAllToAll, StepKind::kRedistribute}) {
    if (!Accept(sbp::StepKindName(kind))) continue;
    sbp::BoxingStep step;
    step.kind = kind;
    OFL_ASSIGN(step.from, ReadLayout());
    OFL_TRY(Expect("->"));
    OFL_ASSIGN(step.to, ReadLayout());
    OFL_TRY(ReadStepNumbers(step));
    OFL_TRY(Expect(";"));
    steps.push_back(std::move(step));
    return true;
  }
  return false;
}

}  // namespace ofl::ir
