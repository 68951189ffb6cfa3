// Programs: a model's is the model bit for bit, and single instructions by hand.
#include "rtl/model/executor.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>
#include <sstream>

#include "rtl/model/assembler.h"
#include "rtl/model/fixed_model.h"
#include "rtl/model/image.h"
#include "rtl/tests/random_program.h"
#include "rtl/tests/small_model.h"
#include "tests/support/complaint.h"

namespace tern::rtl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int kTokens = 64;

std::int32_t token_of(int t, std::int64_t vocabulary) {
  return std::int32_t(t * t * 7 % vocabulary);
}

struct WholeModel {
  const char* name;
  ModelConfig config;
  std::uint32_t port_bits = 512;
  double eps = 1e-6;
};

// Sizes that fill no tile, one layer and many, heads of a block, a few and many blocks.
const WholeModel kModels[] = {
    {"Even", small_config(64, 96, 2)},
    {"EvenAt8Bits", small_config(64, 96, 2), 8},
    {"OddGlu", small_config(48, 72, 3, 333)},
    {"OneLayer", small_config(40, 72, 1, 144)},
    {"ManyBlocks", small_config(24, 40, 2, 1000), 64},
    {"NoRest", small_config(24, 48, 2, 192), 128},
    {"OneRow", small_config(24, 40, 2, 49), 256},
    {"AllOdd", small_config(21, 35, 5, 97), 64},
    {"WideGlu", small_config(16, 1040, 2, 50)},  // narrowed sums of down, then of all others
    {"Wide", small_config(1040, 48, 1, 50), 512, 0.3},
    {"NoBound", small_config(48, 72, 3, 96, false)},
    {"LargeEpsilon", small_config(48, 72, 2), 512, 0.3},
};

class WholeModels : public testing::TestWithParam<WholeModel> {};
INSTANTIATE_TEST_SUITE_P(Models, WholeModels, testing::ValuesIn(kModels),
                         [](const auto& m) { return m.param.name; });

TEST_P(WholeModels, TheProgramIsTheFixedModelBitForBit) {
  ModelConfig config = GetParam().config;
  config.rms_norm_eps = GetParam().eps;
  SmallModel loaded(config, DType::f32);
  const DecodeModel model = loaded.decode();
  FixedModel fixed(model);
  Image image = Image::of(model, GetParam().port_bits);
  Executor executor = image.executor();
  for (int t = 0; t < kTokens; ++t) {
    const std::int32_t id = token_of(t, config.vocab_size);
    const Vector expected = fixed.step(id);
    executor.run(std::uint32_t(id));
    ASSERT_EQ(image.sums(), expected) << t;
    ASSERT_EQ(image.state(), fixed.state()) << t;
    ASSERT_EQ(executor.scalar(4), fixed.logit_scale()) << t;
    ASSERT_EQ(executor.likeliest(), std::ranges::max_element(expected) - expected.begin()) << t;
  }
  EXPECT_EQ(executor.saturations(), fixed.saturations());
  EXPECT_GT(std::ranges::count_if(image.state().back(), [](auto h) { return h != 0; }), 0);
  image.clear_state();
  executor.run(0);
  fixed.clear();
  EXPECT_EQ(image.sums(), fixed.step(0)) << "a text begins anew";
}

// Every register after every instruction, whatever the array's shape: only tiles lie elsewhere.
TEST(Executor, EveryPortWidthGivesTheSame) {
  SmallModel loaded(small_config(40, 72, 2, 300), DType::f32);
  const DecodeModel model = loaded.decode();
  std::string first;
  for (const std::uint32_t port_bits : {8, 64, 128, 256, 512}) {
    Image image = Image::of(model, port_bits);
    Executor executor = image.executor();
    std::ostringstream log;
    for (const std::uint32_t id : {3, 3, 7})
      executor.run(id, [&](const Executor& e, std::size_t at) {
        std::ostringstream step;
        write_step(step, e, at);
        log << step.str().substr(step.str().find('|'));  // without the addresses
      });
    if (first.empty()) first = log.str();
    EXPECT_GT(log.str().size(), 90'000u);
    EXPECT_TRUE(log.str() == first) << port_bits;
  }
}

// A memory, and programs of text over it.
class Programs : public testing::Test {
 protected:
  Executor executor(const char* text, Executor::Lengths lengths = {4, 20, 2, 1}) {
    words_ = assemble(text);
    return Executor(words_, memory_, lengths, array_shape(512));
  }
  template <class Word>
  void put(std::size_t at, const std::vector<Word>& words) {
    std::memcpy(memory_.data() + at, words.data(), words.size() * sizeof(Word));
  }
  std::vector<std::uint64_t> words_;
  std::vector<std::byte> memory_ = std::vector<std::byte>(4096);
};

// Bytes of the loop's stride for `layer`, vectors of the instruction's length for `pass` and
// `token`; behind the loop both begin anew.
TEST_F(Programs, AddressesFollowLoopsAndTokens) {
  for (std::int32_t i = 0; i < 1024; ++i) put(std::size_t(4 * i), Vector{i});
  Executor e = executor(
      "ldv v0, n0, token, 64\n"
      "ldv v1, n0, layer, 128\n"
      "ldv v2, n0, pass, 256\n"
      "ldv v3, n1, pass, 256\n"
      "loop 1, passes=5, step=2, stride=0x200\n"
      "ldv v1, n0, layer, 128\n"
      "ldv v2, n0, pass, 256\n"
      "halt");
  std::vector<std::vector<std::int32_t>> seen;
  e.run(3, [&](const Executor& after, std::size_t at) {
    const Instruction& i = after.program()[at];
    if (i.op == Op::ldv) seen.push_back({std::int32_t(at), after.vector(i.vd)[0]});
  });
  using Row = std::vector<std::int32_t>;
  EXPECT_THAT(seen, ElementsAre(Row{0, 16 + 3 * 16},                                         //
                                Row{1, 32}, Row{2, 64}, Row{3, 64},                          //
                                Row{1, 32 + 128}, Row{2, 64 + 2 * 16}, Row{3, 64 + 2 * 32},  //
                                Row{1, 32 + 256}, Row{2, 64 + 4 * 16}, Row{3, 64 + 4 * 32},  //
                                Row{5, 32}, Row{6, 64}));
}

TEST_F(Programs, VectorsAreReadAndWrittenToTheirLength) {
  put(64, Vector{1, 2, 3, 4, 5});
  Executor e = executor(
      "ldv v1, n0, at, 64\nldv v1, n2, at, 128\nstv v1, n0, at, 192\nldp p1, n0, at, 64\nhalt");
  put(128, Vector{-7, -8, -9});
  e.run(0);
  EXPECT_THAT(std::vector(e.vector(1).begin(), e.vector(1).begin() + 5),
              ElementsAre(-7, -8, 3, 4, 0));
  EXPECT_THAT(std::vector(e.norm(1).begin(), e.norm(1).begin() + 4), ElementsAre(1, 0, 2, 0));
  Vector stored(5);
  std::memcpy(stored.data(), memory_.data() + 192, 20);
  EXPECT_THAT(stored, ElementsAre(-7, -8, 3, 4, 0));
}

TEST_F(Programs, ScalarsOfMemoryAreNormal) {
  put(64, std::vector<std::uint32_t>{0x800000, 5, 0xff80'0001, 0xffff'fffb, 0x7fffff, 1, 0xc00000,
                                     0x10fff});
  Executor e = executor("lds s14, 4, at, 64\nsmul s3, s14, s15\nhalt");
  e.run(0);
  EXPECT_EQ(e.scalar(14), (Scalar{0x800000, 5}));
  EXPECT_EQ(e.scalar(15), (Scalar{0x800001, -5}));
  EXPECT_EQ(e.scalar(0), Scalar{}) << "no mantissa of 24 bits";
  EXPECT_EQ(e.scalar(1), (Scalar{0xc00000, -1})) << "12 bits of exponent";
  EXPECT_EQ(e.scalar(3), (Scalar{0x800001, 23}));
  EXPECT_EQ(e.saturations(), 1) << "an exponent of more than 12 bits";
}

TEST_F(Programs, WordsOutsideOfTheirFormatAreCounted) {
  put(64, Vector{1 << 17, -1, (1 << 17) + 1, 5});
  put(128, Vector{INT32_MAX, 1 << 26, -(1 << 26), INT32_MIN});
  Executor e = executor(
      "ldv v1, n0, at, 64\nldv v2, n0, at, 128\nldp p1, n0, at, 64\nscan v3, v1, v0, n0\n"
      "stat v2, n0, p1\nqnt qa, v2, n0, p1, s0\nhalt");
  std::vector<std::int64_t> counts;
  e.run(0, [&](const Executor& x, std::size_t) { counts.push_back(x.saturations()); });
  EXPECT_THAT(counts, ElementsAre(0, 0, 0, 2, 5, 8, 8));
  EXPECT_EQ(e.statistic().row, 1u << 26);
}

TEST_F(Programs, ExponentsThatDoNotFitAreCountedAndDivisionByZeroIsZero) {
  put(64, std::vector<std::uint32_t>{0x800000, 1600, 0x800000, unsigned(-1600)});
  Executor e =
      executor("lds s0, 2, at, 64\nsmul s2, s0, s0\nsmul s3, s1, s1\nsdiv s4, s0, s9\nhalt");
  e.run(0);
  EXPECT_EQ(e.scalar(2), (Scalar{0x800000, 3223 - 4096}));
  EXPECT_EQ(e.scalar(3), (Scalar{0x800000, 4096 - 3177}));
  EXPECT_EQ(e.scalar(4), Scalar{});
  EXPECT_EQ(e.saturations(), 2);
}

// The bound of a layer but the first; what is stored is the lowest index of the largest.
TEST_F(Programs, BoundsBeginWithTheLoopsSecondPass) {
  put(64, Vector{5, 0, -5, 3});
  put(128, std::vector<std::uint16_t>{32768, 65535, 0, 1});
  put(192, std::vector<std::uint32_t>{1u << 23, unsigned(-23)});
  Executor e = executor(
      "ldv v1, n0, at, 64\nldp p2, n0, at, 128\nlds s1, 1, at, 192\n"
      "sig v2, v1, s1, n0, narrow=0, open=p2, from=1\n"
      "loop 3, passes=2, step=1, stride=0\n"
      "sig v3, v1, s1, n0, narrow=0, open=p2, from=0\nhalt");
  std::vector<Vector> gates;
  e.run(0, [&](const Executor& after, std::size_t at) {
    if (at == 3) gates.push_back(after.vector(2));
  });
  ASSERT_EQ(gates.size(), 2u);
  for (std::size_t i = 0; i < 4; ++i) {
    const std::int32_t z = Vector{5, 0, -5, 3}[i] * 2048;
    EXPECT_EQ(gates[0][i], sigmoid(-z));
    EXPECT_EQ(gates[1][i], closed_gate(z, std::vector{32768, 65535, 0, 1}[i]));
  }
  EXPECT_EQ(gates[1], e.vector(3));
}

TEST_F(Programs, TheLargestIsTheFirstOfEquals) {
  put(64, Vector{-9, -3, -3, -4});
  put(128, Vector{-3, -2, -2, -5});
  Executor e = executor(
      "ldv v1, n0, at, 64\nldv v2, n0, at, 128\namax v1, n0, at, 100\namax v2, n0, at, 104\nhalt");
  std::vector<std::int32_t> after;
  e.run(0, [&](const Executor& x, std::size_t) { after.push_back(x.likeliest()); });
  EXPECT_THAT(after, ElementsAre(-1, -1, 101, 105, 105));
}

TEST_F(Programs, OneLineOfALogByHand) {
  put(64, Vector{-1, 16, 0, 2});
  Executor e = executor("ldv v1, n0, at, 64\nhalt", {4, 4, 4, 4});
  std::ostringstream log;
  e.run(0, [&](const Executor& x, std::size_t at) { write_step(log, x, at); });
  EXPECT_EQ(log.str(), "0: ldv v1, n0, at, 0x40 | v1 = ffffffff 10 0 2\n1: halt |\n");
}

TEST_F(Programs, AddressesOutsideAndWrongCodesAreNamed) {
  Executor outside = executor("ldv v1, n0, token, 64\nhalt");
  EXPECT_EQ(complaint([&] { outside.run(62); }), "");
  EXPECT_THAT(complaint([&] { outside.run(63); }),
              HasSubstr("program: word 0: ldv v1, n0, token, 0x40: expected bytes of the memory, 0 "
                        "to 4095, got 4096 to 4111"));
  Executor half = executor("ldv v1, n1, at, 4032\nhalt");
  EXPECT_THAT(complaint([&] { half.run(0); }), HasSubstr("0 to 4095, got 4032 to 4111"));
  memory_[64 + 9] = std::byte(0x0c);
  Executor wrong = executor("tmm v1, qa, n0, n0, at, 64\nhalt");
  EXPECT_THAT(complaint([&] { wrong.run(0); }), HasSubstr("tile byte 9: expected codes from 0"));
}

// Any legal program runs, and does the same again.
TEST(Executor, RandomProgramsAreDeterministic) {
  constexpr std::size_t kMemory = 64 << 10;
  constexpr Executor::Lengths kSizes = {32, 48, 7, 20};
  std::int64_t changed = 0, saturated = 0;
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    RandomProgram random(seed);
    const std::vector<std::uint64_t> program = random.program(50, kMemory, 8 << 10);
    std::vector<std::byte> start(kMemory);
    for (std::size_t i = 0; i < kMemory; ++i) {
      const std::uint64_t byte = random.draw(256);
      start[i] = std::byte(i < kMemory / 2 ? byte : byte & ~(byte & byte >> 1 & 0x55));
    }
    const std::uint32_t shape = std::vector<std::uint32_t>{8, 64, 128, 256, 512}[seed % 5];
    std::string logs[2];
    for (std::string& log : logs) {
      std::vector<std::byte> memory = start;
      Executor executor(program, memory, kSizes, array_shape(int(shape)));
      std::ostringstream out;
      for (const std::uint32_t token : {0, 3})
        executor.run(token, [&](const Executor& e, std::size_t at) { write_step(out, e, at); });
      log = out.str();
      changed += memory != start;
      saturated += executor.saturations() > 0;
    }
    ASSERT_TRUE(logs[0] == logs[1]) << seed;
  }
  EXPECT_GT(changed, 1000);
  EXPECT_GT(saturated, 1000);
}

}  // namespace
}  // namespace tern::rtl
