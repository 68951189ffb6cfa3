#include "apps/console/standard_streams.h"

#include <cstdio>

#include "data/io/files.h"

namespace tern {

std::string read_input(const std::string& name, std::uint64_t most) {
  if (name != kStandardInput) return read_file(name, most, Links::follow);
  std::string text, block(std::size_t(1) << 16, '\0');
  while (const std::size_t n = std::fread(block.data(), 1, block.size(), stdin)) {
    text.append(block, 0, n);
    require(text.size() <= most, Fault::input, "standard input: expected at most ", most, " B");
  }
  require(!std::ferror(stdin), Fault::input, "standard input: cannot be read");
  return text;
}

void write_output(std::string_view bytes) {
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size();
  require(written && std::fflush(stdout) == 0, Fault::disk, "standard output: cannot write");
}

}  // namespace tern
