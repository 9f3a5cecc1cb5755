// What holds of single elements.
#include <cmath>
#include <limits>

#include "oneflow_like/ops/elementwise/forms.h"

namespace ofl::ops {
namespace {

template <class T>
OFL_FN bool IsNan(T x) {
  if constexpr (math::kIsComplex<T>)
    return IsNan(x.real()) | IsNan(x.imag());
  else
    return x != x;
}
template <class T>
OFL_FN bool IsInf(T x, bool above, bool below) {
  if constexpr (math::kIsComplex<T>) {
    return IsInf(x.real(), above, below) | IsInf(x.imag(), above, below);
  } else if constexpr (std::is_floating_point_v<T>) {
    constexpr T kInf = std::numeric_limits<T>::infinity();
    return (above & (x == kInf)) | (below & (x == -kInf));
  } else {
    return false;
  }
}

struct Nan {
  template <class T>
  OFL_FN bool operator()(T x) const {
    return IsNan(x);
  }
};
struct Inf {
  template <class T>
  OFL_FN bool operator()(T x) const {
    return IsInf(x, true, true);
  }
};
struct PositiveInf {
  template <class T>
  OFL_FN bool operator()(T x) const {
    return IsInf(x, true, false);
  }
};
struct NegativeInf {
  template <class T>
  OFL_FN bool operator()(T x) const {
    return IsInf(x, false, true);
  }
};
struct Finite {
  template <class T>
  OFL_FN bool operator()(T x) const {
    return !(IsInf(x, true, true) | IsNan(x));
  }
};
struct HasNoImaginaryPart {
  template <class T>
  OFL_FN bool operator()(T x) const {
    if constexpr (math::kIsComplex<T>)
      return x.imag() == 0;
    else
      return true;
  }
};

constexpr DTypeSet kAny = kNumbers | kBools;

}  // namespace

OFL_OP(isnan) {
  Predicate<Nan, kAny>(op, "Whether an element, or a part of a complex one, is NaN.")
      .Oracle("np.isnan(input)");
  Named(op, "isnan(input)", Writes::kNothing);
}

OFL_OP(isinf) {
  Predicate<Inf, kAny>(op, "Whether an element, or a part of a complex one, is infinite.")
      .Oracle("np.isinf(input)");
  Named(op, "isinf(input)", Writes::kNothing);
}

OFL_OP(isposinf) {
  Predicate<PositiveInf, kReals | kBools>(op, "Whether an element is inf.")
      .Oracle("np.isposinf(input)");
  Named(op, "isposinf(input)", Writes::kNothing);
}

OFL_OP(isneginf) {
  Predicate<NegativeInf, kReals | kBools>(op, "Whether an element is -inf.")
      .Oracle("np.isneginf(input)");
  Named(op, "isneginf(input)", Writes::kNothing);
}

OFL_OP(isfinite) {
  Predicate<Finite, kAny>(op, "Whether an element, with both parts of a complex one, is finite.")
      .Oracle("np.isfinite(input)");
  Named(op, "isfinite(input)", Writes::kNothing);
}

OFL_OP(isreal) {
  Predicate<HasNoImaginaryPart, kAny>(op, "Whether the imaginary part of an element is 0.")
      .Oracle("np.isreal(input)");
  Named(op, "isreal(input)", Writes::kNothing);
}

}  // namespace ofl::ops
