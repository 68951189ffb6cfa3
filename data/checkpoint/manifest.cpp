#include "data/checkpoint/manifest.h"

#include <algorithm>
#include <set>

#include "core/check.h"
#include "data/io/files.h"
#include "data/io/hash.h"

namespace tern {
namespace {

using nlohmann::json;

// The hash is the last member of the text and covers all bytes before this.
constexpr std::string_view kHashMember = ",\n \"hash\": \"";
constexpr std::size_t kHexDigits = 32, kMaxTensors = 100'000, kMaxFiles = 10'000, kMaxName = 512;

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

json to_json(const StoredTensor& tensor) {
  json pieces = json::array();
  for (const StoredRows& p : tensor.pieces)
    pieces.push_back({{"file", p.file},
                      {"offset", p.offset},
                      {"bytes", p.bytes},
                      {"first_row", p.first_row},
                      {"rows", p.rows},
                      {"hash", p.hash}});
  return {{"name", tensor.name},
          {"dtype", name_of(tensor.type)},
          {"shape", tensor.shape},
          {"pieces", std::move(pieces)}};
}

// Members of one JSON object by name and type. Errors name the object's place in the manifest.
class Members {
 public:
  Members(const json& object, std::string where) : object_(object), where_(std::move(where)) {
    require(object.is_object(), Fault::input, where_, ": expected an object");
  }

  const json& at(const char* key) const {
    const auto found = object_.find(key);
    require(found != object_.end(), Fault::input, where_, ": the key \"", key, "\" is missing");
    return *found;
  }

  std::uint64_t number(const char* key) const { return number(at(key), key); }

  std::string text(const char* key, std::size_t longest = kMaxName) const {
    const json& value = at(key);
    require(value.is_string() && value.get_ref<const std::string&>().size() <= longest,
            Fault::input, where_, ": ", key, ": expected a text of at most ", longest, " B");
    return value.get<std::string>();
  }

  std::string hash(const char* key) const {
    const std::string hex = text(key);
    require(hex.size() == kHexDigits && hex.find_first_not_of("0123456789abcdef") == hex.npos,
            Fault::input, where_, ": ", key, ": expected ", kHexDigits, " hexadecimal digits");
    return hex;
  }

  const json& array(const char* key, std::size_t longest) const {
    const json& value = at(key);
    require(value.is_array() && value.size() <= longest, Fault::input, where_, ": ", key,
            ": expected an array of at most ", longest);
    return value;
  }

  std::vector<std::uint64_t> numbers(const char* key, std::size_t longest) const {
    std::vector<std::uint64_t> values;
    for (const json& value : array(key, longest)) values.push_back(number(value, key));
    return values;
  }

 private:
  // at most 2^53: every reader of JSON agrees on those, and sums of two do not overflow
  std::uint64_t number(const json& value, const char* key) const {
    require(value.is_number_unsigned() && value.get<std::uint64_t>() <= (std::uint64_t(1) << 53),
            Fault::input, where_, ": ", key, ": expected a whole number from 0 to 2^53, got ",
            value.dump().substr(0, 40));
    return value.get<std::uint64_t>();
  }

  const json& object_;
  std::string where_;
};

StoredFile parse_file(const json& object, const std::string& where) {
  const Members m(object, where + ": files");
  StoredFile file{m.text("name"), m.number("bytes"), m.hash("structure_hash")};
  require(is_plain_name(file.name), Fault::input, where,
          ": files: expected a plain file name, got ",
          json(file.name).dump(-1, ' ', true, json::error_handler_t::replace).substr(0, 80));
  return file;
}

StoredRows parse_piece(const json& object, const std::string& where,
                       const std::map<std::string, std::uint64_t>& file_bytes) {
  const Members m(object, where);
  const StoredRows p{m.text("file"),        m.number("offset"), m.number("bytes"),
                     m.number("first_row"), m.number("rows"),   m.hash("hash")};
  const auto file = file_bytes.find(p.file);
  require(file != file_bytes.end(), Fault::input, where, ": its file is not listed");
  require(p.offset <= file->second && p.bytes <= file->second - p.offset, Fault::input, where,
          ": rows from ", p.first_row, " do not lie within ", p.file);
  return p;
}

StoredTensor parse_tensor(const json& object, const std::string& where,
                          const std::map<std::string, std::uint64_t>& file_bytes) {
  const Members m(object, where + ": tensors");
  StoredTensor t{m.text("name"), stored_type(m.text("dtype"), where), m.numbers("shape", 8), {}};
  const std::string here = where + ": tensor " + t.name;
  Dataset{here, t.type, t.shape}.bytes();  // throws if the shape is too large
  for (const json& piece : m.array("pieces", kMaxTensors))
    t.pieces.push_back(parse_piece(piece, here, file_bytes));
  return t;
}

void require_whole(const StoredTensor& t, const std::string& where) {
  const std::string here = where + ": tensor " + t.name;
  std::uint64_t rows = 0;
  const std::uint64_t row_bytes = t.rows() ? t.bytes() / t.rows() : 0;
  for (const StoredRows& p : t.pieces) {
    require(p.first_row == rows && p.rows <= t.rows() - rows && p.bytes == p.rows * row_bytes,
            Fault::input, here, ": expected its pieces to cover every row once, in order");
    rows += p.rows;
  }
  require(rows == t.rows() && !t.pieces.empty(), Fault::input, here, ": its pieces hold ", rows,
          " of ", t.rows(), " rows");
}

json files_json(const Manifest& manifest) {
  json files = json::array();
  for (const StoredFile& f : manifest.files)
    files.push_back({{"name", f.name}, {"bytes", f.bytes}, {"structure_hash", f.structure_hash}});
  return files;
}

json tensors_json(const Manifest& manifest) {
  json tensors = json::array();
  for (const StoredTensor& t : manifest.tensors) tensors.push_back(to_json(t));
  return tensors;
}

// Appends the files; the sizes of all by name.
std::map<std::string, std::uint64_t> parse_files(const Members& m, Manifest& to,
                                                 const std::string& where) {
  for (const json& object : m.array("files", kMaxFiles))
    to.files.push_back(parse_file(object, where));
  std::map<std::string, std::uint64_t> file_bytes;
  for (const StoredFile& file : to.files)
    require(file_bytes.emplace(file.name, file.bytes).second, Fault::input, where, ": file ",
            file.name, " is listed twice");
  return file_bytes;
}

void require_own_hash(std::string_view text, const Members& m, const std::string& where) {
  const std::size_t end = text.rfind(kHashMember);
  const std::string expected = m.hash("hash");
  require(end != text.npos && hash_hex(as_bytes(text.substr(0, end))) == expected &&
              text.substr(end) == std::string(kHashMember) + expected + "\"\n}\n",
          Fault::input, where, ": damaged: it does not match the hash at its end");
}

}  // namespace

std::uint64_t StoredTensor::bytes() const {
  return Dataset{name, type, shape}.bytes();
}

std::vector<Extent> extents_of(const Manifest& manifest, const std::string& file) {
  std::vector<Extent> extents;
  for (const StoredTensor& t : manifest.tensors)
    for (const StoredRows& p : t.pieces)
      if (p.file == file) extents.push_back({p.offset, p.bytes});
  return extents;
}

std::string shard_label(std::uint64_t step) {
  return "tern checkpoint " + std::to_string(kManifestFormat) + ", step " + std::to_string(step) +
         ";";
}

std::string to_text(const Manifest& manifest) {
  const json all = {{"format", kManifestFormat},     {"version", manifest.version},
                    {"step", manifest.step},         {"tokens", manifest.tokens},
                    {"world", manifest.world},       {"parameters", manifest.parameters},
                    {"config", manifest.config},     {"state", manifest.state},
                    {"files", files_json(manifest)}, {"tensors", tensors_json(manifest)}};
  std::string text = all.dump(1);
  text.resize(text.size() - std::string_view("\n}").size());
  const std::string hash = hash_hex(as_bytes(text));
  text.append(kHashMember).append(hash).append("\"\n}\n");
  check(text.size() <= kMaxManifestBytes, "[manifest] expected at most ", kMaxManifestBytes,
        " B, got ", text.size());
  return text;
}

Manifest parse_manifest(std::string_view text, const std::string& where) {
  const json all = parse_json(text, where);
  const Members m(all, where);
  const std::uint64_t format = m.number("format");
  require(format <= kManifestFormat, Fault::input, where, ": format ", format,
          " was made by a newer release of tern; this one reads format ", kManifestFormat);
  require(format == kManifestFormat, Fault::input, where, ": unknown format ", format);
  require_own_hash(text, m, where);
  Manifest manifest{m.text("version"),
                    m.number("step"),
                    m.number("tokens"),
                    m.number("parameters"),
                    m.number("world"),
                    m.at("config"),
                    m.at("state"),
                    {},
                    {}};
  const auto file_bytes = parse_files(m, manifest, where);
  std::set<std::string> names;
  for (const json& object : m.array("tensors", kMaxTensors)) {
    manifest.tensors.push_back(parse_tensor(object, where, file_bytes));
    require_whole(manifest.tensors.back(), where);
    const std::string& name = manifest.tensors.back().name;
    require(names.insert(name).second, Fault::input, where, ": tensor ", name, " is listed twice");
  }
  return manifest;
}

std::string shard_text(const Manifest& shard) {
  return json{{"files", files_json(shard)}, {"tensors", tensors_json(shard)}}.dump();
}

void add_shard(Manifest& to, std::string_view text, const std::string& where) {
  const json all = parse_json(text, where);
  const Members m(all, where);
  const auto file_bytes = parse_files(m, to, where);
  for (const json& object : m.array("tensors", kMaxTensors)) {
    StoredTensor part = parse_tensor(object, where, file_bytes);
    const auto known = std::find_if(to.tensors.begin(), to.tensors.end(),
                                    [&](const StoredTensor& t) { return t.name == part.name; });
    if (known == to.tensors.end()) {
      to.tensors.push_back(std::move(part));
      continue;
    }
    known->pieces.insert(known->pieces.end(), part.pieces.begin(), part.pieces.end());
    std::stable_sort(
        known->pieces.begin(), known->pieces.end(),
        [](const StoredRows& a, const StoredRows& b) { return a.first_row < b.first_row; });
  }
}

}  // namespace tern
