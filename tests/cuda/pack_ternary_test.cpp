// Two-bit codes on the GPU are the CPU's, and come back as they were.
#include <gtest/gtest.h>

#include "core/cpu/cpu_backend.h"
#include "core/rng.h"
#include "tests/cuda/gpu.h"

namespace tern {
namespace {

class CudaPackedTernary : public GpuTest {};

TEST_F(CudaPackedTernary, HasTheCpusBytes) {
  constexpr std::size_t kSlab = std::size_t(64) << 20;
  CpuBackend cpu(kSlab);
  for (const Index n : {16, 4096, 4112, 1'000'000}) {
    std::vector<std::int8_t> codes(std::size_t(n), 0);
    for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = std::int8_t(Rng(3).bits(i) % 3) - 1;
    std::vector<std::vector<std::int8_t>> packed, back;
    for (Backend* on : {static_cast<Backend*>(&cpu), static_cast<Backend*>(&gpu(kSlab))}) {
      const Tensor t(*on, {n}, DType::i8), two(*on, {n / 4}, DType::i8), again(*on, {n}, DType::i8);
      on->upload(t, codes.data());
      on->run(PackTernary{.packed = two, .t = t});
      on->run(UnpackTernary{.t = again, .packed = two});
      on->download(packed.emplace_back(std::size_t(n / 4)).data(), two);
      on->download(back.emplace_back(std::size_t(n)).data(), again);
    }
    EXPECT_EQ(packed[0], packed[1]) << n;
    EXPECT_EQ(back[1], codes) << n;
  }
}

}  // namespace
}  // namespace tern
