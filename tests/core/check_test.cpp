#include "core/check.h"

#include <gtest/gtest.h>

namespace tern {
namespace {

TEST(Check, SaysWhatAndWhere) {
  try {
    check(1 + 1 == 3, "[sum] expected ", 3, ", got ", 2);
    FAIL() << "expected an error";
  } catch (const Error& e) {
    EXPECT_EQ(e.fault, Fault::internal);
    EXPECT_NE(std::string(e.what()).find("[sum] expected 3, got 2  (tests/core/check_test.cpp:"),
              std::string::npos)
        << e.what();
  }
}

TEST(Check, RequireKeepsTheFaultAndAddsNothing) {
  try {
    require(false, Fault::input, "a.txt: expected 4 B, got 3 B");
    FAIL() << "expected an error";
  } catch (const Error& e) {
    EXPECT_EQ(e.fault, Fault::input);
    EXPECT_STREQ(e.what(), "a.txt: expected 4 B, got 3 B");
  }
}

}  // namespace
}  // namespace tern
