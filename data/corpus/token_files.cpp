#include "data/corpus/token_files.h"

#include <cctype>
#include <cstring>

#include "core/check.h"
#include "data/io/byte_stream.h"

namespace tern {
namespace {

constexpr std::size_t kLookedAt = std::size_t(64) << 10;  // bytes
constexpr std::size_t kEnough = 16;                       // ids, to tell what they look like

std::vector<std::byte> first_bytes(const SourceFile& source) {
  std::vector<std::byte> bytes(kLookedAt);
  ByteStream stream(source.path, source.codec, source.bytes);
  bytes.resize(stream.read(bytes));
  return bytes;
}

struct Look {
  std::size_t ids = 0, zeros = 0;
  bool in_range = true;  // all of them
};

template <class Stored>
Look look_at(const std::vector<std::byte>& bytes, std::int32_t vocab_size) {
  Look look{.ids = bytes.size() / sizeof(Stored)};
  for (std::size_t i = 0; i < look.ids; ++i) {
    Stored id;
    std::memcpy(&id, bytes.data() + i * sizeof id, sizeof id);
    look.zeros += id == 0;
    look.in_range = look.in_range && id < std::uint32_t(vocab_size);
  }
  return look;
}

void check_token_file(const SourceFile& source, bool forced, std::int32_t vocab_size) {
  const std::string where = source.path.string();
  const bool wide = source.format == SourceFormat::u32;
  const std::size_t width = wide ? 4 : 2;
  const std::string_view other = wide ? "--format u16" : "--format u32";
  require(source.codec != Codec::none || source.bytes % width == 0, Fault::input, where,
          ": expected whole ", name_of(source.format), " tokens, got ", source.bytes % width,
          " B too many at byte ", source.bytes / width * width,
          source.bytes % width == 2 ? ": are they 16-bit ids (--format u16)?" : "");
  const std::vector<std::byte> bytes = first_bytes(source);
  const Look narrow = look_at<std::uint16_t>(bytes, vocab_size);
  const Look broad = look_at<std::uint32_t>(bytes, vocab_size);
  const Look& given = wide ? broad : narrow;
  const Look& instead = wide ? narrow : broad;
  require(given.in_range || !instead.in_range || instead.ids == 0, Fault::input, where,
          ": its first ids are in a vocabulary of ", vocab_size, " as ", wide ? 16 : 32,
          "-bit numbers only, it is read as ", wide ? 32 : 16, "-bit: give ", other);
  // 32-bit ids below 65,536 are 16-bit ids every other one of which is 0.
  const bool looks_wide =
      broad.ids >= kEnough && broad.in_range && broad.zeros * 2 < broad.ids && !wide && !forced;
  require(!looks_wide || vocab_size > 65'536, Fault::input, where,
          ": looks like 32-bit ids, it is read as 16-bit: give --format u32 (or --format u16 if "
          "every other id is 0)");
}

bool is_bin(const std::filesystem::path& name) {
  std::string extension = name.extension().string();
  for (char& c : extension) c = char(std::tolower(std::uint8_t(c)));
  return extension == ".bin";
}

}  // namespace

void check_token_files(const std::vector<SourceFile>& sources, bool forced,
                       std::int32_t vocab_size) {
  for (const SourceFile& source : sources) {
    const bool wide = source.format == SourceFormat::u32;
    if (source.path == "-" || (!wide && source.format != SourceFormat::u16)) continue;
    const std::filesystem::path name =
        source.codec == Codec::none ? source.path : source.path.stem();
    require(forced || wide || !is_bin(name) || vocab_size <= 65'536, Fault::input,
            source.path.string(),
            ": .bin is read as 16-bit ids, which do not hold a vocabulary of ", vocab_size,
            ": give --format u32 (or --format u16 if no id is above 65535)");
    check_token_file(source, forced, vocab_size);
  }
}

}  // namespace tern
