// Reads one line of text token by token; every error names line and column.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "oneflow_like/base/status.h"
#include "oneflow_like/core/attrs.h"

namespace ofl::ir {

class Cursor {
 public:
  Cursor(std::string_view line, int number) : line_(line), number_(number) {}

  // Takes the token if it is next. A word is taken only whole.
  bool Accept(std::string_view token);
  bool Next(std::string_view token);  // the same, without taking it
  Status Expect(std::string_view token);
  bool AtEnd();
  Status ExpectEnd();

  // Letters, digits, '_' and '.'; `what` says in the error what was expected.
  Result<std::string> Word(std::string_view what);
  Result<int64_t> Int(std::string_view what, int64_t low, int64_t high);
  Result<std::string> String(std::string_view what);  // as Quoted writes it
  Result<Attrs> ReadAttrs();                          // {name=value, ...}

  // "[graph text] line 3, column 17: ", to which the caller adds what is wrong.
  ErrorStream Fail(Code code = Code::kInvalidArgument) const;
  // Wraps another function's error at the last token; `column` (from column()) at that one.
  Status At(const Status& cause) const { return At(cause, token_); }
  Status At(const Status& cause, size_t column) const;
  size_t column() const { return token_; }

 private:
  void Skip();              // blanks; the next token begins here
  std::string Got() const;  // what stands there, shortened
  Result<AttrValue> ReadValue();
  Result<AttrValue> ReadNumber();
  Result<std::vector<int64_t>> ReadInts();
  Result<double> ReadReal();
  Result<AttrValue> ReadComplex();
  Result<std::vector<double>> ReadFloats();

  std::string_view line_;
  int number_;
  size_t at_ = 0;
  size_t token_ = 0;  // where the last token began
};

}  // namespace ofl::ir
