// Attention by the vendor's library, cuDNN, a plugin of its own (lib/libtern_cudnn.so): built where
// its headers are, used where the library is installed.
#pragma once

#include <cuda_runtime_api.h>

#include <compare>
#include <cstdint>
#include <memory>
#include <string>

namespace tern::cuda {

// Some heads of some sequences of tensors whose rows hold row_heads heads, in bf16; D is row_heads
// * d. Several sequences come with all heads.
struct AttentionPart {
  std::int64_t sequences = 0, heads = 0, T = 0, d = 0, row_heads = 0;
  auto operator<=>(const AttentionPart&) const = default;
};

// Both return false if the library has no plan for that part with so much workspace; a line on
// stderr says so once. A part's first call makes the plan. The same bits for the same inputs.
class AttentionLibrary {
 public:
  virtual ~AttentionLibrary() = default;
  // out (sequences, T, D), log_sum (sequences, heads, T) f32 or null, qkv (sequences, T, 3D), as
  // core/kernels/attention.h has them; pointers are to the first head
  virtual bool forward(const AttentionPart& part, void* out, float* log_sum, const void* qkv,
                       void* workspace, std::size_t bytes) = 0;
  virtual bool backward(const AttentionPart& part, void* dqkv, const void* dout, const void* out,
                        const float* log_sum, const void* qkv, void* workspace,
                        std::size_t bytes) = 0;
};

class AttentionPlugin {
 public:
  virtual ~AttentionPlugin() = default;
  virtual int version() = 0;  // 91900: 9.19.0
  // for the current device
  virtual std::unique_ptr<AttentionLibrary> open(cudaStream_t stream) = 0;
};

struct OpenedAttention {
  AttentionPlugin* library = nullptr;  // null: not usable
  std::string about{};                 // "cuDNN 9.19.0", or "plain kernels: " and why
};
// For the current device. The library is looked for as $TERN_CUDNN, a file or a folder, if that is
// set; else where the system's loader looks.
OpenedAttention open_attention_library();

}  // namespace tern::cuda

// What libtern_cudnn.so exports; lives as long as the program.
extern "C" tern::cuda::AttentionPlugin* tern_attention_plugin();
