// Rows of a table by number: exact, however the table is stored.
#include <gtest/gtest.h>

#include "core/backend.h"
#include "core/cpu/cpu_backend.h"
#include "core/rng.h"
#include "tests/cuda/gpu.h"

namespace tern {
namespace {

constexpr std::size_t kSlab = std::size_t(16) << 20;
constexpr Index kRows = 37, kIds = 300;

// (kIds, D) f32, of a table in f32, in bf16, or of codes that it is quantised to first
std::vector<double> rows(Backend& on, DType stored, Index D) {
  std::vector<double> values(std::size_t(kRows * D));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = Rng(3).normal(i);
  std::vector<std::int32_t> ids;
  for (Index n = 0; n < kIds; ++n) ids.push_back(std::int32_t(Rng(4).bits(n) % kRows));
  Tensor table(on, {kRows, D}, stored == DType::bf16 ? stored : DType::f32), row_scale;
  upload_real(table, values);
  if (stored == DType::i8) {
    const Quantized codes{.q = Tensor(on, {kRows, D}, DType::i8),
                          .row_scale = Tensor(on, {kRows}, DType::f32)};
    on.run(QuantizeRows{.y = codes, .x = table});
    table = codes.q, row_scale = codes.row_scale;
  }
  const Tensor y(on, {kIds, D}, DType::f32);
  on.run(Embedding{
      .y = y, .table = table, .row_scale = row_scale, .ids = upload_ids(on, {kIds}, ids)});
  return download_real(y);
}

class CudaEmbedding : public GpuTest {};

TEST_F(CudaEmbedding, HasTheCpusBits) {
  CpuBackend cpu(kSlab);
  for (const DType stored : {DType::f32, DType::bf16, DType::i8})
    for (const Index D : {1, 7, 64, 1026})
      EXPECT_EQ(rows(gpu(kSlab), stored, D), rows(cpu, stored, D)) << stored << ' ' << D;
}

}  // namespace
}  // namespace tern
