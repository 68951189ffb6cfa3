// A model in files, opened and checked but not read yet: a checkpoint of tern, a Hugging Face
// folder (runtime/huggingface.h), or a packed file (runtime/packed_model.h). All load the same way.
#pragma once

#include <memory>

#include "core/parameter_pack.h"
#include "data/checkpoint/checkpoint.h"
#include "data/corpus/manifest.h"
#include "data/tokenizer/tokenizer.h"
#include "layers/model.h"
#include "runtime/device.h"
#include "runtime/run_config.h"

namespace tern {

class Trainer;

// Names of AdamW's moments: these before the parameter's.
inline constexpr const char* kFirstMoment = "first_moment.";
inline constexpr const char* kSecondMoment = "second_moment.";

// Tensors in files, by the names of parameters.
struct WeightSource {
  struct Facts {
    StoredType type = StoredType::f32;
    std::vector<std::uint64_t> shape;
  };
  // a block of rows and its byte offset in all of them
  using Take = std::function<void(std::uint64_t offset, std::span<const std::byte>)>;

  std::filesystem::path path;
  // nullopt: there is none of that name
  std::function<std::optional<Facts>(const std::string& name)> find;
  // Rows [first, first + count) in order, in blocks of a few MiB and whole elements. Fault::input
  // if the files are damaged; `take` may have received damaged bytes by then.
  std::function<void(const std::string& name, std::uint64_t first, std::uint64_t count,
                     const Take& take)>
      read_rows;
};

WeightSource weights_of(const Checkpoint& checkpoint);
// read_rows in another real type, f32 or bf16: blocks of whole elements of it, in order.
void read_rows_as(const WeightSource& source, StoredType type, const std::string& name,
                  std::uint64_t first, std::uint64_t count,
                  const std::function<void(std::span<const std::byte>)>& take);
std::vector<std::uint64_t> stored_shape(const Shape& shape);

// That all of a model's weights are there, and AdamW's moments if they are wanted. Fault::input
// naming every tensor that is missing, has another shape or is not real, a line each.
void require_weights(const WeightSource& source, const Model& model, bool moments);

// Reads all weights. Fault::input naming the first tensor with NaN or infinity, or damage.
void require_finite(const WeightSource& source, const Model& model);

// What this rank holds, moments too. Fault::input naming the tensor if one is missing, has another
// shape or dtype.
void load_weights(const WeightSource& source, ParameterPack& pack);
void load_weights(const WeightSource& source, InferenceWeights& weights);
void load_moments(const WeightSource& source, Trainer& trainer);

// Weights of a packed file, which lie in memory as they are: a CPU computes with them in place.
struct MappedWeights {
  struct Weight {
    DType type = DType::f32;  // t2 of a ternary matrix; of an embedding bf16 or i8, too
    const void* data = nullptr;
    const float* scale = nullptr;  // of t2 one; of i8 one for each row
  };
  std::shared_ptr<const void> owner{};      // of the memory
  std::map<std::string, Weight> weights{};  // of every parameter
  std::string hash{};                       // XXH3-128 of the file's hashes, so of all its bytes
};

struct SavedModel {
  std::filesystem::path path;
  // of its run; of a model that was not trained by tern only the model and batch.context are known
  RunConfig config;
  WeightSource weights{};                 // as they are trained; of a packed file: nothing
  std::optional<MappedWeights> mapped{};  // of a packed file
  std::optional<Tokenizer> tokenizer{};   // of the model's vocabulary; none: the files have none
  DocumentLayout documents{};             // how those begin and end that it was trained on
  bool documents_stated = true;           // false: the files do not say it, and this is the usual
  std::optional<Manifest> manifest{};     // of the checkpoint; none: it is something else
  std::vector<std::string> warnings{};    // what was ignored, a line each
};

// The one that a model's own files have. where: what says the vocabulary's size, in messages.
// Fault::input if the sizes differ.
void set_own_tokenizer(SavedModel& saved, Tokenizer tokenizer, std::string_view where);
// For a model whose files have none. Fault::usage if they have another one, or if its size is not
// that of the model's vocabulary.
void set_tokenizer(SavedModel& saved, const Tokenizer& tokenizer);
// Fault::input if only codes are there of ternary matrices, without latent weights; what: needs
// those, for the message.
void require_latent_weights(const SavedModel& saved, std::string_view what);
// Fault::usage if a model has no tokenizer.
const Tokenizer& require_tokenizer(const SavedModel& saved);

// A trained model for inference.
struct LoadedModel {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Model> model;
  std::unique_ptr<InferenceWeights> weights;  // of the model
};

// use: what will be done with the model, rehearsed for its memory
LoadedModel load_model(const SavedModel& saved, const Device& device,
                       const std::function<void(Model&)>& use);

}  // namespace tern
