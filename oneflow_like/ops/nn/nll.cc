// nll_rows: of each row the negative of the element that its class names, and the gradient's way
// back. Classes are axis 1, or 0 of an input without a batch.
#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

int ClassAxis(int rank) { return rank > 1 ? 1 : 0; }

Status CheckRows(const op::InferContext& c, const Shape& input, int target) {
  OFL_TRY(RequireInt64(c, target, "target"));
  Shape rows = input;
  if (input.rank() > 0) rows.erase(ClassAxis(input.rank()));
  OFL_ENSURE(input.rank() > 0 && c.input(target).shape == rows, Code::kInvalidArgument)
      << "target must have input's shape without its classes; expected target.shape == " << rows;
  return Status::Ok();
}

Status InferNllRows(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, SetOf(DType::kFloat32, DType::kFloat64)));
  OFL_TRY(CheckRows(c, c.input(0).shape, 1));
  c.AddOutput({c.input(0).dtype, c.input(1).shape});
  return Status::Ok();
}

Status InferNllRowsGrad(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, SetOf(DType::kFloat32, DType::kFloat64)));
  OFL_TRY(RequireInt64(c, 1, "target"));
  const int64_t classes = c.attr<int64_t>("classes");
  OFL_ENSURE(classes >= 0 && c.input(0).shape == c.input(1).shape, Code::kInvalidArgument)
      << "grad must have one value for each row of at least 0 classes";
  std::vector<int64_t> dims = DimsOf(c.input(0).shape);
  dims.insert(dims.begin() + (dims.empty() ? 0 : 1), classes);
  OFL_ASSIGN(const Shape shape, Shape::Checked(dims));
  c.AddOutput({c.input(0).dtype, shape});
  return Status::Ok();
}

// The axes of the rows and of all elements.
std::pair<std::string, std::string> AxesOf(int rank) {
  std::string rows = "(", all = "(";
  for (int i = 0; i < rank; ++i) {
    const bool classes = i == ClassAxis(rank);
    const std::string label = classes ? "c " : "n" + std::to_string(i) + " ";
    all += label;
    if (!classes) rows += label;
  }
  return {rows + ")", all + ")"};
}

std::string NllRowsRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const auto [rows, all] = AxesOf(in[0].rank());
  return all + "," + rows + "->" + rows + "; reduce c by sum; offset c; linear 0; antitone 0";
}

std::string NllRowsGradRule(std::span<const Shape>, std::span<const Shape> out, const Attrs&) {
  const auto [rows, all] = AxesOf(out[0].rank());
  return rows + "," + rows + "->" + all + "; offset c; linear 0; antitone 0";
}

// Places of `shape`'s elements: (outer, classes, inner), and which of the classes of the logical
// tensor these are.
struct Layout {
  int64_t outer, classes, inner, first, all;
  Layout(const Shape& shape, const Shape& offset, const Shape& logical) {
    const int axis = ClassAxis(shape.rank());
    outer = ProductOf(shape, 0, axis);
    classes = shape[axis];
    inner = ProductOf(shape, axis + 1, shape.rank());
    first = offset[axis];
    all = logical[axis];
  }
  // body(row, place of its class among the elements) for each row whose class is here, and
  // none(row) for each other one.
  template <class Body, class None>
  Status ForRows(const int64_t* target, int64_t ignored, const Body& body, const None& none) const {
    for (int64_t o = 0, row = 0; o < outer; ++o) {
      for (int64_t i = 0; i < inner; ++i, ++row) {
        const int64_t k = target[row];
        OFL_ENSURE((k >= 0 && k < all) || k == ignored, Code::kOutOfRange)
            << "[nll_loss] a target is not a class: got " << k << " at position " << row
            << "; expected 0 <= target < " << all << " or ignore_index=" << ignored;
        const int64_t own = k - first;
        if (k != ignored && own >= 0 && own < classes) {
          body(row, (o * classes + own) * inner + i);
        } else {
          none(row);
        }
      }
    }
    return Status::Ok();
  }
};

template <class T>
Status RunNllRows(op::KernelContext& c) {
  const T* x = c.inputs[0].as<T>();
  T* y = c.outputs[0].as<T>();
  const Layout layout(c.inputs[0].meta.shape, c.input_offsets[0], c.logical_inputs[0].shape);
  return layout.ForRows(
      c.inputs[1].as<int64_t>(), c.attr<int64_t>("ignore_index"),
      [&](int64_t row, int64_t at) { y[row] = -x[at]; }, [&](int64_t row) { y[row] = T(0); });
}

template <class T>
Status RunNllRowsGrad(op::KernelContext& c) {
  ZeroBox(c.stream, c.outputs[0]);
  const T* grad = c.inputs[0].as<T>();
  T* dx = c.outputs[0].as<T>();
  const Layout layout(c.outputs[0].meta.shape, c.output_offsets[0], c.logical_outputs[0].shape);
  return layout.ForRows(
      c.inputs[1].as<int64_t>(), c.attr<int64_t>("ignore_index"),
      [&](int64_t row, int64_t at) { dx[at] = -grad[row]; }, [](int64_t) {});
}

void GradNllRows(op::GradContext& c) {
  if (!c.Needs(0) || c.grads[0] == nullptr) return;
  const Shape& shape = c.inputs[0]->meta().shape;
  c.Set(0, c.b.Call("nll_rows_grad", {c.grads[0], c.inputs[1]},
                    {{"classes", shape[ClassAxis(shape.rank())]},
                     {"ignore_index", c.attrs.Get<int64_t>("ignore_index")}}));
}

void GradNllRowsGrad(op::GradContext& c) {
  if (!c.Needs(0) || c.grads[0] == nullptr) return;
  c.Set(0, c.b.Call("nll_rows", {c.grads[0], c.inputs[1]},
                    {{"ignore_index", c.attrs.Get<int64_t>("ignore_index")}}));
}

Attrs LocalClasses(const Attrs& attrs, std::span<const Shape>, std::span<const Shape> outputs) {
  Attrs local = attrs;
  local.Set("classes", outputs[0][ClassAxis(outputs[0].rank())]);
  return local;
}

op::Sample RowsOf(DType dtype, Shape first, Shape rows, Attrs attrs, double classes) {
  op::Sample s{{{dtype, first}, {DType::kInt64, rows}}, std::move(attrs)};
  s.low = 0, s.high = classes;  // what suits both operands
  s.ranges = {{-2, 2}, {0, classes}};
  return s;
}

}  // namespace

OFL_OP(nll_rows) {
  constexpr DType kF = DType::kFloat32, kD = DType::kFloat64;
  op.Doc(
        "The negative of input (N, C, ...) at each row's class, and 0 where target is "
        "ignore_index.")
      .In("input")
      .In("target")
      .Out("loss")
      .Attr("ignore_index", op::AttrType::kInt, int64_t{-100})
      .Infer(InferNllRows)
      .Sbp(NllRowsRule)
      .Grad(GradNllRows)
      .Oracle("nll_rows(input, target, ignore_index)")
      .Py("nll_rows(input, target, *, ignore_index=-100)")
      .Cpu(kF, RunNllRows<float>)
      .Cpu(kD, RunNllRows<double>)
      .Samples([]() -> std::vector<op::Sample> {
        const Attrs some = {{"ignore_index", int64_t{1}}};
        return {RowsOf(kF, {5, 4}, {5}, some, 4), RowsOf(kF, {2, 3, 4}, {2, 4}, {}, 3),
                RowsOf(kF, {4}, {}, {}, 4), RowsOf(kD, {2, 3, 2, 2}, {2, 2, 2}, some, 3),
                RowsOf(kF, {0, 3}, {0}, {}, 3)};
      })
      .ErrorSamples({{{{kF, {5, 4}}, {DType::kInt64, {4}}},
                      {},
                      Code::kInvalidArgument,
                      "without its classes"}});
}

OFL_OP(nll_rows_grad) {
  constexpr DType kF = DType::kFloat32, kD = DType::kFloat64;
  op.Doc("Gradient of nll_rows: the negative of grad at each row's class, 0 elsewhere.")
      .In("grad")
      .In("target")
      .Out("input_grad")
      .Attr("classes", op::AttrType::kInt)
      .Attr("ignore_index", op::AttrType::kInt, int64_t{-100})
      .Infer(InferNllRowsGrad)
      .Sbp(NllRowsGradRule)
      .LocalAttrs(LocalClasses)
      .Grad(GradNllRowsGrad)
      .Oracle("nll_rows_grad(grad, target, classes, ignore_index)")
      .Py("nll_rows_grad(grad, target, *, classes, ignore_index=-100)")
      .Cpu(kF, RunNllRowsGrad<float>)
      .Cpu(kD, RunNllRowsGrad<double>)
      .Samples([]() -> std::vector<op::Sample> {
        const Attrs of4 = {{"classes", int64_t{4}}, {"ignore_index", int64_t{1}}};
        const Attrs of3 = {{"classes", int64_t{3}}};
        return {RowsOf(kF, {5}, {5}, of4, 4), RowsOf(kF, {2, 4}, {2, 4}, of3, 3),
                RowsOf(kD, {}, {}, of4, 4), RowsOf(kF, {0}, {0}, of3, 3)};
      })
      .ErrorSamples({{{{kF, {5}}, {DType::kInt64, {4}}},
                      {{"classes", int64_t{3}}},
                      Code::kInvalidArgument,
                      "one value for each row"}});
}

}  // namespace ofl::ops
