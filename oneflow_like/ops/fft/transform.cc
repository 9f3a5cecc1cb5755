#include "oneflow_like/ops/fft/transform.h"

#include <algorithm>
#include <unsupported/Eigen/FFT>
#include <vector>

#include "device/cpu/simd.h"
#include "oneflow_like/ops/fft/roots.h"

namespace ofl::ops {
namespace {

// Above it a prime factor p, which costs p squared, is dearer than its forms as a convolution.
constexpr int64_t kLargestFactor = 50;
// Packs of doubles, several times the length: longer ones leave the cache.
constexpr int64_t kLongestPackedChirp = 2048, kLongestPackedPrime = 8192;

bool IsDirect(int64_t n) { return LargestFactor(n) <= kLargestFactor; }

// Whether packs of this length are transformed.
bool IsPacked(int64_t n) {
  if (IsDirect(n)) return true;
  const int64_t p = LargestFactor(n);
  if (p < n) return n <= kLongestPackedPrime && IsPacked(p) && IsPacked(n / p);
  return n <= (IsDirect(n - 1) ? kLongestPackedPrime : kLongestPackedChirp);
}

// Compiled for the processor with all that it calls.
#define OFL_FLAT OFL_SIMD __attribute__((flatten))

template <class T>
using Plan = Eigen::internal::kiss_cpx_fft<T>;

// kiss_cpx_fft::work, whose steps come inline, compiled for the processor. Products and sums are
// not fused: a line has the same bits alone and in a lane.
template <class T>
OFL_FLAT void Stage(Plan<T>& plan, size_t stage, std::complex<T>* out, const std::complex<T>* in,
                    size_t step) {
  const int radix = plan.m_stageRadix[stage], rest = plan.m_stageRemainder[stage];
  const auto p = static_cast<size_t>(radix), m = static_cast<size_t>(rest);
  if (m > 1) {
    for (size_t q = 0; q < p; ++q) Stage(plan, stage + 1, out + q * m, in + q * step, step * p);
  } else {
    for (size_t q = 0; q < p; ++q) out[q] = in[q * step];
  }
  switch (radix) {
    case 2: return plan.bfly2(out, step, rest);
    case 3: return plan.bfly3(out, step, m);
    case 4: return plan.bfly4(out, step, m);
    case 5: return plan.bfly5(out, step, m);
    default: return plan.bfly_generic(out, step, rest, radix);
  }
}

template <class T>
class Direct final : public Transform<T> {
 public:
  using Complex = std::complex<T>;
  Direct(int64_t n, bool forward) {
    plan_.make_twiddles(static_cast<int>(n), !forward);
    plan_.factorize(static_cast<int>(n));
  }
  void Run(const Complex* in, Complex* out) override { Stage(plan_, 0, out, in, 1); }

 private:
  Plan<T> plan_;
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

template <class T, class Real>
OFL_FLAT void Begin(const std::complex<T>* in, const std::complex<Real>* chirp, size_t n,
                    std::complex<Real>* out) {
  for (size_t k = 0; k < n; ++k) out[k] = Converted<Real>(in[k]) * chirp[k];
}
template <class Real>
OFL_FLAT void Product(std::complex<Real>* x, const std::complex<Real>* kernel, size_t n) {
  for (size_t k = 0; k < n; ++k) x[k] = x[k] * kernel[k];
}
template <class T, class Real>
OFL_FLAT void End(const std::complex<Real>* in, const std::complex<Real>* chirp, size_t n,
                  std::complex<T>* out) {
  for (size_t k = 0; k < n; ++k) out[k] = Converted<T>(in[k] * chirp[k]);
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
    Begin(in, chirp_.data(), n_, padded_.data());
    std::fill(padded_.begin() + static_cast<std::ptrdiff_t>(n_), padded_.end(),
              Wide(Real(0), Real(0)));
    there_->Run(padded_.data(), mixed_.data());
    Product(mixed_.data(), kernel_.data(), mixed_.size());
    back_->Run(mixed_.data(), padded_.data());
    End(padded_.data(), chirp_.data(), n_, out);
  }

 private:
  size_t n_;
  std::unique_ptr<Direct<Real>> there_, back_;
  std::vector<Wide> chirp_, padded_, mixed_, kernel_;
};

// A transform of prime length p as a cyclic convolution of the p - 1 numbers after the first, in
// the order of powers of a primitive root (Rader, 1968). In double, as the chirp form.
struct RootOrder {
  explicit RootOrder(int64_t p) {
    const int64_t g = PrimitiveRoot(p), back = PowerOf(g, p - 2, p);
    for (int64_t q = 0, from = 1, to = 1; q + 1 < p; ++q) {
      taken.push_back(static_cast<size_t>(from)), given.push_back(static_cast<size_t>(to));
      from = from * g % p, to = to * back % p;
    }
  }
  std::vector<size_t> taken, given;  // powers of g, and of its inverse
};

// y = x factor.
template <class T>
OFL_FLAT void Multiply(const std::complex<T>* x, const std::complex<double>* factor, size_t n,
                       std::complex<T>* y) {
  for (size_t k = 0; k < n; ++k) {
    const T re = x[k].real(), im = x[k].imag(), c(factor[k].real()), s(factor[k].imag());
    y[k] = {re * c - im * s, re * s + im * c};
  }
}
// Numbers of `in` at places first, first + step, ...; and the other way.
template <class To, class From>
OFL_FLAT void Pick(const std::complex<From>* in, size_t step, size_t n, std::complex<To>* out) {
  for (size_t k = 0; k < n; ++k) out[k] = Converted<To>(in[k * step]);
}
template <class To, class From>
OFL_FLAT void Place(const std::complex<From>* in, size_t step, size_t n, std::complex<To>* out) {
  for (size_t k = 0; k < n; ++k) out[k * step] = Converted<To>(in[k]);
}
// The same at any places.
template <class To, class From>
OFL_FLAT void PickAt(const std::complex<From>* in, const std::vector<size_t>& places,
                     std::complex<To>* out) {
  for (size_t k = 0; k < places.size(); ++k) out[k] = Converted<To>(in[places[k]]);
}
template <class To, class From>
OFL_FLAT void PlaceAt(const std::complex<From>* in, const std::vector<size_t>& places,
                      std::complex<To>* out) {
  for (size_t k = 0; k < places.size(); ++k) out[places[k]] = Converted<To>(in[k]);
}

template <class T>
class Prime final : public Transform<T> {
 public:
  using Complex = std::complex<T>;
  using Real = typename WideOf<T>::Type;
  Prime(int64_t p, bool forward)
      : order_(p),
        there_(p - 1, true),
        back_(p - 1, false),
        kernel_(order_.given.size()),
        taken_(kernel_.size()),
        mixed_(kernel_.size()) {
    std::vector<std::complex<double>> turns;
    for (const size_t k : order_.given)
      turns.push_back(Turn(static_cast<int64_t>(k), p, forward ? -1 : 1) /
                      static_cast<double>(p - 1));
    Direct<double>(p - 1, true).Run(turns.data(), kernel_.data());
  }
  void Run(const Complex* in, Complex* out) override {
    PickAt(in, order_.taken, taken_.data());
    there_.Run(taken_.data(), mixed_.data());
    const std::complex<Real> first = Converted<Real>(in[0]), sum = first + mixed_[0];
    Multiply(mixed_.data(), kernel_.data(), kernel_.size(), mixed_.data());
    mixed_[0] += first;  // into every number
    back_.Run(mixed_.data(), taken_.data());
    out[0] = Converted<T>(sum);
    PlaceAt(taken_.data(), order_.given, out);
  }

 private:
  RootOrder order_;
  Direct<Real> there_, back_;
  std::vector<std::complex<double>> kernel_;
  std::vector<std::complex<Real>> taken_, mixed_;
};

// Of a length with a large prime factor p: by lines of p and of the other factor (Cooley, Tukey).
template <class T>
class Composite final : public Transform<T> {
 public:
  using Complex = std::complex<T>;
  using Real = typename WideOf<T>::Type;
  Composite(int64_t n, int64_t p, bool forward)
      : p_(static_cast<size_t>(p)),
        rest_(static_cast<size_t>(n / p)),
        long_(MakeTransform<Real>(p, forward)),
        short_(MakeTransform<Real>(n / p, forward)),
        line_(static_cast<size_t>(n)),
        lines_(line_.size()) {
    for (int64_t k = 0; k < p; ++k)
      for (int64_t r = 0; r < n / p; ++r) turns_.push_back(Turn(k * r, n, forward ? -1 : 1));
  }
  void Run(const Complex* in, Complex* out) override {
    for (size_t r = 0; r < rest_; ++r) {
      Pick(in + r, rest_, p_, line_.data());
      long_->Run(line_.data(), lines_.data() + r * p_);
    }
    for (size_t k = 0; k < p_; ++k) {
      Wide* line = line_.data();
      Pick(lines_.data() + k, p_, rest_, line);
      Multiply(line, turns_.data() + k * rest_, rest_, line);
      short_->Run(line, line + rest_);
      Place(line + rest_, p_, rest_, out + k);
    }
  }

 private:
  using Wide = std::complex<Real>;
  size_t p_, rest_;
  std::unique_ptr<Transform<Real>> long_, short_;
  std::vector<std::complex<double>> turns_;
  std::vector<Wide> line_, lines_;
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

template <class T>
OFL_FLAT void Unfold(const std::complex<T>* mixed, const std::complex<T>* turns, size_t half,
                     std::complex<T>* out) {
  using Complex = std::complex<T>;
  for (size_t k = 1; k < half; ++k) {
    const Complex a = mixed[k], b = std::conj(mixed[half - k]);
    const Complex odd = (a - b) * turns[k];
    out[k] = (a + b + Complex(odd.imag(), -odd.real())) * T(0.5);
  }
}
template <class T>
OFL_FLAT void Fold(const std::complex<T>* in, const std::complex<T>* turns, size_t half,
                   std::complex<T>* mixed) {
  using Complex = std::complex<T>;
  for (size_t k = 1; k < half; ++k) {
    const Complex a = in[k], b = std::conj(in[half - k]);
    const Complex odd = (a - b) * turns[k];
    mixed[k] = a + b + Complex(-odd.imag(), odd.real());
  }
}

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
    Unfold(mixed_.data(), turns_.data(), half_, out);
    out[0] = zero, out[half_] = last;
  }
  void Back(const Complex* in, T* out) override {
    mixed_[0] = Complex(in[0].real() + in[half_].real(), in[0].real() - in[half_].real());
    Fold(in, turns_.data(), half_, mixed_.data());
    transform_->Run(mixed_.data(), reinterpret_cast<Complex*>(out));
  }

 private:
  size_t half_;
  std::unique_ptr<Transform<T>> transform_;
  std::vector<Complex> turns_, mixed_;
};

// The numbers of a real line in the order of a root's powers, and of a half: of number k of the
// line the sum of both parts of k, of the half mirrored.
template <class To, class T>
OFL_FLAT void PickReal(const T* in, const std::vector<size_t>& places, To* out) {
  for (size_t q = 0; q < places.size(); ++q) out[q] = Converted<To>(in[places[q]]);
}
template <class To, class T>
OFL_FLAT void PickHalf(const std::complex<T>* in, const std::vector<size_t>& places, To* out) {
  const size_t h = places.size() / 2;
  for (size_t q = 0; q < 2 * h; ++q) {
    const size_t k = places[q];
    const std::complex<To> x = Converted<To>(in[k <= h ? k : 2 * h + 1 - k]);
    out[q] = k <= h ? x.real() + x.imag() : x.real() - x.imag();
  }
}
template <class To, class T>
OFL_FLAT void PlaceReal(const T* in, const std::vector<size_t>& places, To* out) {
  for (size_t q = 0; q < places.size(); ++q) out[places[q]] = Converted<To>(in[q]);
}
// Number -k of a line's Hartley transform stands half a turn of the powers from k.
template <class To, class T>
OFL_FLAT void PlaceHalf(const T* in, const std::vector<size_t>& places, std::complex<To>* out) {
  const size_t h = places.size() / 2;
  for (size_t q = 0; q < h; ++q) {
    const To re = Converted<To>(in[q] + in[q + h]), im = Converted<To>(in[q] - in[q + h]);
    const size_t k = places[q];
    if (k <= h) {
      out[k] = {re, im};
    } else {
      out[2 * h + 1 - k] = {re, -im};
    }
  }
}

// Of prime length: the Hartley transform (cos - sin), as Rader's convolution, which is real.
template <class T>
class PrimeReal final : public RealTransform<T> {
 public:
  using Complex = std::complex<T>;
  using Real = typename WideOf<T>::Type;
  PrimeReal(int64_t p, bool forward)
      : order_(p),
        there_(p - 1, true),
        back_(p - 1, false),
        kernel_(static_cast<size_t>(p / 2 + 1)),
        line_(static_cast<size_t>(p - 1)),
        mixed_(kernel_.size()) {
    // Forward, both parts are sums and differences of two halves.
    const double share = (forward ? 0.5 : 1) / static_cast<double>(p - 1);
    std::vector<double> turns;
    for (const size_t k : order_.given) {
      const std::complex<double> turn = Turn(static_cast<int64_t>(k), p, 1);
      turns.push_back((turn.real() - turn.imag()) * share);
    }
    EvenReal<double>(p - 1, true).Forward(turns.data(), kernel_.data());
  }
  void Forward(const T* in, Complex* out) override {
    const Real first = Converted<Real>(in[0]);
    PickReal(in, order_.taken, line_.data());
    out[0] = Complex(Converted<T>(first + Convolve(first * Real(0.5))), T(0));
    PlaceHalf(line_.data(), order_.given, out);
  }
  void Back(const Complex* in, T* out) override {
    const Real first = Converted<Real>(in[0].real());
    PickHalf(in, order_.taken, line_.data());
    out[0] = Converted<T>(first + Convolve(first));
    PlaceReal(line_.data(), order_.given, out);
  }

 private:
  // Of the line, which gives its sum; `offset` is added to every result.
  Real Convolve(Real offset) {
    there_.Forward(line_.data(), mixed_.data());
    const Real sum = mixed_[0].real();
    Multiply(mixed_.data(), kernel_.data(), kernel_.size(), mixed_.data());
    mixed_[0] += offset;
    back_.Back(mixed_.data(), line_.data());
    return sum;
  }

  RootOrder order_;
  EvenReal<Real> there_, back_;
  std::vector<std::complex<double>> kernel_;
  std::vector<Real> line_;
  std::vector<std::complex<Real>> mixed_;
};

}  // namespace

template <class T>
std::unique_ptr<Transform<T>> MakeTransform(int64_t n, bool forward) {
  if (n == 1) return std::make_unique<Identity<T>>();
  if (IsDirect(n)) return std::make_unique<Direct<T>>(n, forward);
  if (!std::is_floating_point_v<T> && !IsPacked(n)) return nullptr;
  const int64_t p = LargestFactor(n);
  if (p < n) return std::make_unique<Composite<T>>(n, p, forward);
  if (IsDirect(n - 1)) return std::make_unique<Prime<T>>(n, forward);
  return std::make_unique<Chirp<T>>(n, forward);
}

template <class T>
std::unique_ptr<RealTransform<T>> MakeRealTransform(int64_t n, bool forward) {
  if (!std::is_floating_point_v<T> && !IsPacked(n)) return nullptr;
  if (n % 2 == 0) return std::make_unique<EvenReal<T>>(n, forward);
  if (!IsDirect(n) && LargestFactor(n) == n && IsDirect(n - 1))
    return std::make_unique<PrimeReal<T>>(n, forward);
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
