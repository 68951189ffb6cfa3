#include "distributed/tcp_communicator.h"

#include <algorithm>

#include "core/backend.h"

namespace tern {
namespace {

// multiples of every element's size, and a frame each
constexpr std::size_t kPieceBytes = kMostFrameBytes;

std::span<std::byte> host_bytes(const Tensor& t) {
  check(t.backend().host_address(t), "[communicator] expected a tensor on the host, got ", t);
  return {static_cast<std::byte*>(t.raw()), t.bytes()};
}

template <class Do>
void in_pieces(std::span<std::byte> all, const Do& with) {
  for (std::size_t at = 0; at < all.size(); at += kPieceBytes)
    with(all.subspan(at, std::min(kPieceBytes, all.size() - at)));
}

void require_size(std::size_t got, std::size_t expected) {
  check(got == expected, "[communicator] ranks are out of step: expected ", expected,
        " bytes, got ", got);
}

}  // namespace

void TcpCommunicator::reduce_piece(std::span<std::byte> piece, DType dtype, Op op, Sum sum,
                                   int owner) {
  const auto wanted = [&](int r) { return sum == Sum::to_all || r == owner; };
  if (rank() > 0) {
    control_.send(0, FrameKind::tensor, piece);
    if (!wanted(rank())) return;
    const Bytes answer = control_.receive(0, FrameKind::tensor);
    require_size(answer.size(), piece.size());
    std::memcpy(piece.data(), answer.data(), piece.size());
    return;
  }
  for (int r = 1; r < size(); ++r) {
    const Bytes other = control_.receive(r, FrameKind::tensor);
    require_size(other.size(), piece.size());
    combine(piece.data(), other.data(), Index(piece.size()) * 8 / bits(dtype), dtype, op);
  }
  for (int r = 1; r < size(); ++r)
    if (wanted(r)) control_.send(r, FrameKind::tensor, piece);
}

void TcpCommunicator::reduce_one(const Tensor& t, Op op, Sum sum, int owner) {
  const CollectiveScope scope(control_);
  in_pieces(host_bytes(t),
            [&](std::span<std::byte> piece) { reduce_piece(piece, t.dtype(), op, sum, owner); });
}

void TcpCommunicator::broadcast_one(const Owned& part) {
  const CollectiveScope scope(control_);
  in_pieces(host_bytes(part.t), [&](std::span<std::byte> piece) {
    if (rank() > 0 && rank() == part.owner) return control_.send(0, FrameKind::tensor, piece);
    if (rank() > 0 || part.owner > 0) {
      const Bytes bytes = control_.receive(rank() > 0 ? 0 : part.owner, FrameKind::tensor);
      require_size(bytes.size(), piece.size());
      std::memcpy(piece.data(), bytes.data(), piece.size());
    }
    for (int r = 1; rank() == 0 && r < size(); ++r)
      if (r != part.owner) control_.send(r, FrameKind::tensor, piece);
  });
}

Pending TcpCommunicator::all_reduce(const Tensor& t, Op op) {
  reduce_one(t, op, Sum::to_all, 0);
  return {};
}

Pending TcpCommunicator::reduce(std::span<const Owned> parts, Op op) {
  for (const Owned& part : parts) reduce_one(part.t, op, Sum::to_owner, part.owner);
  return {};
}

Pending TcpCommunicator::broadcast(std::span<const Owned> parts) {
  for (const Owned& part : parts) broadcast_one(part);
  return {};
}

}  // namespace tern
