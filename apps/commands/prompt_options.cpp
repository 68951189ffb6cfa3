#include "apps/commands/prompt_options.h"

#include <unistd.h>

#include "apps/commands/command_line.h"
#include "apps/console/standard_streams.h"
#include "apps/console/terminal.h"
#include "core/check.h"
#include "data/text/documents.h"

namespace tern {
namespace {

std::string read_text(const std::string& path) {
  std::string text = read_input(path, kMaxDocumentBytes);
  require(!text.starts_with("\xff\xfe") && !text.starts_with("\xfe\xff"), Fault::input,
          path == kStandardInput ? "standard input" : path,
          ": is UTF-16: convert it, for example with iconv -f UTF-16 -t UTF-8");
  return text;
}

}  // namespace

void add_prompt_options(CLI::App& command, PromptOptions& options) {
  command.add_option("--prompt", options.text,
                     "beginning of the text; shown in front of what follows");
  command
      .add_option("--prompt-file", options.file,
                  "the same from a file, to its last byte, or from standard input (-);\nnot shown. "
                  "Without --prompt and this: standard input, if it is no terminal")
      ->transform(path_argument());
}

void check_prompt_options(const PromptOptions& options) {
  require(!options.text || !options.file, Fault::usage,
          "expected --prompt or --prompt-file, got both");
}

std::string prompt_of(const PromptOptions& options, bool reads_input) {
  if (options.text) return *options.text;
  if (options.file) return read_text(*options.file);
  return reads_input && !isatty(STDIN_FILENO) ? read_text(std::string(kStandardInput)) : "";
}

void show_text(const std::string& text) {
  write_output(isatty(STDOUT_FILENO) ? printable(text) : text);
}

}  // namespace tern
