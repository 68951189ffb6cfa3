// tern completion bash: the script that completes commands, options and their values.
#include <fmt/format.h>

#include <memory>

#include "apps/commands/command_line.h"
#include "apps/config/schema.h"

namespace tern {
namespace {

// the values that an option takes; empty: a file's name, or any text
std::string values_of(const CLI::Option& o) {
  if (o.check_name("--device")) return "cpu cuda";
  std::string words;
  if (o.check_name("--set")) {
    for (const ConfigSection& section : schema())
      for (const ConfigKey& key : section.keys) words += full_name(section, 0, key) + "= ";
    return words;
  }
  const std::string type = o.get_type_name();  // "TEXT:{auto,text}"
  const std::size_t begin = type.find('{'), end = type.find('}');
  if (begin == type.npos || end == type.npos) return "";
  for (const char c : type.substr(begin + 1, end - begin - 1)) words += c == ',' ? ' ' : c;
  return words;
}

// a case of the script for the words behind each command, and one for each option's values
void add_cases(const CLI::App& app, std::string& words, std::string& values) {
  std::string all;
  for (const CLI::App* sub : commands_of(app)) {
    all += sub->get_name() + ' ';
    add_cases(*sub, words, values);
  }
  for (const CLI::Option* o : options_of(app)) {
    if (is_hidden(*o)) continue;
    const std::string known = values_of(*o);
    if (!o->nonpositional()) {
      all += known;
      continue;
    }
    std::string pattern;
    for (const std::string& name : o->get_lnames()) {
      all += "--" + name + ' ';
      pattern += fmt::format("{}'{} --{}'", pattern.empty() ? "" : "|", path_of(app), name);
    }
    if (!known.empty()) values += fmt::format("    {}) words='{}' ;;\n", pattern, known);
  }
  words += fmt::format("    '{}') words='{}' ;;\n", path_of(app), all);
}

}  // namespace

std::string bash_completion(const CLI::App& tern) {
  std::string words, values;
  add_cases(tern, words, values);
  return "# Completion of tern's command line for bash, written by `tern completion bash`.\n"
         "_tern_words() {\n  words=\n  case $1 in\n" +
         words + "  esac\n}\n_tern_values() {\n  words=\n  case $1 in\n" + values +
         R"(  esac
}
_tern() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} path=tern words word i
  if [[ $cur == '=' ]]; then  # --option=VALUE comes as three words
    cur=
  elif [[ $prev == '=' ]]; then
    prev=${COMP_WORDS[COMP_CWORD-2]}
  fi
  for ((i = 1; i < COMP_CWORD; ++i)); do
    word=${COMP_WORDS[i]}
    [[ $path == tern && $word == help ]] && continue
    _tern_words "$path"
    [[ $word != -* && " $words " == *" $word "* ]] && path+=" $word"
  done
  _tern_values "$path $prev"
  if [[ -z $words ]]; then
    _tern_words "$path"
    [[ $cur == -* ]] || for word in $words; do  # options only behind a dash
      [[ $word == -* ]] && words=${words/"$word "/}
    done
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace 2>/dev/null || true
}
complete -o default -F _tern tern
)";
}

void add_completion(CLI::App& tern) {
  CLI::App& command = *tern.add_subcommand(
      "completion", "Print a script that completes tern's command line in a shell.");
  const auto shell = std::make_shared<std::string>();
  command.add_option("SHELL", *shell, "bash")->required()->check(CLI::IsMember({"bash"}));
  command.footer(
      "For this shell: source <(tern completion bash). An installation has the script in\n"
      "share/bash-completion/completions.");
  command.callback([shell, &tern] { fmt::print("{}", bash_completion(tern)); });
}

}  // namespace tern
