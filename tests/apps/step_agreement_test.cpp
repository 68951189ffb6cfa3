// Decisions of all ranks between two steps.
#include "apps/train/step_agreement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tern {
namespace {

using testing::HasSubstr;

TEST(Fault64, AStragglerIsNamedWithEverybodysSeconds) {
  const auto note = [](double seconds) { return StepNote{.busy_seconds = seconds}; };
  const std::string text = decide({note(1), note(1.1), note(3), note(0.9)}).straggler;
  EXPECT_THAT(text, HasSubstr("rank 2"));
  EXPECT_THAT(text, HasSubstr("1.00 1.10 3.00 0.90"));
  EXPECT_EQ(decide({note(1), note(1.2)}).straggler, "");
  EXPECT_EQ(decide({note(0.01), note(0.1)}).straggler, "") << "a blink";
}

TEST(Fault06, OneRanksSignalStopsAll) {
  EXPECT_EQ(decide({{}, {}}).stop, "");
  EXPECT_EQ(decide({{}, {.signal = 10}}).stop, "stopped by signal 10 to rank 1");
  EXPECT_EQ(decide({{.signal = 15}, {.signal = 10}}).stop, "stopped by signal 15");
  EXPECT_THAT(decide({{}, {.time_up = 1}}).stop, HasSubstr("time_limit"));
  EXPECT_TRUE(decide({{}, {.save = 1}}).save);
}

}  // namespace
}  // namespace tern
