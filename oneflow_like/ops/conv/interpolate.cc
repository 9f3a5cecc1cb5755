// interpolate and the upsample functions: resampling axis by axis, or windows' means.
#include <cmath>

#include "oneflow_like/ops/conv/composed.h"

namespace ofl::ops {
namespace {

bool IsNearest(const std::string& mode) { return mode == "nearest" || mode == "nearest-exact"; }

// What resample calls a mode of `axes` spatial axes; "area" is itself, "" there is none.
std::string ModeAlong(const std::string& mode, int axes) {
  if (IsNearest(mode) || mode == "area") return mode;
  static constexpr const char* kLinear[] = {"linear", "bilinear", "trilinear"};
  if (mode == kLinear[axes - 1]) return "linear";
  return mode == "bicubic" && axes == 2 ? "cubic" : "";
}

struct Request {
  int axes = 0;
  std::string mode;
  Ints sizes;
  std::vector<double> factors;  // empty: they follow from sizes
  bool align_corners = false, antialias = false;
};

Status Sizes(const Shape& x, const Attrs& attrs, Request* r) {
  const Ints* size = attrs.Maybe<Ints>("size");
  const auto* factors = attrs.Maybe<std::vector<double>>("scale_factor");
  std::vector<double> one;
  if (const double* factor = attrs.Maybe<double>("factor")) {
    one = {*factor};
    factors = &one;
  }
  OFL_ENSURE((size == nullptr) != (factors == nullptr), Code::kInvalidArgument)
      << "got " << (size == nullptr ? "neither" : "both") << " of size and scale_factor; expected "
      << "one of them";
  const bool* again = attrs.Maybe<bool>("recompute_scale_factor");
  if (size != nullptr) {
    OFL_ENSURE(again == nullptr || !*again, Code::kInvalidArgument)
        << "got recompute_scale_factor=true beside size; expected it beside scale_factor alone";
    OFL_ASSIGN(r->sizes, SizesOf(*size, r->axes, "size", 1));
    return Status::Ok();
  }
  r->factors = *factors;
  if (r->factors.size() == 1) r->factors.resize(static_cast<size_t>(r->axes), r->factors[0]);
  OFL_ENSURE(std::ssize(r->factors) == r->axes, Code::kInvalidArgument)
      << "scale_factor has " << factors->size() << " numbers; expected 1 or " << r->axes;
  for (int i = 0; i < r->axes; ++i) {
    const double scaled = std::floor(static_cast<double>(x[2 + i]) * r->factors[i]);
    OFL_ENSURE(scaled >= 1 && scaled < 1e14, Code::kInvalidArgument)
        << "scale_factor " << r->factors[i] << " makes " << x[2 + i] << " elements " << scaled
        << "; expected at least 1";
    r->sizes.push_back(static_cast<int64_t>(scaled));
  }
  if ((again != nullptr && *again) || r->mode == "area") r->factors.clear();
  return Status::Ok();
}

Result<Request> RequestOf(const TensorMeta& x, const Attrs& attrs) {
  const std::string& name = attrs.Get<std::string>("mode");
  Request r{.axes = x.shape.rank() - 2};
  OFL_ENSURE(r.axes >= 1 && r.axes <= 3 && ProductOf(x.shape, 1, x.shape.rank()) > 0,
             Code::kInvalidArgument)
      << "got input: " << x.ToString() << "; expected images, channels and one, two or three "
      << "spatial axes, not empty";
  r.mode = ModeAlong(name, r.axes);
  OFL_ENSURE(!r.mode.empty(), Code::kUnimplemented)
      << "got mode=" << Quoted(name) << " for " << r.axes << " spatial axes; expected 'nearest', "
      << "'nearest-exact', 'area', or of one axis 'linear', of two 'bilinear' or 'bicubic', of "
      << "three 'trilinear'";
  if (const bool* align = attrs.Maybe<bool>("align_corners")) {
    OFL_ENSURE(!IsNearest(r.mode) && r.mode != "area", Code::kInvalidArgument)
        << "mode " << Quoted(name) << " takes no align_corners; expected None";
    r.align_corners = *align;
  }
  r.antialias = attrs.Get<bool>("antialias");
  OFL_ENSURE(!r.antialias || (r.axes == 2 && (r.mode == "linear" || r.mode == "cubic")),
             Code::kInvalidArgument)
      << "got antialias=true for mode " << Quoted(name) << " and " << r.axes
      << " spatial axes; expected 'bilinear' or 'bicubic' of two";
  const bool bytes =
      x.dtype == DType::kUInt8 && (IsNearest(r.mode) || (r.axes == 2 && r.mode != "area"));
  OFL_ENSURE(IsFloating(x.dtype) || bytes, Code::kTypeMismatch)
      << "got input: " << x.ToString() << "; expected a floating dtype, as float32"
      << (IsNearest(r.mode) ? ", or uint8" : "");
  OFL_TRY(Sizes(x.shape, attrs, &r));
  return r;
}

// A byte again, halves upwards: torch rounds the bytes of an image along each axis.
op::Value Rounded(op::Builder& b, const op::Value& y) {
  return b.Call("clamp", {Of(b, "floor", AddScalar(b, y, 0.5))},
                {{"min", int64_t{0}}, {"max", int64_t{255}}});
}

op::Value Resampled(op::Builder& b, const op::Value& x, const Request& r, bool rounded) {
  if (x == nullptr) return nullptr;
  const Shape shape = x->meta().shape;
  op::Value y = x;
  for (int i = r.axes - 1; i >= 0 && y != nullptr; --i) {
    const size_t at = static_cast<size_t>(i);
    const bool same = r.sizes[at] == shape[2 + i];
    if (same && (r.factors.empty() || (r.mode == "linear" && !r.antialias))) continue;
    Attrs attrs = {{"dim", int64_t{2 + i}},    {"size", r.sizes[at]},
                   {"mode", r.mode},           {"align_corners", r.align_corners},
                   {"antialias", r.antialias}, {"bytes", rounded}};
    if (!r.factors.empty()) attrs.Set("factor", r.factors[at]);
    y = b.Call("resample", {y}, attrs);
    if (rounded) y = Rounded(b, y);
  }
  return y;
}

op::Values ComposeInterpolate(op::Builder& b, Operands in, const Attrs& attrs) {
  const TensorMeta& meta = in[0]->meta();
  const auto request = RequestOf(meta, attrs);
  if (!request.ok()) return Refused(b, request.status());
  const Request& r = *request;
  if (r.mode == "area") {
    const std::string pool = "adaptive_avg_pool" + std::to_string(r.axes) + "d";
    return {b.Call(pool, {in[0]}, {{"output_size", r.sizes}})};
  }
  const bool whole = !IsFloating(meta.dtype);
  const op::Value x = whole ? CastTo(b, in[0], DType::kFloat32) : Wide(b, in[0]);
  const op::Value y = Resampled(b, x, r, whole && !IsNearest(r.mode));
  if (y == nullptr) return {nullptr};
  if (y == in[0]) return {b.Call("identity", {y})};
  return {CastTo(b, y, meta.dtype)};
}

op::Sample Sized(Shape x, Ints size, const char* mode, Attrs more = {},
                 DType dtype = DType::kFloat32) {
  more.Set("size", size);
  more.Set("mode", std::string(mode));
  return {{{dtype, x}}, std::move(more)};
}

}  // namespace

OFL_OP(interpolate) {
  op.Doc(
        "Images (images, channels, one, two or three spatial axes) with other spatial sizes: "
        "`size`, or\nscale_factor times theirs. Each element is the nearest ('nearest', "
        "'nearest-exact'), a mean of its\nneighbours ('linear', 'bilinear', 'trilinear', "
        "'bicubic'), or of all that it stands for ('area',\nantialias).")
      .In("input")
      .Out("output")
      .OptionalAttr("size", op::AttrType::kInts)
      .OptionalAttr("scale_factor", op::AttrType::kFloats)
      .OptionalAttr("factor", op::AttrType::kFloat)  // one for all axes
      .Attr("mode", op::AttrType::kString, std::string("nearest"))
      .OptionalAttr("align_corners", op::AttrType::kBool)
      .OptionalAttr("recompute_scale_factor", op::AttrType::kBool)
      .Attr("antialias", op::AttrType::kBool, false)
      .Compose(ComposeInterpolate)
      .Oracle(
          "interpolate(input, size, scale_factor or factor and [factor], mode, align_corners, "
          "recompute_scale_factor, antialias)")
      .Py("nn.functional.interpolate(input, size=None, scale_factor=None, mode='nearest', "
          "align_corners=None, recompute_scale_factor=None, antialias=False)")
      .Py("nn.functional.interpolate(input, size=None, scale_factor: factor=None, "
          "mode='nearest', align_corners=None, recompute_scale_factor=None, antialias=False)");
  for (const std::string factor : {"scale_factor", "scale_factor: factor"}) {
    op.Py("nn.functional.upsample(input, size=None, " + factor +
          "=None, mode='nearest', align_corners=None)")
        .Py("nn.functional.upsample_nearest(input, size=None, " + factor + "=None)",
            {{"mode", std::string("nearest")}})
        .Py("nn.functional.upsample_bilinear(input, size=None, " + factor + "=None)",
            {{"mode", std::string("bilinear")}, {"align_corners", true}});
  }
  op.Samples([] {
      const Attrs align = {{"align_corners", true}}, smooth = {{"antialias", true}};
      std::vector<op::Sample> samples = {
          Sized({2, 3, 4}, {7}, "nearest"),
          Sized({2, 3, 5}, {3}, "linear", align),
          Sized({2, 3, 4, 5}, {6, 3}, "bilinear"),
          Sized({2, 3, 4, 5}, {7, 4}, "bicubic", align),
          Sized({2, 3, 8, 7}, {3, 4}, "bilinear", smooth),
          Sized({2, 3, 5, 4}, {3, 2}, "area"),
          Sized({2, 1, 3, 4, 2}, {5, 2, 3}, "trilinear"),
          Sized({2, 1, 3, 4, 2}, {2, 7, 3}, "nearest-exact"),
          {{{DType::kFloat32, {2, 3, 4, 5}}},
           {{"scale_factor", std::vector<double>{1.5, 2.0}}, {"mode", std::string("bilinear")}}}};
      for (DType dtype : {DType::kFloat64, DType::kFloat16, DType::kBFloat16})
        samples.push_back(Sized({2, 3, 4, 5}, {6, 3}, "bilinear", {}, dtype));
      for (const char* mode : {"nearest", "bicubic"}) {
        samples.push_back(Sized({2, 3, 4, 5}, {6, 3}, mode, {}, DType::kUInt8));
        samples.back().low = 0;
        samples.back().high = 255;
      }
      return samples;
    })
      .ErrorSamples({{{{DType::kFloat32, {2, 3, 4}}},
                      {},
                      Code::kInvalidArgument,
                      "got neither of size and scale_factor"},
                     {{{DType::kFloat32, {2, 3, 4}}},
                      {{"size", Ints{3}}, {"mode", std::string("bilinear")}},
                      Code::kUnimplemented,
                      "for 1 spatial axes"},
                     {{{DType::kFloat32, {2, 3, 4}}},
                      {{"size", Ints{3}}, {"align_corners", true}},
                      Code::kInvalidArgument,
                      "takes no align_corners"}});
}

}  // namespace ofl::ops
