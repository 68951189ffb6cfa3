#include "data/tokenizer/bos_rule.h"

#include "data/io/json.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kMaxBytes = std::uint64_t(1) << 28;

Json read_json(const fs::path& path) {
  if (!path_exists(path)) return Json::object();
  Json json = parse_json(read_file(path, kMaxBytes, Links::follow), path.string());
  require(json.is_object(), Fault::input, path.string(), ": expected an object, got ",
          json.type_name());
  return json;
}

Json member(const Json& of, const char* key) {
  return of.is_object() ? of.value(key, Json()) : Json();
}

// Whether a post processor's template for one text begins with a token of its own.
bool begins_with_token(const Json& processor) {
  if (member(processor, "type") == "Sequence")
    for (const Json& part : member(processor, "processors"))
      if (begins_with_token(part)) return true;
  if (member(processor, "type") != "TemplateProcessing") return false;
  const Json single = member(processor, "single");
  return single.is_array() && !single.empty() && single[0].is_object() &&
         single[0].contains("SpecialToken");
}

}  // namespace

BosRule bos_rule(const fs::path& path, const Tokenizer& tokenizer) {
  if (tokenizer.bos_id() < 0) return {.add = false, .reason = "the tokenizer has none"};
  std::error_code error;
  const bool folder = fs::is_directory(path, error);
  // other names say nothing about their neighbours
  const bool named = path.filename() == kModelFileName || path.filename() == kJsonFileName;
  const fs::path here = folder ? path : path.parent_path();
  const Json config = folder || named ? read_json(here / kTokenizerConfigName) : Json::object();
  const Json stated = member(config, "add_bos_token");
  if (stated.is_boolean())
    return {.add = stated.get<bool>(),
            .reason = std::string(kTokenizerConfigName) + ": add_bos_token"};
  const std::string type = member(config, "tokenizer_class").is_string()
                               ? config["tokenizer_class"].get<std::string>()
                               : "";
  for (const char* llama : {"LlamaTokenizer", "LlamaTokenizerFast", "CodeLlamaTokenizer",
                            "CodeLlamaTokenizerFast", "GemmaTokenizer", "GemmaTokenizerFast"})
    if (type == llama) return {.add = true, .reason = "the default of " + type};
  const fs::path json = folder ? path / kJsonFileName : path;
  if (json.extension() != ".json" || !path_exists(json))
    return {.add = true, .reason = "the default of SentencePiece models"};
  return {.add = begins_with_token(member(read_json(json), "post_processor")),
          .reason = std::string(kJsonFileName) + ": post_processor"};
}

}  // namespace tern
