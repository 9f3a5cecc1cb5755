#include "oneflow_like/ops/conv/windows.h"

#include <algorithm>
#include <complex>

#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

int64_t DivUp(int64_t a, int64_t b) { return a <= 0 ? 0 : (a + b - 1) / b; }

// A piece of a row of windows, all of which see one place of the kernel in the last axis: windows
// [begin, end) of it see elements from `at` on, one every `stride`; the others see nothing.
struct Run {
  int64_t begin = 0, end = 0, at = 0;
};

// Walks over columns [first, last) of the matrix, row by row: body(row, place in the row, length,
// run), the run's bounds counted from that place.
template <class Body>
void ForRuns(const Windows& w, int64_t channels, int64_t first, int64_t last, const Body& body) {
  const int64_t plane = w.in[1] * w.in[2];
  int64_t row = 0;
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t k = 0; k < w.places(); ++k, ++row) {
      const Axes3 at = {k / (w.kernel[1] * w.kernel[2]), k / w.kernel[2] % w.kernel[1],
                        k % w.kernel[2]};
      Axes3 shift;
      for (int i = 0; i < 3; ++i) shift[i] = at[i] * w.dilation[i] - w.before[i];
      // Of a whole row of windows.
      const int64_t low = std::min(DivUp(-shift[2], w.stride[2]), w.out[2]);
      const int64_t high = std::clamp(DivUp(w.in[2] - shift[2], w.stride[2]), low, w.out[2]);
      for (int64_t p = first; p < last;) {
        const int64_t x = p % w.out[2], line = p / w.out[2];
        const int64_t n = std::min(w.out[2] - x, last - p);
        const int64_t i = line / w.out[1] * w.stride[0] + shift[0];
        const int64_t j = line % w.out[1] * w.stride[1] + shift[1];
        Run run;
        if (i >= 0 && i < w.in[0] && j >= 0 && j < w.in[1]) {
          run.begin = std::clamp<int64_t>(low - x, 0, n);
          run.end = std::clamp<int64_t>(high - x, run.begin, n);
          run.at =
              (c * w.in[0] + i) * plane + j * w.in[2] + (x + run.begin) * w.stride[2] + shift[2];
        }
        body(row, p - first, n, run);
        p += n;
      }
    }
  }
}

template <class T>
void Columns(const Windows& w, const T* image, int64_t channels, int64_t first, int64_t last,
             T* columns) {
  const int64_t width = last - first, step = w.stride[2];
  ForRuns(w, channels, first, last, [&](int64_t row, int64_t place, int64_t n, const Run& run) {
    T* to = columns + row * width + place;
    std::fill_n(to, run.begin, T{});
    if (step == 1) {
      std::copy_n(image + run.at, run.end - run.begin, to + run.begin);
    } else {
      const T* from = image + run.at;
      for (int64_t i = run.begin; i < run.end; ++i, from += step) to[i] = *from;
    }
    std::fill_n(to + run.end, n - run.end, T{});
  });
}

}  // namespace

bool Windows::Pointwise() const {
  return places() == 1 && stride == Axes3{1, 1, 1} && before == Axes3{0, 0, 0} && in == out;
}

Result<Ints> SizesOf(const Ints& given, int axes, const char* what, int64_t least) {
  Ints sizes = given;
  if (sizes.size() == 1) sizes.resize(static_cast<size_t>(axes), given[0]);
  OFL_ENSURE(std::ssize(sizes) == axes, Code::kInvalidArgument)
      << what << " has not one number for each spatial axis: got " << given.size()
      << " numbers; expected 1 or " << axes;
  for (int64_t size : sizes) {
    OFL_ENSURE(size >= least && size < (int64_t{1} << 47), Code::kInvalidArgument)
        << what << " is out of range: got " << size << "; expected at least " << least
        << ", less than 2^47";
  }
  return sizes;
}

Status CheckSizes(const Ints& given, int axes, const char* what, int64_t least) {
  OFL_ENSURE(std::ssize(given) == axes, Code::kInvalidArgument)
      << what << " has " << given.size() << " numbers; expected " << axes;
  return SizesOf(given, axes, what, least).status();
}

int64_t WindowsIn(int64_t size, int64_t kernel, int64_t stride, int64_t dilation, int64_t before,
                  int64_t after) {
  const int64_t room = SaturatingAdd(size, SaturatingAdd(before, after)) - Span(kernel, dilation);
  return room < 0 ? 0 : room / stride + 1;
}

void ToColumns(const Windows& w, const void* image, int64_t channels, int64_t first, int64_t last,
               int64_t size, void* columns) {
  WithBits(size, [&]<class T>(T) {
    Columns(w, static_cast<const T*>(image), channels, first, last, static_cast<T*>(columns));
  });
}

template <class T>
void AddColumns(const Windows& w, const T* columns, int64_t channels, int64_t first, int64_t last,
                T* image) {
  const int64_t width = last - first, step = w.stride[2];
  ForRuns(w, channels, first, last, [&](int64_t row, int64_t place, int64_t, const Run& run) {
    const T* from = columns + row * width + place;
    T* to = image + run.at;
    for (int64_t i = run.begin; i < run.end; ++i, to += step) *to = static_cast<T>(*to + from[i]);
  });
}

#define OFL_ADD_COLUMNS(T) \
  template void AddColumns(const Windows&, const T*, int64_t, int64_t, int64_t, T*);
OFL_ADD_COLUMNS(float)
OFL_ADD_COLUMNS(double)
OFL_ADD_COLUMNS(std::complex<float>)
OFL_ADD_COLUMNS(std::complex<double>)
OFL_ADD_COLUMNS(int8_t)
OFL_ADD_COLUMNS(uint8_t)
OFL_ADD_COLUMNS(int16_t)
OFL_ADD_COLUMNS(int32_t)
OFL_ADD_COLUMNS(int64_t)
#undef OFL_ADD_COLUMNS

}  // namespace ofl::ops
