// What the tests of the SystemVerilog units share: a clock, a randomised reset, ports of any width,
// and planted bugs. TERN_RTL_BUG=n in the environment plants bug n; TERN_RTL_SEED changes all
// random numbers.
#pragma once

#include <gtest/gtest.h>
#include <verilated_cov.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <string>

#include "rtl/simulation/ports.h"

namespace tern::rtl {

// Those of the SystemVerilog. Not an exception: it would leave Verilator's locks taken.
struct Assertions {
  bool expected = false;
  int failed = 0;
};
inline Assertions assertions{};

inline int number_from_environment(const char* name, int otherwise) {
  const char* value = std::getenv(name);
  return value ? std::atoi(value) : otherwise;
}

inline std::int64_t sign_extend(std::uint64_t value, int width) {
  return std::int64_t(value << (64 - width)) >> (64 - width);
}
template <class Port>
std::int64_t get_signed(const Port& port, int at, int width) {
  return sign_extend(get(port, at, width), width);
}

class Random {
 public:
  explicit Random(std::uint64_t stream)
      : engine_(stream * 1'000'003 + std::uint64_t(number_from_environment("TERN_RTL_SEED", 0))) {}
  std::uint64_t bits(int count) { return count == 0 ? 0 : engine_() >> (64 - count); }
  // in [low, high]
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + std::int64_t(engine_() % std::uint64_t(high - low + 1));
  }
  std::int64_t signed_bits(int count) { return std::int64_t(engine_()) >> (64 - count); }
  // true in so many of 100 calls
  bool chance(int percent) { return between(0, 99) < percent; }
  std::uint32_t seed() { return std::uint32_t(engine_() >> 33) | 1; }

 private:
  std::mt19937_64 engine_;
};

// With TERN_RTL_COVERAGE: the lines that a unit's simulation reached, into a file of its own.
#ifdef TERN_RTL_COVERAGE
inline void write_coverage(VerilatedContext& context) {
  static int files = 0;
  context.coveragep()->write((TERN_RTL_COVERAGE + std::to_string(++files) + ".dat").c_str());
}
#else
inline void write_coverage(VerilatedContext&) {}
#endif

// A Verilated unit. Its registers begin with random bits, and are random again in every reset.
template <class Model>
class Bench {
 public:
  explicit Bench(std::uint64_t stream) : random(stream) {
    context_.threads(1);
    context_.randReset(2);
    context_.randSeed(int(random.seed()));
    const std::string bug = "+bug=" + std::to_string(number_from_environment("TERN_RTL_BUG", 0));
    const char* arguments[] = {"bench", bug.c_str()};
    context_.commandArgs(2, arguments);
    model_ = std::make_unique<Model>(&context_, "");
    if constexpr (requires { model_->clk; }) model_->clk = 0;  // or the first edge may be none
    model_->eval();
  }
  ~Bench() {
    Verilated::threadContextp(&context_);  // a model leaves the context that the thread used last
    model_->final();
    write_coverage(context_);
    model_.reset();
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;
  Model* operator->() { return model_.get(); }
  Model& model() { return *model_; }
  VerilatedContext& context() { return context_; }

  // Outputs follow inputs that were set in this cycle.
  void settle() { model_->eval(); }
  // The clock rises: registers take what the inputs say.
  void tick() {
    model_->clk = 1;
    model_->eval();
    model_->clk = 0;
    model_->eval();
    ++cycle;
  }
  void reset(int cycles = 3) {
    model_->rst_n = 0;
    for (int i = 0; i < cycles; ++i) tick();
    model_->rst_n = 1;
    settle();
  }

  Random random;
  std::int64_t cycle = 0;

 private:
  VerilatedContext context_;
  std::unique_ptr<Model> model_;
};

// Shares of cycles, in percent, in which a side of a handshake waits.
inline constexpr int kStalls[] = {0, 10, 50, 90};

}  // namespace tern::rtl
