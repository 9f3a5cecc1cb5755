// Short-time Fourier transforms: of windows of a signal, and back by adding the windows up.
#include <algorithm>
#include <cmath>

#include "oneflow_like/ops/fft/fft.h"

namespace ofl::ops {
namespace {

using Inputs = std::span<const op::Value>;

op::Values Refused(op::Builder& b, Status status) {
  b.Fail(std::move(status));
  return {nullptr};
}

struct Lengths {
  int64_t fft, hop, window;
};

// Attributes with torch's defaults: hops of a quarter, a window as long as the transform.
Lengths LengthsOf(const Attrs& attrs) {
  Lengths l{};
  l.fft = attrs.Get<int64_t>("n_fft");
  const int64_t *hop = attrs.Maybe<int64_t>("hop_length"),
                *window = attrs.Maybe<int64_t>("win_length");
  l.hop = hop == nullptr ? l.fft / 4 : *hop;
  l.window = window == nullptr ? l.fft : *window;
  return l;
}

Status CheckLengths(const char* name, const Lengths& l, const op::Value& window) {
  OFL_ENSURE(l.fft >= 1 && l.fft <= kLongestTransform, Code::kInvalidArgument)
      << "[" << name << "] no points are transformed: got n_fft=" << l.fft
      << "; expected at least 1";
  OFL_ENSURE(l.hop > 0, Code::kInvalidArgument)
      << "[" << name << "] windows do not move on: got hop_length=" << l.hop
      << "; expected more than 0";
  OFL_ENSURE(l.window > 0 && l.window <= l.fft, Code::kInvalidArgument)
      << "[" << name << "] the window does not fit the transform: got win_length=" << l.window
      << " and n_fft=" << l.fft << "; expected 0 < win_length <= n_fft";
  if (window == nullptr) return Status::Ok();
  OFL_ENSURE(window->meta().shape == Shape{l.window}, Code::kInvalidArgument)
      << "[" << name << "] the window has another length: got window: " << window->meta().ToString()
      << "; expected a vector of win_length=" << l.window;
  return Status::Ok();
}

// `length` ones in the layout of `frames` (batch, windows, points); null where these are empty.
op::Value Ones(op::Builder& b, op::Value frames, int64_t length) {
  if (frames == nullptr || frames->meta().shape.numel() == 0) return nullptr;
  for (int64_t dim = 0; dim < 3; ++dim) {
    frames =
        b.Call("narrow", {frames},
               {{"dim", dim}, {"start", int64_t{0}}, {"length", dim == 2 ? length : int64_t{1}}});
  }
  return b.Call("reshape", {OnesLike(b, frames)}, {{"shape", Ints{length}}});
}

// The window in the middle of n_fft points, zero around it; null where it changes nothing.
op::Value Centred(op::Builder& b, const op::Value& window, const op::Value& frames,
                  const Lengths& l) {
  if (l.window == l.fft) return window;
  const op::Value made = window != nullptr ? window : Ones(b, frames, l.window);
  const int64_t before = (l.fft - l.window) / 2;
  if (made == nullptr) return nullptr;
  return b.Call("constant_pad_nd", {made}, {{"pad", Ints{before, l.fft - l.window - before}}});
}

// --- there --------------------------------------------------------------------------------------

Result<op::Value> PaddedSignal(op::Builder& b, op::Value x, const Attrs& attrs, const Lengths& l) {
  const bool* align = attrs.Maybe<bool>("align_to_window");
  if (attrs.Get<bool>("center")) {
    OFL_ENSURE(align == nullptr, Code::kInvalidArgument)
        << "[stft] align_to_window is for signals that are not centred: got center=True; expected "
        << "center=False or align_to_window=None";
    return b.Call(
        "pad", {x},
        {{"pad", Ints{l.fft / 2, l.fft / 2}}, {"mode", attrs.Get<std::string>("pad_mode")}});
  }
  const int64_t around = (l.fft - l.window) / 2;
  if (align == nullptr || !*align || around <= 0) return x;
  return b.Call("constant_pad_nd", {x}, {{"pad", Ints{around, around}}});
}

Status CheckSignal(const op::Value& x) {
  const TensorMeta& meta = x->meta();
  OFL_ENSURE(Contains(kFloats | kComplexes, meta.dtype), Code::kTypeMismatch)
      << "[stft] input is no signal: got " << meta.ToString()
      << "; expected a floating or complex dtype";
  OFL_ENSURE(meta.shape.rank() == 1 || meta.shape.rank() == 2, Code::kInvalidArgument)
      << "[stft] input is no signal: got " << meta.ToString()
      << "; expected (length,) or (batch, length)";
  return Status::Ok();
}

op::Values ComposeStft(op::Builder& b, Inputs in, const Attrs& attrs) {
  const Lengths l = LengthsOf(attrs);
  const op::Value window = in.size() > 1 ? in[1] : nullptr;
  if (Status wrong = CheckSignal(in[0]); !wrong.ok()) return Refused(b, wrong);
  const bool complex =
      IsComplex(in[0]->meta().dtype) || (window != nullptr && IsComplex(window->meta().dtype));
  const bool* asked = attrs.Maybe<bool>("return_complex");
  if (!complex && asked == nullptr) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "[stft] a real signal needs return_complex: got None; expected True, "
                             "or False for real and imaginary parts along a last axis");
  }
  const bool vector = in[0]->meta().shape.rank() == 1;
  op::Value x = vector ? b.Call("unsqueeze", {in[0]}, {{"dim", int64_t{0}}}) : in[0];
  const auto padded = PaddedSignal(b, x, attrs, l);
  if (!padded.ok()) return Refused(b, padded.status());
  x = *padded;
  if (x == nullptr) return {nullptr};
  if (Status wrong = CheckLengths("stft", l, window); !wrong.ok()) return Refused(b, wrong);
  if (x->meta().shape[1] < l.fft) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "[stft] the signal is shorter than a window: got "
                          << x->meta().ToString() << " and n_fft=" << l.fft
                          << "; expected at least n_fft points");
  }
  const bool* half = attrs.Maybe<bool>("onesided");
  if (complex && half != nullptr && *half) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "[stft] a complex signal has no half that says all: got "
                             "onesided=True; expected False or None");
  }
  op::Value frames =
      b.Call("unfold", {x}, {{"dimension", int64_t{1}}, {"size", l.fft}, {"step", l.hop}});
  if (const op::Value shape = Centred(b, window, frames, l); shape != nullptr)
    frames = Mul(b, frames, shape);
  if (frames == nullptr) return {nullptr};
  const double scale =
      attrs.Get<bool>("normalized") ? 1 / std::sqrt(static_cast<double>(l.fft)) : 1;
  op::Value made;
  if (!complex && (half == nullptr || *half)) {
    made = TransformReal(b, frames, {2}, scale);
  } else {
    made =
        TransformComplex(b, CastTo(b, frames, ComplexOf(frames->meta().dtype)), {2}, scale, true);
  }
  made = b.Call("transpose", {made}, {{"dim0", int64_t{1}}, {"dim1", int64_t{2}}});
  if (vector) made = b.Call("squeeze", {made}, {{"dim", Ints{0}}});
  if (asked != nullptr && !*asked) made = b.Call("view_as_real", {made});
  return {made};
}

// --- and back -----------------------------------------------------------------------------------

Status CheckSpectrum(const op::Value& x, const Attrs& attrs, const Lengths& l, bool half) {
  const TensorMeta& meta = x->meta();
  OFL_ENSURE(IsComplex(meta.dtype), Code::kTypeMismatch)
      << "[istft] input is no spectrum: got " << meta.ToString()
      << "; expected complex numbers of stft(return_complex=True)";
  OFL_ENSURE((meta.shape.rank() == 2 || meta.shape.rank() == 3) && meta.shape.numel() > 0,
             Code::kInvalidArgument)
      << "[istft] input is no spectrum: got " << meta.ToString()
      << "; expected (frequencies, windows) or (batch, frequencies, windows), not empty";
  const int64_t points = meta.shape[meta.shape.rank() - 2];
  OFL_ENSURE(points == (half ? l.fft / 2 + 1 : l.fft), Code::kInvalidArgument)
      << "[istft] the frequencies are not those of n_fft points: got " << points
      << " and n_fft=" << l.fft << "; expected " << (half ? "n_fft / 2 + 1" : "n_fft");
  OFL_ENSURE(l.hop <= l.window, Code::kInvalidArgument)
      << "[istft] windows leave gaps: got hop_length=" << l.hop << " and win_length=" << l.window
      << "; expected hop_length <= win_length";
  OFL_ENSURE(!half || !attrs.Get<bool>("return_complex"), Code::kInvalidArgument)
      << "[istft] a half stands for a real signal: got return_complex=True; expected "
      << "onesided=False beside it";
  return Status::Ok();
}

// Windows (batch, windows, n_fft) added up where they were taken: (batch, length).
op::Value AddedUp(op::Builder& b, const op::Value& windows, int64_t length, const Lengths& l) {
  if (windows == nullptr) return nullptr;
  return b.Call("unfold_adjoint", {windows},
                {{"shape", Ints{windows->meta().shape[0], length}},
                 {"dimension", int64_t{1}},
                 {"size", l.fft},
                 {"step", l.hop}});
}

op::Values ComposeIstft(op::Builder& b, Inputs in, const Attrs& attrs) {
  const Lengths l = LengthsOf(attrs);
  const op::Value window = in.size() > 1 ? in[1] : nullptr;
  if (Status wrong = CheckLengths("istft", l, window); !wrong.ok()) return Refused(b, wrong);
  const TensorMeta& meta = in[0]->meta();
  const int rank = meta.shape.rank();
  const bool* asked = attrs.Maybe<bool>("onesided");
  const bool half = asked != nullptr ? *asked : rank < 2 || meta.shape[rank - 2] != l.fft;
  if (Status wrong = CheckSpectrum(in[0], attrs, l, half); !wrong.ok()) return Refused(b, wrong);
  if (window != nullptr && IsComplex(window->meta().dtype) && !attrs.Get<bool>("return_complex")) {
    return Refused(b, Error(Code::kTypeMismatch)
                          << "[istft] a complex window gives a complex signal: got window: "
                          << window->meta().ToString()
                          << " and return_complex=False; expected a real window");
  }
  op::Value x = rank == 2 ? b.Call("unsqueeze", {in[0]}, {{"dim", int64_t{0}}}) : in[0];
  x = b.Call("transpose", {x}, {{"dim0", int64_t{1}}, {"dim1", int64_t{2}}});
  const double points = static_cast<double>(l.fft);
  const double scale = attrs.Get<bool>("normalized") ? 1 / std::sqrt(points) : 1 / points;
  const bool complex = attrs.Get<bool>("return_complex");
  // Of a spectrum said to be of a real signal the first half counts, as torch has it.
  if (!half && !complex) {
    x = b.Call("narrow", {x},
               {{"dim", int64_t{2}}, {"start", int64_t{0}}, {"length", l.fft / 2 + 1}});
  }
  op::Value frames =
      complex ? TransformComplex(b, x, {2}, scale, false) : TransformBack(b, x, {2}, scale, l.fft);
  op::Value shape = Centred(b, window, frames, l);
  if (shape == nullptr) shape = Ones(b, frames, l.fft);
  if (frames == nullptr || shape == nullptr) return {nullptr};
  const int64_t count = frames->meta().shape[1], whole = l.fft + l.hop * (count - 1);
  const int64_t* length = attrs.Maybe<int64_t>("length");
  const bool centred = attrs.Get<bool>("center");
  const int64_t start = centred ? l.fft / 2 : 0;
  const int64_t end = length != nullptr ? start + *length : whole - (centred ? l.fft / 2 : 0);
  if (end <= start) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "[istft] nothing is left of the signal: got " << end - start
                          << " points; expected at least one");
  }
  const op::Value squares =
      b.Call("broadcast_to", {Mul(b, shape, shape)}, {{"shape", Ints{1, count, l.fft}}});
  const op::Value signal = AddedUp(b, Mul(b, frames, shape), whole, l);
  const op::Value weight = AddedUp(b, squares, whole, l);
  const auto part = [&](const op::Value& y) {
    return b.Call(
        "narrow", {y},
        {{"dim", int64_t{1}}, {"start", start}, {"length", std::min(end, whole) - start}});
  };
  op::Value made = Resized(b, Div(b, part(signal), part(weight)), 1, end - start);
  if (rank == 2) made = b.Call("squeeze", {made}, {{"dim", Ints{0}}});
  return {made};
}

op::OpDefBuilder& Describe(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc)
      .In("input")
      .InOptional("window")
      .Out("output")
      .Attr("n_fft", op::AttrType::kInt)
      .OptionalAttr("hop_length", op::AttrType::kInt)
      .OptionalAttr("win_length", op::AttrType::kInt)
      .Attr("center", op::AttrType::kBool, true)
      .Attr("normalized", op::AttrType::kBool, false)
      .OptionalAttr("onesided", op::AttrType::kBool);
}

op::Sample Of(std::vector<TensorMeta> inputs, Attrs attrs) {
  attrs.Set("n_fft", int64_t{4});
  return {std::move(inputs), std::move(attrs)};
}

}  // namespace

OFL_OP(stft) {
  Describe(
      op,
      "Fourier transforms of windows of a signal (batch, length) that begin `hop_length` apart: "
      "(batch,\nfrequencies, windows). With `center` window t lies around point t * hop_length, "
      "and the signal is\npadded by `pad_mode`.")
      .Attr("pad_mode", op::AttrType::kString, std::string("reflect"))
      .OptionalAttr("return_complex", op::AttrType::kBool)
      .OptionalAttr("align_to_window", op::AttrType::kBool)
      .Compose(ComposeStft)
      .Oracle(
          "stft(input, window, n_fft, hop_length, win_length, center, normalized, onesided, "
          "pad_mode, return_complex, align_to_window)")
      .PyBoth(
          "stft(input, n_fft, hop_length=None, win_length=None, window=None, center=True, "
          "pad_mode='reflect', normalized=False, onesided=None, return_complex=None, "
          "align_to_window=None)")
      .Public()
      .Samples([] {
        const Attrs whole = {{"return_complex", true}};
        Attrs parts = {{"return_complex", false}, {"hop_length", int64_t{2}}, {"normalized", true}};
        Attrs bare = {{"return_complex", true},
                      {"center", false},
                      {"onesided", false},
                      {"win_length", int64_t{3}}};
        constexpr DType kF = DType::kFloat32;
        std::vector<op::Sample> samples = {
            Of({{kF, {9}}}, whole), Of({{kF, {2, 8}}, {kF, {4}}}, parts),
            Of({{kF, {9}}, {kF, {3}}}, bare), Of({{DType::kComplex64, {2, 8}}}, {}),
            Of({{DType::kFloat64, {7}}}, whole)};
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {9}}},
                      {{"n_fft", int64_t{4}}},
                      Code::kInvalidArgument,
                      "needs return_complex"},
                     {{{DType::kFloat32, {9}}},
                      {{"n_fft", int64_t{4}}, {"return_complex", true}, {"hop_length", int64_t{0}}},
                      Code::kInvalidArgument,
                      "do not move on"}});
}

OFL_OP(istft) {
  Describe(op,
           "The signal of which `input` is the short-time Fourier transform: windows added up, "
           "divided by the\nsum of the squared windows; `length` points of it.")
      .OptionalAttr("length", op::AttrType::kInt)
      .Attr("return_complex", op::AttrType::kBool, false)
      .Compose(ComposeIstft)
      .Oracle(
          "istft(input, window, n_fft, hop_length, win_length, center, normalized, onesided, "
          "length, return_complex)")
      .PyBoth(
          "istft(input, n_fft, hop_length=None, win_length=None, window=None, center=True, "
          "normalized=False, onesided=None, length=None, return_complex=False)")
      .Public()
      .Samples([] {
        constexpr DType kC = DType::kComplex64, kF = DType::kFloat32;
        std::vector<op::Sample> samples = {
            Of({{kC, {3, 5}}}, {}),
            Of({{kC, {2, 3, 4}}, {kF, {4}}}, {{"hop_length", int64_t{2}}}),
            Of({{kC, {4, 3}}},
               {{"onesided", false}, {"return_complex", true}, {"normalized", true}}),
            Of({{kC, {2, 3, 4}}}, {{"center", false}, {"length", int64_t{5}}}),
            Of({{kC, {4, 3}}}, {{"onesided", false}}),
            Of({{DType::kComplex128, {3, 5}}}, {})};
        for (op::Sample& s : samples) s.low = 1, s.high = 2;
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {3, 5}}},
                      {{"n_fft", int64_t{4}}},
                      Code::kTypeMismatch,
                      "no spectrum"}});
}

}  // namespace ofl::ops
