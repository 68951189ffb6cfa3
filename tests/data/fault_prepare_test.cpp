// Rows 41, 42, 44, 45, 47, 49 and 72: what `tern prepare` is given, and what happens to it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <chrono>
#include <thread>

#include "data/io/byte_stream.h"
#include "tests/data/compress.h"
#include "tests/data/prepare_fixture.h"
#include "tests/support/process.h"

namespace tern {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// prepares one input; the message of its refusal
std::string refusal(const PrepareFixture& f, const std::string& input, Fault fault = Fault::input,
                    std::uint64_t max_bad = 0) {
  PrepareOptions options = f.options("out", {input});
  options.max_bad = max_bad;
  fs::remove_all(f / "out");
  return message_of(fault, [&] { prepare_corpus(options, no_report); });
}

TEST(Fault41, EmptyAndTinyFiles) {
  const PrepareFixture f;
  write_text(f / "empty.txt", "");
  EXPECT_THAT(refusal(f, f / "empty.txt"), HasSubstr("no text"));
  write_text(f / "empty.bin", "");
  EXPECT_THAT(refusal(f, f / "empty.bin"), HasSubstr("no text"));
  write_text(f / "one.bin", std::string("\x05\0", 2));
  EXPECT_EQ(refusal(f, f / "one.bin"), "");
  EXPECT_EQ(f.ids("out"), std::vector<std::int32_t>{5});
  write_text(f / "same.bin", std::string(3'000'000, '\1'));
  EXPECT_EQ(refusal(f, f / "same.bin"), "");
  EXPECT_EQ(f.ids("out"), std::vector<std::int32_t>(1'500'000, 257));
}

TEST(Fault42, BadTokenFilesAreNamedWithTheOffset) {
  const PrepareFixture f;
  write_text(f / "odd.bin", std::string(2'000'001, '\0'));
  EXPECT_THAT(refusal(f, f / "odd.bin"),
              HasSubstr("whole u16 tokens, got 1 B too many at byte 2000000"));
  write_text(f / "odd.u32", std::string(7, '\0'));
  EXPECT_THAT(refusal(f, f / "odd.u32"), HasSubstr("got 3 B too many at byte 4"));
  std::string large(2'400'000, '\0');
  large[2'200'001] = '\2';  // id 512
  write_text(f / "large.bin", large);
  EXPECT_THAT(refusal(f, f / "large.bin"),
              HasSubstr("byte 2200000: expected a token id below 400, got 512"));
}

TEST(Fault44, BadLinesAreCountedUpToALimit) {
  const PrepareFixture f;
  const std::string lines =
      "{\"text\":\"one\"}\n{\"text\":\n{\"txt\":\"x\"}\n{\"text\":null}\n{\"text\":[\"x\"]}\n"
      "{\"text\":\"two\"} x\n{\"text\":\"three\"}\n";
  write_text(f / "a.jsonl", lines);
  EXPECT_THAT(refusal(f, f / "a.jsonl"), HasSubstr("a.jsonl:2: not valid JSON"));
  EXPECT_THAT(refusal(f, f / "a.jsonl", Fault::input, 2), HasSubstr("a.jsonl:4: expected text"));
  EXPECT_EQ(refusal(f, f / "a.jsonl", Fault::input, 5), "");
  EXPECT_EQ(small_tokenizer().decode(f.ids("out")), "onethree");
  EXPECT_EQ(Corpus::open(f / "out", Split::train).manifest().skipped_lines, 5u);
}

TEST(Fault44, LongLines) {
  const PrepareFixture f;
  std::string text;
  while (text.size() < 50'000'000) text += "The boats are not in yet. ";
  write_text(f / "a.jsonl", "{\"text\":\"" + text + "\"}\n");
  EXPECT_EQ(refusal(f, f / "a.jsonl"), "");
  EXPECT_EQ(Corpus::open(f / "out", Split::train).text_bytes(), text.size());
  write_text(f / "b.jsonl", "{}\n{\"text\":\"" + std::string(70'000'000, 'a') + "\"}\n");
  EXPECT_THAT(refusal(f, f / "b.jsonl", Fault::input, 1),
              HasSubstr("b.jsonl:2: a line is longer than"));
}

TEST(Fault45, InputsThatAreNotThere) {
  const PrepareFixture f;
  fs::create_directory(f / "empty");
  EXPECT_THAT(refusal(f, f / "empty"), HasSubstr("holds no file to read"));
  EXPECT_THAT(refusal(f, f / "*.nothing"), HasSubstr("*.nothing: matches nothing"));
  EXPECT_THAT(refusal(f, f / "missing.txt"), HasSubstr("missing.txt: No such file"));
  EXPECT_THAT(refusal(f, f / "small.model", Fault::usage), HasSubstr("unknown kind of file"));
  EXPECT_EQ(::mkfifo((f / "pipe.txt").c_str(), 0600), 0);
  EXPECT_THAT(refusal(f, f / "pipe.txt"), HasSubstr("expected a regular file"));
  write_text(f / "utf16.txt", std::string("\xff\xfe"
                                          "a\0",
                                          4));
  EXPECT_THAT(refusal(f, f / "utf16.txt"), HasSubstr("is UTF-16"));
}

TEST(Fault45, UnreadableFile) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to drop privileges";
  const PrepareFixture f;
  write_text(f / "secret.txt", "text");
  fs::permissions(f / "secret.txt", fs::perms::owner_read);
  const Outcome o = run({.body =
                             [&] {
                               std::fputs(refusal(f, f / "secret.txt").c_str(), stderr);
                               return 0;
                             },
                         .unprivileged = true});
  EXPECT_THAT(o.err, HasSubstr("secret.txt: cannot open"));
  EXPECT_THAT(o.err, HasSubstr("Permission denied"));
}

TEST(Fault45, FilesThatChangeWhileTheyAreRead) {
  const PrepareFixture f;
  const std::string text(8 << 20, 'a');
  const auto prepared = [&](const std::function<void()>& change) {
    write_text(f / "a.txt", text);
    fs::remove_all(f / "out");
    bool changed = false;
    return message_of(Fault::input, [&] {
      prepare_corpus(f.options("out", {f / "a.txt"}), [&](const PrepareProgress&) {
        if (!std::exchange(changed, true)) change();
      });
    });
  };
  const auto bytes = [&] { return Corpus::open(f / "out", Split::train).text_bytes(); };
  EXPECT_EQ(prepared([&] { std::ofstream(f / "a.txt", std::ios::app) << "more"; }), "");
  EXPECT_EQ(bytes(), text.size()) << "growing: its size at the start";
  EXPECT_EQ(prepared([&] { fs::remove(f / "a.txt"); }), "");
  EXPECT_EQ(bytes(), text.size()) << "deleted: it stays open";
  EXPECT_THAT(prepared([&] { fs::resize_file(f / "a.txt", 1000); }),
              testing::AnyOf("", HasSubstr("a.txt: became shorter while it was read")));
}

TEST(Fault47, TokenizerOfAnotherCorpusIsNamed) {
  const PrepareFixture f;
  write_text(f / "a.txt", english());
  EXPECT_EQ(refusal(f, f / "a.txt"), "");
  write_text(f / "out/tokenizer.model", model_file({"\u2581", "a"}).bytes());
  EXPECT_THAT(message_of(Fault::input, [&] { Corpus::open(f / "out", Split::train).tokenizer(); }),
              HasSubstr("is not the tokenizer of this corpus"));
}

TEST(Fault49, CutOffAndDamagedCompression) {
  const PrepareFixture f;
  for (const Codec codec : {Codec::gzip, Codec::zstd, Codec::xz}) {
    const std::string ending[] = {"", ".gz", ".zst", ".xz"};
    const std::string name = f / ("a.txt" + ending[std::size_t(codec)]);
    std::string text;
    std::mt19937_64 random(49);
    for (int i = 0; i < 300'000; ++i) text += char('a' + random() % 26);
    const std::string whole = compressed(codec, text);
    for (const std::size_t kept :
         {std::size_t(0), std::size_t(3), whole.size() / 2, whole.size() - 1}) {
      write_text(name, whole.substr(0, kept));
      EXPECT_THAT(refusal(f, name), HasSubstr(name + ": cut off")) << kept;
    }
    std::string damaged = whole;
    for (std::size_t i = 0; i < 8; ++i) damaged[whole.size() / 2 + i] ^= 0x55;
    write_text(name, damaged);
    EXPECT_THAT(refusal(f, name), HasSubstr(name + ": near byte")) << name_of(codec);
    write_text(name, whole + "tail");
    EXPECT_THAT(refusal(f, name), HasSubstr(name)) << name_of(codec);
    write_text(name, text);
    EXPECT_THAT(refusal(f, name), HasSubstr(name)) << name_of(codec);
  }
}

TEST(Fault49, BombsAreNotRead) {
  const PrepareFixture f;
  const std::string bomb(80 << 20, 'a');
  for (const Codec codec : {Codec::gzip, Codec::zstd, Codec::xz}) {
    const std::string ending[] = {"", ".gz", ".zst", ".xz"};
    const std::string name = f / ("a.txt" + ending[std::size_t(codec)]);
    write_text(name, compressed(codec, bomb));
    std::vector<std::byte> block(1 << 20);
    EXPECT_THAT(message_of(Fault::input,
                           [&] {
                             ByteStream stream(name, codec, fs::file_size(name));
                             while (stream.read(block) > 0) {
                             }
                           }),
                HasSubstr(name + ": grows more than 1000-fold"));
  }
}

TEST(Fault49, LargeWindowsAreRefused) {
  const PrepareFixture f;
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 28);
  ZSTD_inBuffer in{"text", 4, 0};
  std::string out(1000, '\0');
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  ZSTD_compressStream2(context, &to, &in, ZSTD_e_flush);
  ZSTD_compressStream2(context, &to, &in, ZSTD_e_end);
  ZSTD_freeCCtx(context);
  write_text(f / "a.txt.zst", out.substr(0, to.pos));
  EXPECT_THAT(refusal(f, f / "a.txt.zst"), HasSubstr("too much memory"));
}

class Fault72 : public testing::Test {
 protected:
  Fault72() {
    options_ = f_.options("whole", f_.many_inputs());
    options_.validation = 0.05;
    options_.shard_tokens = 40'000;
    options_.threads = 2;
    options_.max_bad = 3;
    write_text(f_ / "6.jsonl", "{\"text\":\"a\"}\nbad\n{\"text\":\"b\"}\n");
    options_.inputs.insert(options_.inputs.begin() + 1, f_ / "6.jsonl");
    prepare_corpus(options_, no_report);
    options_.out = f_ / "out";
  }
  PrepareFixture f_;
  PrepareOptions options_;
};

TEST_F(Fault72, InterruptedAfterAnyBatch) {
  int batches = 0;
  bool resumed = false;
  for (int stop = 1;; stop += 1 + stop / 4) {
    fs::remove_all(f_ / "out");
    int seen = 0;
    try {
      prepare_corpus(options_, [&](const PrepareProgress&) {
        if (++seen == stop) throw std::runtime_error("interrupted");
      });
      batches = seen;
      break;
    } catch (const std::runtime_error&) {
    }
    resumed = prepare_corpus(options_, no_report).resumed || resumed;
    ASSERT_EQ(f_.content("out"), f_.content("whole")) << "after " << stop << " batches";
  }
  EXPECT_GT(batches, 2);
  EXPECT_TRUE(resumed);
}

TEST_F(Fault72, KilledAtRandomMoments) {
  std::mt19937_64 random(72);
  int killed = 0;  // in all rounds: one in which the first attempt comes through has no other
  for (int round = 0; round < 3; ++round) {
    fs::remove_all(f_ / "out");
    for (int attempt = 0; attempt < 12; ++attempt) {
      Process child({.body = [&] {
        prepare_corpus(options_, [](const PrepareProgress&) {
          std::this_thread::sleep_for(std::chrono::milliseconds(30));
        });
        return 0;
      }});
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 90'000));
      child.send(SIGKILL);
      killed += child.wait().signal == SIGKILL;
    }
    prepare_corpus(options_, no_report);
    ASSERT_EQ(f_.content("out"), f_.content("whole")) << "after " << killed << " kills";
  }
  EXPECT_GT(killed, 0);
}

TEST_F(Fault72, JournalWithATornLineAndLeftoversOfACrash) {
  EXPECT_THROW(prepare_corpus(options_,
                              [seen = 0](const PrepareProgress&) mutable {
                                if (++seen == 3) throw std::runtime_error("interrupted");
                              }),
               std::runtime_error);
  std::ofstream(f_ / "out/prepare.journal", std::ios::app) << "{\"next\": {\"sou";
  write_text(f_ / "out/train-00099.h5", "written, not committed");
  write_text(f_ / "out/train-00098.h5.tmp", "half written");
  prepare_corpus(options_, no_report);
  EXPECT_EQ(f_.content("out"), f_.content("whole"));
}

TEST_F(Fault72, PositionsThatAreNoneAreRefused) {
  const fs::path journal = f_ / "out/prepare.journal";
  EXPECT_THROW(
      prepare_corpus(options_, [](const PrepareProgress&) { throw std::runtime_error(""); }),
      std::runtime_error);
  std::string begun = read_text(journal);
  begun.resize(begun.find('\n') + 1);
  for (const std::string numbers :
       {R"("source":99,"offset":0,"document":1)", R"("source":-1e30,"offset":0,"document":1)",
        R"("source":0,"offset":-1,"document":1)", R"("source":0,"offset":0.5,"document":1)",
        R"("source":0,"offset":0,"document":0)", R"("source":0,"offset":0)"}) {
    write_text(journal, begun + R"({"next":{"line":0,"inside":true,"tail":false,)" + numbers +
                            R"(},"skipped_lines":0,"train":null,"validation":null})" + "\n");
    EXPECT_THAT(message_of(Fault::input, [&] { prepare_corpus(options_, no_report); }),
                HasSubstr("prepare.journal"))
        << numbers;
  }
}

TEST_F(Fault72, OtherArgumentsAreRefused) {
  EXPECT_THROW(
      prepare_corpus(options_, [](const PrepareProgress&) { throw std::runtime_error(""); }),
      std::runtime_error);
  options_.shard_tokens = 50'000;
  EXPECT_THAT(message_of(Fault::usage, [&] { prepare_corpus(options_, no_report); }),
              HasSubstr("shard_tokens: 40000 then, 50000 now): finish it with those"));
}

TEST_F(Fault72, FullDiskIsReportedAndTheSameCommandGoesOn) {
  const SmallDisk disk(f_ / "disk", 900 << 10);
  if (!disk.mounted()) GTEST_SKIP() << "mounting is refused here";
  options_.out = f_ / "disk/out";
  const std::string message = message_of(Fault::disk, [&] { prepare_corpus(options_, no_report); });
  EXPECT_THAT(message, HasSubstr("No space left on device"));
  EXPECT_THAT(message, HasSubstr("disk/out"));
  fs::copy(f_ / "disk/out", f_ / "out");
  options_.out = f_ / "out";
  EXPECT_TRUE(prepare_corpus(options_, no_report).resumed);
  EXPECT_EQ(f_.content("out"), f_.content("whole"));
}

}  // namespace
}  // namespace tern
