// Functors of special functions that the host computes in double (functions.h).
#pragma once

#include "oneflow_like/ops/math.h"

#define OFL_HOST_FUNCTION(NAME, FUNCTION)                      \
  struct NAME {                                                \
    template <class T>                                         \
    OFL_FN T operator()(T x) const {                           \
      return static_cast<T>(FUNCTION(static_cast<double>(x))); \
    }                                                          \
  };
#define OFL_HOST_FUNCTION2(NAME, FUNCTION)                                             \
  struct NAME {                                                                        \
    template <class T>                                                                 \
    OFL_FN T operator()(T x, T y) const {                                              \
      return static_cast<T>(FUNCTION(static_cast<double>(x), static_cast<double>(y))); \
    }                                                                                  \
  };
