// Dense tensors of tests: their numbers as doubles, drawn, compared, printed.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "device/device.h"
#include "oneflow_like/op/def/op_def.h"
#include "oneflow_like/op/kernel/kernel.h"

namespace ofl::op::testing {

// Memory as a kernel finds it, of a tensor or for scratch: every byte is the same, no number where
// it is read as a floating one, so that what a kernel leaves unwritten shows.
Result<device::BufferRef> Undefined(int64_t bytes);

// While it lives, undefined memory holds another byte. For one thread of tests.
class UndefinedIs {
 public:
  explicit UndefinedIs(std::byte byte);
  ~UndefinedIs();
  UndefinedIs(const UndefinedIs&) = delete;
  UndefinedIs& operator=(const UndefinedIs&) = delete;

 private:
  std::byte before_;
};

// A dense host tensor, also a value that gradient rules can hold.
class HostTensor final : public ValueBase {
 public:
  explicit HostTensor(const TensorMeta& meta);
  const TensorMeta& meta() const override { return meta_; }
  const sbp::Layout* layout() const override { return nullptr; }
  bool is_symbolic() const override { return false; }

  TensorView view() const { return {data(), meta_}; }
  std::byte* data() const { return buffer_->data(); }
  // Real numbers: a complex element is two, its real and its imaginary part.
  int64_t numel() const { return meta_.shape.numel() * (IsComplex(meta_.dtype) ? 2 : 1); }
  double Get(int64_t i) const;
  void Set(int64_t i, double value);  // converts as the dtype does

 private:
  TensorMeta meta_;
  device::BufferRef buffer_;
};
using Host = boost::intrusive_ptr<HostTensor>;
using Hosts = std::vector<Host>;

Host Make(const TensorMeta& meta);
Host Copy(const Host& x);
std::string Print(const Host& x);
// Empty when equal within the dtype's tolerance (`scale` times it), else what differs.
std::string Difference(const Host& got, const Host& want, double scale = 1.0);
bool SameBits(const Host& a, const Host& b);

std::vector<TensorMeta> MetasOf(std::span<const Host> tensors);

// Values for an operator's input: whole numbers where the range holds two of them and `whole`. The
// word `dominant` or `hermitian` in the sample's note raises the diagonals of matrices, so that
// they are well conditioned; `hermitian` makes them Hermitian too.
Host Draw(const TensorMeta& meta, const Sample& sample, bool whole, std::mt19937& random);
// The place of element `i` in the transposed (square) matrix.
int64_t MirrorOf(const Shape& shape, int64_t i);
Hosts DrawInputs(const Sample& sample, bool whole, std::mt19937& random);

device::Device* Cpu();
// The ends of a dtype's numbers, infinities included.
double Lowest(DType dtype);
double Highest(DType dtype);

inline Host AsHost(const Value& value) { return Host(static_cast<HostTensor*>(value.get())); }

}  // namespace ofl::op::testing
