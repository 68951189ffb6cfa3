// Pinned host memory between the program and the device's stream, so that neither waits for the
// other: what is uploaded passes through a ring, what is read back lands in slots kept for reuse.
// And the device's clock.
#pragma once

#include <cuda_runtime_api.h>

#include "core/backend.h"

namespace tern::cuda {

// Marks a point of a stream.
class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(cudaStream_t stream);
  void wait();                                 // the host's thread, until the stream has got there
  void make_stream_wait(cudaStream_t stream);  // later work of `stream` waits

 private:
  cudaEvent_t event_ = nullptr;
};

// Host memory that the device copies from and to by itself.
class PinnedMemory {
 public:
  explicit PinnedMemory(std::size_t bytes);
  ~PinnedMemory();
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;
  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_;
};

// Uploads in pieces, each through the next slot; the host waits only for a slot that is still on
// its way from kSlots pieces ago.
class UploadRing {
 public:
  void upload(void* to_device, const void* from_host, std::size_t bytes, cudaStream_t stream);

 private:
  static constexpr std::size_t kSlots = 16, kSlotBytes = std::size_t(1) << 20;
  PinnedMemory memory_{kSlots * kSlotBytes};
  std::array<Event, kSlots> done_{};
  std::size_t next_ = 0;
};

// Where snapshots land. Slots are made on first use, and used again once their snapshot is gone.
class SnapshotSlots {
 public:
  SnapshotSlots();
  ~SnapshotSlots();
  std::unique_ptr<Snapshot> take(const Tensor& of, cudaStream_t stream);

 private:
  struct Slot;
  class PinnedSnapshot;
  std::vector<std::unique_ptr<Slot>> free_;
};

// The device's clock.
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
