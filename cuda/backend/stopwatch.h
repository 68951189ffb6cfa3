// The device's clock.
#pragma once

#include <cuda_runtime_api.h>

namespace tern::cuda {

class TimedEvent {
 public:
  TimedEvent();
  ~TimedEvent();
  TimedEvent(const TimedEvent&) = delete;
  TimedEvent& operator=(const TimedEvent&) = delete;
  void record(cudaStream_t stream) const;
  void wait() const;                                    // the host's thread, until it is reached
  double seconds_until(const TimedEvent& later) const;  // once both have been reached

 private:
  cudaEvent_t event_ = nullptr;
};

// Occupies the stream for as long as the host takes to launch a few kernels, so that the device
// finds them waiting and the time between two events is its own.
void keep_busy(cudaStream_t stream);

// Occupies it until the process ends.
void spin_for_ever(cudaStream_t stream);

}  // namespace tern::cuda
