#include "data/tokenizer/huggingface_files.h"

#include "data/io/json.h"
#include "data/tokenizer/json_tokenizer.h"

namespace tern {
namespace {

using json = nlohmann::ordered_json;

json decoder_of(const BpeTokenizer& t) {
  json steps =
      json::array({{{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}},
                   {{"type", "ByteFallback"}},
                   {{"type", "Fuse"}}});
  if (t.prefix == BpeTokenizer::Prefix::always)
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", steps}};
}

json normalizer_of(const BpeTokenizer& t) {
  const json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}};
  if (t.prefix != BpeTokenizer::Prefix::always) return replace;
  return {{"type", "Sequence"},
          {"normalizers", json::array({{{"type", "Prepend"}, {"prepend", "\u2581"}}, replace})}};
}

// of a tokenizer that a .model describes
std::string tokenizer_json(const BpeTokenizer& t) {
  json added = json::array(), vocab = json::object(), merges = json::array();
  for (const AddedToken& token : t.added)
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"single_word", token.single_word},
                     {"lstrip", token.lstrip},
                     {"rstrip", token.rstrip},
                     {"normalized", token.normalized},
                     {"special", token.special}});
  for (std::size_t id = 0; id < t.pieces.size(); ++id)
    vocab.get_ref<json::object_t&>().emplace_back(t.pieces[id], id);
  for (const Merge& m : t.merges)
    merges.push_back(t.pieces[std::size_t(m.left)] + ' ' + t.pieces[std::size_t(m.right)]);
  return json{{"version", "1.0"},
              {"truncation", nullptr},
              {"padding", nullptr},
              {"added_tokens", added},
              {"normalizer", normalizer_of(t)},
              {"pre_tokenizer", nullptr},
              {"post_processor", nullptr},
              {"decoder", decoder_of(t)},
              {"model",
               {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", t.pieces[std::size_t(t.unk)]},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr},
                {"fuse_unk", false},
                {"byte_fallback", t.byte_fallback},
                {"ignore_merges", false},
                {"vocab", vocab},
                {"merges", merges}}}}
             .dump(1) +
         '\n';
}

std::string tokenizer_config(const BpeTokenizer& t) {
  json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}};
  const auto token = [&](const char* key, std::int32_t id) {
    if (id >= 0) config[key] = t.pieces[std::size_t(id)];
  };
  token("bos_token", t.bos);
  token("eos_token", t.eos);
  token("unk_token", t.unk);
  token("pad_token", t.eos);        // for batches; masked, so it has no meaning of its own
  config["padding_side"] = "left";  // where a recurrent model that generates needs it
  config["clean_up_tokenization_spaces"] = false;
  config["split_special_tokens"] = true;               // "<s>" in a text is text
  config["model_max_length"] = std::int64_t(1) << 40;  // no limit of the tokenizer's own
  return config.dump(1) + '\n';
}

}  // namespace

std::vector<std::pair<std::string, std::string>> huggingface_tokenizer_files(
    const Tokenizer& tokenizer, const Notice& notice) {
  const std::string config(kTokenizerConfigName), json_name(kJsonFileName);
  if (tokenizer.file_name() == kJsonFileName)
    return {{json_name, without_document_tokens(tokenizer.file())},
            {config, tokenizer_config(read_json_tokenizer(tokenizer.file(), json_name))}};
  std::vector<std::pair<std::string, std::string>> files = {
      {std::string(kModelFileName), tokenizer.file()}};
  const SentencePieceModel model = read_sentencepiece_model(tokenizer.file(), kModelFileName);
  if (const auto merges = as_merges(model, tokenizer.bos_id(), tokenizer.eos_id())) {
    files.emplace_back(json_name, tokenizer_json(*merges));
    files.emplace_back(config, tokenizer_config(*merges));
  } else if (notice) {
    notice(
        "this SentencePiece model is more than byte-pair merges (unigrams, normalisation, or "
        "pieces "
        "whose order merges do not express): written as tokenizer.model, without tokenizer.json");
  }
  return files;
}

}  // namespace tern
