// One operator: schema, inference, layout rule, gradient, kernels, samples and documentation,
// all in one place. oneflow_like/ops fills these in through OFL_OP; nothing else lists operators.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "oneflow_like/base/status.h"
#include "oneflow_like/core/attrs.h"
#include "oneflow_like/core/tensor_meta.h"
#include "oneflow_like/op/def/builder.h"
#include "oneflow_like/op/def/draw.h"
#include "oneflow_like/op/def/kernel_ref.h"
#include "sbp/rule.h"

namespace ofl::op {

struct Operand {
  std::string name;
  bool variadic = false;  // a list of any number (>= 1) of tensors
  bool optional = false;  // may be left out
  bool mutated = false;   // the kernel updates this input in place (optimizer updates)
  bool promotes = true;   // its dtype takes part in the promotion of operands
  Access access = Access::kDense;
};

// Where a view's elements lie in the memory of its base.
struct ViewGeometry {
  Shape shape;
  Strides strides;     // in elements
  int64_t offset = 0;  // of the first element, from the base's first
};
// The geometry of a view of `base`, whose elements lie as `strides` say. kUnimplemented where no
// strides express it: the caller copies.
using ViewFn = Result<ViewGeometry> (*)(const Shape& base, const Strides& strides,
                                        const Attrs& attrs);

struct Output {
  std::string name;
  bool variadic = false;  // any number of tensors, as inference says
  bool bounded = false;   // inference gives a bound of axis 0; the kernel says how many it used
  Access access = Access::kDense;
};

enum class AttrType { kBool, kInt, kFloat, kScalar, kString, kInts, kFloats, kDType };
const char* AttrTypeName(AttrType type);  // "bool", "int", "float", "number", ...
struct AttrDef {
  std::string name;
  AttrType type;
  std::optional<AttrValue> default_value;  // none: required
  bool optional = false;                   // NoValue is a value of it
};

// What autocast does with the floating inputs of an operator.
enum class Autocast : uint8_t {
  kNone,     // leaves them
  kLower,    // casts to the lower precision: matrix products
  kFloat32,  // casts to float32: sums, exponentials
  kWidest,   // casts all to the widest among them
};

// How the dtypes of operands become one before inference (op/def/promotion.h).
enum class Promotion : uint8_t {
  kNone,    // the operator takes what it is given
  kCommon,  // torch's common dtype of the operands that take part
  kFloat,   // the same, and integers and bool become the default float: true division, exp
};

// A binary operator's forms that take a number instead of a tensor, by registry name.
struct NumberForms {
  std::string right;          // x op number
  std::string left;           // number op x
  bool negate_right = false;  // x - s is x + (-s)
};

class InferContext {
 public:
  InferContext(std::span<const TensorMeta> inputs, const Attrs& attrs)
      : inputs_(inputs), attrs_(attrs) {}
  int num_inputs() const { return static_cast<int>(inputs_.size()); }
  const TensorMeta& input(int i) const { return inputs_[i]; }
  template <class T>
  const T& attr(std::string_view name) const {
    return attrs_.Get<T>(name);
  }
  Scalar number(std::string_view name) const { return attrs_.Number(name); }
  // Null where an optional attribute was given no value.
  template <class T>
  const T* maybe(std::string_view name) const {
    return attrs_.Maybe<T>(name);
  }
  const Attrs& attrs() const { return attrs_; }
  void AddOutput(TensorMeta meta) { outputs.push_back(meta); }
  std::vector<TensorMeta> outputs;

 private:
  std::span<const TensorMeta> inputs_;
  const Attrs& attrs_;
};

// What a gradient rule sees. `output_grads[i]` is null where nothing flows back.
class GradContext {
 public:
  GradContext(Builder& builder, std::span<const Value> inputs, std::span<const Value> outputs,
              std::span<const Value> output_grads, const Attrs& attrs, std::span<const bool> needs)
      : b(builder),
        inputs(inputs),
        outputs(outputs),
        grads(output_grads),
        attrs(attrs),
        needs_(needs),
        input_grads(inputs.size()) {}
  bool Needs(int i) const { return needs_[i]; }
  void Set(int i, Value grad) { input_grads[i] = std::move(grad); }

  Builder& b;
  std::span<const Value> inputs;
  std::span<const Value> outputs;
  std::span<const Value> grads;
  const Attrs& attrs;

 private:
  std::span<const bool> needs_;

 public:
  Values input_grads;
};

// See OpDef::OperandOf.
inline constexpr std::string_view kArity = "arity";

using InferFn = Status (*)(InferContext&);
using GradFn = void (*)(GradContext&);
// The factor rule as text; may depend on shapes and attributes.
using RuleTextFn = std::string (*)(std::span<const Shape> inputs, std::span<const Shape> outputs,
                                   const Attrs& attrs);
using RuleFn = Result<sbp::FactorRule> (*)(std::span<const Shape> inputs,
                                           std::span<const Shape> outputs, const Attrs& attrs,
                                           int64_t parts);
// Writes the operator in others: of a composite its whole meaning, of a fused operator the form
// that can be split where its own kernel cannot (two-stage operators), and differentiated twice.
using DecomposeFn = Values (*)(Builder& b, std::span<const Value> inputs, const Attrs& attrs);
// Adapts attributes that hold sizes (reshape's shape) to one rank's shards.
using LocalAttrsFn = Attrs (*)(const Attrs& attrs, std::span<const Shape> local_inputs,
                               std::span<const Shape> local_outputs);
// Floating-point operations of one call; null: numel of the first output. Sizes of different
// operands are multiplied by SaturatingMul: each operand alone is bounded, their product is not.
using FlopsFn = int64_t (*)(std::span<const TensorMeta> inputs, std::span<const TensorMeta> outputs,
                            const Attrs& attrs);

// A generated example: the generic tests run every sample through every check.
struct Sample {
  std::vector<TensorMeta> inputs;
  Attrs attrs;
  // Range of the values drawn for each input: [low, high); integers likewise.
  double low = -2.0;
  double high = 2.0;
  std::string note;
  // Ranges of single inputs, where they differ; empty or one for each input.
  std::vector<std::pair<double, double>> ranges;
  std::pair<double, double> RangeOf(size_t input) const {
    return input < ranges.size() ? ranges[input] : std::pair(low, high);
  }
};
struct ErrorSample {
  std::vector<TensorMeta> inputs;
  Attrs attrs;
  Code code;
  std::string text;  // must stand in the message
};

enum class Trait {
  kElementwise,    // output i depends on input elements i alone (after broadcasting)
  kSource,         // no tensor inputs: full, arange, normal
  kUpdate,         // mutates a variable; runs once in a step
  kIgnoresValues,  // results do not depend on the inputs' values (zeros_like): nothing is recorded
  kInexactGrad,    // gradient check is meaningless (piecewise constant) or needs wider bounds
};

// One way Python calls an operator. Bindings of one name, of one or several operators, are its
// overloads: the one whose parameters fit the arguments is called (docs/operators.md).
struct PyBinding {
  std::string signature;           // "zeros(*size: shape, dtype=None)"
  Attrs preset;                    // attributes that this name fixes
  bool function = true;            // _C.<name>; else of methods alone
  std::vector<std::string> shown;  // flow.<each>: "zeros", "nn.functional.relu", "special.erf"
  bool apart = false;              // a namespace's own: _C.special_erf
};
// Before the parenthesis.
std::string_view NameOf(const PyBinding& binding);

class OpDef {
 public:
  std::string name;
  std::string doc;
  std::vector<Operand> inputs;
  std::vector<Output> outputs;
  // The operand that random numbers are drawn from, which moves on by one draw: no tensor, mutated.
  // What it and its parts draw from; by default that of its tensors. Empty: it draws nothing.
  std::string generator;
  std::vector<AttrDef> attrs;
  int version = 1;  // grows when the meaning of saved calls changes; plans keep it
  Autocast autocast = Autocast::kNone;
  Promotion promotion = Promotion::kNone;
  NumberForms number_forms;
  InferFn infer = nullptr;
  std::string rule_text;  // one of rule_text, rule_text_fn, rule_fn
  RuleTextFn rule_text_fn = nullptr;
  RuleFn rule_fn = nullptr;
  GradFn grad = nullptr;
  std::string not_differentiable;  // why, where grad is null
  DecomposeFn decompose = nullptr;
  LocalAttrsFn local_attrs = nullptr;
  FlopsFn flops = nullptr;
  std::vector<Trait> traits;
  std::vector<std::pair<int, int>> in_place;  // (output, input) that may share memory
  // Of a view: output 0 lies in the memory of input 0, as `view` says; `write_back` names the
  // operator (base, value, the same attributes) -> base with the view's elements replaced.
  ViewFn view = nullptr;
  std::string write_back;
  bool view_may_copy = false;        // reshape: without strides it is a copy, in torch too
  bool composite = false;            // `decompose` says all: no inference, rule, gradient, kernel
  bool any_missing = false;          // any of its optional operands may be left out, not the last
  std::vector<KernelEntry> kernels;  // providers of one key in the order of preference
  std::string oracle;                // a NumPy expression over inputs and attributes, for tests
  std::function<std::vector<Sample>()> samples;
  std::vector<ErrorSample> error_samples;
  // Signatures known to be legal that the rule does not claim, each with the reason.
  std::vector<std::pair<std::string, std::string>> unclaimed;
  std::vector<PyBinding> py;
  // Tensor.<name>, by the bindings of that name or else the first; `name_` writes into its tensor.
  std::vector<std::string> py_methods;
  std::vector<std::string> py_properties;  // likewise
  std::string py_dunder;                   // e.g. "__matmul__"; the first binding

  bool Has(Trait t) const;
  bool Draws() const { return !generator.empty(); }
  // Which operand an input belongs to, and which of a list's tensors it is. Inputs are counted
  // through; with several lists, or an optional operand before others, the attribute `arity` (one
  // count for each operand) says how many tensors each operand got.
  std::pair<int, int> OperandOf(int input, const Attrs& given = {}) const;
  const Operand& InputAt(int i, const Attrs& given = {}) const;
  bool InputMutated(int i, const Attrs& given = {}) const;
  bool NeedsArity() const;
  // kInvalidArgument where the counts do not fit the operands, or not the number of inputs.
  Status CheckArity(int num_inputs, const Attrs& given) const;
  const Output& OutputAt(int i) const;  // likewise
  // The providers for a device and a primary dtype, in the order of preference.
  std::vector<const KernelProvider*> Providers(DeviceKind device, DType dtype) const;
  // What a call may take on a device, over all providers, those added beside included.
  // kUnimplemented names operator, device, dtypes and what exists.
  Result<KernelBounds> Bounds(DeviceKind device, std::span<const TensorMeta> inputs,
                              std::span<const TensorMeta> outputs, const Attrs& attrs,
                              int threads) const;

  // Fills defaults, checks names, types and the number of inputs.
  Result<Attrs> CompleteAttrs(Attrs given) const;
  // Infers outputs. Errors carry "[name]" and the operands. Shapes that no tensor has are refused
  // on either side, so that rules, costs and kernels need not look for them.
  Result<std::vector<TensorMeta>> Infer(std::span<const TensorMeta> inputs,
                                        const Attrs& attrs) const;
  // Floating-point operations of a call that has passed Infer; at most the largest int64.
  int64_t Flops(std::span<const TensorMeta> inputs, std::span<const TensorMeta> outputs,
                const Attrs& attrs) const;
  // The factor rule for these (local, at deeper mesh axes) shapes; `parts` of the mesh axis.
  Result<sbp::FactorRule> Rule(std::span<const Shape> inputs, std::span<const Shape> outputs,
                               const Attrs& attrs, int64_t parts) const;
  // All signatures of this call on a mesh; all-B is the first.
  Result<std::vector<sbp::NdSignature>> Signatures(std::span<const TensorMeta> inputs,
                                                   std::span<const TensorMeta> outputs,
                                                   const Attrs& attrs,
                                                   const Shape& hierarchy) const;
};

// Fluent form used in oneflow_like/ops. Each method at most once unless said otherwise.
class OpDefBuilder {
 public:
  explicit OpDefBuilder(OpDef& def) : def_(def) {}
  OpDefBuilder& Doc(std::string text);
  OpDefBuilder& In(std::string name);  // once for each input
  OpDefBuilder& InVariadic(std::string name);
  OpDefBuilder& InOptional(std::string name);
  OpDefBuilder& InMutated(std::string name);
  OpDefBuilder& Generator(std::string name);            // the operand that it draws from
  OpDefBuilder& Out(std::string name);                  // once for each output
  OpDefBuilder& Attr(std::string name, AttrType type);  // required
  OpDefBuilder& Attr(std::string name, AttrType type, AttrValue default_value);
  OpDefBuilder& OptionalAttr(std::string name, AttrType type);  // "no value" unless given
  OpDefBuilder& OutVariadic(std::string name);
  OpDefBuilder& OutBounded(std::string name);
  OpDefBuilder& Version(int version);
  OpDefBuilder& Autocast(op::Autocast autocast);
  OpDefBuilder& Promote(Promotion promotion);
  OpDefBuilder& NoPromotion(std::string input);  // this operand keeps out: a condition
  OpDefBuilder& Numbers(NumberForms forms);
  OpDefBuilder& Strided();                     // all inputs and outputs, as they come
  OpDefBuilder& Strided(std::string operand);  // one input or output
  OpDefBuilder& Matrix(std::string operand);   // Access::kMatrix
  OpDefBuilder& View(ViewFn fn, std::string write_back);
  OpDefBuilder& ViewOrCopy(ViewFn fn, std::string write_back);  // see view_may_copy
  OpDefBuilder& Compose(DecomposeFn fn);                        // makes it a composite
  OpDefBuilder& Oracle(std::string numpy);
  OpDefBuilder& Infer(InferFn fn);
  OpDefBuilder& Sbp(std::string rule_text);
  OpDefBuilder& Sbp(RuleTextFn fn);
  OpDefBuilder& Sbp(RuleFn fn);
  OpDefBuilder& Grad(GradFn fn);
  OpDefBuilder& NotDifferentiable(std::string why);
  OpDefBuilder& Decompose(DecomposeFn fn);
  OpDefBuilder& LocalAttrs(LocalAttrsFn fn);
  OpDefBuilder& Flops(FlopsFn fn);
  OpDefBuilder& Traits(std::vector<Trait> traits);
  OpDefBuilder& InPlace(int output, int input);
  OpDefBuilder& Cpu(DType dtype, KernelFn fn, BoundFn bound = nullptr);
  OpDefBuilder& Kernel(KernelEntry entry);  // after those of the same key
  OpDefBuilder& AnyMissing();               // see any_missing
  // Names in Python, once for each name or overload. "special.erf(input)" is flow.special.erf, a
  // function apart from flow.erf.
  OpDefBuilder& Py(std::string signature, Attrs preset = {});
  OpDefBuilder& PyMethod(std::string signature, Attrs preset = {});  // Tensor.<name> alone
  OpDefBuilder& PyBoth(std::string signature, Attrs preset = {});    // flow.<name>, Tensor.<name>
  OpDefBuilder& Public();                          // the bindings before it: flow.<name>
  OpDefBuilder& Namespace(const std::string& of);  // likewise: flow.<of>.<name>, the same function
  OpDefBuilder& Functional() { return Namespace("nn.functional"); }
  OpDefBuilder& Method(std::string name);
  OpDefBuilder& Property(std::string signature, Attrs preset = {});  // Tensor.<name>, not called
  OpDefBuilder& Dunder(std::string name);
  OpDefBuilder& Samples(std::function<std::vector<Sample>()> fn);
  OpDefBuilder& ErrorSamples(std::vector<ErrorSample> samples);
  OpDefBuilder& Unclaimed(std::string signature, std::string why);

 private:
  Operand& InputNamed(const std::string& name);
  void SetAccess(const std::string& name, Access access);
  OpDef& def_;
};

// All operators, by name. Built once, at first use, from the list CMake generates over
// oneflow_like/ops; immutable afterwards.
class OpRegistry {
 public:
  static const OpRegistry& Get();
  const OpDef* Find(std::string_view name) const;
  Result<const OpDef*> Require(std::string_view name) const;  // kNotFound with near names
  const std::vector<const OpDef*>& all() const { return sorted_; }

 private:
  OpRegistry();
  std::map<std::string, OpDef, std::less<>> defs_;
  std::vector<const OpDef*> sorted_;
};

using RegisterOpFn = void (*)(OpDefBuilder&);
struct OpEntry {
  const char* name;
  RegisterOpFn fn;
};
// Generated: every OFL_OP found in oneflow_like/ops.
std::span<const OpEntry> AllOps();

}  // namespace ofl::op

// Defines an operator, inside namespace ofl::ops: OFL_OP(matmul) { op.Doc(...).In("a")...; }
#define OFL_OP(NAME) void OflRegisterOp_##NAME(::ofl::op::OpDefBuilder& op)
