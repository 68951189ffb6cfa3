#include "apps/run/picture.h"

#include <utility>

#include "core/check.h"

namespace tern {

Picture::Picture(std::filesystem::path run, Warn warn, std::string program)
    : run_(std::move(run)),
      warn_(std::move(warn)),
      program_(std::move(program)),
      possible_(has_program("gnuplot")) {
  if (!possible_) warn_once("gnuplot is not installed (on Debian: apt-get install gnuplot-nox)");
}

void Picture::warn_once(const std::string& why) {
  if (!std::exchange(warned_, true)) warn_("no loss curve is drawn: " + why);
}

bool Picture::idle() {
  if (!child_) return true;
  if (!child_->ended()) return false;
  const int code = child_->exit_code();
  child_.reset();
  // 3: no losses there yet
  if (code != 0 && code != int(Fault::input))
    warn_once("exit code " + std::to_string(code) + "; `tern plot " + run_.string() +
              "` shows the cause");
  return true;
}

void Picture::refresh() {
  if (!possible_ || !idle()) return;
  try {
    child_.emplace(std::vector<std::string>{program_, "plot", "--", run_}, Streams{});
  } catch (const Error& e) {
    warn_once(e.what());
  }
}

void Picture::finish() {
  constexpr double kPatience = 5;
  if (child_) child_->wait(kPatience);
  refresh();
  if (child_) child_->wait(kPatience);
  idle();
}

}  // namespace tern
