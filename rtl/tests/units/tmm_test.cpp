// TMM: integer sums of whole products, exact, for each shape of the array.
#include <tern_code_buffer.h>
#include <tern_tmm_16x16.h>
#include <tern_tmm_1x4.h>
#include <tern_tmm_4x8.h>
#include <tern_tmm_8x16.h>
#include <tern_tmm_8x8.h>

#include <cstring>

#include "core/ternary_tiles.h"
#include "rtl/model/tiles.h"
#include "rtl/tests/units/bench.h"

namespace tern::rtl {
namespace {

struct Matrix {
  int outputs = 0, inputs = 0;
  std::vector<std::int8_t> weights{};
  std::vector<std::int8_t> codes{};  // the row that it is multiplied with
  std::int8_t at(int o, int i) const { return weights[std::size_t(o) * std::size_t(inputs) + i]; }
  std::int32_t sum(int o) const {
    std::int32_t s = 0;
    for (int i = 0; i < inputs; ++i) s += at(o, i) * codes[std::size_t(i)];
    return s;
  }
};

Matrix random_matrix(Random& random, int outputs, int inputs, bool extreme) {
  Matrix m{.outputs = outputs, .inputs = inputs};
  for (int i = 0; i < inputs; ++i)
    m.codes.push_back(std::int8_t(extreme ? 127 - 254 * (i & 1) : random.between(-127, 127)));
  for (int o = 0; o < outputs; ++o)
    for (int i = 0; i < inputs; ++i)
      m.weights.push_back(
          std::int8_t(extreme ? (o & 1 ? 1 : -1) * (1 - 2 * (i & 1)) : random.between(-1, 1)));
  return m;
}

// The image's tiles.
std::vector<std::byte> bytes_of(const Matrix& m, const ArrayShape& shape) {
  return cut_tiles(m.weights, m.outputs, m.inputs, shape);
}

template <class Model>
class TmmBench : public Bench<Model> {
 public:
  TmmBench(ArrayShape shape, std::uint64_t stream) : Bench<Model>(stream), shape_(shape) {
    auto& t = this->model();
    t.start_valid = t.weight_valid = 0;
    this->reset();
  }

  // Sums of the product, in order; checks each one's index and the mark of the last one.
  std::vector<std::int32_t> multiply(const Matrix& m, int stall) {
    auto& t = this->model();
    const std::vector<std::byte> bytes = bytes_of(m, shape_);
    const int beat = shape_.rows * shape_.columns / 4;
    const int blocks = (m.inputs + shape_.columns - 1) / shape_.columns;
    std::vector<std::int32_t> sums;
    bool started = false, offered = false;
    std::size_t at = 0;
    const std::int64_t begin = this->cycle;
    for (bool last = false; !last;) {
      t.start_valid = !started;
      t.start_rows = std::uint32_t(m.outputs), t.start_blocks = std::uint16_t(blocks);
      offered |= at < bytes.size() && !this->random.chance(stall);
      t.weight_valid = offered;
      for (int i = 0; i < beat; ++i)
        put(t.weights, 8 * i, 8,
            offered ? std::uint64_t(bytes[at + std::size_t(i)]) : this->random.bits(8));
      this->settle();
      const bool starts = t.start_valid && t.start_ready, takes = offered && t.weight_ready;
      const int address = t.code_address;
      this->tick();
      started |= starts;
      if (takes) at += std::size_t(beat), offered = false;
      for (int c = 0; c < shape_.columns; ++c) {  // as a buffer with a registered output
        const int column = address * shape_.columns + c;
        const bool known = takes && column < m.inputs;
        put(t.codes, 8 * c, 8,
            known ? std::uint8_t(m.codes[std::size_t(column)]) : this->random.bits(8));
      }
      if (t.sum_valid) {
        EXPECT_EQ(t.sum_row, sums.size());
        sums.push_back(std::int32_t(sign_extend(t.sum, 22)));
        last = t.sum_last;
        EXPECT_EQ(last, sums.size() == std::size_t(m.outputs));
        if (sums.size() > std::size_t(m.outputs)) return sums;
      }
      if (this->cycle - begin > 1000 + std::int64_t(bytes.size()) * 100) {
        ADD_FAILURE() << "the product does not end";
        return sums;
      }
    }
    beats_ = std::int64_t(bytes.size()) / beat, cycles_ = this->cycle - begin;
    return sums;
  }

  void check(int outputs, int inputs, int stall, bool extreme = false) {
    const Matrix m = random_matrix(this->random, outputs, inputs, extreme);
    const std::vector<std::int32_t> sums = multiply(m, stall);
    ASSERT_EQ(sums.size(), std::size_t(outputs));
    for (int o = 0; o < outputs; ++o)
      ASSERT_EQ(sums[std::size_t(o)], m.sum(o))
          << "row " << o << " of " << outputs << " x " << inputs;
  }

  std::int64_t waited() const { return cycles_ - beats_; }

 private:
  const ArrayShape shape_;
  std::int64_t beats_ = 0, cycles_ = 0;
};

// Sums of 16-bit x 16-bit shapes and others, with every stall, until there were so many.
template <class Model>
void check_sums(ArrayShape shape, int least) {
  TmmBench<Model> bench(shape, 7);
  int sums = 0;
  for (const int stall : kStalls) {
    bench.reset();
    for (const auto& [outputs, inputs] :
         {std::pair(1, 1), {16, 16}, {17, 16}, {5, 3}, {33, 64}, {7, 100}, {48, 33}}) {
      bench.check(outputs, inputs, stall);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
  while (sums < least) {
    const int outputs = int(bench.random.between(1, 200)),
              inputs = int(bench.random.between(1, 300));
    bench.check(outputs, inputs, bench.random.chance(80) ? 0 : 50);
    if (testing::Test::HasFatalFailure()) return;
    sums += outputs;
  }
}

TEST(Tmm, SumsAreExact16x16) {
  check_sums<tern_tmm_16x16>(array_shape(512), 100'000);
}
TEST(Tmm, SumsAreExact8x16) {
  check_sums<tern_tmm_8x16>(array_shape(256), 100'000);
}
TEST(Tmm, SumsAreExact4x8) {
  check_sums<tern_tmm_4x8>(array_shape(64), 100'000);
}
TEST(Tmm, SumsAreExact1x4) {
  check_sums<tern_tmm_1x4>(array_shape(8), 10'000);
}
TEST(Tmm, SumsAreExact8x8) {
  check_sums<tern_tmm_8x8>(array_shape(128), 100'000);
}

// At 512 bits a packed file's tiles are those of the array.
TEST(Tmm, TilesOfPackedFiles) {
  Random random(14);
  const Matrix m = random_matrix(random, 33, 70, false);
  std::vector<TernaryTile> tiles(std::size_t(tiles_of(m.outputs, m.inputs)));
  pack_tiles(tiles.data(), m.weights.data(), m.outputs, m.inputs);
  const std::vector<std::byte> bytes = bytes_of(m, array_shape(512));
  ASSERT_EQ(bytes.size(), tiles.size() * sizeof(TernaryTile));
  EXPECT_EQ(std::memcmp(bytes.data(), tiles.data(), bytes.size()), 0);
}

// K at which the sums are narrowed by one bit more, the models' widths, and the largest one.
TEST(Tmm, LargestSums) {
  TmmBench<tern_tmm_16x16> wide({}, 8);
  TmmBench<tern_tmm_8x8> narrow({8, 8}, 9);
  for (const int inputs : {1024, 1032, 1033, 2064, 2065, 2560, 4128, 4129, 6912, 8191}) {
    wide.check(16, inputs, 0, true), wide.check(2, inputs, 0);
    narrow.check(9, inputs, 0, true);
  }
}

// Weights bound a product: as many cycles as beats, and a fixed number more.
TEST(Tmm, ABeatEveryCycle) {
  TmmBench<tern_tmm_16x16> wide({}, 10);
  wide.check(512, 512, 0);
  EXPECT_EQ(wide.waited(), 4 + 5 + 15);  // tree, reading, the last row block's sums
  TmmBench<tern_tmm_1x4> narrow({1, 4}, 11);
  narrow.check(64, 256, 0);
  EXPECT_EQ(narrow.waited(), 2 + 5);
}

TEST(Tmm, AnIllegalCodeIsReported) {
  for (const bool checked : {false, true}) {
    TmmBench<tern_tmm_16x16> bench({}, 12);
    bench.context().assertOn(checked);
    bench.check(16, 16, 0);
    EXPECT_FALSE(bench->illegal);
    Matrix m = random_matrix(bench.random, 16, 32, false);
    m.weights[5 * 32 + 20] = 2;
    if (checked) {
      assertions = {.expected = true};
      bench.multiply(m, 0);
      EXPECT_EQ(assertions.failed, 1);
      assertions = {};
    } else {
      bench.multiply(m, 0);
      EXPECT_TRUE(bench->illegal);
      bench.check(16, 16, 0);
      EXPECT_TRUE(bench->illegal) << "it stays set";
      bench.reset();
      EXPECT_FALSE(bench->illegal);
    }
  }
}

TEST(CodeBuffer, GivesWhatWasWrittenLast) {
  Bench<tern_code_buffer> bench(13);
  std::vector<std::uint8_t> expected(64 * 16);
  std::vector<bool> known(expected.size());
  for (int i = 0; i < 100'000; ++i) {
    const auto group = std::size_t(bench.random.bits(8)), word = std::size_t(bench.random.bits(6));
    const std::uint64_t write = bench.random.chance(60) ? bench.random.bits(4) : 0;
    bench->write = std::uint8_t(write);
    bench->write_address = std::uint8_t(group), bench->read_address = std::uint8_t(word);
    for (int c = 0; c < 4; ++c) put(bench->write_codes, 8 * c, 8, bench.random.bits(8));
    bench.tick();
    for (std::size_t c = 0; c < 16; ++c)
      ASSERT_TRUE(!known[word * 16 + c] ||
                  get(bench->read_codes, int(8 * c), 8) == expected[word * 16 + c])
          << "code " << c << " of word " << word << " in step " << i;
    for (std::size_t c = 0; c < 4; ++c) {
      if (!(write >> c & 1)) continue;
      expected[group * 4 + c] = std::uint8_t(get(bench->write_codes, int(8 * c), 8));
      known[group * 4 + c] = true;
    }
  }
}

}  // namespace
}  // namespace tern::rtl
