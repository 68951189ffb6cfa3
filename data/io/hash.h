// XXH3-128 digests, as 16 bytes (XXH128_canonical_t) or 32 lower-case hex digits (what `xxhsum -H2`
// prints): against accidents, not against attackers.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace tern {

class Hash {
 public:
  Hash();
  Hash(Hash&&) noexcept;
  Hash& operator=(Hash&&) noexcept;
  ~Hash();
  void update(std::span<const std::byte> bytes);
  std::string hex() const;  // of everything so far

 private:
  struct State;
  std::unique_ptr<State> state_;
};

using HashBytes = std::array<std::byte, 16>;
HashBytes hash_bytes(std::span<const std::byte> bytes);
std::string hash_hex(std::span<const std::byte> bytes);

}  // namespace tern
