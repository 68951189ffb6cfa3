// Killed writers, full disks and directories without permission (fault rows 2, 3, 4, 13, 15, 17).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "core/check.h"
#include "data/io/files.h"
#include "tests/data/checkpoint_support.h"
#include "tests/support/complaint.h"
#include "tests/support/process.h"

namespace tern {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

Tensors megabytes(std::uint64_t count) {
  Tensors t;
  for (std::uint64_t i = 0; i < count; ++i)
    t.add("layer" + std::to_string(i), StoredType::f32, {256, 1024});
  return t;
}

bool any_temporary(const fs::path& directory) {
  for (const auto& entry : fs::directory_iterator(directory))
    if (entry.path().extension() == ".tmp") return true;
  return false;
}

// Saves 2, 3, 4, ... keeping only the last, until it is killed.
int save_for_ever(const fs::path& directory, const Tensors& tensors) {
  CheckpointWriter writer(
      {.directory = directory, .retention = {.keep_last = 1}, .part_bytes = 3 << 20});
  for (int step = 2;; ++step) {
    writer.save(facts(step), tensors.views());
    for (const SaveResult& r : writer.wait())
      if (!r.error.empty()) return 1;
    if (step == 2) std::puts("first saved"), std::fflush(stdout);
  }
}

TEST(Fault02, KilledWhileSavingAndPruning) {
  const TemporaryDirectory directory;
  const Tensors tensors = megabytes(8);
  int interrupted = 0;
  for (std::uint64_t i = 0; i < 12; ++i) {
    Process child({.body = [&] { return save_for_ever(directory.path(), tensors); }});
    ASSERT_TRUE(child.wait_for("first saved"));
    ::usleep(useconds_t(Rng(5).bits(i) % 100'000));
    child.send(SIGKILL);
    ASSERT_EQ(child.wait().signal, SIGKILL);
    interrupted += any_temporary(directory.path());
    const NewestGood found = newest_good(directory.path());
    ASSERT_TRUE(found.path);
    EXPECT_THAT(found.passed_over, testing::IsEmpty());
    EXPECT_EQ(contents(Checkpoint::open(*found.path), "layer7"), tensors.content("layer7"));
    CheckpointWriter({.directory = directory.path()});
    EXPECT_FALSE(any_temporary(directory.path()));
    EXPECT_EQ(newest_good(directory.path()).path, found.path);
  }
  EXPECT_GT(interrupted, 0) << "no kill came in time: this test showed nothing";
}

TEST(Fault03, KilledBeforeLatestWasUpdated) {
  const TemporaryDirectory directory;
  CheckpointWriter writer({.directory = directory.path()});
  writer.save(facts(10), megabytes(1).views());
  writer.wait();
  write_checkpoint({.directory = directory.path()}, facts(20), megabytes(1).views());
  EXPECT_EQ(read_file(directory.path() / "latest", 100), "step-00000010\n");
  EXPECT_EQ(newest_good(directory.path()).path, directory.path() / "step-00000020");
}

TEST(Fault04, AHalfDeletedCheckpointIsNoCheckpoint) {
  const TemporaryDirectory directory;
  for (const int step : {10, 20})
    write_checkpoint({.directory = directory.path()}, facts(step), megabytes(1).views());
  // as prune_checkpoints leaves it when it is killed: renamed first, then emptied
  fs::rename(directory.path() / "step-00000010", directory.path() / "step-00000010.tmp");
  fs::remove(directory.path() / "step-00000010.tmp" / "rank-000-part-00.h5");
  write_text(directory.path() / "latest.tmp", "step-0");
  EXPECT_THAT(checkpoint_steps(directory.path()), ElementsAre(20));
  EXPECT_THAT(newest_good(directory.path()).passed_over, testing::IsEmpty());
  CheckpointWriter({.directory = directory.path()});
  EXPECT_FALSE(any_temporary(directory.path()));
}

// One good checkpoint, a save that fails, and one that succeeds when there is room again.
void expect_recovery(const fs::path& directory, CheckpointWriter& writer,
                     const std::function<std::string()>& fail_to_save,
                     const std::function<void()>& make_room) {
  const Tensors small = megabytes(1);
  writer.save(facts(1), small.views());
  for (const SaveResult& r : writer.wait()) ASSERT_EQ(r.error, "");
  const std::string error = fail_to_save();
  EXPECT_THAT(error, HasSubstr(directory.string()));
  EXPECT_FALSE(any_temporary(directory));
  EXPECT_EQ(newest_good(directory).path, directory / "step-00000001");
  make_room();
  writer.save(facts(3), small.views());
  for (const SaveResult& r : writer.wait()) EXPECT_EQ(r.error, "");
  EXPECT_EQ(newest_good(directory).path, directory / "step-00000003");
}

std::string error_of(CheckpointWriter& writer, int step, const Tensors& tensors) {
  writer.save(facts(step), tensors.views());
  const auto reports = writer.wait();
  return reports.size() == 1 ? reports[0].error : "expected one report";
}

TEST(Fault13, TooLittleSpaceIsNoticedBeforeWriting) {
  const TemporaryDirectory root;
  const fs::path directory = root.path() / "disk";
  const SmallDisk disk(directory, 8 << 20);
  if (!disk.mounted()) GTEST_SKIP() << "mounting is refused here";
  CheckpointWriter writer({.directory = directory});
  expect_recovery(
      directory, writer,
      [&] {
        const std::string error = error_of(writer, 2, megabytes(7));
        EXPECT_THAT(error, HasSubstr("B are free: make room"));
        return error;
      },
      [] {});
}

// Takes all the room as soon as the save has begun.
void fill(const fs::path& disk, const fs::path& trigger) {
  while (!fs::exists(trigger)) std::this_thread::yield();
  try {
    File file = File::create(disk / "filler");
    const std::vector<std::byte> block(1 << 20);
    for (;;) file.write_all(block);
  } catch (const Error&) {
  }
}

TEST(Fault13, DiskThatFillsUpDuringTheSave) {
  const TemporaryDirectory root;
  const fs::path directory = root.path() / "disk";
  const SmallDisk disk(directory, 48 << 20);
  if (!disk.mounted()) GTEST_SKIP() << "mounting is refused here";
  CheckpointWriter writer({.directory = directory, .part_bytes = 3 << 20});
  const Tensors large = megabytes(36);
  std::string error;
  expect_recovery(
      directory, writer,
      [&] {
        for (int attempt = 0; attempt < 50 && error.empty(); ++attempt) {  // it is a race
          fs::remove_all(directory / "step-00000002");
          std::thread filler(fill, directory, directory / "step-00000002.tmp/rank-000-part-01.h5");
          error = error_of(writer, 2, large);
          filler.join();
          if (error.empty()) fs::remove(directory / "filler");
        }
        EXPECT_THAT(error, HasSubstr("No space left on device"));
        return error;
      },
      [&] { fs::remove(directory / "filler"); });
}

// The same without a mount, in a child that may not make large files: exits normally afterwards.
TEST(Fault13, LimitedFileSize) {
  const TemporaryDirectory directory;
  const Outcome outcome = run({.body =
                                   [&] {
                                     ::signal(SIGXFSZ, SIG_IGN);
                                     CheckpointWriter writer({.directory = directory.path()});
                                     const Tensors small = megabytes(1);
                                     std::puts(error_of(writer, 1, small).c_str());
                                     std::puts(error_of(writer, 2, megabytes(5)).c_str());
                                     std::puts(error_of(writer, 3, small).c_str());
                                     return 0;
                                   },
                               .limits = {{RLIMIT_FSIZE, 3 << 20}}});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("step-00000002.tmp/rank-000-part-00.h5: cannot prepare"));
  EXPECT_THAT(outcome.out, HasSubstr("File too large"));
  EXPECT_THAT(checkpoint_steps(directory.path()), ElementsAre(1, 3));
  EXPECT_FALSE(any_temporary(directory.path()));
}

TEST(Fault15, DirectoryWithoutPermissionFailsAtOnce) {
  const TemporaryDirectory directory;
  fs::permissions(directory.path(), fs::perms::owner_read | fs::perms::owner_exec |
                                        fs::perms::others_read | fs::perms::others_exec);
  for (const fs::path& path : {directory.path(), directory.path() / "below"}) {
    const Outcome outcome = run({.body =
                                     [&] {
                                       try {
                                         CheckpointWriter writer({.directory = path});
                                       } catch (const Error& e) {
                                         std::puts(e.what());
                                         return int(e.fault);
                                       }
                                       return 0;
                                     },
                                 .unprivileged = true});
    EXPECT_EQ(outcome.exit_code, int(Fault::disk));
    EXPECT_THAT(outcome.out, HasSubstr(path.string()));
    EXPECT_THAT(outcome.out, HasSubstr("Permission denied"));
  }
  fs::permissions(directory.path(), fs::perms::owner_all);
}

TEST(Fault15, AFileInPlaceOfTheDirectory) {
  const TemporaryDirectory directory;
  write_text(directory.path() / "file", "");
  try {
    CheckpointWriter writer({.directory = directory.path() / "file"});
    FAIL() << "expected an error";
  } catch (const Error& e) {
    EXPECT_EQ(e.fault, Fault::disk);
    EXPECT_THAT(e.what(), HasSubstr("file"));
  }
}

// The kernel writes up to the limit, a short write, and refuses the rest.
// each is fsynced in its parent; only a crash of the machine would show it
TEST(Fault318, NewParentsAreMadeAndTheOneThatFailsIsNamed) {
  const TemporaryDirectory d;
  for (int again = 0; again < 2; ++again) make_directories(d / "a/b/./c/");
  EXPECT_TRUE(fs::is_directory(d / "a/b/c"));
  write_text(d / "a/file", "");
  EXPECT_THAT(complaint([&] { make_directories(d / "a/file/x/y"); }),
              HasSubstr(d / "a/file: cannot be created: File exists"));
}

TEST(Fault17, ShortWritesAreContinuedAndReported) {
  const TemporaryDirectory directory;
  const fs::path path = directory.path() / "file";
  const Outcome outcome = run({.body =
                                   [&] {
                                     ::signal(SIGXFSZ, SIG_IGN);
                                     const std::vector<std::byte> bytes(5000);
                                     try {
                                       File::create(path).pwrite_all(100, bytes);
                                     } catch (const Error& e) {
                                       std::puts(e.what());
                                       return int(e.fault);
                                     }
                                     return 0;
                                   },
                               .limits = {{RLIMIT_FSIZE, 4096}}});
  EXPECT_EQ(outcome.exit_code, int(Fault::disk));
  EXPECT_THAT(outcome.out, HasSubstr("writing failed after 3996 of 5000 B: File too large"));
}

}  // namespace
}  // namespace tern
