// Attention on the GPU: behind a cache, and by the vendor's library beside the plain kernels.
#include "core/cpu/cpu_backend.h"
#include "core/rng.h"
#include "core/workspace.h"
#include "cuda/attention/attention_kernels.h"
#include "tests/cuda/gpu.h"
#include "tests/support/op_case.h"
#include "tests/support/tolerances.h"

namespace tern {
namespace {

constexpr std::size_t kSlab = std::size_t(4) << 30;

Values random_values(Index size, std::uint64_t stream) {
  const Rng rng(7, stream);
  Values values(std::size_t(size), 0);
  for (Index i = 0; i < size; ++i) values[std::size_t(i)] = 4 * rng.uniform(std::uint64_t(i)) - 2;
  return rounded_to_bf16(values);
}

Tensor uploaded(Backend& on, const Shape& shape, DType dtype, std::uint64_t stream) {
  const Tensor t(on, shape, dtype);
  upload_real(t, random_values(shape.elements(), stream));
  return t;
}

struct Size {
  Index B, T, heads, d;
  Index D() const { return heads * d; }
};

// out and log_sum of T steps behind `seen` ones, which come from a longer sequence's cache
std::vector<Values> behind_cache(Backend& on, DType dtype, const Size& s, Index seen) {
  const Index C = seen + s.T + 3;
  const Tensor earlier(on, {s.B, C, 2 * s.D()}, dtype);
  on.fill(earlier, 1e30);  // what is not stored does not count
  on.run(StoreKeysValues{
      .cache = earlier, .qkv = uploaded(on, {s.B, seen, 3 * s.D()}, dtype, 1), .at = 0});
  const Tensor out(on, {s.B, s.T, s.D()}, dtype),
      log_sum(on, {s.B, s.heads, s.T}, accumulator(dtype));
  const Tensor qkv = uploaded(on, {s.B, s.T, 3 * s.D()}, dtype, 2);
  on.run(Attention{.out = out,
                   .log_sum = log_sum,
                   .qkv = qkv,
                   .earlier = earlier,
                   .seen = seen,
                   .heads = s.heads});
  on.run(StoreKeysValues{.cache = earlier, .qkv = qkv, .at = seen});
  return {download_real(out), download_real(log_sum), download_real(earlier)};
}

class CudaAttention : public GpuTest {};

TEST_F(CudaAttention, BehindACacheAgreesWithTheCpu) {
  CpuBackend cpu(kSlab);
  for (const Size& s : {Size{2, 1, 3, 6}, Size{1, 1, 8, 128}, Size{3, 5, 2, 64}, Size{1, 5, 1, 7},
                        Size{1, 5, 2, 300}, Size{2, 70, 2, 64}, Size{1, 9, 1, 33}})
    for (const Index seen : {1, 7, 300, 1100}) {
      const auto want = behind_cache(cpu, DType::f64, s, seen);
      for (const DType dtype : {DType::f32, DType::bf16}) {
        const auto got = behind_cache(gpu(kSlab), dtype, s, seen);
        const double tolerance =
            dtype == DType::f32 ? tolerance::kSinglePrecision : tolerance::kHalfPrecision;
        for (std::size_t i = 0; i < got.size(); ++i)
          EXPECT_LE(relative_error(got[i], want[i]), tolerance)
              << dtype << " output " << i << ": B " << s.B << " T " << s.T << " heads " << s.heads
              << " d " << s.d << " seen " << seen;
        EXPECT_EQ(behind_cache(gpu(kSlab), dtype, s, seen), got);
      }
    }
}

// Both passes with and without the library, on the same tensors.
struct BothWays {
  BothWays(CudaBackend& on, const Size& s)
      : qkv(uploaded(on, {s.B, s.T, 3 * s.D()}, DType::bf16, 3)),
        dout(uploaded(on, {s.B, s.T, s.D()}, DType::bf16, 4)),
        out(on, {s.B, s.T, s.D()}, DType::bf16),
        log_sum(on, {s.B, s.heads, s.T}, DType::f32),
        dqkv(on, {s.B, s.T, 3 * s.D()}, DType::bf16),
        e(on, {s.B, s.heads, s.T}, DType::f32),
        heads(s.heads) {}
  Attention forward() const { return {.out = out, .log_sum = log_sum, .qkv = qkv, .heads = heads}; }
  AttentionBackward backward() const {
    return {
        .dqkv = {dqkv}, .dout = dout, .out = out, .log_sum = log_sum, .qkv = qkv, .heads = heads};
  }
  template <class F>
  std::vector<Values> results(CudaBackend& on, F&& run) const {
    for (const Tensor& t : {out, log_sum, dqkv}) on.fill(t, std::nan(""));
    run();
    return {download_real(out), download_real(log_sum), download_real(dqkv)};
  }
  Tensor qkv, dout, out, log_sum, dqkv, e;
  Index heads;
};

TEST_F(CudaAttention, TheLibraryAgreesWithThePlainKernels) {
  CudaBackend& on = gpu(kSlab);
  if (!on.traits().attention_library) GTEST_SKIP() << "no library for attention here";
  const auto stream = static_cast<cudaStream_t>(on.stream());
  for (const Size& s :
       {Size{2, 64, 3, 64}, Size{3, 65, 2, 8}, Size{2, 130, 5, 128}, Size{1, 1000, 2, 128},
        Size{2, 256, 4, 80}, Size{13, 2048, 20, 8},  // parts of seven sequences, then six
        Size{1, 8192, 20, 8},                        // parts of ten heads
        Size{2, 2048, 3, 120}}) {
    const BothWays all(on, s);
    ASSERT_TRUE(library_attention(all.forward(), on.traits()));
    ASSERT_TRUE(library_attention(all.backward(), on.traits()));
    const auto plain = all.results(on, [&] {
      cuda::plain_attention(all.forward(), stream);
      cuda::plain_attention_backward(all.backward(), all.e.data<float>(), stream);
    });
    const auto library = [&] {
      return all.results(on, [&] {
        on.run(all.forward());
        on.run(all.backward());
      });
    };
    const auto got = library();
    for (std::size_t i = 0; i < got.size(); ++i)
      EXPECT_LE(relative_error(got[i], plain[i]), i == 1 ? 1e-4 : tolerance::kHalfPrecision)
          << "output " << i << ": B " << s.B << " T " << s.T << " heads " << s.heads << " d "
          << s.d;
    EXPECT_EQ(library(), got) << "a second time";
  }
}

}  // namespace
}  // namespace tern
