// Row 51 of the fault list: files that are no configuration, or try to exhaust their reader.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <random>

#include "apps/config/resolved.h"
#include "tests/apps/config_complaint.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

// Refused quickly with one short line.
void expect_refused(const std::string& text, const std::string& reason) {
  const auto start = std::chrono::steady_clock::now();
  const std::string said = complaint(text);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EXPECT_THAT(said, AllOf(StartsWith("a.toml"), HasSubstr(reason)));
  EXPECT_LT(said.size(), 400u);
  EXPECT_LT(seconds.count(), 10);  // bounded: hours would be the failure
}

std::string repeated(std::string_view part, std::size_t times) {
  std::string text;
  for (std::size_t i = 0; i < times; ++i) text += part;
  return text;
}

TEST(Fault51, TenMegabytes) {
  expect_refused("# " + std::string(10'000'000, 'x') + "\n" + kValid, "at most 65536 B, got 100");
  const TemporaryDirectory scratch;
  std::ofstream(scratch / "big.toml") << std::string(10'000'000, '\n') << kValid;
  EXPECT_THAT(complaint_of_file(scratch / "big.toml"), HasSubstr("at most 65536 B"));
  EXPECT_EQ(complaint(kValid + std::string(60'000, '\n')), "accepted");
}

TEST(Fault51, DottedKeysOfManyParts) {
  const std::string reason = "expected a key of at most 16 dotted parts";
  expect_refused("a" + repeated(".a", 99'999) + " = 1\n", "at most 65536 B");
  for (const char* part : {".a", " . a", ".\"a\"", ".'a'", "\t.\ta", ".\"\"", ".1", ".\"a=b,c\""}) {
    expect_refused("a" + repeated(part, 6000) + " = 1\n", reason);
    expect_refused("[a" + repeated(part, 6000) + "]\n", reason);
    expect_refused("[[a" + repeated(part, 6000) + "]]\n", reason);
    expect_refused("x = {a" + repeated(part, 6000) + " = 1}\n", reason);
    expect_refused("a" + repeated(part, 6000), reason);
  }
  expect_refused("s = \"\"\"\n\\\"\"\"\"\na" + repeated(".a", 6000) + " = 1\n", reason);
  expect_refused("s = '''\n\\'''\na" + repeated(".a", 6000) + " = 1\n", reason);
  EXPECT_THAT(complaint_of_set("a" + repeated(".a", 99'999) + "=1"), HasSubstr("unknown key"));
  EXPECT_THAT(complaint_of_set("optimizer.lr={a" + repeated(".a", 30'000) + "=1}"),
              HasSubstr("optimizer.lr: expected a number"));
  // dots in text and comments are no parts
  EXPECT_EQ(complaint_of("[logging]\nsample_prompts = [\"................................\",\n"
                         "'.................', \"\"\"\n...................\n\"\"\"]\n"
                         "# ...........................\n"),
            "accepted");
}

TEST(Fault51, DeepArraysAndTables) {
  const std::string reason = "expected at most 16 nested arrays and tables";
  expect_refused("x = " + std::string(30'000, '[') + std::string(30'000, ']') + "\n", reason);
  expect_refused("x = " + std::string(60'000, '['), reason);
  expect_refused("x = " + repeated("{a=", 15'000) + "1" + std::string(15'000, '}') + "\n", reason);
  expect_refused("x = " + repeated("[{a=", 10'000), reason);
  expect_refused(std::string(60'000, '['), reason);
  EXPECT_THAT(complaint_of_set("optimizer.lr=" + std::string(60'000, '[')),
              HasSubstr("optimizer.lr: expected a number"));
  EXPECT_THAT(complaint("x = " + std::string(16, '[') + std::string(16, ']') + "\n"),
              HasSubstr("x: unknown key"));
}

TEST(Fault51, BytesThatAreNoText) {
  expect_refused(std::string("# a\0b\n", 6) + kValid, "a.toml:1: expected text, got a NUL byte");
  expect_refused(kValid + std::string("x = \"a\0b\"\n", 10), "a.toml:10: expected text, got a NUL");
  expect_refused(std::string("\xEF\xBB\xBF") + kValid, "got a byte-order mark (save as UTF-8");
  expect_refused(std::string("\xFF\xFE[\0r\0", 6), "got a byte-order mark");
  expect_refused(std::string("\xFE\xFF\0[\0r", 6), "got a byte-order mark");
  expect_refused(std::string(kValid) + "[init_from]\npath = \"caf\xE9\"\n", "utf-8");  // latin-1
  expect_refused(std::string("# caf\xE9\n") + kValid, "utf-8");
  expect_refused(std::string(kValid) + "[init_from]\npath = \"\xC0\x80\"\n", "utf-8");  // overlong
  expect_refused(std::string(kValid) + "[init_from]\npath = \"\xED\xA0\x80\"\n", "a.toml:11:");
  expect_refused(std::string(kValid) + "[init_from]\npath = \"a\x1b[2J\"\n", "a.toml:11:");
}

// toml++ 3.3 declares U+00FF unreachable behind a key, and asserts that "[~" does not happen.
TEST(Fault51, CharactersThatTomlDoesNotHaveOutsideOfStrings) {
  const std::string reason = "expected ASCII outside of strings and comments";
  for (const char* text : {"[mod\u00ff\n", "a\u00e9 = 1\n", "a = \u00e9\n", "a = 1 \u00a0\n",
                           "\u2028", "a = \"\"\"x\"\"\"\"\" \u00e9\n", "a = '''x'''' \u00e9\n"})
    expect_refused(text, reason);
  expect_refused("[~a]\n", "expected bare key starting character");
  expect_refused("[[~a]]\n", "expected bare key starting character");
  const std::string quoted = "[init_from]\npath = \"\"\"\u00e9\"\"\"\"\"  # \u00e9\n";
  EXPECT_EQ(complaint(kValid + quoted), "accepted");
  EXPECT_THAT(complaint_of_set("init_from.path=\u00e9"), testing::Not(HasSubstr("ASCII")));
}

TEST(Fault51, MessagesCarryNoControlCharacters) {
  std::string said = complaint_of(
      "\"\\u001b[2Jlr\" = 1\n\"a\\nb\" = \"\\u0007\"\n[init_from]\n"
      "path = \x1b[2J\n");
  said += complaint_of_set("optimizer.lr=\x1b[2J");
  said += complaint_of_set("\x1b[2J=1");
  for (const char c : said) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20) << said;
}

TEST(Fault51, ThousandsOfMistakesAreCutShort) {
  std::string keys, broken;
  for (int i = 0; i < 5000; ++i) {
    const std::string number = std::to_string(i);
    keys.append("k").append(number).append(" = 1\n");
    broken.append("k").append(number).append(" = x\n");
  }
  const std::string lists = repeated("[[data.source]]\nweight = -1\n", 1500);
  for (const std::string& text : {keys, lists, broken}) {
    const std::string said = complaint(text);
    EXPECT_LE(line_count(said), 42u);
    EXPECT_LT(said.size(), 20'000u);
  }
  EXPECT_THAT(complaint(keys), AllOf(StartsWith("5005 mistakes"), EndsWith("... and 4965 more")));
}

// Valid files with random damage: either a configuration that reads back as itself, or exit code 2.
TEST(Fault51, RandomMutationsNeverCrash) {
  std::vector<std::string> seeds = {kValid};
  for (const char* name : {"demo", "books-10m", "books-50m", "370m", "1.3b", "2.7b"})
    seeds.push_back(read_text(std::string("configs/") + name + ".toml"));
  const std::vector<std::string> pieces = {"[",
                                           "]",
                                           "[[",
                                           "]]",
                                           "{",
                                           "}",
                                           "\"",
                                           "\"\"\"",
                                           "'''",
                                           "'",
                                           "=",
                                           ".",
                                           ",",
                                           "#",
                                           "\n",
                                           "\r\n",
                                           "\\",
                                           "\\u0000",
                                           "\xff",
                                           "\xc3",
                                           "nan",
                                           "-inf",
                                           "1e999",
                                           "0x",
                                           "-",
                                           "_",
                                           "9223372036854775808",
                                           "true",
                                           "1979-05-27T07:32:00Z",
                                           "\"50%\"",
                                           "[run]",
                                           "[[data.source]]",
                                           "lr = 1\n",
                                           "a.b.c",
                                           "{a=1}"};
  std::mt19937 random(20240602);
  const auto below = [&](std::size_t n) { return std::size_t(random()) % n; };
  const auto start = std::chrono::steady_clock::now();
  int accepted = 0, refused = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string text = seeds[below(seeds.size())];
    for (std::size_t edits = 1 + below(4); edits > 0 && !text.empty(); --edits) {
      const std::size_t at = below(text.size());
      const std::size_t n = std::min(text.size() - at, 1 + below(12));
      switch (below(4)) {
        case 0:
          text.erase(at, n);
          break;
        case 1:
          text[at] = char(below(256));
          break;
        case 2:
          text.insert(at, pieces[below(pieces.size())]);
          break;
        default:
          text.insert(below(text.size()), text.substr(at, 4 * n));
      }
    }
    try {
      const LoadedConfig loaded = parse_config(text, "a.toml");
      const LoadedConfig again = parse_config(resolved_config(loaded), "a.toml");
      ASSERT_TRUE(differences(loaded.config, again.config).empty()) << text;
      ++accepted;
    } catch (const Error& e) {
      ASSERT_EQ(int(e.fault), 2) << e.what() << "\n" << text;
      ++refused;
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (seconds.count() > 2) break;  // under sanitizers, on a busy machine
  }
  EXPECT_GT(accepted, 50);
  EXPECT_GT(refused, 50);
}

}  // namespace
}  // namespace tern
