#include "apps/ranks/tcp_communicator.h"

#include <bit>
#include <cstring>

#include "core/backend.h"

namespace tern {
namespace {

// multiples of every element's size, and a frame each
constexpr std::size_t kPieceBytes = kMostFrameBytes;

float real(BFloat16 x) {
  return std::bit_cast<float>(std::uint32_t(x.bits) << 16);
}

BFloat16 rounded(float x) {  // halves to even; NaN stays NaN
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (x != x) return {std::uint16_t(bits >> 16 | 0x40)};
  return {std::uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

// NaN must not get lost in a comparison.
template <class Real>
Real combined(Real a, Real b, Op op) {
  if (op == Op::sum) return a + b;
  return a > b || a != a ? a : b;
}

template <class Wide, class Stored, class Widen, class Narrow>
void combine(std::span<std::byte> to, const std::vector<Bytes>& others, Op op, const Widen& widen,
             const Narrow& narrow) {
  for (std::size_t at = 0; at < to.size(); at += sizeof(Stored)) {
    Stored x;
    std::memcpy(&x, to.data() + at, sizeof x);
    Wide sum = widen(x);
    for (const Bytes& other : others) {
      std::memcpy(&x, other.data() + at, sizeof x);
      sum = combined(sum, widen(x), op);
    }
    x = narrow(sum);
    std::memcpy(to.data() + at, &x, sizeof x);
  }
}

template <class Real>
void combine_plain(std::span<std::byte> to, const std::vector<Bytes>& others, Op op) {
  constexpr auto same = [](Real x) { return x; };
  combine<Real, Real>(to, others, op, same, same);
}

// to: of rank 0; others: of ranks 1, 2, ...
void combine(std::span<std::byte> to, const std::vector<Bytes>& others, DType dtype, Op op) {
  if (dtype == DType::f64) return combine_plain<double>(to, others, op);
  if (dtype == DType::f32) return combine_plain<float>(to, others, op);
  if (dtype == DType::i32) return combine_plain<std::int32_t>(to, others, op);
  check(dtype == DType::bf16, "[communicator] sum: expected f64, f32, bf16 or i32, got ", dtype);
  combine<float, BFloat16>(to, others, op, real, rounded);
}

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
  std::vector<Bytes> others;
  for (int r = 1; r < size(); ++r) {
    others.push_back(control_.receive(r, FrameKind::tensor));
    require_size(others.back().size(), piece.size());
  }
  combine(piece, others, dtype, op);
  for (int r = 1; r < size(); ++r)
    if (wanted(r)) control_.send(r, FrameKind::tensor, piece);
}

void TcpCommunicator::reduce_one(const Tensor& t, Op op, Sum sum, int owner) {
  const ControlPlane::Turn turn(control_);
  in_pieces(host_bytes(t),
            [&](std::span<std::byte> piece) { reduce_piece(piece, t.dtype(), op, sum, owner); });
}

void TcpCommunicator::broadcast_one(const Owned& part) {
  const ControlPlane::Turn turn(control_);
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
