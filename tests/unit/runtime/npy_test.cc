#include "oneflow_like/runtime/npy.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <sstream>

namespace ofl::runtime {
namespace {

class NpyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/ofl_npy_XXXXXX";
    const int file = mkstemp(name);
    ASSERT_GE(file, 0);
    close(file);
    path_ = name;
  }
  void TearDown() override { std::remove(path_.c_str()); }

  std::string Bytes() const {
    std::ifstream in(path_, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
  void Write(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
  }

  std::string path_;
};

TEST_F(NpyTest, ComesBackEqual) {
  const std::vector<TensorMeta> metas = {{DType::kFloat32, {2, 3}},
                                         {DType::kInt64, {5}},
                                         {DType::kBool, {}},
                                         {DType::kFloat64, {0, 4}}};
  for (const TensorMeta& meta : metas) {
    std::vector<std::byte> data(static_cast<size_t>(meta.bytes()));
    for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i & 1);
    ASSERT_TRUE(WriteNpy(path_, meta, data).ok());
    auto array = ReadNpy(path_);
    ASSERT_TRUE(array.ok()) << array.status().ToString();
    EXPECT_EQ(array->meta, meta);
    EXPECT_EQ(array->data, data);
  }
}

TEST_F(NpyTest, EveryTruncationIsRefused) {
  const TensorMeta meta{DType::kFloat32, {4}};
  ASSERT_TRUE(WriteNpy(path_, meta, std::vector<std::byte>(16)).ok());
  const std::string whole = Bytes();
  for (size_t size = 0; size < whole.size(); ++size) {
    Write(whole.substr(0, size));
    EXPECT_FALSE(ReadNpy(path_).ok()) << size;
  }
}

TEST_F(NpyTest, FlippedBytesNeverCrash) {
  ASSERT_TRUE(WriteNpy(path_, {DType::kInt32, {3, 2}}, std::vector<std::byte>(24)).ok());
  const std::string whole = Bytes();
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes = whole;
    for (int k = 0; k < 3; ++k) bytes[random() % bytes.size()] = static_cast<char>(random());
    Write(bytes);
    auto array = ReadNpy(path_);
    if (array.ok()) {
      EXPECT_EQ(static_cast<int64_t>(array->data.size()), array->meta.bytes());
    }
  }
}

TEST_F(NpyTest, FortranOrderIsExplained) {
  ASSERT_TRUE(WriteNpy(path_, {DType::kFloat32, {2, 2}}, std::vector<std::byte>(16)).ok());
  std::string bytes = Bytes();
  bytes.replace(bytes.find("False"), 5, "True ");
  Write(bytes);
  auto array = ReadNpy(path_);
  ASSERT_FALSE(array.ok());
  EXPECT_NE(array.status().message().find("ascontiguousarray"), std::string::npos);
}

TEST_F(NpyTest, AnAbsentFileIsNamed) {
  auto array = ReadNpy(path_ + ".absent");
  ASSERT_FALSE(array.ok());
  EXPECT_EQ(array.status().code(), Code::kNotFound);
}

}  // namespace
}  // namespace ofl::runtime
