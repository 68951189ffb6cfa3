#include "apps/commands/input_options.h"

#include <cstdio>

#include "apps/commands/command_line.h"
#include "apps/console/terminal.h"
#include "core/check.h"

namespace tern {

std::optional<InputFormat> InputOptions::forced_format() const {
  for (const InputFormat f :
       {InputFormat::text, InputFormat::json_lines, InputFormat::u16, InputFormat::u32})
    if (format == name_of(f)) return f;
  return std::nullopt;
}

void warn(const std::string& what) {
  std::fprintf(stderr, "warning: %s\n", printable(what).c_str());
}

namespace {

// \n, \t, \r, \0 and \\ as in C
std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    constexpr std::string_view names = "ntr0\\", meanings("\n\t\r\0\\", 5);
    const std::size_t which = ++i < text.size() ? names.find(text[i]) : names.npos;
    require(which != names.npos, Fault::usage, "--separator: expected \\n, \\t, \\r, \\0 or \\\\ ",
            "for a backslash, got ", text);
    out += meanings[which];
  }
  require(!out.empty() && out.size() <= kMaxSeparatorBytes, Fault::usage,
          "--separator: expected 1 to ", kMaxSeparatorBytes, " B, got ", out.size());
  return out;
}

}  // namespace

void add_input_options(CLI::App& command, InputOptions& options) {
  add_list(command, "INPUT", options.inputs,
           "files, directories, globs, or - for standard input:\n.txt .md .rst (one document), "
           ".jsonl .ndjson (one a line),\n.bin .u16 .u32 (token ids), each also .gz, .zst, .xz")
      ->transform(path_argument())
      ->required();
  command.add_option("--format", options.format, "format of the inputs, whatever their names are")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "text", "jsonl", "u16", "u32"}));
  command
      .add_option_function<std::string>(
          "--separator",
          [&options](const std::string& text) { options.rules.separator = unescaped(text); },
          "separator between the documents of a text, such as '<|endoftext|>' or '\\n\\n\\n'; it "
          "is left out (default: a file is one document)")
      ->type_name("TEXT");
  command
      .add_option("--json-field", options.rules.json_field,
                  "the field of JSON lines that holds the document; a.b: b of the object in a")
      ->capture_default_str();
}

}  // namespace tern
