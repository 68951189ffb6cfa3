// The token drawn on the GPU is the CPU's: ties, zeros of both signs, top_k, top_p, odd widths,
// logits that are not finite.
#include <gtest/gtest.h>

#include <limits>

#include "core/cpu/cpu_backend.h"
#include "core/rng.h"
#include "tests/cuda/gpu.h"

namespace tern {
namespace {

constexpr std::size_t kSlab = std::size_t(128) << 20;
constexpr double kInfinity = std::numeric_limits<double>::infinity(),
                 kNaN = std::numeric_limits<double>::quiet_NaN();

struct Rows {
  Index columns;
  std::vector<double> logits, uniforms;
};

std::vector<std::int32_t> sampled_on(Backend& on, DType dtype, const Rows& rows,
                                     const SampleToken& rule) {
  const Index N = Index(rows.uniforms.size());
  SampleToken kernel = rule;
  kernel.ids = Tensor(on, {N}, DType::i32);
  kernel.logits = Tensor(on, {N, rows.columns}, dtype);
  kernel.uniforms = Tensor(on, {N}, DType::f64);
  upload_real(kernel.logits, rows.logits);
  upload_real(kernel.uniforms, rows.uniforms);
  on.fill(kernel.ids, -1e9);
  on.run(kernel);
  std::vector<std::int32_t> out(std::size_t(N), 0);
  on.download(out.data(), kernel.ids);
  return out;
}

// Logits of some kinds, all exact in bf16. A weight may differ in its last bit between devices, of
// sums of 2^40 and more: it decides none of these draws.
Rows some_rows(Index N, Index columns) {
  Rows rows{.columns = columns, .logits = {}, .uniforms = {}};
  const Rng rng(7, std::uint64_t(columns));
  for (Index n = 0; n < N; ++n) {
    rows.uniforms.push_back(n == 1 ? 1 : n == 2 ? 1e-17 : Rng(8).uniform(std::uint64_t(n)));
    for (Index i = 0; i < columns; ++i) {
      const std::uint64_t bits = rng.bits(std::uint64_t(n * columns + i));
      const double sum_of_four = double(bits % 64 + bits / 64 % 64 + bits / 4096 % 64 +
                                        bits / 262144 % 64);  // 0 to 252, seldom the ends
      switch (n % 5) {
        case 0:
          rows.logits.push_back(sum_of_four / 8 - 16);
          break;
        case 1:
          rows.logits.push_back(double(bits % 5) - 2);
          break;  // many ties
        case 2:
          rows.logits.push_back(bits % 2 ? 0.0 : -0.0);
          break;  // all are equal
        case 3:
          rows.logits.push_back(sum_of_four - 128);
          break;  // few weights above 0
        default:
          rows.logits.push_back(bits % 3 ? -1.5 : -0.0);
          break;
      }
    }
  }
  return rows;
}

class CudaSampleToken : public GpuTest {
 protected:
  void expect_the_cpus(const Rows& rows, const SampleToken& rule) {
    const auto want = sampled_on(cpu_, DType::f32, rows, rule);
    for (const DType dtype : {DType::f32, DType::bf16})
      EXPECT_EQ(sampled_on(gpu(kSlab), dtype, rows, rule), want)
          << dtype << ", V " << rows.columns << ", temperature " << rule.temperature << ", top_k "
          << rule.top_k << ", top_p " << rule.top_p;
  }

  CpuBackend cpu_{kSlab};
};

TEST_F(CudaSampleToken, IsTheCpus) {
  for (const Index columns : {1, 2, 7, 33, 1000, 1024, 1025, 4099}) {
    const Rows rows = some_rows(15, columns);
    for (const double temperature : {0.0, 1e-300, 0.3, 1.0, 30.0, 1e300})
      for (const std::int64_t k :
           {std::int64_t(0), std::int64_t(1), std::int64_t(2), std::int64_t(50), columns - 1,
            columns, std::numeric_limits<std::int64_t>::max()})
        for (const double p : {0.0, 1e-300, 0.1, 0.5, 0.9, 1 - 1e-16, 1.0})
          expect_the_cpus(rows, {.temperature = temperature, .top_k = k, .top_p = p});
  }
}

TEST_F(CudaSampleToken, OfVocabulariesIsTheCpus) {
  for (const Index columns : {32000, 32768, 32769, 50257, 131072, 1 << 20}) {
    const Rows rows = some_rows(5, columns);
    for (const SampleToken& rule :
         {SampleToken{}, SampleToken{.temperature = 0}, SampleToken{.top_k = 50},
          SampleToken{.top_p = 0.9}, SampleToken{.temperature = 0.7, .top_k = 1000, .top_p = 0.5},
          SampleToken{.temperature = 1e300, .top_k = columns - 3, .top_p = 0.99}})
      expect_the_cpus(rows, rule);
  }
}

TEST_F(CudaSampleToken, OfManyRowsIsTheCpus) {
  const Rows rows = some_rows(256, 5003);
  for (const SampleToken& rule : {SampleToken{}, SampleToken{.top_k = 40, .top_p = 0.8}})
    expect_the_cpus(rows, rule);
}

// Equal logits weigh 2^40 each on every device, so bounds are met exactly.
TEST_F(CudaSampleToken, OfEqualLogitsKeepsTheFirst) {
  for (const Index columns : {8, 4096, 1 << 20}) {
    Rows rows{.columns = columns, .logits = {}, .uniforms = {1}};
    for (Index i = 0; i < columns; ++i) rows.logits.push_back(i % 2 ? 0.0 : -0.0);
    const auto last = [&](const SampleToken& rule) {
      return sampled_on(gpu(kSlab), DType::f32, rows, rule).front();
    };
    EXPECT_EQ(last({}), columns - 1);
    EXPECT_EQ(last({.top_k = 3}), 2);
    EXPECT_EQ(last({.top_k = columns - 1}), columns - 2);
    EXPECT_EQ(last({.top_p = 0.5}), columns / 2 - 1) << "reached exactly: no more";
    EXPECT_EQ(last({.top_k = columns / 2, .top_p = 0.5}), columns / 4 - 1);
    EXPECT_EQ(last({.top_p = 0}), 0) << "at least one";
  }
}

TEST_F(CudaSampleToken, NamesTheFirstLogitThatIsNotFinite) {
  for (const Index columns : {4, 4099, 32000}) {
    Rows rows = some_rows(6, columns);
    const auto put = [&](Index row, Index column, double value) {
      rows.logits[std::size_t(row * columns + column)] = value;
    };
    put(0, columns - 1, kNaN);
    put(1, columns / 2, -kInfinity);
    put(2, 1, kInfinity);
    put(2, 2, kNaN);
    for (Index i = 0; i < columns; ++i) put(3, i, -kInfinity);
    for (Index i = 0; i < columns; ++i) put(4, i, i % 2 ? -kNaN : kNaN);
    for (const double temperature : {0.0, 1.0}) {
      const SampleToken rule{.temperature = temperature, .top_k = 2, .top_p = 0.9};
      expect_the_cpus(rows, rule);
      const auto ids = sampled_on(gpu(kSlab), DType::f32, rows, rule);
      EXPECT_EQ(ids[0], -columns);
      EXPECT_EQ(ids[3], -1);
      EXPECT_GE(ids[5], 0);
    }
  }
}

TEST_F(CudaSampleToken, TwiceIsTheSame) {
  const Rows rows = some_rows(50, 32000);
  const SampleToken rule{.temperature = 0.8, .top_p = 0.95};
  EXPECT_EQ(sampled_on(gpu(kSlab), DType::bf16, rows, rule),
            sampled_on(gpu(kSlab), DType::bf16, rows, rule));
}

}  // namespace
}  // namespace tern
