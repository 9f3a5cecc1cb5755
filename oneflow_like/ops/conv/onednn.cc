// oneDNN's convolutions: float32, and the half types, bfloat16 as it is where the processor
// multiplies it.
//
// The library computes in blocked formats of its own choice. Images go through them a few at a
// time, so that the blocked copies stay in the second cache, and are plain again before the kernel
// ends. A call of the library uses one thread: lanes, of which each has a fixed part of the images,
// are the stream's.
#include "oneflow_like/op/kernel/blas_core.h"
#include "oneflow_like/ops/conv/convolution.h"

#ifndef OFL_WITH_ONEDNN

namespace ofl {
void ops::AddOneDnn(op::OpDefBuilder& op, ConvPart part) {}
std::string op::ConvolutionCore() { return "none"; }
}  // namespace ofl

#else

#include <omp.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <string_view>
#include <unordered_map>

#include "device/cpu/cpu_level.h"
#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/linalg/product.h"
#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

using dnnl::memory;

constexpr int64_t kCacheBytes = int64_t{1} << 20;  // of blocked images in flight
constexpr int64_t kAlign = 64;
constexpr int64_t kMostElements = int64_t{1} << 31;  // its kernels count in 32 bits

// The library's loops are OpenMP's, whose number of threads belongs to the calling thread.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) {
    if (before_ != 1) omp_set_num_threads(1);
  }
  ~OneThread() {
    if (before_ != 1) omp_set_num_threads(before_);
  }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  const int before_;
};

// Where our own loops are pinned to a level of instructions, the library keeps to it, so that ranks
// on different processors agree.
void PinInstructions() {
  if (std::getenv("OFL_CPU_LEVEL") == nullptr) return;
  const std::string_view level = device::CpuLevel();
  using Isa = dnnl::cpu_isa;
  dnnl::set_max_cpu_isa(level == "v4" ? Isa::avx512_core : level == "v3" ? Isa::avx2 : Isa::sse41);
}
const dnnl::engine& Engine() {
  static const dnnl::engine& engine = *[] {
    PinInstructions();
    return new dnnl::engine(dnnl::engine::kind::cpu, 0);
  }();
  return engine;
}
bool MultipliesBFloats() {
  (void)Engine();
  constexpr int kNeeds = static_cast<int>(dnnl::cpu_isa::avx512_core_bf16);
  return (static_cast<int>(dnnl::get_effective_cpu_isa()) & kNeeds) == kNeeds;
}

int64_t Aligned(int64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }
int64_t BytesOf(const memory::desc& d) { return Aligned(static_cast<int64_t>(d.get_size())); }

// An operand of the library's call: as it lies in the tensor, and as the call wants it.
struct Side {
  memory::desc plain, wanted;
  dnnl::reorder move;  // between the two, where they differ
  bool moves() const { return plain != wanted; }
  int64_t bytes() const { return moves() ? BytesOf(wanted) : 0; }
};

Side SideOf(const memory::desc& plain, const memory::desc& wanted, bool result) {
  Side side{plain, wanted, {}};
  if (!side.moves()) return side;
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const auto& from = result ? wanted : plain;
  const auto& to = result ? plain : wanted;
  const dnnl::reorder::primitive_desc pd(Engine(), from, Engine(), to, attr);
  if (pd.scratchpad_desc().get_size() > 0) throw dnnl::error(dnnl_unimplemented, "scratchpad");
  side.move = dnnl::reorder(pd);
  return side;
}

// One call, of a number of images. Roles are those of y = x * w, whichever is the result.
struct Call {
  int64_t images = 0;
  dnnl::primitive run;
  Side x, w, y;
  memory::desc bias, pad;
};

// What is known of a convolution before its values are. Shared by calls under way.
struct Plan {
  ConvSizes sizes;
  ConvPart part = ConvPart::kOutput;
  bool widened = false;  // operands of a half type that the library has not: float32 copies of them
  memory::data_type type = memory::data_type::f32;
  int64_t lanes = 1;
  int64_t images_of_lane(int64_t lane) const { return sizes.images * lane / lanes; }
  std::vector<Call> calls;  // of the usual number of images, and of the numbers that may remain
  const Call& Of(int64_t images) const { return *std::ranges::find(calls, images, &Call::images); }
  int64_t lane_bytes = 0;  // of one lane's blocked images, scratchpad, sums
  int64_t weight_bytes = 0;
  int64_t size = 4;  // bytes of an element
};

memory::desc Plain(const memory::dims& dims, memory::data_type type) {
  memory::dims strides(dims.size(), 1);
  for (size_t i = dims.size() - 1; i > 0; --i) strides[i - 1] = strides[i] * dims[i];
  return {dims, type, strides};
}
memory::desc Any(const memory::dims& dims, memory::data_type type) {
  return {dims, type, memory::format_tag::any};
}

memory::dims Spatial(const Axes3& sizes, int axes, int64_t less = 0) {
  memory::dims dims;
  for (int i = 3 - axes; i < 3; ++i) dims.push_back(sizes[i] - less);
  return dims;
}
memory::dims Join(memory::dims head, const memory::dims& tail) {
  head.insert(head.end(), tail.begin(), tail.end());
  return head;
}

// The dims and the borders that the library takes.
struct Problem {
  memory::dims x, w, y, strides, dilations, before, after;
};
Problem ProblemOf(const ConvSizes& s, int64_t images) {
  const Windows& v = s.windows;
  Problem p;
  p.x = Join({images, s.groups * s.channels}, Spatial(v.in, s.spatial));
  p.y = Join({images, s.groups * s.filters}, Spatial(v.out, s.spatial));
  p.w = Join(s.groups > 1 ? memory::dims{s.groups, s.filters, s.channels}
                          : memory::dims{s.filters, s.channels},
             Spatial(v.kernel, s.spatial));
  p.strides = Spatial(v.stride, s.spatial);
  p.dilations = Spatial(v.dilation, s.spatial, 1);
  p.before = Spatial(v.before, s.spatial);
  for (int i = 3 - s.spatial; i < 3; ++i) {
    p.after.push_back((v.out[i] - 1) * v.stride[i] + Span(v.kernel[i], v.dilation[i]) - v.in[i] -
                      v.before[i]);
  }
  return p;
}

// The library's own loops, which are slower than ours.
bool IsReference(std::string_view implementation) {
  return implementation.find("ref") != std::string_view::npos;
}

template <class PrimitiveDesc>
void Fill(Call* call, const PrimitiveDesc& pd) {
  if (IsReference(pd.impl_info_str())) throw dnnl::error(dnnl_unimplemented, "reference loops");
  call->pad = pd.scratchpad_desc();
}

// `weight`: the format that another call has chosen, or null. `biased`: of the output alone.
Call CallOf(const Plan& plan, int64_t images, const memory::desc* weight, bool biased) {
  constexpr auto kDirect = dnnl::algorithm::convolution_direct;
  const Problem p = ProblemOf(plan.sizes, images);
  const auto type = plan.type, f32 = memory::data_type::f32;
  const bool sums = plan.part == ConvPart::kWeight;
  const auto x = Any(p.x, type), y = Any(p.y, type);
  const auto w = weight != nullptr ? *weight : Any(p.w, sums ? f32 : type);
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  Call call;
  call.images = images;
  if (biased) call.bias = Plain({plan.sizes.groups * plan.sizes.filters}, type);
  const auto forward = [&](const memory::desc& weights) {
    using Forward = dnnl::convolution_forward;
    const auto kind = plan.part == ConvPart::kOutput ? dnnl::prop_kind::forward_inference
                                                     : dnnl::prop_kind::forward_training;
    const Forward::desc d = biased ? Forward::desc(kind, kDirect, x, weights, call.bias, y,
                                                   p.strides, p.dilations, p.before, p.after)
                                   : Forward::desc(kind, kDirect, x, weights, y, p.strides,
                                                   p.dilations, p.before, p.after);
    return Forward::primitive_desc(d, attr, Engine());
  };
  memory::desc wanted_x, wanted_w, wanted_y;
  const auto take = [&](const auto& pd, const memory::desc& x, const memory::desc& w,
                        const memory::desc& y) {
    Fill(&call, pd);
    wanted_x = x, wanted_w = w, wanted_y = y;
  };
  if (plan.part == ConvPart::kOutput) {
    const auto pd = forward(w);
    take(pd, pd.src_desc(), pd.weights_desc(), pd.dst_desc());
    call.run = dnnl::convolution_forward(pd);
  } else if (plan.part == ConvPart::kInput) {
    const dnnl::convolution_backward_data::desc d(kDirect, x, w, y, p.strides, p.dilations,
                                                  p.before, p.after);
    const dnnl::convolution_backward_data::primitive_desc pd(d, attr, Engine(),
                                                             forward(Any(p.w, type)));
    take(pd, pd.diff_src_desc(), pd.weights_desc(), pd.diff_dst_desc());
    call.run = dnnl::convolution_backward_data(pd);
  } else {
    const dnnl::convolution_backward_weights::desc d(kDirect, x, w, y, p.strides, p.dilations,
                                                     p.before, p.after);
    const dnnl::convolution_backward_weights::primitive_desc pd(d, attr, Engine(),
                                                                forward(Any(p.w, type)));
    take(pd, pd.src_desc(), pd.diff_weights_desc(), pd.diff_dst_desc());
    call.run = dnnl::convolution_backward_weights(pd);
  }
  call.x = SideOf(Plain(p.x, type), wanted_x, plan.part == ConvPart::kInput);
  call.y = SideOf(Plain(p.y, type), wanted_y, plan.part == ConvPart::kOutput);
  call.w = SideOf(Plain(p.w, type), wanted_w, sums);
  return call;
}

// Images of one call: as many as the cache holds, and of a weight's gradient so many that adding
// its sums up costs little.
int64_t ImagesOfCall(const Plan& plan) {
  const ConvSizes& s = plan.sizes;
  const int64_t image = std::max<int64_t>(s.groups * (s.input() + s.output()) * plan.size, 1);
  int64_t bytes = kCacheBytes;
  if (plan.part == ConvPart::kWeight) bytes = std::max(bytes, 8 * s.weight() * 4);
  const int64_t most = (s.images + plan.lanes - 1) / plan.lanes;
  return std::clamp<int64_t>(bytes / image, 1, most);
}

std::shared_ptr<const Plan> MakePlan(const ConvSizes& sizes, ConvPart part, DType dtype,
                                     bool biased, int threads) {
  const bool bfloat = dtype == DType::kBFloat16 && MultipliesBFloats();
  auto plan = std::make_shared<Plan>();
  plan->sizes = sizes;
  plan->part = part;
  plan->widened = IsHalf(dtype) && !bfloat;
  plan->type = bfloat ? memory::data_type::bf16 : memory::data_type::f32;
  plan->size = bfloat ? 2 : 4;
  plan->lanes = std::min<int64_t>(threads, sizes.images);
  const int64_t usual = ImagesOfCall(*plan);
  plan->calls.push_back(CallOf(*plan, usual, nullptr, biased));
  const memory::desc weight = plan->calls[0].w.wanted;
  for (int64_t lane = 0; lane < plan->lanes; ++lane) {
    const int64_t rest = (plan->images_of_lane(lane + 1) - plan->images_of_lane(lane)) % usual;
    if (rest > 0 && std::ranges::find(plan->calls, rest, &Call::images) == plan->calls.end())
      plan->calls.push_back(CallOf(*plan, rest, &weight, biased));
  }
  for (const Call& call : plan->calls) {
    const bool sums = part == ConvPart::kWeight;  // those of a call, and those of its lane
    plan->lane_bytes =
        std::max(plan->lane_bytes, call.x.bytes() + call.y.bytes() + BytesOf(call.pad) +
                                       (sums ? 2 * BytesOf(call.w.wanted) : 0));
  }
  plan->weight_bytes = part == ConvPart::kWeight ? 0 : plan->calls[0].w.bytes();
  return plan;
}

// --- plans by their problem ---------------------------------------------------------------------

using Key = std::vector<int64_t>;
using PlanRef = std::shared_ptr<const Plan>;

Key KeyOf(const ConvSizes& s, ConvPart part, DType dtype, bool biased, int threads) {
  Key key = {static_cast<int64_t>(part),
             static_cast<int64_t>(dtype),
             biased,
             threads,
             s.spatial,
             s.images,
             s.groups,
             s.channels,
             s.filters};
  const Windows& w = s.windows;
  for (const Axes3& axes : {w.in, w.out, w.kernel, w.stride, w.dilation, w.before})
    key.insert(key.end(), axes.begin(), axes.end());
  return key;
}

// Such a product takes less time than a call of the library.
bool IsTiny(const ConvSizes& s) {
  constexpr int64_t kTiny = 16384;
  return SaturatingMul(s.images * s.output(), s.weight()) < kTiny * s.filters;
}

// Null where the library has no kernel of its own for it. Bounds and preparing ask for the same
// plan one after the other, so a few are kept.
PlanRef PlanOf(ConvPart part, std::span<const TensorMeta> in, std::span<const TensorMeta> out,
               const Attrs& attrs, int threads) {
  constexpr size_t kKept = 64;
  static std::mutex& mutex = *new std::mutex;
  static auto& kept = *new std::map<Key, PlanRef>;
  const ConvSizes sizes = SizesOfConv(part, in, out, attrs);
  const bool large =
      std::max({sizes.images * sizes.groups * sizes.input(),
                sizes.images * sizes.groups * sizes.output(), sizes.weight()}) >= kMostElements;
  if (sizes.empty() || large || IsTiny(sizes)) return nullptr;
  const bool biased = part == ConvPart::kOutput && in.size() > 2;
  const Key key = KeyOf(sizes, part, in[0].dtype, biased, threads);
  const std::lock_guard lock(mutex);
  if (const auto found = kept.find(key); found != kept.end()) return found->second;
  PlanRef plan;
  const OneThread one;
  try {
    plan = MakePlan(sizes, part, in[0].dtype, biased, threads);
  } catch (const dnnl::error&) {  // it has no kernel for this problem
    plan = nullptr;
  }
  if (kept.size() >= kKept) kept.clear();
  kept.emplace(key, plan);
  return plan;
}

struct State final : op::KernelState {
  explicit State(PlanRef plan) : plan(std::move(plan)) {}
  const PlanRef plan;
};

template <ConvPart kPart>
Result<op::KernelStateRef> Prepare(const op::KernelQuery& query) {
  std::vector<TensorMeta> in, out;
  for (const op::TensorView& view : query.inputs) in.push_back(view.meta);
  for (const op::TensorView& view : query.outputs) out.push_back(view.meta);
  PlanRef plan = PlanOf(kPart, in, out, query.attrs, query.threads);
  OFL_ENSURE(plan != nullptr, Code::kUnimplemented) << "oneDNN has no kernel for this convolution";
  return op::KernelStateRef(std::make_shared<State>(std::move(plan)));
}

template <ConvPart kPart>
int64_t Bound(std::span<const TensorMeta> in, std::span<const TensorMeta> out, const Attrs& attrs,
              int threads) {
  const PlanRef plan = PlanOf(kPart, in, out, attrs, threads);
  if (plan == nullptr) return 0;
  int64_t bytes = plan->weight_bytes + plan->lanes * plan->lane_bytes + kAlign;
  if (plan->widened) {
    bytes += Aligned(4 * out[0].shape.numel());
    for (const TensorMeta& meta : in) bytes += Aligned(4 * meta.shape.numel());
  }
  return bytes;
}

// --- running ------------------------------------------------------------------------------------

// Pieces of the scratch, each on a line of the cache.
class Room {
 public:
  explicit Room(MutableBytes bytes) : bytes_(bytes) {
    const auto place = reinterpret_cast<uintptr_t>(bytes_.data());
    if (!bytes_.empty()) bytes_ = bytes_.subspan((kAlign - place % kAlign) % kAlign);
  }
  std::byte* Take(int64_t bytes) {
    std::byte* const taken = bytes_.data();
    bytes_ = bytes_.subspan(static_cast<size_t>(Aligned(bytes)));
    return taken;
  }

 private:
  MutableBytes bytes_;
};

memory At(const memory::desc& desc, void* data) { return {desc, Engine(), data}; }

void Move(dnnl::stream& stream, const Side& side, void* from, void* to, bool result) {
  memory source = At(result ? side.wanted : side.plain, from);
  memory target = At(result ? side.plain : side.wanted, to);
  side.move.execute(stream, source, target);
}

OFL_SIMD void AddInto(const float* from, float* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] += from[i];
}

// The operands' memory, by role.
struct Data {
  std::byte *x = nullptr, *w = nullptr, *y = nullptr, *bias = nullptr;
};

// Images [begin, end) of one lane. `sums`: of a weight's gradient, those of the lane.
void RunLane(const Plan& plan, const Data& data, int64_t begin, int64_t end, Room room,
             float* sums) {
  const OneThread one;
  dnnl::stream stream(Engine());
  const ConvSizes& s = plan.sizes;
  const int64_t x_image = s.groups * s.input() * plan.size;
  const int64_t y_image = s.groups * s.output() * plan.size;
  const bool gives_x = plan.part == ConvPart::kInput, gives_y = plan.part == ConvPart::kOutput;
  for (int64_t at = begin; at < end;) {
    const int64_t usual = plan.calls[0].images;
    const Call& call = plan.Of(std::min(usual, end - at));
    Room rest = room;
    std::byte *const x = data.x + at * x_image, *const y = data.y + at * y_image;
    std::byte* const own_x = call.x.moves() ? rest.Take(call.x.bytes()) : x;
    std::byte* const own_y = call.y.moves() ? rest.Take(call.y.bytes()) : y;
    std::byte* const pad = rest.Take(BytesOf(call.pad));
    float* own_w = reinterpret_cast<float*>(data.w);
    if (sums != nullptr) {
      own_w = at == begin ? sums : reinterpret_cast<float*>(rest.Take(BytesOf(call.w.wanted)));
    }
    if (call.x.moves() && !gives_x) Move(stream, call.x, x, own_x, false);
    if (call.y.moves() && !gives_y) Move(stream, call.y, y, own_y, false);
    std::unordered_map<int, memory> args = {
        {gives_x ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, At(call.x.wanted, own_x)},
        {gives_y ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, At(call.y.wanted, own_y)},
        {sums != nullptr ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, At(call.w.wanted, own_w)},
        {DNNL_ARG_SCRATCHPAD, At(call.pad, pad)}};
    if (data.bias != nullptr) args.emplace(DNNL_ARG_BIAS, At(call.bias, data.bias));
    call.run.execute(stream, args);
    if (call.x.moves() && gives_x) Move(stream, call.x, own_x, x, true);
    if (call.y.moves() && gives_y) Move(stream, call.y, own_y, y, true);
    if (sums != nullptr && own_w != sums)
      AddInto(own_w, sums, static_cast<int64_t>(call.w.wanted.get_size() / sizeof(float)));
    at += call.images;
  }
}

void RunPlan(const Plan& plan, device::Stream* stream, Data data, Room room) {
  const Call& first = plan.calls[0];
  const bool gives_w = plan.part == ConvPart::kWeight;
  std::byte* const plain_w = data.w;
  if (!gives_w && first.w.moves()) {
    const OneThread one;
    dnnl::stream serial(Engine());
    data.w = room.Take(plan.weight_bytes);
    Move(serial, first.w, plain_w, data.w, false);
  }
  std::vector<std::byte*> lanes;
  for (int64_t lane = 0; lane < plan.lanes; ++lane) lanes.push_back(room.Take(plan.lane_bytes));
  const int64_t sum_bytes = gives_w ? BytesOf(first.w.wanted) : 0;
  Parallel(stream, plan.lanes, 1, [&](int64_t begin, int64_t end) {
    for (int64_t lane = begin; lane < end; ++lane) {
      const MutableBytes own(lanes[static_cast<size_t>(lane)],
                             static_cast<size_t>(plan.lane_bytes));
      RunLane(plan, data, plan.images_of_lane(lane), plan.images_of_lane(lane + 1),
              Room(own.subspan(static_cast<size_t>(sum_bytes))),
              gives_w ? reinterpret_cast<float*>(own.data()) : nullptr);
    }
  });
  if (!gives_w) return;
  const OneThread one;
  auto* const sums = reinterpret_cast<float*>(lanes[0]);
  const auto count = static_cast<int64_t>(first.w.wanted.get_size() / sizeof(float));
  for (size_t lane = 1; lane < lanes.size(); ++lane)
    AddInto(reinterpret_cast<const float*>(lanes[lane]), sums, count);
  dnnl::stream serial(Engine());
  if (first.w.moves()) {
    Move(serial, first.w, sums, plain_w, true);
  } else {
    std::memcpy(plain_w, sums, static_cast<size_t>(first.w.plain.get_size()));
  }
}

template <ConvPart kPart>
Status Run(op::KernelContext& c) {
  const Plan& plan = *static_cast<const State&>(*c.state).plan;
  op::TensorView to = c.outputs[0];
  std::vector<op::TensorView> from(c.inputs.begin(), c.inputs.end());
  Room room(c.workspace);
  if (plan.widened) {
    const auto floats = [&](const op::TensorView& x) {
      const TensorMeta meta{DType::kFloat32, x.meta.shape};
      return op::TensorView(room.Take(meta.bytes()), meta);
    };
    for (op::TensorView& view : from) {
      const op::TensorView wide = floats(view);
      OFL_TRY(CastElements(c.stream, view, wide));
      view = wide;
    }
    to = floats(to);
  }
  const auto bytes = [](const op::TensorView& view) { return static_cast<std::byte*>(view.data); };
  Data data;
  if constexpr (kPart == ConvPart::kOutput) {
    data = {bytes(from[0]), bytes(from[1]), bytes(to), from.size() > 2 ? bytes(from[2]) : nullptr};
  } else if constexpr (kPart == ConvPart::kInput) {
    data = {bytes(to), bytes(from[1]), bytes(from[0])};
  } else {
    data = {bytes(from[1]), bytes(to), bytes(from[0])};
  }
  try {
    RunPlan(plan, c.stream, data, room);
  } catch (const dnnl::error& e) {
    return Error(Code::kInternal) << "oneDNN: " << e.what();
  }
  return plan.widened ? CastElements(c.stream, to, c.outputs[0]) : Status::Ok();
}

template <ConvPart kPart>
void Add(op::OpDefBuilder& op) {
  for (DType dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    op.Kernel(
        {DeviceKind::kCpu,
         dtype,
         {.name = "oneDNN", .run = Run<kPart>, .prepare = Prepare<kPart>, .bound = Bound<kPart>}});
  }
}

}  // namespace

void AddOneDnn(op::OpDefBuilder& op, ConvPart part) {
  switch (part) {
    case ConvPart::kOutput: return Add<ConvPart::kOutput>(op);
    case ConvPart::kInput: return Add<ConvPart::kInput>(op);
    case ConvPart::kWeight: return Add<ConvPart::kWeight>(op);
  }
}

}  // namespace ofl::ops

std::string ofl::op::ConvolutionCore() {
  (void)ofl::ops::Engine();
  const dnnl_version_t& v = *dnnl_version();
  return "oneDNN " + std::to_string(v.major) + "." + std::to_string(v.minor) + "." +
         std::to_string(v.patch) + "/" +
         std::to_string(static_cast<int>(dnnl::get_effective_cpu_isa()));
}

#endif  // OFL_WITH_ONEDNN
