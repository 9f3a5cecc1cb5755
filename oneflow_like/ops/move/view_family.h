// What views that pick elements of their base share: the view itself, zeros that hold a value where
// the view looks (its gradient), and the base with the view's elements replaced.
#pragma once

#include <string>

#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {

// The axes of a base and of its view as a factor rule writes them: "(a0 !)", "(a0)".
struct ViewAxes {
  std::string base, view;
};

// kInvalidArgument where two places of the view are one element: a value has no room there.
Status RequireApart(const op::ViewGeometry& view);

// V says the rest:
//   V::Geometry(base, strides, attrs): op::ViewFn
//   V::Axes(base shape, attrs): ViewAxes
//   V::kView, V::kEmbed, V::kPut: the operators' names
//   V::View(attrs): the attributes of kView, out of those of kEmbed
template <class V>
struct ViewFamily {
  static Result<op::ViewGeometry> Dense(const Shape& base, const Attrs& attrs) {
    return V::Geometry(base, ContiguousStrides(base), attrs);
  }

  // --- the view
  static Status InferView(op::InferContext& c) {
    OFL_ASSIGN(const op::ViewGeometry view, Dense(c.input(0).shape, c.attrs()));
    OFL_TRY(view.shape.Check());
    c.AddOutput({c.input(0).dtype, view.shape});
    return Status::Ok();
  }
  static std::string ViewRule(std::span<const Shape> in, std::span<const Shape>,
                              const Attrs& attrs) {
    const ViewAxes axes = V::Axes(in[0], attrs);
    return axes.base + "->" + axes.view + "; linear 0; monotone 0";
  }
  static Status RunView(op::KernelContext& c) {
    const op::TensorView& in = c.inputs[0];
    OFL_ASSIGN(const op::ViewGeometry view, V::Geometry(in.meta.shape, in.strides, *c.attrs));
    CopyBox(c.stream, ViewOf(in, view), c.outputs[0]);
    return Status::Ok();
  }

  // --- zeros with the view in them
  static Status InferEmbed(op::InferContext& c) {
    OFL_ASSIGN(const Shape full, Shape::Checked(c.attr<std::vector<int64_t>>("shape")));
    OFL_ASSIGN(const op::ViewGeometry view, Dense(full, c.attrs()));
    OFL_ENSURE(c.input(0).shape == view.shape, Code::kInvalidArgument)
        << "grad must have the shape of the view; expected " << view.shape;
    OFL_TRY(RequireApart(view));
    c.AddOutput({c.input(0).dtype, full});
    return Status::Ok();
  }
  static std::string EmbedRule(std::span<const Shape>, std::span<const Shape> out,
                               const Attrs& attrs) {
    const ViewAxes axes = V::Axes(out[0], attrs);
    return axes.view + "->" + axes.base + "; linear 0; monotone 0";
  }
  static Attrs LocalEmbed(const Attrs& attrs, std::span<const Shape>, std::span<const Shape> out) {
    Attrs local = attrs;
    local.Set("shape", DimsOf(out[0]));
    return local;
  }
  static Status RunEmbed(op::KernelContext& c) {
    const op::TensorView& out = c.outputs[0];
    OFL_ASSIGN(const op::ViewGeometry view, V::Geometry(out.meta.shape, out.strides, *c.attrs));
    if (c.inputs[0].numel() != out.numel()) ZeroBox(c.stream, out);
    CopyBox(c.stream, c.inputs[0], ViewOf(out, view));
    return Status::Ok();
  }
  static void GradEmbed(op::GradContext& c) {
    if (c.grads[0] && c.Needs(0)) c.Set(0, c.b.Call(V::kView, {c.grads[0]}, V::View(c.attrs)));
  }

  // --- the base with the view replaced
  static Status InferPut(op::InferContext& c) {
    OFL_TRY(RequireSameDType(c, 0, 1, "base and value"));
    OFL_ASSIGN(const op::ViewGeometry view, Dense(c.input(0).shape, c.attrs()));
    OFL_ENSURE(c.input(1).shape == view.shape, Code::kInvalidArgument)
        << "value must have the shape of the view; expected " << view.shape;
    OFL_TRY(RequireApart(view));
    c.AddOutput(c.input(0));
    return Status::Ok();
  }
  static std::string PutRule(std::span<const Shape> in, std::span<const Shape>,
                             const Attrs& attrs) {
    const ViewAxes axes = V::Axes(in[0], attrs);
    return axes.base + "," + axes.view + "->" + axes.base +
           "; linear jointly 0 1; monotone 0 1; max jointly 0 1; min jointly 0 1";
  }
  static Status RunPut(op::KernelContext& c) {
    const op::TensorView& out = c.outputs[0];
    OFL_ASSIGN(const op::ViewGeometry view, V::Geometry(out.meta.shape, out.strides, *c.attrs));
    CopyBox(c.stream, c.inputs[0], out);
    CopyBox(c.stream, c.inputs[1], ViewOf(out, view));
    return Status::Ok();
  }
  static void GradPut(op::GradContext& c) {
    if (!c.grads[0]) return;
    if (c.Needs(0)) {
      const op::Value none = c.b.Call("full_like", {c.inputs[1]}, {{"value", int64_t{0}}});
      c.Set(0, c.b.Call(V::kPut, {c.grads[0], none}, c.attrs));
    }
    if (c.Needs(1)) c.Set(1, c.b.Call(V::kView, {c.grads[0]}, V::View(c.attrs)));
  }

  // The operator that users call: a value of another dtype is converted, as in an assignment.
  static op::Values Scatter(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
    op::Value value = in[1];
    if (value->meta().dtype != in[0]->meta().dtype)
      value = b.Call("cast", {value}, {{"dtype", in[0]->meta().dtype}});
    return {b.Call(V::kPut, {in[0], value}, attrs)};
  }

  // --- definitions: everything but attributes, names, samples and the oracle
  static op::OpDefBuilder& DefineView(op::OpDefBuilder& op, const char* doc, op::GradFn grad,
                                      const char* write_back) {
    op.Doc(doc)
        .In("input")
        .Out("output")
        .Infer(InferView)
        .Sbp(ViewRule)
        .Grad(grad)
        .Flops(NoFlops)
        .Strided()
        .View(V::Geometry, write_back);
    CpuForAllTypes(op, RunView);
    return op;
  }
  static op::OpDefBuilder& DefineEmbed(op::OpDefBuilder& op, const char* doc) {
    op.Doc(doc)
        .In("grad")
        .Out("output")
        .Attr("shape", op::AttrType::kInts)
        .Infer(InferEmbed)
        .Sbp(EmbedRule)
        .LocalAttrs(LocalEmbed)
        .Grad(GradEmbed)
        .Flops(NoFlops)
        .Strided();
    CpuForAllTypes(op, RunEmbed);
    return op;
  }
  static op::OpDefBuilder& DefinePut(op::OpDefBuilder& op, const char* doc) {
    op.Doc(doc)
        .In("base")
        .In("value")
        .Out("output")
        .Infer(InferPut)
        .Sbp(PutRule)
        .Grad(GradPut)
        .Flops(NoFlops)
        .InPlace(0, 0)
        .Strided();
    CpuForAllTypes(op, RunPut);
    return op;
  }
  static op::OpDefBuilder& DefineScatter(op::OpDefBuilder& op, const char* doc) {
    return op.Doc(doc).In("base").In("value").Out("output").Compose(Scatter);
  }

  static void GradView(op::GradContext& c) {
    if (!c.grads[0] || !c.Needs(0)) return;
    Attrs attrs = c.attrs;
    attrs.Set("shape", DimsOf(c.inputs[0]->meta().shape));
    c.Set(0, c.b.Call(V::kEmbed, {c.grads[0]}, attrs));
  }

  static int64_t NoFlops(std::span<const TensorMeta>, std::span<const TensorMeta>, const Attrs&) {
    return 0;
  }
};

// The attributes of one kind of operator out of those of another, by name.
inline Attrs Picked(const Attrs& attrs, std::initializer_list<const char*> names) {
  Attrs picked;
  for (const char* name : names) picked.Set(name, *attrs.Find(name));
  return picked;
}

}  // namespace ofl::ops
