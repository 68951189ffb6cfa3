// Ternary codes at two bits and back: what ranks send each other of the matrices they own.
#include "cuda/backend/cuda_backend.h"
#include "cuda/common/device.cuh"

namespace tern {

using namespace cuda;

namespace {

constexpr int kThreads = 256;

// the lowest two bits of each of four bytes, side by side
__device__ inline unsigned pack_word(unsigned codes) {
  return (codes & 3) | (codes >> 6 & 0xc) | (codes >> 12 & 0x30) | (codes >> 18 & 0xc0);
}

// four bytes from four pairs of bits, the sign of each spread over its byte
__device__ inline unsigned unpack_word(unsigned byte) {
  const unsigned spread =
      (byte & 3) | (byte & 0xc) << 6 | (byte & 0x30) << 12 | (byte & 0xc0) << 18;
  return spread | (spread >> 1 & 0x01010101u) * 0xfcu;
}

// A thread owns 16 codes, read as one vector and written as one word: 1.25 bytes a code, which
// bounds it. Nothing is summed; reproducible.
__global__ void __launch_bounds__(kThreads)
    pack_codes(unsigned* packed, const uint4* codes, Index groups) {
  const Index i = Index(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= groups) return;
  const uint4 c = codes[i];
  packed[i] = pack_word(c.x) | pack_word(c.y) << 8 | pack_word(c.z) << 16 | pack_word(c.w) << 24;
}

// A thread owns a word and writes its 16 codes as one vector: 1.25 bytes a code, which bounds it.
// Nothing is summed; reproducible.
__global__ void __launch_bounds__(kThreads)
    unpack_codes(uint4* codes, const unsigned* packed, Index groups) {
  const Index i = Index(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= groups) return;
  const unsigned p = packed[i];
  codes[i] = {unpack_word(p & 0xff), unpack_word(p >> 8 & 0xff), unpack_word(p >> 16 & 0xff),
              unpack_word(p >> 24)};
}

Index groups_of(const Tensor& packed, const Tensor& t) {
  check(t.elements() % 16 == 0 && packed.elements() * 4 == t.elements() && aligned<16>(t.raw()) &&
            aligned<4>(packed.raw()),
        "[pack_ternary] expected four codes a byte and whole vectors of 16, got ", t, " and ",
        packed);
  return t.elements() / 16;
}

}  // namespace

void CudaBackend::run(const PackTernary& a) {
  const Index groups = groups_of(a.packed, a.t);
  if (groups == 0) return;
  pack_codes<<<blocks_for(groups, kThreads), kThreads, 0, stream_>>>(
      static_cast<unsigned*>(a.packed.raw()), static_cast<const uint4*>(a.t.raw()), groups);
  launched("[pack_ternary]");
}

void CudaBackend::run(const UnpackTernary& a) {
  const Index groups = groups_of(a.packed, a.t);
  if (groups == 0) return;
  unpack_codes<<<blocks_for(groups, kThreads), kThreads, 0, stream_>>>(
      static_cast<uint4*>(a.t.raw()), static_cast<const unsigned*>(a.packed.raw()), groups);
  launched("[unpack_ternary]");
}

}  // namespace tern
