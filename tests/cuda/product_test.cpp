// Integer sums are exact: the forward product has the CPU's bits at every shape and on every path.
#include <gtest/gtest.h>

#include <array>

#include "core/cpu/cpu_backend.h"
#include "core/rng.h"
#include "tests/cuda/gpu.h"

namespace tern {
namespace {

constexpr std::size_t kSlab = std::size_t(512) << 20;

struct Codes {
  std::vector<std::int8_t> q, t;
  std::vector<float> row_scale, scale;
};

Codes random_codes(Index N, Index O, Index I) {
  const Rng rng(3, stream_of("codes"));
  Codes c;
  std::uint64_t at = 0;
  for (Index i = 0; i < N * I; ++i) c.q.push_back(std::int8_t(rng.uniform(at++) * 255 - 127));
  for (Index i = 0; i < O * I; ++i) c.t.push_back(std::int8_t(rng.uniform(at++) * 3 - 1.0));
  for (Index i = 0; i < N; ++i) c.row_scale.push_back(float(1 + 40 * rng.uniform(at++)));
  c.scale = {17.3f};
  return c;
}

std::vector<float> product(Backend& on, const Codes& c, Index N, Index O, Index I) {
  const Quantized x{.q = Tensor(on, {N, I}, DType::i8), .row_scale = Tensor(on, {N}, DType::f32)};
  const TernaryWeight w{.t = Tensor(on, {O, I}, DType::i8), .scale = Tensor(on, {1}, DType::f32)};
  const Tensor y(on, {N, O}, DType::f32);
  on.upload(x.q, c.q.data());
  on.upload(x.row_scale, c.row_scale.data());
  on.upload(w.t, c.t.data());
  on.upload(w.scale, c.scale.data());
  on.fill(y, -1);
  on.run(TernaryProduct{.y = y, .x = x, .w = w});
  std::vector<float> out(std::size_t(N * O));
  on.download(out.data(), y);
  return out;
}

class CudaProduct : public GpuTest {};

TEST_F(CudaProduct, HasTheCpusBits) {
  CpuBackend cpu(kSlab);
  for (const auto& [N, O, I] : std::vector<std::array<Index, 3>>{{1, 1, 1},
                                                                 {3, 5, 7},
                                                                 {67, 130, 48},
                                                                 {128, 256, 128},
                                                                 {129, 257, 144},
                                                                 {1000, 320, 320},
                                                                 {513, 2048, 1024},
                                                                 {300, 1024, 2816}}) {
    const Codes codes = random_codes(N, O, I);
    EXPECT_EQ(product(gpu(kSlab), codes, N, O, I), product(cpu, codes, N, O, I))
        << N << ' ' << O << ' ' << I;
  }
}

}  // namespace
}  // namespace tern
