// tokenizer.json.
#include "tests/fuzz/tokenizer.h"

namespace tern::fuzz {

void run(std::string_view input) {
  check_tokenizer(input, "tokenizer.json");
}

}  // namespace tern::fuzz
