#include "distributed/control_plane.h"

#include <algorithm>

#include "core/check.h"

namespace tern {
namespace {

// one after the other, each behind its length
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

std::vector<Bytes> unpacked(const Bytes& all, int count) {
  std::vector<Bytes> out;
  std::size_t at = 0;
  for (int i = 0; i < count; ++i) {
    std::uint32_t length = 0;
    check(all.size() - at >= sizeof length, "[ControlPlane] ranks are out of step");
    std::memcpy(&length, all.data() + at, sizeof length);
    at += sizeof length;
    check(all.size() - at >= length, "[ControlPlane] ranks are out of step");
    out.emplace_back(all.begin() + std::ptrdiff_t(at), all.begin() + std::ptrdiff_t(at + length));
    at += length;
  }
  return out;
}

}  // namespace

ControlPlane::ControlPlane(const RankPlace& place, const Identity& identity, Rendezvous how,
                           DetectorOptions options)
    : rank_(place.rank), size_(place.size) {
  if (size_ == 1) return;
  RankLinks links = meet(place, identity, std::move(how));
  loop_ = std::move(links.loop);
  watch_ = std::make_unique<Watch>(rank_, size_, std::move(links.watch), std::move(options));
}

std::vector<Bytes> ControlPlane::agree(std::span<const std::byte> mine) {
  if (size_ == 1) return {Bytes(mine.begin(), mine.end())};
  const CollectiveScope scope(*this);
  std::vector<Bytes> all = gather(mine);
  if (rank_ > 0) return unpacked(receive_message(0), size_);
  const Bytes answer = packed(all);
  for (int r = 1; r < size_; ++r) send_message(r, answer);
  return all;
}

std::vector<Bytes> ControlPlane::to_first(std::span<const std::byte> mine) {
  const CollectiveScope scope(*this);
  return gather(mine);
}

std::vector<Bytes> ControlPlane::gather(std::span<const std::byte> mine) {
  if (rank_ > 0) {
    send_message(0, mine);
    return {};
  }
  std::vector<Bytes> all = {Bytes(mine.begin(), mine.end())};
  for (int r = 1; r < size_; ++r) all.push_back(receive_message(r));
  return all;
}

// Of full frames and one that is not: it may be empty.
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

std::string ControlPlane::from_first(const std::string& text) {
  return text_of(agree(rank_ == 0 ? bytes_of(text) : std::span<const std::byte>{})[0]);
}

void ControlPlane::begin() {
  ++sequence_;
  if (watch_) watch_->begin_operation();
}

void ControlPlane::end() noexcept {
  if (watch_) watch_->end_operation();
}

void ControlPlane::poll() {
  if (watch_) watch_->poll();
}

Connection& ControlPlane::link(int rank) {
  return loop_.at(std::size_t(rank_ == 0 ? rank - 1 : 0));
}

void ControlPlane::send(int to, FrameKind kind, std::span<const std::byte> bytes) {
  try {
    link(to).send(kind, sequence_, bytes, [&] { poll(); });
  } catch (const LinkBroken& e) {
    watch_->lost(to, e.what());
  }
}

Bytes ControlPlane::receive(int from, FrameKind kind) {
  Frame frame;
  try {
    frame = link(from).receive([&] { poll(); });
  } catch (const LinkBroken& e) {
    watch_->lost(from, e.what());
  }
  require(frame.kind == kind && frame.sequence == sequence_, Fault::communication, "rank ", from,
          " is out of step: it is at operation ", frame.sequence, ", rank ", rank_, " at ",
          sequence_);
  return std::move(frame.bytes);
}

}  // namespace tern
