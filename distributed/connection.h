// A TCP connection that carries bounded frames, and the port it came to. Every wait is in small
// pieces between which the caller is asked whether to go on.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/check.h"

namespace tern {

enum class FrameKind : std::uint32_t { hello, welcome, refusal, agree, tensor, alive, farewell };

struct Frame {
  FrameKind kind{};
  std::uint32_t sequence = 0;
  std::vector<std::byte> bytes{};
};

inline constexpr std::size_t kMostFrameBytes = std::size_t(1) << 20;

// Called again and again while nothing moves; throws to give up.
using Waiting = std::function<void()>;

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

// Closed by the other side, or something came that is no frame of ours, or one that is too long.
struct LinkBroken : Error {
  explicit LinkBroken(const std::string& how) : Error(Fault::communication, how) {}
};

// Throws LinkBroken, and what `waiting` throws.
class Connection {
 public:
  explicit Connection(Descriptor socket);  // made non-blocking

  void send(FrameKind kind, std::uint32_t sequence, std::span<const std::byte> bytes,
            const Waiting& waiting);
  Frame receive(const Waiting& waiting);
  std::optional<Frame> poll();  // what has come already, without waiting

  int number() const { return socket_.number(); }
  std::string peer() const;  // "127.0.0.1:40312", "[::1]:40312"

 private:
  std::optional<Frame> take();  // a whole frame out of received_

  Descriptor socket_;
  std::vector<std::byte> received_{};
};

// Waits up to so many milliseconds until one of them has something to read.
void wait_readable(std::span<const int> descriptors, int milliseconds);

// Where connections come from.
enum class Callers { this_machine, any_machine };

class Listener {
 public:
  // On every address of this machine, or on the loopback one alone if the host is that: the address
  // itself or localhost, or, where all callers are on this machine, a name of it. (Debian gives a
  // machine's own name the address 127.0.1.1.) Port 0: any free one. Fault::communication: in use,
  // not allowed, no such host.
  Listener(const std::string& host, int port, Callers callers = Callers::this_machine);
  explicit Listener(Descriptor listening);  // made by the launcher

  int port() const;
  int number() const { return socket_.number(); }
  std::optional<Connection> accept();

 private:
  Descriptor socket_;
};

// "node0:29500", "[::1]:29500"
std::string address_text(const std::string& host, int port);

// One attempt, at most so many seconds long; the reason instead of a connection when it fails.
std::optional<Connection> try_connect(const std::string& host, int port, double seconds,
                                      std::string& why_not);

}  // namespace tern
