#include "oneflow_like/runtime/world.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "device/cpu/cpu_device.h"
#include "device/cpu/cpu_level.h"
#include "oneflow_like/base/fork.h"
#include "oneflow_like/op/kernel/blas_core.h"
#include "transport/ended_ranks.h"

namespace ofl::runtime {
namespace {

std::string_view Trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

// The number that `text` is; `whole` is what stands in the environment.
Result<int64_t> Parsed(const char* name, std::string_view text, std::string_view whole, int64_t low,
                       int64_t high) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.begin(), text.end(), value);
  OFL_ENSURE(error == std::errc() && end == text.end() && value >= low && value <= high,
             Code::kInvalidArgument)
      << "[world] environment variable " << name << ": got '" << whole
      << "'; expected a number from " << low << " to " << high
      << "; start the script with oneflow-like-run, which sets it";
  return value;
}

Result<int64_t> IntOf(const char* name, int64_t otherwise, int64_t low, int64_t high) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return otherwise;
  return Parsed(name, text, text, low, high);
}

// Of a list, a number for each level of nested parallel regions, the first counts: ours is the
// outermost, and has no other inside.
Result<int64_t> ThreadsFromEnvironment(int64_t otherwise) {
  constexpr const char* kName = "OMP_NUM_THREADS";
  constexpr int64_t kMost = 4096;
  const char* text = std::getenv(kName);
  if (text == nullptr || *text == '\0') return otherwise;
  const std::string_view list(text);
  int64_t first = 0;
  for (size_t at = 0; at <= list.size();) {
    const size_t comma = std::min(list.find(',', at), list.size());
    OFL_ASSIGN(const int64_t number,
               Parsed(kName, Trimmed(list.substr(at, comma - at)), list, 1, kMost));
    if (at == 0) first = number;
    at = comma + 1;
  }
  return first;
}

// What the launcher writes to a file of its own when a process of this machine has ended without an
// error: its rank, on a line behind the job's name.
transport::EndedRanks EndedRanksFrom(const std::string& job_id) {
  const auto fd = IntOf("OFL_ENDED_FD", -1, 0, 1 << 20);
  if (!fd.ok() || *fd < 0) return {};
  return [fd = static_cast<int>(*fd), head = job_id + "\n"]() -> std::vector<int> {
    std::array<char, 1 << 14> bytes;
    const ssize_t size = ::pread(fd, bytes.data(), bytes.size(), 0);
    std::string_view rest(bytes.data(), static_cast<size_t>(std::max<ssize_t>(size, 0)));
    if (!rest.starts_with(head)) return {};  // inherited by name alone: another file
    rest.remove_prefix(head.size());
    std::vector<int> ranks;
    for (size_t end; (end = rest.find('\n')) != rest.npos; rest.remove_prefix(end + 1)) {
      int rank = -1;
      std::from_chars(rest.data(), rest.data() + end, rank);
      if (rank >= 0) ranks.push_back(rank);
    }
    return ranks;
  };
}

}  // namespace

Result<transport::WorldConfig> WorldFromEnvironment() {
  constexpr int64_t kMaxSeconds = 1'000'000;
  transport::WorldConfig config;
  OFL_ASSIGN(int64_t world, IntOf("WORLD_SIZE", 1, 1, transport::kMaxWorldSize));
  OFL_ASSIGN(int64_t rank, IntOf("RANK", 0, 0, world - 1));
  OFL_ASSIGN(int64_t local, IntOf("LOCAL_WORLD_SIZE", world, 1, world));
  OFL_ASSIGN(int64_t port, IntOf("MASTER_PORT", 0, 0, 65535));
  OFL_ASSIGN(int64_t epoch, IntOf("OFL_EPOCH", 0, 0, INT64_MAX));
  OFL_ASSIGN(int64_t meet, IntOf("OFL_RENDEZVOUS_TIMEOUT_S", 60, 1, kMaxSeconds));
  OFL_ASSIGN(int64_t wait, IntOf("OFL_OPERATION_TIMEOUT_S", 300, 1, kMaxSeconds));
  OFL_ASSIGN(int64_t checksum, IntOf("OFL_CHECKSUM", 0, 0, 1));
  OFL_ASSIGN(int64_t mixed, IntOf("OFL_MIXED_CPUS", 0, 0, 1));
  config.rank = static_cast<int>(rank);
  config.world_size = static_cast<int>(world);
  config.local_world_size = static_cast<int>(local);
  config.master_port = static_cast<int>(port);
  config.epoch = static_cast<uint64_t>(epoch);
  config.rendezvous_timeout = std::chrono::seconds(meet);
  config.operation_timeout = std::chrono::seconds(wait);
  config.checksum_payload = checksum != 0;
  config.arithmetic = Arithmetic();
  config.mixed_cpus = mixed != 0;
  if (const char* addr = std::getenv("MASTER_ADDR"); addr != nullptr && *addr != '\0') {
    config.master_addr = addr;
  }
  if (const char* job = std::getenv("OFL_JOB_ID"); job != nullptr) config.job_id = job;
  OFL_ENSURE(world == 1 || port != 0, Code::kInvalidArgument)
      << "[world] environment variable MASTER_PORT: got nothing with WORLD_SIZE=" << world
      << "; expected the port of rank 0; start the script with oneflow-like-run, which sets it";
  return config;
}

std::string Arithmetic() {
  return std::string("CPU level ") + device::CpuLevel() + ", BLAS core " + op::BlasCore() +
         ", convolutions by " + op::ConvolutionCore();
}

Result<std::unique_ptr<tensor::Context>> MakeContext() {
  OFL_TRY(device::CheckCpuLevel());
  OFL_ASSIGN(transport::WorldConfig config, WorldFromEnvironment());
  const int64_t cores = std::max(1u, std::thread::hardware_concurrency());
  OFL_ASSIGN(int64_t threads, ThreadsFromEnvironment(cores));
  OFL_ASSIGN(int64_t local_rank,
             IntOf("LOCAL_RANK", config.rank % config.local_world_size, 0, config.world_size - 1));
  OFL_ASSIGN(int64_t memory, IntOf("OFL_MEMORY_LIMIT_MIB", 0, 1, int64_t{1} << 32));
  if (memory > 0) device::LimitHostMemory(memory << 20);
  tensor::ContextOptions options;
  options.rank = config.rank;
  options.world_size = config.world_size;
  options.local_rank = static_cast<int>(local_rank);
  options.local_world_size = config.local_world_size;
  options.threads = static_cast<int>(threads);
  options.arithmetic =
      config.mixed_cpus ? std::string(tensor::kMixedArithmetic) : config.arithmetic;
  options.operation_timeout = config.operation_timeout;
  if (config.world_size > 1) {
    options.connect = [config, ended = EndedRanksFrom(config.job_id),
                       forks =
                           ForkCount()]() mutable -> Result<std::unique_ptr<transport::Transport>> {
      OFL_ENSURE(forks == ForkCount(), Code::kFailedPrecondition)
          << "[world] this process was forked from a rank: got a communication in a child of rank "
          << config.rank << ", which alone may meet the others; expected none; start processes by "
          << "spawn (multiprocessing.set_start_method('spawn'))";
      config.interrupted = tensor::Context::Get().hooks().interrupted;
      return transport::ConnectTcp(config, ended);
    };
  }
  return std::make_unique<tensor::Context>(std::move(options));
}

}  // namespace ofl::runtime
