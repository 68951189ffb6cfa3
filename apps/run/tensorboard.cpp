#include "apps/run/tensorboard.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cmath>

#include "apps/console/terminal.h"
#include "core/check.h"
#include "data/io/files.h"

namespace tern {
namespace {

// --- protocol buffers: a field is its number and wire type, then its value, little-endian ---

void put_varint(std::string& out, std::uint64_t x) {
  for (; x >= 128; x >>= 7) out += char((x & 127) | 128);
  out += char(x);
}
template <class Bits>
void put_fixed(std::string& out, Bits bits) {
  for (std::size_t i = 0; i < sizeof bits; ++i) out += char(bits >> 8 * i & 255);
}
void put_integer(std::string& out, int field, std::int64_t x) {
  put_varint(out, std::uint64_t(field) << 3);
  put_varint(out, std::uint64_t(x));
}
void put_double(std::string& out, int field, double x) {
  put_varint(out, std::uint64_t(field) << 3 | 1);
  put_fixed(out, std::bit_cast<std::uint64_t>(x));
}
void put_float(std::string& out, int field, float x) {
  put_varint(out, std::uint64_t(field) << 3 | 5);
  put_fixed(out, std::bit_cast<std::uint32_t>(x));
}
void put_bytes(std::string& out, int field, std::string_view bytes) {
  put_varint(out, std::uint64_t(field) << 3 | 2);
  put_varint(out, bytes.size());
  out += bytes;
}

// An Event under construction; its summary holds the values.
class Event {
 public:
  explicit Event(std::int64_t step) {
    using namespace std::chrono;
    const auto now = duration_cast<microseconds>(system_clock::now().time_since_epoch());
    put_double(bytes_, 1, double(now.count()) / 1e6);
    put_integer(bytes_, 2, step);
  }
  Event& scalar(const std::string& tag, double x) {
    if (std::isnan(x)) return *this;
    std::string value;
    put_bytes(value, 1, tag);
    put_float(value, 2, float(x));
    put_bytes(summary_, 1, value);
    return *this;
  }
  // a tensor of one string, for the text plugin
  Event& text(const std::string& tag, const std::string& text) {
    constexpr int kString = 7;
    std::string tensor, plugin, metadata, value;
    put_integer(tensor, 1, kString);
    put_bytes(tensor, 2, {});  // no dimensions
    put_bytes(tensor, 8, text);
    put_bytes(plugin, 1, "text");
    put_bytes(metadata, 1, plugin);
    put_bytes(value, 1, tag);
    put_bytes(value, 8, tensor);
    put_bytes(value, 9, metadata);
    put_bytes(summary_, 1, value);
    return *this;
  }
  Event& file_version() {
    put_bytes(bytes_, 3, "brain.Event:2");
    return *this;
  }
  // Of a process that starts: later steps of earlier files are void.
  Event& session_start() {
    std::string log;
    put_integer(log, 1, 1);
    put_bytes(bytes_, 7, log);
    return *this;
  }
  std::string finish() {
    if (!summary_.empty()) put_bytes(bytes_, 5, summary_);
    return bytes_;
  }

 private:
  std::string bytes_{}, summary_{};
};

std::string record(std::string_view event) {
  const auto masked = [](std::string_view bytes) {
    return std::rotr(crc32c(bytes), 15) + 0xa282ead8u;
  };
  std::string out;
  put_fixed(out, std::uint64_t(event.size()));
  put_fixed(out, masked(out));
  out += event;
  put_fixed(out, masked(event));
  return out;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> t{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      t[i] = i;
      for (int k = 0; k < 8; ++k) t[i] = t[i] >> 1 ^ (t[i] & 1 ? 0x82f63b78u : 0);
    }
    return t;
  }();
  std::uint32_t crc = ~0u;
  for (const char c : bytes) crc = crc >> 8 ^ table[(crc ^ std::uint8_t(c)) & 255];
  return ~crc;
}

TensorBoard::TensorBoard(const std::filesystem::path& directory,
                         std::function<void(const std::string&)> warn)
    : warn_(std::move(warn)) {
  make_directories(directory);
  char host[256] = "localhost";
  gethostname(host, sizeof host - 1);
  using namespace std::chrono;
  const auto now = duration_cast<seconds>(system_clock::now().time_since_epoch()).count();
  // TensorBoard reads files in the order of their names.
  for (int attempt = 0; descriptor_ < 0 && attempt < 100; ++attempt) {
    const std::filesystem::path path =
        directory /
        fmt::format("events.out.tfevents.{:010}.{}.{}.{:02}", now, host, getpid(), attempt);
    descriptor_ = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
    require(descriptor_ >= 0 || errno == EEXIST, Fault::disk, path.string(),
            ": cannot be made: ", system_message(errno));
  }
  append(Event(0).file_version().finish());
}

TensorBoard::~TensorBoard() {
  if (descriptor_ >= 0) close(descriptor_);
}

// One write each: a reader meets no half of one but at the end. What a full disk cuts off ends the
// file for its readers, so nothing follows.
void TensorBoard::append(const std::string& event) {
  if (lost_) return;
  const std::string bytes = record(event);
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::write(descriptor_, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      lost_ = true;
      return warn_(
          fmt::format("tensorboard: {}: no more events in this file", system_message(errno)));
    }
    done += std::size_t(n);
  }
}

void TensorBoard::go_to(std::int64_t step) {
  if (step_ < 0 || step < step_) append(Event(step).session_start().finish());
  step_ = step;
}

void TensorBoard::write(const StepReport& r) {
  go_to(r.step);
  append(Event(r.step)
             .scalar("loss/train", r.loss)
             .scalar("loss/train_mean", r.loss_mean)
             .scalar("optimizer/lr", r.learning_rate)
             .scalar("optimizer/grad_norm", r.gradient_norm)
             .scalar("optimizer/skipped", double(r.skipped))
             .scalar("speed/tokens_per_second", r.tokens_per_second)
             .scalar("speed/share_of_peak", r.share_of_peak)
             .scalar("ternary/zeros", r.zero_share)
             .scalar("ternary/flips", r.flip_rate)
             .scalar("gpu/utilization", r.gpu.utilization)
             .scalar("gpu/power_w", r.gpu.power)
             .scalar("gpu/temperature_c", r.gpu.temperature)
             .scalar("gpu/clock_mhz", r.gpu.clock)
             .finish());
}

void TensorBoard::write(const ValidationReport& r) {
  go_to(r.step);
  Event event(r.step);
  event.scalar("loss/validation", r.loss).scalar("bits_per_byte/validation", r.bits_per_byte);
  for (const auto& [name, loss] : r.sources)
    event.scalar("loss/validation/" + printable(name), loss);
  append(event.finish());
}

void TensorBoard::write(const SampleReport& r) {
  go_to(r.step);
  append(
      Event(r.step).text(fmt::format("sample/{}", r.index), printable(r.prompt + r.text)).finish());
}

}  // namespace tern
