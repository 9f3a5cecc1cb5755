// Every row that a file compiled by nvcc uses, as a CUDA kernel beside the host's loop. Until CUDA
// has loops of its own this is the proof that a functor is device code, and what
// tests/cuda/rows_test.cu runs where there is a GPU.
#pragma once

#ifdef __CUDACC__  // nvcc includes the runtime by itself

#include <cstring>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include "oneflow_like/ops/elementwise/loops.h"
#include "oneflow_like/ops/math.h"

namespace ofl::ops {

struct CudaRow {
  const std::type_info* functor;
  std::vector<unsigned char> sample;  // a functor with some numbers as its parameters
  Row host;
  // out[i] = functor(in[i]...) on the current device; memory and operands as of RowFn, in device
  // memory, but for the functor.
  cudaError_t (*launch)(const void* functor, const void* const* in, void* out, int64_t n);
};

inline std::vector<CudaRow>& CudaRows() {
  static std::vector<CudaRow> rows;
  return rows;
}

template <class F, class Out, class... In>
__global__ void CudaRowKernel(F f, Out* y, int64_t n, const In*... x) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) y[i] = f(x[i]...);
}

template <class F, class Out, class... In, size_t... kIndex>
cudaError_t LaunchCudaRow(const void* functor, const void* const* in, void* out, int64_t n,
                          std::index_sequence<kIndex...>) {
  constexpr int kThreads = 256;
  const auto blocks = static_cast<unsigned>((n + kThreads - 1) / kThreads);
  CudaRowKernel<F, Out, In...><<<blocks, kThreads>>>(*static_cast<const F*>(functor),
                                                     static_cast<Out*>(out), n,
                                                     static_cast<const In*>(in[kIndex])...);
  return cudaGetLastError();
}

// Parameters are doubles where a functor takes them from attributes, else numbers as it computes.
template <class F, class Out>
std::vector<unsigned char> SampleOf() {
  std::vector<unsigned char> bytes(sizeof(F));
  using Number = std::conditional_t<std::is_constructible_v<F, const Attrs&>, double, Out>;
  if constexpr (std::is_trivially_default_constructible_v<F> ||
                std::is_constructible_v<F, const Attrs&>) {
    for (size_t i = 0; (i + 1) * sizeof(Number) <= sizeof(F); ++i) {
      const auto number = static_cast<Number>(0.75 * static_cast<double>(i + 1));
      std::memcpy(bytes.data() + i * sizeof(Number), &number, sizeof(Number));
    }
  } else {
    const F functor;
    std::memcpy(bytes.data(), static_cast<const void*>(&functor), sizeof(F));
  }
  return bytes;
}

// Rows of complex numbers stay out: CUDA has none of the standard library's.
template <class F, class Out, class... In>
Row ListCudaRow(Row row) {
  if constexpr (math::kIsComplex<Out> || (math::kIsComplex<In> || ...))
    return row;
  else
    CudaRows().push_back({&typeid(F), SampleOf<F, Out>(), row,
                          [](const void* f, const void* const* in, void* out, int64_t n) {
                            return LaunchCudaRow<F, Out, In...>(f, in, out, n,
                                                                std::index_sequence_for<In...>());
                          }});
  return row;
}

}  // namespace ofl::ops

#endif  // __CUDACC__
