// Rows as quotients: what their codes are over the scale, and as good as those for dW.
#include <gtest/gtest.h>

#include <cmath>

#include "core/cpu/cpu_backend.h"
#include "core/dry/dry_backend.h"
#include "tests/support/row_forms.h"

namespace tern {
namespace {

template <class R>
void expect_quotients(Index N, Index D) {
  CpuBackend cpu(std::size_t(16) << 20);
  for (const RowForms& y : row_forms(cpu, dtype_of<R>, dtype_of<R>, N, D))
    for (std::size_t i = 0; i < y.codes.size(); ++i) {
      const std::size_t n = i / std::size_t(D);
      if (n == 2) {  // not finite
        ASSERT_TRUE(std::isnan(y.quotients[i]) && std::isnan(y.scale_beside_quotients[n]));
        continue;
      }
      ASSERT_EQ(y.scale_beside_quotients[n], y.scale[n]) << y.kernel << " row " << n;
      ASSERT_EQ(y.quotients[i], double(R(y.codes[i]) / R(y.scale[n]))) << y.kernel << ' ' << i;
    }
}

TEST(Quotients, AreCodesOverTheirScale) {
  for (const auto& [N, D] : {std::pair<Index, Index>{1, 1}, {5, 19}, {67, 48}}) {
    expect_quotients<float>(N, D);
    expect_quotients<double>(N, D);
  }
}

// q = (-2, 4, 6) over 2 and (3, 1, 0) over 4, dy = (1, 2)^T: dw = (-1, 2, 3) + 2 (0.75, 0.25, 0)
TEST(Quotients, StandForCodesInDw) {
  for (const DType real : {DType::f32, DType::f64})
    for (const bool codes : {true, false}) {
      CpuBackend cpu(std::size_t(1) << 20);
      const auto uploaded = [&](const Shape& shape, const std::vector<double>& values) {
        const Tensor t(cpu, shape, real);
        upload_real(t, values);
        return t;
      };
      Tensor q = uploaded({2, 3}, {-1, 2, 3, 0.75, 0.25, 0});
      if (codes) {
        q = Tensor(cpu, {2, 3}, DType::i8);
        cpu.upload(q, std::vector<std::int8_t>{-2, 4, 6, 3, 1, 0}.data());
      }
      const Tensor t(cpu, {1, 3}, DType::i8), dx = uploaded({2, 3}, std::vector<double>(6, 9)),
                                              dw = uploaded({1, 3}, {10, 20, 30});
      cpu.upload(t, std::vector<std::int8_t>{1, 0, -1}.data());
      cpu.run(TernaryProductBackward{.dx = {dx},
                                     .dw = {.to = dw, .add = true},
                                     .dy = uploaded({2, 1}, {1, 2}),
                                     .x = {.q = q, .row_scale = uploaded({2}, {2, 4})},
                                     .w = {.t = t, .scale = uploaded({1}, {0.5})}});
      EXPECT_EQ(download_real(dw), (std::vector<double>{10.5, 22.5, 33})) << real << codes;
      EXPECT_EQ(download_real(dx), (std::vector<double>{2, 0, -2, 4, 0, -4})) << real << codes;
    }
}

// On a GPU codes are first copied to bf16, some rows at a time.
TEST(Quotients, NeedNoWorkspace) {
  DryBackend dry(DeviceTraits::h200());
  const Index N = 1000, O = 16, I = 8 * 1024;
  const auto bytes = [&](DType q) {
    const Tensor dw(dry, {O, I}, DType::f32), t(dry, {O, I}, DType::i8);
    return workspace_bytes(
        TernaryProductBackward{.dw = {dw},
                               .dy = Tensor(dry, {N, O}, DType::bf16),
                               .x = {.q = Tensor(dry, {N, I}, q), .row_scale = {}},
                               .w = {.t = t, .scale = {}}},
        dry.traits());
  };
  EXPECT_EQ(bytes(DType::i8) - bytes(DType::bf16), std::size_t(2 * N * I));
  EXPECT_EQ(bytes(DType::bf16), kLibraryWorkspace + kFactorBytes);
}

}  // namespace
}  // namespace tern
