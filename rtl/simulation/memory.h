// What is around a core: its program, and a memory behind its port, which answers requests in their
// order, a beat a cycle, and any handshake may stall.
#pragma once

#include <array>
#include <cstring>
#include <deque>
#include <functional>
#include <span>

#include "core/check.h"
#include "rtl/model/executor.h"
#include "rtl/simulation/ports.h"

namespace tern::rtl {

// Gives a core that does not run its lengths and program. tick: a cycle of its clock.
template <class Model, class Tick>
void load_program(Model& t, std::span<const std::uint64_t> program,
                  const Executor::Lengths& lengths, Tick tick) {
  constexpr int kLengthBits = 13;
  for (std::size_t i = 0; i < kLengths; ++i)
    put(t.lengths, kLengthBits * int(i), kLengthBits, lengths[i]);
  t.program_write = 1;
  for (std::size_t i = 0; i < program.size(); ++i) {
    t.program_address = std::uint8_t(i), t.program_word = program[i];
    tick();
  }
  t.program_write = 0;
}

// Model: tern_core of any width, as Verilator makes it.
template <class Model>
class PortMemory {
 public:
  static constexpr std::size_t kBeatBytes = sizeof(Model::beat);

  explicit PortMemory(std::span<std::byte> bytes) : bytes_(bytes) {}  // which outlive this

  std::int64_t latency = 1;        // cycles, at least, from a request to its first beat
  std::function<bool()> stalls{};  // asked for each handshake of each cycle; none: never
  std::int64_t beats_read = 0, beats_written = 0;

  // Before the clock's edge: what the memory says in this cycle.
  void offer(Model& t) {
    t.read_ready = !stalled();
    t.store_ready = !stalled();
    if (!offered_) offered_ = !reads_.empty() && reads_.front().due <= cycle_ && !stalled();
    t.beat_valid = offered_;
    if (offered_) std::memcpy(&t.beat, reads_.front().bytes.data(), kBeatBytes);
  }
  // What the edge takes, once the core's outputs follow. Fault::input for an address outside of the
  // memory; Fault::internal for a request that changes while it waits, that is empty or that
  // crosses 4 KB.
  void take(const Model& t) {
    ++cycle_;
    if (t.beat_valid && t.beat_ready) reads_.pop_front(), offered_ = false;
    check(!held_ || (t.read_valid && t.read_address == address_ && t.read_beats == beats_),
          "[core] a request of ", beats_, " beats at ", address_, " changed while it waited");
    held_ = t.read_valid && !t.read_ready, address_ = t.read_address, beats_ = t.read_beats;
    if (t.read_valid && t.read_ready) read(t.read_address, t.read_beats);
    if (t.store_valid && t.store_ready) store(t);
  }

 private:
  struct Beat {
    std::array<std::byte, kBeatBytes> bytes;
    std::int64_t due;
  };

  bool stalled() { return stalls && stalls(); }

  void require_inside(std::uint64_t end) const {
    require(end <= bytes_.size(), Fault::input, "program: expected addresses up to ", bytes_.size(),
            ", got ", end);
  }

  void read(std::uint64_t address, std::uint64_t beats) {
    const std::uint64_t end = address + beats * kBeatBytes;
    check(beats > 0 && address / 4096 == (end - 1) / 4096, "[core] a burst of ", beats,
          " beats at ", address);
    require_inside(end);
    beats_read += std::int64_t(beats);
    for (; address < end; address += kBeatBytes) {
      Beat& beat = reads_.emplace_back();
      std::memcpy(beat.bytes.data(), bytes_.data() + address, kBeatBytes);
      beat.due = cycle_ + latency;
    }
  }

  void store(const Model& t) {
    ++beats_written;
    for (std::size_t i = 0; i < kBeatBytes; ++i)
      if (get(t.store_strobe, int(i), 1)) {
        require_inside(t.store_address + i + 1);
        bytes_[t.store_address + i] = std::byte(get(t.store_data, int(8 * i), 8));
      }
  }

  std::span<std::byte> bytes_;
  std::deque<Beat> reads_{};
  bool offered_ = false, held_ = false;
  std::uint64_t address_ = 0, beats_ = 0;
  std::int64_t cycle_ = 0;
};

}  // namespace tern::rtl
