// Frames of a connection between ranks. The first byte says how many bytes arrive at a time.
#include <sys/socket.h>

#include "distributed/connection.h"
#include "tests/fuzz/fuzz.h"

namespace tern::fuzz {
namespace {

struct Pair {
  Connection here;
  Descriptor there;
};

Pair connect() {
  int ends[2];
  expect(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "a pair of sockets");
  return {Connection(Descriptor(ends[0])), Descriptor(ends[1])};
}

std::string sent(const Frame& frame) {
  Pair pair = connect();
  pair.here.send(frame.kind, frame.sequence, frame.bytes, [] {});
  std::string bytes(frame.bytes.size() + 64, '\0');
  const ssize_t n = ::recv(pair.there.number(), bytes.data(), bytes.size(), 0);
  expect(n > 0, "a frame that was sent");
  return bytes.substr(0, std::size_t(n));
}

}  // namespace

void run(std::string_view input) {
  if (input.empty()) return;
  const std::size_t at_a_time = input[0] == 0 ? 1 << 16 : std::size_t(std::uint8_t(input[0]));
  const std::string_view content = input.substr(1);
  Pair pair = connect();
  std::string received;
  const auto poll = [&] {
    while (const std::optional<Frame> frame = pair.here.poll()) {
      expect(frame->kind <= FrameKind::exit_notice, "an unknown kind of frame");
      received += sent(*frame);
    }
  };
  const bool sound = works({Fault::communication}, [&] {
    for (std::size_t at = 0; at < content.size(); at += at_a_time) {
      const std::string_view part = content.substr(at, at_a_time);
      const ssize_t n = ::send(pair.there.number(), part.data(), part.size(), MSG_NOSIGNAL);
      expect(n == ssize_t(part.size()), "bytes that were sent");
      poll();
    }
  });
  expect(content.starts_with(received), "frames are not the bytes that arrived");
  if (!sound) return;
  expect(content.size() - received.size() < 16 + kMostFrameBytes,
         "a frame that has arrived is held back");
  ::shutdown(pair.there.number(), SHUT_WR);
  expect(!works({Fault::communication}, poll), "the end of a connection is not noticed");
}

}  // namespace tern::fuzz
