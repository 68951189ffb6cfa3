#include "apps/commands/command_line.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <regex>

#include "apps/config/schema.h"
#include "apps/system/environment.h"
#include "core/check.h"
#include "data/io/files.h"

namespace tern {
namespace {

// the text after an unknown word
std::string suggestion(const std::string& nearest) {
  return nearest.empty() ? "." : fmt::format(": did you mean '{}'?", nearest);
}

// "--lr" -> "optimizer.lr", where exactly that is a key of the configuration
std::string config_key(std::string flag) {
  flag.erase(0, flag.find_first_not_of('-'));
  std::replace(flag.begin(), flag.end(), '-', '_');
  for (const ConfigSection& section : schema())
    if (const ConfigKey* key = find_key(section, flag)) return full_name(section, 0, *key);
  return "";
}

// The mistake in the text of a number, or "". CLI11 reads 010 as 8, "" as 0 and lets large and
// negative ones overflow.
std::string number_problem(const std::string& type, std::string_view text) {
  const std::string_view digits = text.starts_with('+') ? text.substr(1) : text;
  const char *begin = digits.data(), *end = begin + digits.size();
  const auto whole = [&](auto value) {
    const auto [at, error] = std::from_chars(begin, end, value);
    const bool octal = digits.size() > 1 && digits[0] == '0';
    return at == end && begin != end && error == std::errc{} && !octal;
  };
  if (type.starts_with("UINT") && !whole(std::uint64_t()))
    return fmt::format("expected a whole number from 0 to {}", UINT64_MAX);
  if (type.starts_with("INT") && !whole(std::int64_t())) return "expected a whole number";
  double real = 0;
  if (!type.starts_with("FLOAT")) return "";
  const auto [at, error] = std::from_chars(begin, end, real);
  return at == end && error == std::errc{} && std::isfinite(real) ? "" : "expected a number";
}

// Reads the arguments by the table of commands and options.
class Reader {
 public:
  explicit Reader(const CLI::App& tern) : app_(&tern) {}

  void read(const std::vector<std::string>& arguments) {
    for (auto a = arguments.begin(); a != arguments.end(); ++a) {
      const std::string& text = *a;
      if (only_positionals_)
        positional(text);
      else if (text == "--")
        only_positionals_ = true;
      else if (is_option(text))
        option(text, a, arguments.end());
      else if (!commands_of(*app_).empty())
        command(text);
      else
        positional(text);
    }
  }

  const CLI::App& command() const { return *app_; }

  // of everything that is required, and not given: Error
  void require_all() const {
    for (const CLI::Option* o : options_of(*app_))
      if (o->get_required() && !given_.contains(o) &&
          !(o->get_positional() && !positionals_.empty()))
        fail_here(fmt::format("{} is missing: expected {}. Usage: {}", name_of(*o),
                              first_line(o->get_description()), usage_of(*app_)));
  }

  // for CLI11
  std::vector<std::string> arguments() const {
    std::vector<std::string> all = words_;
    if (!positionals_.empty()) all.push_back("--");
    all.insert(all.end(), positionals_.begin(), positionals_.end());
    return all;
  }

  [[noreturn]] void fail_here(const std::string& what) const {
    const std::string path = path_of(*app_);
    fail(Fault::usage, path.size() > 5 ? path.substr(5) + ": " : "", what);
  }

 private:
  using Arguments = std::vector<std::string>::const_iterator;

  static std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

  static std::string name_of(const CLI::Option& o) { return o.get_name(o.get_positional()); }

  // "-" is standard input, "-5" a number
  static bool is_option(const std::string& text) {
    return text.size() > 1 && text[0] == '-' && !std::isdigit(static_cast<unsigned char>(text[1]));
  }

  std::string see() const {
    const std::string path = path_of(*app_);
    return "See: tern help" + path.substr(std::min<std::size_t>(path.size(), 4));
  }

  const CLI::Option* find(const std::string& flag) const {
    for (const CLI::Option* o : options_of(*app_))
      if (o->nonpositional() && o->check_name(flag)) return o;
    return nullptr;
  }

  void command(const std::string& name) {
    const FoundCommand found = find_subcommand(*app_, name);
    if (!found.app)
      fail_here(fmt::format("unknown command '{}'{} {}", name, suggestion(found.nearest), see()));
    app_ = found.app;
    words_.push_back(name);
  }

  [[noreturn]] void unknown_option(const std::string& flag) const {
    std::vector<std::string> names;
    for (const CLI::Option* o : options_of(*app_))
      if (!is_hidden(*o))
        for (const std::string& name : o->get_lnames()) names.push_back("--" + name);
    std::string near = nearest(flag, names);
    if (near.empty() && !flag.starts_with("--")) near = nearest("-" + flag, names);
    const std::string key = find("--set") && near.empty() ? config_key(flag) : "";
    fail_here(fmt::format(
        "unknown option '{}'{} {}", flag,
        key.empty() ? suggestion(near) : fmt::format(": expected --set {}=VALUE.", key), see()));
  }

  void option(const std::string& text, Arguments& at, Arguments end) {
    const bool is_long = text.starts_with("--");
    const std::size_t cut = is_long ? text.find('=') : 2;
    const std::string flag = text.substr(0, cut);
    const bool attached = cut < text.size();  // --seed=3, -n5
    const std::string value = attached ? text.substr(cut + is_long) : "";
    const CLI::Option* o = find(flag);
    if (!o) unknown_option(is_long ? flag : text);
    const std::string name = "--" + (o->get_lnames().empty() ? flag : o->get_lnames()[0]);
    words_.push_back(o->get_lnames().empty() ? flag : name);
    if (given_[o]++ && o->get_multi_option_policy() != CLI::MultiOptionPolicy::TakeAll)
      fail_here(fmt::format("{}: expected once, got it twice", flag));
    if (!takes_value(*o)) {
      if (attached) fail_here(fmt::format("{}: expected no value, got '{}'", flag, value));
      return;
    }
    if (attached) return take(*o, flag, value);
    const std::string expected = first_line(o->get_description());
    if (at + 1 == end || *(at + 1) == "--")
      fail_here(fmt::format("{}: expected a value ({}), got nothing", flag, expected));
    const std::string& next = *++at;
    if (is_option(next) && find(next.substr(0, next.find('='))))
      fail_here(
          fmt::format("{0}: expected a value ({1}), got the option {2}; if this is the value: "
                      "{0}={2}",
                      flag, expected, next));
    take(*o, flag, next);
  }

  void take(const CLI::Option& o, const std::string& flag, const std::string& value) {
    const std::string problem = number_problem(o.get_type_name(), value);
    if (!problem.empty()) fail_here(fmt::format("{}: {}, got '{}'", flag, problem, value));
    words_.push_back(value);
  }

  void positional(const std::string& text) {
    std::string names;
    std::size_t room = 0;
    for (const CLI::Option* o : options_of(*app_))
      if (o->get_positional()) {
        room += std::size_t(o->get_items_expected_max());
        names += (names.empty() ? "" : " ") + o->get_name(true);
      }
    positionals_.push_back(text);
    if (positionals_.size() > room)
      fail_here(fmt::format("unexpected argument '{}': expected {}. {}", text,
                            names.empty() ? "options only" : "nothing behind " + names, see()));
  }

  const CLI::App* app_;
  bool only_positionals_ = false;
  std::map<const CLI::Option*, int> given_{};
  std::vector<std::string> words_{}, positionals_{};
};

// The command with -h or --help anywhere after it, or null.
const CLI::App* asks_for_help(const CLI::App& tern, const std::vector<std::string>& arguments) {
  const auto end = std::find(arguments.begin(), arguments.end(), "--");
  if (std::none_of(arguments.begin(), end,
                   [](const std::string& a) { return a == "-h" || a == "--help"; }))
    return nullptr;
  const CLI::App* app = &tern;
  for (auto a = arguments.begin(); a != end; ++a)
    if (const CLI::App* sub = find_subcommand(*app, *a).app) app = sub;
  return app;
}

// CLI11's words in ours: "--ranks: Value 0 not in range 1 to 9", "--format: x not in {a,b}"
std::string reworded(const std::string& text) {
  static const std::regex range(R"((.*): Value (.*) not in range (.*) to (.*))"),
      member(R"((.*): (.*) not in \{(.*)\})"), conversion(R"(Could not convert: (.*) = (.*))");
  std::smatch m;
  if (std::regex_match(text, m, range))
    return fmt::format("{}: expected {} to {}, got {}", m[1].str(), m[3].str(), m[4].str(),
                       m[2].str());
  if (std::regex_match(text, m, member)) {
    std::vector<std::string> names;
    std::string list;
    for (const auto& name : CLI::detail::split(m[3].str(), ',')) {
      names.push_back(name);
      list += (list.empty() ? "" : ", ") + name;
    }
    return fmt::format("{}: expected one of {}; got '{}'{}", m[1].str(), list, m[2].str(),
                       suggestion(nearest(m[2].str(), names)));
  }
  if (std::regex_match(text, m, conversion))
    return fmt::format("{}: expected a number of a smaller size, got {}", m[1].str(), m[2].str());
  return text;
}

}  // namespace

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* sub) { return !sub->get_name().empty(); });
}

std::vector<const CLI::Option*> options_of(const CLI::App& app) {
  std::vector<const CLI::Option*> all = app.get_options();
  for (const CLI::App* group :
       app.get_subcommands([](const CLI::App* sub) { return sub->get_name().empty(); }))
    for (const CLI::Option* o : options_of(*group)) all.push_back(o);
  return all;
}

FoundCommand find_subcommand(const CLI::App& app, const std::string& name) {
  std::vector<std::string> names;
  for (const CLI::App* sub : commands_of(app)) {
    if (sub->get_name() == name) return {.app = sub};
    names.push_back(sub->get_name());
  }
  return {.nearest = nearest(name, names)};
}

bool takes_value(const CLI::Option& option) {
  return option.get_items_expected_max() > 0;
}

bool is_hidden(const CLI::Option& option) {
  return option.get_group().empty();
}

std::string path_of(const CLI::App& app) {
  return (app.get_parent() ? path_of(*app.get_parent()) + ' ' : "") + app.get_name();
}

CLI::Validator path_argument() {
  return CLI::Validator(
      [](std::string& path) {
        try {
          path = expand_home(path);
          return std::string();
        } catch (const Error& e) {
          return std::string(e.what());
        }
      },
      "");
}

void add_settings(CLI::App& command, std::vector<std::string>& settings) {
  add_list(command, "--set", settings, "overrides a key of the configuration; may be repeated")
      ->type_name("KEY=VALUE");
}

int run_command_line(CLI::App& tern, const std::vector<std::string>& arguments) {
  if (const CLI::App* app = asks_for_help(tern, arguments)) {
    fmt::print("{}", help_text(*app));
    return 0;
  }
  if (!arguments.empty() && (arguments[0] == "--version" || arguments[0] == "-v")) {
    fmt::print("{}\n", version_line());
    return 0;
  }
  Reader reader(tern);
  reader.read(arguments);
  if (!commands_of(reader.command()).empty()) {  // nothing is done yet
    fmt::print("{}", help_text(reader.command()));
    return int(Fault::usage);
  }
  reader.require_all();
  std::vector<std::string> words = reader.arguments();
  std::reverse(words.begin(), words.end());  // CLI11 reads from the back
  try {
    tern.parse(std::move(words));
  } catch (const CLI::ParseError& e) {
    reader.fail_here(reworded(e.what()));
  }
  return 0;
}

// The table of all commands. A new one is a file beside this one and a line here.
void add_commands(CLI::App& tern, const std::vector<std::string>& command_line) {
  tern.add_flag("-v,--version")->description("print the version");
  add_tokenizer(tern);
  add_prepare(tern);
  add_plan(tern);
  add_train(tern, command_line);
  add_eval(tern);
  add_generate(tern);
  add_export(tern);
  add_import(tern);
  add_rtl(tern);
  add_plot(tern);
  add_sweep(tern);
  add_runs(tern);
  add_report(tern);
  add_scaling(tern);
  add_inspect(tern);
  add_config(tern);
  add_golden(tern);
  add_trace(tern);
  add_ngram(tern);
  add_bench(tern);
  add_info(tern);
  add_help(tern);
  add_completion(tern);
}

}  // namespace tern
