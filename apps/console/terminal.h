// Where progress is shown: permanent lines and, on a terminal, one status line that is rewritten in
// place below them. A stream that breaks (closed pipe, full disk) is given up silently.
// And text of a model, a file or a command line made safe to show.
#pragma once

#include <span>
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

// For a terminal: bytes that move the cursor, change colours or are no UTF-8 show as \xNN. Newlines
// and tabs stay.
std::string printable(std::string_view text);

// One argument of a command, on one line, as a shell (bash, zsh) reads it back: as it is, in single
// quotes, or as $'\n' where there are control characters or bytes that are no UTF-8.
std::string shell_word(std::string_view text);
std::string shell_command(std::span<const std::string> arguments);

}  // namespace tern
