#include "apps/train/verify_data.h"

#include <algorithm>

#include "apps/console/terminal.h"
#include "core/check.h"
#include "core/clock.h"
#include "data/corpus/corpus.h"
#include "runtime/quantities.h"

namespace tern {

std::vector<std::string> verify_with_progress(const std::filesystem::path& corpus, bool hashes) {
  Terminal terminal(2);
  const double begin = monotonic_seconds();
  double shown = begin;
  return verify_corpus(corpus, hashes, [&](std::uint64_t done, std::uint64_t total) {
    const double now = monotonic_seconds();
    if (!terminal.live() || now - shown < 0.1) return;
    shown = now;
    const double rate = double(done) / (now - begin);
    terminal.status("verify " + corpus.string() + "  " + share_text(double(done) / double(total)) +
                    "  " + bytes_text(rate) + "/s  eta " +
                    duration_text(double(total - done) / std::max(rate, 1.0)));
  });
}

void verify_data(const DataSection& data) {
  if (!data.verify) return;
  std::vector<std::string> paths;
  for (const DataSource& source : data.sources)
    for (const std::string& path : {source.path, source.validation})
      if (!path.empty() && std::ranges::find(paths, path) == paths.end()) paths.push_back(path);
  for (const std::string& path : paths) {
    const std::vector<std::string> problems = verify_with_progress(path, true);
    if (problems.empty()) continue;
    const std::size_t more = problems.size() - 1;
    fail(Fault::input, problems[0],
         more == 0 ? ""
                   : " (and " + std::to_string(more) + " more problems: tern inspect --verify " +
                         path + " lists them)");
  }
}

}  // namespace tern
