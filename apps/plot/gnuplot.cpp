#include "apps/plot/gnuplot.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "apps/console/terminal.h"
#include "apps/system/child.h"
#include "core/check.h"
#include "data/io/files.h"

namespace tern {
namespace {

// A nameless file in memory: a child reads or writes it without either waiting for the other.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view content = {})
      : descriptor_(memfd_create("tern", MFD_CLOEXEC)) {
    bool good = descriptor_ >= 0;
    for (std::size_t done = 0; good && done < content.size();) {
      const ssize_t n = write(descriptor_, content.data() + done, content.size() - done);
      good = n > 0;
      done += std::size_t(n);
    }
    require(good && lseek(descriptor_, 0, SEEK_SET) == 0, Fault::disk,
            "a temporary file in memory cannot be written: ", system_message(errno));
  }
  ~MemoryFile() { close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  int descriptor() const { return descriptor_; }
  std::string content() const {
    std::string text;
    char block[65536];
    for (ssize_t n; (n = pread(descriptor_, block, sizeof block, off_t(text.size()))) > 0;)
      text.append(block, std::size_t(n));
    return text;
  }

 private:
  int descriptor_;
};

}  // namespace

std::string gnuplot_text(const std::string& text) {
  std::string out = "'";
  for (const char c : printable(text)) {
    if (c == '\'') out += '\'';
    out += c == '\n' || c == '\t' ? ' ' : c;
  }
  return out + "'";
}

void draw_with_gnuplot(const std::string& text, const std::filesystem::path& out) {
  require(has_program("gnuplot"), Fault::usage,
          "gnuplot is not installed: no picture; on Debian: apt-get install gnuplot-nox");
  const MemoryFile script(text), png, messages;
  Child gnuplot(
      {"gnuplot", "--default-settings", "-"},
      {.in = script.descriptor(), .out = png.descriptor(), .error = messages.descriptor()});
  constexpr double kTimeLimit = 120;  // seconds; it takes a fraction of one
  require(gnuplot.wait(kTimeLimit), Fault::internal, "gnuplot: no answer after ", kTimeLimit, " s");
  const std::string picture = png.content();
  require(gnuplot.exit_code() == 0 && picture.starts_with("\x89PNG"), Fault::internal,
          "gnuplot: exit code ", gnuplot.exit_code(), ": ", messages.content());
  write_file_atomically(out, picture);
}

}  // namespace tern
