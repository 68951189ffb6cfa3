#include "apps/train/fault_injection.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <string_view>
#include <thread>

#include "core/check.h"

namespace tern {
namespace {

using Kind = FaultInjection::Kind;

const std::map<std::string, Kind> kKinds = {{"device-error", Kind::device_error},
                                            {"kill", Kind::kill},
                                            {"stop", Kind::stop},
                                            {"sleep", Kind::sleep},
                                            {"nan", Kind::nan},
                                            {"flip", Kind::flip},
                                            {"hang", Kind::hang},
                                            {"fail", Kind::fail}};

template <class Number>
bool read(std::string_view text, Number& to) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), to);
  return parsed.ec == std::errc{} && parsed.ptr == text.data() + text.size() && to >= 0;
}

bool set(FaultInjection& out, const std::string& pair) {
  const std::size_t equals = pair.find('=');
  if (equals == std::string::npos) return false;
  const std::string key = pair.substr(0, equals), value = pair.substr(equals + 1);
  if (key == "step") return read(value, out.step);
  if (key == "rank") return read(value, out.rank);
  if (key == "signal") return read(value, out.signal);
  return key == "seconds" && read(value, out.seconds);
}

// A process that is stopped cannot wake itself: a child does.
void stop_for(double seconds) {
  const pid_t self = getpid(), helper = fork();
  if (helper == 0) {
    close_range(0, ~0u, 0);  // or our connections would outlive us
    usleep(useconds_t(seconds * 1e6));
    kill(self, SIGCONT);
    _exit(0);
  }
  raise(SIGSTOP);
  waitpid(helper, nullptr, 0);
}

}  // namespace

FaultInjection FaultInjection::parse(const std::string& text, bool gpu) {
  if (text.empty()) return {};
  const std::size_t colon = text.find(':');
  const auto kind = kKinds.find(text.substr(0, colon));
  FaultInjection out;
  bool good = colon != std::string::npos && kind != kKinds.end();
  if (good) out.kind = kind->second;
  std::istringstream pairs(good ? text.substr(colon + 1) : "");
  for (std::string pair; std::getline(pairs, pair, ',');) good = good && set(out, pair);
  const bool lasts = out.kind == Kind::stop || out.kind == Kind::sleep;
  good = good && out.step > 0 && lasts == (out.seconds > 0);
  require(good && (out.kind == Kind::nan || out.signal == 0), Fault::usage,
          "--inject: expected device-error:step=N, kill:rank=R,step=N, nan:rank=R,step=N,signal=S, "
          "flip:rank=R,step=N, hang:rank=R,step=N, fail:rank=R,step=N, "
          "stop:rank=R,step=N,seconds=S or sleep:..., got '",
          text, "'");
  require(gpu || out.kind != Kind::device_error, Fault::usage,
          "--inject device-error: needs --device cuda");
  return out;
}

void FaultInjection::apply(int at_rank, std::int64_t at_step,
                           std::span<std::int32_t> tokens) const {
  if (at_rank != rank || at_step != step) return;
  if (kind == Kind::device_error) tokens[0] = std::numeric_limits<std::int32_t>::max();
  if (kind == Kind::kill) raise(SIGKILL);
  if (kind == Kind::fail) tern::fail(Fault::internal, "injected");
  if (signal > 0) raise(signal);
  if (kind == Kind::stop) stop_for(seconds);
  if (kind == Kind::sleep) std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

double FaultInjection::factor(int at_rank, std::int64_t at_step) const {
  return is(Kind::nan, at_rank, at_step) ? NAN : 1;
}

}  // namespace tern
