#include "oneflow_like/ops/conv/grid_taps.h"

#include <algorithm>

#include "device/cpu/simd.h"

namespace ofl::ops {
namespace {

// A place along an axis, and its derivative by the coordinate.
template <class T>
struct Place {
  T at, slope;
};

template <class T>
Place<T> Bordered(Place<T> p, int64_t size) {
  const T last = static_cast<T>(size - 1);
  if (p.at > 0 && p.at < last) return p;
  // Torch has no gradient at the very ends.
  return {p.at < 0 ? T(0) : p.at > last ? last : p.at, T(0)};
}

template <class T>
Place<T> Reflected(Place<T> p, int64_t size, bool align) {
  const T low = align ? T(0) : T(-0.5), span = static_cast<T>(align ? size - 1 : size);
  if (span == 0) return {T(0), T(0)};
  const T past = p.at - low, far = std::fabs(past);
  const T flips = std::floor(far / span), extra = far - flips * span;
  const bool odd = std::floor(flips / 2) * 2 != flips;
  const T turn = (past < 0) != odd ? T(-1) : T(1);
  return {(odd ? span - extra : extra) + low, p.slope * turn};
}

template <class T>
Place<T> Padded(Place<T> p, int64_t size, const GridSampling& s) {
  if (s.padding == GridPadding::kZeros) return p;
  return Bordered(s.padding == GridPadding::kBorder ? p : Reflected(p, size, s.align), size);
}

template <class T>
Place<T> PlaceOf(T x, int64_t size, bool align) {
  const T half = static_cast<T>(0.5) * static_cast<T>(align ? size - 1 : size);
  return {x * half + (align ? half : half - T(0.5)), half};
}

// Up to four neighbours along one axis: which element, -1 for none, their weights and derivatives.
template <class T>
struct AxisTaps {
  int count = 1;
  int64_t at[4];
  T weight[4], slope[4];

  void Set(int k, T place, int64_t size, T w, T dw) {
    const bool in = place >= 0 && place <= static_cast<T>(size - 1);
    at[k] = in ? static_cast<int64_t>(place) : -1;
    weight[k] = w;
    slope[k] = dw;
  }
};

// The weight of an element that lies `x` away, 1 to 2 or up to 1, and its derivative.
template <class T>
void Far(T x, T* w, T* d) {
  constexpr T kA = T(-0.75);
  *w = ((kA * x - 5 * kA) * x + 8 * kA) * x - 4 * kA;
  *d = (3 * kA * x - 10 * kA) * x + 8 * kA;
}
template <class T>
void Near(T x, T* w, T* d) {
  constexpr T kA = T(-0.75);
  *w = ((kA + 2) * x - (kA + 3)) * x * x + 1;
  *d = (3 * (kA + 2) * x - 2 * (kA + 3)) * x;
}

template <class T>
AxisTaps<T> TapsOf(T coordinate, int64_t size, const GridSampling& s) {
  AxisTaps<T> taps;
  Place<T> p = PlaceOf(coordinate, size, s.align);
  if (s.mode != GridMode::kCubic) p = Padded(p, size, s);
  if (s.mode == GridMode::kNearest) {
    taps.Set(0, std::nearbyint(p.at), size, T(1), T(0));
    return taps;
  }
  const T below = std::floor(p.at), rest = p.at - below;
  if (s.mode == GridMode::kLinear) {
    taps.count = 2;
    taps.Set(0, below, size, 1 - rest, -p.slope);
    taps.Set(1, below + 1, size, rest, p.slope);
    return taps;
  }
  taps.count = 4;
  T w[4], d[4];
  Far(rest + 1, &w[0], &d[0]);
  Near(rest, &w[1], &d[1]);
  Near(1 - rest, &w[2], &d[2]);
  Far(2 - rest, &w[3], &d[3]);
  for (int k = 0; k < 4; ++k) {
    const Place<T> at = Padded<T>({below + static_cast<T>(k - 1), T(0)}, size, s);
    taps.Set(k, at.at, size, w[k], (k < 2 ? d[k] : -d[k]) * p.slope);
  }
  return taps;
}

// The most frequent case, of two axes and zeros outside, without jumps: what TapsOf says.
template <class T, class Index>
struct Plain {
  const T* grid;
  int64_t count, height, width;
  bool align;

  // Element (y, x), or -1.
  OFL_INLINE Index Element(T y, T x) const {
    const T bottom = static_cast<T>(height - 1), right = static_cast<T>(width - 1);
    const bool in = (y >= 0) & (y <= bottom) & (x >= 0) & (x <= right);
    const auto row = static_cast<Index>(in ? y : T(0)), column = static_cast<Index>(in ? x : T(0));
    return in ? static_cast<Index>(row * static_cast<Index>(width) + column) : Index(-1);
  }
};

template <class T, class Index>
OFL_SIMD void FindNearest(const Plain<T, Index>& s, Index* at, T* weight) {
  const Place<T> y = PlaceOf(T(0), s.height, s.align), x = PlaceOf(T(0), s.width, s.align);
  for (int64_t p = 0; p < s.count; ++p) {
    const T row = std::nearbyint(s.grid[2 * p + 1] * y.slope + y.at);
    const T column = std::nearbyint(s.grid[2 * p] * x.slope + x.at);
    at[p] = s.Element(row, column);
    weight[p] = T(1);
  }
}

template <class T, class Index>
OFL_SIMD void FindLinear(const Plain<T, Index>& s, Index (*at)[kGridBlock], T (*weight)[kGridBlock],
                         T (*slope)[kMostTaps][kGridBlock]) {
  const Place<T> y = PlaceOf(T(0), s.height, s.align), x = PlaceOf(T(0), s.width, s.align);
  for (int64_t p = 0; p < s.count; ++p) {
    const T down = s.grid[2 * p + 1] * y.slope + y.at, across = s.grid[2 * p] * x.slope + x.at;
    const T row = std::floor(down), column = std::floor(across);
    const T b = down - row, d = across - column, a = 1 - b, c = 1 - d;
    at[0][p] = s.Element(row, column);
    at[1][p] = s.Element(row, column + 1);
    at[2][p] = s.Element(row + 1, column);
    at[3][p] = s.Element(row + 1, column + 1);
    weight[0][p] = a * c, weight[1][p] = a * d, weight[2][p] = b * c, weight[3][p] = b * d;
    if (slope == nullptr) continue;
    slope[0][0][p] = -a * x.slope, slope[0][1][p] = a * x.slope;
    slope[0][2][p] = -b * x.slope, slope[0][3][p] = b * x.slope;
    slope[1][0][p] = -c * y.slope, slope[1][1][p] = -d * y.slope;
    slope[1][2][p] = c * y.slope, slope[1][3][p] = d * y.slope;
  }
}

}  // namespace

GridSampling::GridSampling(const Attrs& attrs, const Shape& image)
    : align(attrs.Get<bool>("align_corners")), axes(image.rank() - 2) {
  const auto& way = attrs.Get<std::string>("mode");
  const auto& beyond = attrs.Get<std::string>("padding");
  mode = way == "nearest"   ? GridMode::kNearest
         : way == "bicubic" ? GridMode::kCubic
                            : GridMode::kLinear;
  padding = beyond == "border"       ? GridPadding::kBorder
            : beyond == "reflection" ? GridPadding::kReflection
                                     : GridPadding::kZeros;
  for (int i = 0; i < axes; ++i) size[i] = image[2 + i];
}

template <class T, class Index>
void GridTaps<T, Index>::Find(const GridSampling& s, const T* grid, int64_t count, bool slopes) {
  inside = true;
  if (s.axes == 2 && s.mode != GridMode::kCubic && s.padding == GridPadding::kZeros) {
    const Plain<T, Index> plain{grid, count, s.size[0], s.size[1], s.align};
    if (s.mode == GridMode::kNearest) {
      FindNearest(plain, at[0], weight[0]);
      for (int j = 0; slopes && j < 2; ++j) std::fill_n(slope[j][0], count, T(0));
    } else {
      FindLinear(plain, at, weight, slopes ? slope : nullptr);
    }
    for (int k = 0; k < s.taps(); ++k)
      for (int64_t p = 0; p < count; ++p) inside &= at[k][p] >= 0;
    return;
  }
  for (int64_t p = 0; p < count; ++p) {
    AxisTaps<T> axis[3];
    for (int i = 0; i < s.axes; ++i)
      axis[i] = TapsOf(grid[p * s.axes + s.axes - 1 - i], s.size[i], s);
    for (int k = 0; k < s.taps(); ++k) {
      int rest = k, of[3] = {};
      for (int i = s.axes - 1; i >= 0; rest /= axis[i--].count) of[i] = rest % axis[i].count;
      int64_t place = 0;
      T w = 1;
      for (int i = 0; i < s.axes; ++i) {
        const int64_t here = axis[i].at[of[i]];
        place = place < 0 || here < 0 ? -1 : place * s.size[i] + here;
        w *= axis[i].weight[of[i]];
      }
      at[k][p] = static_cast<Index>(place);
      weight[k][p] = w;
      inside &= place >= 0;
      if (!slopes) continue;
      for (int j = 0; j < s.axes; ++j) {
        T d = axis[j].slope[of[j]];
        for (int i = 0; i < s.axes; ++i)
          if (i != j) d *= axis[i].weight[of[i]];
        slope[s.axes - 1 - j][k][p] = d;
      }
    }
  }
}

template struct GridTaps<float, int32_t>;
template struct GridTaps<float, int64_t>;
template struct GridTaps<double, int32_t>;
template struct GridTaps<double, int64_t>;

}  // namespace ofl::ops
