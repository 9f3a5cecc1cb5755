// Sources whose elements follow from their places: linspace, logspace, eye, tril_indices,
// triu_indices.
#include <algorithm>
#include <cmath>
#include <complex>
#include <type_traits>
#include <vector>

#include "oneflow_like/core/integers.h"
#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

using Complex = std::complex<double>;
constexpr int64_t kMostElements = int64_t{1} << 48;

// --- linspace, logspace ---------------------------------------------------------------------

bool IsComplexNumber(const Scalar& value) { return value.category() == DTypeCategory::kComplex; }

Status InferSpace(op::InferContext& c) {
  const Scalar start = c.number("start"), end = c.number("end");
  const bool complex = IsComplexNumber(start) || IsComplexNumber(end);
  const DType* given = c.maybe<DType>("dtype");
  const DType dtype = given != nullptr ? *given : complex ? DType::kComplex64 : DType::kFloat32;
  OFL_ENSURE(dtype != DType::kBool && !IsFloat8(dtype), Code::kTypeMismatch)
      << DTypeName(dtype) << " cannot count; expected a floating, complex or integer dtype";
  OFL_ENSURE(!complex || IsComplex(dtype), Code::kTypeMismatch)
      << DTypeName(dtype) << " cannot hold complex numbers; expected a complex dtype";
  const int64_t steps = c.attr<int64_t>("steps");
  OFL_ENSURE(steps >= 0 && steps <= kMostElements, Code::kInvalidArgument)
      << "steps is no number of elements; expected at least 0, at most 2^48";
  if (IsInteger(dtype) && !c.attrs().Has("base")) {
    const int bits = static_cast<int>(8 * DTypeSize(dtype)) - (IsUnsigned(dtype) ? 0 : 1);
    for (const Scalar& bound : {start, end})
      OFL_ENSURE(std::abs(bound.As<double>()) <= std::ldexp(1.0, bits), Code::kInvalidArgument)
          << DTypeName(dtype) << " cannot hold the bounds; expected numbers in its range";
  }
  c.AddOutput({dtype, {steps}});
  return Status::Ok();
}

// from + step * place for `n` places. Of whole numbers, which are cut off, rounded once as torch
// does: there it shows.
template <class T>
void Ramp(T* y, int64_t n, int64_t place, double from, double step, bool whole) {
  constexpr int kRun = 1024;  // whose places an int holds: they become doubles in vectors
  for (int64_t done = 0; done < n; done += kRun) {
    const int run = static_cast<int>(std::min<int64_t>(kRun, n - done));
    const auto base = static_cast<double>(place + done);
    for (int i = 0; whole && i < run; ++i)
      y[done + i] = static_cast<T>(std::fma(step, base + i, from));
    for (int i = 0; !whole && i < run; ++i) y[done + i] = static_cast<T>(from + (base + i) * step);
  }
}
void Ramp(Complex* y, int64_t n, int64_t place, Complex from, Complex step, bool) {
  for (int64_t i = 0; i < n; ++i) y[i] = from + step * static_cast<double>(place + i);
}

// A space of `steps` numbers.
template <class V>
struct Space {
  explicit Space(const op::KernelContext& c)
      : whole(IsInteger(c.outputs[0].meta.dtype) && !c.attrs->Has("base")),
        steps(c.attr<int64_t>("steps")),
        start(Bound(c, "start")),
        end(Bound(c, "end")),
        step(steps > 1 ? (end - start) / static_cast<double>(steps - 1) : V{}) {}

  // Elements [first, first + n), counted from the nearer end, so that both ends are exact.
  template <class T>
  void Fill(T* y, int64_t first, int64_t n) const {
    const int64_t half = steps == 1 ? 1 : steps / 2;
    const int64_t left = std::clamp<int64_t>(half - first, 0, n);
    Ramp(y, left, first, start, step, whole);
    Ramp(y + left, n - left, first + left - (steps - 1), end, step, whole);
  }

  bool whole;
  int64_t steps;
  V start, end, step;

 private:
  // Integers are counted from integers.
  V Bound(const op::KernelContext& c, const char* name) const {
    const Scalar number = c.number(name);
    if (!whole) return number.As<V>();
    const bool wraps = c.outputs[0].meta.dtype == DType::kUInt8;
    return V(static_cast<double>(wraps ? int64_t{number.As<uint8_t>()} : number.As<int64_t>()));
  }
};

// Computed in double, or in complex numbers of it, and rounded once.
template <class V, DType kWide>
Status FillSpace(op::KernelContext& c) {
  constexpr int64_t kTile = 1024;
  const op::TensorView& y = c.outputs[0];
  const DType dtype = y.meta.dtype;
  const Space<V> space(c);
  const bool powers = c.attrs->Has("base");
  const auto base = powers ? c.attr<double>("base") : 0.0;
  const int64_t first = c.output_offsets[0][0];
  if constexpr (std::is_same_v<V, double>) {
    if (dtype == DType::kFloat32 && !powers)
      return space.Fill(y.as<float>(), first, y.numel()), Status::Ok();
  }
  const auto size = static_cast<int64_t>(DTypeSize(dtype));
  for (int64_t done = 0; done < y.numel(); done += kTile) {
    const int64_t n = std::min(kTile, y.numel() - done);
    V values[kTile];
    space.Fill(values, first + done, n);
    for (int64_t i = 0; powers && i < n; ++i) values[i] = std::pow(base, values[i]);
    OFL_TRY(CastElements(c.stream, {values, {kWide, {n}}},
                         {y.as<std::byte>() + done * size, {dtype, {n}}}));
  }
  return Status::Ok();
}

op::OpDefBuilder& DefineSpace(op::OpDefBuilder& op, const char* doc) {
  op.Doc(doc)
      .Out("output")
      .Attr("start", op::AttrType::kScalar)
      .Attr("end", op::AttrType::kScalar)
      .Attr("steps", op::AttrType::kInt)
      .OptionalAttr("dtype", op::AttrType::kDType)
      .Infer(InferSpace)
      .Sbp("->(n); offset n")
      .NotDifferentiable("it has no tensor inputs")
      .Traits({op::Trait::kSource});
  for (DType dtype : AllDTypes()) {
    if (dtype == DType::kBool || IsFloat8(dtype)) continue;
    op.Cpu(dtype, IsComplex(dtype) ? FillSpace<Complex, DType::kComplex128>
                                   : FillSpace<double, DType::kFloat64>);
  }
  return op;
}

op::Sample SpaceOf(Scalar start, Scalar end, int64_t steps, Attrs attrs = {}) {
  attrs.Set("start", start);
  attrs.Set("end", end);
  attrs.Set("steps", steps);
  return {{}, std::move(attrs)};
}
std::vector<op::Sample> SpaceSamples() {
  std::vector<op::Sample> samples = {SpaceOf(0, 1, 5), SpaceOf(2.5, -1, 4), SpaceOf(3, 5, 1),
                                     SpaceOf(0, 1, 0), SpaceOf(0, Complex(1, 1), 3)};
  for (DType dtype : {DType::kFloat64, DType::kFloat16, DType::kBFloat16, DType::kInt64,
                      DType::kInt32, DType::kInt8, DType::kComplex128})
    samples.push_back(SpaceOf(0, 3, 4, {{"dtype", dtype}}));
  return samples;
}
std::vector<op::ErrorSample> SpaceErrors() {
  return {{{}, SpaceOf(0, 1, -1).attrs, Code::kInvalidArgument, "expected at least 0"},
          {{},
           SpaceOf(0, 1, 2, {{"dtype", DType::kBool}}).attrs,
           Code::kTypeMismatch,
           "bool cannot count"},
          {{},
           SpaceOf(0, Complex(1, 1), 2, {{"dtype", DType::kFloat32}}).attrs,
           Code::kTypeMismatch,
           "cannot hold complex numbers"}};
}

// --- eye ------------------------------------------------------------------------------------

Status InferEye(op::InferContext& c) {
  const int64_t rows = c.attr<int64_t>("n");
  const int64_t* given = c.maybe<int64_t>("m");
  const int64_t columns = given == nullptr ? rows : *given;
  OFL_ENSURE(rows >= 0 && columns >= 0, Code::kInvalidArgument)
      << "sizes must not be negative; expected no negative dimension";
  const DType* dtype = c.maybe<DType>("dtype");
  c.AddOutput({dtype == nullptr ? DType::kFloat32 : *dtype, {rows, columns}});
  return Status::Ok();
}

Attrs LocalEye(const Attrs& attrs, std::span<const Shape>, std::span<const Shape> out) {
  Attrs local = attrs;
  local.Set("n", out[0][0]);
  local.Set("m", out[0][1]);
  return local;
}

Status RunEye(op::KernelContext& c) {
  const op::TensorView& y = c.outputs[0];
  ZeroBox(c.stream, y);
  // The first element of the diagonal that this shard has.
  const int64_t ahead = c.output_offsets[0][0] - c.output_offsets[0][1];
  const int64_t row = std::max<int64_t>(-ahead, 0), column = row + ahead;
  const int64_t count = std::min(y.meta.shape[0] - row, y.meta.shape[1] - column);
  if (count <= 0) return Status::Ok();
  op::ViewGeometry diagonal{{count}, {y.strides[0] + y.strides[1]}, 0};
  diagonal.offset = row * y.strides[0] + column * y.strides[1];
  FillElements(c.stream, 1, ViewOf(y, diagonal));
  return Status::Ok();
}

// --- tril_indices, triu_indices -------------------------------------------------------------

// The columns of a row that belong to a triangle: [from, to).
struct Columns {
  int64_t from, to;
};
template <bool kLower>
Columns ColumnsOf(int64_t row, int64_t width, int64_t offset) {
  const int64_t bound = std::clamp<int64_t>(row + offset + (kLower ? 1 : 0), 0, width);
  return kLower ? Columns{0, bound} : Columns{bound, width};
}

// Elements below a staircase that grows by one each row from `first` on, cut to [0, width].
int64_t Below(int64_t rows, int64_t width, int64_t first) {
  const int64_t empty = std::clamp<int64_t>(-first, 0, rows);
  const int64_t growing = std::clamp<int64_t>(width - first, 0, rows) - empty;
  const __int128 start = std::max<int64_t>(first, 0);
  const __int128 stairs = growing > 0 ? growing * start + __int128{growing} * (growing - 1) / 2 : 0;
  const __int128 full = __int128{rows - empty - std::max<int64_t>(growing, 0)} * width;
  return static_cast<int64_t>(std::min<__int128>(stairs + full, INT64_MAX));
}

template <bool kLower>
Status InferIndices(op::InferContext& c) {
  const int64_t rows = c.attr<int64_t>("row"), width = c.attr<int64_t>("col");
  OFL_ENSURE(rows >= 0 && width >= 0 && rows <= kMostElements && width <= kMostElements,
             Code::kInvalidArgument)
      << "row and col are sizes; expected numbers of at least 0";
  const DType dtype = c.attr<DType>("dtype");
  OFL_ENSURE(dtype == DType::kInt64 || dtype == DType::kInt32, Code::kTypeMismatch)
      << "indices are integers; expected dtype int64 or int32";
  const int64_t offset = std::clamp(c.attr<int64_t>("offset"), -kMostElements, kMostElements);
  const int64_t lower = Below(rows, width, offset + (kLower ? 1 : 0));
  const __int128 all = __int128{rows} * width;
  const __int128 count = kLower ? __int128{lower} : all - lower;
  c.AddOutput({dtype, {2, static_cast<int64_t>(std::min<__int128>(count, INT64_MAX))}});
  return Status::Ok();
}

template <class T, bool kLower>
void FillIndices(op::KernelContext& c) {
  const op::TensorView& y = c.outputs[0];
  const int64_t rows = c.attr<int64_t>("row"), width = c.attr<int64_t>("col");
  const int64_t offset = std::clamp(c.attr<int64_t>("offset"), -kMostElements, kMostElements);
  T *row_of = y.as<T>(), *column_of = y.as<T>() + y.meta.shape[1];
  for (int64_t row = 0; row < rows; ++row) {
    const Columns columns = ColumnsOf<kLower>(row, width, offset);
    for (int64_t column = columns.from; column < columns.to; ++column) {
      *row_of++ = static_cast<T>(row);
      *column_of++ = static_cast<T>(column);
    }
  }
}
template <bool kLower>
Status RunIndices(op::KernelContext& c) {
  if (c.outputs[0].numel() == 0) return Status::Ok();
  if (c.outputs[0].meta.dtype == DType::kInt64) {
    FillIndices<int64_t, kLower>(c);
  } else {
    FillIndices<int32_t, kLower>(c);
  }
  return Status::Ok();
}

template <bool kLower>
op::OpDefBuilder& Indices(op::OpDefBuilder& op, const char* doc) {
  op.Doc(doc)
      .Out("output")
      .Attr("row", op::AttrType::kInt)
      .Attr("col", op::AttrType::kInt)
      .Attr("offset", op::AttrType::kInt, int64_t{0})
      .Attr("dtype", op::AttrType::kDType, DType::kInt64)
      .Infer(InferIndices<kLower>)
      .Sbp("->(! !)")
      .NotDifferentiable("it has no tensor inputs")
      .Traits({op::Trait::kSource})
      .Samples([] {
        std::vector<op::Sample> samples;
        for (const auto& [row, col, offset] : std::vector<std::array<int64_t, 3>>{
                 {3, 3, 0}, {3, 4, 1}, {4, 3, -1}, {0, 3, 0}, {2, 3, 5}, {2, 3, -5}, {5, 2, 1}})
          samples.push_back({{}, {{"row", row}, {"col", col}, {"offset", offset}}});
        samples.push_back(
            {{}, {{"row", int64_t{2}}, {"col", int64_t{2}}, {"dtype", DType::kInt32}}});
        return samples;
      })
      .ErrorSamples(
          {{{}, {{"row", int64_t{-1}}, {"col", int64_t{2}}}, Code::kInvalidArgument, "at least 0"},
           {{},
            {{"row", int64_t{1}}, {"col", int64_t{2}}, {"dtype", DType::kFloat32}},
            Code::kTypeMismatch,
            "int64 or int32"}});
  for (DType dtype : {DType::kInt64, DType::kInt32}) op.Cpu(dtype, RunIndices<kLower>);
  return op;
}

}  // namespace

OFL_OP(linspace) {
  DefineSpace(op, "`steps` numbers from start to end, both included, at equal distances.")
      .Oracle("linspace(start, end, steps, dtype)")
      .Py("linspace(start, end, steps, *, dtype=None)")
      .Public()
      .Samples(SpaceSamples)
      .ErrorSamples(SpaceErrors());
}

OFL_OP(logspace) {
  DefineSpace(op, "`base` to the power of `steps` numbers from start to end at equal distances.")
      .Attr("base", op::AttrType::kFloat, 10.0)
      .Oracle("logspace(start, end, steps, base)")
      .Py("logspace(start, end, steps, base=10.0, *, dtype=None)")
      .Public()
      .Samples([] {
        std::vector<op::Sample> samples = SpaceSamples();
        for (op::Sample& s : samples) s.attrs.Set("base", 2.0);
        samples.push_back(SpaceOf(0, 2, 3));
        return samples;
      })
      .ErrorSamples(SpaceErrors());
}

OFL_OP(eye) {
  op.Doc("A matrix of zeros with ones on its diagonal.")
      .Out("output")
      .Attr("n", op::AttrType::kInt)
      .OptionalAttr("m", op::AttrType::kInt)
      .OptionalAttr("dtype", op::AttrType::kDType)
      .Infer(InferEye)
      .Sbp("->(r c); offset r c")
      .NotDifferentiable("it has no tensor inputs")
      .LocalAttrs(LocalEye)
      .Traits({op::Trait::kSource})
      .Oracle("np.eye(n, m)")
      .Py("eye(n, m=None, *, dtype=None)")
      .Public()
      .Samples([] {
        std::vector<op::Sample> samples;
        for (const auto& [n, m] :
             std::vector<std::pair<int64_t, int64_t>>{{3, 3}, {2, 5}, {5, 2}, {0, 3}, {1, 1}})
          samples.push_back({{}, {{"n", n}, {"m", m}}});
        samples.push_back({{}, {{"n", int64_t{3}}}});
        for (DType dtype : AllDTypes())
          if (dtype != DType::kFloat32)
            samples.push_back({{}, {{"n", int64_t{2}}, {"dtype", dtype}}});
        return samples;
      })
      .ErrorSamples({{{}, {{"n", int64_t{-1}}}, Code::kInvalidArgument, "not be negative"}});
  for (DType dtype : AllDTypes()) op.Cpu(dtype, RunEye);
}

OFL_OP(tril_indices) {
  Indices<true>(op, "Rows and columns of the lower triangle of a matrix, row by row.")
      .Oracle("np.stack(np.tril_indices(row, offset, col))")
      .Py("tril_indices(row, col, offset=0, *, dtype=None)")
      .Public();
}

OFL_OP(triu_indices) {
  Indices<false>(op, "Rows and columns of the upper triangle of a matrix, row by row.")
      .Oracle("np.stack(np.triu_indices(row, offset, col))")
      .Py("triu_indices(row, col, offset=0, *, dtype=None)")
      .Public();
}

}  // namespace ofl::ops
