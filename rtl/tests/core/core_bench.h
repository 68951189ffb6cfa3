// tern_core in Verilator, its program and memory, and the trace of what its registers hold: each
// instruction's destinations are compared with the executor's when the instruction is done.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>

#include "rtl/model/assembler.h"
#include "rtl/model/counters.h"
#include "rtl/model/executor.h"
#include "rtl/simulation/memory.h"
#include "rtl/tests/units/bench.h"

namespace tern::rtl {

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
  std::array<std::deque<Step>, kUnits> expected_{};
  std::int64_t compared_ = 0;  // instructions
};
inline Trace* trace = nullptr;  // of the core that runs

struct BusOptions {
  int stall = 0;  // percent of cycles, of each handshake
  int latency = 1;
};

template <class Model>
class CoreBench : public Bench<Model> {
 public:
  // memory: outlives this; starts as the executor's does
  CoreBench(std::span<std::byte> memory, std::uint64_t stream)
      : Bench<Model>(stream), memory_(memory) {
    trace = &trace_;
    Model& t = this->model();
    t.start = t.program_write = t.beat_valid = t.read_ready = t.store_ready = 0;
    this->reset();
    trace_ = {};  // flip-flops that begin with random bits write anything until the reset
  }
  ~CoreBench() { trace = nullptr; }

  void load(std::span<const std::uint64_t> program, const Executor::Lengths& lengths) {
    load_program(this->model(), program, lengths, [this] { this->tick(); });
  }

  // A token, in the executor and then here, with its memory and flags afterwards.
  void run(Executor& executor, std::uint32_t token, BusOptions bus = {}) {
    const std::int64_t saturations = executor.saturations();
    executor.run(token, [&](const Executor& e, std::size_t at) {
      trace_.expect(e.program()[at], step_of(e, at));
    });
    Model& t = this->model();
    memory_.latency = bus.latency;
    memory_.stalls = [this, stall = bus.stall] { return this->random.chance(stall); };
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
  template <class Counted>  // a Unit or an Issue
  std::int64_t counter(Counted of) {
    return std::int64_t(
        get(this->model().counters, kCounterBits * int(counter_of(of)), kCounterBits));
  }
  std::int64_t compared() const { return trace_.compared(); }
  std::int64_t cycles = 0;  // of the last run

 private:
  void cycle() {
    Model& t = this->model();
    memory_.offer(t);
    if (!t.beat_valid) {
      const std::uint64_t noise = this->random.bits(64);
      for (std::size_t i = 0; i < PortMemory<Model>::kBeatBytes; ++i)
        put(t.beat, int(8 * i), 8, noise >> i % 56);
    }
    this->settle();
    memory_.take(t);
    this->tick();
  }

  Trace trace_{};
  PortMemory<Model> memory_;
};

}  // namespace tern::rtl
