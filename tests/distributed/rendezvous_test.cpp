// Rendezvous and its faults, with ranks as threads of one process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "distributed/messages.h"
#include "tests/distributed/rank_threads.h"

namespace tern {
namespace {

using testing::HasSubstr;

TEST(Fault63, MissingRanksAreListed) {
  const auto complaints =
      run_ranks({.size = 4, .seconds = 0.7, .absent = {1, 3}}, [](ControlPlane&) {});
  EXPECT_THAT(complaints[0], HasSubstr("ranks 1, 3 of 4 did not come"));
}

TEST(Fault63, WithoutRankZeroTheOthersSayWhereTheyLooked) {
  const auto complaints =
      run_ranks({.size = 2, .seconds = 0.5, .absent = {0}}, [](ControlPlane&) {});
  EXPECT_THAT(complaints[1], HasSubstr("127.0.0.1"));
}

TEST(Fault63, APortInUseIsNamed) {
  const Listener first("127.0.0.1", 0);
  EXPECT_THAT(complaint([&] { const Listener second("127.0.0.1", first.port()); }),
              HasSubstr("port " + std::to_string(first.port())));
}

// Which addresses a listener takes: of the loopback network alone, or all.
bool takes_all(const Listener& listener) {
  sockaddr_storage at{};
  socklen_t size = sizeof at;
  getsockname(listener.number(), reinterpret_cast<sockaddr*>(&at), &size);
  if (at.ss_family == AF_INET)
    return reinterpret_cast<sockaddr_in*>(&at)->sin_addr.s_addr == htonl(INADDR_ANY);
  return IN6_IS_ADDR_UNSPECIFIED(&reinterpret_cast<sockaddr_in6*>(&at)->sin6_addr);
}

// Debian gives a machine's own name the address 127.0.1.1.
TEST(Fault107, ANameThatIsLoopbackHereIsReachedFromElsewhere) {
  for (const char* host : {"127.0.0.1", "127.0.1.1", "localhost"})
    for (const Callers callers : {Callers::this_machine, Callers::any_machine})
      EXPECT_FALSE(takes_all(Listener(host, 0, callers))) << host;
  char own[256] = {};
  gethostname(own, sizeof own - 1);
  if (takes_all(Listener(own, 0)))
    GTEST_SKIP() << "the name of this machine is no loopback address";
  EXPECT_TRUE(takes_all(Listener(own, 0, Callers::any_machine)));
}

TEST(Fault107, LoopbackAloneOnlyWhereAllRanksAreLocal) {
  EXPECT_EQ(callers_of({.size = 4, .local_size = 4}), Callers::this_machine);
  EXPECT_EQ(callers_of({.size = 4, .local_size = 2}), Callers::any_machine);
  EXPECT_EQ(callers_of({.size = 4, .local_size = 0}), Callers::any_machine);
}

TEST(Fault121, RanksMeetOverIPv6) {
  std::unique_ptr<Listener> listener;
  try {
    listener = std::make_unique<Listener>("::1", 0);
  } catch (const Error& e) {
    GTEST_SKIP() << e.what();
  }
  const RankInfo info{.size = 2, .local_size = 2, .host = "::1", .port = listener->port()};
  std::thread second([&] {
    RankInfo other = info;
    other.rank = 1;
    ControlPlane c(other, {}, {.seconds = 20}, {});
    EXPECT_EQ(c.all_gather_value(1), (std::vector<int>{0, 1}));
    c.failure_detector()->announce_exit();
  });
  ControlPlane c(info, {}, {.seconds = 20, .listener = std::move(listener)}, {});
  EXPECT_EQ(c.all_gather_value(0), (std::vector<int>{0, 1}));
  second.join();
  c.failure_detector()->announce_exit();
}

TEST(Fault121, MessagesShowIPv6InBrackets) {
  const RankInfo nowhere{.rank = 1, .size = 2, .local_size = 2, .host = "::1", .port = 1};
  EXPECT_THAT(complaint([&] { ControlPlane(nowhere, {}, {.seconds = 0.2}, {}); }),
              HasSubstr("rank 0 at [::1]:1"));
}

TEST(Fault65, RanksThatDifferAreNamed) {
  const Identity same{.config = "c", .binary = "b", .data = "d"};
  Identity other = same;
  other.data = "e";
  const auto complaints =
      run_ranks({.size = 3, .identities = {same, same, other}}, [](ControlPlane&) {});
  EXPECT_THAT(complaints[0], HasSubstr("rank 2 differs from rank 0 in its data"));
  EXPECT_EQ(complaints[1], "") << "rank 0 prints it";
  Hello with{.identity = {.plugins = "p"}}, without{.rank = 1};
  EXPECT_THAT(disagreement({{0, with}, {1, without}}), HasSubstr("rank 1 differs from rank 0 in "
                                                                 "its plugins"));
  EXPECT_EQ(Hello::parse(with.text()).identity, with.identity);
  Hello a{.identity = {.device = "GPU-1"}}, b{.rank = 1, .identity = {.device = "GPU-1"}};
  EXPECT_THAT(disagreement({{0, a}, {1, b}}), HasSubstr("ranks 0 and 1 have the same GPU"));
}

TEST(Fault66, GarbageAndSilenceAreDroppedAndTheRunGoesOn) {
  std::vector<std::string> log;
  const auto strangers = [](int port) {
    std::string why;
    std::vector<Connection> open;
    for (const char* text : {"GET / HTTP/1.1\r\n\r\n", "tern", ""}) {
      auto c = try_connect("127.0.0.1", port, 5, why);
      ASSERT_TRUE(c) << why;
      send(c->number(), text, std::strlen(text), MSG_NOSIGNAL);
      open.push_back(std::move(*c));
    }
    auto impostor = try_connect("127.0.0.1", port, 5, why);
    ASSERT_TRUE(impostor) << why;
    const std::string hello = Hello{.job = "another job", .rank = 1, .size = 2}.text();
    impostor->send(FrameKind::hello, 0, bytes_of(hello), [] {});
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    const Frame answer =
        impostor->receive([&] { check(std::chrono::steady_clock::now() < end, "no answer"); });
    EXPECT_EQ(answer.kind, FrameKind::refusal);
    EXPECT_THAT(text_of(answer.bytes), HasSubstr("another job"));
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  };
  int agreed = 0;
  // rank 1 comes after the strangers
  const auto complaints = run_ranks(
      {.size = 2,
       .absent = {1},
       .meanwhile =
           [&](int port) {
             strangers(port);
             RankInfo info{.rank = 1, .size = 2, .local_size = 2, .host = "127.0.0.1"};
             info.port = port, info.job = "job";
             ControlPlane late(info, {}, {.seconds = 20}, {});
             agreed = late.all_gather_value(1)[0];
             late.failure_detector()->announce_exit();
           }},
      [](ControlPlane& c) { EXPECT_EQ(c.all_gather_value(7).size(), 2u); }, &log);
  EXPECT_THAT(complaints, testing::Each(""));
  EXPECT_EQ(agreed, 7);
  EXPECT_THAT(log, testing::Contains(HasSubstr("not a message of tern")));
  EXPECT_THAT(log, testing::Contains(HasSubstr("did not identify itself")));
  EXPECT_THAT(log, testing::Contains(HasSubstr("another job")));
}

// an exit code of 0 would report success
TEST(Fault66, MessagesWithNumbersThatAreNoneAreRefused) {
  const auto fault_of = [](const auto& parse) {
    try {
      parse();
      return Fault::stopped;
    } catch (const Error& e) {
      return e.fault;
    }
  };
  const auto notice = [&](const std::string& fault, const std::string& rank) {
    const std::string text =
        "{\"fault\":" + fault + ",\"rank\":" + rank + R"(,"why":"","told":false,"orderly":false})";
    return fault_of([&] { ExitNotice::parse(text); });
  };
  EXPECT_EQ(notice("3", "1"), Fault::stopped);
  EXPECT_EQ(notice("75", "1"), Fault::stopped);
  for (const char* fault : {"0", "8", "76", "-1", "3.5", "1e30", "4294967299", "true"})
    EXPECT_EQ(notice(fault, "1"), Fault::communication) << fault;
  for (const char* rank : {"-1", "1e30", "0.5", "4294967297", "18446744073709551615", "null"})
    EXPECT_EQ(notice("3", rank), Fault::communication) << rank;
  const std::string hello = Hello{.rank = 1, .size = 2}.text();
  EXPECT_EQ(fault_of([&] { Hello::parse(hello); }), Fault::stopped);
  std::string wide = hello;
  wide.replace(wide.find("\"rank\":1"), 8, "\"rank\":4294967297");
  EXPECT_EQ(fault_of([&] { Hello::parse(wide); }), Fault::communication);
}

TEST(Fault66, AnAnswerOfAnotherJobIsNotJoined) {
  const auto complaints =
      run_ranks({.size = 2, .jobs = {"mine", "yours"}, .seconds = 1}, [](ControlPlane&) {});
  EXPECT_THAT(complaints[1], HasSubstr("another job"));
  EXPECT_THAT(complaints[0], HasSubstr("rank 1 of 2 did not come"));
}

}  // namespace
}  // namespace tern
