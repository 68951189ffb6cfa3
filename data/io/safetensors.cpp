#include "data/io/safetensors.h"

#include <algorithm>
#include <limits>

#include "core/check.h"
#include "data/io/json.h"

namespace tern {
namespace {

constexpr std::uint64_t kMaxHeader = 100'000'000;
constexpr std::size_t kMaxTensors = 100'000;
constexpr std::size_t kLargePage = std::size_t(2) << 20;  // bytes
constexpr std::size_t kMaxName = 512;                     // bytes
constexpr std::int64_t kMaxDimension = std::int64_t(1) << 31;

std::optional<StoredType> type_of(const std::string& dtype) {
  for (std::size_t i = 0; i < kStoredTypes; ++i)
    if (info_of(StoredType(i)).safetensors == dtype) return StoredType(i);
  return std::nullopt;
}

// product of dimensions times element size; false on overflow
bool byte_count(const std::vector<std::int64_t>& shape, std::uint64_t element,
                std::uint64_t& bytes) {
  bytes = element;
  for (const std::int64_t d : shape) {
    if (d < 0 || d > kMaxDimension) return false;
    if (d && bytes > std::numeric_limits<std::uint64_t>::max() / std::uint64_t(d)) return false;
    bytes *= std::uint64_t(d);
  }
  return true;
}

SafetensorsFile::Entry parse_entry(const std::string& where, const nlohmann::json& value,
                                   std::uint64_t data_begin, std::uint64_t file_size) {
  require(value.is_object() && value.contains("dtype") && value["dtype"].is_string() &&
              value.contains("shape") && value["shape"].is_array() &&
              value.contains("data_offsets") && value["data_offsets"].is_array() &&
              value["data_offsets"].size() == 2,
          Fault::input, where, ": expected dtype, shape and data_offsets");
  SafetensorsFile::Entry e;
  const std::string dtype = value["dtype"].get<std::string>();
  require(value["shape"].size() <= 8, Fault::input, where, ": expected rank <= 8, got ",
          value["shape"].size());
  for (const auto& d : value["shape"]) {
    require(d.is_number_unsigned(), Fault::input, where, ": expected dimensions >= 0");
    e.shape.push_back(std::int64_t(
        std::min<std::uint64_t>(d.get<std::uint64_t>(), std::uint64_t(kMaxDimension) + 1)));
  }
  const auto &first = value["data_offsets"][0], &last = value["data_offsets"][1];
  require(first.is_number_unsigned() && last.is_number_unsigned(), Fault::input, where,
          ": expected whole data_offsets >= 0");
  const std::uint64_t begin = first.get<std::uint64_t>(), end = last.get<std::uint64_t>();
  std::uint64_t bytes = 0;
  const std::optional<StoredType> type = type_of(dtype);
  require(type.has_value(), Fault::input, where, ": unknown dtype '", dtype, "'");
  e.type = *type;
  require(byte_count(e.shape, item_bytes(e.type), bytes) && begin <= end &&
              end <= file_size - data_begin && end - begin == bytes,
          Fault::input, where, ": expected ", bytes, " B inside the file for its shape, got bytes ",
          begin, " to ", end);
  e.offset = data_begin + begin;
  e.bytes = bytes;
  return e;
}

using Json = nlohmann::json;

bool is_tensor_name(const std::string& name) {
  const auto control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  return !name.empty() && name.size() <= kMaxName && std::ranges::none_of(name, control);
}

// Texts of strings, as PyTorch and transformers read them.
std::map<std::string, std::string> parse_metadata(const std::string& where,
                                                  const nlohmann::json& value) {
  require(value.is_object(), Fault::input, where, ": __metadata__: expected an object, got ",
          value.type_name());
  std::map<std::string, std::string> metadata;
  for (const auto& [key, text] : value.items()) {
    require(text.is_string(), Fault::input, where, ": __metadata__: expected texts, got ",
            text.type_name());
    metadata[key] = text.get<std::string>();
  }
  return metadata;
}

struct Range {
  std::uint64_t begin, end;  // bytes of the file
  std::string name;
  auto operator<=>(const Range&) const = default;
};

// The tensors fill the file from `begin` to `end`.
void require_filled(std::vector<Range> ranges, std::uint64_t begin, std::uint64_t end,
                    const std::string& where) {
  std::sort(ranges.begin(), ranges.end());
  std::uint64_t at = begin;
  std::string before = "the header";
  for (const Range& r : ranges) {
    const std::string name = "tensor '" + r.name + "'";
    require(r.begin == at, Fault::input, where, ": ", name, " begins at byte ", r.begin,
            r.begin < at ? ": it overlaps " : ": there is a gap after ", before,
            ", which ends at byte ", at);
    at = r.end;
    before = name;
  }
  require(at == end, Fault::input, where, ": expected the file to end with ", before, " at byte ",
          at, ", it has ", end, " B");
}

}  // namespace

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  SafetensorsFile out(File::open(path, Links::follow));
  const std::string where = path.string();
  const std::uint64_t size = out.file_.size();
  require(size >= 8, Fault::input, where, ": expected a safetensors file, got ", size, " B");
  std::uint64_t length = 0;
  out.file_.pread_all(0, std::as_writable_bytes(std::span(&length, 1)));
  require(length <= kMaxHeader && length <= size - 8, Fault::input, where, ": header of ", length,
          " B does not fit the file of ", size, " B");
  out.header_bytes_ = 8 + length;
  std::string header(length, '\0');
  out.file_.pread_all(8, std::as_writable_bytes(std::span(header)));
  const nlohmann::json json = parse_json(header, where);
  require(json.is_object() && json.size() <= kMaxTensors, Fault::input, where,
          ": expected a JSON object of at most ", kMaxTensors, " tensors");
  std::vector<Range> ranges;
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__") {
      out.metadata_ = parse_metadata(where, value);
      continue;
    }
    require(is_tensor_name(name), Fault::input, where, ": expected names of tensors of 1 to ",
            kMaxName, " B without control characters, got ",
            Json(name.substr(0, 80)).dump(-1, ' ', true, Json::error_handler_t::replace));
    const Entry e = parse_entry(where + ": tensor '" + name + "'", value, 8 + length, size);
    ranges.push_back({e.offset, e.offset + e.bytes, name});
    out.entries_[name] = e;
  }
  require_filled(std::move(ranges), 8 + length, size, where);
  return out;
}

const SafetensorsFile::Entry& SafetensorsFile::entry(const std::string& name) const {
  const auto at = entries_.find(name);
  require(at != entries_.end(), Fault::input, path().string(), ": no tensor '", name, "'");
  return at->second;
}

void SafetensorsFile::read(const Entry& e, std::uint64_t offset, std::span<std::byte> to) const {
  check(offset <= e.bytes && to.size() <= e.bytes - offset, "[safetensors] expected at most ",
        e.bytes, " B of a tensor, got ", to.size(), " from ", offset);
  file_.pread_all(e.offset + offset, to);
  FileIdentity now = file_.identity();
  now.linked = identity_.linked;  // a file that was only replaced is still the one that was opened
  require(now == identity_, Fault::input, path().string(), ": changed while it was read");
}

std::shared_ptr<const MappedFile> SafetensorsFile::map() const {
  const auto mapped = MappedFile::map(file_);
  require(mapped->bytes().size() == identity_.bytes, Fault::input, path().string(),
          ": changed while it was read");
  return mapped;
}

namespace {

template <class T>
std::vector<T> read_all(const SafetensorsFile& file, const SafetensorsFile::Entry& e) {
  std::vector<T> values(e.bytes / sizeof(T));
  file.read(e, 0, std::as_writable_bytes(std::span(values)));
  return values;
}

}  // namespace

std::vector<double> SafetensorsFile::read_real(const std::string& name) const {
  const Entry& e = entry(name);
  if (e.type == StoredType::f64) return read_all<double>(*this, e);
  require(e.type == StoredType::f32, Fault::input, path().string(), ": tensor '", name,
          "': expected F32 or F64, got ", info_of(e.type).safetensors);
  const std::vector<float> values = read_all<float>(*this, e);
  return {values.begin(), values.end()};
}

std::vector<std::int32_t> SafetensorsFile::read_i32(const std::string& name) const {
  const Entry& e = entry(name);
  require(e.type == StoredType::i32, Fault::input, path().string(), ": tensor '", name,
          "': expected I32, got ", info_of(e.type).safetensors);
  return read_all<std::int32_t>(*this, e);
}

std::uint64_t SafetensorsTensor::bytes() const {
  std::uint64_t bytes = 0;
  check(byte_count(shape, item_bytes(type), bytes), "[safetensors] ", name, " is too large");
  return bytes;
}

SafetensorsWriter::SafetensorsWriter(File& file, std::span<const SafetensorsTensor> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : file_(file) {
  nlohmann::json header = {{"__metadata__", metadata}};
  for (const SafetensorsTensor& t : tensors) {
    const std::uint64_t end = missing_ + t.bytes();
    header[t.name] = {{"dtype", info_of(t.type).safetensors},
                      {"shape", t.shape},
                      {"data_offsets", {missing_, end}}};
    missing_ = end;
  }
  std::string text = header.dump();
  std::uint64_t length = text.size();
  const std::uint64_t before = sizeof length + length;
  length += (kSafetensorsAlignment - before % kSafetensorsAlignment) % kSafetensorsAlignment;
  text.resize(length, ' ');
  write(std::as_bytes(std::span(&length, 1)));
  write(std::as_bytes(std::span(text)));
}

void SafetensorsWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), kLargePage - end_ % kLargePage));
    block_.insert(block_.end(), part.begin(), part.end());
    end_ += part.size();
    if (end_ % kLargePage == 0) flush();
    bytes = bytes.subspan(part.size());
  }
}

void SafetensorsWriter::flush() {
  file_.write_all(block_);
  block_.clear();
}

void SafetensorsWriter::append(std::span<const std::byte> bytes) {
  check(bytes.size() <= missing_, "[safetensors] expected at most ", missing_, " B more, got ",
        bytes.size());
  write(bytes);
  missing_ -= bytes.size();
}

std::shared_ptr<const MappedFile> SafetensorsWriter::written() {
  flush();
  return MappedFile::map(file_);
}

void SafetensorsWriter::finish() {
  check(missing_ == 0, "[safetensors] ", missing_, " B of tensors were not written");
  flush();
}

}  // namespace tern
