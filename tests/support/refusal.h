// A program that refuses what it was asked for.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/process.h"

namespace tern {

// This exit code, one line on standard error, which holds the text, and nothing on standard output.
inline void expect_refused(const Outcome& outcome, int code, const std::string& text) {
  EXPECT_EQ(outcome.exit_code, code);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, testing::HasSubstr(text));
  EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
}

}  // namespace tern
