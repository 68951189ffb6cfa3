// Inputs and options for tests of prepare_corpus, and what it made as bytes.
#pragma once

#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/check.h"
#include "data/corpus/corpus.h"
#include "data/corpus/prepare.h"
#include "data/io/hash.h"
#include "tests/data/tokenizer_fixture.h"
#include "tests/support/temporary_directory.h"

namespace tern {

class PrepareFixture {
 public:
  PrepareFixture() { write_text(directory_ / "small.model", small_tokenizer().file()); }

  std::string operator/(std::string_view name) const { return directory_ / name; }

  // about two megabytes in five files; documents of all lengths
  std::vector<std::string> many_inputs() const {
    std::mt19937_64 random(9);
    std::string text, lines;
    while (text.size() < 1'300'000) text += random_text(random, 100, true) + english();
    for (int i = 0; i < 4000; ++i)
      lines += "{\"text\": \"" + std::string(random() % 50, 'a') + " harbour " + std::to_string(i) +
               "\"}\n";
    write_text(directory_ / "1.txt", text);
    write_text(directory_ / "2.jsonl", lines);
    write_text(directory_ / "3.txt", english());
    write_text(directory_ / "4.txt", "short");
    write_text(directory_ / "5.txt", text.substr(0, 400'000));
    return {*this / "1.txt", *this / "2.jsonl", *this / "3.txt", *this / "4.txt", *this / "5.txt"};
  }

  PrepareOptions options(const std::string& out, const std::vector<std::string>& inputs) const {
    return {.tokenizer = directory_ / "small.model", .out = *this / out, .inputs = inputs};
  }

  // every file of a directory, by the hash of its bytes
  std::map<std::string, std::string> content(const std::string& out) const {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(*this / out)) {
      const std::string bytes = read_text(entry.path());
      files[entry.path().filename()] = hash_hex(std::as_bytes(std::span(bytes)));
    }
    return files;
  }

  std::vector<std::int32_t> ids(const std::string& out, Split split = Split::train) const {
    const Corpus corpus = Corpus::open(*this / out, split);
    std::vector<std::int32_t> all(corpus.token_count());
    corpus.read(0, all);
    return all;
  }

 private:
  TemporaryDirectory directory_;
};

inline void no_report(const PrepareProgress&) {}

// the Error's message after checking its fault; "" when there was none
template <class Call>
std::string message_of(Fault fault, Call call) {
  try {
    call();
    return "";
  } catch (const Error& e) {
    return e.fault == fault ? e.what() : std::string("another fault: ") + e.what();
  }
}

}  // namespace tern
