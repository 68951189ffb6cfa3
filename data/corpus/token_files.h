// Files of token ids carry nothing that says how wide an id is: looks whether their first ids make
// sense at the width that their name or --format gives them.
#pragma once

#include <cstdint>
#include <vector>

#include "data/text/sources.h"

namespace tern {

// forced: the width was asked for with --format, and is doubted only if it cannot be right.
// Fault::input, naming the file and the --format that fits: .bin with a vocabulary that 16 bits do
// not hold, half an id at the end, first ids that are right at the other width only, or that look
// like the other width.
void check_token_files(const std::vector<SourceFile>& sources, bool forced,
                       std::int32_t vocab_size);

}  // namespace tern
