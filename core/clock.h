// The monotonic clock.
#pragma once

#include <chrono>

namespace tern {

// seconds, from an arbitrary origin
inline double monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace tern
