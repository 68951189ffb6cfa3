// A tokenizer file, model or JSON: if it is one, a short text through it and back.
#pragma once

#include "data/tokenizer/tokenizer.h"
#include "tests/fuzz/fuzz.h"

namespace tern::fuzz {

inline void check_tokenizer(std::string_view bytes, const char* name) {
  works({Fault::input}, [&] {
    const Tokenizer tokenizer = Tokenizer::parse(std::string(bytes), name);
    expect(tokenizer.vocab_size() > 0, "an empty vocabulary");
    for (const std::int32_t id : {tokenizer.bos_id(), tokenizer.eos_id(), tokenizer.unk_id()})
      expect(id >= -1 && id < tokenizer.vocab_size(), "an id outside of the vocabulary");
    for (std::int32_t id = 0; id < tokenizer.vocab_size(); ++id) tokenizer.decode({&id, 1});
    static constexpr char kText[] = " a b  ab\nthe\u2581 \xff\0x \u00e9\U0001f600<s> 12";
    for (const std::string_view text :
         {std::string_view(""), std::string_view(kText, sizeof kText - 1), bytes.substr(0, 256)}) {
      const std::vector<std::int32_t> ids = tokenizer.encode(text);
      for (const std::int32_t id : ids)
        expect(id >= 0 && id < tokenizer.vocab_size(), "an id outside of the vocabulary");
      const std::string back = tokenizer.decode(ids);
      if (tokenizer.lossless()) expect(back == text, "a text differs after its way through ids");
      expect(tokenizer.complete_prefix(text) <= text.size(), "a prefix longer than its text");
    }
  });
}

}  // namespace tern::fuzz
