// The text of `oneflow-like-plan show`.

#include <algorithm>
#include <cstdio>
#include <map>

#include "compiler/compiler.h"
#include "compiler/plan_codec.h"

namespace ofl::compiler {
namespace {

std::string Bytes(int64_t n) {
  char text[32];
  if (n >= int64_t{1} << 20)
    std::snprintf(text, sizeof text, "%.2f MiB", static_cast<double>(n) / (1 << 20));
  else if (n >= 1024)
    std::snprintf(text, sizeof text, "%.1f KiB", static_cast<double>(n) / 1024);
  else
    std::snprintf(text, sizeof text, "%lld B", static_cast<long long>(n));
  return text;
}

// "rank 0", "ranks [0, 1]".
std::string Ranks(const google::protobuf::RepeatedField<int>& ranks) {
  if (ranks.size() == 1) return "rank " + std::to_string(ranks[0]);
  std::string text = "ranks [";
  for (int i = 0; i < ranks.size(); ++i) {
    if (i == 8 && ranks.size() > 10) {
      text += ", ... " + std::to_string(ranks[ranks.size() - 1]);
      break;
    }
    text += (i > 0 ? ", " : "") + std::to_string(ranks[i]);
  }
  return text + "]";
}

std::string Where(const proto::Notes& notes, const proto::OpNote& note) {
  if (note.file() < 1 || note.file() > notes.files_size()) return "";
  return notes.files(note.file() - 1) + ":" + std::to_string(note.line());
}

void ShowConversions(const proto::Plan& plan, std::string& out) {
  const proto::Semantics& s = plan.semantics();
  static const char* const kKinds[] = {"slice",      "fill",       "all-gather",  "reduce-scatter",
                                       "all-reduce", "all-to-all", "redistribute"};
  char line[512];
  for (int i = 0; i < s.ops_size() && i < plan.notes().ops_size(); ++i) {
    const proto::OpDef& op = s.ops(i);
    if (op.kind() != proto::OpDef::BOXING) continue;
    const proto::OpNote& note = plan.notes().ops(i);
    std::string kinds;
    for (const proto::StepDef& step : op.steps())
      kinds += (kinds.empty() ? "" : " + ") +
               std::string(step.kind() >= 0 && step.kind() <= 6 ? kKinds[step.kind()] : "?");
    const bool caused = note.cause() >= 1 && note.cause() <= s.ops_size();
    const std::string cause = caused ? "for " + s.ops(note.cause() - 1).name() : "to_global";
    std::snprintf(line, sizeof line, "  %-14s %-27s %10s  %-24s %s\n", op.name().c_str(),
                  kinds.c_str(), Bytes(note.bytes()).c_str(), cause.c_str(),
                  Where(plan.notes(), note).c_str());
    out += line;
  }
}

// "float32[8,128] (S(0)) on ranks [0, 1]", or "?" for a value that a damaged plan describes
// wrongly.
std::string TypeOf(const proto::Semantics& s, const PlacementTable& placements, int value) {
  if (value < 0 || value >= s.values_size()) return "?";
  auto meta = ReadMeta(s.values(value));
  auto layout = placements.ReadLayout(s.values(value).layout());
  if (!meta.ok() || !layout.ok()) return "?";
  const int placement = s.values(value).layout().placement();
  return meta->ToString() + " " + layout->nd_sbp.ToString() + " on " +
         Ranks(s.placements(placement).ranks());
}

// Arguments, results and variables under the names that oneflow-like-exec reads and writes.
void ShowNames(const proto::Semantics& s, std::string& out) {
  auto placements = PlacementTable::Read(s);
  if (!placements.ok()) return;
  const auto show = [&](const char* title, const auto& list) {
    out += std::string("  ") + title + "\n";
    for (const auto& entry : list)
      out += "    " + entry.name() + "  " + TypeOf(s, *placements, entry.value()) + "\n";
  };
  show("inputs", s.inputs());
  out += "  outputs\n";
  for (int i = 0; i < s.outputs_size(); ++i)
    out += "    output_" + std::to_string(i) + "  " + TypeOf(s, *placements, s.outputs(i).value()) +
           "\n";
  std::vector<proto::Resource> variables;
  bool any = false;
  for (const proto::Resource& resource : s.resources()) {
    if (resource.kind() == proto::Resource::VARIABLE) variables.push_back(resource);
    if (resource.kind() != proto::Resource::GENERATOR) continue;
    out += (any ? "" : "  generators\n") + ("    " + resource.name()) + "  " +
           std::to_string(resource.draws()) + (resource.draws() == 1 ? " draw" : " draws") +
           " a launch\n";
    any = true;
  }
  show("variables", variables);
}

}  // namespace

std::string Summary(const proto::Plan& plan) {
  const proto::Semantics& s = plan.semantics();
  std::string out = "plan of graph " + plan.graph_name() + "\n";
  out += "  hash          " + plan.hash() + "\n";
  out += "  ranks         " + std::to_string(s.world_size()) + "\n";
  out += "  micro-batches " + std::to_string(s.micro_batches()) + "\n";
  std::map<std::string, int> types;
  int conversions = 0, views = 0;
  int64_t moved = 0, flops = 0;
  for (int i = 0; i < s.ops_size(); ++i) {
    const bool noted = i < plan.notes().ops_size();
    if (s.ops(i).kind() == proto::OpDef::COMPUTE) {
      ++types[s.ops(i).type()];
      const int first = s.ops(i).outputs_size() > 0 ? s.ops(i).outputs(0) : -1;
      views += first >= 0 && first < s.values_size() && s.values(first).view();
      if (noted) flops = SaturatingAdd(flops, plan.notes().ops(i).flops());
    } else if (s.ops(i).kind() == proto::OpDef::BOXING) {
      ++conversions;
      if (noted) moved += plan.notes().ops(i).bytes();
    }
  }
  out += "  operators     " + std::to_string(s.ops_size()) + " (";
  bool first = true;
  for (auto& [type, count] : types) {
    out += (first ? "" : ", ") + type + " x" + std::to_string(count);
    first = false;
  }
  out += ")\n";
  out += "  views         " + std::to_string(views) + " of these operators, which move nothing\n";
  const auto variable = [](const proto::Resource& resource) {
    return resource.kind() == proto::Resource::VARIABLE;
  };
  out += "  variables     " +
         std::to_string(std::count_if(s.resources().begin(), s.resources().end(), variable)) + "\n";
  out += "  flops         " + std::to_string(flops) + "\n";
  for (const auto& c : s.classes())
    out += "  memory        " + Bytes(c.arena_bytes()) +
           (c.ranks_size() == 1 ? " on " : " on each of ") + Ranks(c.ranks()) + "\n";
  out += "  conversions   " + std::to_string(conversions) + ", moving " + Bytes(moved) +
         " between ranks\n";
  ShowConversions(plan, out);
  ShowNames(s, out);
  return out;
}

}  // namespace ofl::compiler
