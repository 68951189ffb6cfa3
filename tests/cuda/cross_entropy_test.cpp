// Cross entropy on bf16 logits alone, without the product that makes them: so that race checkers,
// which cannot run the library's product at these sizes, see every kernel of it.
#include <gtest/gtest.h>

#include <cmath>

#include "core/backend.h"
#include "core/cpu/cpu_backend.h"
#include "core/rng.h"
#include "tests/cuda/gpu.h"

namespace tern {
namespace {

struct Results {
  std::vector<double> losses{}, gradient{};
};

// Logits that bf16 holds exactly, some targets ignored.
Results run_on(Backend& on, DType dtype, Index rows, Index columns) {
  std::vector<double> x(std::size_t(rows * columns), 0);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = double(Rng(7).bits(i) % 257) / 16 - 8;
  std::vector<std::int32_t> targets(std::size_t(rows), kIgnoreIndex);
  for (std::size_t n = 0; n < targets.size(); ++n)
    if (n % 5 != 3) targets[n] = std::int32_t(Rng(8).bits(n) % std::uint64_t(columns));
  const Tensor logits(on, {rows, columns}, dtype), losses(on, {rows}, DType::f32),
      to(on, {rows}, DType::i32), weight(on, {1}, DType::f32);
  upload_real(logits, x);
  upload_real(weight, std::vector<double>{0.25});
  on.upload(to, targets.data());
  on.run(CrossEntropy{
      .losses = losses, .logits = logits, .targets = to, .weight = weight, .gradient = true});
  return {.losses = download_real(losses), .gradient = download_real(logits)};
}

class CudaCrossEntropy : public GpuTest {};

TEST_F(CudaCrossEntropy, OfBf16LogitsIsTheCpus) {
  constexpr std::size_t kSlab = std::size_t(128) << 20;
  CpuBackend cpu(kSlab);
  for (const auto& [rows, columns] : {std::pair<Index, Index>{5, 203},  // odd; whole pieces of 8
                                      {9, 264},
                                      {600, 8200},    // held in registers: more rows than blocks,
                                      {3, 32000},     // the head's,
                                      {3, 32776}}) {  // and one too wide for that
    const Results want = run_on(cpu, DType::f32, rows, columns);
    const Results got = run_on(gpu(kSlab), DType::bf16, rows, columns);
    for (std::size_t n = 0; n < want.losses.size(); ++n)
      ASSERT_NEAR(got.losses[n], want.losses[n], 1e-4) << rows << " x " << columns << ", row " << n;
    for (std::size_t i = 0; i < want.gradient.size(); ++i)  // rounded to bf16, near 0 to f32's
      ASSERT_NEAR(got.gradient[i], want.gradient[i], std::abs(want.gradient[i]) / 200 + 1e-7)
          << rows << " x " << columns << ", element " << i;
  }
}

}  // namespace
}  // namespace tern
