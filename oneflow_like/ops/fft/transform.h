// Discrete Fourier transforms of one length along rows: Eigen's (kissfft inside) for lengths whose
// prime factors are small. A large prime p becomes a convolution: of p - 1 numbers where that has
// small factors (Rader), with a chirp over a power of two (Bluestein) otherwise.
#pragma once

#include <complex>
#include <cstdint>
#include <memory>

namespace ofl::ops {

// Numbers of kLanes transforms that run side by side, each in its own vector lane.
inline constexpr int64_t kLanes = 8;
template <class T>
struct alignas(kLanes * sizeof(T)) Pack {
  using Vector [[gnu::vector_size(kLanes * sizeof(T))]] = T;
  Vector v;
  Pack() = default;
  Pack(double x) : v(Vector{} + static_cast<T>(x)) {}  // NOLINT: a number stands for all lanes
  explicit Pack(Vector v) : v(v) {}
  friend Pack operator+(Pack a, Pack b) { return Pack(Vector(a.v + b.v)); }
  friend Pack operator-(Pack a, Pack b) { return Pack(Vector(a.v - b.v)); }
  friend Pack operator*(Pack a, Pack b) { return Pack(Vector(a.v * b.v)); }
  Pack operator-() const { return Pack(Vector(-v)); }
  Pack& operator+=(Pack b) { return v += b.v, *this; }
  Pack& operator-=(Pack b) { return v -= b.v, *this; }
  Pack& operator*=(Pack b) { return v *= b.v, *this; }
};

// One transform for one thread: it keeps twiddles and scratch, so runs must not meet.
template <class T>
class Transform {
 public:
  using Complex = std::complex<T>;
  virtual ~Transform() = default;
  // out[k] = sum over j of in[j] exp(-+ 2 pi i j k / n), not scaled. `in` and `out` are apart.
  virtual void Run(const Complex* in, Complex* out) = 0;
};

// n >= 1. `forward`: with the minus sign. Null for packs of a length that is not transformed so.
template <class T>
std::unique_ptr<Transform<T>> MakeTransform(int64_t n, bool forward);

// Of real rows: n real numbers to the first n / 2 + 1 results of the forward transform, and of such
// a half back to n real numbers (the imaginary parts of its first and, of even n, last number have
// no meaning), not scaled.
template <class T>
class RealTransform {
 public:
  using Complex = std::complex<T>;
  virtual ~RealTransform() = default;
  virtual void Forward(const T* in, Complex* out) = 0;
  virtual void Back(const Complex* in, T* out) = 0;
};
template <class T>
std::unique_ptr<RealTransform<T>> MakeRealTransform(int64_t n, bool forward);

}  // namespace ofl::ops
