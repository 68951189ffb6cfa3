// Prints how fast checkpoints are written, beside a loop of plain writes of the same bytes. No
// expectation: a shared disk decides.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>

#include "tests/data/checkpoint_support.h"

namespace tern {
namespace {

double seconds(const std::function<void()>& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void write_plainly(const std::filesystem::path& path, std::span<const TensorBytes> tensors) {
  File file = File::create(path);
  for (const TensorBytes& t : tensors) file.write_all(t.bytes);
  file.sync();
  file.close();
}

TEST(CheckpointSpeed, BesidePlainWrites) {
  const TemporaryDirectory directory;
  Tensors tensors;
  for (int i = 0; i < 24; ++i)
    tensors.add("layer" + std::to_string(i), StoredType::f32, {1024, 1024});
  const auto views = tensors.views();
  const double megabytes = 24 * 4 * 1.048576;
  std::vector<double> plain, checkpoint;
  for (int round = 0; round < 5; ++round) {
    const auto file = directory.path() / "plain";
    plain.push_back(seconds([&] { write_plainly(file, views); }));
    std::filesystem::remove(file);
    checkpoint.push_back(
        seconds([&] { write_checkpoint({.directory = directory.path()}, facts(1), views); }));
    std::filesystem::remove_all(directory.path() / "step-00000001");
  }
  std::printf("plain writes %.0f MB/s, checkpoints %.0f MB/s: %.0f%% (medians of 5)\n",
              megabytes / median(plain), megabytes / median(checkpoint),
              100 * median(plain) / median(checkpoint));
}

}  // namespace
}  // namespace tern
