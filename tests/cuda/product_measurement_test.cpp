// Measuring products changes nothing that the work computes, and says what it found.
#include <gmock/gmock.h>

#include "autograd/ops.h"
#include "core/backend.h"
#include "core/rng.h"
#include "cuda/products/algorithm_table.h"
#include "tests/cuda/gpu.h"

namespace tern {
namespace {

constexpr std::size_t kSlab = std::size_t(256) << 20;
constexpr Index N = 512, O = 256, I = 128;

class Measurement : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped()) return;
    Backend& on = gpu(kSlab);
    dy_ = random({N, O}, DType::bf16);
    x_ = {.q = Tensor(on, {N, I}, DType::i8), .row_scale = Tensor(on, {N}, DType::f32)};
    const QuantizedVar w = quantize_ternary({random({O, I}, DType::f32)});
    w_ = {.t = w.codes.value, .scale = w.scale};
    on.run(QuantizeRows{.y = x_, .x = random({N, I}, DType::bf16)});
    dx_ = Tensor(on, {N, I}, DType::bf16);
    dw_ = Tensor(on, {O, I}, DType::f32);
  }
  Tensor random(const Shape& shape, DType dtype) {
    const Tensor t(gpu(kSlab), shape, dtype);
    const Rng rng(5, stream_of("measurement"));
    std::vector<double> values(std::size_t(shape.elements()));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = rng.normal(i);
    upload_real(t, values);
    return t;
  }
  // dx, and dw twice, the second time added
  void work() {
    for (const bool add : {false, true})
      gpu(kSlab).run(TernaryProductBackward{
          .dx = {dx_, false}, .dw = {dw_, add}, .dy = dy_, .x = x_, .w = w_});
  }
  std::vector<std::vector<double>> results() { return {download_real(dx_), download_real(dw_)}; }

  Tensor dy_, dx_, dw_;
  Quantized x_;
  TernaryWeight w_;
};

TEST_F(Measurement, EveryKindOnceAndTheSameBits) {
  work();
  const auto want = results();
  std::vector<MeasuredProduct> seen;
  const cuda::AlgorithmTable table = gpu(kSlab).measure_products(
      [&] { work(), work(); }, [&](const MeasuredProduct& p) { seen.push_back(p); });
  EXPECT_EQ(results(), want);
  std::vector<std::string> names;
  for (const MeasuredProduct& p : seen) {
    names.push_back(p.product);
    EXPECT_DOUBLE_EQ(p.flops, 2.0 * N * O * I);
    EXPECT_GT(p.proposals, p.refused);
    EXPECT_LE(p.fastest, p.first);
    EXPECT_GT(p.fastest, 0);
  }
  EXPECT_THAT(names, testing::ElementsAre("512 128 256 bf16 bf16 bf16 device",
                                          "256 128 512 bf16^T bf16 f32 host",
                                          "256 128 512 bf16^T bf16 +f32 host"));
  work();  // nobody looks any more
  EXPECT_EQ(seen.size(), 3u);
  EXPECT_EQ(results(), want);
}

TEST_F(Measurement, EndsWhenTheWorkFails) {
  const auto report = [](const MeasuredProduct&) { FAIL() << "nothing was multiplied"; };
  EXPECT_THROW(gpu(kSlab).measure_products([] { fail(Fault::usage, "no"); }, report), Error);
  work();
}

}  // namespace
}  // namespace tern
