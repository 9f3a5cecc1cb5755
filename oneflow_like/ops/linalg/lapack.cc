#include "oneflow_like/ops/linalg/lapack.h"

#include <cblas.h>

#include <algorithm>
#include <mutex>

namespace ofl::ops::lapack {
namespace {

using CFloat = std::complex<float>;
using CDouble = std::complex<double>;
using Len = size_t;  // Fortran hands the length of a text behind the arguments

void UseOneLibraryThread() {
  static std::once_flag once;
  std::call_once(once, [] { scipy_openblas_set_num_threads(1); });
}

int AtLeastOne(int n) { return std::max(n, 1); }

}  // namespace

// P: LAPACK's letter of the dtype, T: its type, R: the type of its real part; GQR, MQR: how the
// routines for orthogonal matrices are called there.
#define OFL_DECLARE(P, T, GQR, MQR)                                                              \
  void scipy_##P##potrf_(const char*, const int*, T*, const int*, int*, Len);                    \
  void scipy_##P##getrf_(const int*, const int*, T*, const int*, int*, int*);                    \
  void scipy_##P##getrs_(const char*, const int*, const int*, const T*, const int*, const int*,  \
                         T*, const int*, int*, Len);                                             \
  void scipy_##P##sytrf_(const char*, const int*, T*, const int*, int*, T*, const int*, int*,    \
                         Len);                                                                   \
  void scipy_##P##sytrs_(const char*, const int*, const int*, const T*, const int*, const int*,  \
                         T*, const int*, int*, Len);                                             \
  void scipy_##P##geqrf_(const int*, const int*, T*, const int*, T*, T*, const int*, int*);      \
  void scipy_##P##GQR##_(const int*, const int*, const int*, T*, const int*, const T*, T*,       \
                         const int*, int*);                                                      \
  void scipy_##P##MQR##_(const char*, const char*, const int*, const int*, const int*, const T*, \
                         const int*, const T*, T*, const int*, T*, const int*, int*, Len, Len);  \
  void scipy_##P##gels_(const char*, const int*, const int*, const int*, T*, const int*, T*,     \
                        const int*, T*, const int*, int*, Len);

#define OFL_DECLARE_REAL(P, T)                                                                     \
  void scipy_##P##gesdd_(const char*, const int*, const int*, T*, const int*, T*, T*, const int*,  \
                         T*, const int*, T*, const int*, int*, int*, Len);                         \
  void scipy_##P##syevd_(const char*, const char*, const int*, T*, const int*, T*, T*, const int*, \
                         int*, const int*, int*, Len, Len);                                        \
  void scipy_##P##geev_(const char*, const char*, const int*, T*, const int*, T*, T*, T*,          \
                        const int*, T*, const int*, T*, const int*, int*, Len, Len);               \
  void scipy_##P##gelsy_(const int*, const int*, const int*, T*, const int*, T*, const int*, int*, \
                         const T*, int*, T*, const int*, int*);                                    \
  void scipy_##P##gelsd_(const int*, const int*, const int*, T*, const int*, T*, const int*, T*,   \
                         const T*, int*, T*, const int*, int*, int*);                              \
  void scipy_##P##gelss_(const int*, const int*, const int*, T*, const int*, T*, const int*, T*,   \
                         const T*, int*, T*, const int*, int*);

#define OFL_DECLARE_COMPLEX(P, T, R)                                                               \
  void scipy_##P##hetrf_(const char*, const int*, T*, const int*, int*, T*, const int*, int*,      \
                         Len);                                                                     \
  void scipy_##P##hetrs_(const char*, const int*, const int*, const T*, const int*, const int*,    \
                         T*, const int*, int*, Len);                                               \
  void scipy_##P##gesdd_(const char*, const int*, const int*, T*, const int*, R*, T*, const int*,  \
                         T*, const int*, T*, const int*, R*, int*, int*, Len);                     \
  void scipy_##P##heevd_(const char*, const char*, const int*, T*, const int*, R*, T*, const int*, \
                         R*, const int*, int*, const int*, int*, Len, Len);                        \
  void scipy_##P##geev_(const char*, const char*, const int*, T*, const int*, T*, T*, const int*,  \
                        T*, const int*, T*, const int*, R*, int*, Len, Len);                       \
  void scipy_##P##gelsy_(const int*, const int*, const int*, T*, const int*, T*, const int*, int*, \
                         const R*, int*, T*, const int*, R*, int*);                                \
  void scipy_##P##gelsd_(const int*, const int*, const int*, T*, const int*, T*, const int*, R*,   \
                         const R*, int*, T*, const int*, R*, int*, int*);                          \
  void scipy_##P##gelss_(const int*, const int*, const int*, T*, const int*, T*, const int*, R*,   \
                         const R*, int*, T*, const int*, R*, int*);

extern "C" {
OFL_DECLARE(s, float, orgqr, ormqr)
OFL_DECLARE(d, double, orgqr, ormqr)
OFL_DECLARE(c, CFloat, ungqr, unmqr)
OFL_DECLARE(z, CDouble, ungqr, unmqr)
OFL_DECLARE_REAL(s, float)
OFL_DECLARE_REAL(d, double)
OFL_DECLARE_COMPLEX(c, CFloat, float)
OFL_DECLARE_COMPLEX(z, CDouble, double)
}

#define OFL_DEFINE(P, T, GQR, MQR)                                                                 \
  int Potrf(char uplo, int n, T* a) {                                                              \
    UseOneLibraryThread();                                                                         \
    const int lda = AtLeastOne(n);                                                                 \
    int info = 0;                                                                                  \
    scipy_##P##potrf_(&uplo, &n, a, &lda, &info, 1);                                               \
    return info;                                                                                   \
  }                                                                                                \
  int Getrf(int m, int n, T* a, int* pivots) {                                                     \
    UseOneLibraryThread();                                                                         \
    const int lda = AtLeastOne(m);                                                                 \
    int info = 0;                                                                                  \
    scipy_##P##getrf_(&m, &n, a, &lda, pivots, &info);                                             \
    return info;                                                                                   \
  }                                                                                                \
  void Getrs(char trans, int n, int columns, const T* lu, const int* pivots, T* b) {               \
    UseOneLibraryThread();                                                                         \
    const int ld = AtLeastOne(n);                                                                  \
    int info = 0;                                                                                  \
    scipy_##P##getrs_(&trans, &n, &columns, lu, &ld, pivots, b, &ld, &info, 1);                    \
  }                                                                                                \
  void Geqrf(int m, int n, T* a, T* tau, const Work<T>& w) {                                       \
    UseOneLibraryThread();                                                                         \
    const int lda = AtLeastOne(m);                                                                 \
    int info = 0;                                                                                  \
    scipy_##P##geqrf_(&m, &n, a, &lda, tau, w.work, &w.size, &info);                               \
  }                                                                                                \
  void Orgqr(int m, int n, int k, T* a, const T* tau, const Work<T>& w) {                          \
    UseOneLibraryThread();                                                                         \
    const int lda = AtLeastOne(m);                                                                 \
    int info = 0;                                                                                  \
    scipy_##P##GQR##_(&m, &n, &k, a, &lda, tau, w.work, &w.size, &info);                           \
  }                                                                                                \
  void Ormqr(char side, char trans, int m, int n, int k, const T* a, int lda, const T* tau, T* c,  \
             const Work<T>& w) {                                                                   \
    UseOneLibraryThread();                                                                         \
    const int ldc = AtLeastOne(m);                                                                 \
    int info = 0;                                                                                  \
    scipy_##P##MQR##_(&side, &trans, &m, &n, &k, a, &lda, tau, c, &ldc, w.work, &w.size, &info, 1, \
                      1);                                                                          \
  }                                                                                                \
  int Gels(int m, int n, int columns, T* a, T* b, int ldb, const Work<T>& w) {                     \
    UseOneLibraryThread();                                                                         \
    const int lda = AtLeastOne(m);                                                                 \
    int info = 0;                                                                                  \
    scipy_##P##gels_("N", &m, &n, &columns, a, &lda, b, &ldb, w.work, &w.size, &info, 1);          \
    return info;                                                                                   \
  }

#define OFL_DEFINE_REAL(P, T)                                                                      \
  int Sytrf(bool, int n, T* a, int* pivots, const Work<T>& w) {                                    \
    UseOneLibraryThread();                                                                         \
    const int lda = AtLeastOne(n);                                                                 \
    int info = 0;                                                                                  \
    scipy_##P##sytrf_("L", &n, a, &lda, pivots, w.work, &w.size, &info, 1);                        \
    return info;                                                                                   \
  }                                                                                                \
  void Sytrs(bool, int n, int columns, const T* ld, const int* pivots, T* b) {                     \
    UseOneLibraryThread();                                                                         \
    const int lda = AtLeastOne(n);                                                                 \
    int info = 0;                                                                                  \
    scipy_##P##sytrs_("L", &n, &columns, ld, &lda, pivots, b, &lda, &info, 1);                     \
  }                                                                                                \
  int Gesdd(char job, int m, int n, T* a, T* s, T* u, int ldu, T* vt, int ldvt,                    \
            const Work<T>& w) {                                                                    \
    UseOneLibraryThread();                                                                         \
    const int lda = AtLeastOne(m);                                                                 \
    int info = 0;                                                                                  \
    scipy_##P##gesdd_(&job, &m, &n, a, &lda, s, u, &ldu, vt, &ldvt, w.work, &w.size, w.whole,      \
                      &info, 1);                                                                   \
    return info;                                                                                   \
  }                                                                                                \
  int Syevd(bool vectors, char uplo, int n, T* a, T* values, const Work<T>& w) {                   \
    UseOneLibraryThread();                                                                         \
    const int lda = AtLeastOne(n);                                                                 \
    int info = 0;                                                                                  \
    scipy_##P##syevd_(vectors ? "V" : "N", &uplo, &n, a, &lda, values, w.work, &w.size, w.whole,   \
                      &w.whole_size, &info, 1, 1);                                                 \
    return info;                                                                                   \
  }                                                                                                \
  int Geev(bool vectors, int n, T* a, T* values, T* imaginary, T* right, const Work<T>& w) {       \
    UseOneLibraryThread();                                                                         \
    const int ld = AtLeastOne(n), one = 1;                                                         \
    int info = 0;                                                                                  \
    scipy_##P##geev_("N", vectors ? "V" : "N", &n, a, &ld, values, imaginary, nullptr, &one,       \
                     right, &ld, w.work, &w.size, &info, 1, 1);                                    \
    return info;                                                                                   \
  }                                                                                                \
  int Gelsy(int m, int n, int columns, T* a, T* b, int ldb, int* jpvt, T rcond, int* rank,         \
            const Work<T>& w) {                                                                    \
    UseOneLibraryThread();                                                                         \
    const int lda = AtLeastOne(m);                                                                 \
    int info = 0;                                                                                  \
    scipy_##P##gelsy_(&m, &n, &columns, a, &lda, b, &ldb, jpvt, &rcond, rank, w.work, &w.size,     \
                      &info);                                                                      \
    return info;                                                                                   \
  }                                                                                                \
  int Gelss(bool divide, int m, int n, int columns, T* a, T* b, int ldb, T* s, T rcond, int* rank, \
            const Work<T>& w) {                                                                    \
    UseOneLibraryThread();                                                                         \
    const int lda = AtLeastOne(m);                                                                 \
    int info = 0;                                                                                  \
    if (divide) {                                                                                  \
      scipy_##P##gelsd_(&m, &n, &columns, a, &lda, b, &ldb, s, &rcond, rank, w.work, &w.size,      \
                        w.whole, &info);                                                           \
    } else {                                                                                       \
      scipy_##P##gelss_(&m, &n, &columns, a, &lda, b, &ldb, s, &rcond, rank, w.work, &w.size,      \
                        &info);                                                                    \
    }                                                                                              \
    return info;                                                                                   \
  }

#define OFL_DEFINE_COMPLEX(P, T, R)                                                                \
  int Sytrf(bool hermitian, int n, T* a, int* pivots, const Work<T>& w) {                          \
    UseOneLibraryThread();                                                                         \
    const int lda = AtLeastOne(n);                                                                 \
    int info = 0;                                                                                  \
    (hermitian ? scipy_##P##hetrf_ : scipy_##P##sytrf_)("L", &n, a, &lda, pivots, w.work, &w.size, \
                                                        &info, 1);                                 \
    return info;                                                                                   \
  }                                                                                                \
  void Sytrs(bool hermitian, int n, int columns, const T* ld, const int* pivots, T* b) {           \
    UseOneLibraryThread();                                                                         \
    const int lda = AtLeastOne(n);                                                                 \
    int info = 0;                                                                                  \
    (hermitian ? scipy_##P##hetrs_ : scipy_##P##sytrs_)("L", &n, &columns, ld, &lda, pivots, b,    \
                                                        &lda, &info, 1);                           \
  }                                                                                                \
  int Gesdd(char job, int m, int n, T* a, R* s, T* u, int ldu, T* vt, int ldvt,                    \
            const Work<T>& w) {                                                                    \
    UseOneLibraryThread();                                                                         \
    const int lda = AtLeastOne(m);                                                                 \
    int info = 0;                                                                                  \
    scipy_##P##gesdd_(&job, &m, &n, a, &lda, s, u, &ldu, vt, &ldvt, w.work, &w.size, w.real,       \
                      w.whole, &info, 1);                                                          \
    return info;                                                                                   \
  }                                                                                                \
  int Syevd(bool vectors, char uplo, int n, T* a, R* values, const Work<T>& w) {                   \
    UseOneLibraryThread();                                                                         \
    const int lda = AtLeastOne(n);                                                                 \
    int info = 0;                                                                                  \
    scipy_##P##heevd_(vectors ? "V" : "N", &uplo, &n, a, &lda, values, w.work, &w.size, w.real,    \
                      &w.real_size, w.whole, &w.whole_size, &info, 1, 1);                          \
    return info;                                                                                   \
  }                                                                                                \
  int Geev(bool vectors, int n, T* a, T* values, T*, T* right, const Work<T>& w) {                 \
    UseOneLibraryThread();                                                                         \
    const int ld = AtLeastOne(n), one = 1;                                                         \
    int info = 0;                                                                                  \
    scipy_##P##geev_("N", vectors ? "V" : "N", &n, a, &ld, values, nullptr, &one, right, &ld,      \
                     w.work, &w.size, w.real, &info, 1, 1);                                        \
    return info;                                                                                   \
  }                                                                                                \
  int Gelsy(int m, int n, int columns, T* a, T* b, int ldb, int* jpvt, R rcond, int* rank,         \
            const Work<T>& w) {                                                                    \
    UseOneLibraryThread();                                                                         \
    const int lda = AtLeastOne(m);                                                                 \
    int info = 0;                                                                                  \
    scipy_##P##gelsy_(&m, &n, &columns, a, &lda, b, &ldb, jpvt, &rcond, rank, w.work, &w.size,     \
                      w.real, &info);                                                              \
    return info;                                                                                   \
  }                                                                                                \
  int Gelss(bool divide, int m, int n, int columns, T* a, T* b, int ldb, R* s, R rcond, int* rank, \
            const Work<T>& w) {                                                                    \
    UseOneLibraryThread();                                                                         \
    const int lda = AtLeastOne(m);                                                                 \
    int info = 0;                                                                                  \
    if (divide) {                                                                                  \
      scipy_##P##gelsd_(&m, &n, &columns, a, &lda, b, &ldb, s, &rcond, rank, w.work, &w.size,      \
                        w.real, w.whole, &info);                                                   \
    } else {                                                                                       \
      scipy_##P##gelss_(&m, &n, &columns, a, &lda, b, &ldb, s, &rcond, rank, w.work, &w.size,      \
                        w.real, &info);                                                            \
    }                                                                                              \
    return info;                                                                                   \
  }

#define OFL_DEFINE_TRSM(P, T, ONE)                                                            \
  void Trsm(bool left, bool upper, bool unit, int m, int n, const T* a, T* b) {               \
    if (m == 0 || n == 0) return;                                                             \
    UseOneLibraryThread();                                                                    \
    [[maybe_unused]] const T one = 1;                                                         \
    scipy_cblas_##P##trsm(CblasRowMajor, left ? CblasLeft : CblasRight,                       \
                          upper ? CblasUpper : CblasLower, CblasNoTrans,                      \
                          unit ? CblasUnit : CblasNonUnit, m, n, ONE, a, left ? m : n, b, n); \
  }
OFL_DEFINE_TRSM(s, float, one)
OFL_DEFINE_TRSM(d, double, one)
OFL_DEFINE_TRSM(c, CFloat, &one)
OFL_DEFINE_TRSM(z, CDouble, &one)

OFL_DEFINE(s, float, orgqr, ormqr)
OFL_DEFINE(d, double, orgqr, ormqr)
OFL_DEFINE(c, CFloat, ungqr, unmqr)
OFL_DEFINE(z, CDouble, ungqr, unmqr)
OFL_DEFINE_REAL(s, float)
OFL_DEFINE_REAL(d, double)
OFL_DEFINE_COMPLEX(c, CFloat, float)
OFL_DEFINE_COMPLEX(z, CDouble, double)

}  // namespace ofl::ops::lapack
