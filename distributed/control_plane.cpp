#include "distributed/control_plane.h"

#include <algorithm>

#include "core/check.h"

namespace tern {
namespace {

// all in one message, each with its length
Bytes packed(const std::vector<Bytes>& all) {
  Bytes out;
  for (const Bytes& bytes : all) {
    const auto length = std::uint32_t(bytes.size());
    const auto head = std::as_bytes(std::span(&length, 1));
    out.insert(out.end(), head.begin(), head.end());
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  return out;
}

void require_step(bool holds) {
  require(holds, Fault::communication,
          "rank 0 sent a message of another operation: ranks are out of step");
}

std::vector<Bytes> unpacked(const Bytes& all, int count) {
  std::vector<Bytes> out;
  std::size_t at = 0;
  for (int i = 0; i < count; ++i) {
    std::uint32_t length = 0;
    require_step(all.size() - at >= sizeof length);
    std::memcpy(&length, all.data() + at, sizeof length);
    at += sizeof length;
    require_step(all.size() - at >= length);
    out.emplace_back(all.begin() + std::ptrdiff_t(at), all.begin() + std::ptrdiff_t(at + length));
    at += length;
  }
  return out;
}

}  // namespace

ControlPlane::ControlPlane(const RankInfo& info, const Identity& identity, RendezvousOptions how,
                           DetectorOptions detector)
    : rank_(info.rank), size_(info.size) {
  if (size_ == 1) return;
  RankLinks links = rendezvous(info, identity, std::move(how));
  links_ = std::move(links.training);
  detector_ = std::make_unique<FailureDetector>(rank_, size_, std::move(links.heartbeat),
                                                std::move(detector));
}

std::vector<Bytes> ControlPlane::all_gather(std::span<const std::byte> mine) {
  if (size_ == 1) return {Bytes(mine.begin(), mine.end())};
  const CollectiveScope scope(*this);
  std::vector<Bytes> all = gather_in_scope(mine);
  if (rank_ > 0) return unpacked(receive_message(0), size_);
  const Bytes answer = packed(all);
  for (int r = 1; r < size_; ++r) send_message(r, answer);
  return all;
}

std::vector<Bytes> ControlPlane::gather(std::span<const std::byte> mine) {
  const CollectiveScope scope(*this);
  return gather_in_scope(mine);
}

std::vector<Bytes> ControlPlane::gather_in_scope(std::span<const std::byte> mine) {
  if (rank_ > 0) {
    send_message(0, mine);
    return {};
  }
  std::vector<Bytes> all = {Bytes(mine.begin(), mine.end())};
  for (int r = 1; r < size_; ++r) all.push_back(receive_message(r));
  return all;
}

// Full frames, then one that is not full, maybe empty.
void ControlPlane::send_message(int to, std::span<const std::byte> bytes) {
  check(bytes.size() <= kMostAgreedBytes, "[ControlPlane] message: expected at most ",
        kMostAgreedBytes, " bytes, got ", bytes.size());
  for (;;) {
    const std::size_t piece = std::min(bytes.size(), kMostFrameBytes);
    send(to, FrameKind::agree, bytes.first(piece));
    if (piece < kMostFrameBytes) return;
    bytes = bytes.subspan(piece);
  }
}

Bytes ControlPlane::receive_message(int from) {
  Bytes all;
  for (;;) {
    const Bytes piece = receive(from, FrameKind::agree);
    all.insert(all.end(), piece.begin(), piece.end());
    require(all.size() <= kMostAgreedBytes, Fault::communication, "rank ", from,
            " sent a message of more than ", kMostAgreedBytes, " bytes");
    if (piece.size() < kMostFrameBytes) return all;
  }
}

std::string ControlPlane::broadcast(const std::string& text) {
  return text_of(all_gather(rank_ == 0 ? bytes_of(text) : std::span<const std::byte>{})[0]);
}

void ControlPlane::begin() {
  ++sequence_;
  if (detector_) detector_->begin_operation();
}

void ControlPlane::end() noexcept {
  if (detector_) detector_->end_operation();
}

void ControlPlane::poll() {
  if (detector_) detector_->poll();
}

Connection& ControlPlane::link(int rank) {
  return links_.at(std::size_t(rank_ == 0 ? rank - 1 : 0));
}

void ControlPlane::send(int to, FrameKind kind, std::span<const std::byte> bytes) {
  try {
    link(to).send(kind, sequence_, bytes, [&] { poll(); });
  } catch (const LinkBroken& e) {
    detector_->throw_lost(to, e.what());
  }
}

Bytes ControlPlane::receive(int from, FrameKind kind) {
  Frame frame;
  try {
    frame = link(from).receive([&] { poll(); });
  } catch (const LinkBroken& e) {
    detector_->throw_lost(from, e.what());
  }
  require(frame.kind == kind && frame.sequence == sequence_, Fault::communication, "rank ", from,
          " is out of step: it is at operation ", frame.sequence, ", rank ", rank_, " at ",
          sequence_);
  return std::move(frame.bytes);
}

}  // namespace tern
