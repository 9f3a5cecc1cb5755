#include "oneflow_like/base/status.h"

#include <gtest/gtest.h>

#include <memory>

namespace ofl {
namespace {

Status Fail(const std::string& text) { return Error(Code::kNotFound) << text << " " << 7; }

Result<std::unique_ptr<int>> Half(int n) {
  OFL_ENSURE(n % 2 == 0, Code::kInvalidArgument) << n << " is odd";
  return std::make_unique<int>(n / 2);
}

Result<int> Quarter(int n) {
  OFL_ASSIGN(std::unique_ptr<int> half, Half(n));
  OFL_ASSIGN(std::unique_ptr<int> quarter, Half(*half));
  return *quarter;
}

Status TryQuarter(int n, int* out) {
  OFL_TRY(Quarter(n).status());
  *out = Quarter(n).value();
  return Status::Ok();
}

TEST(Status, OkIsFreeAndHasNoText) {
  const Status status;
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(status.code(), Code::kOk);
  EXPECT_EQ(status.message(), "");
  EXPECT_EQ(status.ToString(), "OK");
  EXPECT_TRUE(status.WithNote("ignored").ok());
  EXPECT_LE(sizeof(Status), 2 * sizeof(void*));
}

TEST(Status, StreamsItsMessage) {
  const Status status = Fail("no op");
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_EQ(status.message(), "no op 7");
}

TEST(Status, NotesAreAddedToACopyInnermostFirst) {
  const Status first = Fail("x");
  const Status second = first.WithNote("inner").WithNote("outer");
  EXPECT_TRUE(first.notes().empty());
  EXPECT_EQ(second.ToString(), "NOT_FOUND: x 7\n  inner\n  outer");
}

TEST(Status, EveryCodeHasAName) {
  for (int code = 0; code <= static_cast<int>(Code::kInternal); ++code)
    EXPECT_STRNE(CodeName(static_cast<Code>(code)), "UNKNOWN") << code;
}

TEST(Result, PassesValuesAndFailuresOn) {
  EXPECT_EQ(Quarter(12).value(), 3);
  EXPECT_EQ(Quarter(3).status().message(), "3 is odd");
  EXPECT_EQ(Quarter(6).status().message(), "3 is odd");
  int out = -1;
  EXPECT_TRUE(TryQuarter(8, &out).ok());
  EXPECT_EQ(out, 2);
  EXPECT_EQ(TryQuarter(5, &out).code(), Code::kInvalidArgument);
  EXPECT_EQ(out, 2);
}

TEST(Ensure, EvaluatesItsTextOnlyOnFailure) {
  int evaluated = 0;
  auto check = [&](bool good) -> Status {
    OFL_ENSURE(good, Code::kInternal) << ++evaluated;
    return Status::Ok();
  };
  EXPECT_TRUE(check(true).ok());
  EXPECT_EQ(evaluated, 0);
  EXPECT_EQ(check(false).message(), "1");
}

}  // namespace
}  // namespace ofl
