// A TCP connection that carries bounded frames, and the listener that accepts it. A wait calls back
// every few milliseconds, so that the caller can give up.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/check.h"

namespace tern {

enum class FrameKind : std::uint32_t {
  hello,
  welcome,
  refusal,
  agree,
  tensor,
  heartbeat,
  exit_notice
};

struct Frame {
  FrameKind kind{};
  std::uint32_t sequence = 0;
  std::vector<std::byte> bytes{};
};

inline constexpr std::size_t kMostFrameBytes = std::size_t(1) << 20;

// Called repeatedly while no byte moves; throws to give up.
using WaitCallback = std::function<void()>;

std::span<const std::byte> bytes_of(const std::string& text);
std::string text_of(std::span<const std::byte> bytes);

class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();
  int number() const { return number_; }

 private:
  int number_;
};

// The other side closed the connection, or sent bytes that are no frame, or a frame that is too
// long.
struct LinkBroken : Error {
  explicit LinkBroken(const std::string& how) : Error(Fault::communication, how) {}
};

// Throws LinkBroken, and what `on_wait` throws.
class Connection {
 public:
  explicit Connection(Descriptor socket);  // made non-blocking

  void send(FrameKind kind, std::uint32_t sequence, std::span<const std::byte> bytes,
            const WaitCallback& on_wait);
  Frame receive(const WaitCallback& on_wait);
  std::optional<Frame> poll();  // a frame that has arrived, without waiting

  int number() const { return socket_.number(); }
  std::string peer() const;  // "127.0.0.1:40312", "[::1]:40312"

 private:
  std::optional<Frame> take();  // the first whole frame of received_

  Descriptor socket_;
  std::vector<std::byte> received_{};
};

// Waits until one of the descriptors is readable, at most so many milliseconds.
void wait_readable(std::span<const int> descriptors, int milliseconds);

// Origin of the connections that a listener accepts.
enum class Callers { this_machine, any_machine };

class Listener {
 public:
  // Listens on every address of this machine, or on loopback alone if `host` means that: a loopback
  // address or localhost, or, where all callers are on this machine, a name that resolves to
  // loopback. (Debian gives a machine's own name the address 127.0.1.1.) Port 0: any free one.
  // Fault::communication: port in use, not allowed, no such host.
  Listener(const std::string& host, int port, Callers callers = Callers::this_machine);
  explicit Listener(Descriptor listening);  // a socket of the launcher

  int port() const;
  int number() const { return socket_.number(); }
  std::optional<Connection> accept();

 private:
  Descriptor socket_;
};

// "node0:29500", "[::1]:29500"
std::string address_text(const std::string& host, int port);

// One attempt, at most so many seconds for each address of the host. If it fails: nothing, and the
// reason in why_not.
std::optional<Connection> try_connect(const std::string& host, int port, double seconds,
                                      std::string& why_not);

}  // namespace tern
