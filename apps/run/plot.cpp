#include "apps/run/plot.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "apps/run/child.h"
#include "core/check.h"
#include "data/io/files.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

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

// runs/demo, runs/demo/ and runs/demo/metrics.jsonl are all called demo
std::string name_of(const fs::path& run) {
  fs::path path = fs::absolute(run).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  if (path.filename() == "metrics.jsonl") path = path.parent_path();
  return path.filename();
}

std::vector<NamedCurve> read_runs(const std::vector<fs::path>& runs) {
  std::multiset<std::string> names;
  for (const fs::path& run : runs) names.insert(name_of(run));
  std::vector<NamedCurve> curves;
  for (const fs::path& run : runs) {
    const std::string name = name_of(run);
    NamedCurve read{names.count(name) > 1 ? run.string() : name, read_losses(run)};
    if (!read.curve.train.empty() || !read.curve.validation.empty())
      curves.push_back(std::move(read));
  }
  require(!curves.empty(), Fault::input, runs.front().string(),
          ": expected losses of training or validation, got none; has the run begun?");
  return curves;
}

}  // namespace

void plot_runs(const std::vector<fs::path>& runs, const fs::path& out) {
  const std::vector<NamedCurve> curves = read_runs(runs);
  require(has_program("gnuplot"), Fault::usage,
          "gnuplot is not installed: no picture; on Debian: apt-get install gnuplot-nox");
  const MemoryFile script(plot_script(curves)), png, messages;
  Child gnuplot(
      {"gnuplot", "--default-settings", "-"},
      {.in = script.descriptor(), .out = png.descriptor(), .error = messages.descriptor()});
  constexpr double kPatience = 120;  // seconds; it takes a fraction of one
  require(gnuplot.wait(kPatience), Fault::internal, "gnuplot: no answer after ", kPatience, " s");
  const std::string picture = png.content();
  require(gnuplot.exit_code() == 0 && picture.starts_with("\x89PNG"), Fault::internal,
          "gnuplot: exit code ", gnuplot.exit_code(), ": ", messages.content());
  write_file_atomically(out, picture);
}

}  // namespace tern
