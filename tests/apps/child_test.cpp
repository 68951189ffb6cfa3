#include "apps/system/child.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include "apps/run/signals.h"
#include "core/check.h"

namespace tern {
namespace {

TEST(Child, SaysHowItEnded) {
  Child good({"sh", "-c", "exit 7"}, {});
  ASSERT_TRUE(good.wait(60));
  EXPECT_EQ(good.exit_code(), 7);
  Child killed({"sh", "-c", "kill -KILL $$"}, {});
  ASSERT_TRUE(killed.wait(60));
  EXPECT_EQ(killed.exit_code(), 128 + SIGKILL);
}

TEST(Child, DoesNotInheritIgnoredSignals) {
  const Signals ignoring;
  Child child({"sh", "-c", "kill -HUP $$"}, {});
  ASSERT_TRUE(child.wait(60));
  EXPECT_EQ(child.exit_code(), 128 + SIGHUP);
}

TEST(Child, IsNotAskedToEndByTheTerminal) {
  Child child({"sh", "-c", "set -- $(cat /proc/$$/stat); test $5 = $$"}, {});
  ASSERT_TRUE(child.wait(60));
  EXPECT_EQ(child.exit_code(), 0);  // leads a group of its own
}

TEST(Child, DoesNotOutliveItsOwner) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  {
    Child child({"sleep", "600"}, {.out = ends[1]});
    EXPECT_FALSE(child.wait(0.01));
  }
  close(ends[1]);
  pollfd in{ends[0], POLLIN, 0};
  EXPECT_EQ(poll(&in, 1, 10'000), 1);  // the other end is closed: nobody holds it any more
  close(ends[0]);
}

TEST(Child, ThatCannotBeStartedIsAnError) {
  EXPECT_THROW(Child({"/nowhere/program"}, {}), Error);
  EXPECT_FALSE(has_program("no such program"));
  EXPECT_TRUE(has_program("sh"));
}

}  // namespace
}  // namespace tern
