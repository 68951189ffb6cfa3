#include "rtl/model/image.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "core/check.h"
#include "core/ternary_tiles.h"
#include "rtl/model/program.h"

namespace tern::rtl {
namespace {

static_assert(std::endian::native == std::endian::little);
static_assert(std::is_trivially_copyable_v<ImageHeader>);
static_assert(std::has_unique_object_representations_v<ImageHeader>, "every byte is a field's");

static_assert(sizeof(ImageHeader) <= kHeaderBytes);

// Writes a model into an image's bytes.
class Filler {
 public:
  Filler(const DecodeModel& model, const ImageSizes& sizes, const ImageLayout& layout,
         std::span<std::byte> bytes)
      : model_(model),
        weights_(fixed_weights(model)),
        sizes_(sizes),
        at_(layout),
        bytes_(bytes),
        fraction_(int(sizes.fraction)),
        shift_(sum_shift(sizes.width)) {}

  void fill() {
    const int of_down = kSiluFraction - 9 - shift_;
    scalars(at_.scalars, {weights_.eps, mean(sizes_.width, -2 * fraction_),
                          mean(sizes_.width, 2 * shift_), mean(sizes_.glu_width, -2 * of_down)});
    for (std::size_t l = 0; l < weights_.layers.size(); ++l)
      layer(weights_.layers[l], at_.layers + l * at_.record.bytes);
    vector(at_.head + at_.record.i, weights_.head.into.mantissas);
    vector(at_.head + at_.record.token_norm, weights_.norm.mantissas);
    scalars(at_.head_scalars, {inverse(weights_.head, fraction_), norm_mean(weights_.norm)});
    for (std::uint64_t b = 0; b * at_.lengths[2] < sizes_.vocabulary; ++b)
      tiles(at_.head_tiles + b * at_.head_block_bytes, weights_.head,
            std::int64_t(b * at_.lengths[2]), at_.lengths[b < at_.head_blocks ? 2 : 3]);
    table();
  }

 private:
  template <class Word>
  void vector(std::uint64_t at, const std::vector<Word>& words) {
    std::ranges::copy(std::as_bytes(std::span(words)), bytes_.begin() + std::ptrdiff_t(at));
  }
  void scalars(std::uint64_t at, const std::vector<Scalar>& values) {
    std::vector<std::uint32_t> words;
    for (const Scalar& s : values)
      words.push_back(s.mantissa), words.push_back(unsigned(s.exponent));
    vector(at, words);
  }
  // rows [first, first + count) of a matrix
  void tiles(std::uint64_t at, const FixedMatrix& m, std::int64_t first, std::int64_t count) {
    std::vector<std::int8_t> t(std::size_t(count * m.inputs));
    unpack_tiles(t.data(), m.tiles.data<TernaryTile>(), first, count, m.inputs);
    vector(at, cut_tiles(t, count, m.inputs, at_.shape));
  }
  void table() {
    Saturation saturate;
    for (std::uint32_t id = 0; id < sizes_.vocabulary; ++id)
      vector(at_.table + id * vector_bytes(sizes_.width, 4),
             embedding_of(model_, std::int32_t(id), fraction_, saturate));
    require(saturate.count() == 0, Fault::input, "embedding: expected magnitudes below ",
            1 << (kResidualBits - 1 - fraction_), ", got ", saturate.count(),
            " larger ones: the accelerator cannot hold this model");
  }

  // Scalars take part in products only, so powers of 2 that belong to other factors go into them:
  // 1 / count, of sums of squares whose unit is 2^exponent
  static Scalar mean(std::uint32_t count, int exponent) {
    Scalar out = scalar_of(1.0 / count);
    out.exponent += exponent;
    return out;
  }
  // of the products of rows with a block's norm, which are divided by 2^15
  Scalar norm_mean(const NormVector& norm) const {
    return mean(sizes_.width, -2 * (fraction_ + norm.fraction - 15));
  }
  // 1 / (127 scale) for a row with so many bits behind the point
  static Scalar inverse(const FixedMatrix& m, int fraction) {
    Scalar out = m.inverse;
    out.exponent -= fraction + m.into.fraction;
    return out;
  }

  void layer(const FixedLayer& l, std::uint64_t at) {
    const auto& r = at_.record;
    const std::pair<std::uint32_t, const NormVector*> vectors[] = {
        {r.i, &l.i.into},       {r.token_norm, &l.token_norm},
        {r.f, &l.f.into},       {r.g, &l.g.into},
        {r.g_norm, &l.g_norm},  {r.o, &l.o.into},
        {r.gate, &l.gate.into}, {r.channel_norm, &l.channel_norm},
        {r.down, &l.down.into}};
    for (const auto& [offset, norm] : vectors) vector(at + offset, norm->mantissas);
    vector(at + r.open, l.open);
    const int of_o = kSiluFraction + l.g_norm.fraction - 15 - 9 - shift_;
    const int of_down = kSiluFraction - 9 - shift_;
    scalars(at + r.scalars,
            {inverse(l.i, fraction_), inverse(l.f, fraction_), inverse(l.g, fraction_),
             inverse(l.o, of_o), inverse(l.gate, fraction_), inverse(l.down, of_down),
             norm_mean(l.token_norm), norm_mean(l.channel_norm), mean(sizes_.width, -2 * of_o)});
    const std::int64_t H = l.down.inputs;
    for (const auto& [offset, matrix] : {std::pair(r.tiles.i, &l.i),
                                         {r.tiles.f, &l.f},
                                         {r.tiles.g, &l.g},
                                         {r.tiles.o, &l.o},
                                         {r.tiles.down, &l.down}})
      tiles(at + offset, *matrix, 0, matrix->outputs);
    tiles(at + r.tiles.a, l.gate, 0, H);
    tiles(at + r.tiles.b, l.gate, H, H);
  }

  const DecodeModel& model_;
  const FixedWeights weights_;
  const ImageSizes& sizes_;
  const ImageLayout& at_;
  const std::span<std::byte> bytes_;
  const int fraction_, shift_;
};

ImageSizes sizes_of(const DecodeModel& m, std::uint32_t port_bits, std::uint32_t fraction) {
  ImageSizes out{.width = std::uint32_t(m.norm.elements()),
                 .glu_width = std::uint32_t(m.layers.front().down.weight.t.shape()[1]),
                 .layers = std::uint32_t(m.layers.size()),
                 .vocabulary = std::uint32_t(m.head.weight.t.shape()[0]),
                 .port_bits = port_bits,
                 .fraction = fraction};
  for (const DecodeLayer& l : m.layers) out.bound |= l.bound ? 1 : 0;
  return out;
}

ImageHeader header_of(const ImageSizes& sizes, const ImageLayout& layout, std::size_t words,
                      std::size_t config, std::size_t tokenizer) {
  return {.words = std::uint32_t(words),
          .sizes = sizes,
          .rows = std::uint32_t(layout.shape.rows),
          .columns = std::uint32_t(layout.shape.columns),
          .lengths = layout.lengths,
          .config_bytes = std::uint32_t(config),
          .tokenizer_bytes = std::uint32_t(tokenizer),
          .scalars = std::uint32_t(layout.scalars),
          .program = layout.program,
          .layers = layout.layers,
          .record_bytes = layout.record.bytes,
          .head = layout.head,
          .table = layout.table,
          .text = layout.text,
          .state = layout.state,
          .sums = layout.sums,
          .bytes = layout.bytes};
}

}  // namespace

Image Image::of(const DecodeModel& model, std::uint32_t port_bits, const ImageText& text,
                std::uint32_t fraction) {
  Image out;
  const ImageSizes sizes = sizes_of(model, port_bits, fraction);
  out.layout_ = layout_of(sizes, text.config.size() + text.tokenizer.size());
  out.program_ = token_program(sizes, out.layout_);
  out.header_ =
      header_of(sizes, out.layout_, out.program_.size(), text.config.size(), text.tokenizer.size());
  out.bytes_.resize(out.layout_.bytes);
  Filler(model, sizes, out.layout_, out.bytes_).fill();
  const auto put = [&](std::uint64_t at, const void* from, std::size_t bytes) {
    std::memcpy(out.bytes_.data() + at, from, bytes);
  };
  put(0, &out.header_, sizeof out.header_);
  put(out.layout_.program, out.program_.data(), out.program_.size() * sizeof(std::uint64_t));
  put(out.layout_.text, text.config.data(), text.config.size());
  put(out.layout_.text + text.config.size(), text.tokenizer.data(), text.tokenizer.size());
  return out;
}

namespace {

void require_tiles(std::span<const std::byte> tiles, const std::string& where) {
  for (std::size_t i = 0; i < tiles.size(); ++i) {
    const auto byte = std::uint32_t(tiles[i]);
    require((byte & byte >> 1 & 0x55) == 0, Fault::input, where, ": byte ", i,
            " of the tiles: expected codes from 0 to 2, got a 3");
  }
}

}  // namespace

void Image::read_header(std::span<const std::byte> bytes, const std::string& where) {
  require(bytes.size() >= kHeaderBytes, Fault::input, where,
          ": expected an image for the accelerator, of at least ", kHeaderBytes, " bytes, got ",
          bytes.size());
  ImageHeader& h = header_;
  std::memcpy(&h, bytes.data(), sizeof h);
  require(h.magic == ImageHeader::kMagic, Fault::input, where,
          ": expected an image for the accelerator, which begins with \"",
          std::string_view(ImageHeader::kMagic.data(), h.magic.size()), "\", got another file");
  require(h.version == ImageHeader::kVersion, Fault::input, where, ": expected version ",
          ImageHeader::kVersion, " of an image, got ", h.version,
          ": write it anew with this tern's export --to rtl");
  try {
    layout_ = layout_of(h.sizes, std::uint64_t(h.config_bytes) + h.tokenizer_bytes);
  } catch (const Error& e) {
    fail(Fault::input, where, ": header: ", e.what());
  }
  ImageHeader expected = header_of(h.sizes, layout_, h.words, h.config_bytes, h.tokenizer_bytes);
  expected.hash = h.hash;
  require(std::memcmp(&expected, &h, sizeof h) == 0, Fault::input, where,
          ": header: expected the places that follow from its sizes, got others: the file is "
          "damaged, or another version's");
  require(h.words <= kMostWords, Fault::input, where, ": expected at most ", kMostWords,
          " words of program, got ", h.words);
}

std::uint64_t Image::bytes_of(std::span<const std::byte> header, const std::string& where) {
  Image out;
  out.read_header(header, where);
  return out.header_.bytes;
}

Image Image::parse(std::vector<std::byte> bytes, const std::string& where) {
  Image out;
  out.read_header(bytes, where);
  const ImageHeader& h = out.header_;
  require(bytes.size() == h.bytes, Fault::input, where, ": expected ", h.bytes,
          " bytes, as its header says, got ", bytes.size(), ": the file is truncated or damaged");
  out.program_.resize(h.words);
  std::memcpy(out.program_.data(), bytes.data() + h.program, h.words * sizeof(std::uint64_t));
  try {
    decode_program(out.program_);
  } catch (const Error& e) {
    fail(Fault::input, where, ": ", e.what());
  }
  out.bytes_ = std::move(bytes);
  const std::span<const std::byte> all = out.bytes_;
  const auto& r = out.layout_.record;
  for (std::uint32_t l = 0; l < h.sizes.layers; ++l)
    require_tiles(
        all.subspan(h.layers + l * std::uint64_t(r.bytes) + r.tiles.i, r.bytes - r.tiles.i),
        where + ": layer " + std::to_string(l));
  require_tiles(all.subspan(out.layout_.head_tiles, out.layout_.table - out.layout_.head_tiles),
                where + ": head");
  return out;
}

std::string_view Image::config() const {
  return {reinterpret_cast<const char*>(bytes_.data() + layout_.text), header_.config_bytes};
}

std::string_view Image::tokenizer() const {
  return {config().data() + header_.config_bytes, header_.tokenizer_bytes};
}

Vector Image::words(std::uint64_t at, std::size_t count) const {
  Vector out(count);
  std::memcpy(out.data(), bytes_.data() + at, 4 * count);
  return out;
}

Vector Image::sums() const {
  return words(layout_.sums, header_.sizes.vocabulary);
}

std::vector<Vector> Image::state() const {
  std::vector<Vector> out;
  for (std::uint32_t l = 0; l < header_.sizes.layers; ++l)
    out.push_back(
        words(layout_.state + l * vector_bytes(header_.sizes.width, 4), header_.sizes.width));
  return out;
}

void Image::clear_state() {
  std::fill(bytes_.begin() + std::ptrdiff_t(layout_.state),
            bytes_.begin() + std::ptrdiff_t(layout_.sums), std::byte(0));
}

void Image::set_hash(const std::array<std::byte, 16>& hash) {
  header_.hash = hash;
  std::memcpy(bytes_.data(), &header_, sizeof header_);
}

Executor Image::executor() {
  return Executor(program_, bytes_, layout_.lengths, layout_.shape);
}

}  // namespace tern::rtl
