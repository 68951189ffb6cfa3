// Runs programs of the accelerator's instructions over a memory, one after the other: what the
// hardware's registers and memory must hold after each of them.
#pragma once

#include <functional>
#include <iosfwd>

#include "rtl/model/instruction.h"
#include "rtl/model/operations.h"
#include "rtl/model/tiles.h"

namespace tern::rtl {

// What a scalar is in memory: the mantissa, then the exponent, 32 bits each. Registers keep so many
// bits of an exponent, the lowest; what they do not hold counts as a saturation.
inline constexpr std::size_t kScalarBytes = 8;
inline constexpr int kExponentBits = 12;

// A vector of n words of `bytes` each fills whole multiples of kMemoryAlignment in memory.
constexpr std::uint64_t vector_bytes(std::uint64_t n, std::uint64_t bytes) {
  return (n * bytes + kMemoryAlignment - 1) / kMemoryAlignment * kMemoryAlignment;
}

class Executor {
 public:
  using Lengths = std::array<std::uint32_t, kLengths>;
  // After each instruction: its word's index.
  using Hook = std::function<void(const Executor&, std::size_t)>;

  // memory: outlives this, and is read and written. Registers are zero.
  Executor(std::span<const std::uint64_t> program, std::span<std::byte> memory,
           const Lengths& lengths, const ArrayShape& shape);

  // From the first word to HALT. Fault::input for an address outside of the memory, and for a tile
  // with a code that is none, naming the word.
  void run(std::uint32_t token, const Hook& hook = {});

  const std::vector<Instruction>& program() const { return program_; }
  const Vector& vector(int v) const { return vectors_[std::size_t(v)]; }
  const std::vector<std::int16_t>& norm(int p) const { return norms_[std::size_t(p)]; }
  const std::vector<std::int8_t>& codes(int q) const { return codes_[std::size_t(q)]; }
  const Scalar& scalar(int s) const { return scalars_[std::size_t(s)]; }
  const Statistic& statistic() const { return statistic_; }
  std::int32_t likeliest() const { return likeliest_; }  // of AMAX; -1: none yet
  std::int64_t saturations() const { return saturate_.count(); }

 private:
  void execute(const Instruction& i);
  void execute_memory(const Instruction& i);
  void execute_row(const Instruction& i);
  void quantize_row(const Instruction& i);
  Scalar scalar_result(const Instruction& i) const;
  void multiply_tiles(const Instruction& i);
  void find_largest(const Instruction& i);
  std::size_t loop(const Instruction& i, std::size_t at);

  std::size_t length(const Instruction& i) const { return lengths_[std::size_t(i.length())]; }
  std::uint64_t offset(const Instruction& i, std::uint64_t word_bytes) const;
  std::span<std::byte> memory(const Instruction& i, std::uint64_t word_bytes, std::uint64_t bytes);
  // the first `length` words of registers
  std::span<const std::int32_t> row(int v, const Instruction& i) const;
  std::span<const std::int16_t> norm_row(int p, const Instruction& i) const;
  ScaledSums sums(const Instruction& i) const;
  void write(int v, const Vector& words);
  void write(int s, const Scalar& value);

  std::vector<Instruction> program_;
  std::span<std::byte> memory_;
  Lengths lengths_;
  ArrayShape shape_;
  std::vector<Vector> vectors_;
  std::vector<std::vector<std::int16_t>> norms_;
  std::vector<std::vector<std::int8_t>> codes_;
  std::array<Scalar, kScalarRegisters> scalars_{};
  Statistic statistic_{};
  Saturation saturate_{};
  std::uint32_t token_ = 0, pass_ = 0, base_ = 0;
  std::int32_t likeliest_ = -1, largest_ = 0;
};

// A line of a log: the word's index, the instruction, and in hexadecimal what it wrote.
void write_step(std::ostream& out, const Executor& executor, std::size_t at);

}  // namespace tern::rtl
