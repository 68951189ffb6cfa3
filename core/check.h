// Errors. One exception type and two functions: check for our own contracts, require for what users
// give us. Neither prints nor exits; apps turns an Error into one line and its exit code.
#pragma once

#include <source_location>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace tern {

// What went wrong, as the exit code of the command. Scripts and schedulers rely on these numbers.
enum class Fault : int {
  internal = 1,       // a broken contract inside tern, or a use of the library against its docs
  usage = 2,          // command line or configuration
  input = 3,          // bad or corrupt data, tokenizer or checkpoint
  diverged = 4,       // non-finite losses beyond what the policy allows
  memory = 5,         // host or device memory
  disk = 6,           // files and disks
  communication = 7,  // ranks, time-outs
  stopped = 75,       // stopped by a signal or time limit with a valid checkpoint: run again
};

struct Error : std::runtime_error {
  Error(Fault why, const std::string& text) : std::runtime_error(text), fault(why) {}
  Fault fault;
};

// A condition that remembers where it was tested: converts from bool at the call site.
struct Condition {
  bool holds;
  std::source_location at;
  constexpr Condition(bool condition, std::source_location here = std::source_location::current())
      : holds(condition), at(here) {}
};

// throws Error(fault) with the parts written one after the other
template <class... Parts>
[[noreturn]] void fail(Fault fault, const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw Error(fault, text.str());
}

// check(D == w.dim(0), "[rms_norm] weight: expected (D=", D, "), got ", w);
template <class... Parts>
void check(Condition condition, const Parts&... parts) {
  if (condition.holds) [[likely]]
    return;
  fail(Fault::internal, parts..., "  (", condition.at.file_name(), ':', condition.at.line(), ')');
}

// require(bytes % 2 == 0, Fault::input, path, ": expected whole uint16 tokens, got ", bytes, " B");
// For users' mistakes: no source position, so the parts must say what, where, expected and got.
template <class... Parts>
void require(bool holds, Fault fault, const Parts&... parts) {
  if (holds) [[likely]]
    return;
  fail(fault, parts...);
}

// For mistakes that were collected: one Error with all of them, a line each; none: nothing happens.
void require_none(const std::vector<std::string>& problems, Fault fault, const std::string& where);

}  // namespace tern
