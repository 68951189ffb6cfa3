#include "data/io/hash.h"

#include <xxhash.h>

#include "core/hex.h"

namespace tern {
namespace {

std::string digest_text(XXH128_hash_t hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  return to_hex(std::as_bytes(std::span(canonical.digest)));
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
  return digest_text(XXH3_128bits_digest(&state_->xxh));
}

std::string hash_hex(std::span<const std::byte> bytes) {
  return digest_text(XXH3_128bits(bytes.data(), bytes.size()));
}

}  // namespace tern
