// Every set of vector instructions that this CPU has, against sums written out in float64.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "core/cpu/code_kernels.h"
#include "core/cpu/cpu_backend.h"
#include "core/rng.h"

namespace tern {
namespace {

struct Size {
  Index N, O, I;
};

// Codes, scales and an upstream gradient for one product.
struct Operands {
  Operands(Backend& on, const Size& size, bool extreme = false)
      : x{Tensor(on, {size.N, size.I}, DType::i8), Tensor(on, {size.N}, DType::f32)},
        w{Tensor(on, {size.O, size.I}, DType::i8), Tensor(on, {1}, DType::f32)},
        dy(on, {size.N, size.O}, DType::f32) {
    const Rng rng(7);
    std::uint64_t at = 0;
    for (Index i = 0; i < x.q.elements(); ++i)
      q()[i] = std::int8_t(extreme ? -128 : std::floor(rng.uniform(at++) * 256) - 128);
    for (Index i = 0; i < w.t.elements(); ++i)
      t()[i] = std::int8_t(extreme ? 1 : std::floor(rng.uniform(at++) * 3) - 1);
    for (Index n = 0; n < size.N; ++n) row_scale()[n] = float(20 + rng.uniform(at++));
    scale() = 31.7f;
    for (Index i = 0; i < dy.elements(); ++i) dy.data<float>()[i] = float(rng.normal(at++));
  }
  std::int8_t* q() { return x.q.data<std::int8_t>(); }
  std::int8_t* t() { return w.t.data<std::int8_t>(); }
  float* row_scale() { return x.row_scale.data<float>(); }
  float& scale() { return *w.scale.data<float>(); }
  Quantized x;
  TernaryWeight w;
  Tensor dy;
};

const Size kSizes[] = {{1, 1, 16},   {1, 70, 80},   {3, 33, 48},   {5, 31, 16},
                       {13, 64, 32}, {9, 300, 112}, {300, 29, 64}, {50, 50, 1040}};

class CodeProduct : public testing::TestWithParam<const cpu::CodeKernels* (*)()> {
 protected:
  void SetUp() override {
    if (!GetParam()()) GTEST_SKIP() << "this CPU lacks the instructions";
  }
  const cpu::CodeKernels& kernels() { return *GetParam()(); }
  CpuBackend on_{std::size_t(64) << 20};
};

INSTANTIATE_TEST_SUITE_P(Kernels, CodeProduct,
                         testing::Values(cpu::code_kernels_avx512, cpu::code_kernels_avx_vnni,
                                         cpu::code_kernels_avx2));

void expect_exact(const Tensor& y, Operands& a, const Size& size) {
  for (Index n = 0; n < size.N; ++n)
    for (Index o = 0; o < size.O; ++o) {
      std::int32_t sum = 0;
      for (Index i = 0; i < size.I; ++i) sum += a.q()[n * size.I + i] * a.t()[o * size.I + i];
      ASSERT_EQ(y.data<float>()[n * size.O + o], float(sum) / (a.row_scale()[n] * a.scale()))
          << "N " << size.N << " O " << size.O << " I " << size.I << " at " << n << ", " << o;
    }
}

TEST_P(CodeProduct, IsTheExactIntegerSum) {
  for (const Size& size : kSizes) {
    Operands a(on_, size);
    const Tensor y(on_, {size.N, size.O}, DType::f32);
    cpu::ternary_product(kernels(), {.y = y, .x = a.x, .w = a.w});
    expect_exact(y, a, size);
  }
}

TEST_P(CodeProduct, LargestSumsDoNotOverflow) {
  for (const Size& size : {Size{9, 40, 4096}, Size{2, 40, 4096}}) {
    Operands a(on_, size, true);
    const Tensor y(on_, {size.N, size.O}, DType::f32);
    cpu::ternary_product(kernels(), {.y = y, .x = a.x, .w = a.w});
    expect_exact(y, a, size);
  }
}

// Weights in tiles, of sizes that fill none: 1 to 70 rows on either side of the switch between
// reading tiles where they lie and unpacking them.
TEST_P(CodeProduct, OfTilesHasTheSameBits) {
  for (const Index N : {1, 2, 3, 4, 5, 8, 9, 16, 17, 33, 70})
    for (const auto& [O, I] : {std::pair<Index, Index>{1, 1},
                               {15, 16},
                               {16, 15},
                               {17, 33},
                               {33, 48},
                               {48, 257},
                               {70, 272},
                               {300, 1040}})
      for (const bool extreme : {false, true}) {
        const Size size{N, O, I};
        Operands a(on_, size, extreme);
        const TernaryWeight tiles{Tensor(on_, {O, I}, DType::t2), a.w.scale};
        pack_tiles(tiles.t, a.w.t);
        const Tensor y(on_, {N, O}, DType::f32);
        cpu::ternary_product(kernels(), {.y = y, .x = a.x, .w = tiles});
        expect_exact(y, a, size);
      }
}

TEST_P(CodeProduct, BackwardIsThatOfTheDequantisedOperands) {
  for (const Size& size : kSizes)
    for (const bool add : {false, true}) {
      const auto [N, O, I] = size;
      Operands a(on_, size);
      const Tensor dx(on_, {N, I}, DType::f32), dw(on_, {O, I}, DType::f32);
      on_.fill(dx, add ? 1 : NAN);
      on_.fill(dw, add ? 1 : NAN);
      cpu::ternary_product_backward(
          kernels(), {.dx = {dx, add}, .dw = {dw, add}, .dy = a.dy, .x = a.x, .w = a.w});
      const float* dy = a.dy.data<float>();
      for (Index i = 0; i < I; ++i) {
        for (Index n = 0; n < N; ++n) {
          double sum = add, size_of_terms = 1;
          for (Index o = 0; o < O; ++o) {
            const double term = double(dy[n * O + o]) * a.t()[o * I + i] / double(a.scale());
            sum += term, size_of_terms += std::abs(term);
          }
          ASSERT_NEAR(dx.data<float>()[n * I + i], sum, 1e-6 * size_of_terms);
        }
        for (Index o = 0; o < O; ++o) {
          double sum = add, size_of_terms = 1;
          for (Index n = 0; n < N; ++n) {
            const double term = double(dy[n * O + o]) * a.q()[n * I + i] / double(a.row_scale()[n]);
            sum += term, size_of_terms += std::abs(term);
          }
          ASSERT_NEAR(dw.data<float>()[o * I + i], sum, 1e-6 * size_of_terms);
        }
      }
    }
}

TEST(CodeKernels, GiveTheSameBitsWhateverTheInstructions) {
  const auto *wide = cpu::code_kernels_avx512(), *narrow = cpu::code_kernels_avx2();
  if (!wide || !narrow) GTEST_SKIP() << "this CPU has at most one of them";
  CpuBackend on(std::size_t(16) << 20);
  const Size size{300, 290, 176};
  Operands a(on, size);
  const Tensor dx(on, {2, size.N, size.I}, DType::f32), dw(on, {2, size.O, size.I}, DType::f32);
  for (const int k : {0, 1})
    cpu::ternary_product_backward(k ? *wide : *narrow,
                                  {.dx = {dx.slice(k, 1).reshape({size.N, size.I})},
                                   .dw = {dw.slice(k, 1).reshape({size.O, size.I})},
                                   .dy = a.dy,
                                   .x = a.x,
                                   .w = a.w});
  for (const Tensor& t : {dx, dw})
    EXPECT_EQ(std::memcmp(t.raw(), t.slice(1, 1).raw(), t.bytes() / 2), 0);
}

}  // namespace
}  // namespace tern
