#include "tests/unit/op/host_tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <sstream>

#include "oneflow_like/core/half.h"

namespace ofl::op::testing {
namespace {

std::byte undefined{0xff};

// Calls fn with a value of the type that holds the dtype's numbers; half types have float.
template <class Fn>
auto WithType(DType dtype, const Fn& fn) {
  switch (dtype) {
    case DType::kFloat64:
    case DType::kComplex128: return fn(double{});
    case DType::kInt64: return fn(int64_t{});
    case DType::kInt32: return fn(int32_t{});
    case DType::kInt16: return fn(int16_t{});
    case DType::kUInt8: return fn(uint8_t{});
    case DType::kInt8: return fn(int8_t{});
    case DType::kBool: return fn(bool{});
    case DType::kFloat32:
    case DType::kComplex64:
    case DType::kFloat16:
    case DType::kBFloat16:
    case DType::kFloat8E4M3:
    case DType::kFloat8E5M2: break;
  }
  return fn(float{});
}

// Reads or writes one number of a dtype that C++ has no type for; null where it has one.
struct Narrow {
  double (*get)(const std::byte* data, int64_t i);
  void (*set)(std::byte* data, int64_t i, double value);
};
template <class F>
constexpr Narrow kNarrow = {
    [](const std::byte* data, int64_t i) {
      return static_cast<double>(F::Widen(reinterpret_cast<const F*>(data)[i]));
    },
    [](std::byte* data, int64_t i, double value) {
      reinterpret_cast<F*>(data)[i] = F::Round(static_cast<float>(value));
    }};
const Narrow* NarrowOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat16: return &kNarrow<Float16>;
    case DType::kBFloat16: return &kNarrow<BFloat16>;
    case DType::kFloat8E4M3: return &kNarrow<Float8E4M3>;
    case DType::kFloat8E5M2: return &kNarrow<Float8E5M2>;
    default: return nullptr;
  }
}

}  // namespace

device::Device* Cpu() { return *device::GetDevice(DeviceKind::kCpu); }

double Lowest(DType dtype) {
  return WithType(dtype, [](auto v) {
    using L = std::numeric_limits<decltype(v)>;
    return L::has_infinity ? -static_cast<double>(L::infinity()) : static_cast<double>(L::lowest());
  });
}
double Highest(DType dtype) {
  return WithType(dtype, [](auto v) {
    using L = std::numeric_limits<decltype(v)>;
    return L::has_infinity ? static_cast<double>(L::infinity()) : static_cast<double>(L::max());
  });
}

Result<device::BufferRef> Undefined(int64_t bytes) {
  OFL_ASSIGN(device::BufferRef buffer, Cpu()->Allocate(bytes));
  if (bytes > 0) std::memset(buffer->data(), std::to_integer<int>(undefined), bytes);
  return buffer;
}

UndefinedIs::UndefinedIs(std::byte byte) : before_(undefined) { undefined = byte; }
UndefinedIs::~UndefinedIs() { undefined = before_; }

HostTensor::HostTensor(const TensorMeta& meta) : meta_(meta), buffer_(*Undefined(meta.bytes())) {
  // Any byte but these is no bool.
  if (meta.dtype == DType::kBool && meta.bytes() > 0)
    std::memset(data(), undefined == std::byte{0} ? 0 : 1, meta.bytes());
}

double HostTensor::Get(int64_t i) const {
  if (const Narrow* narrow = NarrowOf(meta_.dtype)) return narrow->get(data(), i);
  return WithType(meta_.dtype, [&](auto v) {
    return static_cast<double>(reinterpret_cast<const decltype(v)*>(data())[i]);
  });
}

void HostTensor::Set(int64_t i, double value) {
  if (const Narrow* narrow = NarrowOf(meta_.dtype)) return narrow->set(data(), i, value);
  WithType(meta_.dtype, [&](auto v) {
    using T = decltype(v);
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      reinterpret_cast<T*>(data())[i] =
          static_cast<T>(static_cast<int64_t>(std::clamp(value, -9e15, 9e15)));
    } else {
      reinterpret_cast<T*>(data())[i] = static_cast<T>(value);
    }
  });
}

Host Make(const TensorMeta& meta) { return Host(new HostTensor(meta)); }

Host Copy(const Host& x) {
  Host y = Make(x->meta());
  if (x->numel() > 0) std::memcpy(y->data(), x->data(), x->meta().bytes());
  return y;
}

std::string Print(const Host& x) {
  std::ostringstream text;
  text << x->meta().ToString() << " {";
  for (int64_t i = 0; i < std::min<int64_t>(x->numel(), 40); ++i) text << " " << x->Get(i);
  text << (x->numel() > 40 ? " ..." : "") << " }";
  return text.str();
}

bool SameBits(const Host& a, const Host& b) {
  return a->meta() == b->meta() &&
         (a->numel() == 0 || std::memcmp(a->data(), b->data(), a->meta().bytes()) == 0);
}

namespace {

// Some units in the last place.
double ToleranceOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat64:
    case DType::kComplex128: return 1e-12;
    case DType::kFloat32:
    case DType::kComplex64: return 1e-5;
    case DType::kFloat16: return 2e-3;
    case DType::kBFloat16: return 1.6e-2;
    default: return 0.0;
  }
}

}  // namespace

std::string Difference(const Host& got, const Host& want, double scale) {
  if (got->meta() != want->meta())
    return "got " + got->meta().ToString() + ", want " + want->meta().ToString();
  const DType dtype = got->meta().dtype;
  const double tolerance = scale * ToleranceOf(dtype);
  double magnitude = 1;  // cancellation leaves errors of the size of the largest element
  for (int64_t i = 0; i < want->numel(); ++i)
    if (std::isfinite(want->Get(i))) magnitude = std::max(magnitude, std::fabs(want->Get(i)));
  for (int64_t i = 0; i < got->numel(); ++i) {
    const double a = got->Get(i), b = want->Get(i);
    if (a == b || (a != a && b != b)) continue;
    if (!(std::fabs(a - b) <= tolerance * magnitude))
      return "element " + std::to_string(i) + "\n  got  " + Print(got) + "\n  want " + Print(want);
  }
  return "";
}

std::vector<TensorMeta> MetasOf(std::span<const Host> tensors) {
  std::vector<TensorMeta> metas;
  for (const Host& t : tensors) metas.push_back(t->meta());
  return metas;
}

namespace {

// See Draw: the diagonals of square matrices become larger than the rest of their rows and columns.
void MakeDominant(const Host& x, const Sample& sample) {
  const Shape& shape = x->meta().shape;
  const int rank = shape.rank(), parts = IsComplex(x->meta().dtype) ? 2 : 1;
  if (rank < 2 || !IsDifferentiable(x->meta().dtype)) return;
  const int64_t rows = shape[rank - 2], n = shape[rank - 1];
  const double more = 2.0 * static_cast<double>(std::max(rows, n)) *
                      std::max(std::fabs(sample.low), std::fabs(sample.high));
  for (int64_t i = 0; i < shape.numel(); ++i) {
    const int64_t column = i % n, row = i / n % rows;
    if (row == column) x->Set(i * parts, x->Get(i * parts) + more);
  }
  if (sample.note.find("hermitian") == std::string::npos || rows != n) return;
  for (int64_t i = 0; i < shape.numel(); ++i) {
    const int64_t mirrored = MirrorOf(shape, i);
    if (mirrored < i) {
      x->Set(i * parts, x->Get(mirrored * parts));
      if (parts == 2) x->Set(i * 2 + 1, -x->Get(mirrored * 2 + 1));
    } else if (mirrored == i && parts == 2) {
      x->Set(i * 2 + 1, 0);
    }
  }
}

}  // namespace

int64_t MirrorOf(const Shape& shape, int64_t i) {
  const int64_t n = shape[shape.rank() - 1], column = i % n, row = i / n % n;
  return i + (column - row) * (n - 1);
}

Host Draw(const TensorMeta& meta, const Sample& sample, bool whole, std::mt19937& random) {
  Host x = Make(meta);
  const double low = meta.dtype == DType::kUInt8 ? std::max(sample.low, 0.0) : sample.low;
  const double first = std::ceil(low);
  const double last = std::ceil(sample.high) - 1;
  const bool integer = !IsDifferentiable(meta.dtype) || (whole && last > first);
  const int64_t choices = std::max<int64_t>(static_cast<int64_t>(last - first) + 1, 1);
  for (int64_t i = 0; i < x->numel(); ++i) {
    if (meta.dtype == DType::kBool) {
      x->Set(i, random() % 2);
    } else if (integer) {
      x->Set(i, first + static_cast<double>(random() % choices));
    } else {
      x->Set(i, std::uniform_real_distribution<double>(sample.low, sample.high)(random));
    }
  }
  if (sample.note.find("dominant") != std::string::npos ||
      sample.note.find("hermitian") != std::string::npos) {
    MakeDominant(x, sample);
  }
  return x;
}

Hosts DrawInputs(const Sample& sample, bool whole, std::mt19937& random) {
  Hosts inputs;
  for (const TensorMeta& meta : sample.inputs) inputs.push_back(Draw(meta, sample, whole, random));
  return inputs;
}

}  // namespace ofl::op::testing
