#include "oneflow_like/ops/fft/transform.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <unsupported/Eigen/FFT>
#include <vector>

namespace ofl::ops {
namespace {

// Above it a prime factor p, which costs p squared, is dearer than the chirp form.
constexpr int64_t kLargestFactor = 50;
// Packs of doubles, and several times the length: longer ones leave the cache.
constexpr int64_t kLongestPackedChirp = 2048;

int64_t LargestFactor(int64_t n) {
  int64_t largest = 1;
  for (int64_t p = 2; p * p <= n; ++p) {
    while (n % p == 0) largest = p, n /= p;
  }
  return std::max(largest, n);
}

// exp(sign 2 pi i k / n), of a k that is not reduced.
std::complex<double> Turn(int64_t k, int64_t n, double sign) {
  const double angle =
      2 * std::numbers::pi * static_cast<double>(k % n) / static_cast<double>(n) * sign;
  return {std::cos(angle), std::sin(angle)};
}

template <class T>
class Direct final : public Transform<T> {
 public:
  using Complex = std::complex<T>;
  Direct(int64_t n, bool forward) {
    plan_.make_twiddles(static_cast<int>(n), !forward);
    plan_.factorize(static_cast<int>(n));
  }
  void Run(const Complex* in, Complex* out) override { plan_.work(0, out, in, 1, 1); }

 private:
  Eigen::internal::kiss_cpx_fft<T> plan_;
};

template <class T>
class Identity final : public Transform<T> {
 public:
  void Run(const std::complex<T>* in, std::complex<T>* out) override { *out = *in; }
};

template <class T>
struct WideOf {
  using Type = double;
};
template <class T>
struct WideOf<Pack<T>> {
  using Type = Pack<double>;
};
template <class To, class From>
To Converted(const From& x) {
  if constexpr (std::is_floating_point_v<From>) {
    return static_cast<To>(x);
  } else {
    return To(__builtin_convertvector(x.v, typename To::Vector));
  }
}
template <class To, class From>
std::complex<To> Converted(const std::complex<From>& x) {
  return {Converted<To>(x.real()), Converted<To>(x.imag())};
}

// A transform of any length as a convolution with a chirp, which is cyclic over a power of two. In
// double: products of numbers of all sizes are added up.
template <class T>
class Chirp final : public Transform<T> {
 public:
  using Complex = std::complex<T>;
  using Real = typename WideOf<T>::Type;
  using Wide = std::complex<Real>;
  Chirp(int64_t n, bool forward) : n_(static_cast<size_t>(n)) {
    int64_t size = 1;
    while (size < 2 * n - 1) size *= 2;
    there_ = std::make_unique<Direct<Real>>(size, true);
    back_ = std::make_unique<Direct<Real>>(size, false);
    chirp_.resize(n_), padded_.resize(static_cast<size_t>(size), Wide(Real(0), Real(0)));
    kernel_ = mixed_ = padded_;
    const Real share(1 / static_cast<double>(size));
    int64_t square = 0;  // k^2 modulo 2n
    for (int64_t k = 0; k < n; ++k) {
      const std::complex<double> turn = Turn(square, 2 * n, forward ? -1 : 1);
      chirp_[static_cast<size_t>(k)] = Wide(Real(turn.real()), Real(turn.imag()));
      square = (square + 2 * k + 1) % (2 * n);
    }
    for (size_t k = 0; k < n_; ++k) {
      padded_[k] = std::conj(chirp_[k]) * share;
      if (k > 0) padded_[padded_.size() - k] = padded_[k];
    }
    there_->Run(padded_.data(), kernel_.data());
  }
  void Run(const Complex* in, Complex* out) override {
    for (size_t k = 0; k < n_; ++k) padded_[k] = Converted<Real>(in[k]) * chirp_[k];
    std::fill(padded_.begin() + static_cast<std::ptrdiff_t>(n_), padded_.end(),
              Wide(Real(0), Real(0)));
    there_->Run(padded_.data(), mixed_.data());
    for (size_t k = 0; k < mixed_.size(); ++k) mixed_[k] = mixed_[k] * kernel_[k];
    back_->Run(mixed_.data(), padded_.data());
    for (size_t k = 0; k < n_; ++k) out[k] = Converted<T>(padded_[k] * chirp_[k]);
  }

 private:
  size_t n_;
  std::unique_ptr<Direct<Real>> there_, back_;
  std::vector<Wide> chirp_, padded_, mixed_, kernel_;
};

// Of odd length: the transform of complex numbers.
template <class T>
class OddReal final : public RealTransform<T> {
 public:
  using Complex = std::complex<T>;
  OddReal(int64_t n, bool forward)
      : n_(static_cast<size_t>(n)), whole_(MakeTransform<T>(n, forward)), in_(n_), out_(n_) {}
  void Forward(const T* in, Complex* out) override {
    for (size_t k = 0; k < n_; ++k) in_[k] = Complex(in[k], T(0));
    whole_->Run(in_.data(), out_.data());
    std::copy(out_.begin(), out_.begin() + static_cast<std::ptrdiff_t>(n_ / 2 + 1), out);
  }
  void Back(const Complex* in, T* out) override {
    in_[0] = Complex(in[0].real(), T(0));
    for (size_t k = 1; k <= n_ / 2; ++k) {
      in_[k] = in[k];
      in_[n_ - k] = std::conj(in[k]);
    }
    whole_->Run(in_.data(), out_.data());
    for (size_t k = 0; k < n_; ++k) out[k] = out_[k].real();
  }

 private:
  size_t n_;
  std::unique_ptr<Transform<T>> whole_;
  std::vector<Complex> in_, out_;
};

// Of even length: neighbours are the parts of a complex number, and half the length is transformed.
template <class T>
class EvenReal final : public RealTransform<T> {
 public:
  using Complex = std::complex<T>;
  EvenReal(int64_t n, bool forward)
      : half_(static_cast<size_t>(n / 2)),
        transform_(MakeTransform<T>(n / 2, forward)),
        turns_(half_ + 1),
        mixed_(half_) {
    for (size_t k = 0; k <= half_; ++k) {
      const std::complex<double> turn = Turn(static_cast<int64_t>(k), n, forward ? -1 : 1);
      turns_[k] = Complex(T(turn.real()), T(turn.imag()));
    }
  }
  void Forward(const T* in, Complex* out) override {
    transform_->Run(reinterpret_cast<const Complex*>(in), mixed_.data());
    const T zero = mixed_[0].real() + mixed_[0].imag(), last = mixed_[0].real() - mixed_[0].imag();
    for (size_t k = 1; k < half_; ++k) {
      const Complex a = mixed_[k], b = std::conj(mixed_[half_ - k]);
      const Complex odd = (a - b) * turns_[k];
      out[k] = (a + b + Complex(odd.imag(), -odd.real())) * T(0.5);
    }
    out[0] = zero, out[half_] = last;
  }
  void Back(const Complex* in, T* out) override {
    mixed_[0] = Complex(in[0].real() + in[half_].real(), in[0].real() - in[half_].real());
    for (size_t k = 1; k < half_; ++k) {
      const Complex a = in[k], b = std::conj(in[half_ - k]);
      const Complex odd = (a - b) * turns_[k];
      mixed_[k] = a + b + Complex(-odd.imag(), odd.real());
    }
    transform_->Run(mixed_.data(), reinterpret_cast<Complex*>(out));
  }

 private:
  size_t half_;
  std::unique_ptr<Transform<T>> transform_;
  std::vector<Complex> turns_, mixed_;
};

}  // namespace

template <class T>
std::unique_ptr<Transform<T>> MakeTransform(int64_t n, bool forward) {
  if (n == 1) return std::make_unique<Identity<T>>();
  if (LargestFactor(n) <= kLargestFactor) return std::make_unique<Direct<T>>(n, forward);
  if (!std::is_floating_point_v<T> && n > kLongestPackedChirp) return nullptr;
  return std::make_unique<Chirp<T>>(n, forward);
}

template <class T>
std::unique_ptr<RealTransform<T>> MakeRealTransform(int64_t n, bool forward) {
  if (!std::is_floating_point_v<T> && n > kLongestPackedChirp && LargestFactor(n) > kLargestFactor)
    return nullptr;
  if (n % 2 == 0) return std::make_unique<EvenReal<T>>(n, forward);
  return std::make_unique<OddReal<T>>(n, forward);
}

#define OFL_TRANSFORMS_OF(T)                                              \
  template std::unique_ptr<Transform<T>> MakeTransform<T>(int64_t, bool); \
  template std::unique_ptr<RealTransform<T>> MakeRealTransform<T>(int64_t, bool);
OFL_TRANSFORMS_OF(float)
OFL_TRANSFORMS_OF(double)
OFL_TRANSFORMS_OF(Pack<float>)
OFL_TRANSFORMS_OF(Pack<double>)

}  // namespace ofl::ops
