// The fluent form that fills in an operator, and the registry of all of them.
#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "oneflow_like/op/def/op_def.h"

namespace ofl::op {

OpDefBuilder& OpDefBuilder::Doc(std::string text) {
  def_.doc = std::move(text);
  return *this;
}
OpDefBuilder& OpDefBuilder::In(std::string name) {
  def_.inputs.push_back({.name = std::move(name)});
  return *this;
}
OpDefBuilder& OpDefBuilder::InVariadic(std::string name) {
  def_.inputs.push_back({.name = std::move(name), .variadic = true});
  return *this;
}
OpDefBuilder& OpDefBuilder::InOptional(std::string name) {
  def_.inputs.push_back({.name = std::move(name), .optional = true});
  return *this;
}
OpDefBuilder& OpDefBuilder::InMutated(std::string name) {
  def_.inputs.push_back({.name = std::move(name), .mutated = true});
  return *this;
}
OpDefBuilder& OpDefBuilder::Out(std::string name) {
  def_.outputs.push_back({.name = std::move(name)});
  return *this;
}
OpDefBuilder& OpDefBuilder::OutVariadic(std::string name) {
  def_.outputs.push_back({.name = std::move(name), .variadic = true});
  return *this;
}
OpDefBuilder& OpDefBuilder::OutBounded(std::string name) {
  def_.outputs.push_back({.name = std::move(name), .bounded = true});
  return *this;
}
OpDefBuilder& OpDefBuilder::Attr(std::string name, AttrType type) {
  def_.attrs.push_back({std::move(name), type, std::nullopt});
  return *this;
}
OpDefBuilder& OpDefBuilder::Attr(std::string name, AttrType type, AttrValue default_value) {
  def_.attrs.push_back({std::move(name), type, std::move(default_value)});
  return *this;
}
OpDefBuilder& OpDefBuilder::Infer(InferFn fn) {
  def_.infer = fn;
  return *this;
}
OpDefBuilder& OpDefBuilder::Sbp(std::string rule_text) {
  def_.rule_text = std::move(rule_text);
  return *this;
}
OpDefBuilder& OpDefBuilder::Sbp(RuleTextFn fn) {
  def_.rule_text_fn = fn;
  return *this;
}
OpDefBuilder& OpDefBuilder::Sbp(RuleFn fn) {
  def_.rule_fn = fn;
  return *this;
}
OpDefBuilder& OpDefBuilder::Grad(GradFn fn) {
  def_.grad = fn;
  return *this;
}
OpDefBuilder& OpDefBuilder::NotDifferentiable(std::string why) {
  def_.not_differentiable = std::move(why);
  return *this;
}
OpDefBuilder& OpDefBuilder::Decompose(DecomposeFn fn) {
  def_.decompose = fn;
  return *this;
}
OpDefBuilder& OpDefBuilder::LocalAttrs(LocalAttrsFn fn) {
  def_.local_attrs = fn;
  return *this;
}
OpDefBuilder& OpDefBuilder::Flops(FlopsFn fn) {
  def_.flops = fn;
  return *this;
}
OpDefBuilder& OpDefBuilder::Traits(std::vector<Trait> traits) {
  def_.traits = std::move(traits);
  return *this;
}
OpDefBuilder& OpDefBuilder::InPlace(int output, int input) {
  def_.in_place.emplace_back(output, input);
  return *this;
}
OpDefBuilder& OpDefBuilder::OptionalAttr(std::string name, AttrType type) {
  def_.attrs.push_back({std::move(name), type, NoValue{}, true});
  return *this;
}
OpDefBuilder& OpDefBuilder::Version(int version) {
  def_.version = version;
  return *this;
}
OpDefBuilder& OpDefBuilder::Autocast(op::Autocast autocast) {
  def_.autocast = autocast;
  return *this;
}
OpDefBuilder& OpDefBuilder::Promote(Promotion promotion) {
  def_.promotion = promotion;
  return *this;
}
OpDefBuilder& OpDefBuilder::NoPromotion(std::string input) {
  InputNamed(input).promotes = false;
  return *this;
}
OpDefBuilder& OpDefBuilder::Numbers(NumberForms forms) {
  def_.number_forms = std::move(forms);
  return *this;
}
OpDefBuilder& OpDefBuilder::Strided() {
  for (Operand& operand : def_.inputs) operand.access = Access::kStrided;
  for (Output& output : def_.outputs) output.access = Access::kStrided;
  return *this;
}
OpDefBuilder& OpDefBuilder::Strided(std::string operand) {
  SetAccess(operand, Access::kStrided);
  return *this;
}
OpDefBuilder& OpDefBuilder::Matrix(std::string operand) {
  SetAccess(operand, Access::kMatrix);
  return *this;
}
OpDefBuilder& OpDefBuilder::View(ViewFn fn, std::string write_back) {
  def_.view = fn;
  def_.write_back = std::move(write_back);
  return *this;
}
OpDefBuilder& OpDefBuilder::ViewOrCopy(ViewFn fn, std::string write_back) {
  def_.view_may_copy = true;
  return View(fn, std::move(write_back));
}
OpDefBuilder& OpDefBuilder::Compose(DecomposeFn fn) {
  def_.decompose = fn;
  def_.composite = true;
  return *this;
}
OpDefBuilder& OpDefBuilder::Oracle(std::string numpy) {
  def_.oracle = std::move(numpy);
  return *this;
}
OpDefBuilder& OpDefBuilder::Generator(std::string name) {
  OFL_CHECK(!def_.Draws()) << "operator " << def_.name << " has two generators";
  def_.generator = std::move(name);
  return *this;
}
OpDefBuilder& OpDefBuilder::Cpu(DType dtype, KernelFn fn, BoundFn bound) {
  return Kernel({DeviceKind::kCpu, dtype, {.run = fn, .bound = bound}});
}
OpDefBuilder& OpDefBuilder::Kernel(KernelEntry entry) {
  for (const KernelEntry& known : def_.kernels) {
    const bool twice = known.device == entry.device && known.dtype == entry.dtype &&
                       known.provider.run == entry.provider.run;
    OFL_CHECK(!twice) << "operator " << def_.name << " has a kernel twice for "
                      << DTypeName(entry.dtype);
  }
  def_.kernels.push_back(entry);
  return *this;
}
Operand& OpDefBuilder::InputNamed(const std::string& name) {
  for (Operand& operand : def_.inputs)
    if (operand.name == name) return operand;
  OFL_CHECK(false) << "operator " << def_.name << " has no input " << name;
  return def_.inputs[0];
}
void OpDefBuilder::SetAccess(const std::string& name, Access access) {
  for (Output& output : def_.outputs) {
    if (output.name == name) {
      output.access = access;
      return;
    }
  }
  InputNamed(name).access = access;
}
OpDefBuilder& OpDefBuilder::AnyMissing() {
  def_.any_missing = true;
  return *this;
}
OpDefBuilder& OpDefBuilder::Py(std::string signature, Attrs preset) {
  PyBinding& binding = def_.py.emplace_back();
  binding.preset = std::move(preset);
  const size_t name = signature.rfind('.', signature.find('('));
  if (name != signature.npos) {  // flat in _C: special_erf
    binding.apart = true;
    binding.shown.push_back(signature.substr(0, signature.find('(')));
    std::replace(signature.begin(), signature.begin() + static_cast<ptrdiff_t>(name) + 1, '.', '_');
  }
  binding.signature = std::move(signature);
  return *this;
}
OpDefBuilder& OpDefBuilder::PyMethod(std::string signature, Attrs preset) {
  def_.py_methods.push_back(signature.substr(0, signature.find('(')));
  Py(std::move(signature), std::move(preset));
  def_.py.back().function = false;
  return *this;
}
OpDefBuilder& OpDefBuilder::PyBoth(std::string signature, Attrs preset) {
  def_.py_methods.push_back(signature.substr(0, signature.find('(')));
  Py(std::move(signature), std::move(preset));
  def_.py.back().shown.emplace_back(NameOf(def_.py.back()));
  return *this;
}
namespace {

// Shows the bindings that are no namespace's own.
void Show(std::vector<PyBinding>& bindings, const std::string& prefix) {
  for (PyBinding& binding : bindings) {
    std::string name = prefix + std::string(NameOf(binding));
    if (!binding.function || binding.apart || std::ranges::count(binding.shown, name) > 0) continue;
    binding.shown.push_back(std::move(name));
  }
}

}  // namespace
OpDefBuilder& OpDefBuilder::Public() {
  Show(def_.py, "");
  return *this;
}
OpDefBuilder& OpDefBuilder::Namespace(const std::string& of) {
  Show(def_.py, of + ".");
  return *this;
}
OpDefBuilder& OpDefBuilder::Method(std::string name) {
  def_.py_methods.push_back(std::move(name));
  return *this;
}
OpDefBuilder& OpDefBuilder::Property(std::string signature, Attrs preset) {
  def_.py_properties.push_back(signature.substr(0, signature.find('(')));
  Py(std::move(signature), std::move(preset));
  def_.py.back().function = false;
  return *this;
}
OpDefBuilder& OpDefBuilder::Dunder(std::string name) {
  def_.py_dunder = std::move(name);
  return *this;
}
OpDefBuilder& OpDefBuilder::Samples(std::function<std::vector<Sample>()> fn) {
  def_.samples = std::move(fn);
  return *this;
}
OpDefBuilder& OpDefBuilder::ErrorSamples(std::vector<ErrorSample> samples) {
  def_.error_samples = std::move(samples);
  return *this;
}
OpDefBuilder& OpDefBuilder::Unclaimed(std::string signature, std::string why) {
  def_.unclaimed.emplace_back(std::move(signature), std::move(why));
  return *this;
}

std::string_view NameOf(const PyBinding& binding) {
  return std::string_view(binding.signature).substr(0, binding.signature.find('('));
}

namespace {

// A definition that lacks a part is a bug of ours, found when the first test starts.
void CheckComplete(const OpDef& def) {
  const auto need = [&](bool ok, const char* what) {
    OFL_CHECK(ok) << "operator " << def.name << ": " << what;
  };
  need(!def.doc.empty(), "has no documentation");
  const int rules =
      !def.rule_text.empty() + (def.rule_text_fn != nullptr) + (def.rule_fn != nullptr);
  if (def.composite) {
    need(
        rules == 0 && def.infer == nullptr && def.grad == nullptr && def.not_differentiable.empty(),
        "is a composite: inference, rule and gradient follow from its parts");
  } else {
    need(def.infer != nullptr, "has no inference");
    need(rules == 1, "needs exactly one layout rule");
    need((def.grad != nullptr) != !def.not_differentiable.empty(),
         "needs a gradient or the reason why it has none");
  }
  need(def.view != nullptr || def.write_back.empty(), "what is no view has no write-back");
  for (size_t i = 0; i + 1 < def.outputs.size(); ++i)
    need(!def.outputs[i].variadic, "only the last output may be variadic");
  need(static_cast<bool>(def.samples), "has no samples");
  for (size_t i = 0; i < def.inputs.size(); ++i) {
    const Operand& operand = def.inputs[i];
    need(!operand.variadic || !operand.optional, "a list may be empty; it is not optional");
    need(!operand.mutated || !def.NeedsArity() || !operand.optional,
         "an operand that is updated must be there");
  }
  for (auto [output, input] : def.in_place) {
    need(output >= 0 && output < static_cast<int>(def.outputs.size()) && input >= 0 &&
             (input < static_cast<int>(def.inputs.size()) || def.inputs.back().variadic),
         "in-place pair out of range");
  }
}

// Levenshtein distance with transpositions of neighbours, the usual slip of a typist.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] =
          std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

OpRegistry::OpRegistry() {
  for (const OpEntry& entry : AllOps()) {
    auto [at, fresh] = defs_.try_emplace(entry.name);
    OFL_CHECK(fresh) << "operator " << entry.name << " is defined twice";
    OpDef& def = at->second;
    def.name = entry.name;
    OpDefBuilder builder(def);
    entry.fn(builder);
    CheckComplete(def);
  }
  for (const auto& [name, def] : defs_) sorted_.push_back(&def);
}

const OpRegistry& OpRegistry::Get() {
  // Never destroyed: tensors freed at exit may still look an operator up.
  static const OpRegistry* registry = new OpRegistry();
  return *registry;
}

// By hash: gradients and composites ask for their parts by name in every call.
const OpDef* OpRegistry::Find(std::string_view name) const {
  static const auto& index = *[this] {
    auto* made = new std::unordered_map<std::string_view, const OpDef*>;
    for (const OpDef* def : sorted_) made->emplace(def->name, def);
    return made;
  }();
  const auto at = index.find(name);
  return at == index.end() ? nullptr : at->second;
}

Result<const OpDef*> OpRegistry::Require(std::string_view name) const {
  if (const OpDef* def = Find(name)) return def;
  constexpr size_t kMaxName = 64;  // a longer name has no near one, and the table stays small
  std::vector<std::pair<size_t, std::string_view>> near;
  if (name.size() <= kMaxName) {
    for (const OpDef* def : sorted_) {
      const size_t distance = EditDistance(name, def->name);
      if (distance <= 1 + name.size() / 4) near.emplace_back(distance, def->name);
    }
  }
  std::ranges::sort(near);
  ErrorStream error(Code::kNotFound);
  error << "no operator is named '" << name.substr(0, kMaxName) << "'";
  for (size_t i = 0; i < std::min<size_t>(near.size(), 3); ++i)
    error << (i == 0 ? "; did you mean " : ", ") << "'" << near[i].second << "'";
  if (!near.empty()) error << "?";
  return error;
}

}  // namespace ofl::op
