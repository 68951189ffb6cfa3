// The memory of a model: what lies where, what is refused, and the program's size.
#include "rtl/model/image.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "core/ternary_tiles.h"
#include "rtl/model/assembler.h"
#include "rtl/model/program.h"
#include "rtl/tests/small_model.h"
#include "tests/support/complaint.h"

namespace tern::rtl {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr int kPorts[] = {8, 64, 128, 256, 512};

std::vector<std::int8_t> weights(std::int64_t rows, std::int64_t columns) {
  std::vector<std::int8_t> t(std::size_t(rows * columns));
  for (std::size_t k = 0; k < t.size(); ++k) t[k] = std::int8_t(int(Rng(3).bits(k) % 3) - 1);
  return t;
}

TEST(Tiles, OfSixteenAreThoseOfTheCore) {
  for (const auto& [rows, columns] : {std::pair(16, 16), {40, 24}, {33, 50}}) {
    const std::vector<std::int8_t> t = weights(rows, columns);
    std::vector<TernaryTile> expected(std::size_t(tiles_of(rows, columns)));
    pack_tiles(expected.data(), t.data(), rows, columns);
    const std::vector<std::byte> got = cut_tiles(t, rows, columns, array_shape(512));
    ASSERT_EQ(got.size(), expected.size() * sizeof(TernaryTile));
    EXPECT_EQ(std::memcmp(got.data(), expected.data(), got.size()), 0);
  }
}

// Where each weight lies, by the tile, lane, byte and field that it must have.
TEST(Tiles, OfOtherShapesHoldEachWeightInItsPlace) {
  for (const int bits : kPorts) {
    const ArrayShape shape = array_shape(bits);
    EXPECT_EQ(shape.tile_bytes(), bits / 8);
    const std::int64_t rows = 21, columns = 35;
    const std::vector<std::int8_t> t = weights(rows, columns);
    const std::vector<std::byte> tiles = cut_tiles(t, rows, columns, shape);
    const int across = (35 + shape.columns - 1) / shape.columns, quarter = shape.columns / 4;
    std::vector<int> rest(tiles.size() * 4, 1);  // what is no weight
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < columns; ++c) {
        const auto tile = r / shape.rows * across + c / shape.columns;
        const auto lane = r % shape.rows, in = c % shape.columns;
        const auto byte = tile * shape.tile_bytes() + lane * quarter + in % quarter;
        rest[std::size_t(4 * byte + in / quarter)] = t[std::size_t(r * columns + c)] + 1;
      }
    for (std::size_t i = 0; i < rest.size(); ++i)
      ASSERT_EQ(int(tiles[i / 4] >> int(2 * (i % 4)) & std::byte(3)), rest[i]) << bits << ' ' << i;
  }
  EXPECT_THAT(complaint([] { array_shape(32); }),
              HasSubstr("expected 8, 64, 128, 256 or 512 bits, got 32"));
}

Image small_image(std::uint32_t port_bits) {
  SmallModel loaded(small_config(24, 40, 2, 100), DType::f32);
  return Image::of(loaded.decode(), port_bits, {"{\"a\": 1}", "tokens"});
}

std::vector<std::byte> bytes_of(const Image& image) {
  return {image.bytes().begin(), image.bytes().end()};
}

// Of a model one of whose parameters begins with this value.
std::string refusal_with(const std::string& parameter, double value) {
  SmallModel loaded(small_config(24, 40, 3, 100), DType::f32);
  for (Parameter* p : loaded.model.parameters())
    if (p->name == parameter) {
      const Tensor to = p->ternary ? p->copy.scale : p->value;
      std::vector<double> values = download_real(to);
      values[0] = value;
      upload_real(to, values);
    }
  Fault fault{};
  const std::string text = complaint([&] {
    try {
      Image::of(loaded.decode(), 64);
    } catch (const Error& e) {
      fault = e.fault;
      throw;
    }
  });
  EXPECT_EQ(fault, Fault::input) << text;
  return text;
}

TEST(Images, NumbersThatDoNotFitAreNamed) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInf = HUGE_VAL;
  EXPECT_EQ(refusal_with("model.layers.1.attn_norm.weight", kNan),
            "layer 1: expected finite weights of norms, got nan");
  EXPECT_EQ(refusal_with("model.layers.2.mlp.down_proj.norm.weight", -kInf),
            "layer 2: expected finite weights of norms, got -inf");
  EXPECT_EQ(refusal_with("model.layers.0.mlp.down_proj.weight", kNan),
            "layer 0: expected a scale of weights above 0, got nan");
  EXPECT_EQ(refusal_with("lm_head.weight", 0),
            "the head: expected a scale of weights above 0, got 0");
  EXPECT_THAT(refusal_with("model.embeddings.weight", 1e6),
              HasSubstr("embedding: expected magnitudes"));
  EXPECT_EQ(complaint([] { norm_vector(std::vector<double>(3)); }),
            "expected weights of norms that are not all 0");
}

TEST(Images, ComeBackAtEveryPortWidth) {
  for (const int bits : kPorts) {
    Image image = small_image(std::uint32_t(bits));
    Image back = Image::parse(bytes_of(image), "m");
    EXPECT_EQ(bytes_of(back), bytes_of(image));
    EXPECT_EQ(back.config(), "{\"a\": 1}");
    EXPECT_EQ(back.tokenizer(), "tokens");
    EXPECT_EQ(back.header().sizes, image.header().sizes);
    EXPECT_EQ(back.header().sizes.glu_width, 40u);
    EXPECT_EQ(back.header().rows * back.header().columns * 2, std::uint32_t(bits));
    Executor one = image.executor(), other = back.executor();
    for (const std::uint32_t id : {1, 99, 1}) one.run(id), other.run(id);
    EXPECT_EQ(back.sums(), image.sums());
    EXPECT_EQ(back.state(), image.state());
  }
}

std::string refusal(std::vector<std::byte> bytes) {
  const std::string text = complaint([&] { Image::parse(std::move(bytes), "m.img"); });
  EXPECT_TRUE(text.empty() || text.starts_with("m.img: ")) << text;
  EXPECT_EQ(text.find('\n'), text.npos) << text;
  return text;
}

// Of every field but those that any number could stand in: damage of these is the hash's to find.
TEST(Images, DamageOfTheHeaderIsNamed) {
  const auto any = [](std::size_t at) {
    constexpr auto kSizes = offsetof(ImageHeader, sizes);
    for (const std::size_t field :
         {offsetof(ImageHeader, words), kSizes + offsetof(ImageSizes, fraction),
          kSizes + offsetof(ImageSizes, bound), offsetof(ImageHeader, config_bytes),
          offsetof(ImageHeader, tokenizer_bytes)})
      if (at / 4 == field / 4) return true;
    return false;
  };
  const std::vector<std::byte> good = bytes_of(small_image(64));
  ASSERT_EQ(refusal(good), "");
  for (std::size_t at = 0; at < offsetof(ImageHeader, hash); ++at)
    for (const int bit : {0, 7}) {
      std::vector<std::byte> bad = good;
      bad[at] ^= std::byte(1 << bit);
      EXPECT_TRUE(any(at) || !refusal(bad).empty()) << at;
    }
  std::vector<std::byte> other = good;
  other[8] = std::byte(2);
  EXPECT_THAT(refusal(other), HasSubstr("expected version 1 of an image, got 2"));
  other = good, other[0] = std::byte('T');
  EXPECT_THAT(refusal(other), HasSubstr("begins with \"tern-rtl\", got another file"));
}

TEST(Images, TruncatedAndLongerFilesAreNamed) {
  const std::vector<std::byte> good = bytes_of(small_image(64));
  for (const std::size_t bytes : {std::size_t(0), std::size_t(255)})
    EXPECT_THAT(refusal({good.begin(), good.begin() + std::ptrdiff_t(bytes)}),
                HasSubstr("of at least 256 bytes, got " + std::to_string(bytes)));
  for (const std::size_t bytes : {std::size_t(256), good.size() / 2, good.size() - 1})
    EXPECT_THAT(refusal({good.begin(), good.begin() + std::ptrdiff_t(bytes)}),
                AllOf(HasSubstr("as its header says, got " + std::to_string(bytes)),
                      HasSubstr("truncated")));
  std::vector<std::byte> longer = good;
  longer.push_back({});
  EXPECT_THAT(refusal(longer), HasSubstr("got " + std::to_string(good.size() + 1)));
}

TEST(Images, WordsAndCodesThatAreNoneAreNamed) {
  Image image = small_image(64);
  const ImageLayout& at = image.layout();
  std::vector<std::byte> bad = bytes_of(image);
  bad[at.program + 8 * 4 + 7] = std::byte(0x1a);
  EXPECT_THAT(refusal(bad), HasSubstr("word 4: ldv"));
  bad = bytes_of(image);
  bad[at.layers + at.record.bytes + at.record.tiles.f + 2] |= std::byte(0x30);
  EXPECT_THAT(refusal(bad), HasSubstr("layer 1: byte "));
  bad = bytes_of(image);
  bad[at.head_tiles] = std::byte(3);
  EXPECT_THAT(refusal(bad), HasSubstr("head: byte 0 of the tiles: expected codes from 0 to 2"));
}

TEST(Images, WhatTheAcceleratorCannotHoldIsRefused) {
  const auto sizes = [](std::uint32_t D, std::uint32_t H, std::uint32_t L, std::uint32_t V) {
    return ImageSizes{.width = D, .glu_width = H, .layers = L, .vocabulary = V};
  };
  EXPECT_THAT(complaint([&] { layout_of(sizes(8192, 8191, 1, 100), 0); }),
              HasSubstr("hidden_size: expected 1 to 8191, got 8192"));
  EXPECT_THAT(complaint([&] { layout_of(sizes(5120, 8191, 200, 32000), 0); }),
              HasSubstr("within 4 GiB"));
  SmallModel loaded(small_config(24, 40, 1), DType::f32);
  DecodeModel large = loaded.decode();
  large.table = Tensor(loaded.cpu, large.table.shape(), DType::f32);
  loaded.cpu.fill(large.table, 1023.9);
  EXPECT_EQ(complaint([&] { Image::of(large, 512); }), "");
  loaded.cpu.fill(large.table, 1024);
  EXPECT_THAT(complaint([&] { Image::of(large, 512); }),
              HasSubstr("embedding: expected magnitudes below 1024, got 2304 larger ones"));
}

// The published models, and depths and vocabularies beyond them.
TEST(TheProgram, HasAboutAHundredWordsAtAnyDepth) {
  std::size_t most = 0;
  for (const auto& [D, H] :
       {std::pair(512u, 1536u), {1024u, 2816u}, {2048u, 5632u}, {2560u, 6912u}})
    for (const std::uint32_t V : {100u, 1000u, 32'000u, 250'000u}) {
      std::size_t words = 0;
      for (const std::uint32_t L : {1u, 2u, 24u, 32u}) {
        const ImageSizes sizes{.width = D, .glu_width = H, .layers = L, .vocabulary = V};
        const std::size_t got = token_program(sizes, layout_of(sizes, 0)).size();
        if (words == 0) words = got;
        EXPECT_EQ(got, words) << "depth " << L;
        most = std::max(most, got);
      }
    }
  EXPECT_LE(most, 128u);
  EXPECT_GE(most, 90u);
}

// Everything the program needs before a product is there while the one before it still runs: it
// never waits for a product between two that could follow each other.
TEST(TheProgram, ProductsFollowOneAnother) {
  const ImageSizes sizes{.width = 512, .glu_width = 1536, .layers = 24, .vocabulary = 32'000};
  const auto program = decode_program(token_program(sizes, layout_of(sizes, 0)));
  std::vector<std::size_t> products;
  for (std::size_t at = 0; at < program.size(); ++at)
    if (program[at].op == Op::tmm) products.push_back(at);
  ASSERT_GE(products.size(), 7u);
  // of i, f, g; of the gate's halves; of the head's blocks: the sums of one are first read behind
  // the product that comes next
  const std::size_t pairs[][2] = {{0, 1}, {1, 2}, {4, 5}, {7, 8}};
  for (const auto& [first, second] : pairs)
    for (std::size_t at = products[first]; at < products[second]; ++at) {
      const Instruction& i = program[at];
      const bool reads = i.op == Op::silu || i.op == Op::sig || i.op == Op::mul ||
                         i.op == Op::mac || i.op == Op::amax || i.op == Op::stv;
      EXPECT_FALSE(reads && i.va == program[products[first]].vd) << disassemble(encode(i));
    }
}

}  // namespace
}  // namespace tern::rtl
