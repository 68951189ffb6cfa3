#include "apps/run/signals.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "core/check.h"

namespace tern {
namespace {

TEST(Signals, AskToStop) {
  for (const int signal : {SIGTERM, SIGUSR1, SIGINT}) {
    Signals s;
    EXPECT_FALSE(s.stop_requested());
    raise(signal);
    EXPECT_TRUE(s.stop_requested());
    raise(SIGTERM);
    EXPECT_EQ(s.stop_signal(), signal);  // the first one counts
    EXPECT_FALSE(s.take_save_request());
  }
}

TEST(Signals, AskForACheckpoint) {
  Signals s;
  raise(SIGUSR2);
  EXPECT_FALSE(s.stop_requested());
  EXPECT_TRUE(s.take_save_request());
  EXPECT_FALSE(s.take_save_request());
}

TEST(Signals, IgnoreALostTerminalAndBrokenPipes) {
  Signals s;
  for (const int signal : {SIGHUP, SIGPIPE, SIGXFSZ}) raise(signal);
  EXPECT_FALSE(s.stop_requested());
}

TEST(Signals, ArePutBack) {
  { Signals s; }
  struct sigaction now {};
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR2}) {
    sigaction(signal, nullptr, &now);
    EXPECT_EQ(now.sa_handler, SIG_DFL) << signal;
  }
}

TEST(Signals, OneAtATime) {
  Signals s;
  EXPECT_THROW(Signals(), Error);
}

}  // namespace
}  // namespace tern
