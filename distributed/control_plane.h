// What the ranks of a run agree on beside tensors: that they belong together, what to do after a
// step, and that they are alive. All over TCP, through rank 0.
#pragma once

#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

#include "core/communicator.h"
#include "data/checkpoint/manifest.h"
#include "distributed/failure_detector.h"
#include "distributed/rendezvous.h"

namespace tern {

using Bytes = std::vector<std::byte>;

// The most that ranks say at a time is what each saved of a checkpoint: together its manifest,
// which is no longer than this, and each behind its length.
inline constexpr std::size_t kMostAgreedBytes = 2 * kMaxManifestBytes;

class ControlPlane final : public WaitMonitor {
 public:
  // Waits for all ranks; errors as meet(). A single rank opens no connection.
  ControlPlane(const RankPlace& place, const Identity& identity, Rendezvous how,
               DetectorOptions options);

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool first() const { return rank_ == 0; }

  // Every rank's bytes, by rank, on every rank; at most kMostAgreedBytes together. Errors as
  // Watch::poll().
  std::vector<Bytes> agree(std::span<const std::byte> mine);
  // The same on rank 0 alone; empty elsewhere.
  std::vector<Bytes> to_first(std::span<const std::byte> mine);
  // rank 0's text on every rank
  std::string from_first(const std::string& text);
  template <class Value>  // every rank's value, by rank
  std::vector<Value> agree_on(const Value& mine);

  // For communicators: errors as Watch::poll().
  void begin() override;
  void poll() override;
  void end() noexcept override;
  void send(int to, FrameKind kind, std::span<const std::byte> bytes);  // to rank 0, or from it
  Bytes receive(int from, FrameKind kind);

  double seconds_waited() const { return watch_ ? watch_->seconds_waited() : 0; }
  Watch* watch() { return watch_.get(); }  // null for one rank alone

 private:
  Connection& link(int rank);
  std::vector<Bytes> gather(std::span<const std::byte> mine);  // on rank 0
  void send_message(int to, std::span<const std::byte> bytes);
  Bytes receive_message(int from);

  int rank_, size_;
  std::vector<Connection> loop_{};
  std::uint32_t sequence_ = 0;  // of operations: a rank that is out of step is noticed
  std::unique_ptr<Watch> watch_{};
};

// The device is given work while this lives: see Watch::begin_work.
class DeviceWork {
 public:
  DeviceWork(ControlPlane& on, const Pool& pool) : watch_(on.watch()) {
    if (watch_) watch_->begin_work(pool);
  }
  ~DeviceWork() {
    if (watch_) watch_->end_work();
  }
  DeviceWork(const DeviceWork&) = delete;
  DeviceWork& operator=(const DeviceWork&) = delete;

 private:
  Watch* watch_;
};

template <class Value>
std::vector<Value> ControlPlane::agree_on(const Value& mine) {
  static_assert(std::is_trivially_copyable_v<Value>);
  std::vector<Value> out;
  for (const Bytes& bytes : agree(std::as_bytes(std::span(&mine, 1)))) {
    check(bytes.size() == sizeof(Value), "[ControlPlane] ranks are out of step");
    std::memcpy(&out.emplace_back(), bytes.data(), sizeof(Value));
  }
  return out;
}

}  // namespace tern
