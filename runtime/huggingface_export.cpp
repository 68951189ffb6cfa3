// Models into Hugging Face folders, and from them into checkpoints of tern.
#include <algorithm>

#include "data/checkpoint/directory.h"
#include "data/io/real_numbers.h"
#include "data/io/staged_directory.h"
#include "data/tokenizer/huggingface_files.h"
#include "runtime/checkpoints.h"
#include "runtime/huggingface_forms.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

// What generate() takes unless it is told otherwise. Padding has no meaning of its own.
Json generation_config(const HuggingFaceFacts& facts) {
  Json config = Json::object();
  if (facts.bos >= 0) config["bos_token_id"] = facts.bos;
  if (facts.eos >= 0) config["eos_token_id"] = config["pad_token_id"] = facts.eos;
  return config;
}

// names and contents
std::vector<std::pair<std::string, std::string>> tokenizer_files(const SavedModel& from,
                                                                 const Notice& notice) {
  if (!from.tokenizer) return {};
  return huggingface_tokenizer_files(*from.tokenizer, notice);
}

bool written_by_export(const std::string& name) {
  static const std::set<std::string> fixed = {"config.json",    "generation_config.json",
                                              "README.md",      "tokenizer.model",
                                              "tokenizer.json", "tokenizer_config.json"};
  if (fixed.contains(name) || is_safetensors_name(name)) return true;
  return name.ends_with("_hgrn_bit.py");
}

bool is_export(const fs::path& folder) {
  try {
    return read_file(folder / "README.md", kMaxConfigBytes).find(kWrittenBy) != std::string::npos;
  } catch (const Error&) {
    return false;  // something else
  }
}

// in the checkpoint, or in the directory where it is written
bool part_of_import(const std::string& name) {
  return name == "manifest.json" || name.ends_with(".h5") || name.starts_with(checkpoint_name(0));
}

bool is_import(const fs::path& directory) {
  try {
    return imported_run_config(Checkpoint::open(directory)).has_value();
  } catch (const Error&) {
    return false;  // something else
  }
}

void require_space(const fs::path& folder, std::uint64_t bytes) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  require(error || space.available >= bytes, Fault::disk, folder.string(), ": expected ", bytes,
          " B of free space, got ", space.available);
}

}  // namespace

std::uint64_t export_huggingface(const SavedModel& from, const fs::path& to,
                                 const HuggingFaceExport& options) {
  require_latent_weights(from, "an export for Hugging Face");
  const Model model(from.config.model, {});
  const HuggingFaceForm& form = form_of(from.config.model);
  require_weights(from.weights, model, false);
  const std::vector<HuggingFaceTensor> tensors = form.tensors(model);
  std::vector<SafetensorsTensor> written;
  std::uint64_t bytes = 0;
  for (const HuggingFaceTensor& t : tensors) {
    written.push_back({.name = t.name, .type = options.type, .shape = t.shape()});
    bytes += written.back().bytes();
  }
  StagedDirectory staged(to, {.is_part = written_by_export, .is_one = is_export});
  require_space(staged.path(), bytes);
  const HuggingFaceFacts facts = facts_of(from, options.type);
  const auto json = [&](const char* name, const Json& value) {
    write_new_file(staged.path() / name, value.dump(2) + '\n');
  };
  json("config.json", huggingface_config(from.config.model, facts));
  json("generation_config.json", generation_config(facts));
  for (const auto& [name, text] : form.code()) write_new_file(staged.path() / name, text);
  for (const auto& [name, text] : tokenizer_files(from, options.notice))
    write_new_file(staged.path() / name, text);
  write_new_file(staged.path() / "README.md", options.card);
  write_safetensors(staged.path(), written, options.shard_bytes,
                    [&](std::size_t i, const AppendBytes& append) {
                      const HuggingFaceTensor& t = tensors[i];
                      read_rows_as(from.weights, options.type, t.parameter->name,
                                   std::uint64_t(t.first_row), std::uint64_t(t.rows), append);
                    });
  staged.publish();
  return bytes;
}

void import_model(const SavedModel& from, const fs::path& to, const std::string& version) {
  const Model model(from.config.model, {});
  require_weights(from.weights, model, false);
  require_finite(from.weights, model);
  // Reads rows as f32, a block at a time, when the checkpoint's writer asks for them.
  const auto reader = [&](const Parameter& p) {
    const std::uint64_t row = std::uint64_t(p.shape.elements() / p.shape[0]) * sizeof(float);
    return [&from, &p, row](std::uint64_t offset, std::span<std::byte> to_bytes) {
      // whole rows around the part: blocks need not end with one
      const std::uint64_t first = offset / row, last = (offset + to_bytes.size() - 1) / row;
      const StoredType stored = from.weights.find(p.name)->type;
      std::uint64_t at = first * row;  // of the next converted byte in the tensor
      std::vector<std::byte> converted;
      from.weights.read_rows(
          p.name, first, last - first + 1, [&](std::uint64_t, std::span<const std::byte> block) {
            converted.resize(block.size() / item_bytes(stored) * sizeof(float));
            convert_reals(stored, block, StoredType::f32, converted);
            const std::uint64_t begin = std::max(at, offset),
                                end = std::min(at + converted.size(), offset + to_bytes.size());
            if (begin < end)
              std::copy_n(converted.begin() + std::ptrdiff_t(begin - at), end - begin,
                          to_bytes.begin() + std::ptrdiff_t(begin - offset));
            at += converted.size();
          });
    };
  };
  std::vector<TensorBytes> tensors;
  for (const Parameter* p : model.parameters())
    tensors.push_back({.name = p->name,
                       .type = StoredType::f32,
                       .shape = stored_shape(p->shape),
                       .bytes = {},
                       .device_bytes = std::uint64_t(p->shape.elements()) * sizeof(float),
                       .download = reader(*p)});
  if (from.tokenizer) tensors.push_back(tokenizer_tensor(from.tokenizer->file()));
  TrainingState state{.documents = from.documents};
  if (from.tokenizer) state.tokenizer_hash = from.tokenizer->hash();
  StagedDirectory staged(to, {.is_part = part_of_import, .is_one = is_import});
  write_checkpoint(
      {.directory = staged.path(), .version = version},
      {.parameters = std::uint64_t(model.count().total()),
       .config = {{"huggingface",
                   huggingface_config(from.config.model, facts_of(from, StoredType::f32))}},
       .state = to_json(state)},
      tensors);
  staged.publish(checkpoint_name(0));
}

std::optional<RunConfig> imported_run_config(const Checkpoint& checkpoint) {
  const Json& config = checkpoint.manifest().config;
  if (!config.is_object() || !config.contains("huggingface")) return std::nullopt;
  const ReadHuggingFaceConfig read = read_huggingface_config(
      config["huggingface"], checkpoint.path().string() + ": manifest.json: config");
  RunConfig run;
  run.model = read.model;
  run.batch.context = read.facts.context;
  return run;
}

}  // namespace tern
