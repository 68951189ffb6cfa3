// Ternary models into packed files.
#include <algorithm>
#include <cmath>

#include "core/backend.h"
#include "data/io/real_numbers.h"
#include "runtime/huggingface.h"
#include "runtime/memory_plan.h"
#include "runtime/packed_model.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

// A tensor to write, and what gives its bytes, in parts of any size.
struct Piece {
  SafetensorsTensor tensor;
  std::function<void(const AppendBytes&)> write;
};

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

std::vector<std::int64_t> dimensions(const Shape& shape) {
  std::vector<std::int64_t> out;
  for (int i = 0; i < shape.rank(); ++i) out.push_back(shape[i]);
  return out;
}

template <class T>
std::vector<T> download(const Tensor& from) {
  std::vector<T> to(from.bytes() / sizeof(T));
  from.backend().download(to.data(), from);
  return to;
}

void require_finite(double value, const fs::path& path, const Parameter& p) {
  if (!std::isfinite(value))
    fail(Fault::input, path.string(), ": tensor '", p.name, "': expected finite numbers, got ",
         value);
}

// Reads parameters and quantises them, each alone in the backend's memory.
class Quantizer {
 public:
  // source: null in a rehearsal, which reads nothing
  Quantizer(Backend& on, DType dtype, const WeightSource* source)
      : on_(on), dtype_(dtype), source_(source) {}

  struct Matrix {
    std::vector<TernaryTile> tiles;
    float scale;
  };
  // Codes and scale with the bits that training has; of f64 the scale is rounded.
  Matrix ternary(Parameter& p) const {
    InferenceWeights weights(on_, {&p}, dtype_, {}, DType::t2);
    load(weights, p);
    const float scale = float(download_real(p.copy.scale)[0]);
    if (source_) require_finite(scale, source_->path, p);
    return {.tiles = download<TernaryTile>(p.copy.t), .scale = scale};
  }

  struct Rows {
    std::vector<std::int8_t> codes;
    std::vector<float> scales;
  };
  Rows int8(Parameter& p) const {
    InferenceWeights weights(on_, {&p}, dtype_);
    load(weights, p);
    const Quantized y{.q = Tensor(on_, p.shape, DType::i8),
                      .row_scale = Tensor(on_, {p.shape[0]}, dtype_)};
    on_.run(QuantizeRows{.y = y, .x = p.value});
    const std::vector<double> scales = download_real(y.row_scale);
    for (const double scale : scales)
      if (source_) require_finite(scale, source_->path, p);
    return {.codes = download<std::int8_t>(y.q), .scales{scales.begin(), scales.end()}};
  }

 private:
  void load(InferenceWeights& weights, Parameter& p) const {
    if (source_) return load_weights(*source_, weights);
    weights.set(p, [](const Tensor&) {});
  }
  Backend& on_;
  DType dtype_;
  const WeightSource* source_;
};

bool is_table(const Parameter& p) {
  return p.sharding == Sharding::rows;
}

// The tensors of a file, in an order in which each begins at a multiple of its elements' size.
class Pieces {
 public:
  Pieces(const SavedModel& from, const std::vector<Parameter*>& parameters,
         const Quantizer& quantizer, StoredType embedding)
      : from_(from), quantizer_(quantizer) {
    const auto add_all = [&](auto&& wanted, auto add_one) {
      for (Parameter* p : parameters)
        if (wanted(*p)) (this->*add_one)(*p);
    };
    const auto ternary = [](const Parameter& p) { return p.ternary; };
    const auto single = [&](const Parameter& p) {
      return !p.ternary && (!is_table(p) || embedding == StoredType::f32);
    };
    add_all(ternary, &Pieces::add_codes);
    add_all(ternary, &Pieces::add_scale);
    add_all(single, &Pieces::add_real<StoredType::f32>);
    if (embedding == StoredType::bf16) add_all(is_table, &Pieces::add_real<StoredType::bf16>);
    if (embedding == StoredType::i8) add_all(is_table, &Pieces::add_int8);
    if (from.tokenizer) add_tokenizer();
  }

  // Writes the file and, last, its hashes.
  void write(File& file, const std::map<std::string, std::string>& metadata) {
    std::vector<SafetensorsTensor> tensors;
    std::uint64_t bytes = 0;
    for (const Piece& piece : pieces_) {
      tensors.push_back(piece.tensor);
      bytes += piece.tensor.bytes();
    }
    tensors.push_back({kPackedHashes, StoredType::u8, packed_hashes_shape(bytes)});
    SafetensorsWriter writer(file, tensors, metadata);
    const std::size_t header = writer.written()->bytes().size();
    for (const Piece& piece : pieces_)
      piece.write([&](std::span<const std::byte> part) { writer.append(part); });
    writer.append(bytes_of(packed_hashes(writer.written()->bytes(), header)));
    writer.finish();
  }

 private:
  void add(const std::string& name, StoredType type, std::vector<std::int64_t> shape,
           std::function<void(const AppendBytes&)> write) {
    pieces_.push_back({{name, type, std::move(shape)}, std::move(write)});
  }
  void add_codes(Parameter& p) {
    add(p.name, StoredType::u8, packed_shape(p.shape), [this, &p](const AppendBytes& append) {
      const Quantizer::Matrix matrix = quantizer_.ternary(p);
      append(bytes_of(matrix.tiles));
      scales_[p.name] = {matrix.scale};
    });
  }
  // after its codes
  void add_scale(Parameter& p) {
    add(p.name + kPackedScale, StoredType::f32, {1},
        [this, &p](const AppendBytes& append) { append(bytes_of(scales_.at(p.name))); });
  }
  template <StoredType type>
  void add_real(Parameter& p) {
    add(p.name, type, dimensions(p.shape), [this, &p](const AppendBytes& append) {
      std::vector<float> values;
      read_rows_as(from_.weights, type, p.name, 0, std::uint64_t(p.shape[0]),
                   [&](std::span<const std::byte> block) {
                     values.resize(block.size() / item_bytes(type));
                     read_reals(type, block, std::span(values));
                     for (const float value : values) require_finite(value, from_.path, p);
                     append(block);
                   });
    });
  }
  void add_int8(Parameter& p) {
    add(p.name + kPackedScale, StoredType::f32, {p.shape[0]},
        [this, &p](const AppendBytes& append) {
          rows_ = quantizer_.int8(p);
          append(bytes_of(rows_.scales));
        });
    add(p.name, StoredType::i8, dimensions(p.shape),
        [this](const AppendBytes& append) { append(bytes_of(rows_.codes)); });
  }
  void add_tokenizer() {
    const std::string& file = from_.tokenizer->file();
    add(kPackedTokenizer, StoredType::u8, {std::int64_t(file.size())},
        [&file](const AppendBytes& append) { append(std::as_bytes(std::span(file))); });
  }

  const SavedModel& from_;
  const Quantizer& quantizer_;
  std::vector<Piece> pieces_;
  std::map<std::string, std::vector<float>> scales_;  // of the matrices written so far
  Quantizer::Rows rows_;                              // of the embedding
};

std::map<std::string, std::string> metadata_of(const SavedModel& from, const std::string& version) {
  std::map<std::string, std::string> metadata = {
      {"format", std::string(kPackedFormat)},
      {"version", std::string(kPackedVersion)},
      {"config", huggingface_config(from.config.model, facts_of(from, StoredType::f32)).dump()},
      {"written_by", "tern " + version}};
  if (from.manifest) {
    metadata["step"] = std::to_string(from.manifest->step);
    metadata["tokens"] = std::to_string(from.manifest->tokens);
  }
  return metadata;
}

// Only an earlier packed file is replaced.
void require_replaceable_model(const fs::path& to) {
  require(to.extension() == ".safetensors", Fault::usage, to.string(),
          ": expected a name that ends in .safetensors");
  if (!path_exists(to, Fault::usage)) return;
  require(packed_format_of(to) == kPackedFormat, Fault::usage, to.string(),
          ": expected a new file, or a packed one to replace, got something else: remove it first, "
          "or take another name");
}

}  // namespace

std::uint64_t export_packed(const SavedModel& from, const fs::path& to,
                            const PackedExport& options) {
  require_latent_weights(from, "an export");
  const ModelConfig& config = from.config.model;
  require(
      config.quantize == Quantize::ternary, Fault::usage, from.path.string(),
      ": expected a ternary model, got model.quantize = \"none\", and a packed file has no form "
      "for dense matrices: export it with --to hf --dtype bf16");
  const auto metadata = metadata_of(from, options.version);
  require_replaceable_model(to);
  Model model(config, {});
  require_weights(from.weights, model, false);
  const DType dtype = from.config.dtype == Precision::f64 ? DType::f64 : DType::f32;
  const auto backend = make_backend(Device("cpu"), [&](Backend& dry) {
    const Quantizer rehearsal(dry, dtype, nullptr);
    const auto size = [](const Parameter* p) { return p->ternary ? p->shape.elements() : 0; };
    rehearsal.ternary(*std::ranges::max(model.parameters(), {}, size));
    for (Parameter* p : model.parameters())
      if (is_table(*p) && options.embedding == StoredType::i8) rehearsal.int8(*p);
  });
  const Quantizer quantizer(*backend, dtype, &from.weights);
  Pieces pieces(from, model.parameters(), quantizer, options.embedding);
  std::uint64_t bytes = 0;
  write_file_atomically(to, [&](File& file) {
    pieces.write(file, metadata);
    bytes = file.size();
  });
  return bytes;
}

}  // namespace tern
