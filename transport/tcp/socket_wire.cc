#include "transport/tcp/socket_wire.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>

namespace ofl::transport {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr size_t kMaxParts = 64;

class SocketLink final : public Link {
 public:
  explicit SocketLink(std::unique_ptr<tcp::socket> socket)
      : socket_(std::move(socket)), fd_(socket_->native_handle()) {}

  Result<size_t> Read(MutableBytes into) override {
    while (!closed_) {
      const ssize_t got = ::recv(fd_, into.data(), into.size(), MSG_DONTWAIT);
      if (got > 0) return static_cast<size_t>(got);
      if (got == 0) {
        return Error(Code::kUnavailable)
               << "it closed the connection without a word (crashed or killed)";
      }
      if (errno == EAGAIN || errno == EWOULDBLOCK) return size_t{0};
      if (errno != EINTR) return Error(Code::kUnavailable) << "recv: " << std::strerror(errno);
    }
    return Error(Code::kUnavailable) << "the connection is closed";
  }

  Result<size_t> Write(std::span<const ConstBytes> parts) override {
    std::array<iovec, kMaxParts> vectors;
    const size_t count = std::min(parts.size(), kMaxParts);
    for (size_t i = 0; i < count; ++i) {
      vectors[i] = {const_cast<std::byte*>(parts[i].data()), parts[i].size()};
    }
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    while (!closed_) {
      const ssize_t sent = ::sendmsg(fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent >= 0) return static_cast<size_t>(sent);
      if (errno == EAGAIN || errno == EWOULDBLOCK) return size_t{0};
      if (errno != EINTR) return Error(Code::kUnavailable) << "send: " << std::strerror(errno);
    }
    return Error(Code::kUnavailable) << "the connection is closed";
  }

  void CloseWrite() override {
    boost::system::error_code ignored;
    if (!closed_) socket_->shutdown(tcp::socket::shutdown_send, ignored);
  }
  void Close() override {
    boost::system::error_code ignored;
    closed_ = true;
    socket_->close(ignored);
  }

  // Asks Asio to tell, once, when there is something to read or room to write.
  void Arm(bool write, char* ready) {
    if (closed_) return;
    if (!read_armed_) {
      read_armed_ = true;
      socket_->async_wait(tcp::socket::wait_read, [this, ready](boost::system::error_code error) {
        read_armed_ = false;
        if (!error) *ready = 1;
      });
    }
    if (write && !write_armed_) {
      write_armed_ = true;
      socket_->async_wait(tcp::socket::wait_write,
                          [this](boost::system::error_code) { write_armed_ = false; });
    }
  }

 private:
  std::unique_ptr<tcp::socket> socket_;
  const int fd_;
  bool closed_ = false;
  bool read_armed_ = false;
  bool write_armed_ = false;
};

class SocketWire final : public Wire {
 public:
  SocketWire(std::unique_ptr<asio::io_context> io,
             std::vector<std::unique_ptr<tcp::socket>> sockets)
      : io_(std::move(io)), keep_waiting_(io_->get_executor()), ready_(sockets.size(), 0) {
    for (auto& socket : sockets) {
      links_.push_back(socket ? std::make_unique<SocketLink>(std::move(socket)) : nullptr);
    }
  }
  ~SocketWire() override {
    for (auto& link : links_) {
      if (link) link->Close();
    }
    io_->restart();
    io_->poll();  // the cancelled waits still refer to the links
  }

  Link* link(int rank) override { return links_[static_cast<size_t>(rank)].get(); }

  void Wait(std::chrono::nanoseconds at_most, const std::vector<char>& want_write,
            std::vector<char>* ready) override {
    for (size_t r = 0; r < links_.size(); ++r) {
      if (links_[r]) links_[r]->Arm(want_write[r] != 0, &ready_[r]);
    }
    io_->restart();
    io_->run_one_for(at_most);
    io_->poll();
    for (size_t r = 0; r < links_.size(); ++r) {
      if (ready_[r]) (*ready)[r] = 1;
      ready_[r] = 0;
    }
  }

  void Wake() override {
    asio::post(*io_, [] {});
  }

 private:
  std::unique_ptr<asio::io_context> io_;
  // Without it, waiting on nothing but Wake would return at once.
  asio::executor_work_guard<asio::io_context::executor_type> keep_waiting_;
  std::vector<std::unique_ptr<SocketLink>> links_;
  std::vector<char> ready_;
};

}  // namespace

std::unique_ptr<Wire> MakeSocketWire(std::unique_ptr<asio::io_context> io,
                                     std::vector<std::unique_ptr<tcp::socket>> sockets) {
  return std::make_unique<SocketWire>(std::move(io), std::move(sockets));
}

}  // namespace ofl::transport
