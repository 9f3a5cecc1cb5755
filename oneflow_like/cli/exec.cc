// oneflow-like-exec: runs a saved plan on .npy files, without Python.

#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "oneflow_like/base/check.h"
#include "oneflow_like/runtime/plan_runner.h"

namespace {

constexpr char kUsage[] =
    "usage: oneflow-like-exec --plan FILE --variables DIR --inputs DIR --outputs DIR\n"
    "                         [--launches N] [--seed N]\n"
    "Runs one rank of a saved plan on <name>.npy files. Several ranks:\n"
    "  oneflow-like-run --no-python --nproc-per-node 2 oneflow-like-exec --plan ...\n";

// Exit codes as documented in docs/plan.md.
constexpr int kBadUsage = 64, kBadData = 65, kUnavailable = 69, kInternal = 70;

int ExitCode(ofl::Code code) {
  switch (code) {
    case ofl::Code::kDataLoss:
    case ofl::Code::kInvalidArgument:
    case ofl::Code::kNotFound:
    case ofl::Code::kFailedPrecondition: return kBadData;
    case ofl::Code::kUnavailable:
    case ofl::Code::kDeadlineExceeded: return kUnavailable;
    default: return kInternal;
  }
}

bool Parse(int argc, char** argv, ofl::runtime::RunFiles* files) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i], value = argv[i + 1];
    if (flag == "--plan") {
      files->plan = value;
    } else if (flag == "--variables") {
      files->variables_dir = value;
    } else if (flag == "--inputs") {
      files->inputs_dir = value;
    } else if (flag == "--outputs") {
      files->outputs_dir = value;
    } else if (flag == "--launches") {
      const char* end = value.data() + value.size();
      const auto [at, error] = std::from_chars(value.data(), end, files->launches);
      if (error != std::errc() || at != end) return false;
    } else if (flag == "--seed") {
      const char* end = value.data() + value.size();
      const auto [at, error] = std::from_chars(value.data(), end, files->seed.emplace());
      if (error != std::errc() || at != end) return false;
    } else {
      return false;
    }
  }
  return argc % 2 == 1 && !files->plan.empty() && !files->outputs_dir.empty() &&
         files->launches >= 1;
}

// The BLAS library reads its variable when it is loaded, before main: to pin it together with our
// own loops, as the Python package does, the program starts once more.
void PinBlasCore(char** argv) {
  const char* level = std::getenv("OFL_CPU_LEVEL");
  if (level == nullptr || std::getenv("OPENBLAS_CORETYPE") != nullptr) return;
  constexpr std::pair<const char*, const char*> kCores[] = {
      {"v4", "SkylakeX"}, {"v3", "Haswell"}, {"base", "Prescott"}};
  for (const auto& [ours, core] : kCores) {
    if (std::strcmp(level, ours) != 0) continue;
    setenv("OPENBLAS_CORETYPE", core, 1);
    execv("/proc/self/exe", argv);  // only a failure returns: then the ranks compare what they have
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--help") == 0) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  PinBlasCore(argv);
  ofl::InitLogging(argv[0]);
  ofl::runtime::RunFiles files;
  if (!Parse(argc, argv, &files)) {
    std::fputs(kUsage, stderr);
    return kBadUsage;
  }
  ofl::Status status = ofl::runtime::RunPlan(files);
  if (status.ok()) return 0;
  std::fprintf(stderr, "oneflow-like-exec: %s\n", status.ToString().c_str());
  return ExitCode(status.code());
}
