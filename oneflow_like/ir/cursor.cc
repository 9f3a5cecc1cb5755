#include "oneflow_like/ir/cursor.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace ofl::ir {
namespace {

// Of ASCII only, whatever the locale.
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsWord(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.';
}

// The value of a hexadecimal digit, or -1.
int HexDigit(char c) {
  if (IsDigit(c)) return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

}  // namespace

void Cursor::Skip() {
  while (at_ < line_.size() && line_[at_] == ' ') ++at_;
  token_ = at_;
}

bool Cursor::Next(std::string_view token) {
  Skip();
  const std::string_view rest = line_.substr(at_);
  if (!rest.starts_with(token)) return false;
  const bool word = IsWord(token.back());
  return !(word && rest.size() > token.size() && IsWord(rest[token.size()]));
}

bool Cursor::Accept(std::string_view token) {
  if (!Next(token)) return false;
  at_ += token.size();
  return true;
}

Status Cursor::Expect(std::string_view token) {
  if (Accept(token)) return Status::Ok();
  return Fail() << "got " << Got() << "; expected '" << token << "'";
}

bool Cursor::AtEnd() {
  Skip();
  return at_ == line_.size();
}

Status Cursor::ExpectEnd() {
  if (AtEnd()) return Status::Ok();
  return Fail() << "got " << Got() << "; expected the end of the line";
}

Result<std::string> Cursor::Word(std::string_view what) {
  Skip();
  while (at_ < line_.size() && IsWord(line_[at_])) ++at_;
  if (at_ == token_) return Fail() << "got " << Got() << "; expected " << what;
  return std::string(line_.substr(token_, at_ - token_));
}

Result<int64_t> Cursor::Int(std::string_view what, int64_t low, int64_t high) {
  Skip();
  int64_t value = 0;
  const char* begin = line_.data() + at_;
  auto [end, error] = std::from_chars(begin, line_.data() + line_.size(), value);
  if (error != std::errc() || value < low || value > high)
    return Fail() << "got " << Got() << "; expected " << what << ", an integer from " << low
                  << " to " << high;
  at_ += static_cast<size_t>(end - begin);
  return value;
}

Result<std::string> Cursor::String(std::string_view what) {
  Skip();
  if (!Next("'")) return Fail() << "got " << Got() << "; expected " << what << " in quotes";
  ++at_;
  std::string text;
  while (at_ < line_.size() && line_[at_] != '\'') {
    const std::string_view rest = line_.substr(at_);
    if (rest[0] != '\\') {
      text += rest[0];
      ++at_;
    } else if (rest.size() >= 2 && (rest[1] == '\\' || rest[1] == '\'')) {
      text += rest[1];
      at_ += 2;
    } else if (rest.size() >= 4 && rest[1] == 'x' && HexDigit(rest[2]) >= 0 &&
               HexDigit(rest[3]) >= 0) {
      text += static_cast<char>(HexDigit(rest[2]) * 16 + HexDigit(rest[3]));
      at_ += 4;
    } else {
      token_ = at_;
      return Fail() << "got " << Got() << "; expected an escape: \\\\, \\' or \\x and two digits";
    }
  }
  if (at_ == line_.size()) return Fail() << "got " << Got() << "; expected a closing quote";
  ++at_;
  return text;
}

Result<Attrs> Cursor::ReadAttrs() {
  OFL_TRY(Expect("{"));
  Attrs attrs;
  do {
    OFL_ASSIGN(std::string name, Word("an attribute's name"));
    if (attrs.Has(name)) return Fail() << "got attribute '" << name << "' twice; expected it once";
    OFL_TRY(Expect("="));
    OFL_ASSIGN(AttrValue value, ReadValue());
    attrs.Set(name, std::move(value));
  } while (Accept(","));
  OFL_TRY(Expect("}"));
  return attrs;
}

Result<AttrValue> Cursor::ReadValue() {
  if (Next("'")) {
    OFL_ASSIGN(std::string text, String("a string"));
    return AttrValue(std::move(text));
  }
  if (Next("[")) {
    OFL_ASSIGN(auto ints, ReadInts());
    return AttrValue(std::move(ints));
  }
  if (Accept("none")) return AttrValue(NoValue{});
  if (Accept("complex")) return ReadComplex();
  if (Accept("floats")) {
    OFL_ASSIGN(auto floats, ReadFloats());
    return AttrValue(std::move(floats));
  }
  if (Accept("true")) return AttrValue(true);
  if (Accept("false")) return AttrValue(false);
  const bool number =
      Next("inf") || Next("nan") || Next("-") || (at_ < line_.size() && IsDigit(line_[at_]));
  if (number) return ReadNumber();
  OFL_ASSIGN(std::string word, Word("an attribute's value"));
  auto dtype = DTypeFromName(word);
  if (!dtype.ok())
    return Fail() << "got '" << word << "'; expected a value: true, false, a number, a string in "
                  << "quotes, a list, complex(a, b), none or a dtype";
  return AttrValue(*dtype);
}

Result<AttrValue> Cursor::ReadNumber() {
  size_t end = at_;
  while (end < line_.size() && (IsWord(line_[end]) || line_[end] == '-' || line_[end] == '+'))
    ++end;
  const std::string_view text = line_.substr(at_, end - at_);
  const char* last = text.data() + text.size();
  int64_t whole = 0;
  double real = 0.0;
  if (auto [p, error] = std::from_chars(text.data(), last, whole);
      error == std::errc() && p == last) {
    at_ = end;
    return AttrValue(whole);
  }
  if (auto [p, error] = std::from_chars(text.data(), last, real);
      error == std::errc() && p == last) {
    at_ = end;
    return AttrValue(real);
  }
  return Fail() << "got " << Got() << "; expected a number";
}

Result<std::vector<int64_t>> Cursor::ReadInts() {
  OFL_TRY(Expect("["));
  std::vector<int64_t> ints;
  if (Accept("]")) return ints;
  do {
    OFL_ASSIGN(int64_t value, Int("an element", std::numeric_limits<int64_t>::min(),
                                  std::numeric_limits<int64_t>::max()));
    ints.push_back(value);
  } while (Accept(","));
  OFL_TRY(Expect("]"));
  return ints;
}

Result<double> Cursor::ReadReal() {
  Skip();
  OFL_ASSIGN(AttrValue value, ReadNumber());
  if (const double* real = std::get_if<double>(&value)) return *real;
  return Fail() << "got " << Got() << "; expected a number with a point";
}

Result<AttrValue> Cursor::ReadComplex() {
  OFL_TRY(Expect("("));
  OFL_ASSIGN(double real, ReadReal());
  OFL_TRY(Expect(","));
  OFL_ASSIGN(double imaginary, ReadReal());
  OFL_TRY(Expect(")"));
  return AttrValue(std::complex<double>(real, imaginary));
}

Result<std::vector<double>> Cursor::ReadFloats() {
  OFL_TRY(Expect("["));
  std::vector<double> floats;
  if (Accept("]")) return floats;
  do {
    OFL_ASSIGN(double value, ReadReal());
    floats.push_back(value);
  } while (Accept(","));
  OFL_TRY(Expect("]"));
  return floats;
}

ErrorStream Cursor::Fail(Code code) const {
  ErrorStream error(code);
  error << "[graph text] line " << number_ << ", column " << token_ + 1 << ": ";
  return error;
}

Status Cursor::At(const Status& cause, size_t column) const {
  Cursor there = *this;
  there.token_ = column;
  const Code code =
      cause.code() == Code::kInternal ? Code::kInvalidArgument : cause.code();  // it is the text
  return there.Fail(code) << cause.message();
}

std::string Cursor::Got() const {
  constexpr size_t kMost = 24;
  if (token_ >= line_.size()) return "the end of the line";
  const std::string_view rest = line_.substr(token_);
  return Quoted(rest.substr(0, kMost)) + (rest.size() > kMost ? "..." : "");
}

}  // namespace ofl::ir
