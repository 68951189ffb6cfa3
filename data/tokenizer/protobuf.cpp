#include "data/tokenizer/protobuf.h"

#include "core/check.h"

namespace tern {

std::string_view ProtobufMessage::take(std::uint64_t bytes, const char* what) {
  require(bytes <= bytes_.size(), Fault::input, path_.string(), ": truncated at byte ", offset_,
          ": expected ", what, " of ", bytes, " B, ", bytes_.size(), " B remain");
  const std::string_view taken = bytes_.substr(0, bytes);
  bytes_.remove_prefix(bytes);
  offset_ += bytes;
  return taken;
}

std::uint64_t ProtobufMessage::read_varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const auto byte = std::uint8_t(take(1, "a number")[0]);
    value |= std::uint64_t(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  fail(Fault::input, path_.string(), ": byte ", offset_,
       ": not a SentencePiece model: a number is longer than ten bytes");
}

std::uint64_t ProtobufMessage::read_fixed(std::size_t bytes) {
  const std::string_view taken = take(bytes, "a number");
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) value |= std::uint64_t(std::uint8_t(taken[i])) << 8 * i;
  return value;
}

std::optional<ProtobufField> ProtobufMessage::next() {
  if (bytes_.empty()) return std::nullopt;
  const std::uint64_t start = offset_;
  const std::uint64_t tag = read_varint();
  require(tag >> 3 > 0 && tag >> 3 < 1u << 29, Fault::input, path_.string(), ": byte ", start,
          ": not a SentencePiece model: field number ", tag >> 3, " does not exist");
  ProtobufField field{.number = std::uint32_t(tag >> 3), .offset = offset_};
  field.wire = ProtobufField::Wire(tag & 7);
  switch (field.wire) {
    case ProtobufField::varint:
      field.value = read_varint();
      break;
    case ProtobufField::fixed64:
      field.value = read_fixed(8);
      break;
    case ProtobufField::fixed32:
      field.value = read_fixed(4);
      break;
    case ProtobufField::bytes: {
      const std::uint64_t length = read_varint();
      field.offset = offset_;
      field.content = take(length, "a field");
      break;
    }
    default:
      fail(Fault::input, path_.string(), ": byte ", start,
           ": not a SentencePiece model: unknown wire type ", tag & 7);
  }
  return field;
}

}  // namespace tern
