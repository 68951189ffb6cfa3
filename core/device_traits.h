// Properties of a device that determine how its kernels divide their work.
#pragma once

namespace tern {

struct DeviceTraits {
  int multiprocessors = 0;  // 0: a CPU, whose kernels bring their own memory

  bool fp8 = false;       // its library multiplies 8-bit floats with a scale for each row
  bool clusters = false;  // thread blocks can reach one another's shared memory
  int shared_bytes = 0;   // shared memory of a thread block, at most

  bool is_gpu() const { return multiprocessors > 0; }
  static constexpr DeviceTraits h200() {
    return {.multiprocessors = 132, .fp8 = true, .clusters = true, .shared_bytes = 227 << 10};
  }
};

}  // namespace tern
