#include "data/corpus/manifest.h"

#include "core/check.h"
#include "data/io/files.h"
#include "data/text/input_files.h"

namespace tern {
namespace {

using nlohmann::json;

std::string text(const json& object, const char* key, const std::string& where) {
  const json& value = json_member(object, key, where);
  require(value.is_string(), Fault::input, where, ": ", key, ": expected a text, got ",
          value.dump().substr(0, 40));
  return value.get<std::string>();
}

json totals_of(const std::vector<CorpusShard>& shards) {
  CorpusShard sum;
  for (const CorpusShard& s : shards) {
    sum.tokens += s.tokens;
    sum.documents += s.documents;
    sum.text_bytes += s.text_bytes;
  }
  return {{"tokens", sum.tokens}, {"documents", sum.documents}, {"text_bytes", sum.text_bytes}};
}

}  // namespace

json to_json(const CorpusShard& shard) {
  return {{"file", shard.file},
          {"tokens", shard.tokens},
          {"documents", shard.documents},
          {"text_bytes", shard.text_bytes},
          {"tokens_xxh3", shard.tokens_hash},
          {"document_starts_xxh3", shard.starts_hash}};
}

CorpusShard shard_from_json(const json& value, const std::string& where) {
  CorpusShard shard{text(value, "file", where),
                    json_number(value, "tokens", where),
                    json_number(value, "documents", where),
                    json_number(value, "text_bytes", where),
                    text(value, "tokens_xxh3", where),
                    text(value, "document_starts_xxh3", where)};
  require(is_plain_name(shard.file), Fault::input, where,
          ": file: expected a plain file name, got ",
          json(shard.file).dump(-1, ' ', true).substr(0, 80));
  // the last document may have its first token in the next shard
  require(shard.tokens > 0 && shard.documents <= shard.tokens + 1, Fault::input, where, ": ",
          shard.file, ": expected tokens, and at most as many documents");
  return shard;
}

StoredType token_type_for(std::int64_t vocab_size) {
  return vocab_size <= 65536 ? StoredType::u16 : StoredType::u32;
}

void require_shard_count(std::size_t shards) {
  require(shards <= kMaxCorpusShards, Fault::usage, "expected at most ", kMaxCorpusShards,
          " shards in a corpus, got ", shards, ": prepare it with a larger --shard-tokens");
}

void require_argument_size(const json& arguments) {
  const std::size_t bytes = arguments.dump(-1, ' ', false, json::error_handler_t::replace).size();
  require(bytes <= kMaxCorpusArgumentBytes, Fault::usage, "expected options of at most ",
          kMaxCorpusArgumentBytes, " B in all, got ", bytes);
}

std::string to_text(const CorpusManifest& manifest) {
  require_shard_count(manifest.splits[0].size() + manifest.splits[1].size());
  require_argument_size(manifest.arguments);
  json splits = json::object();
  for (const Split split : kSplits) {
    if (manifest.of(split).empty()) continue;
    json entry = totals_of(manifest.of(split));
    for (const CorpusShard& shard : manifest.of(split)) entry["shards"].push_back(to_json(shard));
    splits[std::string(name_of(split))] = std::move(entry);
  }
  const json all = {{"format", kCorpusFormat},
                    {"tokenizer",
                     {{"file", manifest.tokenizer_file},
                      {"xxh3", manifest.tokenizer_hash},
                      {"vocab_size", manifest.vocab_size}}},
                    {"token_type", name_of(manifest.token_type)},
                    {"arguments", manifest.arguments},
                    {"skipped_lines", manifest.skipped_lines},
                    {"splits", std::move(splits)}};
  return all.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

CorpusManifest parse_corpus_manifest(std::string_view content, const std::string& where) {
  const json all = parse_json(content, where);
  const std::uint64_t format = json_number(all, "format", where);
  require(format <= kCorpusFormat, Fault::input, where, ": format ", format,
          " was made by a newer release of tern; this one reads format ", kCorpusFormat);
  require(format == kCorpusFormat, Fault::input, where, ": unknown format ", format);
  const json& tokenizer = json_member(all, "tokenizer", where);
  const std::uint64_t vocab_size = json_number(tokenizer, "vocab_size", where);
  require(vocab_size >= 1 && vocab_size <= 1'000'000, Fault::input, where,
          ": vocab_size: expected 1 to 1000000, got ", vocab_size);
  const std::string file = text(tokenizer, "file", where);
  require(file == kModelFileName || file == kJsonFileName, Fault::input, where,
          ": tokenizer: file: expected ", kModelFileName, " or ", kJsonFileName);
  CorpusManifest manifest{.tokenizer_file = file,
                          .tokenizer_hash = text(tokenizer, "xxh3", where),
                          .vocab_size = std::int32_t(vocab_size),
                          .token_type = stored_type(text(all, "token_type", where), where),
                          .arguments = with_summary(json_member(all, "arguments", where)),
                          .skipped_lines = json_number(all, "skipped_lines", where),
                          .splits = {}};
  require(manifest.token_type == token_type_for(std::int64_t(vocab_size)), Fault::input, where,
          ": token_type: expected ", name_of(token_type_for(std::int64_t(vocab_size))),
          " for this vocabulary");
  const json& splits = json_member(all, "splits", where);
  for (const Split split : kSplits) {
    const std::string name(name_of(split));
    if (!splits.contains(name)) continue;
    const json& shards = json_member(splits[name], "shards", where + ": " + name);
    require(shards.is_array(), Fault::input, where, ": ", name, ": shards: expected a list");
    for (const json& shard : shards)
      manifest.splits[std::size_t(split)].push_back(shard_from_json(shard, where + ": " + name));
  }
  return manifest;
}

}  // namespace tern
