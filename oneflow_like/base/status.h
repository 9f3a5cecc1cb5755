// Errors as values. Below Python nothing throws: a fallible call returns Status or Result<T>.
//
// Ownership: a Status owns its text; copies share it. OK is a null pointer, so success is free.
// Threads: values; share them like any other value.
#pragma once

#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace ofl {

enum class Code : int {
  kOk = 0,
  kInvalidArgument,     // a value the caller passed cannot be used (shape, SBP, placement)
  kTypeMismatch,        // wrong dtype or wrong Python type
  kOutOfRange,          // an index or axis outside its range
  kNotFound,            // a name that does not exist
  kUnimplemented,       // legal, but no kernel or rule exists
  kResourceExhausted,   // memory, credits or a stated bound used up
  kUnavailable,         // a peer or port is not there
  kDeadlineExceeded,    // a wait reached its deadline
  kCancelled,           // stopped because something else failed first
  kDataLoss,            // truncated or corrupt bytes
  kFailedPrecondition,  // a legal call at the wrong time
  kInternal,            // our own invariant is broken
};

const char* CodeName(Code code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message)
      : rep_(std::make_shared<const Rep>(Rep{code, std::move(message), {}})) {}

  static Status Ok() { return {}; }
  bool ok() const { return rep_ == nullptr; }
  explicit operator bool() const { return ok(); }
  Code code() const { return rep_ ? rep_->code : Code::kOk; }
  const std::string& message() const;
  // Context lines, innermost first ("in backward of matmul", "at train.py:12").
  const std::vector<std::string>& notes() const;
  Status WithNote(std::string note) const;
  // "INVALID_ARGUMENT: message" and one indented line for each note.
  std::string ToString() const;

 private:
  struct Rep {
    Code code;
    std::string message;
    std::vector<std::string> notes;
  };
  std::shared_ptr<const Rep> rep_;
};

// Ends the process: someone took the value of a failed Result.
[[noreturn]] void DieOfValueOf(const Status& status);

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT(google-explicit-constructor)
  Result(Status status) : status_(std::move(status)) {}  // NOLINT(google-explicit-constructor)
  bool ok() const { return value_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Status& status() const { return status_; }
  // Whoever has not asked ok() ends the process, with the error: there is no value to go on with.
  T& value() & { return Held(), *value_; }
  const T& value() const& { return Held(), *value_; }
  T&& value() && { return Held(), std::move(*value_); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  void Held() const {
    if (!value_.has_value()) [[unlikely]]
      DieOfValueOf(status_);
  }
  Status status_;
  std::optional<T> value_;
};

// Builds a Status from streamed parts: `return Error(Code::kNotFound) << "no op " << name;`
class ErrorStream {
 public:
  explicit ErrorStream(Code code) : code_(code) {}
  template <class T>
  ErrorStream& operator<<(const T& part) {
    text_ << part;
    return *this;
  }
  operator Status() const { return Status(code_, text_.str()); }  // NOLINT
  template <class T>
  operator Result<T>() const {  // NOLINT
    return Status(code_, text_.str());
  }

 private:
  Code code_;
  std::ostringstream text_;
};
inline ErrorStream Error(Code code) { return ErrorStream(code); }

}  // namespace ofl

#define OFL_CONCAT_(a, b) a##b
#define OFL_CONCAT(a, b) OFL_CONCAT_(a, b)

// Propagates a failed Status.
#define OFL_TRY(expr)                                                              \
  do {                                                                             \
    if (::ofl::Status ofl_status_ = (expr); !ofl_status_.ok()) return ofl_status_; \
  } while (false)

// OFL_ASSIGN(auto x, F()): propagates the failure of a Result or declares x.
#define OFL_ASSIGN(lhs, expr) OFL_ASSIGN_(OFL_CONCAT(ofl_result_, __LINE__), lhs, expr)
#define OFL_ASSIGN_(tmp, lhs, expr)   \
  auto tmp = (expr);                  \
  if (!tmp.ok()) return tmp.status(); \
  lhs = std::move(tmp).value()

// A mistake of the user, a file or a peer: `OFL_ENSURE(n > 0, Code::kInvalidArgument) << "...";`
#define OFL_ENSURE(cond, code) \
  if (cond) {                  \
  } else                       \
    return ::ofl::Error(code)
