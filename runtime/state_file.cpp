#include "runtime/state_file.h"

#include <charconv>

#include "core/backend.h"
#include "core/hex.h"
#include "data/io/hash.h"
#include "data/io/json.h"
#include "data/io/real_numbers.h"
#include "runtime/huggingface.h"
#include "runtime/packed_model.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

constexpr const char* kHash = "hash";  // u8, the last tensor: XXH3-128 of all bytes before it
constexpr const char* kMakeAnew = ": make it anew with --state-out";

SafetensorsFile open_file(const fs::path& path) {
  try {
    return SafetensorsFile::open(path);
  } catch (const Error& e) {
    fail(e.fault, e.what(), kMakeAnew);
  }
}

std::string name_of_tensor(std::size_t layer, std::size_t index) {
  return "layers." + std::to_string(layer) + ".state." + std::to_string(index);
}

// Of one sequence: of a cache the positions that were read, of other tensors all.
std::vector<std::int64_t> saved_shape(const StateSpec& spec, std::int64_t positions) {
  std::vector<std::int64_t> shape;
  for (int i = 0; i < spec.shape.rank(); ++i)
    shape.push_back(i == 1 && spec.cache ? positions : spec.shape[i]);
  return shape;
}

Index product(const std::vector<std::int64_t>& shape) {
  Index n = 1;
  for (const std::int64_t d : shape) n *= d;
  return n;
}

// The first elements of a tensor of one sequence: of a cache its first positions.
Tensor first_elements(const Tensor& of, Index count) {
  return of.reshape({of.elements()}).slice(0, count);
}

void add(Hash& hash, std::string_view text) {
  const std::uint64_t bytes = text.size();
  hash.update(std::as_bytes(std::span(&bytes, 1)));
  hash.update(std::as_bytes(std::span(text)));
}

// The manifest has a hash of every part of every tensor.
std::string fingerprint_of(const Manifest& manifest) {
  Hash hash;
  add(hash, "checkpoint");
  add(hash, manifest.config.dump());
  for (const StoredTensor& t : manifest.tensors) {
    if (t.name.starts_with(kFirstMoment) || t.name.starts_with(kSecondMoment)) continue;
    add(hash, t.name);
    for (const StoredRows& piece : t.pieces) add(hash, piece.hash);
  }
  return hash.hex();
}

std::string fingerprint_of_folder(const SavedModel& saved) {
  Hash hash;
  add(hash, "folder");
  add(hash, huggingface_config(saved.config.model, {}).dump());
  const Model model(saved.config.model, {});
  for (const Parameter* p : model.parameters()) {
    add(hash, p->name);
    add(hash, name_of(saved.weights.find(p->name)->type));
    saved.weights.read_rows(
        p->name, 0, std::uint64_t(p->shape[0]),
        [&](std::uint64_t, std::span<const std::byte> block) { hash.update(block); });
  }
  return hash.hex();
}

}  // namespace

std::string fingerprint_of(const SavedModel& saved) {
  if (saved.mapped) return saved.mapped->hash;
  return saved.manifest ? fingerprint_of(*saved.manifest) : fingerprint_of_folder(saved);
}

StateOwner owner_of(const SavedModel& saved) {
  return {.path = saved.path.string(),
          .fingerprint = fingerprint_of(saved),
          .tokenizer = require_tokenizer(saved).hash()};
}

void require_state_place(const fs::path& to) {
  if (path_exists(to, Fault::disk))
    require(is_state_file(to), Fault::usage, to.string(),
            ": expected a new file, or an earlier state to replace, got something else: remove it "
            "first, or take another name");
  require_replaceable(to);
}

void save_state(const fs::path& to, const TextGenerator& from, const StateOwner& owner) {
  const TextState state = from.state();
  const Model& model = from.generator().model();
  const auto specs = model.state_specs(1);
  const std::int64_t positions = state.generator.model.front().steps;
  std::vector<SafetensorsTensor> tensors;
  std::vector<Tensor> values;
  for (std::size_t l = 0; l < specs.size(); ++l)
    for (std::size_t i = 0; i < specs[l].size(); ++i) {
      const Tensor& all = state.generator.model[l].tensors[i];
      const auto shape = saved_shape(specs[l][i], positions);
      tensors.push_back({name_of_tensor(l, i), stored_type(all.dtype()), shape});
      values.push_back(product(shape) > 0 ? first_elements(all, product(shape)) : Tensor{});
    }
  tensors.push_back({kHash, StoredType::u8, {sizeof(HashBytes)}});
  const std::map<std::string, std::string> facts = {
      {"format", std::string(kStateFormat)},
      {"version", std::string(kStateVersion)},
      {"model", owner.fingerprint},
      {"tokenizer", owner.tokenizer},
      {"positions", std::to_string(positions)},
      {"unread", std::to_string(state.generator.unread)},
      {"drawn", std::to_string(state.generator.drawn)},
      {"held", to_hex(std::as_bytes(std::span(state.held)))},
      {"text_begins", state.text_begins ? "1" : "0"}};
  write_file_atomically(to, [&](File& file) {
    SafetensorsWriter writer(file, tensors, facts);
    std::vector<std::byte> bytes;
    for (const Tensor& t : values) {
      if (!t) continue;
      bytes.resize(t.bytes());
      t.backend().download(bytes.data(), t);
      writer.append(bytes);
    }
    writer.append(hash_bytes(writer.written()->bytes()));
    writer.finish();
  });
}

const std::string& StateFile::fact(const std::string& key) const {
  const auto at = file_.metadata().find(key);
  require(at != file_.metadata().end(), Fault::input, file_.path().string(),
          ": __metadata__: expected '", key, "', got none", kMakeAnew);
  return at->second;
}

std::uint64_t StateFile::number(const std::string& key, std::uint64_t most) const {
  const std::string& text = fact(key);
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, value);
  require(error == std::errc() && last == end && value <= most, Fault::input, file_.path().string(),
          ": __metadata__: ", key, ": expected a whole number from 0 to ", most, ", got ",
          quoted_text(text), kMakeAnew);
  return value;
}

// "e4bd" -> the two bytes
std::string StateFile::held() const {
  constexpr std::size_t kMost = 3;  // of a character of UTF-8, less the last
  const std::string& text = fact("held");
  std::string bytes;
  bool good = text.size() % 2 == 0 && text.size() <= 2 * kMost;
  for (std::size_t i = 0; good && i < text.size(); i += 2) {
    std::uint8_t byte = 0;
    const auto [end, error] = std::from_chars(&text[i], &text[i] + 2, byte, 16);
    good = error == std::errc() && end == &text[i] + 2;
    bytes += char(byte);
  }
  require(good, Fault::input, file_.path().string(), ": __metadata__: held: expected 0 to ", kMost,
          " bytes as hexadecimal digits, got ", quoted_text(text), kMakeAnew);
  return bytes;
}

void StateFile::require_hash() const {
  const std::string where = file_.path().string();
  const SafetensorsFile::Entry& e = file_.entry(kHash);
  const auto mapping = file_.map();
  const auto bytes = mapping->bytes();
  require(e.type == StoredType::u8 && e.bytes == sizeof(HashBytes) &&
              e.offset + e.bytes == bytes.size(),
          Fault::input, where, ": tensor '", kHash, "': expected U8 [", sizeof(HashBytes),
          "] at the end of the file", kMakeAnew);
  const HashBytes got = hash_bytes(bytes.first(e.offset));
  require(std::ranges::equal(got, bytes.subspan(e.offset)), Fault::input, where,
          ": expected the hash ", to_hex(bytes.subspan(e.offset)), ", got ", to_hex(got),
          ": the file is damaged", kMakeAnew);
}

void StateFile::require_tensors(const Model& model) const {
  const auto specs = model.state_specs(1);
  std::size_t count = 1;  // the hash
  for (std::size_t l = 0; l < specs.size(); ++l)
    for (std::size_t i = 0; i < specs[l].size(); ++i, ++count) {
      const std::string name = name_of_tensor(l, i);
      const SafetensorsFile::Entry& e = file_.entry(name);
      require(is_real(e.type) && e.shape == saved_shape(specs[l][i], positions_), Fault::input,
              file_.path().string(), ": tensor '", name,
              "': expected real numbers in the shape of this model's state at position ",
              positions_, ", got something else", kMakeAnew);
    }
  require(file_.entries().size() == count, Fault::input, file_.path().string(), ": expected ",
          count, " tensors, got ", file_.entries().size(), kMakeAnew);
}

bool is_state_file(const fs::path& path) {
  return packed_format_of(path) == kStateFormat;
}

StateFile StateFile::open(const fs::path& path) {
  StateFile state(open_file(path));
  const std::string where = path.string();
  const auto format = state.file_.metadata().find("format");
  require(format != state.file_.metadata().end() && format->second == kStateFormat, Fault::input,
          where, ": expected a state that --state-out wrote, got another safetensors file");
  require(state.fact("version") == kStateVersion, Fault::input, where, ": expected version ",
          kStateVersion, " of the format ", kStateFormat, ", got ",
          quoted_text(state.fact("version")), kMakeAnew);
  state.require_hash();
  state.fact("model"), state.fact("tokenizer");
  state.positions_ = std::int64_t(state.number("positions", std::uint64_t(kMostPositions)));
  state.state_.generator.unread =
      std::int32_t(state.number("unread", std::numeric_limits<std::int32_t>::max()));
  state.state_.generator.drawn = state.number("drawn", std::numeric_limits<std::uint64_t>::max());
  state.state_.text_begins = state.number("text_begins", 1) == 1;
  state.state_.held = state.held();
  return state;
}

StateFile StateFile::open(const fs::path& path, const StateOwner& owner,
                          const ModelConfig& config) {
  StateFile state = open(path);
  const std::string where = path.string();
  require(state.model() == owner.fingerprint, Fault::input, where,
          ": is the state of another model: expected the fingerprint ", owner.fingerprint, " of ",
          owner.path, ", got ", quoted_text(state.model()),
          ": name the model that wrote it, or make it anew with --state-out");
  require(state.tokenizer() == owner.tokenizer, Fault::input, where,
          ": was written with another tokenizer: expected the hash ", owner.tokenizer, ", got ",
          quoted_text(state.tokenizer()), kMakeAnew);
  state.require_tensors(Model(config, {}));
  state.number("unread", std::uint64_t(config.vocab_size) - 1);
  return state;
}

void StateFile::load(TextGenerator& to) const {
  TextState state = to.state();
  const Model& model = to.generator().model();
  const auto specs = model.state_specs(1);
  std::vector<std::byte> bytes;
  for (std::size_t l = 0; l < specs.size(); ++l) {
    LayerState& layer = state.generator.model[l];
    layer.steps = positions_;
    for (std::size_t i = 0; i < specs[l].size(); ++i) {
      const SafetensorsFile::Entry& e = file_.entry(name_of_tensor(l, i));
      if (e.bytes == 0) continue;
      const Index count = product(e.shape);
      check(count <= layer.tensors[i].elements(), "[StateFile] expected a generator with room for ",
            positions_, " positions");
      bytes.resize(e.bytes);
      file_.read(e, 0, bytes);
      const Tensor values = first_elements(layer.tensors[i], count);
      if (e.type == stored_type(values.dtype())) {
        values.backend().upload(values, bytes.data());
        continue;
      }
      std::vector<double> reals(static_cast<std::size_t>(count));
      read_reals(e.type, bytes, std::span(reals));
      upload_real(values, reals);
    }
  }
  state.generator.unread = state_.generator.unread;
  state.generator.drawn = state_.generator.drawn;
  state.held = state_.held;
  state.text_begins = state_.text_begins;
  to.set_state(std::move(state));
}

}  // namespace tern
