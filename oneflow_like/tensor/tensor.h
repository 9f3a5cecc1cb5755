// An eager tensor: metadata, a strided view of memory, and its place in the autograd tape.
//
// Local: `layout()` is null and the view covers the logical tensor. Global: the view covers this
// rank's shard; a rank outside the placement has a shell with metadata and no memory.
// Threads: one thread at a time uses a tensor (Python's lock sees to that).
// Ownership: intrusively counted; views share a Storage and with it the version counter
// (docs/views.md).
#pragma once

#include <memory>
#include <utility>

#include "device/device.h"
#include "oneflow_like/base/check.h"
#include "oneflow_like/core/attrs.h"
#include "oneflow_like/op/def/builder.h"
#include "oneflow_like/op/kernel/kernel.h"
#include "oneflow_like/tensor/hooks.h"

namespace ofl::tensor {

class Node;
void intrusive_ptr_add_ref(const Node* node);
void intrusive_ptr_release(const Node* node);
using NodeRef = boost::intrusive_ptr<Node>;

class TensorImpl;
using TensorRef = boost::intrusive_ptr<TensorImpl>;
using LayoutRef = std::shared_ptr<const sbp::Layout>;  // shared by all tensors of one call plan
using AttrsRef = std::shared_ptr<const Attrs>;         // shared by call plans, nodes and views

// What a memory holds follows from what another one holds: a view that had to be laid out anew
// (tensor/copied_views.h).
struct CopiedFrom {
  TensorRef base;         // outside the tape
  const op::OpDef* view;  // that was taken of the base
  AttrsRef attrs;
  TensorMeta meta;  // of the view, which is the whole of the memory
  Shape local_shape;
  LayoutRef layout;
  uint64_t claim;
  uint64_t version;  // of the base, when the memory was brought up to it

  ~CopiedFrom();
};

// Memory with a count of its in-place changes.
struct Storage {
  device::BufferRef buffer;
  uint64_t version = 0;
  uint64_t contents = 0;   // see TensorImpl::contents; 0: not numbered since the last change
  uint64_t changes = 0;    // digest of the changes in place of a global tensor's memory, or 0
  uint64_t common = 0;     // digest of contents that are the same on other ranks; 0: nobody knows
  uint64_t common_at = 0;  // the version that `common` speaks of
  bool global = false;     // a global tensor lies in it
  bool shared = false;     // one of a layout with B: some other rank holds the same
  bool equal = false;      // one of layout B on all axes: all its ranks hold the same
  bool exposed = false;    // others may write to the memory, uncounted: NumPy, an address given out
  bool read_only = false;  // nobody may write: it is somebody else's memory, who says so
  std::unique_ptr<CopiedFrom> copied;  // null: what it holds is its own
};
using StorageRef = std::shared_ptr<Storage>;  // shared by a tensor and its views

// Where a view was taken: what its history follows from.
struct Origin {
  TensorRef parent;
  TensorImpl* root;  // the tensor that is no view, which `parent` leads to
  const op::OpDef* def;
  AttrsRef attrs;  // completed
  uint64_t born;   // the root's history then
  bool taped;      // the parent's history reaches the view
  uint64_t place;  // of the call among those that the tape numbers
};

class TensorImpl final : public op::ValueBase {
 public:
  // A tensor whose shard is `local` (equal to `meta` for a local tensor), dense in `storage`.
  TensorImpl(const TensorMeta& meta, const Shape& local_shape, LayoutRef layout,
             StorageRef storage);
  ~TensorImpl() override;

  const TensorMeta& meta() const override { return meta_; }
  const sbp::Layout* layout() const override { return layout_.get(); }
  bool is_symbolic() const override { return false; }

  bool is_global() const { return layout_ != nullptr; }
  const LayoutRef& layout_ref() const { return layout_; }
  const Shape& local_shape() const { return local_shape_; }
  TensorMeta local_meta() const { return {meta_.dtype, local_shape_}; }
  const Strides& strides() const { return strides_; }
  bool dense() const { return dense_; }
  const StorageRef& storage() const { return storage_; }
  bool has_data() const { return storage_ != nullptr; }
  bool read_only() const { return storage_ != nullptr && storage_->read_only; }
  std::byte* data() const {
    return storage_ == nullptr || storage_->buffer == nullptr
               ? nullptr
               : storage_->buffer->data() + offset_bytes_;
  }
  int64_t offset_bytes() const { return offset_bytes_; }
  // Behind a copy it is another one as soon as the base is changed.
  uint64_t version() const {
    if (behind_copy_) return VersionBehindCopy();
    return storage_ ? storage_->version : 0;
  }
  void BumpVersion() {
    if (!storage_) return;
    ++storage_->version;
    storage_->contents = 0;
  }
  // A number that no other contents of any memory of this process have or had: what was computed
  // from them stays right while it is the same. 0: nobody knows, the memory is exposed.
  uint64_t contents() const;
  DeviceKind device_kind() const { return layout_ ? layout_->placement.kind() : DeviceKind::kCpu; }
  // Digest of the operators, numbers and attributes that made a global tensor from what other
  // ranks have seen: equal on all ranks that run the same program. Collectives compare it, since
  // values that nobody sent are equal only if they were computed alike. 0: nothing to compare.
  // Who changes the memory through another tensor changes it too.
  uint64_t claim() const;
  // What the elements are made of as they are now.
  void set_claim(uint64_t claim) {
    claim_ = claim;
    if (storage_) claimed_at_ = storage_->changes;
  }
  // Of a tensor that was changed in place. A local one that lies in memory of which each rank has a
  // part of its own (S, P) may be changed as the rank likes.
  void AddClaim(uint64_t claim);
  // Of a local tensor: digest of its elements where every rank that runs the same program has the
  // same ones, since they follow from attributes alone or were compared. 0: nobody knows.
  uint64_t common() const { return storage_ == nullptr || storage_->common == 0 ? 0 : CommonNow(); }
  // Of a tensor that alone lies in its memory, the whole of it.
  void set_common(uint64_t digest) {
    if (storage_ == nullptr) return;
    storage_->common = digest;
    storage_->common_at = storage_->version;
  }
  // What kernels take.
  op::TensorView view() const {
    OFL_DCHECK(!behind_copy_ || !has_data() || version() == storage_->version);  // BringUp before
    return {local_shape_.numel() == 0 ? nullptr : data(), {meta_.dtype, local_shape_}, strides_};
  }

  // Another view of the same memory, outside the tape. Strides count elements.
  TensorRef View(const Shape& shape, const Strides& strides, int64_t offset_bytes) const;
  // The same view, outside the tape.
  TensorRef Detach() const;
  // The same elements as another tensor, local where `layout` is null.
  TensorRef As(const TensorMeta& meta, LayoutRef layout) const;
  // Other elements of the memory as another tensor.
  TensorRef As(const TensorMeta& meta, LayoutRef layout, const Shape& local_shape,
               const Strides& strides, int64_t offset_bytes) const;

  // Null for what is no view, or a view outside the tape.
  const Origin* origin() const { return origin_.get(); }
  void SetOrigin(std::unique_ptr<Origin> origin);
  // A view in memory of its own, since its operand had to be laid out anew.
  bool copied() const { return copied_; }
  void set_copied() { copied_ = behind_copy_ = true; }
  // Of a view of a global tensor: the strides that it would have in one part, on all ranks alike.
  // Null: dense ones.
  const std::shared_ptr<const Strides>& whole_strides() const { return whole_strides_; }
  void set_whole_strides(std::shared_ptr<const Strides> strides) {
    whole_strides_ = std::move(strides);
  }
  // It was taken as a view: strides may differ from dense ones, of a global tensor on some ranks
  // only.
  bool is_view() const { return is_view_; }
  // It lies in the memory of such a view: that one itself, one of it, another handle of either.
  // Before its elements are read that memory is brought up to its base, and changes of it are put
  // back (tensor/copied_views.h). Not what was given out: to_local().
  bool behind_copy() const { return behind_copy_; }

  bool requires_grad() const { return requires_grad_ || grad_fn() != nullptr; }
  bool is_leaf() const { return grad_fn() == nullptr; }
  void set_requires_grad(bool on) { requires_grad_ = on; }
  // Of a view derived from its base's history, if it is another one since.
  const NodeRef& grad_fn() const {
    if (origin_ != nullptr && !requires_grad_) FollowRoot();
    return grad_fn_;
  }
  int output_index() const { return output_index_; }
  // What the tensor is made of from now on.
  void SetGradFn(NodeRef node, int output_index);
  // How often it was given a history.
  uint64_t history() const { return history_; }
  const TensorRef& grad() const { return grad_; }
  void set_grad(TensorRef grad) { grad_ = std::move(grad); }
  // Of a leaf: what its gradient goes through before it is accumulated. Null without any.
  HooksRef& hooks() { return hooks_; }
  // Of a leaf: what is called with it once its gradient has been accumulated. Null without any.
  HooksRef& post_hooks() { return post_hooks_; }
  bool retains_grad() const { return retains_grad_; }
  void set_retains_grad() { retains_grad_ = true; }
  // A place that holds this tensor's address as long as it lives.
  const std::shared_ptr<TensorImpl*>& Self() {
    if (self_ == nullptr) self_ = std::make_shared<TensorImpl*>(this);
    return self_;
  }

 private:
  TensorMeta meta_;
  Shape local_shape_;
  Strides strides_;
  LayoutRef layout_;
  StorageRef storage_;
  int64_t offset_bytes_ = 0;
  uint64_t claim_ = 0;
  uint64_t claimed_at_ = 0;  // the changes of the memory that claim_ counts in
  std::unique_ptr<Origin> origin_;
  uint64_t history_ = 0;
  mutable uint64_t followed_ =
      0;  // the root's history that grad_fn_ follows, and 1 for having done
  mutable int output_index_ = 0;
  bool dense_ = true;
  bool requires_grad_ = false;
  bool retains_grad_ = false;
  bool copied_ = false;
  bool behind_copy_ = false;
  bool is_view_ = false;
  std::shared_ptr<const Strides> whole_strides_;
  mutable NodeRef grad_fn_;
  TensorRef grad_;
  HooksRef hooks_, post_hooks_;
  std::shared_ptr<TensorImpl*> self_;

  uint64_t CommonNow() const;
  uint64_t VersionBehindCopy() const;
  void FollowRoot() const {
    if (followed_ != origin_->root->history_ + 1) Follow();
  }
  void Follow() const;
};

// A value known to be eager; callers have checked is_symbolic().
inline TensorImpl* AsTensor(const op::Value& value) {
  return static_cast<TensorImpl*>(value.get());
}
// As above, with the error for a graph's value that left its graph.
Result<TensorRef> RequireTensor(const op::Value& value);

// A global tensor made in compile_world has no memory on ranks of its placement:
// kFailedPrecondition.
Status RequireShard(const TensorImpl& x, std::string_view op);

// New memory for a shard on this device; no elements, no allocation.
Result<StorageRef> AllocateStorage(DeviceKind device, int64_t bytes);
// A dense local tensor with undefined contents.
Result<TensorRef> EmptyLocal(const TensorMeta& meta);
// A global tensor of this layout with undefined contents; a shell outside the placement.
Result<TensorRef> EmptyGlobal(const TensorMeta& meta, LayoutRef layout);

// The tensor itself while dense, else a dense copy (outside the tape).
Result<TensorRef> Contiguous(const TensorRef& x);
// A dense copy in memory of its own, outside the tape. `x` has memory.
Result<TensorRef> DenseCopyOf(const TensorImpl& x);
// Copies elements between tensors of one dtype and local shape, whose memory is apart or the same.
// `to` touches no byte twice.
Status CopyElements(const TensorImpl& from, const TensorImpl& to);

// "float32[4,4]" or "float32[4,4]{(S(0)), placement(cpu, ranks=[0, 1])}".
std::string Describe(const op::ValueBase& value);

}  // namespace ofl::tensor
