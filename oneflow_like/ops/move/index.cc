// index: elements by a tensor of indices for each of several axes; index_put writes them. What
// x[...] is made of where an index is a tensor.
#include <algorithm>

#include "oneflow_like/ops/move/indices.h"

namespace ofl::ops {
namespace {

// Inputs `from` and later are indices of axes dim, dim + 1, ...: int64, of one shape. The shape of
// what they pick: those axes make way for it.
Result<Shape> PickedShape(const op::InferContext& c, const Shape& x, int from) {
  const int count = c.num_inputs() - from;
  const int64_t dim = c.attr<int64_t>("dim");
  OFL_ENSURE(count > 0 && dim >= 0 && dim <= x.rank() - count, Code::kInvalidArgument)
      << "there is not one axis for each index; expected 0 <= dim and dim + " << count
      << " <= " << x.rank();
  for (int i = from; i < c.num_inputs(); ++i) {
    OFL_TRY(RequireInt64(c, i, "an index"));
    OFL_ENSURE(c.input(i).shape == c.input(from).shape, Code::kInvalidArgument)
        << "the shapes of the indices differ; expected one shape; broadcast them first";
  }
  std::vector<int64_t> dims;
  for (int i = 0; i < dim; ++i) dims.push_back(x[i]);
  for (int64_t n : c.input(from).shape) dims.push_back(n);
  for (int i = static_cast<int>(dim) + count; i < x.rank(); ++i) dims.push_back(x[i]);
  return Shape::Checked(dims);
}

Status InferIndex(op::InferContext& c) {
  OFL_ASSIGN(const Shape picked, PickedShape(c, c.input(0).shape, 1));
  c.AddOutput({c.input(0).dtype, picked});
  return Status::Ok();
}

Status InferIndexPut(op::InferContext& c) {
  OFL_TRY(RequireSameDType(c, 0, 1, "input and values"));
  OFL_ENSURE(!c.attr<bool>("accumulate") || !IsFloat8(c.input(0).dtype), Code::kTypeMismatch)
      << "nothing is added in a storage type; convert with .to(dtype)";
  OFL_ASSIGN(const Shape picked, PickedShape(c, c.input(0).shape, 2));
  OFL_ENSURE(c.input(1).shape == picked, Code::kInvalidArgument)
      << "values must have the shape that the indices pick; expected " << picked;
  c.AddOutput(c.input(0));
  return Status::Ok();
}

Status InferIndexGrad(op::InferContext& c) {
  OFL_TRY(RequireDifferentiable(c, 0, "grad"));
  OFL_ASSIGN(const Shape full, Shape::Checked(c.attr<std::vector<int64_t>>("shape")));
  OFL_ASSIGN(const Shape picked, PickedShape(c, full, 1));
  OFL_ENSURE(c.input(0).shape == picked, Code::kInvalidArgument)
      << "grad must have the shape that the indices pick; expected " << picked;
  c.AddOutput({c.input(0).dtype, full});
  return Status::Ok();
}

// The axes of the tensor and of what is picked of it, and of an index, as rules write them.
struct RuleAxes {
  std::string whole, picked, index;
};
RuleAxes AxesOf(const Shape& x, const Shape& index, int count, int dim, bool splits) {
  RuleAxes axes{"(", "(", "("};
  for (int i = 0; i < dim; ++i) axes.picked += "a" + std::to_string(i) + " ";
  for (int i = 0; i < x.rank(); ++i)
    axes.whole += (i >= dim && i < dim + count ? "v" : "a") + std::to_string(i) + " ";
  for (int i = 0; i < index.rank(); ++i)
    axes.index += splits ? "i" + std::to_string(i) + " " : std::string("! ");
  axes.picked += axes.index.substr(1);
  for (int i = dim + count; i < x.rank(); ++i) axes.picked += "a" + std::to_string(i) + " ";
  for (std::string* text : {&axes.whole, &axes.picked, &axes.index}) *text += ")";
  return axes;
}

std::string IndexRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const int count = static_cast<int>(in.size()) - 1,
            dim = static_cast<int>(attrs.Get<int64_t>("dim"));
  const RuleAxes axes = AxesOf(in[0], in[1], count, dim, true);
  std::string text = axes.whole;
  for (int i = 0; i < count; ++i) text += "," + axes.index;
  text += "->" + axes.picked + "; linear 0; monotone 0";
  for (int i = dim; i < dim + count; ++i)
    text += "; reduce v" + std::to_string(i) + " by sum; offset v" + std::to_string(i);
  return text;
}

std::string IndexGradRule(std::span<const Shape> in, std::span<const Shape> out,
                          const Attrs& attrs) {
  const int count = static_cast<int>(in.size()) - 1;
  const int dim = static_cast<int>(attrs.Get<int64_t>("dim")), rank = in[1].rank();
  const RuleAxes axes = AxesOf(out[0], in[1], count, dim, true);
  std::string text = axes.picked;
  for (int i = 0; i < count; ++i) text += "," + axes.index;
  text += "->" + axes.whole + "; linear 0";
  for (int i = 0; i < rank; ++i) text += "; reduce i" + std::to_string(i) + " by sum";
  for (int i = dim; i < dim + count; ++i) text += "; offset v" + std::to_string(i);
  return text;
}

std::string IndexPutRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const int count = static_cast<int>(in.size()) - 2,
            dim = static_cast<int>(attrs.Get<int64_t>("dim"));
  const RuleAxes axes = AxesOf(in[0], in[2], count, dim, false);
  std::string text = axes.whole + "," + axes.picked;
  for (int i = 0; i < count; ++i) text += "," + axes.index;
  text += "->" + axes.whole + "; linear jointly 0 1";
  text += attrs.Get<bool>("accumulate") ? "; never partial max min"
                                        : "; monotone 0 1; max jointly 0 1; min jointly 0 1";
  for (int i = dim; i < dim + count; ++i) text += "; offset v" + std::to_string(i);
  return text;
}

// A tensor seen around the axes that are indexed, or around what stands in their place.
struct Around {
  Shape before, middle, after;
  Strides outer, between, inner;
};
Around Cut(const op::TensorView& x, int dim, int count) {
  const auto shape = x.meta.shape.dims();
  const auto strides = x.strides.dims();
  return {Shape(shape.first(dim)),
          Shape(shape.subspan(dim, count)),
          Shape(shape.subspan(dim + count)),
          Strides(strides.first(dim)),
          Strides(strides.subspan(dim, count)),
          Strides(strides.subspan(dim + count))};
}

int64_t OffsetIn(const Shape& shape, const Strides& strides, int64_t index) {
  int64_t offset = 0;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    offset += index % shape[i] * strides[i];
    index /= shape[i];
  }
  return offset;
}

// One call: `whole`, what is picked, and where the places lie in `whole`.
struct Pick {
  Around whole, picked;
  const int64_t* places;
  int64_t outer, count, tail;

  Pick(const op::TensorView& x, const op::TensorView& y, int dim, int axes, int index_rank,
       const int64_t* at)
      : whole(Cut(x, dim, axes)),
        picked(Cut(y, dim, index_rank)),
        places(at),
        outer(whole.before.numel()),
        count(picked.middle.numel()),
        tail(whole.after.numel()) {}

  // How far apart the places lie in what is picked, where that is one distance for all; else 0.
  int64_t Step() const {
    const int last = picked.middle.rank() - 1;
    if (last < 0) return 1;
    const int64_t step = picked.between[last];
    int64_t next = step;
    for (int i = last; i >= 0; next *= picked.middle[i--])
      if (picked.middle[i] != 1 && picked.between[i] != next) return 0;
    return step;
  }

  // body(offset in whole or kElsewhere, offset in picked) for each outer index and each place in
  // their order; `shared` says that places, not only outer indices, may be shared out to threads.
  template <class Body>
  void ForEach(device::Stream* stream, bool shared, const Body& body) const {
    const int64_t each = shared ? 1 : count, step = Step();
    Parallel(
        stream, shared ? outer * count : outer, RowGrain(each * (tail + 2)),
        [&](int64_t begin, int64_t end) {
          int64_t row = begin * each;
          while (row < end * each) {
            const int64_t o = row / count, first = row % count;
            const int64_t last = std::min(count, first + end * each - row);
            const int64_t at_whole = OffsetIn(whole.before, whole.outer, o);
            const int64_t at_picked = OffsetIn(picked.before, picked.outer, o);
            for (int64_t p = first; p < last; ++p) {
              const int64_t to = step != 0 ? p * step : OffsetIn(picked.middle, picked.between, p);
              body(places[p] == kElsewhere ? kElsewhere : at_whole + places[p], at_picked + to);
            }
            row += last - first;
          }
        });
  }
};

int64_t PlacesBytes(const TensorMeta& index) { return SaturatingMul(index.shape.numel(), 8); }
int64_t IndexBound(std::span<const TensorMeta> in, std::span<const TensorMeta>, const Attrs&, int) {
  return PlacesBytes(in[1]);
}
int64_t IndexPutBound(std::span<const TensorMeta> in, std::span<const TensorMeta>,
                      const Attrs& attrs, int) {
  const int64_t places = PlacesBytes(in[2]);
  if (!attrs.Get<bool>("accumulate")) return places;
  return SaturatingAdd(places, SaturatingAdd(WidenedBytes(in[0]), WidenedBytes(in[1])));
}

// A place outside this shard of the axes is zero here: another rank adds it.
Status RunIndex(op::KernelContext& c) {
  const op::TensorView &x = c.inputs[0], &y = c.outputs[0];
  const int dim = static_cast<int>(c.attr<int64_t>("dim"));
  const auto indices = c.inputs.subspan(1);
  const int axes = static_cast<int>(indices.size());
  auto* places = reinterpret_cast<int64_t*>(c.workspace.data());
  OFL_TRY(Locate("index", indices, dim, c.logical_inputs[0].shape, c.input_offsets[0], x, x.strides,
                 places));
  if (y.numel() == 0) return Status::Ok();
  const Pick pick(x, y, dim, axes, indices[0].meta.shape.rank(), places);
  const int64_t size = ElementSize(y);
  const bool runs =
      IsDense(pick.whole.after, pick.whole.inner) && IsDense(pick.whole.after, pick.picked.inner);
  if (pick.tail == 1) {
    WithBits(size, [&]<class T>(T) {
      const T* source = x.as<T>();
      T* target = y.as<T>();
      pick.ForEach(c.stream, true, [=](int64_t from, int64_t to) {
        target[to] = from == kElsewhere ? T{} : source[from];
      });
    });
    return Status::Ok();
  }
  pick.ForEach(c.stream, true, [&](int64_t from, int64_t to) {
    std::byte* target = y.as<std::byte>() + to * size;
    std::byte* source = from == kElsewhere ? nullptr : x.as<std::byte>() + from * size;
    const op::TensorView slice(target, {y.meta.dtype, pick.whole.after}, pick.picked.inner);
    if (runs && source != nullptr) {
      std::memcpy(target, source, pick.tail * size);
    } else if (source != nullptr) {
      CopyBox(nullptr, {source, slice.meta, pick.whole.inner}, slice);
    } else {
      ZeroBox(nullptr, slice);
    }
  });
  return Status::Ok();
}

template <class T>
void AddPicked(device::Stream* stream, const Pick& pick, const op::TensorView& value,
               const op::TensorView& sums) {
  const int last = pick.whole.after.rank() - 1;
  const int64_t from_step = last < 0 ? 0 : pick.picked.inner[last];
  const int64_t to_step = last < 0 ? 0 : pick.whole.inner[last];
  if (pick.tail == 1) {
    const T* source = value.as<T>();
    T* target = sums.as<T>();
    pick.ForEach(stream, false, [=](int64_t to, int64_t from) {
      if (to != kElsewhere) target[to] = Plus(target[to], source[from]);
    });
    return;
  }
  pick.ForEach(stream, false, [&](int64_t to, int64_t from) {
    if (to == kElsewhere) return;
    ForRows<2>(pick.whole.after, {pick.picked.inner, pick.whole.inner}, 0, pick.tail,
               [&](const auto& offset, int64_t n) {
                 const T* source = value.as<T>() + from + offset[0];
                 T* target = sums.as<T>() + to + offset[1];
                 for (int64_t j = 0; j < n; ++j)
                   target[j * to_step] = Plus(target[j * to_step], source[j * from_step]);
               });
  });
}

// In the order of the indices, whatever the number of threads: of equal ones the last is kept.
Status RunIndexPut(op::KernelContext& c) {
  const op::TensorView &x = c.inputs[0], &y = c.outputs[0];
  const int dim = static_cast<int>(c.attr<int64_t>("dim"));
  const auto indices = c.inputs.subspan(2);
  const int axes = static_cast<int>(indices.size()), index_rank = indices[0].meta.shape.rank();
  auto* places = reinterpret_cast<int64_t*>(c.workspace.data());
  std::byte* scratch = c.workspace.data() + PlacesBytes(indices[0].meta);
  const bool accumulate = c.attr<bool>("accumulate");
  const bool wide = accumulate && SumsIn(y.meta.dtype) != y.meta.dtype;
  op::TensorView value = c.inputs[1], sums = y;
  if (!wide) {
    OFL_TRY(Locate("index_put", indices, dim, c.logical_inputs[0].shape, c.output_offsets[0], y,
                   y.strides, places));
    CopyBox(c.stream, x, y);
  } else {
    OFL_ASSIGN(sums, Widened(c.stream, x, scratch));
    OFL_ASSIGN(value, Widened(c.stream, value, scratch));
    OFL_TRY(Locate("index_put", indices, dim, c.logical_inputs[0].shape, c.output_offsets[0], sums,
                   sums.strides, places));
  }
  if (value.numel() > 0 && y.numel() > 0) {
    const Pick pick(sums, value, dim, axes, index_rank, places);
    const int64_t size = ElementSize(y);
    if (accumulate) {
      WithSums(sums.meta.dtype, [&]<class T>(T) { AddPicked<T>(c.stream, pick, value, sums); });
    } else if (pick.tail == 1) {
      WithBits(size, [&]<class T>(T) {
        pick.ForEach(c.stream, false, [&](int64_t to, int64_t from) {
          if (to != kElsewhere) y.as<T>()[to] = value.as<T>()[from];
        });
      });
    } else {
      pick.ForEach(c.stream, false, [&](int64_t to, int64_t from) {
        if (to == kElsewhere) return;
        const TensorMeta slice{y.meta.dtype, pick.whole.after};
        CopyBox(nullptr, {value.as<std::byte>() + from * size, slice, pick.picked.inner},
                {y.as<std::byte>() + to * size, slice, pick.whole.inner});
      });
    }
  }
  return wide ? CastElements(c.stream, sums, y) : Status::Ok();
}

int64_t IndexGradBound(std::span<const TensorMeta> in, std::span<const TensorMeta> out,
                       const Attrs&, int) {
  return SaturatingAdd(PlacesBytes(in[1]),
                       SaturatingAdd(WidenedBytes(in[0]), WidenedBytes(out[0])));
}

Status RunIndexGrad(op::KernelContext& c) {
  const op::TensorView& y = c.outputs[0];
  const int dim = static_cast<int>(c.attr<int64_t>("dim"));
  const auto indices = c.inputs.subspan(1);
  auto* places = reinterpret_cast<int64_t*>(c.workspace.data());
  std::byte* scratch = c.workspace.data() + PlacesBytes(indices[0].meta);
  OFL_ASSIGN(const op::TensorView grad, Widened(c.stream, c.inputs[0], scratch));
  const DType dtype = SumsIn(y.meta.dtype);
  const bool wide = dtype != y.meta.dtype;
  const op::TensorView sums = wide ? op::TensorView(scratch, {dtype, y.meta.shape}) : y;
  OFL_TRY(Locate("index", indices, dim, c.logical_outputs[0].shape, c.output_offsets[0], sums,
                 sums.strides, places));
  if (y.numel() == 0) return Status::Ok();
  ZeroBox(c.stream, sums);
  if (grad.numel() > 0) {
    const Pick pick(sums, grad, dim, static_cast<int>(indices.size()), indices[0].meta.shape.rank(),
                    places);
    WithSums(dtype, [&]<class T>(T) { AddPicked<T>(c.stream, pick, grad, sums); });
  }
  return wide ? CastElements(c.stream, sums, y) : Status::Ok();
}

Attrs LocalIndexGrad(const Attrs& attrs, std::span<const Shape>, std::span<const Shape> outputs) {
  Attrs local = attrs;
  local.Set("shape", DimsOf(outputs[0]));
  return local;
}

op::Values Joined(std::initializer_list<op::Value> head, std::span<const op::Value> indices) {
  op::Values all = head;
  all.insert(all.end(), indices.begin(), indices.end());
  return all;
}

void GradIndex(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  c.Set(0, c.b.Call("index_grad", Joined({c.grads[0]}, c.inputs.subspan(1)),
                    {{"dim", c.attrs.Get<int64_t>("dim")},
                     {"shape", DimsOf(c.inputs[0]->meta().shape)}}));
}

void GradIndexGrad(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  c.Set(0, c.b.Call("index", Joined({c.grads[0]}, c.inputs.subspan(1)),
                    {{"dim", c.attrs.Get<int64_t>("dim")}}));
}

void GradIndexPut(op::GradContext& c) {
  if (!c.grads[0]) return;
  const auto indices = c.inputs.subspan(2);
  if (c.Needs(0)) {
    if (c.attrs.Get<bool>("accumulate")) {
      c.Set(0, c.grads[0]);
    } else {
      const op::Value none = c.b.Call("zeros_like", {c.inputs[1]});
      c.Set(0, c.b.Call("index_put", Joined({c.grads[0], none}, indices), c.attrs));
    }
  }
  if (c.Needs(1))
    c.Set(1,
          c.b.Call("index", Joined({c.grads[0]}, indices), {{"dim", c.attrs.Get<int64_t>("dim")}}));
}

constexpr DType kF = DType::kFloat32, kI = DType::kInt64;

op::Sample IndexSample(Shape x, int64_t dim, int count, Shape index) {
  op::Sample s{{{kF, x}}, {{"dim", dim}}, -2, 2};  // every axis that is indexed has 2 places
  for (int i = 0; i < count; ++i) s.inputs.push_back({kI, index});
  return s;
}
op::Sample PutSample(Shape x, int64_t dim, int count, Shape index, Shape value, bool accumulate) {
  op::Sample s = IndexSample(x, dim, count, index);
  s.inputs.insert(s.inputs.begin() + 1, {kF, value});
  s.attrs.Set("accumulate", accumulate);
  return s;
}

op::Sample GradSample(Shape full, int64_t dim, int count, Shape index, Shape grad,
                      DType dtype = kF) {
  op::Sample s = IndexSample(grad, dim, count, index);
  s.inputs[0].dtype = dtype;
  s.attrs.Set("shape", DimsOf(full));
  return s;
}

}  // namespace

OFL_OP(index_grad) {
  op.Doc("Zeros of `shape` with each element of `grad` added at the place that `indices` name.")
      .In("grad")
      .InVariadic("indices")
      .Out("input_grad")
      .Attr("dim", op::AttrType::kInt, int64_t{0})
      .Attr("shape", op::AttrType::kInts)
      .Infer(InferIndexGrad)
      .Sbp(IndexGradRule)
      .LocalAttrs(LocalIndexGrad)
      .Grad(GradIndexGrad)
      .Strided()
      .Oracle("index_put(np.zeros(shape, grad.dtype), grad, indices, dim, True)")
      .Py("_index_grad(grad, indices, dim, shape)")
      .Samples([]() -> std::vector<op::Sample> {
        return {GradSample({4, 3}, 0, 1, {3}, {3, 3}),
                GradSample({2, 3, 4}, 1, 2, {2, 2}, {2, 2, 2}),
                GradSample({3, 2}, 0, 2, {}, {}),
                GradSample({2, 4, 2}, 1, 1, {0}, {2, 0, 2}),
                GradSample({4, 2}, 0, 1, {4}, {4, 2}, DType::kFloat16),
                GradSample({4, 2}, 0, 1, {4}, {4, 2}, DType::kComplex128)};
      })
      .ErrorSamples({{{{kF, {4, 3}}, {kI, {2}}},
                      {{"shape", std::vector<int64_t>{4, 3}}},
                      Code::kInvalidArgument,
                      "expected (2, 3)"}});
  for (DType dtype : AllDTypes())
    if (IsDifferentiable(dtype) && !IsFloat8(dtype)) op.Cpu(dtype, RunIndexGrad, IndexGradBound);
}

OFL_OP(index) {
  op.Doc(
        "The elements that int64 `indices` of one shape name together: one index for each axis "
        "from\n"
        "`dim` on. Those axes make way for the indices' axes. Negative ones count from the end.")
      .In("input")
      .InVariadic("indices")
      .Out("output")
      .Attr("dim", op::AttrType::kInt, int64_t{0})
      .Infer(InferIndex)
      .Sbp(IndexRule)
      .Grad(GradIndex)
      .Strided()
      .Oracle("index(input, indices, dim)")
      .Py("_index(input, indices, dim=0)")
      .Samples([] {
        return WithDTypes({IndexSample({4, 3}, 0, 1, {3}), IndexSample({2, 3, 4}, 1, 2, {2, 2}),
                           IndexSample({3, 2}, 0, 2, {}), IndexSample({2, 4, 2}, 1, 1, {0}),
                           IndexSample({3}, 0, 1, {2, 1, 3})},
                          AllDTypes(), {0});
      })
      .ErrorSamples({{{{kF, {4, 3}}, {kF, {2}}}, {}, Code::kTypeMismatch, "must be int64"},
                     {{{kF, {4}}, {kI, {2}}, {kI, {2}}}, {}, Code::kInvalidArgument, "one axis"},
                     {{{kF, {4, 3}}, {kI, {2}}, {kI, {3}}},
                      {},
                      Code::kInvalidArgument,
                      "shapes of the indices differ"}});
  CpuForAllTypes(op, RunIndex, IndexBound);
}

OFL_OP(index_put) {
  op.Doc(
        "`input` with `values` at the places that `indices` name as index reads them, or with\n"
        "`accumulate` added there. Of values for one place the last stays.")
      .In("input")
      .In("values")
      .InVariadic("indices")
      .Out("output")
      .Attr("dim", op::AttrType::kInt, int64_t{0})
      .Attr("accumulate", op::AttrType::kBool, false)
      .Infer(InferIndexPut)
      .Sbp(IndexPutRule)
      .Grad(GradIndexPut)
      .InPlace(0, 0)
      .Strided()
      .Unclaimed("B,S*->P(max)", "of truth values, whose sum is a maximum")
      .Unclaimed("P,S*->P", "of an index that is split: sums of each rank's own values")
      .Oracle("index_put(input, values, indices, dim, accumulate)")
      .Py("_index_put(input, values, indices, dim=0, accumulate=False)")
      .PyMethod("_index_put_(input, values, indices, dim=0, accumulate=False)")
      .Samples([] {
        std::vector<op::Sample> samples =
            WithDTypes({PutSample({4, 3}, 0, 1, {1}, {1, 3}, false),
                        PutSample({2, 3, 4}, 1, 2, {1, 1}, {2, 1, 1}, false),
                        PutSample({3, 2}, 0, 2, {}, {}, false)},
                       WithoutFloat8(), {0, 1});
        for (DType dtype : WithoutFloat8()) {
          samples.push_back(PutSample({4, 3}, 0, 1, {3}, {3, 3}, true));
          samples.back().inputs[0].dtype = samples.back().inputs[1].dtype = dtype;
        }
        samples.push_back(PutSample({2, 3, 4}, 0, 2, {5}, {5, 4}, true));
        samples.push_back(PutSample({2, 4, 2}, 1, 1, {0}, {2, 0, 2}, true));
        samples.push_back(PutSample({3, 5}, 1, 1, {2, 3}, {3, 2, 3}, false));
        samples.back().inputs[0].dtype = samples.back().inputs[1].dtype = DType::kInt32;
        return samples;
      })
      .ErrorSamples(
          {{{{kF, {4, 3}}, {kF, {3}}, {kI, {2}}}, {}, Code::kInvalidArgument, "expected (2, 3)"},
           {{{kF, {4}}, {DType::kFloat64, {2}}, {kI, {2}}}, {}, Code::kTypeMismatch, "one dtype"}});
  CpuForAllTypes(op, RunIndexPut, IndexPutBound);
}

}  // namespace ofl::ops
