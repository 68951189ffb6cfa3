// Listeners and connection attempts: host names, addresses and ports.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "core/check.h"
#include "data/io/files.h"
#include "distributed/connection.h"

namespace tern {
namespace {

using Addresses = std::unique_ptr<addrinfo, void (*)(addrinfo*)>;

Addresses addresses_of(const std::string& host, int port, int flags, std::string& why_not) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  const int error = getaddrinfo(host.empty() ? nullptr : host.c_str(), std::to_string(port).c_str(),
                                &hints, &found);
  if (error != 0) why_not = std::string("no such host: ") + gai_strerror(error);
  return {error == 0 ? found : nullptr, freeaddrinfo};
}

bool is_loopback(const addrinfo& a) {
  if (a.ai_family == AF_INET)
    return (ntohl(reinterpret_cast<sockaddr_in*>(a.ai_addr)->sin_addr.s_addr) >> 24) == 127;
  return a.ai_family == AF_INET6 &&
         IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<sockaddr_in6*>(a.ai_addr)->sin6_addr);
}

bool all_loopback(const addrinfo* a) {
  const bool any = a;
  while (a && is_loopback(*a)) a = a->ai_next;
  return any && !a;
}

// An address, or localhost: not a name that may resolve to another address on another machine.
bool names_loopback(const std::string& host) {
  std::string why_not;
  return host == "localhost" || addresses_of(host, 0, AI_NUMERICHOST, why_not);
}

Descriptor new_socket(const addrinfo& a) {
  return Descriptor(socket(a.ai_family, a.ai_socktype | SOCK_CLOEXEC, a.ai_protocol));
}

Descriptor listen_on(const addrinfo& a, std::string& why_not) {
  Descriptor s = new_socket(a);
  const int on = 1, off = 0;
  setsockopt(s.number(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (a.ai_family == AF_INET6) setsockopt(s.number(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (s.number() >= 0 && bind(s.number(), a.ai_addr, a.ai_addrlen) == 0 &&
      listen(s.number(), 128) == 0)
    return s;
  why_not = system_message(errno);
  return Descriptor();
}

// IPv6 first: one socket on :: serves IPv4 as well.
Descriptor listen_somewhere(const std::string& host, int port, Callers callers) {
  std::string why_not = "no address";
  const Addresses own = addresses_of(host, port, 0, why_not);
  const bool loopback =
      all_loopback(own.get()) && (callers == Callers::this_machine || names_loopback(host));
  const Addresses every =
      loopback ? Addresses(nullptr, freeaddrinfo) : addresses_of("", port, AI_PASSIVE, why_not);
  const addrinfo* all = loopback ? own.get() : every.get();
  for (const int family : {AF_INET6, AF_INET})
    for (const addrinfo* a = all; a; a = a->ai_next) {
      if (a->ai_family != family) continue;
      Descriptor s = listen_on(*a, why_not);
      if (s.number() >= 0) return s;
    }
  fail(Fault::communication, "rank 0 cannot listen at ", host, " port ", port, ": ", why_not,
       ": choose another MASTER_PORT, or --rendezvous HOST:PORT");
}

bool connected(int socket, const addrinfo& a, double seconds, std::string& why_not) {
  if (connect(socket, a.ai_addr, a.ai_addrlen) == 0) return true;
  int error = errno;
  if (error == EINPROGRESS) {
    pollfd one{socket, POLLOUT, 0};
    socklen_t size = sizeof error;
    if (::poll(&one, 1, int(seconds * 1000)) == 1)
      getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size);
    else
      error = ETIMEDOUT;
  }
  why_not = system_message(error);
  return error == 0;
}

}  // namespace

std::string Connection::peer() const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";
  if (getpeername(number(), reinterpret_cast<sockaddr*>(&address), &size) == 0)
    getnameinfo(reinterpret_cast<sockaddr*>(&address), size, host, sizeof host, port, sizeof port,
                NI_NUMERICHOST | NI_NUMERICSERV);
  return address_text(host, std::atoi(port));
}

std::string address_text(const std::string& host, int port) {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Listener::Listener(const std::string& host, int port, Callers callers)
    : Listener(listen_somewhere(host, port, callers)) {}

Listener::Listener(Descriptor listening) : socket_(std::move(listening)) {
  fcntl(number(), F_SETFL, O_NONBLOCK);
  fcntl(number(), F_SETFD, FD_CLOEXEC);
}

int Listener::port() const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  getsockname(number(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                                             : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

std::optional<Connection> Listener::accept() {
  Descriptor peer(accept4(number(), nullptr, nullptr, SOCK_CLOEXEC));
  if (peer.number() < 0) return std::nullopt;
  return Connection(std::move(peer));
}

std::optional<Connection> try_connect(const std::string& host, int port, double seconds,
                                      std::string& why_not) {
  const Addresses all = addresses_of(host, port, 0, why_not);
  for (const addrinfo* a = all.get(); a; a = a->ai_next) {
    Descriptor s = new_socket(*a);
    fcntl(s.number(), F_SETFL, O_NONBLOCK);
    if (connected(s.number(), *a, seconds, why_not)) return Connection(std::move(s));
  }
  return std::nullopt;
}

}  // namespace tern
