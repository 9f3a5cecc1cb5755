// Powers of two tensors, or of a tensor and a number.
#include <cmath>

#include "oneflow_like/ops/elementwise/forms.h"

namespace ofl::ops {
namespace {

// A whole power wraps as products do; a negative one is what division towards zero leaves of it.
struct Power {
  template <class T>
  OFL_FN T operator()(T x, T e) const {
    if constexpr (std::is_integral_v<T>) {
      if (e < 0) return x == 1 ? T(1) : x == -1 ? (e % 2 == 0 ? T(1) : T(-1)) : T(0);
      T result = 1;
      for (; e != 0; e >>= 1) {
        if (e & 1) result = static_cast<T>(result * x);
        x = static_cast<T>(x * x);
      }
      return result;
    } else {
      return math::Pow(x, e);
    }
  }
};
struct Square {
  template <class T>
  OFL_FN T operator()(T x) const {
    return math::Mul(x, x);
  }
};
struct Cube {
  template <class T>
  OFL_FN T operator()(T x) const {
    return math::Mul(math::Mul(x, x), x);
  }
};

struct Itself {
  template <class T>
  OFL_FN T operator()(T x) const {
    return x;
  }
};
struct Root {
  template <class T>
  OFL_FN T operator()(T x) const {
    return math::Sqrt(x);
  }
};
struct OverRoot {
  template <class T>
  OFL_FN T operator()(T x) const {
    return T(1) / math::Sqrt(x);
  }
};
struct Inverted {
  template <class T>
  OFL_FN T operator()(T x) const {
    return T(1) / x;
  }
};

Scalar Plus(const Scalar& s, int64_t n) {
  switch (s.category()) {
    case DTypeCategory::kComplex: return s.As<std::complex<double>>() + static_cast<double>(n);
    case DTypeCategory::kFloating: return s.As<double>() + static_cast<double>(n);
    default: return s.As<int64_t>() + n;
  }
}

op::Value IsZero(op::Builder& b, const op::Value& x) { return Against(b, "eq", x, 0); }

// Where 0^e does not depend on e: e >= 0.
op::Value IsFlatAtZero(op::Builder& b, const op::Value& e) {
  if (!IsComplex(e->meta().dtype)) return Against(b, "ge", e, 0);
  const op::Value real = b.Call("real", {e});
  const op::Value right = Against(b, "ge", real, 0);
  return b.Call("logical_and", {right, IsZero(b, b.Call("imag", {e}))});
}

// x^0 is 1 for every x, 0^e is 0 or 1 for every e >= 0: their slopes are 0 as in torch, where the
// formulas make 0 * inf. What would be infinite is replaced before it is computed, since a
// derivative of the slope multiplies by it again.
void GradPow(op::GradContext& c) {
  const op::Value& x = c.inputs[0];
  const op::Value& e = c.inputs[1];
  if (c.Needs(0)) {
    const op::Value none = IsZero(c.b, e);
    const op::Value size = c.b.Call("abs", {x});
    const op::Value away = Against(c.b, "gt", size, 0);  // NaN is not
    const op::Value pole = c.b.Call("logical_and", {none, c.b.Call("logical_not", {away})});
    const op::Value safe = c.b.Call("where", {pole, c.b.Call("ones_like", {e}), e});
    const op::Value lower = c.b.Call("pow", {x, AddScalar(c.b, safe, -1.0)});
    const op::Value dx = Mul(c.b, c.grads[0], Conj(c.b, Mul(c.b, e, lower)));
    c.Set(0, ReduceTo(c.b, dx, x->meta().shape));
  }
  if (c.Needs(1)) {
    const op::Value flat = c.b.Call("logical_and", {IsZero(c.b, x), IsFlatAtZero(c.b, e)});
    const op::Value safe = c.b.Call("where", {flat, c.b.Call("ones_like", {x}), x});
    const op::Value slope = Mul(c.b, c.outputs[0], c.b.Call("log", {safe}));
    const op::Value de = Mul(c.b, c.grads[0], Conj(c.b, slope));
    c.Set(1, ReduceTo(c.b, de, e->meta().shape));
  }
}

void GradPowScalar(op::GradContext& c) {
  const Scalar e = c.attrs.Number("scalar");
  if (e.As<std::complex<double>>() == 0.0) {
    c.Set(0, c.b.Call("zeros_like", {c.inputs[0]}));  // of x^0 = 1, at 0 too
    return;
  }
  const op::Value lower = c.b.Call("pow_scalar", {c.inputs[0]}, {{"scalar", Plus(e, -1)}});
  c.Set(0, Mul(c.b, c.grads[0], Conj(c.b, MulScalar(c.b, lower, e))));
}

DType WideOf(const op::Value& x) {
  return x != nullptr && IsComplex(x->meta().dtype) ? DType::kComplex128 : DType::kFloat64;
}

// Whether a result in place finds room: as torch does, float_power_ rounds to no narrower dtype.
bool HoldsWide(op::Builder& b, const op::Value& x, bool complex, const Attrs& attrs) {
  const DType wide = complex ? DType::kComplex128 : DType::kFloat64;
  if (!attrs.Get<bool>("in_place") || x->meta().dtype == wide) return true;
  b.Fail(Error(Code::kTypeMismatch)
         << "[float_power_] the result does not fit into its tensor: got "
         << DTypeName(x->meta().dtype) << " for " << DTypeName(wide)
         << "; expected a tensor of that dtype; use x = x.float_power(exponent)");
  return false;
}

Status InferPowScalar(op::InferContext& c) {
  OFL_TRY(InferNumber(c, kNumbers));
  const bool whole = IsInteger(c.input(0).dtype);
  OFL_ENSURE(!whole || c.number("scalar").As<int64_t>() >= 0, Code::kInvalidArgument)
      << "a whole number to a negative power is not whole; expected scalar >= 0; convert with "
      << ".to(flow.float32)";
  return Status::Ok();
}

// Kernels that are powers by multiplication and roots, as torch has them, which is also what
// gradients of squares and of roots see.
template <class T>
Status RunPowScalar(op::KernelContext& c) {
  const Scalar e = c.number("scalar");
  if (e.category() != DTypeCategory::kComplex) {
    const double exponent = e.As<double>();
    if (exponent == 2.0) return RunFunctor<Square, T>(c);
    if (exponent == 3.0) return RunFunctor<Cube, T>(c);
    if constexpr (std::is_floating_point_v<T>) {
      if (exponent == 1.0) return RunFunctor<Itself, T>(c);
      if (exponent == 0.5) return RunFunctor<Root, T>(c);
      if (exponent == -0.5) return RunFunctor<OverRoot, T>(c);
      if (exponent == -1.0) return RunFunctor<Inverted, T>(c);
    }
  }
  return RunFunctorWithNumber<Power, T, false>(c);
}

}  // namespace

OFL_OP(pow) {
  Binary<Power, kNumbers>(op, "input to the power of other, elementwise.",
                          "; never partial max min", {1, 4});
  op.Numbers({"pow_scalar", ""})
      .Grad(GradPow)
      .Autocast(op::Autocast::kFloat32)
      .Oracle("np.power(input, other)")
      .PyBoth("pow(input, exponent: other)")
      .PyMethod("__rpow__(exponent: other, input)")
      .Dunder("__pow__");
}

OFL_OP(pow_scalar) {
  DescribeNumber(op, kNumbers, "input to the power of scalar.", {2.0, 3.0, 0.5, -1.5, -1.0}, {1, 4})
      .Infer(InferPowScalar)
      .Sbp("(...)->(...); never partial max min")  // powers turn at 0, end there, or wrap
      .Grad(GradPowScalar)
      .Autocast(op::Autocast::kFloat32)
      .Oracle("np.power(input, input.dtype.type(scalar))")
      .Py("pow_scalar(input, scalar)");
  ForEachDType<kNumbers>([&]<class T>(DType dtype) { op.Cpu(dtype, RunPowScalar<T>); });
}

OFL_OP(float_power) {
  op.Doc("input to the power of exponent, in float64 or complex128.")
      .In("input")
      .In("other")
      .Out("output")
      .Attr("in_place", op::AttrType::kBool, false)
      .InPlace(0, 0)
      .Compose([](op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
        const bool complex = IsComplex(in[0]->meta().dtype) || IsComplex(in[1]->meta().dtype);
        if (!HoldsWide(b, in[0], complex, attrs)) return op::Values{nullptr};
        const op::Value x = CastTo(b, in[0], WideOf(in[0]));
        return op::Values{b.Call("pow", {x, CastTo(b, in[1], WideOf(in[1]))})};
      })
      .Oracle("np.float_power(input, other)")
      .PyBoth("float_power(input, exponent: other)")
      .PyMethod("float_power_(input, exponent: other)", {{"in_place", true}})
      .Samples([]() -> std::vector<op::Sample> {
        return {{{{DType::kFloat32, {5, 3}}, {DType::kFloat32, {3}}}, {}, 1, 4, ""},
                {{{DType::kInt64, {5}}, {DType::kInt64, {5}}}, {}, 1, 4, ""},
                {{{DType::kFloat64, {}}, {DType::kFloat64, {4}}}, {}, 1, 4, ""},
                {{{DType::kComplex64, {4}}, {DType::kComplex64, {4}}}, {}, 1, 4, ""}};
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}, {DType::kFloat32, {2}}},
                      {{"in_place", true}},
                      Code::kTypeMismatch,
                      "got float32 for float64"}});
}

OFL_OP(float_power_number) {
  op.Doc("input to the power of a number, in float64 or complex128.")
      .In("input")
      .Out("output")
      .Attr("exponent", op::AttrType::kScalar)
      .Attr("in_place", op::AttrType::kBool, false)
      .InPlace(0, 0)
      .Compose([](op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
        const Scalar exponent = attrs.Number("exponent");
        const bool complex = exponent.category() == DTypeCategory::kComplex;
        if (!HoldsWide(b, in[0], complex || IsComplex(in[0]->meta().dtype), attrs))
          return op::Values{nullptr};
        const op::Value x = CastTo(b, in[0], complex ? DType::kComplex128 : WideOf(in[0]));
        return op::Values{b.Call("pow_scalar", {x}, {{"scalar", exponent}})};
      })
      .Oracle("np.float_power(input, exponent)")
      .PyBoth("float_power(input, exponent)")
      .PyMethod("float_power_(input, exponent)", {{"in_place", true}})
      .Samples([] {
        return UnarySamples({DType::kFloat32, DType::kFloat64, DType::kInt64, DType::kComplex64}, 1,
                            4, {{"exponent", 2.5}});
      })
      .ErrorSamples({{{{DType::kFloat64, {2}}},
                      {{"exponent", std::complex<double>(0, 1)}, {"in_place", true}},
                      Code::kTypeMismatch,
                      "got float64 for complex128"}});
}

OFL_OP(float_power_base) {
  op.Doc("A number to the power of exponent, in float64 or complex128.")
      .In("exponent")
      .Out("output")
      .Attr("base", op::AttrType::kScalar)
      .Compose([](op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
        const Scalar base = attrs.Number("base");
        const bool complex = base.category() == DTypeCategory::kComplex;
        const op::Value x = CastTo(b, in[0], complex ? DType::kComplex128 : WideOf(in[0]));
        const op::Value wide = b.Call("full_like", {x}, {{"value", base}});
        return op::Values{b.Call("pow", {wide, x})};
      })
      .Oracle("np.float_power(base, exponent)")
      .Py("float_power(self: base, exponent)")
      .Public()
      .Samples([] {
        return UnarySamples({DType::kFloat32, DType::kFloat64, DType::kInt64, DType::kComplex64}, 1,
                            4, {{"base", 2.5}});
      });
}

}  // namespace ofl::ops
