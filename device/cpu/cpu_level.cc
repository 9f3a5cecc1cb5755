#include "device/cpu/cpu_level.h"

#include <cstdlib>
#include <cstring>

// Where OFL_SIMD (simd.h) makes clones.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(OFL_SANITIZED) && \
    defined(__OPTIMIZE__)
#define OFL_SIMD_CLONES 1
#else
#define OFL_SIMD_CLONES 0
#endif

#if OFL_SIMD_CLONES
#include <fcntl.h>
#include <sys/syscall.h>

// The loader runs this while it relocates the library, before anything of ours is ready: no call
// of a library, no memory that needs relocation, no guard of the stack. CMake wraps libgcc's
// function of this name in every link, and compiles this file to suit.
extern "C" {
void __real___cpu_indicator_init();
void __wrap___cpu_indicator_init() __attribute__((visibility("hidden")));
// libgcc's: what the clones' resolvers and __builtin_cpu_supports look at.
extern unsigned int __cpu_features2[] __attribute__((visibility("hidden")));
}

namespace {

constexpr int kFeatureWords = 3;  // of __cpu_features2 since GCC 11; later ones only add
constexpr size_t kMaxValue = 8;

bool read_environment = false;
char level_at_start[kMaxValue] = {};  // the variable's value, cut to fit; empty: not set

long Call(long number, long a, long b, long c, long d) {
  long result;
  register long fourth asm("r10") = d;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
               : "rcx", "r11", "memory");
  return result;
}

// Finds NAME=value among the zero-terminated entries that come byte by byte.
class Finder {
 public:
  void Add(char c) {
    constexpr char kName[] = "OFL_CPU_LEVEL=";
    if (c == '\0') {
      at_ = 0;
      other_ = false;
    } else if (!other_ && at_ < sizeof kName - 1) {
      other_ = c != kName[at_];
      ++at_;
    } else if (!other_ && at_ - (sizeof kName - 1) < kMaxValue - 1) {
      level_at_start[at_ - (sizeof kName - 1)] = c;
      ++at_;
    }
  }

 private:
  size_t at_ = 0;
  bool other_ = false;
};

void ReadEnvironment() {
  const long file =
      Call(SYS_openat, AT_FDCWD, reinterpret_cast<long>("/proc/self/environ"), O_RDONLY, 0);
  if (file < 0) return;
  Finder finder;
  char bytes[512];
  for (long n; (n = Call(SYS_read, file, reinterpret_cast<long>(bytes), sizeof bytes, 0)) > 0;)
    for (long i = 0; i < n; ++i) finder.Add(bytes[i]);
  Call(SYS_close, file, 0, 0, 0);
}

bool HasV4() { return __builtin_cpu_supports("x86-64-v4") != 0; }
bool HasV3() { return __builtin_cpu_supports("x86-64-v3") != 0; }

// Clears the bit that `has` looks at, whichever it is.
template <class Has>
void Hide(const Has& has) {
  for (int word = 0; word < kFeatureWords; ++word) {
    for (unsigned bit = 0; bit < 32 && has(); ++bit) {
      const unsigned before = __cpu_features2[word];
      __cpu_features2[word] = before & ~(1u << bit);
      asm volatile("" ::: "memory");
      if (has()) __cpu_features2[word] = before;
    }
  }
}

bool Is(const char* level) {
  for (size_t i = 0; i < kMaxValue; ++i) {
    if (level_at_start[i] != level[i]) return false;
    if (level[i] == '\0') return true;
  }
  return false;
}

}  // namespace

extern "C" void __wrap___cpu_indicator_init() {
  __real___cpu_indicator_init();
  if (read_environment) return;
  read_environment = true;
  ReadEnvironment();
  if (Is("v3") || Is("base")) Hide(HasV4);
  if (Is("base")) Hide(HasV3);
}
#endif

namespace ofl::device {

const char* CpuLevel() {
#if OFL_SIMD_CLONES
  __builtin_cpu_init();
  return HasV4() ? "v4" : HasV3() ? "v3" : "base";
#else
  return "base";
#endif
}

Status CheckCpuLevel() {
  const char* asked = std::getenv("OFL_CPU_LEVEL");
  if (asked == nullptr || *asked == '\0') asked = nullptr;
  const auto wrong = [&](const std::string& why) -> Status {
    return Error(Code::kInvalidArgument) << "[world] environment variable OFL_CPU_LEVEL: got '"
                                         << (asked == nullptr ? "" : asked) << "'; " << why;
  };
  const std::string has = CpuLevel();
#if OFL_SIMD_CLONES
  const std::string start = level_at_start;
#else
  const std::string start = asked == nullptr ? "" : asked;
#endif
  if (asked == nullptr)
    return start.empty() ? Status::Ok()
                         : wrong("the process was started with '" + start +
                                 "', which holds until it ends; expected the same");
  if (std::strcmp(asked, "base") != 0 && std::strcmp(asked, "v3") != 0 &&
      std::strcmp(asked, "v4") != 0)
    return wrong("expected base, v3 or v4");
  if (start != asked)
    return wrong("expected the value that the process was started with, '" + start +
                 "'; set it before Python starts");
  if (has != asked)
    return wrong("expected at most " + has + ", which is what this processor and build have");
  return Status::Ok();
}

}  // namespace ofl::device
