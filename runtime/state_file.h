// A prompt cache: where a text stands, in a safetensors file, from which another run goes on. It
// belongs to one model and one tokenizer. What is in it: docs/generation.md.
#pragma once

#include "data/io/safetensors.h"
#include "runtime/saved_model.h"
#include "runtime/text_generator.h"

namespace tern {

inline constexpr std::string_view kStateFormat = "tern-state", kStateVersion = "1";

// XXH3-128, in hex, of what decides a model's numbers, beside the device: configuration and
// weights. Of a packed file and of a checkpoint by the hashes that they hold of their bytes; the
// weights of a Hugging Face folder are read for it. The same model in another form, or divided
// among another number of ranks, has another one.
std::string fingerprint_of(const SavedModel& saved);

// What a state belongs to.
struct StateOwner {
  std::string path;         // for messages
  std::string fingerprint;  // of the model
  std::string tokenizer;    // Tokenizer::hash()
};
StateOwner owner_of(const SavedModel& saved);

// Fault::disk unless a state can be written there; Fault::usage for another file in that place.
void require_state_place(const std::filesystem::path& to);
// Writes a file, or replaces an earlier one when the new one is whole. Fault::disk.
void save_state(const std::filesystem::path& to, const TextGenerator& from,
                const StateOwner& owner);

// Whether a file begins as a state does.
bool is_state_file(const std::filesystem::path& path);

class StateFile {
 public:
  // Checks all of it before any memory is taken for it: Fault::input naming the defect if it is
  // damaged, of another program or version, or of another model than the owner.
  static StateFile open(const std::filesystem::path& path, const StateOwner& owner,
                        const ModelConfig& config);
  // The same for whatever owner: what is in it is whole, but may fit no model.
  static StateFile open(const std::filesystem::path& path);

  const SafetensorsFile& file() const { return file_; }
  const std::string& model() const { return fact("model"); }
  const std::string& tokenizer() const { return fact("tokenizer"); }
  std::int64_t positions() const { return positions_; }  // read before the unread token
  std::int32_t unread() const { return state_.generator.unread; }
  std::uint64_t drawn() const { return state_.generator.drawn; }
  // to: a generator with room for the positions. Numbers of another device's type are converted.
  void load(TextGenerator& to) const;

 private:
  explicit StateFile(SafetensorsFile file) : file_(std::move(file)) {}
  std::uint64_t number(const std::string& key, std::uint64_t most) const;
  const std::string& fact(const std::string& key) const;
  std::string held() const;
  void require_hash() const;
  void require_tensors(const Model& model) const;

  SafetensorsFile file_;
  std::int64_t positions_ = 0;
  TextState state_{};  // without tensors
};

}  // namespace tern
