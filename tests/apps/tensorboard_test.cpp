// Event files for TensorBoard; tests/python/test_tensorboard.py reads them with its own package.
#include "apps/run/tensorboard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST(TensorBoard, ChecksumIsCastagnolis) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);  // RFC 3720, B.4
}

// records of a file, one after the other, each with a length and checksums that are right
std::vector<std::string> events_of(const fs::path& directory) {
  std::vector<std::string> events;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string bytes = read_text(entry.path());
    const auto number = [&](std::size_t at, int size) {
      std::uint64_t n = 0;
      for (int i = size - 1; i >= 0; --i) n = n << 8 | std::uint8_t(bytes.at(at + std::size_t(i)));
      return n;
    };
    const auto masked = [](std::string_view of) {
      const std::uint32_t crc = crc32c(of);
      return (crc >> 15 | crc << 17) + 0xa282ead8u;
    };
    for (std::size_t at = 0; at + 12 <= bytes.size();) {
      const std::size_t size = number(at, 8);
      EXPECT_EQ(number(at + 8, 4), masked({bytes.data() + at, 8}));
      if (at + 16 + size > bytes.size()) break;  // cut off by a full disk
      events.push_back(bytes.substr(at + 12, size));
      EXPECT_EQ(number(at + 12 + size, 4), masked(events.back()));
      at += 16 + size;
    }
  }
  return events;
}

constexpr const char kSessionStart[] = "\x3a\x02\x08\x01";  // session_log { status: START }

TEST(TensorBoard, GoingBackVoidsLaterPoints) {
  const TemporaryDirectory d;
  {
    TensorBoard board(d.path(), [](const std::string& w) { ADD_FAILURE() << w; });
    for (const int step : {1, 2, 3, 2})
      board.write(StepReport{.step = step, .loss = 2.5, .gradient_norm = 1});
    board.write(ValidationReport{.step = 2, .loss = 3});
  }
  const std::vector<std::string> events = events_of(d.path());
  std::string order;
  for (const std::string& event : events)
    order += event.find("brain.Event:2") != event.npos     ? 'v'
             : event.find(kSessionStart) != event.npos     ? 's'
             : event.find("loss/train") != event.npos      ? 't'
             : event.find("loss/validation") != event.npos ? 'l'
                                                           : '?';
  EXPECT_EQ(order, "vstttstl");
}

TEST(TensorBoard, AFullDiskCostsEventsAndOneWarning) {
  const TemporaryDirectory d;
  const auto body = [&] {
    signal(SIGXFSZ, SIG_IGN);
    int warnings = 0;
    TensorBoard board(d.path(), [&](const std::string& w) {
      ++warnings;
      EXPECT_THAT(w, HasSubstr("tensorboard: File too large"));
    });
    for (int step = 1; step <= 50; ++step) board.write(StepReport{.step = step, .loss = 2});
    return warnings;
  };
  EXPECT_EQ(run({.body = body, .limits = {{RLIMIT_FSIZE, 2000}}}).exit_code, 1);
  EXPECT_GT(events_of(d.path()).size(), 5u);
}

}  // namespace
}  // namespace tern
