#include "oneflow_like/runtime/npy.h"

#include <charconv>
#include <fstream>

namespace ofl::runtime {
namespace {

constexpr char kMagic[] = "\x93NUMPY";
constexpr size_t kMaxHeader = 64 * 1024;

struct Descr {
  const char* text;
  DType dtype;
};
constexpr Descr kDescrs[] = {
    {"<f4", DType::kFloat32}, {"<f8", DType::kFloat64}, {"<f2", DType::kFloat16},
    {"|i1", DType::kInt8},    {"|u1", DType::kUInt8},   {"<i4", DType::kInt32},
    {"<i8", DType::kInt64},   {"|b1", DType::kBool},
};

// The text between `key` and the next one of `ends`, without blanks.
Result<std::string> Field(const std::string& header, const std::string& key, char end) {
  size_t at = header.find("'" + key + "':");
  OFL_ENSURE(at != std::string::npos, Code::kDataLoss) << "the header has no field " << key;
  at += key.size() + 3;
  std::string text;
  for (; at < header.size() && header[at] != end; ++at)
    if (header[at] != ' ') text += header[at];
  return text;
}

Result<Shape> ParseShape(const std::string& text) {
  std::vector<int64_t> dims;
  const char* at = text.data();
  const char* end = at + text.size();
  if (at < end && *at == '(') ++at;
  while (at < end) {
    int64_t d = 0;
    auto [next, error] = std::from_chars(at, end, d);
    OFL_ENSURE(error == std::errc(), Code::kDataLoss) << "the shape (" << text << ") is malformed";
    dims.push_back(d);
    at = next;
    if (at < end && *at == ',') ++at;
  }
  return Shape::Checked(dims);
}

Result<TensorMeta> ParseHeader(const std::string& header) {
  OFL_ASSIGN(std::string descr, Field(header, "descr", ','));
  OFL_ASSIGN(std::string order, Field(header, "fortran_order", ','));
  OFL_ENSURE(order == "False", Code::kDataLoss)
      << "the array is in Fortran order; save numpy.ascontiguousarray of it";
  OFL_ASSIGN(std::string shape, Field(header, "shape", ')'));
  TensorMeta meta;
  OFL_ASSIGN(meta.shape, ParseShape(shape));
  for (const Descr& d : kDescrs)
    if (descr == "'" + std::string(d.text) + "'") {
      meta.dtype = d.dtype;
      return meta;
    }
  return Error(Code::kDataLoss) << "arrays of type " << descr << " are not supported";
}

Result<NpyArray> Read(std::ifstream& in) {
  char start[10];
  OFL_ENSURE(in.read(start, sizeof start) && std::equal(kMagic, kMagic + 6, start), Code::kDataLoss)
      << "not a .npy file";
  size_t length = static_cast<uint8_t>(start[8]) + 256u * static_cast<uint8_t>(start[9]);
  if (start[6] != 1) {
    char more[2];
    OFL_ENSURE(start[6] == 2 && in.read(more, 2), Code::kDataLoss)
        << ".npy version " << static_cast<int>(start[6]) << " is not supported";
    length += (static_cast<size_t>(static_cast<uint8_t>(more[0])) << 16) +
              (static_cast<size_t>(static_cast<uint8_t>(more[1])) << 24);
  }
  OFL_ENSURE(length <= kMaxHeader, Code::kDataLoss) << "a header of " << length << " bytes";
  std::string header(length, '\0');
  OFL_ENSURE(in.read(header.data(), static_cast<std::streamsize>(length)), Code::kDataLoss)
      << "the file ends in its header";
  NpyArray array;
  OFL_ASSIGN(array.meta, ParseHeader(header));
  const std::streamoff begin = in.tellg();
  in.seekg(0, std::ios::end);
  const int64_t have = static_cast<int64_t>(in.tellg() - begin);
  OFL_ENSURE(have == array.meta.bytes(), Code::kDataLoss)
      << "it holds " << have << " bytes of data, " << array.meta.ToString() << " needs "
      << array.meta.bytes();
  in.seekg(begin);
  array.data.resize(static_cast<size_t>(have));
  OFL_ENSURE(in.read(reinterpret_cast<char*>(array.data.data()), have), Code::kDataLoss)
      << "reading failed";
  return array;
}

}  // namespace

Result<NpyArray> ReadNpy(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  OFL_ENSURE(in.good(), Code::kNotFound) << "cannot open " << path;
  auto array = Read(in);
  if (!array.ok()) return array.status().WithNote("in file " + path);
  return array;
}

Status WriteNpy(const std::string& path, const TensorMeta& meta, ConstBytes data) {
  const char* descr = nullptr;
  for (const Descr& d : kDescrs)
    if (d.dtype == meta.dtype) descr = d.text;
  OFL_ENSURE(descr != nullptr, Code::kUnimplemented)
      << ".npy has no type for " << DTypeName(meta.dtype);
  std::string header = "{'descr': '" + std::string(descr) +
                       "', 'fortran_order': False, 'shape': " + meta.shape.ToString() + ", }";
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(kMagic, 6);
  const char version_and_length[] = {1, 0, static_cast<char>(header.size() & 255),
                                     static_cast<char>(header.size() >> 8)};
  out.write(version_and_length, 4);
  out << header;
  out.write(reinterpret_cast<const char*>(data.data()), static_cast<std::streamsize>(data.size()));
  OFL_ENSURE(out.flush().good(), Code::kUnavailable) << "cannot write " << path;
  return Status::Ok();
}

}  // namespace ofl::runtime
