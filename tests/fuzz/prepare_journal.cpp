// prepare.journal: a preparation that goes on after an interruption. After "---" sources.jsonl.
#include "data/corpus/prepare_journal.h"

#include "tests/fuzz/fuzz.h"

namespace tern::fuzz {

void run(std::string_view input) {
  const auto parts = parts_of(input);
  const std::filesystem::path directory = empty_room("corpus");
  write(directory / kPrepareJournalName, parts[0]);
  if (parts.size() > 1) write(directory / kCorpusSourcesName, parts[1]);
  static const auto sources = [] {
    const std::filesystem::path text = room() / "a.txt";
    write(text, "A text.\nAnother line.\n");
    return std::make_shared<const std::vector<InputFile>>(
        2, InputFile{text, InputFormat::text, Codec::none, 22});
  }();
  const nlohmann::json arguments = {{"bos", true}, {"validation", 0.1}};
  works({Fault::input, Fault::usage}, [&] {
    std::optional<PrepareJournal> journal = PrepareJournal::open(directory, arguments, *sources);
    expect(journal.has_value(), "a finished corpus without a manifest");
    const auto all = [](std::string_view text) { return text.size(); };
    DocumentReader reader(sources, SplitRule(0.1, *sources, true), all, journal->state().next,
                          {.separator = "\n"});
    while (reader.next()) {
    }
    journal->commit({}, {.source = 2}, journal->state().skipped_lines);
    const std::uint64_t skipped = journal->state().skipped_lines;
    journal.reset();
    journal = PrepareJournal::open(directory, arguments, *sources);
    expect(
        journal && journal->state().next.source == 2 && journal->state().skipped_lines == skipped,
        "a commit is lost");
  });
}

}  // namespace tern::fuzz
