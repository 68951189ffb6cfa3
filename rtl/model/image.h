// The accelerator's memory, which is also the file: a header, the program, records of the layers,
// the last norm and the head, the embedding, and what the program writes. Little endian; everything
// begins at a multiple of 64 bytes.
#pragma once

#include "rtl/model/executor.h"
#include "rtl/model/fixed_weights.h"

namespace tern::rtl {

struct ImageSizes {
  std::uint32_t width = 0, glu_width = 0, layers = 0, vocabulary = 0;  // D H L V
  std::uint32_t port_bits = 512;
  std::uint32_t fraction = 16;  // bits behind the point of the residual stream
  std::uint32_t bound = 0;      // 1: layers but the first have a bound of the forget gate
  bool operator==(const ImageSizes&) const = default;
};

// Bytes of the memory, from its beginning; of a record: from the record's.
struct ImageLayout {
  ArrayShape shape{};
  Executor::Lengths
      lengths{};  // n0 D, n1 H, n2 rows of the head's blocks, n3 of its last one, or 0
  struct Record {
    // vectors of int16; the products' weights are those of the layer's norm times the block's
    std::uint32_t i = 0, token_norm = 0, f = 0, g = 0, open = 0, g_norm = 0, o = 0, gate = 0,
                  channel_norm = 0, down = 0;
    std::uint32_t scalars = 0;
    struct Tiles {
      std::uint32_t i = 0, f = 0, g = 0, o = 0, a = 0, b = 0, down = 0;  // a, b: halves of gate
    } tiles{};
    std::uint32_t bytes = 0;
  } record{};
  std::uint64_t program = 0, scalars = 0, layers = 0;
  // The head's record begins like a layer's: its vector, the last norm. Then scalars and tiles.
  std::uint64_t head = 0, head_scalars = 0, head_tiles = 0;
  std::uint64_t table = 0;  // embedding: V vectors of int32
  std::uint64_t text = 0;   // what the file says beside it
  std::uint64_t state = 0;  // L vectors of int32, Q.24
  std::uint64_t sums = 0;   // V int32: those of the head, which the program leaves
  std::uint64_t bytes = 0;
  std::uint64_t head_blocks = 0, head_block_bytes = 0;  // those of lengths[2] rows
};
// Fault::usage if the accelerator cannot have such sizes, or addresses of 32 bits do not reach.
ImageLayout layout_of(const ImageSizes& sizes, std::uint64_t text_bytes);

// Order of the scalars: of all layers; of a layer; of the head.
struct SharedScalars {
  enum { eps, of_x, of_g, of_down, count };
};
struct LayerScalars {
  enum { i, f, g, o, gate, down, token_norm, channel_norm, of_o, count };
};
struct HeadScalars {
  enum { inverse, norm, count };
};

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
  std::array<std::byte, 16>
      hash{};  // of all bytes, these as zeros; whoever writes the file sets it
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
  Vector words(std::uint64_t at, std::size_t count) const;

  ImageHeader header_{};
  ImageLayout layout_{};
  std::vector<std::byte> bytes_{};
  std::vector<std::uint64_t> program_{};
};

}  // namespace tern::rtl
