#include "compiler/plan_codec.h"

namespace ofl::compiler {
namespace {

struct AttrWriter {
  proto::AttrDef* out;
  void operator()(bool v) const { out->set_b(v); }
  void operator()(int64_t v) const { out->set_i(v); }
  void operator()(double v) const { out->set_f(v); }
  void operator()(const std::string& v) const { out->set_s(v); }
  void operator()(const std::vector<int64_t>& v) const {
    auto* ints = out->mutable_ints();
    for (int64_t i : v) ints->add_v(i);
  }
  void operator()(DType v) const { out->set_dtype(static_cast<int>(v)); }
  void operator()(std::complex<double> v) const {
    out->mutable_complex()->add_v(v.real());
    out->mutable_complex()->add_v(v.imag());
  }
  void operator()(const std::vector<double>& v) const {
    auto* floats = out->mutable_floats();
    for (double f : v) floats->add_v(f);
  }
  void operator()(NoValue) const { out->set_none(true); }
};

}  // namespace

void WriteAttrs(const Attrs& attrs, proto::OpDef* op) {
  for (const auto& [name, value] : attrs) {
    proto::AttrDef* out = op->add_attrs();
    out->set_name(name);
    std::visit(AttrWriter{out}, value);
  }
}

Result<Attrs> ReadAttrs(const proto::OpDef& op) {
  Attrs attrs;
  for (const proto::AttrDef& attr : op.attrs()) {
    switch (attr.value_case()) {
      case proto::AttrDef::kB: attrs.Set(attr.name(), attr.b()); break;
      case proto::AttrDef::kI: attrs.Set(attr.name(), int64_t{attr.i()}); break;
      case proto::AttrDef::kF: attrs.Set(attr.name(), attr.f()); break;
      case proto::AttrDef::kS: attrs.Set(attr.name(), attr.s()); break;
      case proto::AttrDef::kInts:
        attrs.Set(attr.name(),
                  std::vector<int64_t>(attr.ints().v().begin(), attr.ints().v().end()));
        break;
      case proto::AttrDef::kDtype: {
        OFL_ASSIGN(DType dtype, DTypeFromNumber(attr.dtype()));
        attrs.Set(attr.name(), dtype);
        break;
      }
      case proto::AttrDef::kComplex:
        OFL_ENSURE(attr.complex().v_size() == 2, Code::kDataLoss)
            << "attribute " << attr.name() << " of " << op.name() << " is no complex number: got "
            << attr.complex().v_size() << " parts; expected 2";
        attrs.Set(attr.name(), std::complex<double>(attr.complex().v(0), attr.complex().v(1)));
        break;
      case proto::AttrDef::kFloats:
        attrs.Set(attr.name(),
                  std::vector<double>(attr.floats().v().begin(), attr.floats().v().end()));
        break;
      case proto::AttrDef::kNone: attrs.Set(attr.name(), NoValue{}); break;
      case proto::AttrDef::VALUE_NOT_SET:
        return Error(Code::kDataLoss)
               << "attribute " << attr.name() << " of " << op.name() << " has no value";
    }
  }
  return attrs;
}

void WriteSbp(const sbp::NdSbp& nd_sbp, proto::LayoutDef* layout) {
  for (sbp::Sbp s : nd_sbp) {
    proto::SbpDef* out = layout->add_sbp();
    out->set_kind(static_cast<proto::SbpDef::Kind>(static_cast<int>(s.kind())));
    if (s.is_split()) out->set_axis(s.axis());
    if (s.is_partial()) out->set_reduce(static_cast<int>(s.reduce_op()));
  }
}

Result<Placement> ReadPlacement(const proto::PlacementDef& placement) {
  OFL_ENSURE(placement.device_kind() >= 1 && placement.device_kind() <= 3, Code::kDataLoss)
      << "device kind " << placement.device_kind() << " is unknown";
  std::vector<int64_t> dims(placement.hierarchy().begin(), placement.hierarchy().end());
  OFL_ASSIGN(Shape hierarchy, Shape::Checked(dims));
  return Placement::Make(static_cast<DeviceKind>(placement.device_kind()), hierarchy,
                         {placement.ranks().begin(), placement.ranks().end()});
}

Result<PlacementTable> PlacementTable::Read(const proto::Semantics& semantics) {
  PlacementTable table;
  for (const proto::PlacementDef& def : semantics.placements()) {
    OFL_ASSIGN(Placement placement, ReadPlacement(def));
    for (int rank : placement.ranks())
      OFL_ENSURE(rank < semantics.world_size(), Code::kDataLoss)
          << "placement " << placement.ToString() << " names rank " << rank << " in a world of "
          << semantics.world_size();
    table.placements_.push_back(placement);
  }
  return table;
}

Result<sbp::Layout> PlacementTable::ReadLayout(const proto::LayoutDef& layout) const {
  OFL_ENSURE(layout.placement() >= 0 && layout.placement() < size(), Code::kDataLoss)
      << "placement " << layout.placement() << " does not exist";
  OFL_ENSURE(layout.sbp_size() <= kMaxMeshRank, Code::kDataLoss)
      << layout.sbp_size() << " symbols in one layout";
  sbp::NdSbp nd_sbp;
  for (const proto::SbpDef& s : layout.sbp()) {
    OFL_ENSURE(s.axis() >= 0 && s.axis() < kMaxRank && s.reduce() >= 0 && s.reduce() <= 2,
               Code::kDataLoss)
        << "a layout symbol has axis " << s.axis() << " and reduction " << s.reduce();
    switch (s.kind()) {
      case proto::SbpDef::BROADCAST: nd_sbp.push_back(sbp::Sbp::Broadcast()); break;
      case proto::SbpDef::SPLIT: nd_sbp.push_back(sbp::Sbp::Split(s.axis())); break;
      case proto::SbpDef::PARTIAL:
        nd_sbp.push_back(sbp::Sbp::Partial(static_cast<sbp::ReduceOp>(s.reduce())));
        break;
      default: return Error(Code::kDataLoss) << "layout symbol " << s.kind() << " is unknown";
    }
  }
  return sbp::Layout{at(layout.placement()), nd_sbp};
}

Result<std::vector<sbp::BoxingStep>> PlacementTable::ReadSteps(const proto::OpDef& op,
                                                               const sbp::Layout& from) const {
  OFL_ENSURE(op.steps_size() >= 1 && op.steps_size() <= kMaxSteps, Code::kDataLoss)
      << "a conversion of " << op.steps_size() << " steps";
  std::vector<sbp::BoxingStep> steps;
  for (const proto::StepDef& def : op.steps()) {
    sbp::BoxingStep step;
    OFL_ENSURE(def.kind() >= 0 && def.kind() <= 6, Code::kDataLoss)
        << "boxing kind " << def.kind() << " is unknown";
    step.kind = static_cast<sbp::StepKind>(def.kind());
    step.from = steps.empty() ? from : steps.back().to;
    OFL_ASSIGN(step.to, ReadLayout(def.to()));
    const int mesh_rank = step.from.placement.hierarchy().rank();
    OFL_ENSURE(def.mesh_axis() >= -1 && def.mesh_axis() < mesh_rank, Code::kDataLoss)
        << "boxing on mesh axis " << def.mesh_axis() << " of " << mesh_rank;
    step.mesh_axis = def.mesh_axis();
    OFL_ENSURE(def.order() == 0, Code::kUnimplemented)
        << "reduction order " << def.order() << " needs a vendor's collective";
    OFL_ENSURE(def.codec().empty(), Code::kUnimplemented)
        << "codec '" << def.codec() << "' is not known";
    steps.push_back(std::move(step));
  }
  return steps;
}

Result<TensorMeta> ReadArgumentMeta(const proto::Semantics& semantics,
                                    const proto::Argument& argument) {
  OFL_ASSIGN(TensorMeta meta, ReadMeta(semantics.values(argument.value())));
  if (!argument.per_micro_batch()) return meta;
  if (meta.shape.rank() == 0)
    meta.shape = Shape{semantics.micro_batches()};
  else
    meta.shape[0] *= semantics.micro_batches();
  return meta;
}

Result<TensorMeta> ReadMeta(const proto::ValueDef& value) {
  TensorMeta meta;
  OFL_ASSIGN(meta.dtype, DTypeFromNumber(value.dtype()));
  std::vector<int64_t> dims(value.shape().begin(), value.shape().end());
  OFL_ASSIGN(meta.shape, Shape::Checked(dims));
  return meta;
}

}  // namespace ofl::compiler
