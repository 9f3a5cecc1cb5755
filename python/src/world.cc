#include "oneflow_like/runtime/world.h"

#include <nanobind/stl/string.h>

#include <string>
#include <utility>

#include "device/cpu/cpu_level.h"
#include "oneflow_like/op/kernel/blas_core.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/exchange.h"
#include "oneflow_like/tensor/source_line.h"
#include "oneflow_like/tensor/target.h"
#include "oneflow_like/tensor/tensor.h"
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
  Unwrap(tensor::CheckWritable(*t, "recv"));
  std::vector<tensor::PeerMessage> messages(1);
  messages[0].peer = src;
  messages[0].incoming_bytes = t->meta().bytes();
  Unwrap(tensor::Exchange(messages, TransferHash(*t), "[recv] " + t->meta().ToString()));
  tensor::TensorRef got = Unwrap(tensor::EmptyLocal(t->meta()));
  std::copy(messages[0].incoming.begin(), messages[0].incoming.end(), got->data());
  Unwrap(tensor::CopyElements(*got, *t));
  tensor::CountChange(*t);
}

void CheckPeer(const char* op, int peer) {
  const Context& world = Context::Get();
  if (peer < 0 || peer >= world.world_size() || peer == world.rank()) {
    Throw(Error(Code::kInvalidArgument)
          << "[" << op << "] got rank " << peer << " on rank " << world.rank()
          << "; expected another rank below " << world.world_size());
  }
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
