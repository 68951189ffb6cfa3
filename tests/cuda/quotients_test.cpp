// Rows as bf16 quotients have the bits that products make of codes, and give dW the same bits.
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>

#include "core/workspace.h"
#include "tests/cuda/gpu.h"
#include "tests/support/row_forms.h"

namespace tern {
namespace {

constexpr std::size_t kSlab = std::size_t(1) << 30;

std::uint16_t bf16_bits(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return std::uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
float rounded(float x) {
  return std::bit_cast<float>(std::uint32_t(bf16_bits(x)) << 16);
}

class CudaQuotients : public GpuTest {};

// Widths of every layout of rows: 1 to 4096 and 8192, wider, odd.
TEST_F(CudaQuotients, HaveTheBitsOfExpandedCodes) {
  constexpr DType single = DType::f32, half = DType::bf16;
  for (const auto& [N, D] : {std::pair<Index, Index>{1, 1},
                             {5, 19},
                             {67, 48},
                             {9, 1024},
                             {5, 5632},
                             {3, 9000},
                             {3, 8191}})
    for (const auto& [stream, real] : {std::pair{single, single}, {single, half}, {half, half}})
      for (const RowForms& y : row_forms(gpu(kSlab), stream, real, N, D))
        for (std::size_t i = 0; i < y.codes.size(); ++i) {
          const std::size_t n = i / std::size_t(D);
          const float quotient = float(y.codes[i]) * (1.0f / float(y.scale[n]));
          if (n == 2) {  // not finite
            ASSERT_TRUE(std::isnan(y.quotients[i]) && std::isnan(y.scale_beside_quotients[n]));
            continue;
          }
          ASSERT_EQ(y.scale_beside_quotients[n], y.scale[n]) << y.kernel << ' ' << D;
          ASSERT_EQ(y.quotients[i], double(real == half ? rounded(quotient) : quotient))
              << y.kernel << ' ' << stream << ' ' << real << ' ' << N << ' ' << D << " at " << i;
        }
}

// bytes without pattern enough to matter
std::vector<std::int8_t> scattered(Index count, int most) {
  std::vector<std::int8_t> out;
  out.reserve(std::size_t(count));
  std::uint32_t x = 12345;
  for (Index i = 0; i < count; ++i) {
    x = x * 1664525 + 1013904223;
    out.push_back(std::int8_t(int(x >> 16) % (2 * most + 1) - most));
  }
  return out;
}

// dw (O, I) of random dy, from codes and from quotients
std::array<std::vector<double>, 2> dw_of_both(Backend& on, Index N, Index O, Index I, bool add) {
  const auto codes = scattered(N * I, 127), t = scattered(O * I, 1), from = scattered(N * O, 100);
  std::vector<float> scale;
  for (Index n = 0; n < N; ++n) scale.push_back(float(1 + n % 37) * 1.37f);
  std::vector<std::uint16_t> quotients, dy;
  for (Index i = 0; i < N * I; ++i)
    quotients.push_back(bf16_bits(float(codes[i]) * (1.0f / scale[i / I])));
  for (const std::int8_t x : from) dy.push_back(bf16_bits(float(x) / 7));
  const auto uploaded = [&](const Shape& shape, DType dtype, const void* data) {
    const Tensor on_device(on, shape, dtype);
    on.upload(on_device, data);
    return on_device;
  };
  const Tensor from_above = uploaded({N, O}, DType::bf16, dy.data()),
               row_scale = uploaded({N}, DType::f32, scale.data()),
               weights = uploaded({O, I}, DType::i8, t.data());
  const auto dw_of = [&](const Tensor& q) {
    const Tensor dw(on, {O, I}, DType::f32), one(on, {1}, DType::f32);
    on.fill(dw, 0.25);
    on.fill(one, 1);
    on.run(TernaryProductBackward{.dw = {.to = dw, .add = add},
                                  .dy = from_above,
                                  .x = {.q = q, .row_scale = row_scale},
                                  .w = {.t = weights, .scale = one}});
    return download_real(dw);
  };
  return {dw_of(uploaded({N, I}, DType::i8, codes.data())),
          dw_of(uploaded({N, I}, DType::bf16, quotients.data()))};
}

TEST_F(CudaQuotients, GiveDwTheBitsOfCodes) {
  for (const auto& [N, O, I] : std::vector<std::array<Index, 3>>{{1, 1, 1},
                                                                 {5, 67, 33},  // plain kernels
                                                                 {67, 33, 40},
                                                                 {67, 40, 33},
                                                                 {129, 264, 40},  // the library
                                                                 {1000, 320, 336}})
    for (const bool add : {false, true}) {
      const auto [codes, quotients] = dw_of_both(gpu(kSlab), N, O, I, add);
      EXPECT_EQ(quotients, codes) << N << ' ' << O << ' ' << I << ' ' << add;
    }
}

// So many rows that codes are copied to bf16 in two parts.
TEST_F(CudaQuotients, GiveDwTheBitsOfCodesInParts) {
  constexpr Index I = 4096, N = 32768 + 1000;
  ASSERT_EQ(rows_expanded(N, I), 32768);
  const auto [codes, quotients] = dw_of_both(gpu(kSlab), N, 8, I, false);
  EXPECT_EQ(quotients, codes);
}

}  // namespace
}  // namespace tern
