// Every functor of the elementwise families on a GPU, against the host's loop over the same values.
//
// The operator files are compiled by nvcc and linked with this one (scripts/test-cuda).
#include <cxxabi.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "oneflow_like/ops/elementwise/cuda_rows.h"

namespace ofl::ops {
namespace {

constexpr int64_t kElements = 5000;  // no multiple of a block

std::string NameOf(const CudaRow& row) {
  int status = 0;
  std::unique_ptr<char, decltype(&std::free)> name(
      abi::__cxa_demangle(row.functor->name(), nullptr, nullptr, &status), &std::free);
  std::string text = name.get();
  const std::string spaces[] = {"ofl::ops::", "(anonymous namespace)::"};
  for (const std::string& space : spaces)
    for (size_t at; (at = text.find(space)) != std::string::npos;) text.erase(at, space.size());
  text += "(";
  for (int i = 0; i < row.host.arity; ++i)
    text += std::string(i > 0 ? ", " : "") + DTypeName(row.host.in[i]);
  return text + ") -> " + DTypeName(row.host.out);
}

template <class Fn>
void WithType(DType dtype, const Fn& fn) {
  switch (dtype) {
    case DType::kFloat32: return fn(float{});
    case DType::kFloat64: return fn(double{});
    case DType::kInt32: return fn(int32_t{});
    case DType::kInt64: return fn(int64_t{});
    case DType::kBool: return fn(bool{});
    default: FAIL() << "no row computes in " << DTypeName(dtype);
  }
}

using Bytes = std::vector<unsigned char>;

// Random values, after those where functions have their corners; which of them meet is random too.
Bytes Values(DType dtype, std::mt19937_64& random) {
  Bytes bytes(kElements * DTypeSize(dtype));
  WithType(dtype, [&]<class T>(T) {
    T* to = reinterpret_cast<T*>(bytes.data());
    using L = std::numeric_limits<T>;
    for (int64_t i = 0; i < kElements; ++i) {
      if constexpr (std::is_floating_point_v<T>) {
        const T corners[] = {T(0),           T(-0.0),        T(1),     T(-1),       L::infinity(),
                             -L::infinity(), L::quiet_NaN(), L::max(), L::lowest(), L::denorm_min(),
                             L::min(),       T(0.5),         T(2),     T(88.7),     T(-104),
                             T(1e-30),       T(40),          T(-40)};
        to[i] = random() % 8 == 0 ? corners[random() % std::size(corners)]
                                  : std::normal_distribution<T>(0, 3)(random);
      } else if constexpr (std::is_same_v<T, bool>) {
        to[i] = random() % 2 == 0;
      } else {
        const T corners[] = {0, 1, -1, 2, 3, L::min(), L::max(), T(L::min() + 1)};
        to[i] = random() % 8 == 0 ? corners[random() % std::size(corners)]
                                  : static_cast<T>(static_cast<int64_t>(random() % 201) - 100);
      }
    }
  });
  return bytes;
}

struct DeviceMemory {
  explicit DeviceMemory(size_t size) { EXPECT_EQ(cudaMalloc(&data, size), cudaSuccess); }
  ~DeviceMemory() { cudaFree(data); }
  void* data = nullptr;
};

// Next to the largest number a step of one place decides between it and infinity.
template <class T>
constexpr T kLarge = std::numeric_limits<T>::max() / 4;

// The difference in units of the last place of max(1, |want|, size), with the size of the terms
// that cancelled.
template <class T>
double UlpsApart(T got, T want, double size) {
  if (got == want || (got != got && want != want)) return 0;
  if constexpr (std::is_floating_point_v<T>) {
    const double scale = std::max({1.0, std::fabs(static_cast<double>(want)), size});
    const double apart = std::fabs(static_cast<double>(got) - static_cast<double>(want));
    if (std::isfinite(apart)) return apart / scale / std::numeric_limits<T>::epsilon();
    const T smaller = std::min(std::fabs(got), std::fabs(want));
    if (std::signbit(got) == std::signbit(want) && smaller > kLarge<T>) return 0;
  }
  return std::numeric_limits<double>::infinity();
}

// Most ulps between host and GPU (measured on an H200: 4.2); the documented errors of CUDA's
// functions are up to 4 (pow), the host's own a few more, and compositions add theirs.
constexpr double kMostUlps = 8;

class CudaRowsTest : public testing::Test {
 protected:
  void SetUp() override {
    int count = 0;
    const cudaError_t found = cudaGetDeviceCount(&count);
    if (found != cudaSuccess || count == 0) GTEST_SKIP() << "no GPU: " << cudaGetErrorString(found);
  }
};

// The size of a gradient's terms is that of the incoming gradient, the first of two operands.
double GradientAt(const CudaRow& row, const Bytes& first, int64_t i) {
  double size = 0;
  if (row.host.arity != 2) return size;
  WithType(row.host.in[0], [&]<class T>(T) {
    const auto x = static_cast<double>(reinterpret_cast<const T*>(first.data())[i]);
    if (std::isfinite(x)) size = std::fabs(x);
  });
  return size;
}

// A product that overflows alone is finite where it fuses with the sum: of three operands with a
// large one the results are compared where both are finite.
template <class T>
bool MayOverflowInside(const CudaRow& row, const std::vector<Bytes>& in, int64_t i, T got, T want) {
  if constexpr (!std::is_floating_point_v<T>) return false;
  if (row.host.arity < 3 || (std::isfinite(got) && std::isfinite(want))) return false;
  bool large = false;
  for (int k = 0; k < row.host.arity; ++k)
    WithType(row.host.in[k], [&]<class In>(In) {
      if constexpr (std::is_floating_point_v<In>)
        large |= std::fabs(reinterpret_cast<const In*>(in[k].data())[i]) > kLarge<In>;
    });
  return large;
}

double MostUlpsOf(const CudaRow& row, std::mt19937_64& random) {
  const Bytes& functor = row.sample;
  std::vector<Bytes> in;
  std::vector<std::unique_ptr<DeviceMemory>> memory;
  const void* host_in[kMaxRowInputs] = {};
  const void* device_in[kMaxRowInputs] = {};
  for (int i = 0; i < row.host.arity; ++i) {
    in.push_back(Values(row.host.in[i], random));
    memory.push_back(std::make_unique<DeviceMemory>(in.back().size()));
    device_in[i] = memory.back()->data;
    EXPECT_EQ(
        cudaMemcpy(memory.back()->data, in.back().data(), in.back().size(), cudaMemcpyHostToDevice),
        cudaSuccess);
  }
  for (int i = 0; i < row.host.arity; ++i) host_in[i] = in[i].data();
  Bytes want(kElements * DTypeSize(row.host.out)), got(want.size());
  row.host.fn(functor.data(), host_in, want.data(), kElements);
  DeviceMemory out(want.size());
  EXPECT_EQ(row.launch(functor.data(), device_in, out.data, kElements), cudaSuccess) << NameOf(row);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess) << NameOf(row);
  EXPECT_EQ(cudaMemcpy(got.data(), out.data, got.size(), cudaMemcpyDeviceToHost), cudaSuccess);
  double most = 0;
  WithType(row.host.out, [&]<class T>(T) {
    for (int64_t i = 0; i < kElements; ++i) {
      const T a = reinterpret_cast<const T*>(got.data())[i];
      const T b = reinterpret_cast<const T*>(want.data())[i];
      if (MayOverflowInside(row, in, i, a, b)) continue;
      const double ulps = UlpsApart(a, b, GradientAt(row, in[0], i));
      most = std::max(most, ulps);
      if (ulps <= kMostUlps) continue;
      std::string operands;
      for (int k = 0; k < row.host.arity; ++k)
        WithType(row.host.in[k], [&]<class In>(In) {
          operands += " " + testing::PrintToString(reinterpret_cast<const In*>(in[k].data())[i]);
        });
      ADD_FAILURE() << NameOf(row) << " of" << operands << ": got " << testing::PrintToString(a)
                    << " on the GPU, " << testing::PrintToString(b) << " on the host";
      return;
    }
  });
  return most;
}

TEST_F(CudaRowsTest, GiveWhatTheHostsLoopsGive) {
  std::mt19937_64 random(1);
  ASSERT_GT(CudaRows().size(), 100u);
  std::map<std::string, double> apart;
  for (const CudaRow& row : CudaRows()) apart[NameOf(row)] = MostUlpsOf(row, random);
  for (const auto& [name, ulps] : apart)
    if (ulps > 0) std::printf("%6.2f ulp  %s\n", ulps, name.c_str());
  std::printf("%zu rows, the others equal in every bit\n", apart.size());
}

}  // namespace
}  // namespace ofl::ops
