#include "cuda/backend/host_memory.h"

#include <algorithm>
#include <cstring>

#include "cuda/common/check.h"

namespace tern::cuda {

Event::Event() {
  cuda_check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "[cuda] event");
}

Event::~Event() {
  if (!device_lost()) cudaEventDestroy(event_);
}

void Event::record(cudaStream_t stream) {
  cuda_check(cudaEventRecord(event_, stream), "[cuda] event");
}

void Event::wait() {
  cuda_check(cudaEventSynchronize(event_), "[cuda] waiting for the device");
}

void Event::make_stream_wait(cudaStream_t stream) {
  cuda_check(cudaStreamWaitEvent(stream, event_, 0), "[cuda] event");
}

PinnedMemory::PinnedMemory(std::size_t bytes) : size_(bytes) {
  void* made = nullptr;
  cuda_check(cudaMallocHost(&made, bytes), "[cuda] pinned host memory");
  data_ = static_cast<std::byte*>(made);
}

PinnedMemory::~PinnedMemory() {
  if (!device_lost()) cudaFreeHost(data_);
}

void UploadRing::upload(void* to_device, const void* from_host, std::size_t bytes,
                        cudaStream_t stream) {
  auto* to = static_cast<std::byte*>(to_device);
  const auto* from = static_cast<const std::byte*>(from_host);
  while (bytes > 0) {
    const std::size_t piece = std::min(bytes, kSlotBytes);
    std::byte* slot = memory_.data() + next_ * kSlotBytes;
    done_[next_].wait();
    std::memcpy(slot, from, piece);
    cuda_check(cudaMemcpyAsync(to, slot, piece, cudaMemcpyHostToDevice, stream), "[upload]");
    done_[next_].record(stream);
    next_ = (next_ + 1) % kSlots;
    to += piece, from += piece, bytes -= piece;
  }
}

struct SnapshotSlots::Slot {
  explicit Slot(std::size_t bytes) : memory(bytes) {}
  PinnedMemory memory;
  Event landed{};
};

class SnapshotSlots::PinnedSnapshot final : public Snapshot {
 public:
  PinnedSnapshot(SnapshotSlots& home, std::unique_ptr<Slot> slot, std::size_t bytes)
      : home_(home), slot_(std::move(slot)), bytes_(bytes) {}
  ~PinnedSnapshot() override { home_.free_.push_back(std::move(slot_)); }
  std::span<const std::byte> bytes() override {
    slot_->landed.wait();
    return {slot_->memory.data(), bytes_};
  }

 private:
  SnapshotSlots& home_;
  std::unique_ptr<Slot> slot_;
  std::size_t bytes_;
};

SnapshotSlots::SnapshotSlots() = default;
SnapshotSlots::~SnapshotSlots() = default;

std::unique_ptr<Snapshot> SnapshotSlots::take(const Tensor& of, cudaStream_t stream) {
  const auto fits = [&](const auto& slot) { return slot->memory.size() >= of.bytes(); };
  const auto found = std::find_if(free_.begin(), free_.end(), fits);
  std::unique_ptr<Slot> slot;
  if (found == free_.end()) {
    slot = std::make_unique<Slot>(std::max<std::size_t>(of.bytes(), 256));
  } else {
    slot = std::move(*found);
    free_.erase(found);
  }
  cuda_check(
      cudaMemcpyAsync(slot->memory.data(), of.raw(), of.bytes(), cudaMemcpyDeviceToHost, stream),
      "[snapshot]");
  slot->landed.record(stream);
  return std::make_unique<PinnedSnapshot>(*this, std::move(slot), of.bytes());
}

}  // namespace tern::cuda
