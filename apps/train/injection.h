// Faults that tests provoke in a real run: --inject KIND:step=N.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace tern {

// device-error:step=N   step N, counted from 1, gets a token id outside the vocabulary, past every
//                       check: on a GPU a kernel reads where nothing is
struct Injection {
  std::int64_t device_error_step = 0;  // 0: never

  // Fault::usage for anything but the above, or "": nothing; and for a device error without a GPU,
  // where it would end the process
  static Injection parse(const std::string& text, bool gpu);
  void apply(std::int64_t step, std::span<std::int32_t> tokens) const;
};

}  // namespace tern
