// einsum, tensordot and kron: sums of products over named axes.
#include <algorithm>
#include <cctype>

#include "oneflow_like/ops/linalg/contract.h"
#include "oneflow_like/ops/nn/losses.h"

namespace ofl::ops {
namespace {

// --- the text of einsum -------------------------------------------------------------------------

// Letters by place in the alphabet, capitals first; the axes of an ellipsis count down from -1, the
// last axis being the first of them.
constexpr int64_t kEllipsis = 1000;  // stands for all of them while a text is read

int64_t NameOf(char letter) {
  return std::isupper(static_cast<unsigned char>(letter)) ? letter - 'A' : 26 + letter - 'a';
}

Result<AxisNames> ReadSubscripts(std::string_view text) {
  AxisNames names;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ' ') continue;
    if (c == '.') {
      OFL_ENSURE(text.substr(i, 3) == "..." && std::ranges::count(names, kEllipsis) == 0,
                 Code::kInvalidArgument)
          << "no ellipsis: got " << Quoted(text) << "; expected at most one '...' an operand";
      names.push_back(kEllipsis);
      i += 2;
      continue;
    }
    OFL_ENSURE(std::isalpha(static_cast<unsigned char>(c)), Code::kInvalidArgument)
        << "a subscript is no letter: got " << Quoted(text) << "; expected letters and '...'";
    names.push_back(NameOf(c));
  }
  return names;
}

struct Equation {
  std::vector<AxisNames> inputs;
  AxisNames output;
  bool explicit_output = false;
};

Result<Equation> ReadEquation(std::string_view text) {
  Equation equation;
  const size_t arrow = text.find("->");
  std::string_view rest = text.substr(0, arrow);
  while (true) {
    const size_t comma = rest.find(',');
    OFL_ASSIGN(AxisNames names, ReadSubscripts(rest.substr(0, comma)));
    equation.inputs.push_back(std::move(names));
    if (comma == rest.npos) break;
    rest = rest.substr(comma + 1);
  }
  if (arrow != text.npos) {
    equation.explicit_output = true;
    OFL_ASSIGN(equation.output, ReadSubscripts(text.substr(arrow + 2)));
  }
  return equation;
}

// The ellipsis of an operand as the axes that it stands for: -n, ..., -2, -1.
Status Expand(AxisNames& names, int64_t count) {
  const auto at = std::ranges::find(names, kEllipsis);
  if (at == names.end()) return Status::Ok();
  AxisNames axes;
  for (int64_t i = count; i > 0; --i) axes.push_back(-i);
  const auto place = names.erase(at);
  names.insert(place, axes.begin(), axes.end());
  return Status::Ok();
}

// Without "->": the ellipsis, and the letters that stand once, in the order of the alphabet.
AxisNames Implied(const std::vector<AxisNames>& inputs) {
  AxisNames all;
  for (const AxisNames& names : inputs) all.insert(all.end(), names.begin(), names.end());
  AxisNames out;
  std::ranges::sort(all);
  for (int64_t name : all) {
    const bool once = std::ranges::count(all, name) == 1;
    if ((name < 0 || once) && std::ranges::count(out, name) == 0) out.push_back(name);
  }
  return out;
}

Status CheckOutput(const AxisNames& out, const std::vector<AxisNames>& inputs) {
  for (int64_t name : out) {
    OFL_ENSURE(std::ranges::count(out, name) == 1, Code::kInvalidArgument)
        << "a subscript stands twice in the output; expected each once";
    const bool known = std::ranges::any_of(
        inputs, [&](const AxisNames& names) { return std::ranges::count(names, name) > 0; });
    OFL_ENSURE(known, Code::kInvalidArgument)
        << "a subscript of the output stands in no operand; expected one that does";
  }
  return Status::Ok();
}

Result<AxisNames> ReadAll(std::string_view text, Operands in, std::vector<Factor>& factors) {
  OFL_ASSIGN(Equation equation, ReadEquation(text));
  OFL_ENSURE(equation.inputs.size() == in.size(), Code::kInvalidArgument)
      << "the subscripts do not fit the operands: got " << Quoted(text) << " and " << in.size()
      << " operands; expected one list of subscripts for each";
  int64_t most = 0;
  for (size_t i = 0; i < in.size(); ++i) {
    AxisNames& names = equation.inputs[i];
    const bool ellipsis = std::ranges::count(names, kEllipsis) > 0;
    const int64_t named = static_cast<int64_t>(names.size()) - ellipsis;
    const int64_t rank = in[i]->meta().shape.rank();
    OFL_ENSURE(ellipsis ? named <= rank : named == rank, Code::kInvalidArgument)
        << "the subscripts do not fit operand " << i << ": got " << Quoted(text) << " and "
        << in[i]->meta().ToString() << "; expected a letter for each axis";
    OFL_TRY(Expand(names, rank - named));
    if (ellipsis) most = std::max(most, rank - named);
    factors.push_back({in[i], names});
  }
  if (!equation.explicit_output) {
    equation.output = Implied(equation.inputs);
  } else {
    OFL_TRY(Expand(equation.output, most));
  }
  OFL_TRY(CheckOutput(equation.output, equation.inputs));
  OFL_ENSURE(equation.output.size() <= kMaxRank, Code::kInvalidArgument)
      << "the output has too many axes: got " << Quoted(text) << "; expected at most " << kMaxRank;
  return equation.output;
}

op::Values ComposeEinsum(op::Builder& b, Operands in, const Attrs& attrs) {
  std::vector<Factor> factors;
  const auto out = ReadAll(attrs.Get<std::string>("equation"), in, factors);
  if (!out.ok()) return Refused(b, out.status());
  if (const auto sizes = SizesOf(factors); !sizes.ok()) return Refused(b, sizes.status());
  return {Contracted(b, std::move(factors), *out, true)};
}

// --- tensordot and kron -------------------------------------------------------------------------

Result<AxisNames> NamesOfPairs(Operands in, const Ints& left, const Ints& right,
                               std::vector<Factor>& factors) {
  OFL_ENSURE(left.size() == right.size(), Code::kInvalidArgument)
      << "dims are no pairs: got " << left.size() << " and " << right.size()
      << " axes; expected as many of one as of the other";
  const Shape &x = in[0]->meta().shape, &y = in[1]->meta().shape;
  AxisNames x_names, y_names, out;
  for (int i = 0; i < x.rank(); ++i) x_names.push_back(i);
  for (int i = 0; i < y.rank(); ++i) y_names.push_back(kMaxRank + i);
  std::vector<bool> used(2 * kMaxRank);
  for (size_t i = 0; i < left.size(); ++i) {
    OFL_ENSURE(x.rank() > 0 && y.rank() > 0, Code::kOutOfRange)
        << "Dimension specified as " << (x.rank() > 0 ? right : left)[i]
        << " but tensor has no dimensions: got " << in[0]->meta().ToString() << " and "
        << in[1]->meta().ToString() << "; expected tensors with the axes of dims";
    OFL_ASSIGN(const int at, NormalizeAxis(left[i], x.rank()));
    OFL_ASSIGN(const int beside, NormalizeAxis(right[i], y.rank()));
    OFL_ENSURE(!used[at] && !used[kMaxRank + beside], Code::kInvalidArgument)
        << "an axis stands twice in dims; expected each once";
    OFL_ENSURE(x[at] == y[beside] || x[at] == 1 || y[beside] == 1, Code::kInvalidArgument)
        << "sizes of a pair of axes differ: got " << in[0]->meta().ToString() << " and "
        << in[1]->meta().ToString() << "; expected equal sizes along axes " << at << " and "
        << beside;
    used[at] = used[kMaxRank + beside] = true;
    y_names[beside] = at;
  }
  for (int i = 0; i < x.rank(); ++i)
    if (!used[i]) out.push_back(i);
  for (int i = 0; i < y.rank(); ++i)
    if (!used[kMaxRank + i]) out.push_back(kMaxRank + i);
  OFL_ENSURE(out.size() <= kMaxRank, Code::kInvalidArgument)
      << "the result would have more than " << kMaxRank << " axes";
  factors = {{in[0], x_names}, {in[1], y_names}};
  return out;
}

Status CheckOneDType(Operands in) {
  OFL_ENSURE(in[0]->meta().dtype == in[1]->meta().dtype, Code::kTypeMismatch)
      << "the dtypes differ: got " << in[0]->meta().ToString() << " and "
      << in[1]->meta().ToString() << "; expected one dtype; convert with .to(dtype)";
  return Status::Ok();
}

op::Values ComposeTensordot(op::Builder& b, Operands in, const Attrs& attrs) {
  if (Status wrong = CheckOneDType(in); !wrong.ok()) return Refused(b, wrong);
  std::vector<Factor> factors;
  const auto out = NamesOfPairs(in, attrs.Get<Ints>("dims_a"), attrs.Get<Ints>("dims_b"), factors);
  if (!out.ok()) return Refused(b, out.status());
  return {Contracted(b, std::move(factors), *out)};
}

// x with each element of the last axis `each` times, or with the whole axis `each` times.
op::Value Stretched(op::Builder& b, const op::Value& x, int64_t each, bool elements) {
  if (x == nullptr || each == 1) return x;
  const Shape& shape = x->meta().shape;
  Ints thin = DimsOf(shape);
  thin.insert(thin.end() - (elements ? 0 : 1), 1);
  Ints wide = thin, flat = DimsOf(shape);
  wide[wide.size() - (elements ? 1 : 2)] = each;
  flat.back() *= each;
  const op::Value repeated =
      b.Call("broadcast_to", {b.Call("reshape", {x}, {{"shape", thin}})}, {{"shape", wide}});
  return b.Call("reshape", {repeated}, {{"shape", flat}});
}

// Up to so many elements of a Kronecker product its parts' calls cost more than its short rows.
constexpr int64_t kFewProducts = 2048;

// Each axis of the result runs over a pair of axes, an element of input to many of other; over one
// axis where the other has size 1. The last pair is one axis from the start where the result is
// large, so that rows are long.
op::Values ComposeKron(op::Builder& b, Operands given, const Attrs&) {
  // An operand without axes counts like any other, as in torch.
  const auto dtype = PromoteTypes(given[0]->meta().dtype, given[1]->meta().dtype);
  if (!dtype.ok()) return Refused(b, dtype.status());
  const op::Value in[] = {CastTo(b, given[0], *dtype), CastTo(b, given[1], *dtype)};
  if (in[0] == nullptr || in[1] == nullptr) return {nullptr};
  const Shape &x = in[0]->meta().shape, &y = in[1]->meta().shape;
  const int rank = std::max(x.rank(), y.rank());
  const auto size = [rank](const Shape& s, int axis) {
    const int at = axis - rank + s.rank();
    return at < 0 ? int64_t{1} : s[at];
  };
  if (rank == 0) return {Mul(b, in[0], in[1])};
  Ints wide, narrow, out;
  int64_t products = 1;
  for (int i = 0; i < rank; ++i) {
    out.push_back(SaturatingMul(size(x, i), size(y, i)));
    products = SaturatingMul(products, out.back());
  }
  const bool stretched = products > kFewProducts || 2 * rank > kMaxRank;
  for (int i = 0; i < (stretched ? rank - 1 : rank); ++i) {
    const int64_t n = size(x, i), each = size(y, i);
    if (n != 1) wide.push_back(n), narrow.push_back(1);
    if (each != 1) wide.push_back(1), narrow.push_back(each);
  }
  if (stretched) wide.push_back(out.back()), narrow.push_back(out.back());
  if (wide.size() > kMaxRank) {
    return Refused(b, Error(Code::kUnimplemented)
                          << "a Kronecker product of " << wide.size() << " axes: got "
                          << in[0]->meta().ToString() << " and " << in[1]->meta().ToString()
                          << "; expected at most " << kMaxRank << " that are longer than 1");
  }
  const auto shaped = [&](const op::Value& v, const Ints& shape) {
    return b.Call("reshape", {v}, {{"shape", shape}});
  };
  if (!stretched) return {shaped(Mul(b, shaped(in[0], wide), shaped(in[1], narrow)), out)};
  const int64_t n = size(x, rank - 1), each = size(y, rank - 1);
  const op::Value left = x.rank() > 0 ? in[0] : shaped(in[0], {1});
  const op::Value right = y.rank() > 0 ? in[1] : shaped(in[1], {1});
  const op::Value product = Mul(b, shaped(Stretched(b, left, each, true), wide),
                                shaped(Stretched(b, right, n, false), narrow));
  return {shaped(product, out)};
}

// --- samples ------------------------------------------------------------------------------------

op::Sample Of(const std::string& equation, const std::vector<Shape>& shapes,
              DType dtype = DType::kFloat32) {
  op::Sample s;
  for (const Shape& shape : shapes) s.inputs.push_back({dtype, shape});
  s.attrs = {{"equation", equation}};
  return s;
}

std::vector<op::Sample> EinsumSamples() {
  std::vector<op::Sample> samples = {
      Of("ij,jk->ik", {{2, 3}, {3, 4}}),
      Of("ij,jk", {{2, 3}, {3, 4}}),
      Of(" ij , kj -> k i ", {{2, 3}, {4, 3}}),
      Of("bij,bjk->bik", {{2, 2, 3}, {2, 3, 2}}),
      Of("bhid,bhjd->bhij", {{2, 2, 3, 4}, {2, 2, 2, 4}}),
      Of("ii", {{3, 3}}),
      Of("ii->i", {{3, 3}}),
      Of("iji->ji", {{3, 2, 3}}),
      Of("ba", {{2, 3}}),
      Of("ij->", {{2, 3}}),
      Of("i,j->ij", {{2}, {3}}),
      Of("i,i->", {{3}, {3}}),
      Of("a,->a", {{3}, {}}),
      Of("...ij,...jk->...ik", {{4, 2, 3}, {4, 3, 2}}),
      Of("...ij,...jk->...ik", {{2, 1, 2, 3}, {4, 3, 2}}),
      Of("...i->...", {{2, 3}}),
      Of("i...,i...", {{3, 2}, {3, 2}}),
      Of("ij,ij->ij", {{2, 3}, {1, 3}}),
      Of("ij,ij->j", {{2, 3}, {1, 3}}),
      Of("ij,kj,lk->il", {{2, 3}, {4, 3}, {2, 4}}),
      Of("bn,anm,bm->ba", {{2, 3}, {4, 3, 5}, {2, 5}}),
      Of("ik,kj->ij", {{2, 0}, {0, 3}}),
      Of("iA,Aj->ji", {{2, 3}, {3, 2}}),
  };
  for (DType d : ListOf(kNumbers))
    if (d != DType::kFloat32) samples.push_back(Of("ij,jk->ik", {{2, 3}, {3, 4}}, d));
  return samples;
}

op::ErrorSample Wrong(const char* equation, std::vector<Shape> shapes, const char* text) {
  return {Of(equation, shapes).inputs,
          {{"equation", std::string(equation)}},
          Code::kInvalidArgument,
          text};
}

op::Sample Dotted(Shape x, Shape y, Ints left, Ints right, DType dtype = DType::kFloat32) {
  return {{{dtype, x}, {dtype, y}}, {{"dims_a", std::move(left)}, {"dims_b", std::move(right)}}};
}

op::Sample Two(Shape x, Shape y, DType dtype = DType::kFloat32) {
  return {{{dtype, x}, {dtype, y}}, {}};
}

}  // namespace

OFL_OP(einsum) {
  op.Doc(
        "Sums of products by Einstein's convention: a letter for each axis of each operand, '...'\n"
        "for axes that broadcast; letters that the output lacks are summed over. Without '->' the\n"
        "output has the letters that stand once, in the order of the alphabet.")
      .InVariadic("operands")
      .Out("output")
      .Attr("equation", op::AttrType::kString)
      .Autocast(op::Autocast::kLower)
      .Compose(ComposeEinsum)
      .Oracle("np.asarray(np.einsum(equation, *operands))")
      .Py("_einsum(equation, *operands)")
      .Samples(EinsumSamples)
      .ErrorSamples({Wrong("ij,jk", {{2, 3}, {4, 2}}, "sizes of one name differ"),
                     Wrong("ij", {{2}}, "a letter for each axis"),
                     Wrong("i->ii", {{2}}, "twice in the output"),
                     Wrong("ij->k", {{2, 2}}, "stands in no operand"),
                     Wrong("i", {{2}, {2}}, "one list of subscripts"),
                     Wrong("i..j", {{2, 2}}, "no ellipsis"), Wrong("i1", {{2, 2}}, "no letter"),
                     Wrong("ii", {{2, 3}}, "two sizes of one operand")});
}

OFL_OP(tensordot_over) {
  op.Doc("Sums of products over pairs of axes, `dims_a` of a and `dims_b` of b.")
      .In("a")
      .In("b")
      .Out("output")
      .Attr("dims_a", op::AttrType::kInts)
      .Attr("dims_b", op::AttrType::kInts)
      .Autocast(op::Autocast::kLower)
      .Compose(ComposeTensordot)
      .Oracle("tensordot(a, b, dims_a, dims_b)")
      .Py("_tensordot(a, b, dims_a, dims_b)")
      .Samples([] {
        std::vector<op::Sample> samples = {Dotted({2, 3, 4}, {4, 3, 2}, {1, 2}, {1, 0}),
                                           Dotted({2, 3}, {3, 4}, {1}, {0}),
                                           Dotted({2}, {3}, {}, {}),
                                           Dotted({2, 3}, {2, 3}, {0, 1}, {0, 1}),
                                           Dotted({2, 3}, {4, 1}, {-1}, {-1}),
                                           Dotted({0, 3}, {3, 2}, {1}, {0})};
        for (DType d : ListOf(kNumbers)) samples.push_back(Dotted({2, 3}, {3, 4}, {1}, {0}, d));
        return samples;
      })
      .ErrorSamples({{Dotted({2, 3}, {2, 3}, {}, {}).inputs,
                      {{"dims_a", Ints{1}}, {"dims_b", Ints{0}}},
                      Code::kInvalidArgument,
                      "sizes of a pair of axes differ"},
                     {Dotted({}, {2}, {}, {}).inputs,
                      {{"dims_a", Ints{0}}, {"dims_b", Ints{0}}},
                      Code::kOutOfRange,
                      "tensor has no dimensions"}});
}

OFL_OP(kron) {
  op.Doc(
        "The Kronecker product: blocks of `other`, one for each element of `input` and times it.\n"
        "The operand of fewer axes gets leading ones of size 1.")
      .In("input")
      .In("other")
      .Out("output")
      .Compose(ComposeKron)
      .Oracle("np.kron(input, other)")
      .PyBoth("kron(input, other)")
      .Samples([] {
        std::vector<op::Sample> samples = {
            Two({2, 2}, {3, 2}), Two({2}, {3}),          Two({2, 3}, {2}), Two({}, {2, 2}),
            Two({0, 2}, {3, 2}), Two({2, 1, 2}, {2, 2}), Two({}, {}),      Two({2, 3}, {})};
        for (DType d : ListOf(kNumbers | kBools)) samples.push_back(Two({2, 2}, {3, 2}, d));
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 2, 2, 2, 2}}, {DType::kFloat32, {2, 2, 2, 2, 2}}},
                      {},
                      Code::kUnimplemented,
                      "Kronecker product of 9 axes"}});
}

}  // namespace ofl::ops
