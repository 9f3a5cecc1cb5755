"""Deliberate differences: what they look like, and the reason that docs/from_pytorch.md gives.

An entry is (row, call, what differs, key of the reason); each of the first three is a pattern of
fnmatch. A case that differs otherwise than its entry says stays open.
"""

import fnmatch
import re

# key -> one sentence for the user, which stands in docs/from_pytorch.md.
REASONS = {
    "more-dtypes": "A dtype that PyTorch's CPU kernel does not know (\"not implemented for\") is "
                   "computed here.",
    "more-gradients": "A gradient that PyTorch does not have (\"not implemented\", or an error "
                      "inside its backward) is computed here.",
    "multi-views": "Results of `unbind`, `split` and `chunk` may be written in place where "
                   "gradients are recorded; PyTorch refuses that.",
    "numbers": "Functions of tensors take a number where PyTorch insists on a tensor (`maximum(x, "
               "2)`).",
    "complex-half": "There are no complex numbers of half precision: float16 beside a complex "
                    "number gives complex64, where PyTorch on CPUs has no kernel.",
    "local-strides": "`stride`, `storage_offset` and `is_contiguous` of a global tensor are those "
                     "of this rank's part.",
    "local-memory": "A global tensor has no memory of its own: DLPack and `new_empty_strided` want "
                    "a local one (`x.to_local()`), and a view whose elements other ranks hold has "
                    "another `data_ptr()` than its base.",
    "global-resize": "`resize_` and `resize_as_` change local tensors; a global one keeps its "
                     "shape.",
    "number-range": "A number beside an integer tensor means itself (`clamp(uint8, -1, 1)`); "
                    "PyTorch wraps it into the dtype first.",
    "exp-of-halves": "`matrix_exp` of half types is computed in float32, where PyTorch's "
                     "overflows.",
    "singular": "What `inv_ex` and `solve_ex` make of a singular matrix is infinite or NaN; which "
                "is not defined.",
    "limits": "`gelu` and Bessel functions have their limits at infinity, where PyTorch gives NaN; "
              "`polygamma` is infinite at its poles, where PyTorch's is a large number.",
    "airy": "`airy_ai` is exact to the last places; PyTorch's is off by up to 3e-6 around -2.",
    "polynomials": "Orthogonal polynomials of NaN are NaN, where PyTorch may give what its memory "
                   "held.",
    "polar": "The gradient of `polar` for a length below 0 is that of length * exp(i * angle); "
             "PyTorch's has the other sign there.",
    "type-names": "`x.type()` says `oneflow_like.FloatTensor`; `x.type('torch.FloatTensor')` is "
                  "understood.",
    "no-sizes": "`zeros()`, `ones()`, `empty()`, `rand()` and `randn()` without sizes make a "
                "tensor of no axes; `x.reshape()`, `x.permute()`, `x.expand()` and their kin take "
                "none as well.",
    "no-history": "`logical_not_`, `logical_and_`, `logical_or_` and `logical_xor_` of a result "
                  "give what has no gradient; PyTorch hands the new values' gradient to the old "
                  "ones.",
    "clone-order": "`clone()` and the results of operators are row-major without gaps; PyTorch "
                   "keeps the order of axes of a permuted operand.",
    "bags": "What `torch.embedding_bag` gives beside the bags serves its gradient alone: the "
            "place of each row is left out here, and in PyTorch where the weight is contiguous.",
    "arrays": "A NumPy array beside a tensor at an operator is a tensor, on either side and where "
              "gradients are recorded. So `a += x` of an array `a` binds `a` to a new tensor, for "
              "NumPy leaves it to the tensor and Python does not say which of the two it is; "
              "PyTorch does that for `/=` alone and refuses the others: write `a += x.numpy()`. "
              "Truth values that NumPy's functions make of a tensor (`np.isnan(x)`) are bool, "
              "where PyTorch's are uint8.",
    "out-shape": "`out=` takes a tensor of the result's shape or an empty one; PyTorch gives any "
                 "other the result's shape, with a warning that it will not do so for ever.",
    "ldexp": "The gradient of `ldexp` for its first operand is 2 to the power of the second; "
             "PyTorch rounds that to an integer, so that it is 0 for negative ones.",
    "sampled-halves": "`grid_sample` of half types is computed in float32 and rounded once, where "
                      "PyTorch rounds coordinates and weights too.",
    "as-strided-scatter": "The gradient of `as_strided_scatter` for its input is zero where `src` "
                          "was written; PyTorch's is zero everywhere else.",
}

EXPLAINED = [
    ("Tensor.type", "*.type()*", "oneflow_like.* instead of torch.*", "type-names"),
    *((f"torch.{name}", "*no arguments*", "accepted:*", "no-sizes")
      for name in ("zeros", "ones", "empty", "rand", "randn")),
    *((f"Tensor.logical_{name}_", "*gradient*", "gradient: operand 0: no tensor: None",
       "no-history") for name in ("not", "and", "or", "xor")),
    *((row, "*clone()*strided]", "4 of 6 values: *", "clone-order")
      for row in ("Tensor.resize_", "Tensor.resize_as_", "torch.resize_as_")),
    *((row, "*", "*a global tensor keeps its shape*", "global-resize")
      for row in ("Tensor.resize_", "Tensor.resize_as_", "torch.resize_as_")),
    ("torch.embedding_bag", "*strided]", "result 1: shape*", "bags"),
    ("*.polygamma", "*", "*: inf instead of *", "limits"),
    ("Tensor.__array__", "* + np.ones*", "accepted:*", "arrays"),
    ("F.gelu", "*inf*", "*inf instead of nan*", "limits"),
    ("special.*", "*nan, inf*", "*instead of nan at (1,)", "limits"),
    ("torch.i0", "*nan, inf*", "*instead of nan at (1,)", "limits"),
    *((f"Tensor.{name}", f"*, {layout}]", differs, "local-strides")
      for name, differs in (("stride", "*instead of*"), ("storage_offset", "*instead of*"),
                            ("is_contiguous", "True instead of False"))
      for layout in ("S0", "S1", "P")),
    *(("torch.from_dlpack", f"*, {layout}]", "raised ExportError*", "local-memory")
      for layout in ("S0", "S1", "P")),
    *(("Tensor.new_empty_strided", f"*, {layout}]", "raised InvalidArgumentError*", "local-memory")
      for layout in ("S0", "S1", "P")),
    ("*", "*x.view(-1).data_ptr() == x.data_ptr()*, S1]", "False instead of True", "local-memory"),
    ("special.airy_ai", "*lo=-20, hi=20*", "*values: -0.2754973419072* instead of*", "airy"),
    ("special.*_polynomial_*", "*nan*", "*values: nan instead of*", "polynomials"),
    ("torch.polar", "*gradient*", "gradient: operand 0: *", "polar"),
    ("*.ldexp*", "*gradient*", "gradient: operand 0: * instead of 0.0 *", "ldexp"),
    ("*.cl[ai][mp]*", "*uint8]", "*", "number-range"),
    ("F.grid_sample", "*float16]", "*values:*", "sampled-halves"),
    ("*.matrix_exp", "*float16]", "*instead of *", "exp-of-halves"),
    ("linalg.inv_ex", "*v(*", "*nan instead of inf*", "singular"),
    ("linalg.vander", "*float16]", "accepted*", "more-dtypes"),
    ("*.as_strided_scatter", "*gradient*", "gradient: operand 0:*", "as-strided-scatter"),
]


def reason(case, text, want):
    """The key of the reason for a difference, or ""."""
    if text.startswith("accepted") and re.search(
            "not implemented for '(Half|BFloat16|Long|Int|Short|Char|Byte|Bool)'", want):
        return "more-dtypes"
    if text.startswith("accepted") and "ScalarType ComplexHalf" in want:
        return "complex-half"
    if text.startswith("accepted") and re.search(r"must be Tensor, not (int|float)", want):
        return "numbers"
    if text.startswith("gradient: accepted") or (text.startswith("accepted") and (
            "does not support automatic differentiation" in want)):
        return "more-gradients"
    if text.startswith("accepted") and "returns multiple views" in want:
        return "multi-views"
    for row, call, differs, key in EXPLAINED:
        if all(fnmatch.fnmatchcase(x, y) for x, y in ((case.row, row), (str(case), call),
                                                      (text, differs))):
            return key
    return ""
