// The files by which Hugging Face's `transformers` and `tokenizers` give the ids of a tokenizer.
#pragma once

#include "data/tokenizer/tokenizer.h"

namespace tern {

// Names and contents: tokenizer.json (of a .model that byte-pair merges express, made from it),
// tokenizer_config.json, and for a .model the file itself. Of any other .model (unigrams,
// normalisation) only the file; notice then says why. Ids with add_special_tokens = False are those
// of Tokenizer::encode; a literal U+2581 is read as a space.
std::vector<std::pair<std::string, std::string>> huggingface_tokenizer_files(
    const Tokenizer& tokenizer, const Notice& notice = {});

}  // namespace tern
