// tokenizer.json files made by hand, for the tests of data/, to be changed one part at a time.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tern {

using Json = nlohmann::ordered_json;

inline constexpr const char* kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// An added token; flags: s special, w single_word, l lstrip, r rstrip, n normalized.
struct AddedPiece {
  std::string content, flags{};
};

// Byte level: the 256 bytes with the ids 0 to 255, 16 merges, the added pieces.
Json byte_level_json(const std::vector<AddedPiece>& added = {{"<|endoftext|>", "s"}});
// the same with Llama 3's pre-tokenizer, NFC and ignore_merges
Json llama3_json();
// SentencePiece's style: unk, bos, eos, 256 byte pieces, words. U+2581 before the text, by a
// normalizer.
Json llama2_json(const std::vector<AddedPiece>& added = {});
// the same by a Metaspace pre-tokenizer
Json metaspace_json(const std::string& scheme, bool split,
                    const std::vector<AddedPiece>& added = {});

}  // namespace tern
