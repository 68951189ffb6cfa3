// dW in bf16 of so many rows that it is made in parts, on the GPU: that in f32, rounded once.
#include <gtest/gtest.h>

#include "core/backend.h"
#include "core/dry/dry_backend.h"
#include "core/rng.h"
#include "tests/cuda/gpu.h"
#include "tests/support/op_case.h"

namespace tern {
namespace {

constexpr std::size_t kSlab = std::size_t(1) << 30;
constexpr Index N = 32768 + 1000, O = 8, I = 4096;

std::vector<std::int8_t> scattered(Index n, int largest) {
  std::vector<std::int8_t> out(std::size_t(n), 0);
  const Rng rng(3, std::uint64_t(n));
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = std::int8_t(int(rng.bits(i) % std::uint64_t(2 * largest + 1)) - largest);
  return out;
}

// dw, written to or added to 0.25
Values dw_of(Backend& on, DType stored, DType q_type, bool add) {
  const Tensor q(on, {N, I}, q_type), t(on, {O, I}, DType::i8), dy(on, {N, O}, DType::bf16),
      row_scale(on, {N}, DType::f32), one(on, {1}, DType::f32), dw(on, {O, I}, stored);
  static const std::vector<std::int8_t> codes = scattered(N * I, 127), from = scattered(N * O, 100);
  if (q_type == DType::i8)
    on.upload(q, codes.data());
  else
    upload_real(q, Values(codes.begin(), codes.end()));
  upload_real(dy, Values(from.begin(), from.end()));
  on.fill(t, 1), on.fill(row_scale, 3), on.fill(one, 1), on.fill(dw, 0.25);
  on.run(TernaryProductBackward{.dw = {dw, add},
                                .dy = dy,
                                .x = {.q = q, .row_scale = row_scale},
                                .w = {.t = t, .scale = one}});
  return download_real(dw);
}

class CudaStoredGradients : public GpuTest {};

TEST_F(CudaStoredGradients, PartsOfAProductAreRoundedTogether) {
  ASSERT_EQ(rows_expanded(N, I), 32768);
  for (const DType q : {DType::i8, DType::bf16}) {
    Values want = dw_of(gpu(kSlab), DType::f32, q, false);
    EXPECT_EQ(dw_of(gpu(kSlab), DType::bf16, q, false), rounded_to_bf16(want)) << q;
    for (double& x : want) x += 0.25;
    EXPECT_EQ(dw_of(gpu(kSlab), DType::bf16, q, true), rounded_to_bf16(want)) << q;
  }
}

TEST_F(CudaStoredGradients, PartsTakeTheMemoryOfThePlan) {
  for (const DType q : {DType::i8, DType::bf16}) {
    DryBackend dry(gpu(kSlab).traits());
    dw_of(dry, DType::bf16, q, true);
    CudaBackend exact(0, dry.pool().high_water());  // not one byte more
    dw_of(exact, DType::bf16, q, true);
    EXPECT_EQ(exact.pool().high_water(), dry.pool().high_water());
  }
}

}  // namespace
}  // namespace tern
