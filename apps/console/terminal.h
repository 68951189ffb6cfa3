// Where progress is shown: permanent lines and, on a terminal, one status line that is rewritten in
// place below them. A stream that breaks (closed pipe, full disk) is given up silently.
#pragma once

#include <string>
#include <string_view>

namespace tern {

enum class Style { plain, bold, dim, good, warning };

class Terminal {
 public:
  // The descriptor stays the caller's. SIGPIPE must be ignored (Signals does).
  explicit Terminal(int descriptor);
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  bool live() const { return live_; }      // can rewrite a line: a terminal, and not a dumb one
  bool broken() const { return broken_; }  // its output is closed
  int columns() const;                     // of the terminal now; very many where it is none

  // wrapped in the codes of the style where the terminal has colours and NO_COLOR is not set
  std::string styled(Style style, std::string_view text) const;

  void print(std::string_view lines);  // permanent; the last newline is added
  void status(std::string_view line);  // replaces the status line; only where live
  void clear_status() { status({}); }

 private:
  void send(std::string_view bytes);

  int descriptor_;
  bool live_, coloured_, broken_ = false;
  std::string status_{};
};

// Opens /dev/null in place of closed standard streams. Else the next file opened would get such a
// number, and messages would end up in it. First thing in main.
void occupy_standard_streams();

}  // namespace tern
