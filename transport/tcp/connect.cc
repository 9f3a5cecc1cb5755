// ConnectTcp: drives the rendezvous and the handshakes with Boost.Asio, on the caller's thread.
//
//   1 meet      rank 0 listens at master_addr:master_port; the others join there
//   2 connect   rank r connects to every rank below it and accepts every rank above it
//   3 run       all connections are established: listeners close, the engine takes over
#include "transport/tcp/asio.h"

#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <thread>

#include "oneflow_like/base/check.h"
#include "transport/ended_ranks.h"
#include "transport/engine.h"
#include "transport/rendezvous.h"
#include "transport/tcp/socket_wire.h"

namespace ofl::transport {

namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
// How long a stranger may keep a connection open without a valid hello.
constexpr milliseconds kHandshakeTimeout{5'000};
constexpr milliseconds kTick{50};
constexpr int kMaxStrangers = 64;

struct Frame {
  FrameHeader header;
  std::string payload;
};

// Options of a data connection. Detection of a silent host is for wires between hosts: a stopped
// process on this one would be taken for it.
void Configure(tcp::socket& socket, bool local) {
  ErrorCode ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  socket.non_blocking(true, ignored);
  if (local) return;
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  const auto set = [&](int name, int value) {
    ::setsockopt(socket.native_handle(), IPPROTO_TCP, name, &value, sizeof value);
  };
  set(TCP_KEEPIDLE, 1);
  set(TCP_KEEPINTVL, 1);
  set(TCP_KEEPCNT, 3);
  set(TCP_USER_TIMEOUT, 10'000);  // milliseconds
}

class Meeting {
 public:
  Meeting(const WorldConfig& config, EndedRanks ended)
      : config_(config),
        ended_(std::move(ended)),
        world_(static_cast<size_t>(config.world_size)),
        local_(config.local_world_size == config.world_size),
        self_{.job_id = config.job_id,
              .epoch = config.epoch,
              .rank = config.rank,
              .world_size = config.world_size,
              .build_id = BuildId(),
              .arithmetic = config.arithmetic,
              .mixed = config.mixed_cpus},
        io_(std::make_unique<asio::io_context>(1)),
        rendezvous_(*io_),
        listener_(*io_),
        start_(steady_clock::now()),
        deadline_(start_ + config.rendezvous_timeout),
        sockets_(world_),
        connections_(world_) {}

  ~Meeting() {
    if (io_) WindDown();
  }

  Result<std::unique_ptr<Transport>> Run() {
    OFL_TRY(Resolve());
    OFL_TRY(config_.rank == 0 ? Listen() : Status());
    if (config_.rank == 0) {
      Spawn(AcceptJoins());
    } else {
      client_.emplace(self_, master_name(), config_.rendezvous_timeout, start_);
      Spawn(Join());
    }
    OFL_TRY(Drive([this] { return have_table_; }));
    Spawn(AcceptPeers());
    for (int peer = 0; peer < config_.rank; ++peer) {
      Spawn(ConnectPeer(peer));
    }
    OFL_TRY(Drive([this] { return connected_ + 1 == world_; }));
    return Finish();
  }

 private:
  std::string master_name() const {
    return config_.master_addr + ":" + std::to_string(config_.master_port);
  }

  Status Resolve() {
    ErrorCode error;
    tcp::resolver resolver(*io_);
    const auto found = resolver.resolve(config_.master_addr, std::to_string(config_.master_port),
                                        tcp::resolver::numeric_service, error);
    OFL_ENSURE(!error && !found.empty(), Code::kInvalidArgument)
        << "[rendezvous] MASTER_ADDR cannot be resolved: got '" << config_.master_addr << "' ("
        << error.message() << "); expected a host name or address of rank 0's machine";
    // IPv4 first: a name with both may have an IPv6 address that this machine cannot use.
    master_ = found.begin()->endpoint();
    for (const auto& entry : found) {
      if (entry.endpoint().address().is_v4()) {
        master_ = entry.endpoint();
        break;
      }
    }
    asio::ip::make_address(config_.master_addr, error);
    const bool is_name = error && config_.master_addr != "localhost";
    OFL_ENSURE(local_ || !is_name || !master_.address().is_loopback(), Code::kInvalidArgument)
        << "[rendezvous] MASTER_ADDR '" << config_.master_addr << "' means "
        << master_.address().to_string() << " here, which other machines cannot reach; set it to "
        << "rank 0's numeric address";
    // A world within one machine is not to be seen from outside it.
    if (local_ && !master_.address().is_loopback()) {
      master_.address(asio::ip::address_v4::loopback());
    }
    return {};
  }

  // Rank 0: the rendezvous port and the port for connections of peers.
  Status Listen() {
    ErrorCode error;
    rendezvous_.open(master_.protocol(), error);
    if (!error) rendezvous_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) rendezvous_.bind(master_, error);
    if (!error) rendezvous_.listen(asio::socket_base::max_listen_connections, error);
    OFL_ENSURE(error != asio::error::address_in_use, Code::kUnavailable)
        << "[rendezvous] port " << config_.master_port << " of " << master_.address().to_string()
        << " is taken by another process; set MASTER_PORT to a free port on every rank";
    OFL_ENSURE(!error, Code::kUnavailable)
        << "[rendezvous] rank 0 cannot listen at " << master_name() << ": " << error.message()
        << "; MASTER_ADDR has to be an address of the machine of rank 0";
    OFL_TRY(ListenForPeers(master_.address()));
    server_.emplace(self_, own_endpoint_, config_.rendezvous_timeout, start_);
    return {};
  }

  Status ListenForPeers(const asio::ip::address& address) {
    ErrorCode error;
    const tcp::endpoint any_port(address, 0);
    listener_.open(any_port.protocol(), error);
    if (!error) listener_.bind(any_port, error);
    if (!error) listener_.listen(asio::socket_base::max_listen_connections, error);
    OFL_ENSURE(!error, Code::kUnavailable)
        << "[rendezvous] rank " << config_.rank << " cannot listen at " << address.to_string()
        << ": " << error.message();
    own_endpoint_ = {address.to_string(), listener_.local_endpoint(error).port()};
    return {};
  }

  // Runs the event loop until `finished`, a failure, or the deadline.
  template <class Finished>
  Status Drive(Finished finished) {
    while (true) {
      OnTimer();
      OFL_TRY(failure_);
      if (finished()) return {};
      if (config_.interrupted && config_.interrupted()) {
        return Error(Code::kCancelled) << "[rendezvous] interrupted while meeting the other ranks";
      }
      io_->restart();
      io_->run_one_for(kTick);
      io_->poll();
    }
  }

  void OnTimer() {
    const TimePoint now = steady_clock::now();
    std::vector<std::string> progress;
    if (have_table_) {
      if (now >= deadline_ + kHandshakeTimeout) FailUnconnected();
    } else if (server_) {
      RendezvousServer::Step step;
      if (ended_) server_->OnEnded(ended_(), &step);
      server_->OnTimer(now, &step);
      Carry(std::move(step));
      if (failure_.ok() && replies_due_ == 0) failure_ = server_->failure();
    } else if (client_) {
      LookForEnded();
      client_->OnTimer(now, &progress);
      Take(client_->failure());
    }
    for (const std::string& line : progress) Say(line);
  }

  // Without a table nobody has met: whoever has ended by now never will.
  void LookForEnded() {
    if (!ended_) return;
    std::vector<int> ranks = ended_();
    std::erase(ranks, config_.rank);
    if (!ranks.empty()) Take(EndedEarly(ranks, config_.world_size));
  }

  void FailUnconnected() {
    std::vector<int> missing;
    for (int r = 0; r < config_.world_size; ++r) {
      if (r != config_.rank && !connections_[static_cast<size_t>(r)]) missing.push_back(r);
    }
    Take(Error(Code::kDeadlineExceeded)
         << "[rendezvous] rank " << config_.rank << " has no connection to "
         << NameRanks(missing, config_.world_size) << " after "
         << config_.rendezvous_timeout.count() / 1000.0
         << " s; look whether one of them failed, or a firewall is between them");
  }

  void Say(const std::string& line) const {
    LOG(WARNING) << "[rendezvous] rank " << config_.rank << ": " << line;
  }
  void Take(const Status& status) {
    if (failure_.ok()) failure_ = status;
  }

  // --- Rank 0's rendezvous.
  void Carry(RendezvousServer::Step step) {
    for (const std::string& line : step.progress) Say(line);
    for (auto& reply : step.replies) {
      const auto found = joining_.find(reply.connection);
      if (found == joining_.end()) continue;
      ++replies_due_;
      Spawn(SendReply(found->second, EncodeControl(reply.type, self_, reply.payload)));
    }
    if (server_->table() && !have_table_ && replies_due_ == 0) {
      table_ = *server_->table();
      have_table_ = true;
      ErrorCode ignored;
      rendezvous_.close(ignored);
    }
  }

  awaitable<void> SendReply(std::shared_ptr<tcp::socket> socket, std::string frame) {
    co_await asio::async_write(*socket, asio::buffer(frame), kAwait);
    ErrorCode ignored;
    socket->shutdown(tcp::socket::shutdown_send, ignored);
    --replies_due_;
    if (server_->complete()) Carry({});
  }

  awaitable<void> AcceptJoins() {
    while (true) {
      auto [error, socket] = co_await rendezvous_.async_accept(kAwait);
      if (error == asio::error::operation_aborted || !rendezvous_.is_open()) co_return;
      if (error) {
        co_await Pause(milliseconds(100));  // out of descriptors, most likely
        continue;
      }
      if (joining_.size() >= world_ + kMaxStrangers) continue;
      const int id = next_joining_++;
      auto shared = std::make_shared<tcp::socket>(std::move(socket));
      joining_.emplace(id, shared);
      Spawn(ServeJoin(id, std::move(shared)));
    }
  }

  // Reads one join request, then waits for the end of the connection.
  awaitable<void> ServeJoin(int id, std::shared_ptr<tcp::socket> socket) {
    auto watchdog = CloseAfter(socket, kHandshakeTimeout);
    Result<Frame> frame = co_await ReadFrame(*socket);
    watchdog->cancel();
    Status status = frame.status();
    if (frame.ok() && frame->header.type == FrameType::kJoin) {
      auto join = DecodeJoin(frame->payload);
      status = join.status();
      if (join.ok()) {
        RendezvousServer::Step step;
        server_->OnJoin(id, *join, &step);
        Carry(std::move(step));
        char byte;
        co_await asio::async_read(*socket, asio::buffer(&byte, 1), kAwait);
      }
    } else if (frame.ok()) {
      status = Error(Code::kDataLoss) << "[rendezvous] the first frame is no join request";
    }
    if (!status.ok() && !have_table_) Say("dropped a connection: " + status.message());
    server_->OnLost(id);
    joining_.erase(id);
    ErrorCode ignored;
    socket->close(ignored);
  }

  // --- The other ranks' rendezvous.
  awaitable<void> Join() {
    auto socket = std::make_shared<tcp::socket>(*io_);
    while (failure_.ok()) {
      auto watchdog = CloseAfter(socket, config_.rendezvous_timeout);
      auto [error] = co_await socket->async_connect(master_, kAwait);
      watchdog->cancel();
      if (!error) break;
      ErrorCode ignored;
      socket->close(ignored);
      if (!failure_.ok()) co_return;
      co_await Pause(client_->OnConnectFailed(error.message()));
    }
    ErrorCode error;
    const tcp::endpoint own = socket->local_endpoint(error);
    if (!failure_.ok() || error) co_return;
    Take(ListenForPeers(own.address()));
    if (!failure_.ok()) co_return;
    const std::string join =
        EncodeControl(FrameType::kJoin, self_, EncodeJoin({self_, own_endpoint_}));
    co_await asio::async_write(*socket, asio::buffer(join), kAwait);
    client_->OnJoined();
    Result<Frame> frame = co_await ReadFrame(*socket);
    if (frame.ok()) {
      client_->OnReply(frame->header.type, frame->payload);
    } else {
      client_->OnLost(frame.status().message());
    }
    Take(client_->failure());
    if (client_->table()) {
      table_ = *client_->table();
      have_table_ = true;
    }
  }

  // --- Connections between peers.
  awaitable<void> AcceptPeers() {
    while (true) {
      auto [error, socket] = co_await listener_.async_accept(kAwait);
      if (error == asio::error::operation_aborted || !listener_.is_open()) co_return;
      if (error) {
        co_await Pause(milliseconds(100));
        continue;
      }
      if (strangers_ >= config_.world_size + kMaxStrangers) continue;
      Spawn(GreetStranger(std::make_shared<tcp::socket>(std::move(socket))));
    }
  }

  // Whoever it is, its failure is not ours.
  awaitable<void> GreetStranger(std::shared_ptr<tcp::socket> socket) {
    ++strangers_;
    Status ignored = co_await Greet(std::move(socket), -1);
    --strangers_;
  }

  awaitable<void> ConnectPeer(int peer) {
    const Endpoint& endpoint = table_[static_cast<size_t>(peer)];
    ErrorCode error;
    const auto address = asio::ip::make_address(endpoint.host, error);
    auto socket = std::make_shared<tcp::socket>(*io_);
    if (!error) {
      auto watchdog = CloseAfter(socket, config_.rendezvous_timeout);
      std::tie(error) = co_await socket->async_connect({address, endpoint.port}, kAwait);
      watchdog->cancel();
    }
    Status status;
    if (error) {
      status = Error(Code::kUnavailable)
               << "[rendezvous] rank " << peer << " cannot be reached at " << endpoint.host << ":"
               << endpoint.port << ": " << error.message();
    } else {
      status = co_await Greet(std::move(socket), peer);
    }
    Take(status);
  }

  // Exchanges hellos; a valid peer gets its place.
  awaitable<Status> Greet(std::shared_ptr<tcp::socket> socket, int peer) {
    Configure(*socket, local_);
    ConnectionOptions options;
    options.self = self_;
    options.peer = peer;
    options.checksum_payload = config_.checksum_payload;
    options.operation_timeout = config_.operation_timeout;
    options.handshake_timeout = kHandshakeTimeout;
    auto connection = std::make_unique<Connection>(options, steady_clock::now());
    auto watchdog = CloseAfter(socket, kHandshakeTimeout);
    Effects none;
    while (connection->has_output() || connection->state() == Connection::State::kGreeting) {
      ErrorCode error;
      size_t bytes = 0;
      if (connection->has_output()) {
        std::array<ConstBytes, 4> parts;
        const size_t used = connection->WantWrite(parts);
        std::vector<asio::const_buffer> buffers;
        for (size_t i = 0; i < used; ++i) buffers.emplace_back(parts[i].data(), parts[i].size());
        std::tie(error, bytes) = co_await socket->async_write_some(buffers, kAwait);
        if (!error) connection->OnWritten(bytes, &none);
      } else {
        const MutableBytes into = connection->WantRead();
        std::tie(error, bytes) =
            co_await socket->async_read_some(asio::buffer(into.data(), into.size()), kAwait);
        if (!error) connection->OnRead(bytes, steady_clock::now(), &none);
      }
      if (error) {
        connection->OnLost(Error(Code::kUnavailable) << "no handshake: " << error.message(), &none);
        break;
      }
    }
    watchdog->cancel();
    co_return Place(std::move(connection), *socket);
  }

  Status Place(std::unique_ptr<Connection> connection, tcp::socket& socket) {
    if (!connection->failure().ok()) {
      if (connected_ + 1 < world_) Say("a connection failed: " + connection->failure().message());
      return connection->failure();
    }
    const auto peer = static_cast<size_t>(connection->peer());
    OFL_ENSURE(!connections_[peer], Code::kFailedPrecondition)
        << "[rendezvous] rank " << peer << " connected twice";
    connections_[peer] = std::move(connection);
    sockets_[peer] = std::make_unique<tcp::socket>(std::move(socket));
    ++connected_;
    return {};
  }

  // --- Small tools.
  void Spawn(awaitable<void> routine) {
    ++routines_;
    asio::co_spawn(*io_, std::move(routine), [this](std::exception_ptr) { --routines_; });
  }

  static awaitable<Result<Frame>> ReadFrame(tcp::socket& socket) {
    HeaderBytes bytes;
    auto [error, got] =
        co_await asio::async_read(socket, asio::buffer(bytes.data(), bytes.size()), kAwait);
    if (error) co_return Error(Code::kUnavailable) << error.message();
    auto header = DecodeHeader(bytes);
    if (!header.ok()) co_return header.status();
    if (header->type < FrameType::kJoin) {
      co_return Error(Code::kDataLoss) << "[rendezvous] a " << FrameTypeName(header->type)
                                       << " frame does not belong to the rendezvous";
    }
    Frame frame{*header, std::string(header->payload_length, '\0')};
    auto [payload_error, payload_got] =
        co_await asio::async_read(socket, asio::buffer(frame.payload), kAwait);
    if (payload_error) co_return Error(Code::kUnavailable) << payload_error.message();
    co_return frame;
  }

  // Closes the socket unless cancelled before; WindDown closes it in any case.
  std::shared_ptr<asio::steady_timer> CloseAfter(std::shared_ptr<tcp::socket> socket,
                                                 milliseconds time) {
    std::erase_if(guarded_, [](const auto& weak) { return weak.expired(); });
    guarded_.push_back(socket);
    auto timer = std::make_shared<asio::steady_timer>(*io_, time);
    timer->async_wait([socket, timer](ErrorCode error) {
      ErrorCode ignored;
      if (!error) socket->close(ignored);
    });
    return timer;
  }

  awaitable<void> Pause(milliseconds time) {
    asio::steady_timer timer(*io_, time);
    co_await timer.async_wait(kAwait);
  }

  // Ends every coroutine, for they refer to this object.
  void WindDown() {
    ErrorCode ignored;
    rendezvous_.close(ignored);
    listener_.close(ignored);
    for (const auto& weak : guarded_) {
      if (auto socket = weak.lock()) socket->close(ignored);
    }
    for (auto& [id, socket] : joining_) socket->close(ignored);
    while (routines_ > 0) {
      io_->restart();
      io_->run_one_for(kTick);
    }
  }

  Result<std::unique_ptr<Transport>> Finish() {
    WindDown();
    EngineOptions engine{.rank = config_.rank, .world_size = config_.world_size};
    if (config_.local_world_size > static_cast<int>(std::thread::hardware_concurrency())) {
      engine.spin = std::chrono::microseconds(0);
    }
    auto wire = MakeSocketWire(std::move(io_), std::move(sockets_));
    return std::unique_ptr<Transport>(
        std::make_unique<Engine>(engine, std::move(wire), std::move(connections_)));
  }

  const WorldConfig config_;
  const EndedRanks ended_;
  const size_t world_;
  const bool local_;
  const Identity self_;
  std::unique_ptr<asio::io_context> io_;
  tcp::acceptor rendezvous_;
  tcp::acceptor listener_;
  const TimePoint start_;
  const TimePoint deadline_;
  tcp::endpoint master_;
  Endpoint own_endpoint_;
  Status failure_;

  std::optional<RendezvousServer> server_;
  std::optional<RendezvousClient> client_;
  // Shared by its reader and by the writer of its reply.
  std::map<int, std::shared_ptr<tcp::socket>> joining_;
  int next_joining_ = 0;
  int replies_due_ = 0;

  int routines_ = 0;
  int strangers_ = 0;
  std::vector<std::weak_ptr<tcp::socket>> guarded_;

  bool have_table_ = false;
  std::vector<Endpoint> table_;
  size_t connected_ = 0;
  std::vector<std::unique_ptr<tcp::socket>> sockets_;
  std::vector<std::unique_ptr<Connection>> connections_;
};

Status Validate(const WorldConfig& config) {
  OFL_ENSURE(config.world_size >= 1 && config.world_size <= 1 << 14, Code::kInvalidArgument)
      << "[rendezvous] impossible WORLD_SIZE: got " << config.world_size;
  OFL_ENSURE(config.rank >= 0 && config.rank < config.world_size, Code::kInvalidArgument)
      << "[rendezvous] RANK outside the world: got " << config.rank << "; expected 0 to "
      << config.world_size - 1;
  OFL_ENSURE(config.local_world_size >= 1 && config.local_world_size <= config.world_size,
             Code::kInvalidArgument)
      << "[rendezvous] impossible LOCAL_WORLD_SIZE: got " << config.local_world_size
      << "; expected 1 to " << config.world_size;
  OFL_ENSURE(config.world_size == 1 || (config.master_port >= 1 && config.master_port <= 65535),
             Code::kInvalidArgument)
      << "[rendezvous] impossible MASTER_PORT: got " << config.master_port
      << "; expected 1 to 65535";
  return {};
}

}  // namespace

Result<std::unique_ptr<Transport>> ConnectTcp(const WorldConfig& config) {
  return ConnectTcp(config, {});
}

Result<std::unique_ptr<Transport>> ConnectTcp(const WorldConfig& config, EndedRanks ended) {
  OFL_TRY(Validate(config));
  if (config.world_size == 1) return SoloTransport();
  return Meeting(config, std::move(ended)).Run();
}

}  // namespace ofl::transport
