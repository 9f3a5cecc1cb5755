#include "oneflow_like/runtime/world.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "device/cpu/cpu_level.h"
#include "oneflow_like/op/kernel/blas_core.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/exchange.h"
#include "oneflow_like/tensor/tensor.h"
#include "oneflow_like/tensor/tracer.h"
#include "python/src/convert.h"
#include "python/src/module.h"
#include "transport/protocol.h"

namespace ofl::python {
namespace {

using tensor::Context;

void* LeaveLock() { return PyEval_SaveThread(); }
void EnterLock(void* state) { PyEval_RestoreThread(static_cast<PyThreadState*>(state)); }

// The last part of the path alone: hosts may keep the program in different directories.
std::string CallSite() {
  nb::gil_scoped_acquire lock;  // a launch asks without it
  const UserLine at = FindUserLine();
  if (at.file.empty()) return {};
  return at.file.substr(at.file.rfind('/') + 1) + ":" + std::to_string(at.line);
}

// Asked without the lock; an exception (Ctrl-C) stays set for the caller to raise.
bool Interrupted() {
  PyGILState_STATE state = PyGILState_Ensure();
  const bool stop = PyErr_CheckSignals() != 0;
  PyGILState_Release(state);
  return stop;
}

void InstallContext() {
  auto context = Unwrap(runtime::MakeContext());
  context->set_hooks({&LeaveLock, &EnterLock, &CallSite, &Interrupted});
  Context::Install(std::move(context));
}

tensor::TensorRef LocalDense(const PyTensor& x, const char* op) {
  tensor::TensorRef t = Unwrap(tensor::RequireTensor(x.value));
  if (t->is_global()) {
    Throw(Error(Code::kInvalidArgument) << "[" << op << "] got a global tensor "
                                        << tensor::Describe(*t) << "; expected a local one");
  }
  return t;
}

uint64_t TransferHash(const tensor::TensorImpl& t) {
  return tensor::HashText("send " + t.meta().ToString());
}

void SendTo(const PyTensor& x, int dst) {
  tensor::TensorRef t = Unwrap(tensor::Contiguous(LocalDense(x, "send")));
  std::vector<tensor::PeerMessage> messages(1);
  messages[0].peer = dst;
  messages[0].outgoing.assign(t->data(), t->data() + t->meta().bytes());
  Unwrap(tensor::Exchange(messages, TransferHash(*t), "[send] " + t->meta().ToString()));
}

void RecvFrom(const PyTensor& x, int src) {
  tensor::TensorRef t = LocalDense(x, "recv");
  std::vector<tensor::PeerMessage> messages(1);
  messages[0].peer = src;
  messages[0].incoming_bytes = t->meta().bytes();
  Unwrap(tensor::Exchange(messages, TransferHash(*t), "[recv] " + t->meta().ToString()));
  tensor::TensorRef got = Unwrap(tensor::EmptyLocal(t->meta()));
  std::copy(messages[0].incoming.begin(), messages[0].incoming.end(), got->data());
  Unwrap(tensor::CopyElements(*got, *t));
  t->BumpVersion();
}

void CheckPeer(const char* op, int peer) {
  const Context& world = Context::Get();
  if (peer < 0 || peer >= world.world_size() || peer == world.rank()) {
    Throw(Error(Code::kInvalidArgument)
          << "[" << op << "] got rank " << peer << " on rank " << world.rank()
          << "; expected another rank below " << world.world_size());
  }
}

// Draws up to the largest count never overflow it in the life of a job.
RandomState RestoredState(const std::pair<uint64_t, int64_t>& given) {
  constexpr int64_t kMost = int64_t{1} << 62;
  if (given.second < 0 || given.second > kMost)
    Throw(Error(Code::kInvalidArgument)
          << "[set_rng_state] the count of draws is none of a generator: got " << given.second
          << "; expected 0 to " << kMost << "; pass what flow.get_rng_state() returned");
  return {given.first, given.second};
}

using States = std::tuple<uint64_t, int64_t, uint64_t, int64_t>;

// The job's state and this rank's own, each as (seed, offset of the next draw).
// 64 bits, as torch takes them: a negative number is the one 2^64 above it.
uint64_t SeedFrom(nb::handle given) {
  nb::object whole = nb::steal(PyNumber_Index(given.ptr()));
  if (!whole.is_valid()) {
    if (PyErr_ExceptionMatches(PyExc_TypeError) == 0) throw nb::python_error();
    PyErr_Clear();
    Throw(Error(Code::kTypeMismatch) << "[manual_seed] the seed must be int: got "
                                     << TypeNameOf(given.ptr()) << "; expected 64 bits");
  }
  int overflow = 0;
  const int64_t small = PyLong_AsLongLongAndOverflow(whole.ptr(), &overflow);
  if (overflow == 0) return static_cast<uint64_t>(small);
  const uint64_t large = overflow > 0 ? PyLong_AsUnsignedLongLong(whole.ptr()) : 0;
  if (overflow > 0 && PyErr_Occurred() == nullptr) return large;
  PyErr_Clear();
  Throw(Error(Code::kInvalidArgument)
        << "[manual_seed] the seed is an int beyond 64 bits: got "
        << nb::cast<std::string>(nb::str(whole)).substr(0, 40) << "; expected -2^63 to 2^64 - 1");
}

void BindRandom(nb::module_& m) {
  m.def(
      "manual_seed",
      [](nb::handle given) {
        const uint64_t seed = SeedFrom(given);
        if (tensor::CurrentTracer() != nullptr)
          Throw(Error(Code::kFailedPrecondition)
                << "[manual_seed] called inside build() of a graph, where it would run once and "
                   "not in every call: got seed "
                << seed << "; expected it outside of build(); use it before the call");
        Context::Get().Seed(seed);
      },
      nb::arg("seed"), nb::sig("def manual_seed(seed: int) -> None"),
      "Restarts both generators. Global tensors draw from the job's: give it one seed on all "
      "ranks. Local tensors draw from this rank's own.");
  m.def("random_states", [] {
    const RandomState job = Context::Get().job_generator().state();
    const RandomState local = Context::Get().local_generator().state();
    return States{job.seed, job.offset, local.seed, local.offset};
  });
  m.def(
      "restore_random_states",
      [](std::optional<std::pair<uint64_t, int64_t>> job,
         std::optional<std::pair<uint64_t, int64_t>> local) {
        RandomState of_job, of_local;  // both are looked at before either is set
        if (job) of_job = RestoredState(*job);
        if (local) of_local = RestoredState(*local);
        if (job) Context::Get().job_generator().Restore(of_job);
        if (local) Context::Get().local_generator().Restore(of_local);
      },
      nb::arg("job").none(), nb::arg("local").none());
}

nb::dict Config() {
  const Context& world = Context::Get();
  nb::dict config;
  config["version"] = OFL_VERSION;
  config["build"] = transport::BuildId();
  config["cpu_level"] = device::CpuLevel();
  config["blas_core"] = op::BlasCore();
  config["equal_bits"] = world.equal_bits();
  config["threads"] = world.threads();
  config["rank"] = world.rank();
  config["world_size"] = world.world_size();
  config["local_world_size"] = world.local_world_size();
  config["wire"] = world.world_size() == 1 ? "none" : "tcp";
  config["connected"] = world.connected();
  return config;
}

}  // namespace

void BindWorld(nb::module_& m) {
  InstallContext();
  m.def("rank", [] { return Context::Get().rank(); });
  m.def("world_size", [] { return Context::Get().world_size(); });
  m.def("local_rank", [] { return Context::Get().local_rank(); });
  m.def(
      "threads", [] { return Context::Get().threads(); },
      "Threads of every kernel of this process.");
  m.def("config", &Config, "What this process is and runs on, as named texts.");
  m.def(
      "connect", [] { Unwrap(Context::Get().transport()); },
      "Meets the other ranks now instead of at the first communication.");
  m.def(
      "shutdown",
      [](const std::string& reason) {
        Context::Get().Shutdown(reason.empty() ? Status::Ok() : Status(Code::kCancelled, reason));
      },
      nb::arg("reason") = "", "Leaves the world, telling the peers why (nothing: done).");
  m.def(
      "is_grad_enabled", [] { return Context::grad_enabled(); },
      "Whether this thread records gradients.");
  m.def("set_grad_enabled", [](bool on) { Context::set_grad_enabled(on); }, nb::arg("mode"));
  BindRandom(m);
  m.def(
      "send",
      [](Made<PyTensor> x, int dst) {
        CheckPeer("send", dst);
        SendTo(*x, dst);
      },
      nb::arg("tensor"), nb::arg("dst"), "Sends a local tensor; rank dst calls recv.");
  m.def(
      "recv",
      [](Made<PyTensor> x, int src) {
        CheckPeer("recv", src);
        RecvFrom(*x, src);
      },
      nb::arg("tensor"), nb::arg("src"), "Fills a local tensor with what rank src sends.");
}

}  // namespace ofl::python
