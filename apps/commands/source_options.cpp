#include "apps/commands/source_options.h"

#include "apps/commands/command_line.h"

namespace tern {

std::optional<SourceFormat> SourceOptions::forced_format() const {
  for (const SourceFormat f :
       {SourceFormat::text, SourceFormat::json_lines, SourceFormat::u16, SourceFormat::u32})
    if (format == name_of(f)) return f;
  return std::nullopt;
}

void add_source_options(CLI::App& command, SourceOptions& options) {
  add_list(command, "INPUT", options.inputs,
           "files, directories, globs, or - for standard input:\n.txt (one document), .jsonl "
           "(a \"text\" field per line), .bin/.u16/.u32 (token\nids), each also .gz, .zst, .xz")
      ->required();
  command.add_option("--format", options.format, "what the inputs are, whatever their names say")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "text", "jsonl", "u16", "u32"}));
}

}  // namespace tern
