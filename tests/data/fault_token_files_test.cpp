// Row 118: files of token ids that are read at another width than they were written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/compress.h"
#include "tests/data/prepare_fixture.h"

namespace tern {
namespace {

using testing::HasSubstr;

template <class Stored>
std::string file_of(std::size_t ids, std::uint32_t below) {
  std::mt19937_64 random(18);
  std::string bytes;
  for (std::size_t i = 0; i < ids; ++i) {
    const auto id = Stored(random() % below);
    bytes.append(reinterpret_cast<const char*>(&id), sizeof id);
  }
  return bytes;
}

class Fault118 : public testing::Test {
 protected:
  std::string refusal(const std::string& name, const std::string& content,
                      std::optional<InputFormat> format = {}) const {
    write_text(f_ / name, content);
    PrepareOptions options = f_.options("out", {f_ / name});
    options.format = format;
    options.tokenizer = tokenizer_;
    std::filesystem::remove_all(f_ / "out");
    return message_of(Fault::input, [&] { prepare_corpus(options, no_report); });
  }
  // a tokenizer of more pieces than 16 bits tell apart
  void use_large_vocabulary() {
    std::vector<std::string> pieces;
    for (int i = 0; i < 65'400; ++i) pieces.push_back("w" + std::to_string(i));
    write_text(f_ / "large.model", model_file(pieces).bytes());
    tokenizer_ = f_ / "large.model";
  }
  const PrepareFixture f_;
  std::string tokenizer_ = f_ / "small.model";
};

TEST_F(Fault118, LargeVocabulariesDoNotFitInto16Bits) {
  use_large_vocabulary();
  const std::string ids = file_of<std::uint32_t>(5000, 65'600);
  for (const char* name : {"a.bin", "b.BIN", "c.bin.zst"}) {
    const bool plain = !std::string_view(name).ends_with("zst");
    const std::string content = plain ? ids : compressed(Codec::zstd, ids);
    EXPECT_THAT(refusal(name, content), HasSubstr("vocabulary of 65659: give --format u32"));
    EXPECT_EQ(refusal(name, content, InputFormat::u32), "");
  }
  EXPECT_EQ(refusal("c.u32", ids), "");
  EXPECT_EQ(f_.ids("out").size(), 5000u);
  const std::string narrow = file_of<std::uint16_t>(5000, 60'000);
  EXPECT_THAT(refusal("d.bin", narrow), HasSubstr("--format u16 if no id is above 65535"));
  EXPECT_EQ(refusal("d.bin", narrow, InputFormat::u16), "");
  EXPECT_EQ(refusal("d.u16", narrow), "");
  EXPECT_THAT(refusal("d.u32", narrow), HasSubstr("give --format u16"));
}

TEST_F(Fault118, IdsThatLookLikeTheOtherWidth) {
  const std::string wide = file_of<std::uint32_t>(5000, 400);
  EXPECT_THAT(refusal("a.bin", wide), HasSubstr("looks like 32-bit ids"));
  EXPECT_THAT(refusal("a.bin.gz", compressed(Codec::gzip, wide)), HasSubstr("--format u32"));
  EXPECT_EQ(refusal("a.bin", wide, InputFormat::u32), "");
  EXPECT_EQ(refusal("a.bin", wide, InputFormat::u16), "") << "asked for";
  const std::string narrow = file_of<std::uint16_t>(5000, 400);
  EXPECT_EQ(refusal("b.bin", narrow), "");
  EXPECT_THAT(refusal("b.bin", narrow, InputFormat::u32),
              HasSubstr("in a vocabulary of 400 as 16-bit numbers only"));
  EXPECT_THAT(refusal("b.bin", narrow + std::string(2, '\0'), InputFormat::u32),
              HasSubstr("got 2 B too many at byte 10000: are they 16-bit ids (--format u16)?"));
  EXPECT_EQ(refusal("few.bin", std::string("\5\0\0\0", 4)), "") << "too few to tell";
  EXPECT_EQ(refusal("zeros.bin", std::string(1000, '\0')), "");
}

TEST_F(Fault118, HalfAnIdIsRefusedAtTheStart) {
  write_text(f_ / "a.txt", english());
  write_text(f_ / "odd.bin", std::string(7, '\1'));
  EXPECT_THAT(message_of(Fault::input,
                         [&] {
                           prepare_corpus(f_.options("out", {f_ / "a.txt", f_ / "odd.bin"}),
                                          [](const PrepareProgress&) { FAIL() << "began"; });
                         }),
              HasSubstr("odd.bin: expected whole u16 tokens, got 1 B too many at byte 6"));
}

}  // namespace
}  // namespace tern
