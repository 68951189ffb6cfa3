// Hugging Face's tokenizer.json, as far as it describes byte-pair tokenizers: byte-level ones
// (GPT-2, Llama 3, Qwen, DeepSeek) and those in SentencePiece's style (Llama 2, Mistral).
#pragma once

#include "data/tokenizer/bpe_tokenizer.h"

namespace tern {

// Reads and checks the file. Fault::input, "path: where: expected, got", for limits (those of
// .model files), broken JSON, ids that are double or far apart, merges of pieces that do not exist,
// and by its name for whatever would give other ids than the `tokenizers` library: Unigram,
// WordPiece, WordLevel, dropout, prefixes of subwords, other normalizers, pre-tokenizers and
// decoders. Post- processor, truncation and padding are ignored. bos and eos: see
// with_document_tokens; without these keys, well-known special tokens.
BpeTokenizer read_json_tokenizer(std::string_view bytes, const std::filesystem::path& path);

// A tokenizer.json does not say which tokens begin and end a text. These are the bytes of the file
// with two more keys at its beginning, "bos_token" and "eos_token" (text or null), from
// tokenizer_config.json or special_tokens_map.json beside it, else well-known special tokens. A
// file that has the keys stays as it is.
std::string with_document_tokens(std::string_view bytes, const std::filesystem::path& path);
// the bytes of the file itself
std::string without_document_tokens(std::string_view bytes);

}  // namespace tern
