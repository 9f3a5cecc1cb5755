#include "oneflow_like/tensor/context.h"

#include <utility>

#include "oneflow_like/base/fork.h"
#include "oneflow_like/tensor/call_cache.h"

namespace ofl::tensor {
namespace {
thread_local Context* thread_context = nullptr;

std::unique_ptr<Context>& Installed() {
  static auto* context = new std::unique_ptr<Context>();  // outlives Python's late destructors
  return *context;
}
}  // namespace

constinit thread_local bool Context::grad_mode_ = true;

Context::Context(ContextOptions options)
    : options_(std::move(options)),
      cache_(std::make_unique<CallCache>()),
      sequences_(static_cast<size_t>(options_.world_size), 0) {}

Context::~Context() { Shutdown(Status::Ok()); }

Context& Context::Get() {
  if (thread_context != nullptr) return *thread_context;
  auto& context = Installed();
  if (context == nullptr) [[unlikely]]
    context = std::make_unique<Context>(ContextOptions{});
  return *context;
}

std::unique_ptr<Context> Context::Install(std::unique_ptr<Context> context) {
  return std::exchange(Installed(), std::move(context));
}

void Context::BindThread(Context* context) { thread_context = context; }

Result<transport::Transport*> Context::transport() {
  OFL_ASSIGN(auto shared, SharedTransport());
  return shared.get();
}

Result<std::shared_ptr<transport::Transport>> Context::SharedTransport() {
  OFL_ENSURE(!options_.imaginary, Code::kFailedPrecondition)
      << "[compile_world] the ranks of this world do not exist: nothing can be sent or read; "
      << "leave compile_world first";
  if (transport_ != nullptr) {
    const auto* owner = std::get_deleter<OfThisProcess>(transport_);
    OFL_ENSURE(options_.connect == nullptr || owner->forks == ForkCount(),
               Code::kFailedPrecondition)
        << "[world] this process was forked after connecting: got a communication in a child of "
        << "rank " << rank() << ", whose connections belong to the parent; expected none; start "
        << "processes by spawn (multiprocessing.set_start_method('spawn'))";
    return transport_;
  }
  if (!connect_failure_.ok()) return connect_failure_;
  if (options_.connect == nullptr) {
    transport_.reset(transport::SoloTransport().release(), OfThisProcess{});
    return transport_;
  }
  auto connected = options_.connect();
  if (!connected.ok()) {
    connect_failure_ = connected.status();
    return connect_failure_;
  }
  transport_.reset(std::move(connected).value().release(), OfThisProcess{});
  return transport_;
}

void Context::Shutdown(Status why) {
  if (transport_ == nullptr) return;
  transport_->Shutdown(std::move(why));
  transport_.reset();
  connect_failure_ = Status(Code::kFailedPrecondition,
                            "[world] this process has left the world: got a communication after "
                            "shutdown; expected none");
}

Result<device::Device*> Context::DeviceOf(DeviceKind kind) {
  device::Device*& device = devices_[static_cast<int>(kind)];
  if (device == nullptr) {
    OFL_ASSIGN(device, device::GetDevice(kind));
  }
  return device;
}

Result<device::Stream*> Context::StreamOf(DeviceKind kind) {
  auto& stream = streams_[static_cast<int>(kind)];
  if (stream == nullptr) {
    OFL_ASSIGN(device::Device * device, DeviceOf(kind));
    stream = device->NewStream(options_.threads);
  }
  return stream.get();
}

void Context::Seed(uint64_t seed) {
  job_generator_.Restore({seed, 0});
  local_generator_.Restore({seed, 0});
}

RandomState Context::Draw(bool global, int64_t count, std::string_view op, Generator* generator) {
  if (generator == nullptr) generator = global ? &job_generator_ : &local_generator_;
  const RandomState first = generator->Take(count);
  if (!global) return first;
  draws_.Add(first, count, op, CallSite());
  return first;
}

uint64_t Context::NextSequence(int peer) { return sequences_[static_cast<size_t>(peer)]++; }

}  // namespace ofl::tensor
