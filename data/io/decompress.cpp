#include "data/io/decompress.h"

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <variant>

#include "core/check.h"

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

}  // namespace tern
