// A file of items of a zero-shot task.
#include "runtime/zero_shot_task.h"

#include "data/text/utf8.h"
#include "tests/fuzz/fuzz.h"

namespace tern::fuzz {

void run(std::string_view input) {
  write(room() / "mine.jsonl", input);
  ZeroShotTask task;
  if (!works({Fault::input}, [&] { task = read_task(room(), "mine"); })) return;
  expect(!task.items.empty(), "a task without items");
  for (const TaskItem& item : task.items) {
    expect(item.gold.has_value() == task.multiple_choice, "items of two kinds");
    if (!problem_of(item).empty()) continue;
    expect(item.requests() > 0, "an item without requests");
    expect(!item.gold || std::size_t(*item.gold) < item.requests(), "a gold of no request");
    for (std::size_t j = 0; j < item.requests(); ++j) {
      expect(is_utf8(item.context(j)) && is_utf8(item.choice(j)), "a text that is not UTF-8");
      expect(item.choice(j).size() < item.continuation(j).size(),
             "a choice with its first character");
      expect(!item.gold || !item.choice(j).empty(), "an empty choice");
    }
  }
}

}  // namespace tern::fuzz
