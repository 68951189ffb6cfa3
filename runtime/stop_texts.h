// Texts that end a generation: finds them in a text that comes in parts, however they are cut.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tern {

class StopTexts {
 public:
  // none of them empty; none: nothing is held back
  explicit StopTexts(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // The part of the text so far that is before any stop and was not returned yet. What may begin a
  // stop is held back. The stop that is found is the one that is complete first; of several, the
  // longest. Behind it nothing is returned.
  std::string push(std::string_view part);
  std::string finish();  // what is held back and became no stop
  bool found() const { return found_; }

 private:
  std::vector<std::string> stops_;
  std::string held_{};  // the beginning of at least one stop
  bool found_ = false;
};

}  // namespace tern
