#include "core/communicator.h"

#include <cstring>

#include "core/bfloat16.h"

namespace tern {
namespace {

// Memory from a library may start anywhere.
template <class Stored>
void combine_as(void* to, const void* from, Index count, Op op) {
  auto* out = static_cast<std::byte*>(to);
  const auto* in = static_cast<const std::byte*>(from);
  for (Index i = 0; i < count; ++i, out += sizeof(Stored), in += sizeof(Stored)) {
    Stored a, b;
    std::memcpy(&a, out, sizeof a);
    std::memcpy(&b, in, sizeof b);
    const auto x = to_real(a), y = to_real(b);
    const Stored result = to_stored<Stored>(op == Op::sum ? x + y : x > y || x != x ? x : y);
    std::memcpy(out, &result, sizeof result);
  }
}

}  // namespace

void combine(void* to, const void* from, Index count, DType dtype, Op op) {
  if (dtype == DType::f64) return combine_as<double>(to, from, count, op);
  if (dtype == DType::f32) return combine_as<float>(to, from, count, op);
  if (dtype == DType::i32) return combine_as<std::int32_t>(to, from, count, op);
  check(dtype == DType::bf16, "[communicator] expected f64, f32, bf16 or i32, got ", dtype);
  combine_as<BFloat16>(to, from, count, op);
}

}  // namespace tern
