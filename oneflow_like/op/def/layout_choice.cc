#include "oneflow_like/op/def/layout_choice.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

namespace ofl::op {
namespace {

__extension__ typedef __int128 Wide;  // NOLINT(modernize-use-using): __extension__ takes none

int64_t Clamp(Wide v) {
  constexpr Wide kMost = std::numeric_limits<int64_t>::max() / 8;  // some of them can be added
  return static_cast<int64_t>(std::min(v, kMost));
}

bool Has(unsigned axes, int k) { return (axes >> k & 1) != 0; }

// What the first member holds, which holds the most, if only `axes` cut.
Shape BusiestPart(Shape shape, const sbp::NdSbp& nd_sbp, const Shape& hierarchy, unsigned axes) {
  for (int k = 0; k < nd_sbp.rank(); ++k) {
    if (!Has(axes, k) || !nd_sbp[k].is_split()) continue;
    int64_t& extent = shape[nd_sbp[k].axis()];
    extent = (extent + hierarchy[k] - 1) / hierarchy[k];
  }
  return shape;
}

// Mesh axes over which a partial output is no natural one: an operand must be made partial for it,
// or what is split or partial there can be read in another layout for nothing.
unsigned OwedAxes(const LayoutQuery& query, const sbp::NdSignature& signature) {
  unsigned owed = 0;
  for (size_t i = 0; i < query.inputs.size(); ++i) {
    const LaidOperand& x = query.inputs[i];
    for (int k = 0; k < query.placement.hierarchy().rank(); ++k) {
      const sbp::Sbp wanted = signature.inputs[i][k];
      const bool lies = x.nd_sbp != nullptr && (*x.nd_sbp)[k] == wanted;
      if (wanted.is_partial() && !lies) owed |= 1u << k;
      if (!wanted.is_broadcast() && lies && !x.copies.empty()) owed |= 1u << k;
    }
  }
  return owed;
}

// Mesh axes of more than one part over which some operand is split, or split or partial.
LayoutChooser::Axes AxesInUse(const LayoutQuery& query) {
  LayoutChooser::Axes axes;
  const Shape& hierarchy = query.placement.hierarchy();
  for (const LaidOperand& operand : query.inputs) {
    if (operand.nd_sbp == nullptr) continue;
    for (int k = 0; k < hierarchy.rank(); ++k) {
      if (hierarchy[k] < 2) continue;
      if ((*operand.nd_sbp)[k].is_split()) axes.split |= 1u << k;
      if (!(*operand.nd_sbp)[k].is_broadcast()) axes.laid |= 1u << k;
    }
  }
  return axes;
}

bool Respects(const LayoutQuery& query, const sbp::NdSignature& signature) {
  for (size_t i = 0; i < query.inputs.size(); ++i) {
    const sbp::NdSbp* lies = query.inputs[i].nd_sbp;
    // An update works on the variable itself, not on a copy.
    if (lies != nullptr && query.op.InputMutated(static_cast<int>(i), query.attrs) &&
        !(signature.inputs[i] == *lies)) {
      return false;
    }
  }
  for (size_t i = 0; i < query.pins.size(); ++i) {
    if (query.pins[i] != nullptr && !(signature.outputs[i] == *query.pins[i])) return false;
  }
  return true;
}

Status NoSignature(const LayoutQuery& query, std::span<const sbp::NdSignature> signatures) {
  std::string got, accepted;
  for (size_t i = 0; i < query.inputs.size(); ++i) {
    const LaidOperand& x = query.inputs[i];
    got += (i > 0 ? ", " : "") + query.op.InputAt(static_cast<int>(i), query.attrs).name + ": " +
           x.meta.ToString() + (x.nd_sbp != nullptr ? "{" + x.nd_sbp->ToString() + "}" : "");
  }
  for (size_t i = 0; i < query.pins.size(); ++i) {
    if (query.pins[i] != nullptr) got += " for a result in " + query.pins[i]->ToString();
  }
  for (size_t i = 0; i < signatures.size() && i < 8; ++i) {
    accepted += (i > 0 ? "; " : "") + signatures[i].ToString();
  }
  return Error(Code::kInvalidArgument)
         << "[" << query.op.name << "] no signature takes these layouts: got " << got
         << "; expected one of " << accepted << "; convert with x.to_global(sbp=...)";
}

// Metadata and layout without data, for pricing a decomposition.
class PricedValue final : public ValueBase {
 public:
  PricedValue(const TensorMeta& meta, sbp::Layout layout)
      : meta_(meta), layout_(std::move(layout)) {}
  const TensorMeta& meta() const override { return meta_; }
  const sbp::Layout* layout() const override { return &layout_; }
  bool is_symbolic() const override { return true; }

 private:
  TensorMeta meta_;
  sbp::Layout layout_;
};

}  // namespace

// Runs a decomposition on priced values; every operator in it chooses for itself.
class CompositionPricer final : public Builder {
 public:
  CompositionPricer(LayoutChooser& chooser, const LayoutQuery& query)
      : chooser_(chooser), whole_(query) {}

  Values Apply(const OpDef& op, Values inputs, const Attrs& attrs) override {
    auto outputs = Try(op, inputs, attrs);
    if (outputs.ok()) return std::move(outputs).value();
    Fail(outputs.status());
    return Values(op.outputs.size());
  }

  Value ToLayout(const Value& x, const sbp::Layout& layout) override {
    if (!status_.ok()) return nullptr;
    auto plan = sbp::PlanBoxing(x->meta(), *x->layout(), layout, chooser_.machine_.link);
    if (!plan.ok()) {
      Fail(plan.status());
      return nullptr;
    }
    conversion_ps += plan->cost_ps;
    moved_bytes += plan->total_bytes;
    return Value(new PricedValue(x->meta(), layout));
  }

  Value Operand(size_t i) const {
    const LaidOperand& x = whole_.inputs[i];
    return Value(new PricedValue(
        x.meta,
        {whole_.placement, x.nd_sbp != nullptr
                               ? *x.nd_sbp
                               : sbp::NdSbp::Broadcast(whole_.placement.hierarchy().rank())}));
  }

  int64_t conversion_ps = 0, moved_bytes = 0;

 private:
  Result<Values> Try(const OpDef& op, const Values& inputs, const Attrs& given) {
    OFL_TRY(status_);
    std::vector<TensorMeta> metas;
    std::vector<LaidOperand> operands;
    for (const Value& v : inputs) {
      metas.push_back(v->meta());
      operands.push_back({v->meta(), &v->layout()->nd_sbp, CopiesOf(v)});
    }
    OFL_ENSURE(!inputs.empty(), Code::kUnimplemented)
        << "[" << op.name << "] a decomposition cannot make tensors from nothing";
    OFL_ASSIGN(Attrs attrs, op.CompleteAttrs(given));
    OFL_ASSIGN(auto outputs, op.Infer(metas, attrs));
    const LayoutQuery query{op, attrs, operands, outputs, inputs[0]->layout()->placement};
    OFL_ASSIGN(LayoutChoice choice, chooser_.Choose(query));
    conversion_ps += choice.conversion_ps;
    moved_bytes += choice.moved_bytes;
    Values values;
    for (size_t i = 0; i < outputs.size(); ++i) {
      values.emplace_back(new PricedValue(outputs[i], {query.placement, choice.outputs[i]}));
    }
    return values;
  }

  // The copies that the operator's own operand has; its parts read the same value.
  std::span<const sbp::NdSbp> CopiesOf(const Value& v) const {
    for (size_t i = 0; i < operands.size(); ++i) {
      if (operands[i] == v) return whole_.inputs[i].copies;
    }
    return {};
  }

  LayoutChooser& chooser_;
  const LayoutQuery& whole_;

 public:
  Values operands;
};

size_t LayoutChooser::KeyHash::operator()(const Key& key) const {
  uint64_t h = static_cast<uint64_t>(key.meta.dtype) + 1;
  const auto mix = [&h](uint64_t v) {
    h = (h ^ v) * 0x9E3779B97F4A7C15ull;  // 2^64 / golden ratio: spreads the low bits
    h ^= h >> 29;
  };
  for (int64_t d : key.meta.shape) mix(static_cast<uint64_t>(d) + 1);
  for (const sbp::NdSbp* nd : {&key.from, &key.to}) {
    for (sbp::Sbp s : *nd) {
      mix(static_cast<uint64_t>(s.kind()) * 64 + static_cast<uint64_t>(s.axis()) * 4 +
          static_cast<uint64_t>(s.reduce_op()) + 1);
    }
  }
  return h;
}

LayoutChooser::Price LayoutChooser::Conversion(const TensorMeta& meta, const Placement& placement,
                                               const sbp::NdSbp& from, const sbp::NdSbp& to) {
  if (from == to) return {};
  auto [it, fresh] = prices_.try_emplace(Key{meta, placement, from, to});
  if (fresh) {
    auto plan = sbp::PlanBoxing(meta, {placement, from}, {placement, to}, machine_.link);
    it->second = plan.ok() ? Price{plan->cost_ps, plan->total_bytes} : Price{-1, 0};
  }
  return it->second;
}

int64_t LayoutChooser::Work(const LayoutQuery& query, const sbp::NdSignature& signature,
                            unsigned axes) const {
  std::vector<TensorMeta> inputs, outputs;
  Wide bytes = 0;
  const auto add = [&](const TensorMeta& meta, const sbp::NdSbp& nd_sbp,
                       std::vector<TensorMeta>& to) {
    to.push_back({meta.dtype, BusiestPart(meta.shape, nd_sbp, query.placement.hierarchy(), axes)});
    bytes += to.back().bytes();
  };
  for (size_t i = 0; i < query.inputs.size(); ++i) {
    add(query.inputs[i].meta, signature.inputs[i], inputs);
  }
  for (size_t i = 0; i < query.outputs.size(); ++i) {
    add(query.outputs[i], signature.outputs[i], outputs);
  }
  const int64_t flops = query.op.Flops(inputs, outputs, query.attrs);
  return Clamp(Wide{flops} * machine_.ps_per_flop + bytes * machine_.link.local_ps_per_kib / 1024);
}

int64_t LayoutChooser::Aftermath(const LayoutQuery& query, const TensorMeta& meta,
                                 const sbp::NdSbp& nd_sbp, const Axes& axes, unsigned owed) const {
  const Shape& hierarchy = query.placement.hierarchy();
  int64_t adds = 1, gathers = 1, repeats = 1;  // members of the groups that do so
  for (int k = 0; k < hierarchy.rank(); ++k) {
    if (nd_sbp[k].is_partial() && Has(owed, k)) adds *= hierarchy[k];
    if (nd_sbp[k].is_split() && !Has(axes.laid, k)) gathers *= hierarchy[k];
    if (nd_sbp[k].is_broadcast() && Has(axes.split, k)) repeats *= hierarchy[k];
  }
  const unsigned all = (1u << hierarchy.rank()) - 1;
  const TensorMeta local{meta.dtype, BusiestPart(meta.shape, nd_sbp, hierarchy, all)};
  const Wide bytes = local.bytes();
  if (bytes == 0) return 0;
  const sbp::LinkModel& link = machine_.link;
  Wide cost = 0;
  if (adds > 1) {
    const Wide reduce = link.alpha_ps + bytes * (adds - 1) / adds * link.beta_ps_per_kib / 1024;
    cost += reduce / query.pieces;
  }
  if (gathers > 1) cost += link.alpha_ps + bytes * (gathers - 1) * link.beta_ps_per_kib / 1024;
  if (repeats > 1) cost += bytes * (repeats - 1) / repeats * link.local_ps_per_kib / 1024;
  return Clamp(cost);
}

// False where there is no such conversion, or none that beats `beat`.
bool LayoutChooser::AddConversions(const LayoutQuery& query, const sbp::NdSignature& signature,
                                   const Candidate* beat, Candidate* candidate) {
  for (size_t i = 0; i < query.inputs.size(); ++i) {
    const LaidOperand& x = query.inputs[i];
    const sbp::NdSbp& target = signature.inputs[i];
    if (x.nd_sbp == nullptr) {
      candidate->cost_ps += query.free_cost ? query.free_cost(i, target) : 0;
    } else if (std::ranges::find(x.copies, target) == x.copies.end()) {
      const Price price = Conversion(x.meta, query.placement, *x.nd_sbp, target);
      if (price.cost_ps < 0) return false;
      candidate->cost_ps += price.cost_ps;
      candidate->conversion_ps += price.cost_ps;
      candidate->moved_bytes += price.bytes;
    }
    if (beat != nullptr && candidate->cost_ps > beat->cost_ps) return false;
  }
  return true;
}

LayoutChooser::Candidate LayoutChooser::PriceSignature(const LayoutQuery& query,
                                                       const sbp::NdSignature& signature,
                                                       const Axes& axes, int64_t work_ps,
                                                       const Candidate* beat) {
  Candidate candidate;
  candidate.cost_ps = work_ps >= 0 ? work_ps : Work(query, signature, axes.split);
  const unsigned owed = OwedAxes(query, signature);
  const unsigned all = (1u << query.placement.hierarchy().rank()) - 1;
  for (size_t i = 0; i < query.outputs.size(); ++i) {
    candidate.cost_ps += Aftermath(query, query.outputs[i], signature.outputs[i], axes, owed);
    const TensorMeta local{query.outputs[i].dtype,
                           BusiestPart(query.outputs[i].shape, signature.outputs[i],
                                       query.placement.hierarchy(), all)};
    candidate.output_bytes += local.bytes();
  }
  if (beat != nullptr && candidate.cost_ps > beat->cost_ps) return candidate;
  candidate.possible = AddConversions(query, signature, beat, &candidate);
  return candidate;
}

// Where a pinned result ends up: the cost of bringing it there.
int64_t LayoutChooser::Pinned(const LayoutQuery& query, size_t output, sbp::NdSbp* nd_sbp) {
  if (query.pins.empty() || query.pins[output] == nullptr) return 0;
  const Price price =
      Conversion(query.outputs[output], query.placement, *nd_sbp, *query.pins[output]);
  *nd_sbp = *query.pins[output];
  return price.cost_ps;
}

Status LayoutChooser::TryComposition(const LayoutQuery& query, const Axes& axes,
                                     LayoutChoice* choice) {
  CompositionPricer pricer(*this, query);
  for (size_t i = 0; i < query.inputs.size(); ++i) pricer.operands.push_back(pricer.Operand(i));
  const Values operands = pricer.operands;
  const Values results = query.op.decompose(pricer, operands, query.attrs);
  OFL_TRY(pricer.status());
  OFL_ENSURE(results.size() == query.outputs.size(), Code::kInternal)
      << "[" << query.op.name << "] its decomposition has " << results.size() << " results";
  // Its work is taken for that of the operator: what is compared is what moves now and later.
  int64_t cost = pricer.conversion_ps;
  std::vector<sbp::NdSbp> outputs;
  for (size_t i = 0; i < results.size(); ++i) {
    sbp::NdSbp nd_sbp = results[i]->layout()->nd_sbp;
    cost += Aftermath(query, query.outputs[i], nd_sbp, axes, ~0u);
    const int64_t fitting = Pinned(query, i, &nd_sbp);
    if (fitting < 0) return Status::Ok();
    cost += fitting;
    outputs.push_back(nd_sbp);
  }
  const bool alone = choice->signature.outputs.empty();  // no signature of its own will do
  if (!alone) {
    const unsigned owed = OwedAxes(query, choice->signature);
    int64_t kept = choice->conversion_ps;
    for (size_t i = 0; i < results.size(); ++i) {
      kept += Aftermath(query, query.outputs[i], choice->outputs[i], axes, owed);
    }
    if (cost >= kept) return Status::Ok();
    cost += choice->cost_ps - kept;
  }
  choice->composed = true;
  choice->outputs = std::move(outputs);
  choice->cost_ps = cost;
  choice->conversion_ps = pricer.conversion_ps;
  choice->moved_bytes = pricer.moved_bytes;
  return Status::Ok();
}

Result<LayoutChoice> LayoutChooser::Choose(const LayoutQuery& query,
                                           std::vector<LosingSignature>* losing) {
  std::vector<TensorMeta> inputs;
  for (const LaidOperand& x : query.inputs) inputs.push_back(x.meta);
  OFL_ASSIGN(auto signatures,
             query.op.Signatures(inputs, query.outputs, query.attrs, query.placement.hierarchy()));
  const Axes axes = AxesInUse(query);
  const auto rank = [](const Candidate& c) {
    return std::make_tuple(c.cost_ps, c.conversion_ps, c.output_bytes);
  };
  // Where no axis divides the work, it is the same for all.
  const int64_t work_ps =
      axes.split == 0 && !signatures.empty() ? Work(query, signatures[0], 0) : -1;
  Candidate best;
  size_t at = 0;
  std::vector<std::pair<int64_t, size_t>> possible;
  for (size_t s = 0; s < signatures.size(); ++s) {
    if (!Respects(query, signatures[s])) continue;
    const bool prune = losing == nullptr && best.possible;
    const Candidate candidate =
        PriceSignature(query, signatures[s], axes, work_ps, prune ? &best : nullptr);
    if (!candidate.possible) continue;
    possible.emplace_back(candidate.cost_ps, s);
    if (best.possible && rank(candidate) >= rank(best)) continue;
    best = candidate;
    at = s;
  }
  LayoutChoice choice;
  if (best.possible) {
    choice = {signatures[at],     false,           signatures[at].outputs, best.cost_ps,
              best.conversion_ps, best.moved_bytes};
  }
  // Where nothing moves, the operator as it is does best. A decomposition that cannot be laid out
  // is none.
  if (query.op.decompose != nullptr && (!best.possible || best.moved_bytes > 0)) {
    (void)TryComposition(query, axes, &choice).ok();
  }
  if (!best.possible && !choice.composed) return NoSignature(query, signatures);
  if (losing != nullptr) {
    std::sort(possible.begin(), possible.end());
    for (const auto& [cost_ps, s] : possible) {
      if (s != at || choice.composed) losing->push_back({signatures[s], cost_ps});
    }
  }
  return choice;
}

}  // namespace ofl::op
