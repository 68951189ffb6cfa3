// Row 320: files that are memory, and what becomes of a process when their bytes go away.
#include "data/io/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>

#include "tests/support/complaint.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::size_t kBytes = 20'000;  // several pages

std::string text_of(const MappedFile& mapped) {
  return {reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size()};
}

class Mapped : public testing::Test {
 protected:
  Mapped() { write_text(path_, content_); }
  std::shared_ptr<const MappedFile> map() const { return MappedFile::map(File::open(path_)); }
  void truncate(std::uint64_t bytes) const { File::open_to_write(path_).resize(bytes); }

  TemporaryDirectory room_;
  const std::string path_ = room_ / "file", content_ = std::string(kBytes, 'm');
};

using Fault320 = Mapped;

// a read that the compiler keeps
int last_byte(const MappedFile& mapped) {
  return *const_cast<const volatile char*>(
      reinterpret_cast<const char*>(mapped.bytes().data() + kBytes - 1));
}

TEST_F(Mapped, HoldsTheFileAfterItIsClosed) {
  EXPECT_EQ(text_of(*map()), content_);
}

TEST_F(Mapped, AReplacedFileStaysAsItWasMapped) {
  const auto mapped = map();
  write_file_atomically(path_, "other");
  EXPECT_EQ(text_of(*mapped), content_);
}

TEST_F(Mapped, AnEmptyFileIsRefused) {
  truncate(0);
  EXPECT_THAT(complaint([&] { map(); }), AllOf(HasSubstr(path_), HasSubstr("cannot map 0 B")));
}

TEST_F(Fault320, AFileThatIsTruncatedEndsTheProcessWithOneLine) {
  const Outcome outcome = run({.body = [&] {
    const auto mapped = map();
    truncate(1);
    return last_byte(*mapped);
  }});
  EXPECT_EQ(outcome.exit_code, 3) << outcome.signal;
  EXPECT_THAT(outcome.err,
              AllOf(testing::StartsWith("tern: error: " + path_ + ": expected 20000 B"),
                    HasSubstr("truncated"), HasSubstr("renaming\n")));
  EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1);
}

TEST_F(Fault320, TheFileIsNamedAmongMany) {
  const Outcome outcome = run({.body = [&] {
    write_text(room_ / "other", content_);
    const auto first = MappedFile::map(File::open(room_ / "other"));
    map();  // its place is used again
    const auto mapped = map();
    const auto last = MappedFile::map(File::open(room_ / "other"));
    truncate(1);
    return last_byte(*mapped);
  }});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, HasSubstr(path_ + ": expected"));
}

TEST_F(Fault320, OtherSignalsOfThisKindDoWhatTheyDid) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer has a handler of its own";
#endif
  const Outcome foreign = run({.body = [&] {
    const auto mapped = map();  // the handler is there
    write_text(room_ / "other", content_);
    const File other = File::open_to_write(room_ / "other");
    void* const at = ::mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, other.descriptor(), 0);
    ::ftruncate(other.descriptor(), 0);
    return int(static_cast<volatile char*>(at)[kBytes - 1]);
  }});
  EXPECT_EQ(foreign.signal, SIGBUS);
  EXPECT_EQ(foreign.err, "");
  const Outcome unmapped = run({.body = [&] {
    const char* const at = reinterpret_cast<const char*>(map()->bytes().data());
    const File file = File::open_to_write(path_);
    void* const again = ::mmap(const_cast<char*>(at), kBytes, PROT_READ, MAP_SHARED | MAP_FIXED,
                               file.descriptor(), 0);
    truncate(0);
    return int(static_cast<volatile char*>(again)[kBytes - 1]);
  }});
  EXPECT_EQ(unmapped.signal, SIGBUS) << "its range is forgotten with the mapping";
  const Outcome sent = run({.body = [&] {
    write_text(path_, content_);
    const auto mapped = map();
    ::raise(SIGBUS);
    return 0;
  }});
  EXPECT_EQ(sent.signal, SIGBUS) << sent.err;
}

}  // namespace
}  // namespace tern
