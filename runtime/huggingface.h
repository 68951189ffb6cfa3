// Models in Hugging Face folders: config.json, .safetensors files, a tokenizer. One table says how
// each family's parameters and configuration are written there; reader and writer use it alone.
// What a folder must hold: docs/interop.md.
#pragma once

#include "data/io/safetensors_folder.h"
#include "runtime/saved_model.h"

namespace tern {

inline constexpr std::uint64_t kMaxConfigBytes = std::uint64_t(1) << 20;
// In the card of a folder that tern wrote, by which the next export knows that it may replace it.
inline constexpr std::string_view kWrittenBy = "| written by | tern ";

// A tensor of a Hugging Face folder: consecutive rows of a parameter.
struct HuggingFaceTensor {
  std::string name;
  const Parameter* parameter = nullptr;
  std::int64_t first_row = 0, rows = 0;
  std::vector<std::int64_t> shape() const;
};

// Of a model, in the order of its parameters. Fault::usage naming the families that have a form if
// this one has none.
std::vector<HuggingFaceTensor> huggingface_tensors(const Model& model);

// What config.json says beside the model.
struct HuggingFaceFacts {
  std::int64_t context = 2048;      // max_position_embeddings
  std::int32_t bos = -1, eos = -1;  // of the tokenizer; -1: none
  DocumentLayout documents{};       // document_bos, document_eos
  bool documents_stated = false;    // when it was read: the file has document_bos
  StoredType type = StoredType::f32;
};
HuggingFaceFacts facts_of(const SavedModel& saved, StoredType type);
nlohmann::json huggingface_config(const ModelConfig& model, const HuggingFaceFacts& facts);

// A model's configuration from config.json; where: its name in messages. Fault::input listing every
// key that is missing, not known, or has a value that would change the arithmetic, a line each.
// Keys that change nothing are ignored, and named in `warnings`.
struct ReadHuggingFaceConfig {
  ModelConfig model;
  HuggingFaceFacts facts;
  std::vector<std::string> warnings;
};
ReadHuggingFaceConfig read_huggingface_config(const nlohmann::json& config,
                                              const std::string& where);

// A directory with config.json that is no checkpoint of tern.
bool is_huggingface_folder(const std::filesystem::path& path);

// Opens a folder and checks all of it but the tensors' bytes, before any memory is taken for them.
// Weights in F32, BF16 or F16. Fault::input: config.json, files or tokenizer broken; all tensors
// that are missing, not expected, or of another shape or dtype, a line each.
SavedModel open_huggingface(const std::filesystem::path& folder);

struct HuggingFaceExport {
  StoredType type = StoredType::f32;          // of all tensors: f32 or bf16
  std::uint64_t shard_bytes = 5'000'000'000;  // most in one .safetensors file
  std::string card{};                         // README.md; must hold kWrittenBy
  Notice notice{};  // takes a line about a tokenizer.json that cannot be made
};

// Makes the folder `to`, or replaces an earlier export; never half.
// Returns the bytes of its tensors. Fault::usage if something else is there or the family has no
// form; Fault::input for a damaged source; Fault::disk.
std::uint64_t export_huggingface(const SavedModel& from, const std::filesystem::path& to,
                                 const HuggingFaceExport& options);

// Writes a model as a checkpoint of tern without moments, its weights as f32, to a new directory or
// in place of an imported one. Nothing is left behind when it throws. version: of tern.
void import_model(const SavedModel& from, const std::filesystem::path& to,
                  const std::string& version);
// The RunConfig of a checkpoint that import_model wrote; nullopt: another one.
std::optional<RunConfig> imported_run_config(const Checkpoint& checkpoint);

}  // namespace tern
