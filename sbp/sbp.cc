#include "sbp/sbp.h"

#include <algorithm>
#include <charconv>

namespace ofl::sbp {
namespace {

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

const char* ReduceOpName(ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum: return "sum";
    case ReduceOp::kMax: return "max";
    case ReduceOp::kMin: return "min";
  }
  return "unknown";
}

}  // namespace

std::string Sbp::ToString() const {
  switch (kind_) {
    case Kind::kBroadcast: return "B";
    case Kind::kSplit: return "S(" + std::to_string(axis_) + ")";
    case Kind::kPartial: break;
  }
  return op_ == ReduceOp::kSum ? "P" : std::string("P(") + ReduceOpName(op_) + ")";
}

Result<Sbp> Sbp::Parse(std::string_view text) {
  const std::string_view t = Trim(text);
  if (t == "B") return Broadcast();
  if (t == "P" || t == "P(sum)") return Partial(ReduceOp::kSum);
  if (t == "P(max)") return Partial(ReduceOp::kMax);
  if (t == "P(min)") return Partial(ReduceOp::kMin);
  if (t.size() >= 4 && t.starts_with("S(") && t.ends_with(')')) {
    const std::string_view digits = t.substr(2, t.size() - 3);
    int axis = -1;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), axis);
    if (error == std::errc() && end == digits.data() + digits.size() && axis >= 0 &&
        axis < kMaxRank)
      return Split(axis);
  }
  return Error(Code::kInvalidArgument)
         << "[sbp] not a layout symbol: got '" << text << "'; expected S(axis) with axis 0.."
         << kMaxRank - 1 << ", B, P, P(max) or P(min)";
}

bool NdSbp::HasPartial() const {
  return std::any_of(begin(), end(), [](Sbp s) { return s.is_partial(); });
}

bool NdSbp::AllBroadcast() const {
  return std::all_of(begin(), end(), [](Sbp s) { return s.is_broadcast(); });
}

bool NdSbp::operator==(const NdSbp& o) const {
  return std::equal(begin(), end(), o.begin(), o.end());
}

std::string NdSbp::ToString() const {
  std::string text = "(";
  for (int k = 0; k < rank_; ++k) {
    if (k > 0) text += ", ";
    text += symbols_[k].ToString();
  }
  return text + ")";
}

Result<NdSbp> NdSbp::Parse(std::string_view text) {
  std::string_view t = Trim(text);
  const bool tuple = t.size() >= 2 && t.front() == '(' && t.back() == ')';
  if (tuple) t = t.substr(1, t.size() - 2);
  NdSbp nd;
  while (true) {
    const size_t comma = t.find(',');
    OFL_ENSURE(nd.rank() < kMaxMeshRank, Code::kInvalidArgument)
        << "[sbp] too many symbols: got '" << text << "'; expected at most " << kMaxMeshRank;
    OFL_ASSIGN(Sbp symbol, Sbp::Parse(t.substr(0, comma)));
    nd.push_back(symbol);
    if (comma == std::string_view::npos) break;
    t.remove_prefix(comma + 1);
    if (tuple && Trim(t).empty()) break;  // "(S(0),)", as Python writes a tuple of one
  }
  return nd;
}

NdSbp NdSbp::Broadcast(int mesh_rank) {
  NdSbp nd;
  for (int k = 0; k < mesh_rank; ++k) nd.push_back(Sbp::Broadcast());
  return nd;
}

std::string Layout::ToString() const { return placement.ToString() + " " + nd_sbp.ToString(); }

Shape Box::Extent() const {
  Shape extent;
  for (int i = 0; i < begin.rank(); ++i) extent.push_back(end[i] - begin[i]);
  return extent;
}

bool Box::Empty() const {
  for (int i = 0; i < begin.rank(); ++i)
    if (end[i] <= begin[i]) return true;
  return false;
}

Box Box::Whole(const Shape& shape) {
  Box box{shape, shape};
  for (int i = 0; i < shape.rank(); ++i) box.begin[i] = 0;
  return box;
}

Box Box::Intersect(const Box& o) const {
  Box box = *this;
  for (int i = 0; i < begin.rank(); ++i) {
    box.begin[i] = std::max(begin[i], o.begin[i]);
    box.end[i] = std::min(end[i], o.end[i]);
  }
  if (box.Empty()) box.end = box.begin;
  return box;
}

std::pair<int64_t, int64_t> BalancedSlice(int64_t n, int64_t parts, int64_t index) {
  const int64_t small = n / parts;
  const int64_t longer = n % parts;
  const int64_t begin = index * small + std::min(index, longer);
  return {begin, begin + small + (index < longer ? 1 : 0)};
}

Box LocalBox(const Shape& logical, const Layout& layout, int index) {
  const Shape& mesh = layout.placement.hierarchy();
  Box box = Box::Whole(logical);
  int64_t stride = layout.placement.size();
  for (int k = 0; k < mesh.rank(); ++k) {
    stride /= mesh[k];
    const int64_t coordinate = index / stride % mesh[k];
    const Sbp symbol = layout.nd_sbp[k];
    if (!symbol.is_split()) continue;
    int64_t& begin = box.begin[symbol.axis()];
    int64_t& end = box.end[symbol.axis()];
    const auto [lo, hi] = BalancedSlice(end - begin, mesh[k], coordinate);
    end = begin + hi;
    begin += lo;
  }
  return box;
}

Shape LocalShape(const Shape& logical, const Layout& layout, int index) {
  return LocalBox(logical, layout, index).Extent();
}

Status CheckLayout(std::string_view what, DType dtype, const Shape& logical, const Layout& layout) {
  const NdSbp& nd = layout.nd_sbp;
  OFL_ENSURE(layout.placement.defined(), Code::kInvalidArgument)
      << "[sbp] " << what << " has no placement: got sbp " << nd.ToString()
      << "; expected a placement with it";
  OFL_ENSURE(nd.rank() == layout.placement.hierarchy().rank(), Code::kInvalidArgument)
      << "[sbp] " << what << " has the wrong number of symbols: got sbp " << nd.ToString() << " on "
      << layout.placement.ToString() << "; expected one symbol for each of its "
      << layout.placement.hierarchy().rank() << " mesh axes";
  const Sbp* partial = nullptr;
  for (const Sbp& symbol : nd) {
    OFL_ENSURE(!symbol.is_split() || symbol.axis() < logical.rank(), Code::kInvalidArgument)
        << "[sbp] " << what << " cannot be split on axis " << symbol.axis() << ": got shape "
        << logical << " with sbp " << nd.ToString() << "; expected an axis below "
        << logical.rank();
    if (!symbol.is_partial()) continue;
    OFL_ENSURE(partial == nullptr || *partial == symbol, Code::kInvalidArgument)
        << "[sbp] " << what << " mixes partials of two operations: got sbp " << nd.ToString()
        << "; expected one operation, convert to a layout without partials between them";
    OFL_ENSURE(dtype != DType::kBool || symbol.reduce_op() != ReduceOp::kSum,
               Code::kInvalidArgument)
        << "[sbp] " << what << " is bool and cannot be P(sum): got sbp " << nd.ToString()
        << "; expected P(max), which is 'or'";
    OFL_ENSURE(!IsFloat8(dtype) && (!IsComplex(dtype) || symbol.reduce_op() == ReduceOp::kSum),
               Code::kInvalidArgument)
        << "[sbp] " << what << " is " << DTypeName(dtype) << " and cannot be " << symbol.ToString()
        << ": got sbp " << nd.ToString() << "; expected "
        << (IsComplex(dtype) ? "P(sum): complex numbers have no order"
                             : "S or B: nothing is added in a storage type");
    partial = &symbol;
  }
  return Status::Ok();
}

}  // namespace ofl::sbp
