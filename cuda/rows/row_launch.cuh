// Which layout a kernel over rows gets, and its launch.
#pragma once

#include "cuda/rows/row_layout.cuh"

namespace tern::cuda {

// Whether rows of D elements can be read four elements at a time in all of these (or nothing).
template <class... Tensors>
bool in_fours(Index D, const Tensors&... tensors) {
  const auto one = [](const Tensor& t) {
    return !t || reinterpret_cast<std::uintptr_t>(t.raw()) % (bits(t.dtype()) / 2) == 0;
  };
  return D % 4 == 0 && (one(tensors) && ...);
}

// bytes of shared memory that a block may ask for, less a little for its fixed arrays
inline std::size_t staging_limit() {
  int device = 0, bytes = 0;
  cuda_check(cudaGetDevice(&device), "[rows] device");
  cuda_check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
             "[rows] shared memory");
  return std::size_t(bytes) - 2048;
}

// f.operator()<Layout>(): Preferred if the rows and `staging` bytes of a walk fit
template <class Preferred, class F>
void visit_layout(const char* kernel, Index D, bool fours, std::size_t staging, F&& f) {
  if (fours && D <= Preferred::widest && (staging == 0 || staging <= staging_limit()))
    return f.template operator()<Preferred>();
  if (fours && D <= WideRow::widest) return f.template operator()<WideRow>();
  check(D <= ScalarRow::widest, kernel, ": expected rows of at most ", WideRow::widest,
        " elements, or ", ScalarRow::widest,
        " where they are not multiples of four or not aligned to four, got ", D);
  f.template operator()<ScalarRow>();
}

template <class Task>
void launch_rows(const char* name, void (*kernel)(Task), const Task& task, Index blocks,
                 int threads, std::size_t staging, cudaStream_t stream) {
  if (blocks == 0) return;
  if (staging > 40 << 10)
    cuda_check(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(staging)),
        name);
  kernel<<<blocks_for(blocks, 1), threads, staging, stream>>>(task);
  launched(name);
}

}  // namespace tern::cuda
