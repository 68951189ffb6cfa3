#include "core/backend.h"

#include <chrono>
#include <thread>
#include <vector>

namespace tern {
namespace {

struct DownloadedSnapshot final : Snapshot {
  std::span<const std::byte> bytes() override { return kept; }
  std::vector<std::byte> kept{};
};

using Clock = std::chrono::steady_clock;

double seconds(Clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

struct HostTimestamp final : Timestamp {
  double seconds_since(const Timestamp& earlier) const override {
    return seconds(at - dynamic_cast<const HostTimestamp&>(earlier).at);
  }
  Clock::time_point at = Clock::now();
};

}  // namespace

std::unique_ptr<Snapshot> Backend::snapshot(const Tensor& of) {
  auto taken = std::make_unique<DownloadedSnapshot>();
  taken->kept.resize(of.bytes());
  download(taken->kept.data(), of);
  return taken;
}

void Backend::hang() {
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

double Backend::seconds_of(const std::function<void()>& work) {
  synchronize();
  const Clock::time_point start = Clock::now();
  work();
  synchronize();
  return seconds(Clock::now() - start);
}

std::unique_ptr<Timestamp> Backend::timestamp() {
  return std::make_unique<HostTimestamp>();
}

}  // namespace tern
