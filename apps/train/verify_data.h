// Corpora read whole and compared with the hashes that were stored when they were made.
#pragma once

#include <filesystem>

#include "runtime/run_config.h"

namespace tern {

// as verify_corpus; progress on stderr if it is a terminal
std::vector<std::string> verify_with_progress(const std::filesystem::path& corpus, bool hashes);

// data.verify: every corpus of the sources, whole. Fault::input with the first damage of one.
void verify_data(const DataSection& data);

}  // namespace tern
