// Ranks as threads of one process: rendezvous, agreement, sums, and what a rendezvous must survive.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "apps/ranks/messages.h"
#include "apps/ranks/tcp_communicator.h"
#include "apps/train/step_agreement.h"
#include "core/cpu/cpu_backend.h"
#include "core/host.h"
#include "tests/apps/meeting.h"

namespace tern {
namespace {

using testing::HasSubstr;

std::vector<double> values_of(const Tensor& t) {
  return download_real(t);
}

TEST(ControlPlane, EveryRankHearsWhatEachSaid) {
  std::vector<std::vector<int>> heard(4);
  const auto complaints = meet_all({.size = 4}, [&](ControlPlane& c) {
    heard[std::size_t(c.rank())] = c.agree_on(10 + c.rank());
    EXPECT_EQ(c.from_first(c.first() ? "from rank 0" : "not me"), "from rank 0");
  });
  EXPECT_THAT(complaints, testing::Each(""));
  EXPECT_THAT(heard, testing::Each(testing::ElementsAre(10, 11, 12, 13)));
}

TEST(ControlPlane, OneRankAloneNeedsNobody) {
  ControlPlane alone({}, {}, {}, {});
  EXPECT_EQ(alone.agree_on(3), std::vector<int>{3});
  EXPECT_EQ(alone.watch(), nullptr);
}

TEST(TcpCommunicator, SumsInTheOrderOfRanks) {
  // 1 + 1e16 - 1e16 + 1: another order gives another sum
  const std::vector<double> terms = {1, 1e16, -1e16, 1};
  const double expected = ((terms[0] + terms[1]) + terms[2]) + terms[3];
  std::vector<double> sums(4), largest(4);
  const auto complaints = meet_all({.size = 4}, [&](ControlPlane& c) {
    CpuBackend on(1 << 22);
    const auto r = std::size_t(c.rank());
    TcpCommunicator communicator(c);
    const Tensor t(on, {200'001}, DType::f64);  // more than one frame
    on.fill(t, terms[r]);
    communicator.all_reduce(t, Op::sum).wait();
    sums[r] = values_of(t).back();
    on.fill(t, c.rank());
    communicator.all_reduce(t, Op::max).wait();
    largest[r] = values_of(t).front();
  });
  EXPECT_THAT(complaints, testing::Each(""));
  EXPECT_THAT(sums, testing::Each(expected));
  EXPECT_THAT(largest, testing::Each(3.0));
}

TEST(TcpCommunicator, ReducesAndBroadcastsPartsOfDifferentOwners) {
  for (const DType dtype : {DType::f64, DType::f32}) {
    const auto complaints = meet_all({.size = 3}, [&](ControlPlane& c) {
      CpuBackend on(1 << 16);
      TcpCommunicator communicator(c);
      std::vector<Owned> parts;
      for (int owner = 0; owner < 3; ++owner) {
        parts.push_back({.t = Tensor(on, {5 + owner}, dtype), .owner = owner});
        on.fill(parts.back().t, c.rank() + 1);
      }
      communicator.reduce(parts, Op::sum).wait();
      EXPECT_THAT(values_of(parts[std::size_t(c.rank())].t), testing::Each(6.0));
      for (const Owned& p : parts) on.fill(p.t, 10 * c.rank() + p.owner);
      communicator.broadcast(parts).wait();
      for (const Owned& p : parts) EXPECT_THAT(values_of(p.t), testing::Each(11.0 * p.owner));
    });
    EXPECT_THAT(complaints, testing::Each(""));
  }
}

TEST(Combine, RoundsBf16HalvesToEvenAndKeepsNaN) {
  const auto sum = [](std::uint16_t a, std::uint16_t b) {
    BFloat16 to{a}, from{b};
    combine(&to, &from, 1, DType::bf16, Op::sum);
    return to.bits;
  };
  EXPECT_EQ(sum(0x3f80, 0x3f80), 0x4000);  // 1 + 1
  EXPECT_EQ(sum(0x4380, 0x3f80), 0x4380);  // 256 + 1: half way, 256 is even
  EXPECT_EQ(sum(0x4381, 0x3f80), 0x4382);  // 258 + 1: half way, 260 is even
  EXPECT_GT(sum(0x7fc0, 0x3f80) & 0x7fff, 0x7f80);
  double nan = NAN, one = 1;
  combine(&nan, &one, 1, DType::f64, Op::max);
  EXPECT_TRUE(std::isnan(nan));
  std::int8_t codes[1] = {1};
  EXPECT_THAT(complaint([&] { combine(codes, codes, 1, DType::i8, Op::sum); }), HasSubstr("i8"));
}

TEST(Fault62, ARankThatIsGoneIsNamedAtOnce) {
  const auto begin = std::chrono::steady_clock::now();
  const auto complaints = meet_all({.size = 3}, [&](ControlPlane& c) {
    c.agree({});
    if (c.rank() == 1) throw Error(Fault::memory, "out of memory");  // without a word
    c.agree({});
  });
  EXPECT_THAT(complaints[0], HasSubstr("rank 1 is gone"));
  EXPECT_EQ(complaints[2], "") << "rank 0 has said it";
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST(Fault62, AFarewellSaysWhy) {
  std::vector<Fault> faults(3);
  const auto complaints = meet_all({.size = 3}, [&](ControlPlane& c) {
    if (c.rank() == 1) return c.watch()->farewell(Fault::memory, "out of memory");
    try {
      c.agree({});
    } catch (const Error& e) {
      faults[std::size_t(c.rank())] = e.fault;
      throw;
    }
  });
  EXPECT_THAT(complaints[0], HasSubstr("rank 1 ended: out of memory"));
  EXPECT_EQ(faults[0], Fault::memory);
  EXPECT_EQ(faults[2], Fault::memory);
}

TEST(Fault62, ARankThatIsBehindIsNamedAfterTheTimeOut) {
  const auto complaints =
      meet_all({.size = 3, .limits = {.timeout = 1, .grace = 5}}, [&](ControlPlane& c) {
        if (c.rank() == 2) std::this_thread::sleep_for(std::chrono::seconds(2));
        c.agree({});
      });
  EXPECT_THAT(complaints[0], HasSubstr("rank 2 did not catch up with the others within 1 s"));
}

TEST(Fault62, AnOperationWithinAnotherDoesNotEndTheWait) {
  const auto complaints =
      meet_all({.size = 2, .limits = {.timeout = 0.5, .grace = 5}}, [&](ControlPlane& c) {
        const Turn turn(c);
        c.from_first("an id");
        const auto begin = std::chrono::steady_clock::now();
        if (c.rank() == 1) return std::this_thread::sleep_for(std::chrono::seconds(2));
        while (std::chrono::steady_clock::now() - begin < std::chrono::seconds(4)) c.waiting();
      });
  EXPECT_THAT(complaints[0], HasSubstr("an operation of all ranks did not end within 0.5 s"));
}

// Otherwise the watch would end this process, before it has said why.
TEST(Fault62, TimeSpentOnTheLastSavesDoesNotCount) {
  const auto complaints =
      meet_all({.size = 2, .limits = {.timeout = 5, .grace = 0.5}}, [&](ControlPlane& c) {
        if (c.rank() == 1) throw Error(Fault::memory, "out of memory");
        EXPECT_NE(complaint([&] { c.agree({}); }), "");
        c.watch()->finishing();
        std::this_thread::sleep_for(std::chrono::milliseconds(1200));
        c.watch()->finishing(false);
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
      });
  EXPECT_EQ(complaints[0], "");
}

TEST(Fault63, MissingRanksAreListed) {
  const auto complaints =
      meet_all({.size = 4, .seconds = 0.7, .absent = {1, 3}}, [](ControlPlane&) {});
  EXPECT_THAT(complaints[0], HasSubstr("ranks 1, 3 of 4 did not come"));
}

TEST(Fault63, WithoutRankZeroTheOthersSayWhereTheyLooked) {
  const auto complaints =
      meet_all({.size = 2, .seconds = 0.5, .absent = {0}}, [](ControlPlane&) {});
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
  const RankPlace place{.size = 2, .local_size = 2, .host = "::1", .port = listener->port()};
  std::thread second([&] {
    RankPlace other = place;
    other.rank = 1;
    ControlPlane c(other, {}, {.seconds = 20}, {});
    EXPECT_EQ(c.agree_on(1), (std::vector<int>{0, 1}));
    c.watch()->leave();
  });
  ControlPlane c(place, {}, {.seconds = 20, .listener = std::move(listener)}, {});
  EXPECT_EQ(c.agree_on(0), (std::vector<int>{0, 1}));
  second.join();
  c.watch()->leave();
}

TEST(Fault121, MessagesShowIPv6InBrackets) {
  const RankPlace nowhere{.rank = 1, .size = 2, .local_size = 2, .host = "::1", .port = 1};
  EXPECT_THAT(complaint([&] { ControlPlane(nowhere, {}, {.seconds = 0.2}, {}); }),
              HasSubstr("rank 0 at [::1]:1"));
}

TEST(Fault65, RanksThatDifferAreNamed) {
  const Identity same{.config = "c", .binary = "b", .data = "d"};
  Identity other = same;
  other.data = "e";
  const auto complaints =
      meet_all({.size = 3, .identities = {same, same, other}}, [](ControlPlane&) {});
  EXPECT_THAT(complaints[0], HasSubstr("rank 2 differs from rank 0 in its data"));
  EXPECT_EQ(complaints[1], "") << "rank 0 has said it";
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
  const auto complaints = meet_all(
      {.size = 2,
       .absent = {1},
       .meanwhile =
           [&](int port) {
             strangers(port);
             RankPlace place{.rank = 1, .size = 2, .local_size = 2, .host = "127.0.0.1"};
             place.port = port, place.job = "job";
             ControlPlane late(place, {}, {.seconds = 20}, {});
             agreed = late.agree_on(1)[0];
             late.watch()->leave();
           }},
      [](ControlPlane& c) { EXPECT_EQ(c.agree_on(7).size(), 2u); }, &log);
  EXPECT_THAT(complaints, testing::Each(""));
  EXPECT_EQ(agreed, 7);
  EXPECT_THAT(log, testing::Contains(HasSubstr("not a message of tern")));
  EXPECT_THAT(log, testing::Contains(HasSubstr("did not identify itself")));
  EXPECT_THAT(log, testing::Contains(HasSubstr("another job")));
}

TEST(Fault66, AnAnswerOfAnotherJobIsNotJoined) {
  const auto complaints =
      meet_all({.size = 2, .jobs = {"mine", "yours"}, .seconds = 1}, [](ControlPlane&) {});
  EXPECT_THAT(complaints[1], HasSubstr("another job"));
  EXPECT_THAT(complaints[0], HasSubstr("rank 1 of 2 did not come"));
}

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
