#include "tests/apps/tiny_run.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "data/checkpoint/checkpoint.h"
#include "data/checkpoint/directory.h"

namespace tern::test {
namespace {

struct CorpusRoom {
  CorpusRoom() : corpus(room.path() / "tokens") {
    const std::string text = read_text("configs/demo/tinyshakespeare.txt").substr(0, 60'000);
    write_text(room.path() / "text.txt", text);
    call({"tokenizer", "train", "--vocab-size", "320", "--out", room / "tokenizer.model",
          room / "text.txt"});
    call({"prepare", "--tokenizer", room / "tokenizer.model", "--out", corpus.string(),
          "--validation", "0.1", room / "text.txt"});
  }
  static void call(std::vector<std::string> args) {
    args.insert(args.begin(), sibling_program("tern"));
    const Outcome outcome = run({.args = args});
    if (outcome.exit_code != 0) throw std::runtime_error(args[1] + " failed: " + outcome.err);
  }
  TemporaryDirectory room;
  std::filesystem::path corpus;
};

std::vector<nlohmann::json> lines(const std::filesystem::path& run) {
  std::vector<nlohmann::json> out;
  std::ifstream in(run / "metrics.jsonl");
  for (std::string line; std::getline(in, line);) out.push_back(nlohmann::json::parse(line));
  return out;
}

}  // namespace

const std::filesystem::path& tiny_corpus() {
  static const CorpusRoom room;
  return room.corpus;
}

TinyRun::TinyRun() : config_(room_ / "tiny.toml") {
  write_text(config_, "[run]\nsteps = 60\ndirectory = \"" + room_.path().string() +
                          "\"\n[model]\nvocab_size = 320\nhidden_size = 16\n"
                          "num_hidden_layers = 2\nintermediate_size = 32\n"
                          "[[data.source]]\npath = \"" +
                          tiny_corpus().string() +
                          "\"\n[optimizer]\nlr = 1e-2\n[batch]\ntokens = 64\ncontext = 16\n"
                          "[logging]\ninterval = 1\nvalidation_interval = 30\n"
                          "validation_tokens = 256\nsample_interval = 30\n"
                          "sample_prompts = [\"ROMEO:\"]\nsample_tokens = 8\n"
                          "[checkpoint]\ninterval = 20\n");
}

Command TinyRun::command(const std::string& name, const std::vector<std::string>& overrides,
                         const std::vector<std::string>& arguments) const {
  std::vector<std::string> args = {sibling_program("tern"), "train", config_, "--set",
                                   "run.name=" + name};
  for (const std::string& o : overrides) args.insert(args.end(), {"--set", o});
  args.insert(args.end(), arguments.begin(), arguments.end());
  return {.args = args, .env = {{"OMP_NUM_THREADS", "1"}}};
}

std::filesystem::path TinyRun::checkpoint(const std::string& name, int step) const {
  return directory(name) / "checkpoints" / checkpoint_name(std::uint64_t(step));
}

WithoutPictures::WithoutPictures() : path_(getenv("PATH")) {
  setenv("PATH", "", 1);
}

WithoutPictures::~WithoutPictures() {
  setenv("PATH", path_.c_str(), 1);
}

std::map<int, double> losses(const std::filesystem::path& run) {
  std::map<int, double> out;
  for (const auto& line : lines(run))
    if (line.at("t") == "train" && line.at("loss").is_number())
      out[line.at("step").get<int>()] = line.at("loss").get<double>();
  return out;
}

int events(const std::filesystem::path& run, const std::string& kind) {
  int count = 0;
  for (const auto& line : lines(run)) count += line.at("t") == "event" && line.at("kind") == kind;
  return count;
}

std::vector<std::string> reports(const std::filesystem::path& run,
                                 const std::vector<std::string>& kinds) {
  std::vector<std::string> out;
  for (nlohmann::json& line : lines(run)) {
    if (std::ranges::find(kinds, line.at("t").get<std::string>()) == kinds.end()) continue;
    line.erase("time");
    line.erase("seconds");
    out.push_back(line.dump());
  }
  return out;
}

std::map<std::string, std::string> tensors(const std::filesystem::path& path) {
  const Checkpoint checkpoint = Checkpoint::open(path);
  std::map<std::string, std::string> out;
  for (const StoredTensor& t : checkpoint.manifest().tensors) {
    std::string& bytes = out[t.name];
    bytes.resize(t.bytes());
    checkpoint.read(t.name, std::as_writable_bytes(std::span(bytes)));
  }
  return out;
}

}  // namespace tern::test
