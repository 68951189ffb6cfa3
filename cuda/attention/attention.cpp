// Which kernel computes attention: the vendor's library, or those of this folder.
#include "cuda/attention/attention_kernels.h"
#include "cuda/attention/attention_library.h"
#include "cuda/backend/cuda_backend.h"
#include "cuda/common/dispatch.h"

namespace tern {

using namespace cuda;

namespace {

// What the library can start at. Rows of a model's tensors are whole multiples of 16 bytes.
template <class... Tensors>
bool aligned_all(const Tensors&... tensors) {
  return (aligned<16>(tensors.raw()) && ...);
}

bool library_forward(const Attention& a, AttentionLibrary& library, const Tensor& memory) {
  if (!aligned_all(a.out, a.qkv)) return false;
  const AttentionPart all{.sequences = a.out.shape()[0],
                          .heads = a.heads,
                          .T = a.out.shape()[1],
                          .d = a.out.shape()[2] / a.heads,
                          .row_heads = a.heads};
  return library.forward(all, a.out.raw(), data_or_null<float>(a.log_sum), a.qkv.raw(),
                         memory.raw(), memory.bytes());
}

// Part by part; if it refuses one, the plain kernels compute all of them again.
bool library_backward(const AttentionBackward& a, AttentionLibrary& library, const Tensor& memory) {
  if (!aligned_all(a.dqkv.to, a.dout, a.out, a.qkv)) return false;
  const Index B = a.dout.shape()[0], T = a.dout.shape()[1], D = a.dout.shape()[2], d = D / a.heads;
  const AttentionParts parts = attention_parts(a);
  for (Index b = 0; b < B; b += parts.sequences)
    for (Index h = 0; h < a.heads; h += parts.heads) {
      const AttentionPart part{.sequences = std::min(parts.sequences, B - b),
                               .heads = std::min(parts.heads, a.heads - h),
                               .T = T,
                               .d = d,
                               .row_heads = a.heads};
      const Index row = b * T * D + h * d, packed = b * T * 3 * D + h * d;
      if (!library.backward(part, a.dqkv.to.data<bf16>() + packed, a.dout.data<bf16>() + row,
                            a.out.data<bf16>() + row,
                            a.log_sum.data<float>() + (b * a.heads + h) * T,
                            a.qkv.data<bf16>() + packed, memory.raw(), memory.bytes()))
        return false;
    }
  return true;
}

}  // namespace

void CudaBackend::run(const Attention& a) {
  if (a.out.elements() == 0) return;
  const Tensor memory = workspace(a);
  if (library_attention(a, traits_) && library_forward(a, *attention_, memory)) return;
  if (!is_few_steps(a)) return plain_attention(a, stream_);
  attention_of_few_steps(a, key_splits(a, traits_),
                         memory ? static_cast<float*>(memory.raw()) : nullptr, stream_);
}

void CudaBackend::run(const AttentionBackward& a) {
  if (a.dout.elements() == 0) return;
  const Tensor memory = workspace(a);
  if (library_attention(a, traits_) && library_backward(a, *attention_, memory)) return;
  plain_attention_backward(a, static_cast<float*>(memory.raw()), stream_);
}

}  // namespace tern
