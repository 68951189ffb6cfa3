// Buffers on the GPU that notice writes beyond their end, random contents, comparisons.
#pragma once

#include <algorithm>
#include <vector>

#include "cuda/common/device.cuh"

namespace tern::cuda {

constexpr std::size_t kGuard = 4096;  // bytes behind every buffer that nobody may touch
constexpr int kPoison = 0xee;

template <class T>
class Buffer {
 public:
  explicit Buffer(std::size_t count) : bytes_(count * sizeof(T)) {
    cuda_check(cudaMalloc(&data_, bytes_ + kGuard), "[product_check] buffer");
    poison();
  }
  ~Buffer() { cudaFree(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* get() const { return static_cast<T*>(data_); }
  void poison() const { cuda_check(cudaMemset(data_, kPoison, bytes_ + kGuard), "[poison]"); }
  std::vector<T> host(std::size_t first, std::size_t count) const {
    std::vector<T> to(count);
    cuda_check(cudaMemcpy(to.data(), get() + first, count * sizeof(T), cudaMemcpyDeviceToHost),
               "[download]");
    return to;
  }
  bool guarded() const {
    std::vector<unsigned char> guard(kGuard);
    cuda_check(cudaMemcpy(guard.data(), static_cast<unsigned char*>(data_) + bytes_, kGuard,
                          cudaMemcpyDeviceToHost),
               "[guard]");
    return std::all_of(guard.begin(), guard.end(), [](int b) { return b == kPoison; });
  }

 private:
  void* data_ = nullptr;
  std::size_t bytes_;
};

__device__ inline unsigned hash(std::size_t i, unsigned seed) {
  unsigned x = unsigned(i) * 2654435761u ^ unsigned(i >> 32) * 0x85ebca6bu ^ seed * 0xc2b2ae35u;
  x = (x ^ x >> 16) * 0x7feb352du;
  x = (x ^ x >> 15) * 0x846ca68bu;
  return x ^ x >> 16;
}
// codes in [-most, most]
static __global__ void fill(std::int8_t* to, std::size_t count, int most, unsigned seed) {
  const std::size_t i = std::size_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) to[i] = std::int8_t(int(hash(i, seed) % unsigned(2 * most + 1)) - most);
}
// reals in [low, high)
template <class T>
__global__ void fill(T* to, std::size_t count, float low, float high, unsigned seed) {
  const std::size_t i = std::size_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) to[i] = from_float<T>(low + (high - low) * float(hash(i, seed)) * 0x1p-32f);
}
template <class T>
__global__ void count_differences(const T* a, const T* b, std::size_t words, unsigned* count) {
  const std::size_t i = std::size_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < words && a[i] != b[i]) atomicAdd(count, 1u);
}
// squares of a - b and of b, block by block
template <class T>
__global__ void square(const T* a, const float* b, std::size_t count, double* sums) {
  double difference = 0, size = 0;
  for (std::size_t i = std::size_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += std::size_t(gridDim.x) * blockDim.x) {
    const double d = double(to_float(a[i])) - double(b[i]);
    difference += d * d;
    size += double(b[i]) * double(b[i]);
  }
  atomicAdd(&sums[0], difference);
  atomicAdd(&sums[1], size);
}

inline int blocks(std::size_t count) {
  return int((count + 255) / 256);
}

}  // namespace tern::cuda
