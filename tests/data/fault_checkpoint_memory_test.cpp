// Host memory of checkpoints: one copy of what is saved, or a block at a time; the same files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/check.h"
#include "tests/data/checkpoint_support.h"
#include "tests/support/process.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMegabyte = 1 << 20;

std::map<std::string, std::string> files(const fs::path& directory) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::directory_iterator(directory))
    out[entry.path().filename()] = read_text(entry.path());
  return out;
}

// The same tensors, as in a device's memory.
std::vector<TensorBytes> on_device(const std::vector<TensorBytes>& tensors) {
  std::vector<TensorBytes> out = tensors;
  for (TensorBytes& t : out) {
    t.device_bytes = t.bytes.size();
    t.download = [bytes = t.bytes](std::uint64_t offset, std::span<std::byte> to) {
      std::copy_n(bytes.begin() + std::ptrdiff_t(offset), to.size(), to.begin());
    };
    t.bytes = {};
  }
  return out;
}

struct Saved {
  std::map<std::string, std::string> files;
  bool streamed;
};

Saved save(const std::vector<TensorBytes>& tensors, std::uint64_t free_memory) {
  const TemporaryDirectory directory;
  CheckpointWriter writer({.directory = directory.path(),
                           .part_bytes = 6 * kMegabyte,
                           .free_memory = [=] { return free_memory; }});
  writer.save(facts(1), tensors);
  const SaveResult result = writer.wait().at(0);
  EXPECT_EQ(result.error, "");
  return {files(directory.path() / "step-00000001"), result.streamed};
}

TEST(Fault305, TheSameFilesWithAndWithoutACopy) {
  Tensors tensors = all_kinds();
  tensors.add("several.blocks", StoredType::f32, {4000, 1021});
  const auto host = tensors.views(), device = on_device(host);
  const std::uint64_t bytes = snapshot_bytes(host);
  const Saved whole = save(host, bytes);
  EXPECT_FALSE(whole.streamed);
  EXPECT_GT(whole.files.size(), 4u);
  for (const auto& [views, free] : {std::pair(host, bytes - 1), std::pair(device, bytes - 1),
                                    std::pair(device, std::uint64_t(0))}) {
    const Saved streamed = save(views, free);
    EXPECT_TRUE(streamed.streamed);
    EXPECT_EQ(streamed.files, whole.files);
  }
  const Saved downloaded = save(device, bytes);
  EXPECT_FALSE(downloaded.streamed);
  EXPECT_EQ(downloaded.files, whole.files);
}

TEST(Fault305, WhatDoesNotChangeIsNotCopied) {
  Tensors tensors = all_kinds();
  auto views = tensors.views();
  const std::uint64_t bytes = snapshot_bytes(views);
  views.back().constant = true;
  EXPECT_EQ(snapshot_bytes(views), bytes - views.back().size());
  const Saved saved = save(views, snapshot_bytes(views));
  EXPECT_FALSE(saved.streamed);
  EXPECT_EQ(saved.files, save(tensors.views(), bytes).files);
}

TEST(Fault305, AShardIsStreamedToo) {
  const TemporaryDirectory directory;
  const Tensors tensors = all_kinds();
  const auto shard = [&](std::uint64_t free) {
    CheckpointWriter writer(
        {.directory = directory.path(), .world = 2, .free_memory = [=] { return free; }});
    begin_checkpoint(writer.options(), 1);
    writer.save(facts(1), tensors.views());
    const SaveResult result = writer.wait().at(0);
    EXPECT_EQ(result.error, "");
    EXPECT_EQ(result.streamed, free == 0);
    drop_checkpoint(writer.options(), 1);
    return result.shard;
  };
  EXPECT_EQ(shard(0), shard(1 << 30));
}

// The most memory that this process has had, in bytes.
std::uint64_t peak_memory() {
  std::ifstream in("/proc/self/status");
  for (std::string word; in >> word;) {
    std::uint64_t kilobytes = 0;
    if (word == "VmHWM:" && in >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

// A tensor of 64 MiB that a device makes when it is downloaded.
TensorBytes large_tensor() {
  TensorBytes t{"large", StoredType::f32, {16, 1 << 20}, {}};
  t.device_bytes = 64 * kMegabyte;
  t.download = [](std::uint64_t offset, std::span<std::byte> to) {
    std::fill(to.begin(), to.end(), std::byte(offset / kCheckpointBlock));
  };
  return t;
}

// Memory that a child takes more for a save.
std::uint64_t memory_of_a_save(std::uint64_t free_memory) {
  const Outcome outcome = run({.body = [=] {
    const TemporaryDirectory directory;
    const std::vector<TensorBytes> tensors = {large_tensor()};
    CheckpointWriter writer(
        {.directory = directory.path(), .free_memory = [=] { return free_memory; }});
    const std::uint64_t before = peak_memory();
    writer.save(facts(1), tensors);
    if (!writer.wait().at(0).error.empty()) return 1;
    std::printf("%llu", static_cast<unsigned long long>(peak_memory() - before));
    return 0;
  }});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  return std::stoull("0" + outcome.out);
}

TEST(Fault305, ASaveTakesWhatWasPlanned) {
  const std::uint64_t whole = memory_of_a_save(64 * kMegabyte);
  EXPECT_GE(whole, 64 * kMegabyte);
  EXPECT_LT(whole, 80 * kMegabyte);
  EXPECT_LT(memory_of_a_save(64 * kMegabyte - 1), 16 * kMegabyte);
}

TEST(Fault305, RowsAreReadABlockAtATime) {
  const TemporaryDirectory directory;
  Tensors tensors;
  tensors.add("rows", StoredType::f32, {5000, 1021});  // 19.5 MiB in parts of 6
  write_checkpoint({.directory = directory.path(), .part_bytes = 6 * kMegabyte}, facts(1),
                   tensors.views());
  const Checkpoint checkpoint = Checkpoint::open(directory.path() / "step-00000001");
  const std::string& all = tensors.content("rows");
  const std::size_t row = 4 * 1021;
  for (const auto& [first, count] : {std::pair(0, 5000), std::pair(1234, 3000), std::pair(4999, 1),
                                     std::pair(0, 1), std::pair(2000, 0)}) {
    std::string got;
    checkpoint.read_rows("rows", std::uint64_t(first), std::uint64_t(count),
                         [&](std::uint64_t offset, std::span<const std::byte> block) {
                           EXPECT_EQ(offset, got.size());
                           EXPECT_LE(block.size(), kCheckpointBlock);
                           EXPECT_EQ(block.size() % 4, 0u);
                           got.append(reinterpret_cast<const char*>(block.data()), block.size());
                         });
    EXPECT_TRUE(got == all.substr(std::size_t(first) * row, std::size_t(count) * row));
  }
}

TEST(Fault305, DamageInARowThatIsNotAskedForIsNoticedInItsPiece) {
  const TemporaryDirectory directory;
  Tensors tensors;
  tensors.add("rows", StoredType::f32, {5000, 1021});
  write_checkpoint({.directory = directory.path(), .part_bytes = 6 * kMegabyte}, facts(1),
                   tensors.views());
  const fs::path path = directory.path() / "step-00000001";
  const Checkpoint checkpoint = Checkpoint::open(path);
  const StoredRows last = checkpoint.find("rows")->pieces.back();
  std::fstream file(path / last.file, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(std::streamoff(last.offset + last.bytes - 1));
  file.put('\x7f');
  file.close();
  const auto read = [&](std::uint64_t first) {
    checkpoint.read_rows("rows", first, 1, [](std::uint64_t, std::span<const std::byte>) {});
  };
  EXPECT_NO_THROW(read(0));
  EXPECT_THROW(read(last.first_row), Error);
}

}  // namespace
}  // namespace tern
