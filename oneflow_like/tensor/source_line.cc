#include "oneflow_like/tensor/source_line.h"

#include <algorithm>
#include <array>

#include "oneflow_like/tensor/equal_values.h"
#include "oneflow_like/tensor/tensor.h"

namespace ofl::tensor {
namespace {

constinit SourceLine::Language language;

struct Change {
  const Storage* memory = nullptr;
  uint64_t version = 0;
  SourceLine line;
};

constexpr uint64_t kKnown = 4096;
uint64_t changes_noted = 0;

// Outlives what Python frees last.
std::array<Change, kKnown>& Changes() {
  static auto* changes = new std::array<Change, kKnown>;
  return *changes;
}

}  // namespace

void SourceLine::SetLanguage(const Language& other) { language = other; }

SourceLine SourceLine::Here() {
  SourceLine line;
  if (language.here != nullptr) line.code_ = language.here(&line.position_);
  return line;
}

std::string SourceLine::Text() const {
  return known() ? language.text(code_, position_) : std::string();
}

void SourceLine::DropCode() { language.drop(code_); }

KeptAt KeptAt::Now() {
  KeptAt kept;
  kept.line = SourceLine::Here();
  kept.changes = changes_noted;
  return kept;
}

std::string KeptAt::Story(const Storage* memory, uint64_t version) const {
  std::string story;
  if (const std::string at = line.Text(); !at.empty()) story += "kept by " + at;
  const uint64_t first =
      std::max(changes, changes_noted > kKnown ? changes_noted - kKnown : uint64_t{0});
  for (uint64_t n = first; n < changes_noted; ++n) {
    const Change& change = Changes()[n % kKnown];
    if (change.memory != memory || change.version <= version) continue;
    if (!story.empty()) story += ", ";
    story += "changed by " + change.line.Text();
    break;
  }
  return story.empty() ? story : "; " + story;
}

void CountChange(TensorImpl& changed) {
  changed.BumpVersion();
  if (!changed.is_global() && changed.has_data() && changed.storage()->equal) [[unlikely]]
    ClaimContents(changed);
  if (language.here == nullptr) return;
  SourceLine line = SourceLine::Here();
  if (!line.known()) return;
  Change& change = Changes()[changes_noted++ % kKnown];
  change.memory = changed.storage().get();
  change.version = changed.version();
  change.line = std::move(line);
}

}  // namespace ofl::tensor
