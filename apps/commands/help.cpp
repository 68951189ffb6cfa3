#include <fmt/format.h>

#include <memory>

#include "apps/commands/command_line.h"
#include "apps/system/environment.h"
#include "core/check.h"

namespace tern {
namespace {

std::string first_sentence(const std::string& text) {
  const std::size_t end = text.find(". ");
  return end == text.npos ? text : text.substr(0, end + 1);
}

std::string overview(const CLI::App& tern) {
  std::string text = fmt::format("{}\n{}\n\nUsage: tern COMMAND [ARGUMENTS]\n\nCommands:\n",
                                 version_line(), tern.get_description());
  for (const CLI::App* command : commands_of(tern))
    text += fmt::format("  {:<12} {}\n", command->get_name(),
                        first_sentence(command->get_description()));
  return text +
         "\n`tern help COMMAND` explains a command; `tern info` shows this build and this "
         "machine.\n";
}

// as troff reads it: no command at the beginning of a line, no escape
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) out += "\\&";
    if (c == '\\' || c == '-') out += '\\';
    out += c;
  }
  return out;
}

std::string man_option(const CLI::Option& o) {
  std::string names = o.nonpositional() ? o.get_name(false, true) : o.get_name(true);
  for (std::size_t at = 0; (at = names.find(',', at)) != names.npos; at += 2)
    names.replace(at, 1, ", ");
  std::string text = ".TP\n.B " + escaped(names);
  if (takes_value(o) && o.nonpositional()) text += " \\fI" + escaped(o.get_type_name()) + "\\fR";
  text += '\n' + escaped(o.get_description());
  if (takes_value(o) && !o.get_default_str().empty())
    text += " (default: " + escaped(o.get_default_str()) + ')';
  return text + '\n';
}

std::string man_command(const CLI::App& app) {
  std::string text;
  for (const CLI::App* sub : commands_of(app)) text += man_command(*sub);
  if (!text.empty()) return text;
  text = ".SS \"" + escaped(usage_of(app)) + "\"\n" + escaped(app.get_description()) + '\n';
  for (const CLI::Option* o : options_of(app))
    if (!is_hidden(*o) && !o->check_name("--help")) text += man_option(*o);
  return text;
}

// The command with this path; Error(Fault::usage) if there is none.
const CLI::App& find_command(const CLI::App& tern, const std::vector<std::string>& path) {
  const CLI::App* app = &tern;
  for (const std::string& name : path) {
    const FoundCommand found = find_subcommand(*app, name);
    require(found.app, Fault::usage, "help: unknown command '", name, "' of ", path_of(*app),
            found.nearest.empty() ? "." : ": did you mean '" + found.nearest + "'?",
            " See: tern help");
    app = found.app;
  }
  return *app;
}

}  // namespace

std::string usage_of(const CLI::App& app) {
  std::string text = path_of(app) + " [OPTIONS]";
  for (const CLI::Option* o : options_of(app))
    if (o->get_positional()) {
      const bool many = o->get_items_expected_max() > 1;
      const std::string name = o->get_name(true) + (many ? "..." : "");
      text += o->get_required() ? ' ' + name : " [" + name + ']';
    }
  return text;
}

std::string help_text(const CLI::App& app) {
  if (!app.get_parent()) return overview(app);
  std::string text = app.help(path_of(*app.get_parent()));
  while (text.ends_with("\n\n")) text.pop_back();
  return text;
}

std::string man_page(const CLI::App& tern) {
  std::string text = fmt::format(
      ".TH TERN 1 \"\" \"tern {}\"\n.SH NAME\ntern \\- trains, evaluates and runs MatMul\\-free "
      "language models\n.SH SYNOPSIS\n.B tern\n.I COMMAND\n[\\fIARGUMENTS\\fR]\n.SH COMMANDS\n",
      version());
  for (const CLI::App* command : commands_of(tern)) text += man_command(*command);
  text += ".SH EXIT STATUS\n";
  for (const auto& [code, meaning] : std::vector<std::pair<int, const char*>>{
           {0, "success"},
           {int(Fault::internal), "a fault in tern"},
           {int(Fault::usage), "command line or configuration"},
           {int(Fault::input), "bad or damaged data, tokenizer or checkpoint"},
           {int(Fault::diverged), "losses that are not finite"},
           {int(Fault::memory), "memory of the host or the GPU"},
           {int(Fault::disk), "files and disks"},
           {int(Fault::communication), "communication between ranks"},
           {int(Fault::stopped),
            "stopped by a signal or a time limit, with a good checkpoint: "
            "run the same command again to resume"},
           {130, "stopped at once by a second Ctrl\\-C"}})
    text += fmt::format(".TP\n.B {}\n{}\n", code, meaning);
  return text;
}

void add_help(CLI::App& tern) {
  struct Options {
    std::vector<std::string> path;
    bool man = false;
  };
  CLI::App& command =
      *tern.add_subcommand("help", "Explain a command: what it does and its options.");
  const auto o = std::make_shared<Options>();
  add_list(command, "COMMAND", o->path, "a command and its subcommands (default: list them all)");
  command.add_flag("--man", o->man, "print the manual page of all commands, in troff");
  command.callback([o, &tern] {
    fmt::print("{}", o->man ? man_page(tern) : help_text(find_command(tern, o->path)));
  });
}

}  // namespace tern
