// A walk over the fields of one protocol-buffer message (wire format, proto2), no schema, nothing
// copied: every length is checked against the bytes that remain.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

namespace tern {

struct ProtobufField {
  std::uint32_t number = 0;
  std::uint64_t offset = 0;  // of its value in the file
  enum Wire { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 } wire = varint;
  std::uint64_t value = 0;     // of a varint or fixed field
  std::string_view content{};  // of a bytes field: text or an inner message
};

class ProtobufMessage {
 public:
  // offset: of bytes in the file that path names, for messages
  ProtobufMessage(std::string_view bytes, std::uint64_t offset, const std::filesystem::path& path)
      : bytes_(bytes), offset_(offset), path_(path) {}

  // the next field, or nothing at the end; Fault::input with the offset when the bytes are no
  // message
  std::optional<ProtobufField> next();

 private:
  std::uint64_t read_varint();
  std::uint64_t read_fixed(std::size_t bytes);
  std::string_view take(std::uint64_t bytes, const char* what);

  std::string_view bytes_;  // what remains
  std::uint64_t offset_;    // of what remains
  const std::filesystem::path& path_;
};

}  // namespace tern
