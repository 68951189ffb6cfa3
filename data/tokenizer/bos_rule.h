// Whether the programs that a tokenizer was made for put bos before a text.
#pragma once

#include "data/tokenizer/tokenizer.h"

namespace tern {

struct BosRule {
  bool add = false;
  std::string reason{};  // what decided it: "tokenizer_config.json: add_bos_token"
};

// Of a tokenizer that was loaded from this file or folder, as transformers has it: add_bos_token
// of tokenizer_config.json; else the post processor of a tokenizer.json, unless the class adds bos
// by default, as those of Llama do; a .model alone adds it. Fault::input for files that are broken.
BosRule bos_rule(const std::filesystem::path& path, const Tokenizer& tokenizer);

}  // namespace tern
