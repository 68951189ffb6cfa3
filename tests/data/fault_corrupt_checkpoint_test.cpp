// Checkpoints that are damaged, incomplete or not what they say (fault rows 22 to 31).
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "core/check.h"
#include "tests/data/checkpoint_support.h"

namespace tern {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Two small checkpoints, steps 10 and 20.
class CorruptCheckpoint : public testing::Test {
 protected:
  CorruptCheckpoint() {
    tensors_.add("a.weight", StoredType::f32, {70, 33});
    tensors_.add("b.weight", StoredType::bf16, {1000});
    tensors_.add("empty", StoredType::f32, {0});
    for (const int step : {10, 20})
      write_checkpoint({.directory = directory_.path()}, facts(step), tensors_.views());
  }

  fs::path newer(const std::string& name) const {
    return directory_.path() / "step-00000020" / name;
  }

  void flip(const fs::path& path, std::uint64_t offset, int bit) {
    File file = File::open_to_write(path);
    std::byte byte[1];
    file.pread_all(offset, byte);
    byte[0] ^= std::byte(1 << bit);
    file.pwrite_all(offset, byte);
  }

  // what opening and verifying the newer one complains about; "" if nothing
  std::string complaint() const {
    try {
      const Findings findings = Checkpoint::open(newer("")).verify();
      return findings.problems.empty() ? "" : findings.problems[0];
    } catch (const Error& e) {
      EXPECT_EQ(e.fault, Fault::input);
      return e.what();
    }
  }

  void expect_fallback(const std::string& reason) const {
    EXPECT_THAT(complaint(), HasSubstr(reason));
    const NewestGood found = newest_good(directory_.path());
    EXPECT_EQ(found.path, directory_.path() / "step-00000010");
    EXPECT_THAT(found.passed_over, ElementsAre(HasSubstr(reason)));
  }

  const TemporaryDirectory directory_;
  Tensors tensors_;
  const std::string shard_ = "rank-000-part-00.h5";
};

class Fault22 : public CorruptCheckpoint {};
class Fault23 : public CorruptCheckpoint {};
class Fault25 : public CorruptCheckpoint {};
class Fault26 : public CorruptCheckpoint {};
class Fault30 : public CorruptCheckpoint {};
class Fault31 : public CorruptCheckpoint {};

TEST_F(Fault22, TruncatedShardIsNamed) {
  const std::uint64_t size = fs::file_size(newer(shard_));
  for (const std::uint64_t left : {size - 1, size / 2, std::uint64_t(0)}) {
    fs::resize_file(newer(shard_), left);
    expect_fallback(newer(shard_).string() + ": expected " + std::to_string(size) + " B, got " +
                    std::to_string(left));
  }
}

TEST_F(Fault22, GrownShardIsNamed) {
  fs::resize_file(newer(shard_), fs::file_size(newer(shard_)) + 1);
  expect_fallback(newer(shard_).string());
}

TEST_F(Fault23, FlippedBitIsNamedByFileAndTensor) {
  const Checkpoint good = Checkpoint::open(newer(""));
  for (const char* name : {"a.weight", "b.weight"}) {
    const StoredRows& piece = good.find(name)->pieces[0];
    const std::uint64_t offset = piece.offset + piece.bytes - 1;
    flip(newer(shard_), offset, 6);
    expect_fallback(newer(shard_).string() + ": tensor " + name + " is damaged");
    EXPECT_THROW(contents(good, name), Error);
    flip(newer(shard_), offset, 6);
  }
  EXPECT_EQ(complaint(), "");
}

TEST_F(Fault23, NoBitOfAFileIsUnguarded) {
  const std::uint64_t size = fs::file_size(newer(shard_));
  for (std::uint64_t i = 0; i < 300; ++i) {
    const std::uint64_t offset = Rng(3).bits(i) % size;
    flip(newer(shard_), offset, i % 8);
    EXPECT_THAT(complaint(), HasSubstr(shard_)) << "at " << offset;
    flip(newer(shard_), offset, i % 8);
  }
  EXPECT_EQ(complaint(), "");
}

TEST_F(Fault25, MissingFileIsNamedAndExtraFileIsAWarning) {
  fs::copy_file(newer(shard_), newer("rank-001-part-00.h5"));
  EXPECT_THAT(Checkpoint::open(newer("")).verify().warnings,
              ElementsAre(HasSubstr("rank-001-part-00.h5")));
  fs::remove(newer(shard_));
  expect_fallback(newer(shard_).string() + ": cannot open");
}

TEST_F(Fault26, ShardsOfAnotherStepAreRefused) {
  const fs::path other = directory_.path() / "step-00000010" / shard_;
  fs::copy_file(other, newer(shard_), fs::copy_options::overwrite_existing);
  expect_fallback(newer(shard_).string() +
                  ": expected \"tern checkpoint 1, step 20;\" in it, got \"tern checkpoint 1, step "
                  "10;\"");
}

TEST_F(Fault26, AManifestOfAnotherStepIsRefused) {
  fs::copy_file(directory_.path() / "step-00000010" / "manifest.json", newer("manifest.json"),
                fs::copy_options::overwrite_existing);
  EXPECT_THAT(complaint(), HasSubstr("step 20"));
}

template <class T>
void put(std::string& content, std::size_t index, T value) {
  std::memcpy(content.data() + index * sizeof value, &value, sizeof value);
}

TEST_F(Fault30, NanAndInfinityAreReportedAndPassedOver) {
  put(tensors_.content("a.weight"), 1234, std::numeric_limits<float>::quiet_NaN());
  put(tensors_.content("a.weight"), 2000, -std::numeric_limits<float>::infinity());
  put(tensors_.content("b.weight"), 999, std::uint16_t(0xff80));
  write_checkpoint({.directory = directory_.path()}, facts(20), tensors_.views());
  EXPECT_THAT(Checkpoint::open(newer("")).verify().problems,
              ElementsAre(HasSubstr("a.weight holds 2 NaN or infinite values, the first is element "
                                    "1234"),
                          HasSubstr("b.weight holds 1 NaN or infinite values, the first is element "
                                    "999")));
  EXPECT_EQ(newest_good(directory_.path()).path, directory_.path() / "step-00000010");
}

TEST_F(Fault30, LargestFiniteValuesAreGood) {
  put(tensors_.content("a.weight"), 0, std::numeric_limits<float>::max());
  put(tensors_.content("a.weight"), 1, std::numeric_limits<float>::lowest());
  put(tensors_.content("b.weight"), 0, std::uint16_t(0xff7f));
  write_checkpoint({.directory = directory_.path()}, facts(20), tensors_.views());
  EXPECT_EQ(complaint(), "");
}

TEST_F(Fault31, OnlyRegularFilesAndDirectoriesAreRead) {
  const auto refused = [&](const fs::path& path) {
    try {
      Checkpoint::open(path);
      ADD_FAILURE() << "opened " << path;
    } catch (const Error& e) {
      EXPECT_EQ(e.fault, Fault::input) << e.what();
    }
  };
  const fs::path loop = directory_.path() / "step-00000030";
  fs::create_directory_symlink(loop, loop);
  refused(loop);
  refused("/dev/null");
  refused(directory_.path() / "nothing");
  refused(directory_.path());
  for (const std::string& name : {shard_, std::string("manifest.json")}) {
    const fs::path aside = directory_.path() / "aside";
    fs::rename(newer(name), aside);
    fs::create_symlink(aside, newer(name));
    refused(newer(""));
    fs::remove(newer(name));
    ::mkfifo(newer(name).c_str(), 0600);
    refused(newer(""));
    fs::remove(newer(name));
    fs::create_directory(newer(name));
    refused(newer(""));
    fs::remove(newer(name));
    fs::rename(aside, newer(name));
  }
  EXPECT_EQ(complaint(), "");
  EXPECT_EQ(newest_good(directory_.path()).path, directory_.path() / "step-00000020");
}

TEST(NewestGood, NothingThere) {
  const TemporaryDirectory directory;
  for (const fs::path& path : {directory.path(), directory.path() / "none"}) {
    EXPECT_EQ(newest_good(path).path, std::nullopt);
    EXPECT_THAT(newest_good(path).passed_over, IsEmpty());
  }
}

}  // namespace
}  // namespace tern
