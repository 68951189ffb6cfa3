#include "distributed/connection.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/check.h"
#include "data/io/files.h"

namespace tern {
namespace {

constexpr std::array<char, 4> kMagic = {'t', 'e', 'r', 'n'};
constexpr int kWaitRound = 20;  // ms between two calls of on_wait

// Ranks are of one binary (the handshake compares), so in the machine's own byte order.
struct Header {
  std::array<char, 4> magic;
  std::uint32_t kind, sequence, length;
};

void wait_for(int socket, short events) {
  pollfd one{socket, events, 0};
  ::poll(&one, 1, kWaitRound);
}

constexpr const char* kForeign = "it sent data that is not a message of tern";

void require_link(bool holds, const std::string& how) {
  if (!holds) throw LinkBroken(how);
}

bool again(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

}  // namespace

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Descriptor::Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(number_, other.number_);
  return *this;
}

Descriptor::~Descriptor() {
  if (number_ >= 0) close(number_);
}

Connection::Connection(Descriptor socket) : socket_(std::move(socket)) {
  const int on = 1;
  fcntl(number(), F_SETFL, O_NONBLOCK);
  fcntl(number(), F_SETFD, FD_CLOEXEC);
  setsockopt(number(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(number(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);  // a machine that lost its power
}

void Connection::send(FrameKind kind, std::uint32_t sequence, std::span<const std::byte> bytes,
                      const WaitCallback& on_wait) {
  check(bytes.size() <= kMostFrameBytes, "[Connection] frame: expected at most ", kMostFrameBytes,
        " bytes, got ", bytes.size());
  const Header header{kMagic, std::uint32_t(kind), sequence, std::uint32_t(bytes.size())};
  std::vector<std::byte> all(sizeof header + bytes.size());
  std::memcpy(all.data(), &header, sizeof header);
  if (!bytes.empty()) std::memcpy(all.data() + sizeof header, bytes.data(), bytes.size());
  for (std::size_t sent = 0; sent < all.size();) {
    const ssize_t n = ::send(number(), all.data() + sent, all.size() - sent, MSG_NOSIGNAL);
    if (n > 0) {
      sent += std::size_t(n);
      continue;
    }
    require_link(again(errno), "its connection broke: " + system_message(errno));
    wait_for(number(), POLLOUT);
    on_wait();
  }
}

Frame Connection::receive(const WaitCallback& on_wait) {
  for (;;) {
    if (std::optional<Frame> frame = poll()) return std::move(*frame);
    wait_for(number(), POLLIN);
    on_wait();
  }
}

std::optional<Frame> Connection::poll() {
  for (;;) {
    if (std::optional<Frame> frame = take()) return frame;
    std::array<std::byte, 1 << 16> buffer;
    const ssize_t n = ::recv(number(), buffer.data(), buffer.size(), 0);
    if (n < 0 && again(errno)) return std::nullopt;
    require_link(n != 0, "its connection closed");
    require_link(n > 0, "its connection broke: " + system_message(errno));
    received_.insert(received_.end(), buffer.begin(), buffer.begin() + n);
  }
}

std::optional<Frame> Connection::take() {
  if (received_.empty()) return std::nullopt;
  Header header;
  const std::size_t have = std::min(received_.size(), sizeof header.magic);
  require_link(std::memcmp(received_.data(), kMagic.data(), have) == 0, kForeign);
  if (received_.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, received_.data(), sizeof header);
  require_link(
      header.length <= kMostFrameBytes && header.kind <= std::uint32_t(FrameKind::exit_notice),
      kForeign);
  if (received_.size() < sizeof header + header.length) return std::nullopt;
  const auto begin = received_.begin() + sizeof header, end = begin + header.length;
  Frame frame{FrameKind(header.kind), header.sequence, {begin, end}};
  received_.erase(received_.begin(), end);
  return frame;
}

void wait_readable(std::span<const int> descriptors, int milliseconds) {
  std::vector<pollfd> all;
  for (const int d : descriptors) all.push_back({d, POLLIN, 0});
  ::poll(all.data(), all.size(), milliseconds);
}

}  // namespace tern
