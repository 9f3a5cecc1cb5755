// Connected sockets as a Wire, waited for with Boost.Asio.
#pragma once

#include <memory>
#include <vector>

#include "transport/tcp/asio.h"
#include "transport/wire.h"

namespace ofl::transport {

// `sockets[r]` is connected to rank r, null for the own rank; they belong to `io`.
std::unique_ptr<Wire> MakeSocketWire(
    std::unique_ptr<boost::asio::io_context> io,
    std::vector<std::unique_ptr<boost::asio::ip::tcp::socket>> sockets);

}  // namespace ofl::transport
