// The core against the executor: random programs, and whole models, instruction by instruction.
#include <tern_core_128.h>
#include <tern_core_256.h>
#include <tern_core_512.h>
#include <tern_core_64.h>
#include <tern_core_8.h>

#include <iostream>

#include "rtl/model/cycles.h"
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
    CoreBench<Model> bench(memory, first_seed + std::uint64_t(seed));
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
TEST(Core, RandomPrograms128) {
  check_programs<tern_core_128>(128, 50, 4000);
}
TEST(Core, RandomPrograms256) {
  check_programs<tern_core_256>(256, 50, 5000);
}
TEST(Core, RandomPrograms512) {
  check_programs<tern_core_512>(512, 100, 2000);
}
TEST(Core, RandomPrograms8) {
  check_programs<tern_core_8>(8, 30, 3000);
}

// A store of what the product behind it multiplies, on a bus that lets the store wait.
TEST(Core, TilesThatWereStored) {
  RandomProgram random(6000);
  constexpr std::uint32_t kTiles = kMemory / 2, kThere = kMemory * 3 / 4;
  std::vector<std::uint64_t> program = loads_of_all_registers(random);
  program.push_back(encode({.op = Op::ldv, .vd = 0, .flags = kLongest, .imm = kTiles}));
  program.push_back(encode({.op = Op::stv, .va = 0, .flags = kLongest, .imm = kThere}));
  program.push_back(encode({.op = Op::tmm, .vd = 1, .pa = 3, .flags = 3, .imm = kThere}));
  program.push_back(encode({}));
  std::vector<std::byte> expected = random_memory(random), memory = expected;
  Executor executor(program, expected, kSizes, array_shape(64));
  CoreBench<tern_core_64> bench(memory, 6000);
  bench.load(program, kSizes);
  bench.run(executor, 0, {.stall = 90, .latency = 1});
}

// A model of random weights, some tokens.
template <class Model>
void check_model(const ModelConfig& config, std::uint32_t port_bits, int tokens, BusOptions bus) {
  SmallModel loaded(config, DType::f32);
  const DecodeModel decode = loaded.decode();
  Image image = Image::of(decode, port_bits);
  std::vector<std::byte> memory(image.bytes().begin(), image.bytes().end());
  Executor executor = image.executor();
  CoreBench<Model> bench(memory, 7);
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
TEST(Core, WholeModels128) {
  check_models<tern_core_128>(128, 2);
}
TEST(Core, WholeModels256) {
  check_models<tern_core_256>(256, 2);
}
TEST(Core, WholeModels512) {
  check_models<tern_core_512>(512, 4);
}
TEST(Core, WholeModels8) {
  check_model<tern_core_8>(kConfigs[0], 8, 4, {});
  check_model<tern_core_8>(kConfigs[3], 8, 4, {.stall = 50, .latency = 17});
}

// The demonstration's sizes (configs/demo.toml). A token at 8 bits is 1.3 million cycles.
const ModelConfig kDemonstration = small_config(256, 768, 6, 1024);
TEST(Core, DemonstrationOf64Tokens512) {
  check_model<tern_core_512>(kDemonstration, 512, 64, {});
}
TEST(Core, DemonstrationOf12Tokens8) {
  check_model<tern_core_8>(kDemonstration, 8, 12, {});
}

// A token takes the cycles that the formula says, and a layer at most so many percent more than its
// tiles.
template <class Model>
void check_cycles(const ModelConfig& config, std::uint32_t port_bits, int lanes, int most_percent) {
  SmallModel loaded(config, DType::f32);
  const DecodeModel decode = loaded.decode();
  for (const int latency : {1, 50}) {
    Image image = Image::of(decode, port_bits);
    std::vector<std::byte> memory(image.bytes().begin(), image.bytes().end());
    Executor executor = image.executor();
    CoreBench<Model> bench(memory, 7);
    bench.load(image.program(), image.header().lengths);
    bench.run(executor, 3, {.stall = 0, .latency = latency});
    const ImageSizes& sizes = image.header().sizes;
    const TokenCycles expected = token_cycles(sizes, {.lanes = lanes, .latency = latency});
    std::cout << "latency " << latency << ": " << bench.cycles << " cycles, by the formula "
              << expected.total << ", " << expected.layer << " a layer of " << layer_tiles(sizes)
              << " tiles\n";
    EXPECT_NEAR(double(bench.cycles), double(expected.total), 0.01 * double(expected.total));
    EXPECT_EQ(bench.counter(Array::multiplies),
              layer_tiles(sizes) * sizes.layers + head_tiles(sizes));
    EXPECT_LT(expected.layer, layer_tiles(sizes) * (100 + most_percent) / 100);
  }
}

TEST(Core, Cycles8) {
  check_cycles<tern_core_8>(small_config(128, 192, 2, 384), 8, 1, 10);
}
TEST(Core, Cycles64) {
  check_cycles<tern_core_64>(small_config(224, 320, 2, 640), 64, 4, 6);
}
TEST(Core, Cycles128) {
  check_cycles<tern_core_128>(small_config(320, 448, 2, 896), 128, 4, 8);
}
TEST(Core, Cycles256) {
  check_cycles<tern_core_256>(small_config(416, 640, 2, 1280), 256, 16, 4);
}
TEST(Core, Cycles512) {
  check_cycles<tern_core_512>(small_config(512, 1408, 3, 2816), 512, 16, 4);
}

}  // namespace
}  // namespace tern::rtl
