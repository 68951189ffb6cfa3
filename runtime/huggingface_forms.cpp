#include "runtime/huggingface_forms.h"

#include <algorithm>
#include <cmath>

#include "runtime/hgrn_bit_code.h"

namespace tern {
namespace {

using Json = nlohmann::json;

// A family whose parameters have their names of Hugging Face: one tensor each.
std::vector<HuggingFaceTensor> same_tensors(const Model& model) {
  std::vector<HuggingFaceTensor> out;
  for (const Parameter* p : model.parameters())
    out.push_back({.name = p->name, .parameter = p, .rows = p->shape[0]});
  return out;
}

// --- hgrn_bit: the MatMul-free model ---

std::vector<std::pair<std::string, std::string_view>> hgrn_bit_code() {
  return {{"configuration_hgrn_bit.py", kConfigurationHgrnBit},
          {"modeling_hgrn_bit.py", kModelingHgrnBit}};
}

void write_hgrn_bit(const ModelConfig& model, Json& config) {
  config.update({{"vocab_size", model.vocab_size},
                 {"hidden_size", model.width},
                 {"num_hidden_layers", model.layers},
                 {"num_heads", 1},
                 {"expand_ratio", 1},
                 {"use_short_conv", false},
                 {"conv_size", 4},
                 {"share_conv_kernel", true},
                 {"use_lower_bound", model.use_lower_bound},
                 {"hidden_ratio", 4},
                 {"intermediate_size", nullptr},
                 {"hidden_act", "swish"},
                 {"rms_norm_eps", model.rms_norm_eps},
                 {"initializer_range", 0.02},
                 {"fuse_cross_entropy", true},
                 {"tie_word_embeddings", false}});
  if (model.explicit_glu_width > 0) config["intermediate_size"] = model.explicit_glu_width;
  if (model.quantize == Quantize::none) config["quantize"] = "none";
  config["auto_map"] = {{"AutoConfig", "configuration_hgrn_bit.HGRNBitConfig"},
                        {"AutoModel", "modeling_hgrn_bit.HGRNBitModel"},
                        {"AutoModelForCausalLM", "modeling_hgrn_bit.HGRNBitForCausalLM"}};
}

ModelConfig read_hgrn_bit(ConfigReader& reader) {
  ModelConfig model{.type = "matmulfree",
                    .vocab_size = reader.whole("vocab_size", std::nullopt, 1, kMaxVocabSize),
                    .width = reader.whole("hidden_size", std::nullopt, 1, kMaxWidth),
                    .layers = reader.whole("num_hidden_layers", std::nullopt, 1, kMaxLayers),
                    .explicit_glu_width = reader.whole("intermediate_size", 0, 1, kMaxGluWidth),
                    .use_lower_bound = reader.flag("use_lower_bound", true),
                    .rms_norm_eps = reader.positive("rms_norm_eps", 1e-6)};
  if (reader.choice("quantize", {"ternary", "none"}) == "none") model.quantize = Quantize::none;
  reader.fixed("num_heads", 1);
  reader.fixed("expand_ratio", 1);
  reader.fixed("use_short_conv", false);
  reader.fixed("tie_word_embeddings", false);
  reader.choice("hidden_act", {"swish", "silu"});
  // of the convolution that is not there, and of the loss
  for (const char* key : {"conv_size", "share_conv_kernel", "fuse_cross_entropy"})
    reader.unused(key);
  if (model.explicit_glu_width > 0)
    reader.unused("hidden_ratio");
  else
    reader.fixed("hidden_ratio", 4);
  return model;
}

// --- llama: the Transformer. What is one matrix of a dense model here is two or three there. ---

std::vector<HuggingFaceTensor> llama_tensors(const Model& model) {
  std::vector<HuggingFaceTensor> out;
  const auto add_parts = [&](const Parameter& p, const std::string& prefix,
                             std::initializer_list<const char*> names) {
    const std::int64_t rows = p.shape[0] / std::int64_t(names.size());
    std::int64_t first = 0;
    for (const char* name : names) {
      out.push_back({.name = prefix + name + "_proj.weight",
                     .parameter = &p,
                     .first_row = first,
                     .rows = rows});
      first += rows;
    }
  };
  for (const Parameter* p : model.parameters()) {
    const std::string prefix = p->name.substr(0, p->name.rfind('.', p->name.rfind('.') - 1) + 1);
    if (p->name.ends_with(".qkv_proj.weight"))
      add_parts(*p, prefix, {"q", "k", "v"});
    else if (p->name.ends_with(".gate_up_proj.weight"))
      add_parts(*p, prefix, {"gate", "up"});
    else
      out.push_back({.name = p->name, .parameter = p, .rows = p->shape[0]});
  }
  return out;
}

void write_llama(const ModelConfig& model, Json& config) {
  config.update({{"vocab_size", model.vocab_size},
                 {"hidden_size", model.width},
                 {"num_hidden_layers", model.layers},
                 {"num_attention_heads", model.heads()},
                 {"num_key_value_heads", model.heads()},
                 {"head_dim", model.width / model.heads()},
                 {"intermediate_size", model.glu_width()},
                 {"hidden_act", "silu"},
                 {"rms_norm_eps", model.rms_norm_eps},
                 {"rope_theta", model.rope_theta},
                 {"initializer_range", 0.02},
                 {"attention_bias", false},
                 {"mlp_bias", false},
                 {"tie_word_embeddings", false}});
  if (model.quantize == Quantize::none) return;
  config["quantize"] = "ternary";
  config["attention"] = model.attention == AttentionKind::ternary ? "ternary" : "dense";
}

// rope_theta, which newer files have inside rope_parameters
double read_rope_theta(ConfigReader& reader) {
  const double theta = reader.positive("rope_theta", 10'000);
  const Json* parameters = reader.find("rope_parameters");
  if (!parameters) return theta;
  const bool plain = parameters->is_object() &&
                     parameters->value("rope_type", Json()) == "default" &&
                     parameters->value("rope_theta", Json()).is_number() && parameters->size() == 2;
  if (plain && parameters->at("rope_theta").get<double>() > 0)
    return parameters->at("rope_theta").get<double>();
  reader.problem("rope_parameters", "rope_type \"default\" and a rope_theta > 0", *parameters);
  return theta;
}

ModelConfig read_transformer(ConfigReader& reader, const std::vector<std::string>& quantize) {
  ModelConfig model{
      .type = "transformer",
      .vocab_size = reader.whole("vocab_size", std::nullopt, 1, kMaxVocabSize),
      .width = reader.whole("hidden_size", std::nullopt, 1, kMaxWidth),
      .layers = reader.whole("num_hidden_layers", std::nullopt, 1, kMaxLayers),
      .explicit_glu_width = reader.whole("intermediate_size", std::nullopt, 1, kMaxGluWidth),
      .rms_norm_eps = reader.positive("rms_norm_eps", 1e-6),
      .explicit_heads = reader.whole("num_attention_heads", std::nullopt, 1, kMaxWidth),
      .rope_theta = read_rope_theta(reader),
      .quantize = Quantize::none};
  if (reader.choice("quantize", quantize) == "ternary") model.quantize = Quantize::ternary;
  if (reader.choice("attention", {"dense", "ternary"}) == "ternary")
    model.attention = AttentionKind::ternary;
  reader.fixed("num_key_value_heads", model.explicit_heads);
  reader.fixed("head_dim", model.width / model.explicit_heads);
  reader.fixed("attention_bias", false);
  reader.fixed("mlp_bias", false);
  reader.fixed("rope_scaling", nullptr);
  reader.fixed("tie_word_embeddings", false);
  reader.choice("hidden_act", {"silu", "swish"});
  for (const char* key : {"attention_dropout", "pretraining_tp"}) reader.unused(key);
  return model;
}

// `quantize` is there in files that came from tern
ModelConfig read_llama(ConfigReader& reader) {
  return read_transformer(reader, {"none", "ternary"});
}
ModelConfig read_llama_bit(ConfigReader& reader) {
  return read_transformer(reader, {"ternary"});
}

std::vector<std::pair<std::string, std::string_view>> no_code() {
  return {};
}

constexpr HuggingFaceForm kForms[] = {
    {.type = "matmulfree",
     .quantize = std::nullopt,
     .model_type = "hgrn_bit",
     .architecture = "HGRNBitForCausalLM",
     .tensors = same_tensors,
     .write_config = write_hgrn_bit,
     .read_config = read_hgrn_bit,
     .code = hgrn_bit_code},
    {.type = "transformer",
     .quantize = Quantize::none,
     .model_type = "llama",
     .architecture = "LlamaForCausalLM",
     .tensors = llama_tensors,
     .write_config = write_llama,
     .read_config = read_llama,
     .code = no_code},
    // A name of its own: under "llama" transformers would leave the norms of the projections out.
    {.type = "transformer",
     .quantize = Quantize::ternary,
     .model_type = "llama_bit",
     .architecture = "LlamaBitForCausalLM",
     .tensors = llama_tensors,
     .write_config = write_llama,
     .read_config = read_llama_bit,
     .code = no_code},
};

}  // namespace

const HuggingFaceForm* find_form(std::string_view model_type) {
  for (const HuggingFaceForm& form : kForms)
    if (form.model_type == model_type) return &form;
  return nullptr;
}

const HuggingFaceForm& form_of(const ModelConfig& model) {
  require(model.use_output_gate, Fault::usage,
          "model.use_output_gate = false has no form in Hugging Face folders");
  for (const HuggingFaceForm& form : kForms)
    if (form.type == model.type && form.quantize.value_or(model.quantize) == model.quantize)
      return form;
  fail(Fault::usage, "model.type \"", model.type,
       "\" has no form in Hugging Face folders: expected ", form_names());
}

std::string form_names() {
  std::string names;
  for (const HuggingFaceForm& form : kForms) {
    if (!names.empty()) names += " or ";
    names += Json(form.model_type).dump();
  }
  return names;
}

const Json* ConfigReader::find(const std::string& key) {
  used_.insert(key);
  const auto at = config_.find(key);
  return at == config_.end() || at->is_null() ? nullptr : &*at;
}

void ConfigReader::problem(const std::string& key, const std::string& expected, const Json& got) {
  std::string text = got.dump(-1, ' ', true);
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  problems_.push_back(key + ": expected " + expected + ", got " + text);
}

void ConfigReader::unknown(const std::string& key) {
  problems_.push_back(quoted_text(key) +
                      ": not known: a model that depends on it cannot be computed here");
}

std::int64_t ConfigReader::whole(const std::string& key, std::optional<std::int64_t> by_default,
                                 std::int64_t low, std::int64_t high) {
  const Json* value = find(key);
  if (!value && by_default) return *by_default;
  const bool good = value && value->is_number_unsigned() &&
                    value->get<std::uint64_t>() >= std::uint64_t(low) &&
                    value->get<std::uint64_t>() <= std::uint64_t(high);
  if (good) return value->get<std::int64_t>();
  problem(key, "a whole number from " + std::to_string(low) + " to " + std::to_string(high),
          value ? *value : Json("nothing"));
  return low;
}

double ConfigReader::positive(const std::string& key, double by_default) {
  const Json* value = find(key);
  if (!value) return by_default;
  const double x = value->is_number() ? value->get<double>() : 0;
  if (std::isfinite(x) && x > 0) return x;
  problem(key, "a number > 0", *value);
  return by_default;
}

bool ConfigReader::flag(const std::string& key, bool by_default) {
  const Json* value = find(key);
  if (!value) return by_default;
  if (value->is_boolean()) return value->get<bool>();
  problem(key, "true or false", *value);
  return by_default;
}

std::string ConfigReader::choice(const std::string& key, const std::vector<std::string>& choices) {
  const Json* value = find(key);
  if (!value) return choices[0];
  for (const std::string& choice : choices)
    if (*value == choice) return choice;
  std::string names;
  for (const std::string& choice : choices) {
    if (!names.empty()) names += " or ";
    names += Json(choice).dump();
  }
  problem(key, names, *value);
  return choices[0];
}

void ConfigReader::fixed(const std::string& key, const Json& expected) {
  const Json* value = find(key);
  if (value && *value != expected) problem(key, expected.dump(), *value);
}

}  // namespace tern
