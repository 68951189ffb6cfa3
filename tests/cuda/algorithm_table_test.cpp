// The table of measured algorithms as a file. Needs no GPU.
#include "cuda/products/algorithm_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/complaint.h"
#include "tests/support/temporary_directory.h"

namespace tern::cuda {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::string kOurs = "NVIDIA H200\tcuBLASLt 13.1.0";
const std::string kKey = kOurs + "\t8\t16\t32\tbf16\tbf16^T\t+f32\thost";
const AlgorithmTable::Words kWords = {1, 2, 3, 0xfedcba9876543210, 0, 0, 0, ~0ull};
const std::string kDigits =
    "0000000000000001 0000000000000002 0000000000000003 fedcba9876543210 "
    "0000000000000000 0000000000000000 0000000000000000 ffffffffffffffff";

class Algorithms : public testing::Test {
 protected:
  AlgorithmTable holding(const std::string& text) {
    write_text(path_, text);
    return AlgorithmTable(path_);
  }
  std::string complaint_about(const std::string& text) {
    return complaint([&] { holding(text); });
  }
  TemporaryDirectory room_;
  const std::filesystem::path path_ = room_ / "algorithms.txt";
};

TEST_F(Algorithms, AMissingFileIsAnEmptyTable) {
  const AlgorithmTable table(path_);
  EXPECT_EQ(table.find(kKey), nullptr);
  EXPECT_EQ(table.lines(), "");
}

TEST_F(Algorithms, WhatIsWrittenIsRead) {
  AlgorithmTable table(room_ / "share/tern/algorithms.txt");  // folders are made
  table.set(kKey, kWords);
  table.set("Another GPU\tcuBLASLt 13.1.0\t1\t1\t1\tbf16\tbf16\tbf16\thost", kWords);
  table.set(kOurs + "\t8\t8\t8\tbf16\tbf16\tbf16\thost", kWords);
  table.erase(kOurs + "\t8\t8\t8\tbf16\tbf16\tbf16\thost");
  table.write();
  const AlgorithmTable again(table.path());
  ASSERT_NE(again.find(kKey), nullptr);
  EXPECT_EQ(*again.find(kKey), kWords);
  EXPECT_EQ(again.lines(), table.lines());
  EXPECT_EQ(again.lines(kOurs + '\t'), kKey + '\t' + kDigits + '\n');
}

TEST_F(Algorithms, DamageIsSaidInOneLine) {
  EXPECT_EQ(*holding("# a comment\n\n" + kKey + '\t' + kDigits + '\n').find(kKey), kWords);
  const std::string where = path_.string();
  EXPECT_THAT(complaint_about(kKey + '\n'),
              AllOf(HasSubstr(where + ":1"), HasSubstr("expected 10 fields"), HasSubstr("got 9")));
  for (std::string digits : {kDigits.substr(1), kDigits + "0", "x" + kDigits.substr(1),
                             kDigits.substr(0, 16) + "0" + kDigits.substr(17)})
    EXPECT_THAT(complaint_about("#\n" + kKey + '\t' + digits + '\n'),
                AllOf(HasSubstr(where + ":2"), HasSubstr("expected 8 words")));
  const std::string line = kKey + '\t' + kDigits + '\n';
  EXPECT_THAT(complaint_about(line + line), HasSubstr("second entry"));
}

TEST_F(Algorithms, WhatCannotBeWrittenIsSaid) {
  write_text(room_ / "file", "");
  const AlgorithmTable table(room_ / "file/algorithms.txt");
  EXPECT_THAT(complaint([&] { table.write(); }), HasSubstr("cannot be written"));
}

TEST_F(Algorithms, TheShippedTableIsFoundAndWhole) {
  EXPECT_TRUE(std::filesystem::exists(algorithm_table_path())) << algorithm_table_path();
  EXPECT_NO_THROW(AlgorithmTable(algorithm_table_path()).lines());
  EXPECT_NO_THROW(AlgorithmTable("cuda/algorithms.txt").lines());
}

}  // namespace
}  // namespace tern::cuda
