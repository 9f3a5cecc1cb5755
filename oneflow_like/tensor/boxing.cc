#include "oneflow_like/tensor/boxing.h"

#include <algorithm>
#include <utility>

#include "device/cpu/box.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/copied_views.h"
#include "oneflow_like/tensor/exchange.h"

namespace ofl::tensor {
namespace {

Shape Minus(const Shape& a, const Shape& b) {
  Shape out;
  for (int i = 0; i < a.rank(); ++i) out.push_back(a[i] - b[i]);
  return out;
}

Shape Zeros(int rank) {
  Shape out;
  for (int i = 0; i < rank; ++i) out.push_back(0);
  return out;
}

bool Contains(const sbp::Box& outer, const sbp::Box& inner) {
  for (int i = 0; i < inner.begin.rank(); ++i) {
    if (inner.begin[i] < outer.begin[i] || inner.end[i] > outer.end[i]) return false;
  }
  return true;
}

// One step as this rank sees it: buffers by peer, with the place of every message in them.
class StepRun {
 public:
  StepRun(const BoxingRecipe& recipe, size_t index, const TensorRef& x, device::Stream* stream)
      : recipe_(recipe),
        step_(recipe.steps[index]),
        work_(recipe.works[index]),
        x_(x),
        stream_(stream),
        element_(static_cast<int64_t>(DTypeSize(recipe.meta.dtype))),
        first_(index == 0 || !MovedBefore(recipe, index)) {}

  Result<TensorRef> Run(std::string_view why) {
    if (step_.total_bytes > 0) OFL_TRY(Move(why));
    return Assemble();
  }

 private:
  static bool MovedBefore(const BoxingRecipe& recipe, size_t index) {
    for (size_t i = 0; i < index; ++i) {
      if (recipe.steps[i].total_bytes > 0) return true;
    }
    return false;
  }

  PeerMessage& PeerOf(int rank) {
    auto at = std::lower_bound(peers_.begin(), peers_.end(), rank,
                               [](const PeerMessage& m, int r) { return m.peer < r; });
    if (at == peers_.end() || at->peer != rank) {
      at = peers_.insert(at, PeerMessage{rank, {}, 0, {}});
    }
    return *at;
  }

  void Pack() {
    for (const sbp::Message& m : work_.sends) {
      PeerMessage& peer = PeerOf(m.dst);
      const Shape extent = m.box.Extent();
      const size_t at = peer.outgoing.size();
      peer.outgoing.resize(at + static_cast<size_t>(extent.numel() * element_));
      device::CopyBox(x_->data(), x_->local_shape(), Minus(m.box.begin, work_.from_box.begin),
                      peer.outgoing.data() + at, extent, Zeros(extent.rank()), extent, element_,
                      stream_);
    }
    for (const sbp::Message& m : work_.receives) {
      PeerMessage& peer = PeerOf(m.src);
      offsets_.push_back(peer.incoming_bytes);
      peer.incoming_bytes += m.box.Extent().numel() * element_;
    }
  }

  Status Move(std::string_view why) {
    const int self = Context::Get().rank();
    if (first_) {
      // The first exchange meets the whole group, also those this rank has no data for.
      for (int rank : recipe_.group) {
        if (rank != self) PeerOf(rank);
      }
    }
    Pack();
    if (peers_.empty()) return Status::Ok();
    const std::string site = Context::Get().CallSite();
    std::string what = "[" + std::string(why) + "] " + recipe_.meta.ToString() + " from " +
                       recipe_.from->ToString() + " to " + recipe_.to->ToString();
    const uint64_t hash = HashText(site) ^ HashText(what);
    if (!site.empty()) what += " at " + site;
    Stamp stamp = CollectiveStamp();
    if (x_->has_data()) stamp.claim = x_->claim();
    return Exchange(peers_, hash, what, &stamp);
  }

  struct Source {
    const std::byte* data;
    Shape shape;
    Shape begin;
  };
  // Where the contribution of `rank` to `box` lies.
  Source SourceOf(int rank, const sbp::Box& box) {
    if (rank == Context::Get().rank()) {
      return {x_->data(), x_->local_shape(), Minus(box.begin, work_.from_box.begin)};
    }
    for (size_t i = 0; i < work_.receives.size(); ++i) {
      const sbp::Message& m = work_.receives[i];
      if (m.src != rank || !Contains(m.box, box)) continue;
      return {PeerOf(rank).incoming.data() + offsets_[i], m.box.Extent(),
              Minus(box.begin, m.box.begin)};
    }
    OFL_CHECK(false) << "a piece's source sends no message";
    return {};
  }

  Result<TensorRef> Assemble() {
    OFL_ASSIGN(TensorRef out,
               EmptyGlobal(recipe_.meta, std::make_shared<const sbp::Layout>(step_.to)));
    if (!out->has_data()) return out;
    for (const sbp::Piece& piece : work_.pieces) {
      const Shape extent = piece.box.Extent();
      if (extent.numel() == 0) continue;
      const Shape begin = Minus(piece.box.begin, work_.to_box.begin);
      if (piece.sources.empty()) {
        OFL_TRY(device::FillBox(recipe_.meta.dtype, static_cast<int>(piece.op), out->data(),
                                out->local_shape(), begin, extent, stream_));
      } else if (piece.sources.size() == 1) {
        const Source s = SourceOf(piece.sources[0], piece.box);
        device::CopyBox(s.data, s.shape, s.begin, out->data(), out->local_shape(), begin, extent,
                        element_, stream_);
      } else {
        std::vector<device::BoxSource> sources;
        for (int rank : piece.sources) {
          const Source s = SourceOf(rank, piece.box);
          sources.push_back({s.data, s.shape, s.begin});
        }
        OFL_TRY(device::CombineBoxes(recipe_.meta.dtype, static_cast<int>(piece.op), sources,
                                     piece.tree, out->data(), out->local_shape(), begin, extent,
                                     stream_));
      }
    }
    return out;
  }

  const BoxingRecipe& recipe_;
  const sbp::BoxingStep& step_;
  const sbp::RankWork& work_;
  TensorRef x_;
  device::Stream* stream_;
  int64_t element_;
  bool first_;
  std::vector<PeerMessage> peers_;  // sorted by rank
  std::vector<int64_t> offsets_;    // of each received message within its peer's buffer
};

}  // namespace

Result<RecipeRef> RecipeFor(const TensorMeta& meta, const LayoutRef& from, const LayoutRef& to) {
  uint64_t key = 0;
  CallCache& cache = Context::Get().cache();
  if (const RecipeRef* found = cache.FindRecipe(meta, *from, *to, &key)) return *found;
  OFL_ASSIGN(sbp::BoxingPlan plan, sbp::PlanBoxing(meta, *from, *to));
  auto recipe = std::make_shared<BoxingRecipe>();
  recipe->meta = meta;
  recipe->from = from;
  recipe->to = to;
  recipe->cost_ps = plan.cost_ps;
  recipe->total_bytes = plan.total_bytes;
  recipe->steps = std::move(plan.steps);
  for (const sbp::BoxingStep& step : recipe->steps) {
    recipe->works.push_back(sbp::WorkOf(step, meta.shape, Context::Get().rank()));
  }
  recipe->group = from->placement.ranks();
  const auto& more = to->placement.ranks();
  recipe->group.insert(recipe->group.end(), more.begin(), more.end());
  std::sort(recipe->group.begin(), recipe->group.end());
  recipe->group.erase(std::unique(recipe->group.begin(), recipe->group.end()), recipe->group.end());
  cache.InsertRecipe(key, recipe);
  return RecipeRef(recipe);
}

Result<TensorRef> RunBoxing(const BoxingRecipe& recipe, const TensorRef& x, std::string_view why) {
  const int self = Context::Get().rank();
  const bool empty_handed = recipe.to->placement.kind() == DeviceKind::kNull ||
                            recipe.from->placement.kind() == DeviceKind::kNull;
  if (empty_handed || !std::binary_search(recipe.group.begin(), recipe.group.end(), self)) {
    return EmptyGlobal(recipe.meta, recipe.to);
  }
  OFL_TRY(RequireShard(*x, why));
  OFL_TRY(BringUp(*x));
  if (recipe.steps.empty()) {
    TensorRef same = x->Detach();
    return same;
  }
  OFL_ASSIGN(device::Stream * stream, Context::Get().StreamOf(recipe.to->placement.kind()));
  OFL_ASSIGN(TensorRef current, Contiguous(x));
  for (size_t i = 0; i < recipe.steps.size(); ++i) {
    StepRun run(recipe, i, current, stream);
    OFL_ASSIGN(current, run.Run(why));
  }
  // Whatever moved was compared on its way.
  if (recipe.total_bytes == 0) current->set_claim(x->claim());
  return current;
}

}  // namespace ofl::tensor
