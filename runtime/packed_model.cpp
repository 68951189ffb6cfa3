#include "runtime/packed_model.h"

#include <algorithm>
#include <cmath>

#include "core/hex.h"
#include "core/ternary_tiles.h"
#include "runtime/huggingface.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kHashedBlock = 4 << 20;  // bytes
constexpr const char* kHowToMend = ": copy it again, or write it anew with tern export --to packed";

// A file that is open and mapped.
struct PackedFile {
  SafetensorsFile file;
  std::shared_ptr<const MappedFile> mapping;

  std::string where() const { return file.path().string(); }
  std::span<const std::byte> bytes(const SafetensorsFile::Entry& e) const {
    return mapping->bytes().subspan(e.offset, e.bytes);
  }
  template <class T>
  const T* data(const std::string& name) const {
    return reinterpret_cast<const T*>(bytes(file.entry(name)).data());
  }
  std::string metadata(const char* key) const {
    const auto at = file.metadata().find(key);
    require(at != file.metadata().end(), Fault::input, where(), ": __metadata__: expected '", key,
            "', got none", kHowToMend);
    return at->second;
  }
};

SafetensorsFile open_file(const fs::path& path) {
  try {
    return SafetensorsFile::open(path);
  } catch (const Error& e) {
    fail(e.fault, e.what(), kHowToMend);
  }
}

void require_ours(const SafetensorsFile& file) {
  const auto text = [&](const char* key) {
    const auto at = file.metadata().find(key);
    return at == file.metadata().end() ? std::string("none") : quoted_text(at->second);
  };
  const std::string format = '"' + std::string(kPackedFormat) + '"',
                    version = '"' + std::string(kPackedVersion) + '"';
  require(text("format") == format, Fault::input, file.path().string(),
          ": expected a packed model, with the format ", format,
          " in its metadata, got a safetensors file of ", file.entries().size(),
          " tensors with the format ", text("format"),
          ": give a Hugging Face model by its folder, or write a packed one with tern export");
  require(text("version") == version, Fault::input, file.path().string(), ": expected version ",
          version, " of the format ", kPackedFormat, ", got ", text("version"),
          ": use the tern that wrote it (", text("written_by"),
          "), or write it anew with this one's tern export");
}

std::string text_of(const std::vector<std::int64_t>& shape) {
  return nlohmann::json(shape).dump();
}

// "tensor 'a', 'b' and 3 more": what a range of bytes belongs to
std::string parts_in(const SafetensorsFile& file, std::uint64_t begin, std::uint64_t end) {
  constexpr std::size_t kNamed = 2;
  std::string names;
  std::size_t count = 0;
  for (const auto& [name, e] : file.entries())
    if (e.offset < end && e.offset + e.bytes > begin && ++count <= kNamed)
      names += (names.empty() ? "tensor '" : ", '") + name + '\'';
  return count > kNamed ? names + " and " + std::to_string(count - kNamed) + " more" : names;
}

struct HashedBlock {
  std::uint64_t begin, end;  // bytes of the file
};
HashedBlock hashed_block(std::uint64_t block, std::uint64_t header, std::uint64_t bytes) {
  if (block == 0) return {0, header};
  const std::uint64_t begin = header + (block - 1) * kHashedBlock;
  return {begin, std::min(begin + kHashedBlock, bytes)};
}

// Everything before the hashes has its hash.
void require_hashes(const PackedFile& packed) {
  const SafetensorsFile::Entry& e = packed.file.entry(kPackedHashes);
  const std::uint64_t header = packed.file.header_bytes();
  const std::vector<std::int64_t> shape = packed_hashes_shape(e.offset - header);
  require(e.type == StoredType::u8 && e.shape == shape &&
              e.offset + e.bytes == packed.mapping->bytes().size(),
          Fault::input, packed.where(), ": tensor '", kPackedHashes, "': expected U8 ",
          text_of(shape), " at the end of the file, got ", info_of(e.type).safetensors, ' ',
          text_of(e.shape), " at byte ", e.offset, kHowToMend);
  const std::vector<HashBytes> hashes =
      packed_hashes(packed.mapping->bytes().first(e.offset), header);
  const std::span<const std::byte> stored = packed.bytes(e);
  for (std::uint64_t b = 0; b < hashes.size(); ++b) {
    const auto expected = stored.subspan(b * sizeof(HashBytes), sizeof(HashBytes));
    if (std::ranges::equal(hashes[b], expected)) continue;
    const auto [begin, end] = hashed_block(b, header, e.offset);
    fail(Fault::input, packed.where(), ": bytes ", begin, " to ", end - 1, ", in ",
         b == 0 ? "the header" : parts_in(packed.file, begin, end), ": expected the hash ",
         to_hex(expected), ", got ", to_hex(hashes[b]), ": the file is damaged", kHowToMend);
  }
}

// Of what a parameter may be stored as; ternary ones are U8.
std::vector<StoredType> types_of(const Parameter& p) {
  if (p.ternary) return {StoredType::u8};
  if (p.sharding == Sharding::rows) return {StoredType::f32, StoredType::bf16, StoredType::i8};
  return {StoredType::f32};
}

using Tensors =
    std::map<std::string, std::pair<std::vector<StoredType>, std::vector<std::int64_t>>>;

// What a model's file holds: types and shape of each.
Tensors tensors_of(const PackedFile& packed, const Model& model) {
  Tensors tensors;
  const auto& entries = packed.file.entries();
  for (const Parameter* p : model.parameters()) {
    std::vector<std::int64_t> shape;
    for (int i = 0; i < p->shape.rank(); ++i) shape.push_back(p->shape[i]);
    tensors[p->name] = {types_of(*p), p->ternary ? packed_shape(p->shape) : shape};
    const auto at = entries.find(p->name);
    if (p->ternary) tensors[p->name + kPackedScale] = {{StoredType::f32}, {1}};
    if (!p->ternary && at != entries.end() && at->second.type == StoredType::i8)
      tensors[p->name + kPackedScale] = {{StoredType::f32}, {p->shape[0]}};
  }
  if (const auto at = entries.find(kPackedTokenizer); at != entries.end())
    tensors[kPackedTokenizer] = {{StoredType::u8}, {std::int64_t(at->second.bytes)}};
  tensors[kPackedHashes] = {{StoredType::u8}, packed.file.entry(kPackedHashes).shape};
  return tensors;
}

void require_tensors(const PackedFile& packed, const Model& model) {
  std::vector<std::string> problems;
  const Tensors tensors = tensors_of(packed, model);
  for (const auto& [name, wanted] : tensors) {
    const auto& [types, shape] = wanted;
    std::string expected;
    for (const StoredType type : types)
      expected += (expected.empty() ? "" : " or ") + std::string(info_of(type).safetensors);
    expected += ' ' + text_of(shape);
    const auto at = packed.file.entries().find(name);
    if (at == packed.file.entries().end()) {
      problems.push_back("tensor '" + name + "': expected " + expected + ", got none");
      continue;
    }
    const SafetensorsFile::Entry& e = at->second;
    if (e.shape != shape || std::ranges::find(types, e.type) == types.end())
      problems.push_back("tensor '" + name + "': expected " + expected + ", got " +
                         std::string(info_of(e.type).safetensors) + ' ' + text_of(e.shape));
    else if (e.offset % item_bytes(e.type) != 0)
      problems.push_back("tensor '" + name + "': expected it to begin at a multiple of " +
                         std::to_string(item_bytes(e.type)) + " B, got byte " +
                         std::to_string(e.offset));
  }
  for (const auto& [name, e] : packed.file.entries())
    if (!tensors.contains(name))
      problems.push_back("tensor '" + name + "': expected none of this name, got " +
                         std::string(info_of(e.type).safetensors) + ' ' + text_of(e.shape));
  require_none(problems, Fault::input, packed.where() + ": ");
}

void require_scales(const PackedFile& packed, const std::string& name, std::int64_t count) {
  const float* const scales = packed.data<float>(name);
  for (std::int64_t i = 0; i < count; ++i)
    require(std::isfinite(scales[i]) && scales[i] > 0, Fault::input, packed.where(), ": tensor '",
            name, "': element ", i, ": expected a finite number > 0, got ", scales[i], kHowToMend);
}

void require_codes(const PackedFile& packed, const std::vector<const Parameter*>& matrices) {
  std::vector<std::optional<WrongCode>> wrong(matrices.size());
#pragma omp parallel for schedule(dynamic)
  for (std::size_t i = 0; i < matrices.size(); ++i)
    wrong[i] = find_wrong_code(packed.data<TernaryTile>(matrices[i]->name), matrices[i]->shape[0],
                               matrices[i]->shape[1]);
  for (std::size_t i = 0; i < matrices.size(); ++i)
    if (wrong[i]) {
      const Shape& shape = matrices[i]->shape;
      const bool inside = wrong[i]->row < shape[0] && wrong[i]->column < shape[1];
      fail(Fault::input, packed.where(), ": tensor '", matrices[i]->name, "': row ", wrong[i]->row,
           ", column ", wrong[i]->column, ": expected the code ",
           inside ? "0, 1 or 2" : "1, beyond the matrix", ", got ", wrong[i]->code, kHowToMend);
    }
}

// Of norms, bounds and an embedding in f32 or bf16: no bits of infinity or NaN.
void require_finite(const PackedFile& packed, const std::string& name) {
  const SafetensorsFile::Entry& e = packed.file.entry(name);
  const auto look = [&]<class Bits>(const Bits* bits, Bits exponent) {
    const std::size_t count = e.bytes / sizeof(Bits);
    const Bits* const bad =
        std::find_if(bits, bits + count, [&](Bits x) { return (x & exponent) == exponent; });
    require(bad == bits + count, Fault::input, packed.where(), ": tensor '", name, "': element ",
            bad - bits, ": expected a finite number, got none", kHowToMend);
  };
  if (e.type == StoredType::f32) look(packed.data<std::uint32_t>(name), 0x7f80'0000u);
  if (e.type == StoredType::bf16) look(packed.data<std::uint16_t>(name), std::uint16_t(0x7f80));
}

MappedWeights mapped_of(const PackedFile& packed, const Model& model) {
  MappedWeights mapped{.owner = packed.mapping,
                       .hash = hash_hex(packed.bytes(packed.file.entry(kPackedHashes)))};
  for (const Parameter* p : model.parameters()) {
    const std::string scale = p->name + kPackedScale;
    const StoredType type = packed.file.entry(p->name).type;
    mapped.weights[p->name] = {
        .type = p->ternary                 ? DType::t2
                : type == StoredType::i8   ? DType::i8
                : type == StoredType::bf16 ? DType::bf16
                                           : DType::f32,
        .data = packed.data<std::byte>(p->name),
        .scale = packed.file.contains(scale) ? packed.data<float>(scale) : nullptr};
  }
  return mapped;
}

void require_weights_of(const PackedFile& packed, const Model& model) {
  require(model.config().quantize == Quantize::ternary, Fault::input, packed.where(),
          ": __metadata__: config: quantize: expected \"ternary\", got \"none\"", kHowToMend);
  require_tensors(packed, model);
  std::vector<const Parameter*> matrices;
  for (const Parameter* p : model.parameters()) {
    if (p->ternary) matrices.push_back(p);
    const std::string scale = p->name + kPackedScale;
    if (packed.file.contains(scale))
      require_scales(packed, scale, packed.file.entry(scale).shape[0]);
    else
      require_finite(packed, p->name);
  }
  require_codes(packed, matrices);
}

}  // namespace

std::vector<std::int64_t> packed_shape(const Shape& matrix) {
  return {tiles_along(matrix[0]), tiles_along(matrix[1]), sizeof(TernaryTile)};
}

std::vector<std::int64_t> packed_hashes_shape(std::uint64_t bytes) {
  return {std::int64_t(1 + (bytes + kHashedBlock - 1) / kHashedBlock), sizeof(HashBytes)};
}

std::vector<HashBytes> packed_hashes(std::span<const std::byte> bytes, std::uint64_t header) {
  std::vector<HashBytes> hashes(std::size_t(packed_hashes_shape(bytes.size() - header)[0]));
#pragma omp parallel for schedule(dynamic)
  for (std::size_t b = 0; b < hashes.size(); ++b) {
    const auto [begin, end] = hashed_block(b, header, bytes.size());
    hashes[b] = hash_bytes(bytes.subspan(begin, end - begin));
  }
  return hashes;
}

std::string packed_format_of(const fs::path& path) {
  try {
    const SafetensorsFile file = SafetensorsFile::open(path);
    const auto at = file.metadata().find("format");
    return at == file.metadata().end() ? "" : at->second;
  } catch (const Error&) {
    return "";
  }
}

bool is_packed_model(const fs::path& path) {
  std::error_code error;
  return path.extension() == ".safetensors" && fs::is_regular_file(path, error);
}

SavedModel open_packed(const fs::path& path) {
  SafetensorsFile file = open_file(path);
  require_ours(file);
  auto mapping = file.map();
  const PackedFile packed{std::move(file), std::move(mapping)};
  require_hashes(packed);
  const std::string where = packed.where() + ": __metadata__: config";
  const ReadHuggingFaceConfig read =
      read_huggingface_config(parse_json(packed.metadata("config"), where), where);
  const Model model(read.model, {});
  require_weights_of(packed, model);
  SavedModel saved{.path = path,
                   .config = {},
                   .mapped = mapped_of(packed, model),
                   .documents = read.facts.documents};
  saved.config.model = read.model;
  saved.config.batch.context = read.facts.context;
  if (!packed.file.contains(kPackedTokenizer)) return saved;
  const auto tokenizer = packed.bytes(packed.file.entry(kPackedTokenizer));
  set_own_tokenizer(
      saved,
      Tokenizer::parse({reinterpret_cast<const char*>(tokenizer.data()), tokenizer.size()}, path),
      where);
  return saved;
}

}  // namespace tern
