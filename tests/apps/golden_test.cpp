// This build against the oracle files, and that the comparison notices what is wrong.
#include "apps/golden/golden.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/check.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

constexpr const char* kFiles[] = {
    "tests/golden/tiny_model.safetensors", "tests/golden/tiny_no_lower_bound.safetensors",
    "tests/golden/transformer_dense.safetensors", "tests/golden/transformer_ternary.safetensors"};

class GoldenTest : public testing::TestWithParam<std::tuple<const char*, DType>> {};

TEST_P(GoldenTest, IsWithinTheTolerance) {
  const auto& [file, dtype] = GetParam();
  const GoldenReport report = check_golden(file, dtype);
  ASSERT_GE(report.results.size(), 3u);
  for (const GoldenResult& r : report.results)
    EXPECT_TRUE(r.passed()) << r.kind << ": " << r.worst << " at " << r.where;
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenTest,
                         testing::Combine(testing::ValuesIn(kFiles),
                                          testing::Values(DType::f64, DType::f32)));

// tiny_no_lower_bound with one byte of one tensor changed
GoldenReport check_with_damage(const TemporaryDirectory& room, std::string_view tensor) {
  std::string bytes = read_text(kFiles[1]);
  const std::size_t header = 8 + *reinterpret_cast<const std::uint64_t*>(bytes.data());
  const std::size_t entry = bytes.find(std::string(tensor) + "\"");
  const std::size_t offsets = bytes.find("data_offsets\":[", entry) + 15;
  const std::size_t begin = std::stoull(bytes.substr(offsets, 20));
  bytes[header + begin + 2] ^= 0x20;  // the float's mantissa: a change of a percent or so
  write_text(room / "damaged.safetensors", bytes);
  return check_golden(room / "damaged.safetensors", DType::f64);
}

TEST(Golden, AChangedParameterIsNoticed) {
  const TemporaryDirectory room;
  EXPECT_FALSE(check_with_damage(room, "param.model.norm.weight").passed());
}

TEST(Golden, AChangedGradientIsNoticedAndNamed) {
  const TemporaryDirectory room;
  const GoldenReport report = check_with_damage(room, "grad.model.norm.weight");
  ASSERT_FALSE(report.passed());
  for (const GoldenResult& r : report.results)
    EXPECT_TRUE(r.passed() || r.where == "model.norm.weight") << r.kind << ": " << r.where;
}

TEST(Golden, ATruncatedFileSaysSo) {
  const TemporaryDirectory room;
  write_text(room / "short.safetensors", read_text(kFiles[1]).substr(0, 100'000));
  try {
    check_golden(room / "short.safetensors", DType::f64);
    FAIL() << "expected an error";
  } catch (const Error& e) {
    EXPECT_EQ(e.fault, Fault::input);
    EXPECT_THAT(e.what(), testing::HasSubstr("short.safetensors"));
  }
}

}  // namespace
}  // namespace tern
