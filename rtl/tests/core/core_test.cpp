// The core against the executor: random programs, and whole models, instruction by instruction.
#include <tern_core_512.h>
#include <tern_core_64.h>
#include <tern_core_8.h>

#include <iostream>

#include "rtl/model/image.h"
#include "rtl/tests/core/core_bench.h"
#include "rtl/tests/random_program.h"
#include "rtl/tests/small_model.h"

namespace tern::rtl {
namespace {

constexpr std::size_t kMemory = 64 << 10;
constexpr Executor::Lengths kSizes = {32, 48, 7, 20};
constexpr int kLongest = 1;  // of them

// Everything that a register may hold comes from memory first: those of the hardware begin with
// random bits.
std::vector<std::uint64_t> loads_of_all_registers(RandomProgram& random) {
  std::vector<std::uint64_t> out;
  const auto address = [&] {
    return std::uint32_t(random.draw(kMemory / 2 / kMemoryAlignment) * kMemoryAlignment);
  };
  for (int v = 0; v < kVectorRegisters; ++v)
    out.push_back(encode({.op = Op::ldv, .vd = v, .flags = kLongest, .imm = address()}));
  for (int p = 0; p < kNormRegisters; ++p)
    out.push_back(encode({.op = Op::ldp, .pa = p, .flags = kLongest, .imm = address()}));
  for (const int s : {0, 15})
    out.push_back(encode({.op = Op::lds, .va = 15, .sd = s, .imm = address()}));
  out.push_back(encode({.op = Op::stat, .va = 3, .pb = 1, .flags = kLongest}));
  for (int q = 0; q < kCodeRegisters; ++q)
    out.push_back(encode({.op = Op::qnt, .vd = q, .va = 3, .pa = 1, .sa = q, .flags = kLongest}));
  return out;
}

// That, and a random program behind it, whose loops go back to its own words.
std::vector<std::uint64_t> random_program(RandomProgram& random, std::size_t words) {
  std::vector<std::uint64_t> out = loads_of_all_registers(random);
  const std::size_t first = out.size();
  for (const std::uint64_t word : random.program(words, kMemory, 8 << 10)) {
    Instruction i = decode(word);
    if (i.op == Op::loop) {
      const std::size_t target = i.target() + first;
      i.sd = int(target >> 4), i.sa = int(target & 15);
    }
    out.push_back(encode(i));
  }
  return out;
}

std::vector<std::byte> random_memory(RandomProgram& random) {
  std::vector<std::byte> out(kMemory);
  for (std::size_t i = 0; i < kMemory; ++i) {
    const std::uint64_t byte = random.draw(256);
    out[i] = std::byte(i < kMemory / 2 ? byte : byte & ~(byte & byte >> 1 & 0x55));
  }
  return out;
}

constexpr int kBusStalls[] = {0, 50, 90};
constexpr int kLatencies[] = {1, 2, 17, 200};

template <class Model>
void check_programs(int port_bits, int programs, std::uint64_t first_seed) {
  std::int64_t compared = 0;
  for (int seed = 0; seed < programs; ++seed) {
    RandomProgram random(first_seed + std::uint64_t(seed) +
                         1'000'000 * std::uint64_t(number_from_environment("TERN_RTL_SEED", 0)));
    const std::vector<std::uint64_t> program = random_program(random, 50);
    std::vector<std::byte> expected = random_memory(random), memory = expected;
    Executor executor(program, expected, kSizes, array_shape(port_bits));
    CoreBench<Model> bench(memory, port_bits, first_seed + std::uint64_t(seed));
    bench.load(program, kSizes);
    for (const std::uint32_t token : {0, 3}) {
      bench.run(executor, token,
                {.stall = kBusStalls[seed % 3], .latency = kLatencies[seed / 3 % 4]});
      EXPECT_TRUE(memory == expected) << "what is stored";
      ASSERT_FALSE(testing::Test::HasFailure()) << "program " << seed;
    }
    compared += bench.compared();
  }
  EXPECT_GT(compared, 100 * programs);
}

TEST(Core, RandomPrograms64) {
  check_programs<tern_core_64>(64, 200, 1000);
}
TEST(Core, RandomPrograms512) {
  check_programs<tern_core_512>(512, 100, 2000);
}
TEST(Core, RandomPrograms8) {
  check_programs<tern_core_8>(8, 30, 3000);
}

// A model of random weights, some tokens.
template <class Model>
void check_model(const ModelConfig& config, std::uint32_t port_bits, int tokens, BusOptions bus) {
  SmallModel loaded(config, DType::f32);
  const DecodeModel decode = loaded.decode();
  Image image = Image::of(decode, port_bits);
  std::vector<std::byte> memory(image.bytes().begin(), image.bytes().end());
  Executor executor = image.executor();
  CoreBench<Model> bench(memory, int(port_bits), 7);
  bench.load(image.program(), image.header().lengths);
  for (int t = 0; t < tokens; ++t) {
    bench.run(executor, std::uint32_t(t * t * 7 % config.vocab_size), bus);
    ASSERT_TRUE(std::ranges::equal(memory, image.bytes())) << "what is stored, token " << t;
    ASSERT_FALSE(testing::Test::HasFailure()) << "token " << t;
    std::int64_t all = 0;
    for (int state = 0; state < int(Issue::count); ++state) all += bench.counter(Issue(state));
    ASSERT_EQ(all, bench.cycles) << "each cycle has one state of the issue";
  }
}

// As many tokens of each model, with a bus that stalls and one that does not.
const ModelConfig kConfigs[] = {
    small_config(64, 96, 2),
    small_config(48, 72, 3, 333),        // no tiles are full
    small_config(24, 40, 2, 1000),       // many blocks of the head
    small_config(21, 35, 5, 97),         // all odd
    small_config(48, 72, 3, 96, false),  // no bound
    small_config(40, 72, 1, 144),
};
constexpr BusOptions kBuses[] = {{0, 1}, {50, 17}, {90, 200}};

template <class Model>
void check_models(std::uint32_t port_bits, int tokens) {
  for (const ModelConfig& config : kConfigs)
    for (const BusOptions& bus : kBuses) {
      check_model<Model>(config, port_bits, tokens, bus);
      ASSERT_FALSE(testing::Test::HasFailure())
          << "width " << config.width << ", stalls of " << bus.stall << " %";
    }
}

TEST(Core, WholeModels64) {
  check_models<tern_core_64>(64, 4);
}
TEST(Core, WholeModels512) {
  check_models<tern_core_512>(512, 4);
}
TEST(Core, WholeModels8) {
  check_model<tern_core_8>(kConfigs[0], 8, 4, {});
  check_model<tern_core_8>(kConfigs[3], 8, 4, {.stall = 50, .latency = 17});
}

// Cycles of a token, which each layer's weights bound from below.
std::int64_t cycles_of(std::int64_t width, std::int64_t hidden, std::int64_t layers, int latency) {
  SmallModel loaded(small_config(width, hidden, layers), DType::f32);
  const DecodeModel decode = loaded.decode();
  Image image = Image::of(decode, 512);
  std::vector<std::byte> memory(image.bytes().begin(), image.bytes().end());
  Executor executor = image.executor();
  CoreBench<tern_core_512> bench(memory, 512, 7);
  bench.load(image.program(), image.header().lengths);
  bench.run(executor, 3, {.stall = 0, .latency = latency});
  return bench.cycles;
}

// What the core adds to the tiles' cycles: 12.0 % at latency 1. The goal is 8 %, for which units
// need queues; this bar only keeps what is there. docs/accelerator.md has the numbers.
TEST(Core, CyclesOfALayer) {
  constexpr std::int64_t kWidth = 512, kHidden = 1408;
  constexpr std::int64_t kTiles = (4 * kWidth * kWidth + 3 * kWidth * kHidden) / 256;
  for (const int latency : {1, 50}) {
    const std::int64_t cycles =
        cycles_of(kWidth, kHidden, 2, latency) - cycles_of(kWidth, kHidden, 1, latency);
    std::cout << "latency " << latency << ": " << cycles << " cycles for " << kTiles << " tiles\n";
    EXPECT_GT(cycles, kTiles);
    EXPECT_LT(cycles, kTiles * 115 / 100);
  }
}

}  // namespace
}  // namespace tern::rtl
