// Agreement of ranks, which are threads of one process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/distributed/rank_threads.h"

namespace tern {
namespace {

using testing::HasSubstr;

TEST(ControlPlane, EveryRankReceivesEveryValue) {
  std::vector<std::vector<int>> heard(4);
  const auto complaints = run_ranks({.size = 4}, [&](ControlPlane& c) {
    heard[std::size_t(c.rank())] = c.all_gather_value(10 + c.rank());
    EXPECT_EQ(c.broadcast(c.first() ? "from rank 0" : "not me"), "from rank 0");
  });
  EXPECT_THAT(complaints, testing::Each(""));
  EXPECT_THAT(heard, testing::Each(testing::ElementsAre(10, 11, 12, 13)));
}

TEST(ControlPlane, OneRankAloneOpensNoConnection) {
  ControlPlane alone({}, {}, {}, {});
  EXPECT_EQ(alone.all_gather_value(3), std::vector<int>{3});
  EXPECT_EQ(alone.failure_detector(), nullptr);
}

// Messages may be longer than a frame: 120 layers have a long manifest.
TEST(Fault313, LongMessagesAreSentInPieces) {
  for (const std::size_t size : {std::size_t(0), kMostFrameBytes - 1, kMostFrameBytes,
                                 kMostFrameBytes + 1, 3 * kMostFrameBytes + 5}) {
    const auto complaints = run_ranks({.size = 3}, [&](ControlPlane& c) {
      const std::string mine(size, char('a' + c.rank()));
      const auto all = c.all_gather(bytes_of(mine));
      for (int r = 0; r < 3; ++r)
        EXPECT_EQ(text_of(all.at(std::size_t(r))), std::string(size, char('a' + r)));
      const auto gathered = c.gather(bytes_of(mine));
      ASSERT_EQ(gathered.size(), c.first() ? 3u : 0u);
      for (std::size_t r = 0; r < gathered.size(); ++r)
        EXPECT_EQ(text_of(gathered[r]), std::string(size, char('a' + int(r))));
    });
    EXPECT_THAT(complaints, testing::Each(""));
  }
}

TEST(Fault313, AMessageBeyondEveryManifestIsRefused) {
  const auto complaints = run_ranks({.size = 2}, [&](ControlPlane& c) {
    c.all_gather(Bytes(c.rank() == 1 ? kMostAgreedBytes + 1 : 0));
  });
  EXPECT_THAT(complaints[1], HasSubstr("expected at most"));
}

}  // namespace
}  // namespace tern
