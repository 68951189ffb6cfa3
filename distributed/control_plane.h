// Small messages between all ranks, over TCP through rank 0: the state of every rank after a step,
// texts of rank 0, and the frames of TcpCommunicator.
#pragma once

#include <cstring>
#include <type_traits>

#include "core/communicator.h"
#include "data/checkpoint/manifest.h"
#include "distributed/failure_detector.h"
#include "distributed/rendezvous.h"

namespace tern {

using Bytes = std::vector<std::byte>;

// The longest messages are the parts of a checkpoint's manifest, each with its length.
inline constexpr std::size_t kMostAgreedBytes = 2 * kMaxManifestBytes;

class ControlPlane final : public WaitMonitor {
 public:
  // Waits for all ranks; errors as rendezvous(). A single rank opens no connection.
  ControlPlane(const RankInfo& info, const Identity& identity, RendezvousOptions how,
               DetectorOptions detector);

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool first() const { return rank_ == 0; }

  // Every rank's bytes, by rank, on every rank; at most kMostAgreedBytes together. Errors as
  // FailureDetector::poll().
  std::vector<Bytes> all_gather(std::span<const std::byte> mine);
  // The same on rank 0 alone; empty elsewhere.
  std::vector<Bytes> gather(std::span<const std::byte> mine);
  // rank 0's text on every rank
  std::string broadcast(const std::string& text);
  template <class Value>  // every rank's value, by rank
  std::vector<Value> all_gather_value(const Value& mine);

  // For communicators: errors as FailureDetector::poll().
  void begin() override;
  void poll() override;
  void end() noexcept override;
  void send(int to, FrameKind kind, std::span<const std::byte> bytes);  // to rank 0, or from it
  Bytes receive(int from, FrameKind kind);

  double seconds_waited() const { return detector_ ? detector_->seconds_waited() : 0; }
  FailureDetector* failure_detector() { return detector_.get(); }  // null for one rank alone

 private:
  Connection& link(int rank);
  std::vector<Bytes> gather_in_scope(std::span<const std::byte> mine);  // the caller's
  void send_message(int to, std::span<const std::byte> bytes);
  Bytes receive_message(int from);

  int rank_, size_;
  std::vector<Connection> links_{};  // RankLinks::training
  std::uint32_t sequence_ = 0;  // number of operations: the receiver detects a rank out of step
  std::unique_ptr<FailureDetector> detector_{};
};

// Marks the device as at work, from here to the end of the scope: see FailureDetector::begin_work.
class DeviceWork {
 public:
  DeviceWork(ControlPlane& on, const Pool& pool) : detector_(on.failure_detector()) {
    if (detector_) detector_->begin_work(pool);
  }
  ~DeviceWork() {
    if (detector_) detector_->end_work();
  }
  DeviceWork(const DeviceWork&) = delete;
  DeviceWork& operator=(const DeviceWork&) = delete;

 private:
  FailureDetector* detector_;
};

template <class Value>
std::vector<Value> ControlPlane::all_gather_value(const Value& mine) {
  static_assert(std::is_trivially_copyable_v<Value>);
  std::vector<Value> out;
  for (const Bytes& bytes : all_gather(std::as_bytes(std::span(&mine, 1)))) {
    require(bytes.size() == sizeof(Value), Fault::communication, "rank ", out.size(),
            " sent a message of another operation: ranks are out of step");
    std::memcpy(&out.emplace_back(), bytes.data(), sizeof(Value));
  }
  return out;
}

}  // namespace tern
