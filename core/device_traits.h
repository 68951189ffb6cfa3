// Properties of a device that determine how its kernels divide their work.
#pragma once

#include <cstdint>

namespace tern {

// GPU kernels over rows hold a row in registers, four elements at a time or, where it is no
// multiple of four, one at a time: so many elements at most. (cuda/rows/row_layout.cuh)
inline constexpr std::int64_t kGpuRow = 32'768, kGpuOddRow = 8'192;
// Codes are multiplied sixteen at a time by the fast kernels.
// (cuda/products/ternary_product_plain.cu)
inline constexpr std::int64_t kGpuCodes = 16;

struct DeviceTraits {
  int multiprocessors = 0;  // 0: a CPU, whose kernels bring their own memory

  bool fp8 = false;                // its library multiplies 8-bit floats with a scale for each row
  bool clusters = false;           // thread blocks can reach one another's shared memory
  int shared_bytes = 0;            // shared memory of a thread block, at most
  bool attention_library = false;  // the vendor's library computes causal attention

  bool is_gpu() const { return multiprocessors > 0; }
  // Whether kernels over rows take rows of so many elements.
  bool takes_row(std::int64_t columns) const {
    return !is_gpu() || columns <= (columns % 4 == 0 ? kGpuRow : kGpuOddRow);
  }
  static constexpr DeviceTraits h200() {
    return {.multiprocessors = 132,
            .fp8 = true,
            .clusters = true,
            .shared_bytes = 227 << 10,
            .attention_library = true};
  }
};

}  // namespace tern
