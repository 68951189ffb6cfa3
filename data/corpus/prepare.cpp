#include "data/corpus/prepare.h"

#include <cstdio>
#include <cstring>

#include "core/check.h"
#include "data/corpus/corpus.h"
#include "data/corpus/manifest.h"
#include "data/corpus/pipeline.h"
#include "data/corpus/prepare_journal.h"
#include "data/io/files.h"
#include "data/io/json.h"
#include "data/text/documents.h"
#include "data/text/input_files.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

using Sources = std::vector<InputFile>;

constexpr std::size_t kShownProblems = 5;
constexpr std::uint64_t kMaxShardTokens = std::uint64_t(1) << 32;  // it is made in memory
// For an estimate of the number of shards: text has fewer tokens only where it is very regular, and
// a shard holds at least one batch.
constexpr std::uint64_t kBytesPerToken = 16, kSmallestShardBytes = std::uint64_t(256) << 10;

// Everything that decides the content of the corpus.
nlohmann::json arguments_of(const PrepareOptions& options, const std::string& tokenizer_hash,
                            const Sources& sources) {
  nlohmann::json all = {{"tokenizer_xxh3", tokenizer_hash}, {"sources", source_summary(sources)},
                        {"validation", options.validation}, {"bos", options.layout.bos},
                        {"eos", options.layout.eos},        {"shard_tokens", options.shard_tokens}};
  if (!options.rules.separator.empty()) all["separator"] = options.rules.separator;
  if (options.rules.json_field != DocumentRules().json_field)
    all["json_field"] = options.rules.json_field;
  return all;
}

void check_options(const PrepareOptions& options, const Tokenizer& tokenizer) {
  require(options.shard_tokens > 0 && options.shard_tokens <= kMaxShardTokens, Fault::usage,
          "--shard-tokens: expected 1 to ", kMaxShardTokens, ", got ", options.shard_tokens);
  require(options.threads > 0, Fault::usage, "--threads: expected at least 1, got ",
          options.threads);
  const std::string name = options.tokenizer.string();
  require(!options.layout.bos || tokenizer.bos_id() >= 0, Fault::usage, name,
          ": has no piece for the beginning of a text (<s>): use --no-bos");
  require(!options.layout.eos || tokenizer.eos_id() >= 0, Fault::usage, name,
          ": has no piece for the end of a text (</s>): use --no-eos");
}

struct EncodedBatch {
  std::array<TokenRun, 2> runs;       // by Split
  std::vector<std::string> problems;  // of lines that cannot be used: "file:line: reason"
  TextPosition next;                  // as in TextBatch
  std::uint64_t consumed = 0;
};

// Turns a batch of documents into tokens: bos, the document's tokens, eos.
class BatchEncoder {
 public:
  BatchEncoder(Tokenizer tokenizer, SharedSources sources, DocumentLayout layout,
               std::string json_field = "text")
      : tokenizer_(tokenizer),
        encoder_(tokenizer),
        sources_(std::move(sources)),
        layout_(layout),
        json_field_(std::move(json_field)) {}

  // Ids of token files stay as they are, no bos and eos are added. Fault::input with the byte
  // offset of an id outside the vocabulary.
  EncodedBatch encode(const TextBatch& batch);

 private:
  void append_text(std::string_view text, const TextItem& item, TokenRun& run);
  void append_tokens(std::string_view bytes, const TextItem& item, TokenRun& run);

  Tokenizer tokenizer_;
  Encoder encoder_;
  SharedSources sources_;
  DocumentLayout layout_;
  std::string json_field_;
};

EncodedBatch BatchEncoder::encode(const TextBatch& batch) {
  EncodedBatch encoded{.runs = {}, .problems = {}, .next = batch.next, .consumed = batch.consumed};
  for (const TextItem& item : batch.items) {
    TokenRun& run = encoded.runs[std::size_t(item.split)];
    const InputFile& source = (*sources_)[std::size_t(item.source)];
    if (source.format == InputFormat::text) {
      append_text(batch.of(item), item, run);
    } else if (source.format != InputFormat::json_lines) {
      append_tokens(batch.of(item), item, run);
    } else {
      const JsonLine line = read_json_line(batch.of(item), json_field_);
      if (!line.problem.empty())
        encoded.problems.push_back(source.path.string() + ':' + std::to_string(item.line) + ": " +
                                   line.problem);
      else if (!line.text.empty())
        append_text(line.text, item, run);
    }
  }
  return encoded;
}

void BatchEncoder::append_text(std::string_view text, const TextItem& item, TokenRun& run) {
  if (item.first) run.starts.push_back(run.ids.size());
  if (item.first && layout_.bos) run.ids.push_back(tokenizer_.bos_id());
  encoder_.append(text, item.first ? Encoder::Part::first : Encoder::Part::continued, run.ids);
  if (item.last && layout_.eos) run.ids.push_back(tokenizer_.eos_id());
  run.text_bytes += text.size();
  // a tokenizer that removes spaces may leave nothing: no tokens, no document
  if (item.first && item.last && run.starts.back() == run.ids.size()) run.starts.pop_back();
}

void BatchEncoder::append_tokens(std::string_view bytes, const TextItem& item, TokenRun& run) {
  const InputFile& source = (*sources_)[std::size_t(item.source)];
  const std::size_t width = source.format == InputFormat::u16 ? 2 : 4;
  if (item.first) run.starts.push_back(run.ids.size());
  bool begins = item.first;  // a text
  for (std::size_t at = 0; at < bytes.size(); at += width) {
    std::uint32_t id = 0;
    std::memcpy(&id, bytes.data() + at, width);
    require(id < std::uint32_t(tokenizer_.vocab_size()), Fault::input, source.path.string(),
            ": byte ", item.offset + at, ": expected a token id below ", tokenizer_.vocab_size(),
            ", got ", id);
    run.ids.push_back(std::int32_t(id));
    run.text_bytes += tokenizer_.spelling(std::int32_t(id), begins).size();
    begins = tokenizer_.text_begins_after(std::int32_t(id), begins);
  }
}

// The consumer of encoded batches: collects tokens, writes shards, keeps the journal.
class CorpusWriter {
 public:
  CorpusWriter(PrepareJournal& journal, const PrepareOptions& options, const Tokenizer& tokenizer,
               const std::string& tokenizer_hash)
      : journal_(journal),
        options_(options),
        tokenizer_hash_(tokenizer_hash),
        builders_{ShardBuilder(token_type_for(tokenizer.vocab_size())),
                  ShardBuilder(token_type_for(tokenizer.vocab_size()))},
        reached_(journal.state().next),
        skipped_(journal.state().skipped_lines) {
    for (const auto& shards : journal.state().shards)
      for (const CorpusShard& s : shards) count(s.tokens, s.documents, s.text_bytes);
    progress_.skipped_lines = skipped_;
  }

  void append(const EncodedBatch& batch) {
    for (const std::string& problem : batch.problems) skip_line(problem);
    for (const Split split : kSplits) {
      const TokenRun& run = batch.runs[std::size_t(split)];
      builders_[std::size_t(split)].append(run);
      count(run.ids.size(), run.starts.size(), run.text_bytes);
    }
    reached_ = batch.next;
    progress_.consumed = batch.consumed;
    if (builders_[0].tokens() + builders_[1].tokens() >= options_.shard_tokens) commit();
  }

  void finish() {
    if (builders_[0].tokens() + builders_[1].tokens() > 0) commit();
  }

  const PrepareProgress& progress() const { return progress_; }
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  void count(std::uint64_t tokens, std::uint64_t documents, std::uint64_t text_bytes) {
    progress_.tokens += tokens;
    progress_.documents += documents;
    progress_.text_bytes += text_bytes;
  }

  void skip_line(const std::string& problem) {
    progress_.skipped_lines = ++skipped_;
    require(skipped_ <= options_.max_bad, Fault::input, problem, " (bad line ", skipped_,
            ", --max-bad ", options_.max_bad, " allows ", options_.max_bad, ")");
    if (problems_.size() < kShownProblems) problems_.push_back(problem);
  }

  void commit() {
    std::array<std::optional<CorpusShard>, 2> shards;
    for (const Split split : kSplits) {
      ShardBuilder& builder = builders_[std::size_t(split)];
      if (builder.tokens() == 0) continue;
      char name[64];
      std::snprintf(name, sizeof name, "%s-%05zu.h5", name_of(split).data(),
                    journal_.state().shards[std::size_t(split)].size());
      shards[std::size_t(split)] = builder.write(journal_.directory() / name, tokenizer_hash_);
    }
    journal_.commit(shards, reached_, skipped_);
  }

  PrepareJournal& journal_;
  const PrepareOptions& options_;
  std::string tokenizer_hash_;
  std::array<ShardBuilder, 2> builders_;
  TextPosition reached_;
  std::uint64_t skipped_;
  PrepareProgress progress_;
  std::vector<std::string> problems_;
};

void encode_all(DocumentReader& reader, const Tokenizer& tokenizer, const SharedSources& sources,
                const PrepareOptions& options, const std::function<void(EncodedBatch&&)>& consume) {
  Pipeline<TextBatch, EncodedBatch>::run(
      {.produce = [&] { return reader.next(); },
       .make_worker =
           [&] {
             const auto encoder = std::make_shared<BatchEncoder>(tokenizer, sources, options.layout,
                                                                 options.rules.json_field);
             return [encoder](TextBatch&& batch) { return encoder->encode(batch); };
           },
       .consume = consume,
       .weight = [](const TextBatch& batch) { return std::uint64_t(batch.bytes.size()); },
       .max_weight = std::uint64_t(options.threads) * (4 << 20),
       .threads = options.threads,
       .fewer =
           [&](int workers) {
             if (options.notice)
               options.notice("--threads " + std::to_string(options.threads) +
                              ": the system allows " +
                              (workers > 0 ? "only " + std::to_string(workers) : "none") +
                              " (see ulimit -u): slower, the result is the same");
           }});
}

CorpusManifest manifest_of(const PrepareJournal& journal, const Tokenizer& tokenizer,
                           const nlohmann::json& arguments, const PrepareOptions& options) {
  const PrepareState& state = journal.state();
  const std::string out = journal.directory().string();
  require(!state.shards[0].empty(), Fault::input, "the inputs hold no text for training");
  require(options.validation == 0 || !state.shards[1].empty(), Fault::input,
          "the inputs hold too little for --validation ", options.validation, ": ",
          state.next.document, " documents; use a larger fraction and delete ", out);
  return {.tokenizer_file = std::string(tokenizer.file_name()),
          .tokenizer_hash = arguments.at("tokenizer_xxh3").get<std::string>(),
          .vocab_size = tokenizer.vocab_size(),
          .token_type = token_type_for(tokenizer.vocab_size()),
          .arguments = arguments,
          .skipped_lines = state.skipped_lines,
          .splits = state.shards};
}

}  // namespace

PrepareResult prepare_corpus(const PrepareOptions& options,
                             const std::function<void(const PrepareProgress&)>& report) {
  const Tokenizer tokenizer = Tokenizer::load(options.tokenizer);
  check_options(options, tokenizer);
  const auto shared =
      std::make_shared<const Sources>(list_inputs(options.inputs, options.format, options.notice));
  const Sources& sources = *shared;
  check_token_files(sources, options.format.has_value(), tokenizer.vocab_size());
  require_documents_fit(sources, options.rules);
  const SplitRule rule(options.validation, sources, !options.rules.separator.empty());
  const std::string stored = stored_tokenizer_hash(options.out);  // of an earlier release
  const std::string hash = tokenizer.is(stored) ? stored : tokenizer.hash();
  const nlohmann::json arguments = arguments_of(options, hash, sources);
  std::optional<PrepareJournal> journal = PrepareJournal::open(options.out, arguments, sources);
  const fs::path manifest_path = options.out / kCorpusManifestName;
  if (!journal)
    return {.manifest = parse_corpus_manifest(read_file(manifest_path, kMaxCorpusManifestBytes),
                                              manifest_path.string()),
            .was_finished = true,
            .problems = {}};
  std::uint64_t total = 0;
  for (const InputFile& s : sources) total += s.bytes;
  require_shard_count(std::size_t(
      std::min(total / kSmallestShardBytes, total / kBytesPerToken / options.shard_tokens)));
  write_file_atomically(options.out / tokenizer.file_name(), tokenizer.file());
  write_source_list(options.out, sources);
  const bool known = std::none_of(sources.begin(), sources.end(),
                                  [](const InputFile& s) { return s.path == "-"; });
  const auto cut = [&](std::string_view text) { return tokenizer.complete_prefix(text); };
  DocumentReader reader(shared, rule, cut, journal->state().next,
                        {.separator = options.rules.separator});
  CorpusWriter writer(*journal, options, tokenizer, hash);
  encode_all(reader, tokenizer, shared, options, [&](EncodedBatch&& batch) {
    writer.append(batch);
    PrepareProgress progress = writer.progress();
    progress.total = known ? total : 0;
    report(progress);
  });
  writer.finish();
  const CorpusManifest manifest = manifest_of(*journal, tokenizer, arguments, options);
  write_file_atomically(manifest_path, to_text(manifest));
  journal->remove();
  return {.manifest = manifest, .resumed = journal->resumed(), .problems = writer.problems()};
}

}  // namespace tern
