// Collective operations over TCP, of ranks as threads of one process.
#include "distributed/tcp_communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/backend.h"
#include "core/cpu/cpu_backend.h"
#include "tests/distributed/rank_threads.h"

namespace tern {
namespace {

using testing::HasSubstr;

std::vector<double> values_of(const Tensor& t) {
  return download_real(t);
}

TEST(TcpCommunicator, SumsInTheOrderOfRanks) {
  // 1 + 1e16 - 1e16 + 1: another order gives another sum
  const std::vector<double> terms = {1, 1e16, -1e16, 1};
  const double expected = ((terms[0] + terms[1]) + terms[2]) + terms[3];
  std::vector<double> sums(4), largest(4);
  const auto complaints = run_ranks({.size = 4}, [&](ControlPlane& c) {
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
    const auto complaints = run_ranks({.size = 3}, [&](ControlPlane& c) {
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

}  // namespace
}  // namespace tern
