#include "data/checkpoint/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/data/checkpoint_support.h"

namespace tern {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

TEST(Checkpoint, RoundTripOfEveryShapeAndType) {
  const TemporaryDirectory scratch;
  const Tensors tensors = all_kinds();
  const CheckpointOptions options{.directory = scratch.path(), .part_bytes = 1 << 20};
  write_checkpoint(options, facts(1000), tensors.views());
  const Checkpoint read = Checkpoint::open(scratch.path() / "step-00001000");
  EXPECT_EQ(read.manifest().step, 1000u);
  EXPECT_EQ(read.manifest().state, facts(1000).state);
  EXPECT_EQ(read.manifest().config, facts(1000).config);
  for (const TensorBytes& t : tensors.views()) {
    const StoredTensor* stored = read.find(t.name);
    ASSERT_NE(stored, nullptr) << t.name;
    EXPECT_EQ(stored->shape, t.shape);
    EXPECT_EQ(stored->type, t.type);
    EXPECT_EQ(contents(read, t.name), std::string((const char*)t.bytes.data(), t.bytes.size()));
  }
  const Findings findings = read.verify();
  EXPECT_THAT(findings.problems, IsEmpty());
  EXPECT_THAT(findings.warnings, IsEmpty());
}

TEST(Checkpoint, PartsKeepTheLimitAndOnlyTensorsLargerThanOneAreSplit) {
  const TemporaryDirectory scratch;
  Tensors tensors;
  tensors.add("large", StoredType::f32, {1000, 333});  // 1.3 MB
  for (int i = 0; i < 40; ++i)
    tensors.add("small" + std::to_string(i), StoredType::f32, {20, 1001});
  const std::uint64_t limit = 512 << 10;
  write_checkpoint({.directory = scratch.path(), .part_bytes = limit}, facts(1), tensors.views());
  const Checkpoint read = Checkpoint::open(scratch.path() / "step-00000001");
  EXPECT_GT(read.manifest().files.size(), 5u);
  for (const StoredFile& file : read.manifest().files) EXPECT_LE(file.bytes, limit) << file.name;
  for (const StoredTensor& t : read.manifest().tensors) {
    EXPECT_EQ(t.pieces.size() > 1, t.name == "large") << t.name;
    EXPECT_EQ(contents(read, t.name), tensors.content(t.name));
  }
  EXPECT_THAT(read.verify().problems, IsEmpty());
}

TEST(Checkpoint, ARowLargerThanAPartGetsItsOwnFile) {
  const TemporaryDirectory scratch;
  Tensors tensors;
  tensors.add("a", StoredType::f32, {3, 100000});
  tensors.add("b", StoredType::f32, {5});
  write_checkpoint({.directory = scratch.path(), .part_bytes = 1}, facts(1), tensors.views());
  const Checkpoint read = Checkpoint::open(scratch.path() / "step-00000001");
  EXPECT_EQ(read.find("a")->pieces.size(), 3u);
  EXPECT_EQ(contents(read, "a"), tensors.content("a"));
  EXPECT_EQ(contents(read, "b"), tensors.content("b"));
}

TEST(Checkpoint, FilesRespectTheUmask) {
  const TemporaryDirectory scratch;
  const mode_t before = ::umask(077);
  write_checkpoint({.directory = scratch.path()}, facts(1), all_kinds().views());
  ::umask(before);
  const auto mode = [&](const fs::path& path) {
    struct stat status {};
    ::stat(path.c_str(), &status);
    return status.st_mode & 0777;
  };
  EXPECT_EQ(mode(scratch.path() / "step-00000001"), 0700u);
  EXPECT_EQ(mode(scratch.path() / "step-00000001" / "manifest.json"), 0600u);
  EXPECT_EQ(mode(scratch.path() / "step-00000001" / "rank-000-part-00.h5"), 0600u);
}

TEST(CheckpointWriter, TensorsMayChangeAfterSaveReturns) {
  const TemporaryDirectory scratch;
  CheckpointWriter writer({.directory = scratch.path()});
  Tensors tensors = all_kinds();
  const Tensors saved = tensors;
  for (int step = 1; step <= 3; ++step) {  // the second and third wait for the one before
    writer.save(facts(step), tensors.views());
    tensors.clobber();
  }
  const auto reports = writer.wait();
  ASSERT_EQ(reports.size(), 3u);
  for (const SaveResult& r : reports) EXPECT_EQ(r.error + r.warning, "");
  const Checkpoint first = Checkpoint::open(scratch.path() / "step-00000001");
  for (const TensorBytes& t : saved.views())
    EXPECT_EQ(contents(first, t.name), saved.content(t.name));
  EXPECT_NE(contents(Checkpoint::open(scratch.path() / "step-00000002"), "f32"),
            saved.content("f32"));
  EXPECT_EQ(read_file(scratch.path() / "latest", 100), "step-00000003\n");
  EXPECT_THAT(writer.poll(), IsEmpty());
}

TEST(CheckpointWriter, DestructorWaitsForTheSave) {
  const TemporaryDirectory scratch;
  CheckpointWriter({.directory = scratch.path()}).save(facts(7), all_kinds().views());
  EXPECT_EQ(newest_good(scratch.path()).path, scratch.path() / "step-00000007");
}

TEST(CheckpointWriter, TheSameStepAgainReplacesIt) {
  const TemporaryDirectory scratch;
  Tensors tensors = all_kinds();
  write_checkpoint({.directory = scratch.path()}, facts(5), tensors.views());
  tensors.clobber();
  write_checkpoint({.directory = scratch.path()}, facts(5), tensors.views());
  EXPECT_EQ(contents(Checkpoint::open(scratch.path() / "step-00000005"), "f32"),
            tensors.content("f32"));
  EXPECT_FALSE(fs::exists(scratch.path() / "step-00000005.tmp"));
}

TEST(CheckpointDirectory, KeepsTheLastEveryMthAndAFixedOne) {
  const TemporaryDirectory scratch;
  CheckpointWriter writer(
      {.directory = scratch.path(),
       .retention = {.keep_last = 2, .keep_every = 30, .best = {}, .fixed = 40}});
  for (int step = 10; step <= 80; step += 10) writer.save(facts(step), {});
  for (const SaveResult& r : writer.wait()) EXPECT_EQ(r.error + r.warning, "");
  EXPECT_THAT(checkpoint_steps(scratch.path()), ElementsAre(30, 40, 60, 70, 80));
}

TEST(CheckpointDirectory, NeverPrunesTheOneJustWritten) {
  const TemporaryDirectory scratch;
  write_checkpoint({.directory = scratch.path()}, facts(1000), {});  // of a course given up
  CheckpointWriter writer({.directory = scratch.path(), .retention = {.keep_last = 1}});
  for (const int step : {500, 600}) writer.save(facts(step), {});
  writer.wait();
  EXPECT_THAT(checkpoint_steps(scratch.path()), ElementsAre(600, 1000));
}

TEST(CheckpointDirectory, NamesAndSteps) {
  EXPECT_EQ(checkpoint_name(1000), "step-00001000");
  EXPECT_EQ(checkpoint_name(123456789012), "step-123456789012");
  EXPECT_EQ(checkpoint_step("step-123456789012"), 123456789012u);
  for (const char* other : {"step-1", "step-00001000.tmp", "step-", "latest", "step-000000010 "})
    EXPECT_EQ(checkpoint_step(other), std::nullopt) << other;
}

}  // namespace
}  // namespace tern
