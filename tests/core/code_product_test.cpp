// Every set of vector instructions that this CPU has, against sums written out, and the bits that
// every kind of CPU gives.
#include <gtest/gtest.h>

#include <cmath>
#include <string_view>

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

constexpr const char* kNames[] = {"AVX512", "AVXVNNI", "AVX2", "NEON"};
INSTANTIATE_TEST_SUITE_P(Kernels, CodeProduct,
                         testing::Values(cpu::code_kernels_avx512, cpu::code_kernels_avx_vnni,
                                         cpu::code_kernels_avx2, cpu::code_kernels_neon),
                         [](const auto& kernels) { return kNames[kernels.index]; });

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

// The order of summation on paper: a row's terms one after the other, each fused with the sum.
TEST_P(CodeProduct, BackwardAddsTermByTerm) {
  for (const auto [N, O, I] : {Size{13, 64, 32}, Size{9, 300, 112}, Size{300, 29, 64}})
    for (const float before : {0.0f, 0.3f}) {
      Operands a(on_, {N, O, I});
      const Tensor dx(on_, {N, I}, DType::f32), dw(on_, {O, I}, DType::f32);
      on_.fill(dx, before);
      on_.fill(dw, before);
      const bool add = before != 0;
      cpu::ternary_product_backward(
          kernels(), {.dx = {dx, add}, .dw = {dw, add}, .dy = a.dy, .x = a.x, .w = a.w});
      const float* dy = a.dy.data<float>();
      for (Index n = 0; n < N; ++n)
        for (Index i = 0; i < I; ++i) {
          float sum = before;
          for (Index o = 0; o < O; ++o)
            sum = std::fma(dy[n * O + o] * (1 / a.scale()), float(a.t()[o * I + i]), sum);
          ASSERT_EQ(dx.data<float>()[n * I + i], sum) << n << ", " << i;
        }
      for (Index o = 0; o < O; ++o)
        for (Index i = 0; i < I; ++i) {
          float sum = before;
          for (Index n = 0; n < N; ++n)
            sum = std::fma(dy[n * O + o] * (1 / a.row_scale()[n]), float(a.q()[n * I + i]), sum);
          ASSERT_EQ(dw.data<float>()[o * I + i], sum) << o << ", " << i;
        }
    }
}

std::uint64_t hash_of(const Tensor& t) {
  return stream_of({static_cast<const char*>(t.raw()), t.bytes()});
}

struct Bits {
  Size size;
  std::uint64_t y, dx, dw;  // hashes
};

const Bits kBits[] = {
    {{1, 290, 1040}, 0x0a2d5d6f4fe02ba3, 0x7b4bda577d5329db, 0x9aec075dfb0af3fb},
    {{7, 70, 80}, 0x6b977b6aeb8b8376, 0x99d0bf31ff328af8, 0x693b317f970789eb},
    {{300, 290, 176}, 0x741bd0d81bbe0466, 0xf0e89a98b5d911e6, 0x4f0bb71f7a628976}};

TEST_P(CodeProduct, BitsAreThoseOfEveryCpu) {
  for (const Bits& want : kBits) {
    const auto [N, O, I] = want.size;
    Operands a(on_, want.size);
    const TernaryWeight tiles{Tensor(on_, {O, I}, DType::t2), a.w.scale};
    pack_tiles(tiles.t, a.w.t);
    const Tensor y(on_, {N, O}, DType::f32), dx(on_, {N, I}, DType::f32),
        dw(on_, {O, I}, DType::f32);
    for (const TernaryWeight& w : {a.w, tiles}) {
      on_.fill(y, NAN);
      cpu::ternary_product(kernels(), {.y = y, .x = a.x, .w = w});
      EXPECT_EQ(hash_of(y), want.y) << N << ' ' << O << ' ' << I << ' ' << w.t.dtype();
    }
    cpu::ternary_product_backward(kernels(),
                                  {.dx = {dx}, .dw = {dw}, .dy = a.dy, .x = a.x, .w = a.w});
    EXPECT_EQ(hash_of(dx), want.dx) << N << ' ' << O << ' ' << I;
    EXPECT_EQ(hash_of(dw), want.dw) << N << ' ' << O << ' ' << I;
  }
}

TEST(CodeKernels, AreTheBestThatThisCpuHas) {
  const cpu::CodeKernels* best = nullptr;
  for (const auto kernels : {cpu::code_kernels_neon, cpu::code_kernels_avx2,
                             cpu::code_kernels_avx_vnni, cpu::code_kernels_avx512})
    if (kernels()) best = kernels();
  EXPECT_EQ(cpu::code_kernels(), best);
}

}  // namespace
}  // namespace tern
