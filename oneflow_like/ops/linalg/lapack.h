// LAPACK's routines for the four dtypes that it has, by one name each. Matrices are column-major
// with leading dimension equal to their rows. Return values are LAPACK's `info`.
//
// Threads: any number of callers; the library itself never threads.
#pragma once

#include <complex>
#include <cstdint>

namespace ofl::ops::lapack {

template <class T>
struct RealOfType {
  using type = T;
};
template <class T>
struct RealOfType<std::complex<T>> {
  using type = T;
};
template <class T>
using Real = typename RealOfType<T>::type;

// A routine whose `size` is -1 only says, in work[0] (rwork[0], iwork[0]), how much it would take.
template <class T>
struct Work {
  T* work = nullptr;
  int size = -1;
  Real<T>* real = nullptr;
  int real_size = -1;
  int* whole = nullptr;
  int whole_size = -1;
};

// Trsm alone is of BLAS, and row-major: X of A X = B, or X A = B, in place of B (m x n).
#define OFL_LAPACK_ROUTINES(T)                                                                    \
  void Trsm(bool left, bool upper, bool unit, int m, int n, const T* a, T* b);                    \
  int Potrf(char uplo, int n, T* a);                                                              \
  int Getrf(int m, int n, T* a, int* pivots);                                                     \
  void Getrs(char trans, int n, int columns, const T* lu, const int* pivots, T* b);               \
  int Sytrf(bool hermitian, int n, T* a, int* pivots, const Work<T>& w);                          \
  void Sytrs(bool hermitian, int n, int columns, const T* ld, const int* pivots, T* b);           \
  void Geqrf(int m, int n, T* a, T* tau, const Work<T>& w);                                       \
  void Orgqr(int m, int n, int k, T* a, const T* tau, const Work<T>& w);                          \
  void Ormqr(char side, char trans, int m, int n, int k, const T* a, int lda, const T* tau, T* c, \
             const Work<T>& w);                                                                   \
  int Gesdd(char job, int m, int n, T* a, Real<T>* s, T* u, int ldu, T* vt, int ldvt,             \
            const Work<T>& w);                                                                    \
  int Syevd(bool vectors, char uplo, int n, T* a, Real<T>* values, const Work<T>& w);             \
  int Geev(bool vectors, int n, T* a, T* values, T* imaginary, T* right, const Work<T>& w);       \
  int Gels(int m, int n, int columns, T* a, T* b, int ldb, const Work<T>& w);                     \
  int Gelsy(int m, int n, int columns, T* a, T* b, int ldb, int* jpvt, Real<T> rcond, int* rank,  \
            const Work<T>& w);                                                                    \
  int Gelss(bool divide, int m, int n, int columns, T* a, T* b, int ldb, Real<T>* s,              \
            Real<T> rcond, int* rank, const Work<T>& w);

OFL_LAPACK_ROUTINES(float)
OFL_LAPACK_ROUTINES(double)
OFL_LAPACK_ROUTINES(std::complex<float>)
OFL_LAPACK_ROUTINES(std::complex<double>)
#undef OFL_LAPACK_ROUTINES

}  // namespace ofl::ops::lapack
