#include "core/backend.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "core/bfloat16.h"
#include "core/ternary_tiles.h"

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

void upload_real(const Tensor& to, const std::vector<double>& values) {
  check(Index(values.size()) == to.elements() && is_real(to.dtype()), "[upload_real] expected ",
        values.size(), " real elements, got ", to);
  if (to.dtype() == DType::f64) return to.backend().upload(to, values.data());
  const std::vector<float> single(values.begin(), values.end());
  if (to.dtype() == DType::f32) return to.backend().upload(to, single.data());
  std::vector<BFloat16> half(single.size());
  std::transform(single.begin(), single.end(), half.begin(),
                 [](float x) { return to_stored<BFloat16>(x); });
  to.backend().upload(to, half.data());
}

std::vector<double> download_real(const Tensor& from) {
  check(is_real(from.dtype()), "[download_real] expected real elements, got ", from);
  std::vector<double> values(from.elements());
  if (from.dtype() == DType::f64) {
    from.backend().download(values.data(), from);
    return values;
  }
  if (from.dtype() == DType::bf16) {
    std::vector<BFloat16> half(from.elements());
    from.backend().download(half.data(), from);
    std::transform(half.begin(), half.end(), values.begin(), [](BFloat16 x) { return to_real(x); });
    return values;
  }
  std::vector<float> single(from.elements());
  from.backend().download(single.data(), from);
  return {single.begin(), single.end()};
}

void pack_tiles(const Tensor& to, const Tensor& from) {
  const auto [O, I] = dims<2>(from, "[pack_tiles] (O, I)");
  check(from.dtype() == DType::i8 && to.dtype() == DType::t2 && to.shape() == from.shape(),
        "[pack_tiles] expected i8 and t2 of one shape, got ", from, " and ", to);
  std::vector<std::int8_t> codes(std::size_t(O * I));
  from.backend().download(codes.data(), from);
  std::vector<TernaryTile> tiles(std::size_t(tiles_of(O, I)));
  pack_tiles(tiles.data(), codes.data(), O, I);
  to.backend().upload(to, tiles.data());
}

Tensor upload_ids(Backend& on, Shape shape, const std::vector<std::int32_t>& ids) {
  const Tensor to(on, shape, DType::i32);
  check(Index(ids.size()) == to.elements(), "[upload_ids] expected ", to.elements(), " ids, got ",
        ids.size());
  on.upload(to, ids.data());
  return to;
}

}  // namespace tern
