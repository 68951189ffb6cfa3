#include "apps/run/picture.h"

#include <utility>

#include "core/check.h"

namespace tern {

Picture::Picture(std::filesystem::path run, Warn warn, std::string program)
    : run_(std::move(run)), warn_(std::move(warn)), program_(std::move(program)) {
  if (!has_program("gnuplot"))
    give_up("gnuplot is not installed (on Debian: apt-get install gnuplot-nox)");
}

void Picture::give_up(const std::string& why) {
  if (!std::exchange(given_up_, true)) warn_("no loss curve is drawn: " + why);
}

bool Picture::idle() {
  if (!child_) return true;
  if (!child_->ended()) return false;
  const int code = child_->exit_code();
  child_.reset();
  // 3: no losses there yet
  if (code != 0 && code != int(Fault::input))
    give_up("exit code " + std::to_string(code) + "; `tern plot " + run_.string() + "` says why");
  return true;
}

void Picture::refresh() {
  if (!idle() || given_up_) return;
  try {
    child_.emplace(std::vector<std::string>{program_, "plot", run_}, Streams{});
  } catch (const Error& e) {
    give_up(e.what());
  }
}

void Picture::finish() {
  constexpr double kPatience = 20;
  if (child_) child_->wait(kPatience);
  refresh();
  if (child_) child_->wait(kPatience);
  idle();
}

}  // namespace tern
