// Checks the products on a GPU: the Hopper kernel against the plain one, bit for bit, both against
// sampled dot products on the host, and the kernel for few rows and two-bit weights likewise; dx
// and dw through the library against the plain f32 kernel; nothing written beyond an output.
// "product_check small" leaves the model's sizes out. Times are the business of `tern bench gemm`.
#include <cstdio>
#include <cstring>
#include <random>

#include "core/ternary_tiles.h"
#include "cuda/products/product_kernels.h"
#include "cuda/products/ternary_product.cuh"
#include "tests/cuda/product_check.cuh"

namespace {

using namespace tern;
using namespace tern::cuda;

// the exact sum of one element, scaled as the kernels must
template <class A>
bool element_is_right(const Operands& in, const Buffer<A>& y, const Size& s, int n, int o) {
  const auto q = in.q.host(std::size_t(n) * s.I, s.I), t = in.t.host(std::size_t(o) * s.I, s.I);
  long sum = 0;
  for (int i = 0; i < s.I; ++i) sum += long(q[i]) * t[i];
  const float factor = in.row_scale.host(n, 1)[0] * in.scale.host(0, 1)[0];
  const float want = std::is_same_v<A, float> ? float(sum) / factor : float(sum) * (1.0f / factor);
  const float got = as_float(y.host(std::size_t(n) * s.O + o, 1)[0]);
  if constexpr (std::is_same_v<A, bf16>) return got == __bfloat162float(__float2bfloat16_rn(want));
  return got == want;
}

// The bits of y, and nothing beyond.
template <class A>
void check_same(const Buffer<A>& y, const Buffer<A>& plain, std::size_t count, const char* what,
                const Size& s) {
  using Word = std::conditional_t<std::is_same_v<A, float>, unsigned, unsigned short>;
  const Buffer<unsigned> differences(1);
  cuda_check(cudaMemset(differences.get(), 0, sizeof(unsigned)), "[differences]");
  count_differences<<<blocks(count), 256>>>(reinterpret_cast<const Word*>(plain.get()),
                                            reinterpret_cast<const Word*>(y.get()), count,
                                            differences.get());
  launched("[count_differences]");
  const unsigned wrong = differences.host(0, 1)[0];
  if (wrong) std::printf("        %u of %zu elements differ\n", wrong, count);
  report(wrong == 0, what, s);
  report(y.guarded(), what, s);
}

template <class A>
void check_tiles(const Operands& in, const Buffer<A>& plain, const Size& s) {
  const std::vector<std::int8_t> t = in.t.host(0, std::size_t(s.O) * s.I);
  std::vector<TernaryTile> packed(std::size_t(tiles_of(s.O, s.I)));
  pack_tiles(packed.data(), t.data(), s.O, s.I);
  const Buffer<TernaryTile> tiles(packed.size());
  cuda_check(cudaMemcpy(tiles.get(), packed.data(), packed.size() * sizeof(TernaryTile),
                        cudaMemcpyHostToDevice),
             "[tiles]");
  const std::size_t count = std::size_t(s.N) * s.O;
  const Buffer<A> y(count);
  IntegerProduct<A> product = in.into(y, s);
  product.t = reinterpret_cast<const std::int8_t*>(tiles.get());
  ternary_product_tiles(product, nullptr);
  cuda_check(cudaDeviceSynchronize(), "[tiles]");
  check_same(y, plain, count, "kernel for few rows against the plain kernel", s);
}

template <class A>
void check_forward(const Operands& in, const Size& s, int multiprocessors) {
  const std::size_t count = std::size_t(s.N) * s.O;
  const Buffer<A> plain(count), other(count);
  ternary_product_plain(in.into(plain, s), nullptr);
  cuda_check(cudaDeviceSynchronize(), "[plain]");
  std::mt19937 random(7);
  for (int k = 0; k < 24; ++k) {
    const int n = k == 0 ? s.N - 1 : int(random() % s.N),
              o = k == 0 ? s.O - 1 : int(random() % s.O);
    report(element_is_right(in, plain, s, n, o), "plain kernel against the host", s);
  }
  report(plain.guarded(), "plain kernel wrote beyond y", s);
  if (s.N <= 256 && s.I % 64 == 0) check_tiles(in, plain, s);
  if (!hopper_product_fits(in.into(other, s))) return;
  for (const int cluster : {1, 2, 2}) {
    other.poison();
    ternary_product_hopper(in.into(other, s), multiprocessors, nullptr, cluster);
    cuda_check(cudaDeviceSynchronize(), "[hopper]");
    check_same(other, plain, count,
               cluster == 1 ? "Hopper kernel, blocks alone, against the plain kernel"
                            : "Hopper kernel, pairs of blocks, against the plain kernel",
               s);
  }
}

void check_size(const Size& s, int multiprocessors, bool real) {
  const Operands in(s);
  check_forward<bf16>(in, s, multiprocessors);
  check_forward<float>(in, s, multiprocessors);
  check_backward(in, s, real);
}

}  // namespace

int main(int count, char** words) try {
  const bool small = count > 1 && !std::strcmp(words[1], "small");
  cudaDeviceProp device{};
  cuda_check(cudaGetDeviceProperties(&device, 0), "[product_check] device");
  std::printf("%s, %d multiprocessors\n", device.name, device.multiProcessorCount);
  const Size odd[] = {{"odd", 1, 8, 16},         {"odd", 5, 7, 13},       {"odd", 33, 65, 100},
                      {"odd", 127, 136, 48},     {"odd", 129, 264, 144},  {"odd", 64, 24, 4096},
                      {"odd", 300, 8, 16},       {"odd", 257, 520, 128},  {"odd", 256, 256, 256},
                      {"odd", 1000, 1000, 1008}, {"odd", 999, 1032, 520}, {"odd", 4097, 264, 2832},
                      {"odd", 5000, 4104, 400},  {"odd", 70, 3000, 1040}};
  const Size few[] = {{"few", 1, 1024, 1024},  {"few", 7, 1000, 64},   {"few", 9, 33, 2816},
                      {"few", 32, 512, 512},   {"few", 33, 2003, 960}, {"few", 64, 5632, 1024},
                      {"few", 256, 1024, 6912}};
  for (const Size& s : odd) check_size(s, device.multiProcessorCount, false);
  for (const Size& s : few) check_size(s, device.multiProcessorCount, false);
  std::printf("%zu small and odd sizes: %d failures\n", std::size(odd) + std::size(few), failures);
  const int D[] = {1024, 2048, 2560}, H[] = {2816, 5632, 6912}, N = 16384;
  for (int k = 0; k < 3 && !small; ++k) {
    check_size({"D -> D", N, D[k], D[k]}, device.multiProcessorCount, true);
    check_size({"D -> 2H", N, 2 * H[k], D[k]}, device.multiProcessorCount, true);
    check_size({"H -> D", N, D[k], H[k]}, device.multiProcessorCount, true);
  }
  std::printf(failures ? "%d FAILURES\n" : "all good\n", failures);
  return failures ? 1 : 0;
} catch (const std::exception& error) {
  std::printf("FAILED  %s\n", error.what());
  return 1;
}
