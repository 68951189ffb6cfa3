#include "cuda/backend/host_memory.h"
#include "cuda/common/check.h"
#include "cuda/common/dispatch.h"

namespace tern::cuda {
namespace {

constexpr unsigned long long kBusyNanoseconds = 40'000;

__device__ unsigned long long nanoseconds() {
  unsigned long long now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  return now;
}

// One thread waits. Moves and sums nothing.
__global__ void wait_a_little() {
  const unsigned long long start = nanoseconds();
  while (nanoseconds() - start < kBusyNanoseconds) __nanosleep(1000);
}

// One thread: the clock never reaches the last nanosecond.
__global__ void wait_for_ever() {
  while (nanoseconds() != ~0ull) __nanosleep(1'000'000);
}

}  // namespace

TimedEvent::TimedEvent() {
  cuda_check(cudaEventCreate(&event_), "[cuda] event");
}

TimedEvent::~TimedEvent() {
  if (!device_lost()) cudaEventDestroy(event_);
}

void TimedEvent::record(cudaStream_t stream) const {
  cuda_check(cudaEventRecord(event_, stream), "[cuda] event");
}

void TimedEvent::wait() const {
  cuda_check(cudaEventSynchronize(event_), "[cuda] waiting for the device");
}

double TimedEvent::seconds_until(const TimedEvent& later) const {
  float milliseconds = 0;
  cuda_check(cudaEventElapsedTime(&milliseconds, event_, later.event_), "[cuda] elapsed time");
  return double(milliseconds) * 1e-3;
}

void keep_busy(cudaStream_t stream) {
  wait_a_little<<<1, 1, 0, stream>>>();
  launched("[keep_busy]");
}

void spin_for_ever(cudaStream_t stream) {
  wait_for_ever<<<1, 1, 0, stream>>>();
  launched("[spin_for_ever]");
}

}  // namespace tern::cuda
