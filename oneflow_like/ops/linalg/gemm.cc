#include "oneflow_like/ops/linalg/gemm.h"

#include <cblas.h>

#include <algorithm>
#include <array>
#include <limits>
#include <mutex>

#include "oneflow_like/ops/kernel_util.h"

namespace ofl::ops {
namespace {

// Panels smaller than this many multiplications cost more to hand over than to compute.
constexpr int64_t kMinPanelWork = 64 * 1024;
// Panel borders fall on whole register tiles of the library's kernels.
constexpr int64_t kPanelUnit = 16;

void UseOneLibraryThread() {
  static std::once_flag once;
  std::call_once(once, [] { scipy_openblas_set_num_threads(1); });
}

CBLAS_TRANSPOSE Flag(bool trans) { return trans ? CblasTrans : CblasNoTrans; }

void Call(const GemmArgs<float>& g) {
  scipy_cblas_sgemm(CblasRowMajor, Flag(g.trans_a), Flag(g.trans_b), g.m, g.n, g.k, g.alpha, g.a,
                    g.lda, g.b, g.ldb, g.beta, g.c, g.ldc);
}
void Call(const GemmArgs<double>& g) {
  scipy_cblas_dgemm(CblasRowMajor, Flag(g.trans_a), Flag(g.trans_b), g.m, g.n, g.k, g.alpha, g.a,
                    g.lda, g.b, g.ldb, g.beta, g.c, g.ldc);
}
void Call(const GemmArgs<std::complex<float>>& g) {
  scipy_cblas_cgemm(CblasRowMajor, Flag(g.trans_a), Flag(g.trans_b), g.m, g.n, g.k, &g.alpha, g.a,
                    g.lda, g.b, g.ldb, &g.beta, g.c, g.ldc);
}
void Call(const GemmArgs<std::complex<double>>& g) {
  scipy_cblas_zgemm(CblasRowMajor, Flag(g.trans_a), Flag(g.trans_b), g.m, g.n, g.k, &g.alpha, g.a,
                    g.lda, g.b, g.ldb, &g.beta, g.c, g.ldc);
}

// One row of an integer product, in tiles of columns that stay in registers and the first cache.
// Unsigned sums: what does not fit wraps.
template <class T>
void IntegerRow(const GemmArgs<T>& g, int64_t i) {
  using Sum = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  constexpr int64_t kColumns = 256;
  std::array<Sum, kColumns> sum;
  const T* a = g.a + (g.trans_a ? i : i * g.lda);
  const int64_t a_step = g.trans_a ? g.lda : 1;
  for (int64_t j0 = 0; j0 < g.n; j0 += kColumns) {
    const int64_t n = std::min(kColumns, g.n - j0);
    sum.fill(0);
    for (int64_t p = 0; p < g.k && !g.trans_b; ++p) {
      const Sum x = static_cast<Sum>(a[p * a_step]);
      const T* b = g.b + p * g.ldb + j0;
      for (int64_t j = 0; j < n; ++j) sum[j] += x * static_cast<Sum>(b[j]);
    }
    for (int64_t j = 0; j < n && g.trans_b; ++j) {
      const T* b = g.b + (j0 + j) * g.ldb;
      for (int64_t p = 0; p < g.k; ++p)
        sum[j] += static_cast<Sum>(a[p * a_step]) * static_cast<Sum>(b[p]);
    }
    T* c = g.c + i * g.ldc + j0;
    for (int64_t j = 0; j < n; ++j) {
      const Sum before =
          g.beta == T(0) ? Sum{0} : static_cast<Sum>(g.beta) * static_cast<Sum>(c[j]);
      c[j] = static_cast<T>(static_cast<Sum>(g.alpha) * sum[j] + before);
    }
  }
}

}  // namespace

template <class T>
void GemmSerial(const GemmArgs<T>& g) {
  if (g.m == 0 || g.n == 0) return;
  if constexpr (std::is_integral_v<T>) {
    for (int64_t i = 0; i < g.m; ++i) IntegerRow(g, i);
  } else {
    if (g.k == 0) {
      for (int64_t i = 0; i < g.m; ++i)
        for (int64_t j = 0; j < g.n; ++j) {
          T& c = g.c[i * g.ldc + j];
          c = g.beta == T(0) ? T(0) : c * g.beta;
        }
      return;
    }
    UseOneLibraryThread();
    Call(g);
  }
}

template <class T>
void GemmParallel(device::Stream* stream, const GemmArgs<T>& g) {
  if (g.m == 0 || g.n == 0) return;
  const bool by_rows = g.m >= g.n;
  const int64_t extent = by_rows ? g.m : g.n;
  const int64_t units = (extent + kPanelUnit - 1) / kPanelUnit;
  const int64_t work = g.m * g.n * std::max<int64_t>(g.k, 1);
  const int64_t panels =
      std::min({int64_t{stream->threads()}, units, std::max<int64_t>(work / kMinPanelWork, 1)});
  if (panels <= 1) return GemmSerial(g);
  stream->ParallelFor(panels, 1, [&](int64_t first, int64_t last) {
    const int64_t begin = units * first / panels * kPanelUnit;
    const int64_t end = std::min(units * last / panels * kPanelUnit, extent);
    GemmArgs<T> panel = g;
    if (by_rows) {
      panel.m = end - begin;
      panel.a += g.trans_a ? begin : begin * g.lda;
      panel.c += begin * g.ldc;
    } else {
      panel.n = end - begin;
      panel.b += g.trans_b ? begin * g.ldb : begin;
      panel.c += begin;
    }
    GemmSerial(panel);
  });
}

Status CheckGemmSizes(int64_t m, int64_t n, int64_t k) {
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
  OFL_ENSURE(m <= kMax && n <= kMax && k <= kMax, Code::kResourceExhausted)
      << "a side of the matrix product is too long: got m=" << m << ", n=" << n << ", k=" << k
      << "; expected at most " << kMax;
  return Status::Ok();
}

#define OFL_GEMM(T)                                \
  template void GemmSerial<T>(const GemmArgs<T>&); \
  template void GemmParallel<T>(device::Stream*, const GemmArgs<T>&);
OFL_GEMM(float)
OFL_GEMM(double)
OFL_GEMM(std::complex<float>)
OFL_GEMM(std::complex<double>)
OFL_GEMM(int8_t)
OFL_GEMM(uint8_t)
OFL_GEMM(int16_t)
OFL_GEMM(int32_t)
OFL_GEMM(int64_t)
#undef OFL_GEMM

}  // namespace ofl::ops
