// Lines of the user's program: noted at the cost of a few pointers, put into words only where an
// error asks for them. And the last changes in place with theirs, for backward to name.
//
// Threads: with Python's lock held, as all eager calls. Where no language is set no line is known.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace ofl::tensor {

struct Storage;
class TensorImpl;

class SourceLine {
 public:
  // What runs the user's program and knows its places.
  struct Language {
    // The code that runs now, held for the caller, and where in it; null where nobody knows.
    const void* (*here)(int* position) = nullptr;
    void (*drop)(const void* code) = nullptr;
    std::string (*text)(const void* code, int position) = nullptr;  // "train.py:12"
  };
  static void SetLanguage(const Language& language);

  static SourceLine Here();
  SourceLine() = default;
  ~SourceLine() { Drop(); }
  SourceLine(SourceLine&& other) noexcept
      : code_(std::exchange(other.code_, nullptr)), position_(other.position_) {}
  SourceLine& operator=(SourceLine&& other) noexcept {
    std::swap(code_, other.code_);
    std::swap(position_, other.position_);
    return *this;
  }
  bool known() const { return code_ != nullptr; }
  std::string Text() const;  // empty where nobody knows

 private:
  void Drop() {
    if (code_ != nullptr) DropCode();
  }
  void DropCode();

  const void* code_ = nullptr;
  int position_ = 0;
};

// When a value was kept for backward, and by which line.
struct KeptAt {
  static KeptAt Now();
  // "; kept by train.py:12, changed by train.py:14": what is known of the two, of a value of this
  // memory that was kept at `version`.
  std::string Story(const Storage* memory, uint64_t version) const;

  SourceLine line;
  uint64_t changes = 0;  // that had been noted before
};

// After a change in place: counts it, and notes where. The last few thousand are known.
void CountChange(TensorImpl& changed);

}  // namespace ofl::tensor
