// tern_core in Verilator, its program and memory, and the trace of what its registers hold: each
// instruction's destinations are compared with the executor's when the instruction is done.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <map>

#include "rtl/model/assembler.h"
#include "rtl/model/executor.h"
#include "rtl/tests/units/bench.h"

namespace tern::rtl {

// Those of the units in tern_pkg.
enum class Unit { memory, row, quantizer, scalar, product, argmax, count };
enum class Issue { issues, fetches, queue, end, count };
enum class Array { multiplies, tiles, codes, count };
constexpr int kCounterBits = 40;

inline int unit_of(Op op) {
  switch (op) {
    case Op::ldv:
    case Op::stv:
    case Op::ldp:
    case Op::lds:
      return int(Unit::memory);
    case Op::qnt:
      return int(Unit::quantizer);
    case Op::sop:
      return int(Unit::scalar);
    case Op::tmm:
      return int(Unit::product);
    case Op::amax:
      return int(Unit::argmax);
    case Op::halt:
    case Op::loop:
      return -1;
    default:
      return int(Unit::row);
  }
}

// Registers by their numbers in the trace: v from 0, p from 16, q from 24; scalars s from 32; the
// statistic 48.
inline constexpr int kNormTrace = 16, kCodeTrace = 24, kScalarTrace = 32, kStatisticTrace = 48;
using Registers = std::map<int, std::vector<std::int64_t>>;

// What an instruction's destinations hold after it.
struct Step {
  std::size_t word = 0;
  Registers wrote{};
};
Step step_of(const Executor& after, std::size_t word);

// The registers of a core as its trace tells them, and what they must hold.
class Trace {
 public:
  void write(int number, int word, std::int64_t value) {
    std::vector<std::int64_t>& r = registers_[number];
    if (r.size() <= std::size_t(word)) r.resize(std::size_t(word) + 1);
    r[std::size_t(word)] = value;
  }
  void expect(const Instruction& i, Step step) {
    if (const int unit = unit_of(i.op); unit >= 0)
      expected_[std::size_t(unit)].push_back(std::move(step));
  }
  void done(int unit, int word);
  bool all_done() const {
    return std::ranges::all_of(expected_, [](const auto& e) { return e.empty(); });
  }
  std::int64_t compared() const { return compared_; }

 private:
  Registers registers_{};
  std::array<std::deque<Step>, std::size_t(Unit::count)> expected_{};
  std::int64_t compared_ = 0;  // instructions
};
inline Trace* trace = nullptr;  // of the core that runs

struct BusOptions {
  int stall = 0;  // percent of cycles, of each handshake
  int latency = 1;
};

// A memory behind the core's port.
template <class Model>
class Memory {
 public:
  Memory(std::span<std::byte> bytes, int beat_bytes, Random& random)
      : bytes_(bytes), beat_(std::size_t(beat_bytes)), random_(random) {}
  BusOptions options{};

  // Before the clock's edge, and with what the edge takes.
  void offer(Model& t) {
    t.read_ready = !random_.chance(options.stall);
    t.store_ready = !random_.chance(options.stall);
    if (!offered_)
      offered_ = !reads_.empty() && reads_.front().due <= cycle_ && !random_.chance(options.stall);
    t.beat_valid = offered_;
    const std::uint64_t noise = random_.bits(64);
    for (std::size_t i = 0; i < beat_; ++i)
      put(t.beat, int(8 * i), 8,
          offered_ ? std::uint64_t(reads_.front().bytes[i]) : noise >> i % 56);
  }
  void take(const Model& t) {
    ++cycle_;
    if (t.beat_valid && t.beat_ready) reads_.pop_front(), offered_ = false;
    if (held_) {
      EXPECT_TRUE(t.read_valid && t.read_address == address_ && t.read_beats == beats_);
    }
    held_ = t.read_valid && !t.read_ready, address_ = t.read_address, beats_ = t.read_beats;
    if (t.read_valid && t.read_ready) read(t.read_address, t.read_beats);
    if (t.store_valid && t.store_ready) store(t);
  }
  std::int64_t beats_read = 0;

 private:
  struct Beat {
    std::vector<std::byte> bytes;
    std::int64_t due;
  };
  void read(std::uint64_t address, std::uint64_t beats) {
    ASSERT_GT(beats, 0u);
    const std::uint64_t end = address + beats * beat_;
    ASSERT_EQ(address / 4096, (end - 1) / 4096) << "a burst crosses 4 KB";
    ASSERT_LE(end, bytes_.size());
    beats_read += std::int64_t(beats);
    for (; address < end; address += beat_) {
      const auto from = bytes_.subspan(address, beat_);
      reads_.push_back({{from.begin(), from.end()}, cycle_ + options.latency});
    }
  }
  void store(const Model& t) {
    for (std::size_t i = 0; i < beat_; ++i)
      if (get(t.store_strobe, int(i), 1)) {
        ASSERT_LT(t.store_address + i, bytes_.size());
        bytes_[t.store_address + i] = std::byte(get(t.store_data, int(8 * i), 8));
      }
  }

  std::span<std::byte> bytes_;
  const std::size_t beat_;
  Random& random_;
  std::deque<Beat> reads_{};
  bool offered_ = false, held_ = false;
  std::uint64_t address_ = 0, beats_ = 0;
  std::int64_t cycle_ = 0;
};

template <class Model>
class CoreBench : public Bench<Model> {
 public:
  // memory: outlives this; starts as the executor's does
  CoreBench(std::span<std::byte> memory, int port_bits, std::uint64_t stream)
      : Bench<Model>(stream), memory_(memory, port_bits / 8, this->random) {
    trace = &trace_;
    Model& t = this->model();
    t.start = t.program_write = t.beat_valid = t.read_ready = t.store_ready = 0;
    this->reset();
    trace_ = {};  // flip-flops that begin with random bits write anything until the reset
  }
  ~CoreBench() { trace = nullptr; }

  void load(std::span<const std::uint64_t> program, const Executor::Lengths& lengths) {
    Model& t = this->model();
    for (std::size_t i = 0; i < kLengths; ++i) put(t.lengths, int(13 * i), 13, lengths[i]);
    t.program_write = 1;
    for (std::size_t i = 0; i < program.size(); ++i) {
      t.program_address = std::uint8_t(i), t.program_word = program[i];
      this->tick();
    }
    t.program_write = 0;
  }

  // A token, in the executor and then here, with its memory and flags afterwards.
  void run(Executor& executor, std::uint32_t token, BusOptions bus = {}) {
    const std::int64_t saturations = executor.saturations();
    executor.run(token, [&](const Executor& e, std::size_t at) {
      trace_.expect(e.program()[at], step_of(e, at));
    });
    Model& t = this->model();
    memory_.options = bus;
    t.start = 1, t.token = token;
    cycle(), t.start = 0;
    for (cycles = 0; t.running; cycle()) {
      ++cycles;
      ASSERT_LT(cycles, 20'000'000) << "the program does not end";
      if (testing::Test::HasFailure()) return;
    }
    for (int i = 0; i < 4; ++i) cycle();
    EXPECT_TRUE(trace_.all_done()) << "instructions are missing";
    EXPECT_EQ(bool(t.saturated), executor.saturations() > saturations);
    EXPECT_EQ(t.found ? std::int32_t(t.likeliest) : -1, executor.likeliest());
    EXPECT_FALSE(t.illegal);
  }
  std::int64_t counter(Unit unit) { return counter(int(unit)); }
  std::int64_t counter(Issue state) { return counter(int(Unit::count) + int(state)); }
  std::int64_t counter(Array state) {
    return counter(int(Unit::count) + int(Issue::count) + int(state));
  }
  std::int64_t compared() const { return trace_.compared(); }
  std::int64_t beats_read() const { return memory_.beats_read; }
  std::int64_t cycles = 0;  // of the last run

 private:
  std::int64_t counter(int number) {
    return std::int64_t(get(this->model().counters, kCounterBits * number, kCounterBits));
  }
  void cycle() {
    memory_.offer(this->model());
    this->settle();
    memory_.take(this->model());
    this->tick();
  }

  Trace trace_{};
  Memory<Model> memory_;
};

}  // namespace tern::rtl
