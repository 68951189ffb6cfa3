#include "data/io/byte_stream.h"

#include <lzma.h>
#include <unistd.h>
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <variant>

#include "core/check.h"
#include "data/io/hdf5.h"

namespace tern {
namespace {

constexpr int kZstdWindowLog = 27;
constexpr std::uint64_t kXzMemory = std::uint64_t(256) << 20;
constexpr std::size_t kMaxPerCall = std::size_t(1) << 30;  // zlib counts in 32 bits

using Step = Decompressor::Step;
using Input = std::span<const std::byte>;
using Output = std::span<std::byte>;

class Gzip {
 public:
  Gzip() { check(inflateInit2(&z_, 15 + 16) == Z_OK, "[gzip] no memory"); }
  ~Gzip() { inflateEnd(&z_); }

  Step step(Input in, Output out) {
    if (at_end_ && !in.empty()) inflateReset(&z_), at_end_ = false;  // the next member
    z_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in.data()));
    z_.avail_in = uInt(std::min(in.size(), kMaxPerCall));
    z_.next_out = reinterpret_cast<Bytef*>(out.data());
    z_.avail_out = uInt(std::min(out.size(), kMaxPerCall));
    const uInt given = z_.avail_in, room = z_.avail_out;
    const int code = at_end_ ? Z_STREAM_END : inflate(&z_, Z_NO_FLUSH);
    at_end_ = code == Z_STREAM_END;
    const bool fine = at_end_ || code == Z_OK || code == Z_BUF_ERROR;
    return {given - z_.avail_in, room - z_.avail_out, at_end_,
            fine                ? nullptr
            : z_.msg != nullptr ? z_.msg
                                : "damaged"};
  }

 private:
  z_stream z_{};
  bool at_end_ = false;
};

class Zstd {
 public:
  Zstd() : context_(ZSTD_createDCtx()) {
    check(context_ != nullptr, "[zstd] no memory");
    ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, kZstdWindowLog);
  }
  ~Zstd() { ZSTD_freeDCtx(context_); }

  Step step(Input in, Output out) {
    ZSTD_inBuffer from{in.data(), in.size(), 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    const bool idle = in.empty() && at_end_;
    const std::size_t left = idle ? 0 : ZSTD_decompressStream(context_, &to, &from);
    if (ZSTD_isError(left)) return {.error = ZSTD_getErrorName(left)};
    at_end_ = left == 0;
    return {from.pos, to.pos, at_end_};
  }

 private:
  ZSTD_DCtx* context_;
  bool at_end_ = false;
};

class Xz {
 public:
  Xz() {
    check(lzma_stream_decoder(&z_, kXzMemory, LZMA_CONCATENATED) == LZMA_OK, "[xz] no memory");
  }
  ~Xz() { lzma_end(&z_); }

  Step step(Input in, Output out) {
    if (at_end_) return {.complete = true};
    z_.next_in = reinterpret_cast<const std::uint8_t*>(in.data());
    z_.avail_in = in.size();
    z_.next_out = reinterpret_cast<std::uint8_t*>(out.data());
    z_.avail_out = out.size();
    const lzma_ret code = lzma_code(&z_, in.empty() ? LZMA_FINISH : LZMA_RUN);
    at_end_ = code == LZMA_STREAM_END;
    const bool fine = at_end_ || code == LZMA_OK || code == LZMA_BUF_ERROR;
    return {in.size() - z_.avail_in, out.size() - z_.avail_out, at_end_,
            fine ? nullptr : reason(code)};
  }

 private:
  static const char* reason(lzma_ret code) {
    return code == LZMA_FORMAT_ERROR     ? "not xz data"
           : code == LZMA_MEMLIMIT_ERROR ? "needs more than 256 MiB of memory"
                                         : "damaged";
  }
  lzma_stream z_ = LZMA_STREAM_INIT;
  bool at_end_ = false;
};

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

struct Decompressor::State {
  std::variant<std::monostate, Gzip, Zstd, Xz> codec;
};

Decompressor::Decompressor(Codec codec) : state_(std::make_unique<State>()) {
  if (codec == Codec::gzip) state_->codec.emplace<Gzip>();
  if (codec == Codec::zstd) state_->codec.emplace<Zstd>();
  if (codec == Codec::xz) state_->codec.emplace<Xz>();
}
Decompressor::Decompressor(Decompressor&&) noexcept = default;
Decompressor& Decompressor::operator=(Decompressor&&) noexcept = default;
Decompressor::~Decompressor() = default;

Decompressor::Step Decompressor::step(std::span<const std::byte> in, std::span<std::byte> out) {
  return std::visit(
      [&](auto& codec) -> Step {
        if constexpr (std::is_same_v<std::decay_t<decltype(codec)>, std::monostate>)
          fail(Fault::internal, "[decompress] no codec");
        else
          return codec.step(in, out);
      },
      state_->codec);
}

std::string_view name_of(Codec codec) {
  constexpr std::string_view names[] = {"none", "gzip", "zstd", "xz"};
  return names[std::size_t(codec)];
}

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

std::map<std::string, std::string> data_library_versions() {
  const auto dotted = [](unsigned a, unsigned b, unsigned c) {
    return std::to_string(a) + '.' + std::to_string(b) + '.' + std::to_string(c);
  };
  const unsigned xxhash = XXH_versionNumber();
  return {{"HDF5", hdf5_version()},
          {"zlib", zlibVersion()},
          {"zstd", ZSTD_versionString()},
          {"xz", lzma_version_string()},
          {"xxHash", dotted(xxhash / 10000, xxhash / 100 % 100, xxhash % 100)}};
}

}  // namespace tern
