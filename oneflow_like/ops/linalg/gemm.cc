#include "oneflow_like/ops/linalg/gemm.h"

#include <cblas.h>

#include <algorithm>
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

void Call(const GemmArgs<float>& g, CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb) {
  scipy_cblas_sgemm(CblasRowMajor, ta, tb, g.m, g.n, g.k, g.alpha, g.a, g.lda, g.b, g.ldb, g.beta,
                    g.c, g.ldc);
}
void Call(const GemmArgs<double>& g, CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb) {
  scipy_cblas_dgemm(CblasRowMajor, ta, tb, g.m, g.n, g.k, g.alpha, g.a, g.lda, g.b, g.ldb, g.beta,
                    g.c, g.ldc);
}

}  // namespace

template <class T>
void GemmSerial(const GemmArgs<T>& g) {
  if (g.m == 0 || g.n == 0) return;
  if (g.k == 0) {
    for (int64_t i = 0; i < g.m; ++i)
      for (int64_t j = 0; j < g.n; ++j) {
        T& c = g.c[i * g.ldc + j];
        c = g.beta == T(0) ? T(0) : c * g.beta;
      }
    return;
  }
  UseOneLibraryThread();
  Call(g, g.trans_a ? CblasTrans : CblasNoTrans, g.trans_b ? CblasTrans : CblasNoTrans);
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

template void GemmSerial<float>(const GemmArgs<float>&);
template void GemmSerial<double>(const GemmArgs<double>&);
template void GemmParallel<float>(device::Stream*, const GemmArgs<float>&);
template void GemmParallel<double>(device::Stream*, const GemmArgs<double>&);

}  // namespace ofl::ops
