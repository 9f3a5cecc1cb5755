#include "tests/unit/op/evaluator.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace ofl::op::testing {
namespace {

int64_t ProductFrom(const Shape& s, int begin) {
  int64_t n = 1;
  for (int i = begin; i < s.rank(); ++i) n *= s[i];
  return n;
}

// Clears the rows from `extent` on: in a bounded output they are nobody's.
void ClearFrom(const Host& x, int64_t extent) {
  const Shape& shape = x->meta().shape;
  const int64_t rest = shape.numel() - extent * ProductFrom(shape, 1);
  const int64_t size = static_cast<int64_t>(DTypeSize(x->meta().dtype));
  if (rest > 0) std::memset(x->data() + x->meta().bytes() - rest * size, 0, rest * size);
}

// Copies between a tensor and its slice [begin, begin + size) along an axis.
void CopySlice(const Host& whole, const Host& part, int axis, int64_t begin, bool to_part) {
  const Shape& w = whole->meta().shape;
  const int64_t size = part->meta().shape[axis];
  const int64_t inner =
      ProductFrom(w, axis + 1) * static_cast<int64_t>(DTypeSize(whole->meta().dtype));
  int64_t outer = 1;
  for (int i = 0; i < axis; ++i) outer *= w[i];
  for (int64_t o = 0; o < outer && size * inner > 0; ++o) {
    std::byte* in_whole = whole->data() + (o * w[axis] + begin) * inner;
    std::byte* in_part = part->data() + o * size * inner;
    std::memcpy(to_part ? in_part : in_whole, to_part ? in_whole : in_part, size * inner);
  }
}

// A value a part may hold beside the one that wins a max (or min): one of the sample's range, or
// what an empty part holds.
double Loser(double x, sbp::ReduceOp op, DType dtype, const Sample& sample, std::mt19937& random) {
  if (dtype == DType::kBool)
    return op == sbp::ReduceOp::kMax ? (random() % 2 && x) : (random() % 2 || x);
  if (std::isinf(x)) return x;
  if (random() % 4 == 0) return op == sbp::ReduceOp::kMax ? Lowest(dtype) : Highest(dtype);
  const double low = dtype == DType::kUInt8 ? 0.0 : sample.low;
  const double bound = op == sbp::ReduceOp::kMax ? std::min(low, x) : std::max(sample.high, x);
  double y = x + (bound - x) * std::uniform_real_distribution<double>(0, 1)(random);
  if (std::floor(x) == x) y = op == sbp::ReduceOp::kMax ? std::ceil(y) : std::floor(y);
  return op == sbp::ReduceOp::kMax ? std::min(y, x) : std::max(y, x);
}

Hosts MakePartials(const Host& x, sbp::ReduceOp op, int64_t parts, const Sample& sample,
                   std::mt19937& random) {
  Hosts out;
  for (int64_t p = 0; p < parts; ++p) out.push_back(Make(x->meta()));
  for (int64_t i = 0; i < x->numel(); ++i) {
    const double value = x->Get(i);
    if (op == sbp::ReduceOp::kSum) {
      double rest = value;
      for (int64_t p = 1; p < parts; ++p) {
        const double share = static_cast<double>(random() % 7) - 3;
        out[p]->Set(i, share);
        rest -= share;
      }
      out[0]->Set(i, rest);
      continue;
    }
    const int64_t owner = static_cast<int64_t>(random() % parts);
    for (int64_t p = 0; p < parts; ++p)
      out[p]->Set(i, p == owner ? value : Loser(value, op, x->meta().dtype, sample, random));
  }
  return out;
}

Host ReduceParts(const Hosts& parts, sbp::ReduceOp op) {
  Host out = Make(parts[0]->meta());
  const DType dtype = out->meta().dtype;
  for (int64_t i = 0; i < out->numel(); ++i) {
    double acc = op == sbp::ReduceOp::kSum   ? 0.0
                 : op == sbp::ReduceOp::kMax ? Lowest(dtype)
                                             : Highest(dtype);
    for (const Host& part : parts) {
      const double x = part->Get(i);
      if (op == sbp::ReduceOp::kSum) acc += x;
      if (op == sbp::ReduceOp::kMax) acc = x > acc || x != x ? x : acc;
      if (op == sbp::ReduceOp::kMin) acc = x < acc || x != x ? x : acc;
    }
    out->Set(i, acc);
  }
  return out;
}

Hosts DistributeAxis(const Host& x, sbp::Sbp symbol, int64_t parts, const Sample& sample,
                     std::mt19937& random) {
  if (symbol.is_partial()) return MakePartials(x, symbol.reduce_op(), parts, sample, random);
  Hosts out;
  for (int64_t p = 0; p < parts; ++p) {
    if (symbol.is_broadcast()) {
      out.push_back(Copy(x));
      continue;
    }
    const auto [begin, end] = sbp::BalancedSlice(x->meta().shape[symbol.axis()], parts, p);
    TensorMeta meta = x->meta();
    meta.shape[symbol.axis()] = end - begin;
    out.push_back(Make(meta));
    CopySlice(x, out.back(), symbol.axis(), begin, true);
  }
  return out;
}

// `exact`: copies of a B have equal bits. Below a P they are sums in different groupings.
Result<Host> CombineAxis(const Hosts& parts, const TensorMeta& meta, sbp::Sbp symbol, bool exact) {
  const int64_t n = static_cast<int64_t>(parts.size());
  for (int64_t p = 0; p < n; ++p) {
    Shape expected = meta.shape;
    if (symbol.is_split()) {
      const auto [begin, end] = sbp::BalancedSlice(meta.shape[symbol.axis()], n, p);
      expected[symbol.axis()] = end - begin;
    }
    OFL_ENSURE(parts[p]->meta().shape == expected, Code::kInternal)
        << "part " << p << " has shape " << parts[p]->meta().shape << "; expected " << expected;
  }
  if (symbol.is_partial()) return ReduceParts(parts, symbol.reduce_op());
  if (symbol.is_broadcast()) {
    for (const Host& part : parts)
      OFL_ENSURE(exact ? SameBits(part, parts[0]) : Difference(part, parts[0], 4).empty(),
                 Code::kInternal)
          << "the parts of a B differ";
    return parts[0];
  }
  Host out = Make(meta);
  for (int64_t p = 0; p < n; ++p)
    CopySlice(out, parts[p], symbol.axis(),
              sbp::BalancedSlice(meta.shape[symbol.axis()], n, p).first, false);
  return out;
}

Result<Host> CombineFrom(const Hosts& parts, const TensorMeta& meta, const sbp::NdSbp& nd_sbp,
                         const Shape& hierarchy, int axis) {
  if (axis == hierarchy.rank()) return parts[0];
  const int64_t h = hierarchy[axis];
  const size_t each = parts.size() / h;
  Hosts groups;
  for (int64_t p = 0; p < h; ++p) {
    TensorMeta part_meta = meta;
    if (nd_sbp[axis].is_split()) {
      const int split = nd_sbp[axis].axis();
      OFL_ENSURE(split < meta.shape.rank(), Code::kInternal) << "a split axis does not exist";
      const auto [begin, end] = sbp::BalancedSlice(meta.shape[split], h, p);
      part_meta.shape[split] = end - begin;
    }
    const Hosts group(parts.begin() + static_cast<ptrdiff_t>(p * each),
                      parts.begin() + static_cast<ptrdiff_t>((p + 1) * each));
    OFL_ASSIGN(Host whole, CombineFrom(group, part_meta, nd_sbp, hierarchy, axis + 1));
    groups.push_back(whole);
  }
  bool exact = true;
  for (int inner = axis + 1; inner < hierarchy.rank(); ++inner)
    exact = exact && !nd_sbp[inner].is_partial();
  return CombineAxis(groups, meta, nd_sbp[axis], exact);
}

}  // namespace

Result<Hosts> Run(const Call& call, int threads) {
  const OpDef& def = *call.def;
  const std::vector<TensorMeta> metas = MetasOf(call.inputs);
  OFL_ASSIGN(const Kernel kernel, FindKernel(def.name, DeviceKind::kCpu, DenseViews(metas),
                                             DenseViews(call.outputs), call.attrs, threads));
  Hosts inputs = call.inputs, mutated, outputs;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!def.InputMutated(static_cast<int>(i))) continue;
    inputs[i] = Copy(inputs[i]);
    mutated.push_back(inputs[i]);
  }
  for (const TensorMeta& meta : call.outputs) outputs.push_back(Make(meta));
  std::vector<TensorView> input_views, output_views;
  for (const Host& t : inputs) input_views.push_back(t->view());
  for (const Host& t : outputs) output_views.push_back(t->view());
  const auto stream = Cpu()->NewStream(threads);
  const int64_t bytes = kernel.needs.scratch;
  OFL_ASSIGN(const device::BufferRef workspace, Undefined(bytes));
  KernelContext context;
  context.inputs = input_views;
  context.outputs = output_views;
  context.attrs = &call.attrs;
  context.stream = stream.get();
  context.workspace = {workspace->data(), static_cast<size_t>(bytes)};
  context.logical_inputs = call.logical_inputs;
  context.logical_outputs = call.logical_outputs;
  if (const auto draw = Draw::Of(call.attrs)) context.random = draw->at;
  context.input_offsets = call.input_offsets;
  context.output_offsets = call.output_offsets;
  int64_t extent = 0;
  context.extent = &extent;
  OFL_TRY(kernel.Run(context));
  for (size_t i = 0; i < outputs.size(); ++i)
    if (def.OutputAt(static_cast<int>(i)).bounded) ClearFrom(outputs[i], extent);
  outputs.insert(outputs.end(), mutated.begin(), mutated.end());
  return outputs;
}

Result<Hosts> RunWhole(const OpDef& def, const Hosts& inputs, const Attrs& attrs, int threads) {
  if (def.composite && def.kernels.empty()) {
    Evaluator builder;
    OFL_ASSIGN(const Attrs complete, def.CompleteAttrs(attrs));
    const Values made = def.decompose(builder, Values(inputs.begin(), inputs.end()), complete);
    OFL_TRY(builder.status());
    Hosts results;
    for (const Value& value : made) results.push_back(AsHost(value));
    return results;
  }
  Call call;
  call.def = &def;
  call.inputs = inputs;
  call.logical_inputs = MetasOf(inputs);
  OFL_ASSIGN(call.attrs, def.CompleteAttrs(attrs));
  OFL_ASSIGN(call.outputs, def.Infer(call.logical_inputs, call.attrs));
  call.logical_outputs = call.outputs;
  const auto zeros = [](std::span<const TensorMeta> metas) {
    std::vector<Shape> offsets;
    for (const TensorMeta& m : metas) {
      Shape zero = m.shape;
      for (int i = 0; i < zero.rank(); ++i) zero[i] = 0;
      offsets.push_back(zero);
    }
    return offsets;
  };
  call.input_offsets = zeros(call.logical_inputs);
  call.output_offsets = zeros(call.logical_outputs);
  return Run(call, threads);
}

Hosts Distribute(const Host& x, const sbp::NdSbp& nd_sbp, const Shape& hierarchy,
                 const Sample& sample, std::mt19937& random) {
  Hosts held{x};
  for (int axis = 0; axis < hierarchy.rank(); ++axis) {
    Hosts next;
    for (const Host& h : held) {
      const Hosts parts = DistributeAxis(h, nd_sbp[axis], hierarchy[axis], sample, random);
      next.insert(next.end(), parts.begin(), parts.end());
    }
    held = std::move(next);
  }
  return held;
}

Result<Host> Combine(const Hosts& parts, const TensorMeta& logical, const sbp::NdSbp& nd_sbp,
                     const Shape& hierarchy) {
  return CombineFrom(parts, logical, nd_sbp, hierarchy, 0);
}

sbp::Layout LayoutOn(const Shape& hierarchy, const sbp::NdSbp& nd_sbp) {
  std::vector<int> ranks(hierarchy.numel());
  for (size_t i = 0; i < ranks.size(); ++i) ranks[i] = static_cast<int>(i);
  return {*Placement::Make(DeviceKind::kCpu, hierarchy, ranks), nd_sbp};
}

Result<Hosts> RunSharded(const OpDef& def, const Hosts& inputs, const Attrs& attrs,
                         std::span<const TensorMeta> outputs, const sbp::NdSignature& signature,
                         const Shape& hierarchy, const Sample& sample, std::mt19937& random) {
  std::vector<Hosts> held;  // by input, then by member
  std::vector<sbp::Layout> in_layouts, out_layouts;
  for (size_t i = 0; i < inputs.size(); ++i) {
    held.push_back(Distribute(inputs[i], signature.inputs[i], hierarchy, sample, random));
    in_layouts.push_back(LayoutOn(hierarchy, signature.inputs[i]));
  }
  for (const sbp::NdSbp& nd : signature.outputs) out_layouts.push_back(LayoutOn(hierarchy, nd));
  Call call;
  call.def = &def;
  call.logical_inputs = MetasOf(inputs);
  call.logical_outputs.assign(outputs.begin(), outputs.end());
  std::vector<Hosts> results;  // by result, then by member
  for (int member = 0; member < hierarchy.numel(); ++member) {
    call.inputs.clear();
    call.outputs.clear();
    call.input_offsets.clear();
    call.output_offsets.clear();
    std::vector<Shape> local_in, local_out;
    for (size_t i = 0; i < inputs.size(); ++i) {
      call.inputs.push_back(held[i][member]);
      local_in.push_back(held[i][member]->meta().shape);
      call.input_offsets.push_back(
          sbp::LocalBox(inputs[i]->meta().shape, in_layouts[i], member).begin);
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      const sbp::Box box = sbp::LocalBox(outputs[i].shape, out_layouts[i], member);
      call.outputs.push_back({outputs[i].dtype, box.Extent()});
      local_out.push_back(box.Extent());
      call.output_offsets.push_back(box.begin);
    }
    call.attrs = def.local_attrs ? def.local_attrs(attrs, local_in, local_out) : attrs;
    OFL_ASSIGN(Hosts got, Run(call));
    results.resize(got.size());
    for (size_t i = 0; i < got.size(); ++i) results[i].push_back(got[i]);
  }
  Hosts combined;
  size_t mutated = 0;
  for (size_t i = 0; i < results.size(); ++i) {
    sbp::NdSbp nd;
    TensorMeta meta;
    if (i < outputs.size()) {
      nd = signature.outputs[i];
      meta = outputs[i];
    } else {
      while (!def.InputMutated(static_cast<int>(mutated))) ++mutated;
      nd = signature.inputs[mutated];
      meta = inputs[mutated++]->meta();
    }
    OFL_ASSIGN(Host whole, Combine(results[i], meta, nd, hierarchy));
    combined.push_back(whole);
  }
  return combined;
}

Values Evaluator::Apply(const OpDef& op, Values inputs, const Attrs& attrs) {
  Hosts hosts;
  for (const Value& v : inputs) hosts.push_back(AsHost(v));
  auto results = RunWhole(op, hosts, attrs);
  if (!results.ok()) {
    Fail(results.status());
    return Values(op.outputs.size());
  }
  return Values(results->begin(), results->begin() + static_cast<ptrdiff_t>(op.outputs.size()));
}

}  // namespace ofl::op::testing
