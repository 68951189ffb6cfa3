#include "runtime/quantities.h"

#include <gtest/gtest.h>

#include <cmath>

#include "apps/console/terminal.h"

namespace tern {
namespace {

TEST(Quantities, Counts) {
  EXPECT_EQ(count_text(0), "0");
  EXPECT_EQ(count_text(950), "950");
  EXPECT_EQ(count_text(999.6), "1k");
  EXPECT_EQ(count_text(1234), "1.23k");
  EXPECT_EQ(count_text(182'000), "182k");
  EXPECT_EQ(count_text(4'721'000), "4.72M");
  EXPECT_EQ(count_text(1'364'779'008), "1.36B");
  EXPECT_EQ(count_text(NAN), "?");
}

TEST(Quantities, Bytes) {
  EXPECT_EQ(bytes_text(512), "512 B");
  EXPECT_EQ(bytes_text(1.5e9), "1.5 GB");
  EXPECT_EQ(bytes_text(141e9), "141 GB");
}

TEST(Quantities, Durations) {
  EXPECT_EQ(duration_text(0.34), "340ms");
  EXPECT_EQ(duration_text(2.1), "2.1s");
  EXPECT_EQ(duration_text(45), "45s");
  EXPECT_EQ(duration_text(245), "4m05s");
  EXPECT_EQ(duration_text(4020), "1h07m");
  EXPECT_EQ(duration_text(3 * 86400 + 4 * 3600), "3d04h");
  EXPECT_EQ(duration_text(-1), "?");
  EXPECT_EQ(duration_text(INFINITY), "?");
}

TEST(Quantities, Shares) {
  EXPECT_EQ(share_text(0.31), "31%");
  EXPECT_EQ(share_text(0.004), "0.4%");
  EXPECT_EQ(share_text(0), "0%");
}

TEST(Printable, KeepsTextAndEscapesWhatATerminalWouldObey) {
  EXPECT_EQ(printable("a\nb\tc \xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa6"),
            "a\nb\tc \xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa6");
  EXPECT_EQ(printable("\x1b[31m\r\x07\x7f"), "\\x1b[31m\\x0d\\x07\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"), "\\xc2\\x9b");  // C1: a control sequence
  EXPECT_EQ(printable(std::string_view("\0", 1)), "\\x00");
}

TEST(Printable, EscapesWhatIsNoUtf8) {
  EXPECT_EQ(printable("\xff"), "\\xff");
  EXPECT_EQ(printable("\xc3"), "\\xc3");                    // cut off
  EXPECT_EQ(printable("\xe2\x82x"), "\\xe2\\x82x");         // cut off, then text
  EXPECT_EQ(printable("\xc0\x8a"), "\\xc0\\x8a");           // a newline in two bytes
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(printable("\xf5\x80\x80\x80"), "\\xf5\\x80\\x80\\x80");
}

}  // namespace
}  // namespace tern
