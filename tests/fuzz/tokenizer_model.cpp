// tokenizer.model, and normalisation rules alone.
#include "data/tokenizer/sentencepiece_model.h"
#include "tests/fuzz/tokenizer.h"

namespace tern::fuzz {

void run(std::string_view input) {
  works({Fault::input}, [&] {
    const SentencePieceModel model = read_sentencepiece_model(input, "m");
    for (const TokenPiece& piece : model.pieces)
      expect(piece.text.data() >= input.data() &&
                 piece.text.data() + piece.text.size() <= input.data() + input.size(),
             "a piece lies outside of the file");
  });
  works({Fault::input}, [&] { check_normalization(input, "m"); });
  check_tokenizer(input, "tokenizer.model");
}

}  // namespace tern::fuzz
