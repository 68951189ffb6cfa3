// Characters and white space of UTF-8 text.
#include "data/text/utf8.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace tern {
namespace {

std::string encoded(char32_t c) {
  if (c < 0x80) return {char(c)};
  if (c < 0x800) return {char(0xc0 | c >> 6), char(0x80 | (c & 0x3f))};
  return {char(0xe0 | c >> 12), char(0x80 | (c >> 6 & 0x3f)), char(0x80 | (c & 0x3f))};
}

// str.isspace() of Python 3.11, of all characters
TEST(Utf8, WhiteSpaceIsPythons) {
  const std::set<char32_t> spaces = {0x09,   0x0a,   0x0b,   0x0c,   0x0d,   0x1c,   0x1d,   0x1e,
                                     0x1f,   0x20,   0x85,   0xa0,   0x1680, 0x2000, 0x2001, 0x2002,
                                     0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200a,
                                     0x2028, 0x2029, 0x202f, 0x205f, 0x3000};
  for (char32_t c = 0; c < 0x10000; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;
    const std::string text = encoded(c);
    EXPECT_EQ(trailing_white_space("x" + text), spaces.contains(c) ? text.size() : 0)
        << unsigned(c);
  }
}

TEST(Utf8, WhiteSpaceIsCountedFromTheEnd) {
  EXPECT_EQ(trailing_white_space(""), 0u);
  EXPECT_EQ(trailing_white_space(" \n\u3000"), 5u);
  EXPECT_EQ(trailing_white_space(" a b \u00a0\t"), 4u);
  EXPECT_EQ(trailing_white_space("a \xa0"), 0u) << "no UTF-8";
  EXPECT_EQ(trailing_white_space("a\u3000\xe3\x80"), 0u) << "no UTF-8";
  EXPECT_EQ(trailing_white_space("\x80\x80\x80\x80 "), 1u);
}

TEST(Utf8, CharactersAreCodePoints) {
  EXPECT_EQ(count_characters(""), 0u);
  EXPECT_EQ(count_characters("a\u00e4\u4e2d\U0001f600"), 4u);
  EXPECT_EQ(count_characters("e\u0301"), 2u);
}

}  // namespace
}  // namespace tern
