#include "data/io/safetensors.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "core/check.h"
#include "data/io/json.h"

namespace tern {
namespace {

constexpr std::uint64_t kMaxHeader = 100'000'000;
constexpr std::size_t kMaxTensors = 100'000;
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
  std::string header(length, '\0');
  out.file_.pread_all(8, std::as_writable_bytes(std::span(header)));
  const nlohmann::json json = parse_json(header, where);
  require(json.is_object() && json.size() <= kMaxTensors, Fault::input, where,
          ": expected a JSON object of at most ", kMaxTensors, " tensors");
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__") {
      for (const auto& [key, text] : value.items())
        if (text.is_string()) out.metadata_[key] = text.get<std::string>();
      continue;
    }
    const Entry e = parse_entry(where + ": tensor '" + name + "'", value, 8 + length, size);
    ranges.emplace_back(e.offset, e.offset + e.bytes);
    out.entries_[name] = e;
  }
  std::sort(ranges.begin(), ranges.end());
  std::uint64_t at = 8 + length;
  for (const auto& [begin, end] : ranges) {
    require(begin == at, Fault::input, where,
            ": expected tensors without gaps or overlaps, at byte ", at, " the next one begins at ",
            begin);
    at = end;
  }
  require(at == size, Fault::input, where, ": expected the file to end at byte ", at, ", it has ",
          size);
  return out;
}

const SafetensorsFile::Entry& SafetensorsFile::entry(const std::string& name) const {
  const auto at = entries_.find(name);
  require(at != entries_.end(), Fault::input, path().string(), ": no tensor '", name, "'");
  return at->second;
}

template <class T>
std::vector<T> SafetensorsFile::read(const Entry& e) const {
  std::vector<T> values(e.bytes / sizeof(T));
  file_.pread_all(e.offset, std::as_writable_bytes(std::span(values)));
  return values;
}

std::vector<double> SafetensorsFile::read_real(const std::string& name) const {
  const Entry& e = entry(name);
  if (e.type == StoredType::f64) return read<double>(e);
  require(e.type == StoredType::f32, Fault::input, path().string(), ": tensor '", name,
          "': expected F32 or F64, got ", info_of(e.type).safetensors);
  const std::vector<float> values = read<float>(e);
  return {values.begin(), values.end()};
}

std::vector<std::int32_t> SafetensorsFile::read_i32(const std::string& name) const {
  const Entry& e = entry(name);
  require(e.type == StoredType::i32, Fault::input, path().string(), ": tensor '", name,
          "': expected I32, got ", info_of(e.type).safetensors);
  return read<std::int32_t>(e);
}

}  // namespace tern
