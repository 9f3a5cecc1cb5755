// multinomial: categories drawn with the weights of a row.
#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/source/sources.h"

namespace ofl::ops {
namespace {

Status InferMultinomial(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kFloats));
  const Shape& shape = c.input(0).shape;
  const int64_t samples = c.attr<int64_t>("num_samples");
  OFL_ENSURE(shape.rank() == 1 || shape.rank() == 2, Code::kInvalidArgument)
      << "input has no rows of weights; expected 1 or 2 axes";
  const int64_t categories = shape[shape.rank() - 1];
  OFL_ENSURE(samples > 0, Code::kInvalidArgument)
      << "nothing is drawn: got num_samples=" << samples << "; expected at least 1";
  OFL_ENSURE(c.attr<bool>("replacement") || samples <= categories, Code::kInvalidArgument)
      << "a row has fewer categories than are drawn: got num_samples=" << samples
      << "; expected at most " << categories << ", or replacement=True";
  OFL_ENSURE(categories > 0, Code::kInvalidArgument)
      << "a row has no categories; expected at least 1";
  Shape out = shape;
  out[out.rank() - 1] = samples;
  c.AddOutput({DType::kInt64, out});
  return Status::Ok();
}

std::string MultinomialRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  return in[0].rank() == 2 ? "(b !)->(b !); never partial; offset b" : "(!)->(!); never partial";
}

struct Entry {
  double key;
  int64_t index;
  bool operator<(const Entry& other) const {
    return key != other.key ? key < other.key : index < other.index;
  }
};

int64_t MultinomialBound(std::span<const TensorMeta> in, std::span<const TensorMeta>, const Attrs&,
                         int) {
  const Shape& shape = in[0].shape;
  return SaturatingMul(shape[shape.rank() - 1], static_cast<int64_t>(sizeof(Entry)));
}

// One row. Without replacement: the smallest of exponential draws over weights, in their order.
template <class T>
Status DrawRow(const T* weights, std::span<Entry> entries, int64_t* out, int64_t samples,
               bool replacement, const auto& draws_of) {
  double sum = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    const double weight = Stored<T>::Read(weights[i]);
    OFL_ENSURE(weight >= 0 && std::isfinite(weight), Code::kInvalidArgument)
        << "a weight is infinite, NaN or negative; expected finite weights of at least 0";
    sum += weight;
    entries[i] = {sum, static_cast<int64_t>(i)};
  }
  OFL_ENSURE(sum > 0, Code::kInvalidArgument)
      << "the weights of a row sum to 0; expected a positive sum";
  if (replacement) {
    for (int64_t k = 0; k < samples; ++k) {
      const double at = draws_of(k).Closed() * sum;
      const auto found = std::upper_bound(entries.begin(), entries.end(), at,
                                          [](double x, const Entry& e) { return x < e.key; });
      out[k] = std::min<int64_t>(found - entries.begin(), static_cast<int64_t>(entries.size()) - 1);
    }
    return Status::Ok();
  }
  for (Entry& e : entries) {
    const double weight = Stored<T>::Read(weights[e.index]);
    e.key = weight > 0 ? -std::log(draws_of(e.index).Open()) / weight
                       : std::numeric_limits<double>::infinity();
  }
  std::partial_sort(entries.begin(), entries.begin() + samples, entries.end());
  for (int64_t k = 0; k < samples; ++k) out[k] = entries[static_cast<size_t>(k)].index;
  return Status::Ok();
}

template <class T>
Status RunMultinomial(op::KernelContext& c) {
  const Shape& shape = c.inputs[0].meta.shape;
  const int64_t categories = shape[shape.rank() - 1], samples = c.attr<int64_t>("num_samples");
  const bool replacement = c.attr<bool>("replacement");
  const int64_t rows = shape.rank() == 2 ? shape[0] : 1;
  const DrawnRange whole = DrawnRangeOf(c);
  const int64_t first = shape.rank() == 2 ? whole.first[0] : 0;
  const int64_t each = replacement ? samples : categories;
  const std::span<Entry> entries(reinterpret_cast<Entry*>(c.workspace.data()),
                                 static_cast<size_t>(categories));
  for (int64_t row = 0; row < rows; ++row) {
    const auto draws_of = [&](int64_t k) {
      return OwnDraws(c.random.seed, static_cast<uint64_t>(c.random.offset),
                      static_cast<uint64_t>((first + row) * each + k));
    };
    OFL_TRY(DrawRow(c.inputs[0].as<T>() + row * categories, entries,
                    c.outputs[0].as<int64_t>() + row * samples, samples, replacement, draws_of));
  }
  return Status::Ok();
}

op::Sample Weights(Shape shape, int64_t samples, bool replacement, DType dtype = DType::kFloat32) {
  return {
      {{dtype, shape}}, Drawn({{"num_samples", samples}, {"replacement", replacement}}), 0.1, 2};
}

}  // namespace

OFL_OP(multinomial) {
  op.Doc(
        "Indices drawn with the weights in each row of input; without replacement, no index "
        "twice.")
      .In("input")
      .Out("output")
      .Attr("num_samples", op::AttrType::kInt)
      .Attr("replacement", op::AttrType::kBool, false)
      .Generator("generator")
      .Infer(InferMultinomial)
      .Sbp(MultinomialRule)
      .NotDifferentiable("indices are integers")
      .Oracle("random_multinomial(input, num_samples, replacement, draw)")
      .PyBoth("multinomial(input, num_samples, replacement=False, *, generator=None)")
      .Public()
      .Samples([] {
        std::vector<op::Sample> samples = {Weights({5}, 3, false),    Weights({5}, 9, true),
                                           Weights({4, 3}, 2, false), Weights({4, 3}, 5, true),
                                           Weights({0, 3}, 2, true),  Weights({1}, 1, false)};
        for (DType dtype : ListOf(kFloats)) samples.push_back(Weights({3, 4}, 4, false, dtype));
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"num_samples", int64_t{3}}},
                      Code::kInvalidArgument,
                      "fewer categories"},
                     {{{DType::kFloat32, {2}}},
                      {{"num_samples", int64_t{0}}},
                      Code::kInvalidArgument,
                      "at least 1"}});
  op.Cpu(DType::kFloat32, RunMultinomial<float>, MultinomialBound)
      .Cpu(DType::kFloat64, RunMultinomial<double>, MultinomialBound)
      .Cpu(DType::kFloat16, RunMultinomial<Float16>, MultinomialBound)
      .Cpu(DType::kBFloat16, RunMultinomial<BFloat16>, MultinomialBound);
}

}  // namespace ofl::ops
