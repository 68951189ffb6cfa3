// Words, text and what is refused.
#include "rtl/model/instruction.h"

#include <gmock/gmock.h>

#include <fstream>
#include <set>

#include "core/rng.h"
#include "rtl/model/assembler.h"
#include "rtl/tests/random_program.h"
#include "tests/support/complaint.h"

namespace tern::rtl {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(Instructions, ByHand) {
  EXPECT_EQ(encode({.op = Op::ldv, .vd = 1, .flags = 12, .imm = 0x40}), 0x1100'000c'0000'0040u);
  EXPECT_EQ(assemble("ldv v1, n0, token, 0x40"),
            std::vector<std::uint64_t>{0x1100'000c'0000'0040u});
  const Instruction mul{.op = Op::mul,
                        .vd = 6,
                        .va = 3,
                        .vb = 5,
                        .pb = 2,
                        .sd = 14,
                        .flags = kStatistic | 1,
                        .imm = 0x1'0209};
  EXPECT_EQ(encode(mul), 0x5635'2e09'0001'0209u);
  EXPECT_EQ(disassemble(encode(mul)),
            "mul v6, v3, v5, n1, shift=9, narrow=2, squares=s14, stat=p2");
  EXPECT_EQ(mul.shift(), 9);
  EXPECT_EQ(mul.narrow(), 2);
  const Instruction loop = decode(assemble("loop 37, passes=4660, step=2, stride=0x4000").front());
  EXPECT_EQ(loop.passes(), 4660u);
  EXPECT_EQ(loop.target(), 37u);
  EXPECT_EQ(loop.flags, 2);
  EXPECT_EQ(loop.imm, 0x4000u);
  const Instruction qnt = decode(
      assemble("qnt qb, v7, n2, p1, s9, squares=s3, norm=p2, weighed=s4 # a comment").front());
  EXPECT_EQ(qnt, (Instruction{.op = Op::qnt,
                              .vd = 1,
                              .va = 7,
                              .vb = 4,
                              .pa = 1,
                              .pb = 2,
                              .sd = 3,
                              .sa = 9,
                              .flags = kWithNorm | kWithSquares | 2}));
}

// Every form with the first, the last and random values of its operands, optional ones there and
// not: word -> text -> the same word, word -> fields -> the same word.
TEST(Instructions, EveryFormGoesToTextAndBack) {
  RandomProgram random(1);
  std::set<std::string> mnemonics;
  for (const Form& form : forms()) {
    mnemonics.insert(form.mnemonic);
    for (int i = 0; i < 2000; ++i) {
      const std::uint64_t word = random.word(form, [&](const Operand& o) {
        return i == 0 ? o.first : i == 1 ? o.last / o.multiple * o.multiple : random.value(o);
      });
      const std::string text = disassemble(word);
      EXPECT_TRUE(text == form.mnemonic || text.starts_with(form.mnemonic + std::string(" ")));
      ASSERT_EQ(assemble(text), std::vector<std::uint64_t>{word}) << text;
      ASSERT_EQ(encode(decode(word)), word) << text;
    }
  }
  EXPECT_EQ(mnemonics.size(), forms().size()) << "two forms of one name";
  std::set<Op> ops;
  for (const Form& form : forms()) ops.insert(form.op);
  EXPECT_EQ(ops.size(), 16u);
}

TEST(Instructions, TheDocumentationHasEveryForm) {
  std::ifstream file("docs/accelerator.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  for (const Form& form : forms()) {
    const std::string name = '`' + std::string(form.mnemonic);
    EXPECT_TRUE(text.find(name + ' ') != text.npos || text.find(name + '`') != text.npos) << name;
    for (const Operand& o : form.operands)
      EXPECT_TRUE(!o.name || text.find(o.name + std::string("=")) != text.npos) << o.name;
  }
}

// Any 64 bits: an instruction that comes back as the same bits, or one line of what is wrong.
TEST(Instructions, RandomBitsAreRefusedOrComeBack) {
  const Rng rng(2);
  int legal = 0;
  for (std::uint64_t i = 0; i < 200'000; ++i) {
    // one bit beside a legal word finds more than random words do
    std::uint64_t word = rng.bits(2 * i);
    if (i % 2 == 0) {
      RandomProgram random(i);
      word = random.word(forms()[i % forms().size()]) ^ std::uint64_t(1)
                                                            << rng.bits(2 * i + 1) % 64;
    }
    try {
      const std::uint64_t again = encode(decode(word));
      ASSERT_EQ(again, word);
      ASSERT_EQ(assemble(disassemble(word)).front(), word);
      ++legal;
    } catch (const Error& e) {
      ASSERT_EQ(e.fault, Fault::input) << e.what();
    }
  }
  EXPECT_GT(legal, 1000);
  EXPECT_LT(legal, 199'000);
}

TEST(Instructions, IllegalWordsAreNamed) {
  const auto refusal = [](std::uint64_t word) {
    return complaint([&] { decode(word, "word 7"); });
  };
  EXPECT_THAT(refusal(0x1a00'0000'0000'0000u),
              AllOf(HasSubstr("word 7: ldv: operand 1: expected v0 to v9, got 10"),
                    HasSubstr("0x1a00000000000000")));
  EXPECT_THAT(refusal(0x1000'0000'0000'0020u), HasSubstr("a multiple of 64, got 32"));
  EXPECT_THAT(refusal(0x0000'0000'0000'0001u), HasSubstr("halt: expected zeros in the bits"));
  EXPECT_THAT(refusal(0xc000'0000'0000'0006u), HasSubstr("expected a function from 0 to 5, got 6"));
  EXPECT_THAT(refusal(0xf000'0001'0000'0000u), HasSubstr("loop: operand 2: expected passes=1"));
  EXPECT_THAT(complaint([] { encode({.op = Op::ldv, .vd = 16}); }), HasSubstr("vd 16"));
}

TEST(Instructions, ErrorsOfTextNameTheLine) {
  const auto refusal = [](const char* text) { return complaint([&] { assemble(text); }); };
  EXPECT_THAT(refusal("halt\n\nfly v1"), HasSubstr("line 3: expected an instruction, got 'fly'"));
  EXPECT_THAT(refusal("stat v0, n0, v1"), HasSubstr("line 1: stat: expected p0 to p3, got 'v1'"));
  EXPECT_THAT(refusal("stat v0, n0"), HasSubstr("expected p0 to p3, got the end of the line"));
  EXPECT_THAT(refusal("ldv v10, n0, at, 0"), HasSubstr("expected v0 to v9, got 'v10'"));
  EXPECT_THAT(refusal("ldv v1, n0, above, 0"),
              HasSubstr("expected at, layer, pass, token, got 'above'"));
  EXPECT_THAT(refusal("halt halt"), HasSubstr("expected the end of the line, got 'halt'"));
  EXPECT_THAT(refusal("mac v0, v1, v2, s3, n0, narrow=0"),
              HasSubstr("expected fraction=0 to 40, got 'narrow=0'"));
  EXPECT_THAT(refusal("ldv v1, n0, at, 0x4g"), HasSubstr("a multiple of 64, got '0x4g'"));
  EXPECT_EQ(assemble("# nothing\n\n"), std::vector<std::uint64_t>{});
}

TEST(Instructions, ProgramsEndAndTheirLoopsDoNotCross) {
  const auto refusal = [](const char* text) {
    return complaint([&] { decode_program(assemble(text)); });
  };
  EXPECT_EQ(decode_program(assemble("halt")).size(), 1u);
  EXPECT_THAT(refusal(""), HasSubstr("expected 1 to 256 words, got 0"));
  EXPECT_THAT(refusal("stat v0, n0, p0"), HasSubstr("expected halt at its end, got stat"));
  EXPECT_THAT(refusal("loop 0, passes=2, step=1, stride=0\nhalt"), HasSubstr("word 0: loop"));
  EXPECT_THAT(refusal("stat v0, n0, p0\nloop 0, passes=2, step=1, stride=0\n"
                      "stat v0, n0, p0\nloop 1, passes=2, step=1, stride=0\nhalt"),
              HasSubstr("word 3: loop: expected a word behind the loop before, from 2 on, and "
                        "before this one, got 1"));
}

}  // namespace
}  // namespace tern::rtl
