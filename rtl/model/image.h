// The accelerator's memory, which is also the file: a header, the program, records of the layers,
// the last norm and the head, the embedding, and what the program writes. Little endian; everything
// begins at a multiple of 64 bytes.
#pragma once

#include "rtl/model/fixed_weights.h"
#include "rtl/model/image_layout.h"

namespace tern::rtl {

struct ImageHeader {
  static constexpr std::array<char, 8> kMagic = {'t', 'e', 'r', 'n', '-', 'r', 't', 'l'};
  static constexpr std::uint32_t kVersion = 1;

  std::array<char, 8> magic = kMagic;
  std::uint32_t version = kVersion, words = 0;  // of the program
  ImageSizes sizes{};
  std::uint32_t rows = 0, columns = 0;
  Executor::Lengths lengths{};
  std::uint32_t config_bytes = 0, tokenizer_bytes = 0;  // of the text, in this order
  std::uint32_t scalars = 0;
  std::uint64_t program = 0, layers = 0, record_bytes = 0, head = 0, table = 0, text = 0, state = 0,
                sums = 0, bytes = 0;
  std::array<std::byte, 16> hash{};  // of all bytes, these as zeros; set when a file is written
};

// With them text can be printed; both may be empty.
struct ImageText {
  std::string config{}, tokenizer{};
};

class Image {
 public:
  // Of a model in a CPU's memory. Fault::usage as layout_of; Fault::input if the embedding does not
  // fit 27 bits with this fraction.
  static Image of(const DecodeModel& model, std::uint32_t port_bits, const ImageText& text = {},
                  std::uint32_t fraction = 16);
  // Of a file's first kHeaderBytes, or all of a shorter one: how many bytes it must have.
  // Fault::input as parse().
  static std::uint64_t bytes_of(std::span<const std::byte> header, const std::string& where);
  // Takes the bytes of a file. Fault::input for what is damaged, truncated, of others or of another
  // version, all but the hash. where: begins messages
  static Image parse(std::vector<std::byte> bytes, const std::string& where);

  const ImageHeader& header() const { return header_; }
  const ImageLayout& layout() const { return layout_; }
  std::span<const std::byte> bytes() const { return bytes_; }
  std::span<std::byte> memory() { return bytes_; }
  std::span<const std::uint64_t> program() const { return program_; }
  std::string_view config() const;
  std::string_view tokenizer() const;
  // The sums (V) of the head that the last run left, and the states of the layers.
  Vector sums() const;
  std::vector<Vector> state() const;
  void clear_state();
  void set_hash(const std::array<std::byte, 16>& hash);

  Executor executor();  // over this memory, which must stay where it is

 private:
  void read_header(std::span<const std::byte> bytes, const std::string& where);
  Vector words(std::uint64_t at, std::size_t count) const;

  ImageHeader header_{};
  ImageLayout layout_{};
  std::vector<std::byte> bytes_{};
  std::vector<std::uint64_t> program_{};
};

}  // namespace tern::rtl
