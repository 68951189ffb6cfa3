// Streaming gzip, zstd and xz behind one step function. Memory is bounded: zstd windows to 2^27, xz
// to 256 MiB.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace tern {

enum class Codec { none, gzip, zstd, xz };

std::string_view name_of(Codec codec);

class Decompressor {
 public:
  explicit Decompressor(Codec codec);  // not Codec::none
  Decompressor(Decompressor&&) noexcept;
  Decompressor& operator=(Decompressor&&) noexcept;
  ~Decompressor();

  struct Step {
    std::size_t read = 0, written = 0;
    bool complete = false;        // the input may end here
    const char* error = nullptr;  // why it is not such data
  };
  // Takes from in, gives to out. Concatenated members are one text, as for the command-line tools.
  Step step(std::span<const std::byte> in, std::span<std::byte> out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tern
