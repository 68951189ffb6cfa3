#include "apps/rtl/model_image.h"

#include <algorithm>

#include "core/backend.h"
#include "core/hex.h"
#include "data/io/hash.h"
#include "layers/decode_model.h"
#include "runtime/huggingface.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kHashAt = offsetof(rtl::ImageHeader, hash);
constexpr const char* kHowToMend = ": copy it again, or write it anew with tern export --to rtl";

// Of all bytes, those of the hash itself as zeros.
std::string image_hash(std::span<const std::byte> bytes) {
  constexpr HashBytes kZeros{};
  Hash hash;
  hash.update(bytes.first(kHashAt));
  hash.update(kZeros);
  hash.update(bytes.subspan(kHashAt + kZeros.size()));
  return hash.hex();
}

void require_replaceable_image(const fs::path& to) {
  if (!path_exists(to, Fault::usage)) return;
  require(is_model_image(to), Fault::usage, to.string(),
          ": expected a new file, or an image to replace, got something else: remove it first, or "
          "take another name");
}

rtl::Image image_of(const SavedModel& from, std::uint32_t port_bits) {
  const auto use = [](Model& model) { decode_model(model, model.new_state(1)); };
  const LoadedModel loaded = load_model(from, Device("cpu"), use);
  const auto model = decode_model(*loaded.model, loaded.model->new_state(1));
  require(model.has_value(), Fault::usage, from.path.string(),
          ": expected a ternary MatMul-free model with an output gate, trained in f32, which is "
          "what the accelerator computes, got another one");
  try {
    return rtl::Image::of(
        *model, port_bits,
        {.config = huggingface_config(from.config.model, facts_of(from, StoredType::f32)).dump(),
         .tokenizer = from.tokenizer ? from.tokenizer->file() : ""});
  } catch (const Error& e) {
    fail(e.fault, from.path.string(), ": ", e.what());
  }
}

void require_sizes(const rtl::ImageSizes& got, const ModelConfig& expected,
                   const std::string& where) {
  const auto same = [&](const char* name, std::int64_t wanted, std::uint32_t value) {
    require(wanted == value, Fault::input, where, ": header: ", name, ": expected ", wanted,
            " of the configuration, got ", value, kHowToMend);
  };
  same("hidden_size", expected.width, got.width);
  same("intermediate_size", expected.glu_width(), got.glu_width);
  same("num_hidden_layers", expected.layers, got.layers);
  same("vocab_size", expected.vocab_size, got.vocabulary);
}

}  // namespace

bool is_model_image(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return false;
  std::array<char, rtl::ImageHeader::kMagic.size()> begin{};
  File file = File::open(path, Links::follow);
  return file.read_some(std::as_writable_bytes(std::span(begin))) == begin.size() &&
         begin == rtl::ImageHeader::kMagic;
}

std::uint64_t export_image(const SavedModel& from, const fs::path& to, std::uint32_t port_bits) {
  require_replaceable_image(to);
  rtl::Image image = image_of(from, port_bits);
  image.set_hash(hash_bytes(image.bytes()));
  write_file_atomically(to, [&](File& file) { file.write_all(image.bytes()); });
  return image.bytes().size();
}

ModelImage open_image(const fs::path& path) {
  const std::string where = path.string();
  const File file = File::open(path, Links::follow);
  std::vector<std::byte> bytes(std::min<std::uint64_t>(file.size(), rtl::kHeaderBytes));
  file.pread_all(0, bytes);
  const std::uint64_t wanted = rtl::Image::bytes_of(bytes, where);
  require(file.size() == wanted, Fault::input, where, ": expected ", wanted,
          " bytes, as its header says, got ", file.size(), ": the file is truncated or damaged");
  bytes.resize(wanted);
  file.pread_all(0, bytes);
  ModelImage out{.image = rtl::Image::parse(std::move(bytes), where)};
  const std::string expected = to_hex(out.image.header().hash), got = image_hash(out.image.bytes());
  require(expected == got, Fault::input, where, ": expected the hash ", expected, ", got ", got,
          ": the file is damaged", kHowToMend);
  const std::string config = where + ": configuration";
  const auto read = read_huggingface_config(parse_json(out.image.config(), config), config);
  out.config = read.model, out.documents = read.facts.documents;
  require_sizes(out.image.header().sizes, out.config, where);
  if (out.image.tokenizer().empty()) return out;
  out.tokenizer = Tokenizer::parse(std::string(out.image.tokenizer()), path);
  require(out.tokenizer->vocab_size() == out.config.vocab_size, Fault::input, where,
          ": tokenizer: expected ", out.config.vocab_size, " pieces, got ",
          out.tokenizer->vocab_size(), kHowToMend);
  return out;
}

}  // namespace tern
