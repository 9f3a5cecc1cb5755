#include "oneflow_like/base/status.h"

#include <cstdlib>

#include "oneflow_like/base/check.h"

namespace ofl {

const char* CodeName(Code code) {
  switch (code) {
    case Code::kOk: return "OK";
    case Code::kInvalidArgument: return "INVALID_ARGUMENT";
    case Code::kTypeMismatch: return "TYPE_MISMATCH";
    case Code::kOutOfRange: return "OUT_OF_RANGE";
    case Code::kNotFound: return "NOT_FOUND";
    case Code::kUnimplemented: return "UNIMPLEMENTED";
    case Code::kResourceExhausted: return "RESOURCE_EXHAUSTED";
    case Code::kUnavailable: return "UNAVAILABLE";
    case Code::kDeadlineExceeded: return "DEADLINE_EXCEEDED";
    case Code::kCancelled: return "CANCELLED";
    case Code::kDataLoss: return "DATA_LOSS";
    case Code::kFailedPrecondition: return "FAILED_PRECONDITION";
    case Code::kInternal: return "INTERNAL";
  }
  return "UNKNOWN";
}

const std::string& Status::message() const {
  static const std::string kEmpty;
  return rep_ ? rep_->message : kEmpty;
}

const std::vector<std::string>& Status::notes() const {
  static const std::vector<std::string> kNone;
  return rep_ ? rep_->notes : kNone;
}

Status Status::WithNote(std::string note) const {
  if (ok()) return *this;
  Rep rep = *rep_;
  rep.notes.push_back(std::move(note));
  Status status;
  status.rep_ = std::make_shared<const Rep>(std::move(rep));
  return status;
}

std::string Status::ToString() const {
  if (ok()) return "OK";
  std::string text = std::string(CodeName(code())) + ": " + message();
  for (const std::string& note : notes()) text += "\n  " + note;
  return text;
}

void DieOfValueOf(const Status& status) {
  OFL_CHECK(false) << "the value of an error was taken: " << status.ToString();
  std::abort();
}

}  // namespace ofl
