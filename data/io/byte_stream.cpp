#include "data/io/byte_stream.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/check.h"

namespace tern {
namespace {

constexpr std::size_t kBufferBytes = std::size_t(256) << 10;
// Text compresses tenfold, a hundredfold where it repeats: beyond this it is a bomb.
constexpr std::uint64_t kMaxRatio = 1000;
constexpr std::uint64_t kAlwaysAllowed = std::uint64_t(64) << 20;

std::size_t read_standard_input(std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t n = ::read(STDIN_FILENO, out.data() + done, out.size() - done);
    if (n == 0) break;
    if (n < 0 && errno == EINTR) continue;
    require(n > 0, Fault::disk, "standard input: reading failed: ", system_message(errno));
    done += std::size_t(n);
  }
  return done;
}

}  // namespace

ByteStream::ByteStream(const std::filesystem::path& path, Codec codec, std::uint64_t bytes)
    : path_(path), bytes_(bytes) {
  if (path != "-") {
    file_ = File::open(path, Links::follow);
    const std::uint64_t size = file_->size();
    require(size >= bytes, Fault::input, path.string(), ": became shorter: expected ", bytes,
            " B, got ", size);
  }
  if (codec == Codec::none) return;
  decompressor_.emplace(codec);
  buffer_.resize(kBufferBytes);
}

std::size_t ByteStream::read_raw(std::span<std::byte> out) {
  if (!file_) {
    const std::size_t n = read_standard_input(out);
    consumed_ += n;
    return n;
  }
  out = out.first(std::size_t(std::min<std::uint64_t>(out.size(), bytes_ - consumed_)));
  const std::size_t n = file_->read_some(out);
  consumed_ += n;
  require(n == out.size(), Fault::input, path_.string(),
          ": became shorter while it was read: expected ", bytes_, " B, got ", consumed_);
  return n;
}

std::size_t ByteStream::read_decompressed(std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    if (pending_.empty()) pending_ = std::span(buffer_).first(read_raw(buffer_));
    const Decompressor::Step step = decompressor_->step(pending_, out.subspan(done));
    require(step.error == nullptr, Fault::input, path_.string(), ": near byte ",
            consumed_ - pending_.size(), ": ", step.error);
    const bool input_ended = pending_.empty();
    pending_ = pending_.subspan(step.read);
    done += step.written;
    const std::uint64_t total = produced_ + done;
    require(total <= kAlwaysAllowed || total / kMaxRatio <= consumed_, Fault::input, path_.string(),
            ": grows more than ", kMaxRatio, "-fold when decompressed: not read further");
    if (step.written > 0 || !input_ended) continue;
    require(step.complete, Fault::input, path_.string(),
            ": cut off: the compressed data ends at byte ", consumed_, " without an end mark");
    break;
  }
  return done;
}

std::size_t ByteStream::read(std::span<std::byte> out) {
  const std::size_t n = decompressor_ ? read_decompressed(out) : read_raw(out);
  produced_ += n;
  return n;
}

void ByteStream::skip(std::uint64_t bytes) {
  std::vector<std::byte> scratch(std::min<std::uint64_t>(bytes, std::uint64_t(1) << 20));
  const std::uint64_t end = produced_ + bytes;
  while (produced_ < end) {
    const std::uint64_t wanted = std::min<std::uint64_t>(scratch.size(), end - produced_);
    const std::size_t n = read(std::span(scratch).first(std::size_t(wanted)));
    require(n == wanted, Fault::input, path_.string(), ": ends at byte ", produced_, ", but ", end,
            " B of it are in the corpus already: has it changed?");
  }
}

}  // namespace tern
