#include "data/io/hash.h"

#include <xxhash.h>

#include <bit>

#include "core/hex.h"

namespace tern {
namespace {

HashBytes canonical(XXH128_hash_t hash) {
  XXH128_canonical_t bytes;
  XXH128_canonicalFromHash(&bytes, hash);
  return std::bit_cast<HashBytes>(bytes);
}

}  // namespace

struct Hash::State {
  XXH3_state_t xxh;
};

Hash::Hash() : state_(std::make_unique<State>()) {
  XXH3_128bits_reset(&state_->xxh);
}
Hash::Hash(Hash&&) noexcept = default;
Hash& Hash::operator=(Hash&&) noexcept = default;
Hash::~Hash() = default;

void Hash::update(std::span<const std::byte> bytes) {
  XXH3_128bits_update(&state_->xxh, bytes.data(), bytes.size());
}

std::string Hash::hex() const {
  return to_hex(canonical(XXH3_128bits_digest(&state_->xxh)));
}

HashBytes hash_bytes(std::span<const std::byte> bytes) {
  return canonical(XXH3_128bits(bytes.data(), bytes.size()));
}

std::string hash_hex(std::span<const std::byte> bytes) {
  return to_hex(hash_bytes(bytes));
}

}  // namespace tern
