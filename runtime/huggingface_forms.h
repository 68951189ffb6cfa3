// How each model family is written in Hugging Face folders: the one table for both directions.
#pragma once

#include <set>

#include "runtime/huggingface.h"

namespace tern {

// Takes values out of config.json and collects what is wrong with them.
class ConfigReader {
 public:
  explicit ConfigReader(const nlohmann::json& config) : config_(config) {}

  // The value of a key, or the default if it is not there or null. Otherwise: a problem.
  std::int64_t whole(const std::string& key, std::optional<std::int64_t> by_default,
                     std::int64_t low, std::int64_t high);
  double positive(const std::string& key, double by_default);
  bool flag(const std::string& key, bool by_default);
  std::string choice(const std::string& key, const std::vector<std::string>& choices);  // [0]
  // A key that may have one value only, since no other is computed here.
  void fixed(const std::string& key, const nlohmann::json& value);
  void unused(const std::string& key) { used_.insert(key); }  // says nothing, given the others

  const nlohmann::json* find(const std::string& key);  // nullptr: not there, or null

  void problem(const std::string& key, const std::string& expected, const nlohmann::json& got);
  void unknown(const std::string& key);
  bool used(const std::string& key) const { return used_.contains(key); }
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  const nlohmann::json& config_;
  std::set<std::string> used_{};
  std::vector<std::string> problems_{};
};

struct HuggingFaceForm {
  std::string_view type;             // model.type of tern
  std::optional<Quantize> quantize;  // model.quantize; nullopt: both
  std::string_view model_type;       // of config.json
  std::string_view architecture;
  // all parameters, in their order
  std::vector<HuggingFaceTensor> (*tensors)(const Model&);
  void (*write_config)(const ModelConfig&, nlohmann::json& config);
  ModelConfig (*read_config)(ConfigReader&);
  // Python files that compute the model, for auto_map: name and text
  std::vector<std::pair<std::string, std::string_view>> (*code)();
};

const HuggingFaceForm* find_form(std::string_view model_type);  // nullptr: none
// Fault::usage if this family of tern has none
const HuggingFaceForm& form_of(const ModelConfig& model);
std::string form_names();  // "\"hgrn_bit\" or \"llama\""

}  // namespace tern
