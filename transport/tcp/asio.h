// Boost.Asio as this folder uses it; included before any other header of Asio.
#pragma once

// ThreadSanitizer does not understand stand-alone fences. One thread runs each io_context here, so
// none is needed.
#if defined(__SANITIZE_THREAD__) && !defined(BOOST_ASIO_DISABLE_FENCED_BLOCK)
#define BOOST_ASIO_DISABLE_FENCED_BLOCK 1
#endif

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
