#include "runtime/stop_texts.h"

#include <algorithm>
#include <utility>

namespace tern {

// A byte at a time: what is found does not depend on how the text is cut into parts.
std::string StopTexts::push(std::string_view part) {
  if (stops_.empty()) return std::string(part);
  std::string out;
  for (const char byte : part) {
    if (found_) break;
    held_ += byte;
    std::size_t longest = 0;
    for (const std::string& stop : stops_)
      if (held_.ends_with(stop)) longest = std::max(longest, stop.size());
    if (longest > 0) {
      found_ = true;
      out.append(held_, 0, held_.size() - longest);
      held_.clear();
      break;
    }
    const auto may_begin_one = [&](std::string_view text) {
      return std::ranges::any_of(stops_, [&](std::string_view s) { return s.starts_with(text); });
    };
    std::size_t free = 0;
    while (!may_begin_one(std::string_view(held_).substr(free))) ++free;
    out.append(held_, 0, free);
    held_.erase(0, free);
  }
  return out;
}

std::string StopTexts::finish() {
  return std::exchange(held_, {});
}

}  // namespace tern
