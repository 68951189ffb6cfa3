// What of a device decides how its kernels divide their work.
#pragma once

namespace tern {

struct DeviceTraits {
  int multiprocessors = 0;  // 0: a CPU, whose kernels bring their own memory

  bool fp8 = false;  // its library multiplies 8-bit floats with a scale for each row

  bool is_gpu() const { return multiprocessors > 0; }
  static constexpr DeviceTraits h200() { return {.multiprocessors = 132, .fp8 = true}; }
};

}  // namespace tern
