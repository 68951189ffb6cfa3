#include "tests/support/npy.h"

#include <gtest/gtest.h>

#include "apps/trace/trace.h"
#include "core/check.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

template <class T>
NpyArray round_trip(const Shape& shape, const std::vector<T>& values) {
  const TemporaryDirectory d;
  write_npy(d / "a.npy", dtype_of<T>, shape, std::as_bytes(std::span(values)));
  const NpyArray a = read_npy(d / "a.npy");
  EXPECT_EQ(a.values<T>(), values);
  return a;
}

TEST(Npy, ArraysOfEveryTypeAndRankComeBack) {
  EXPECT_EQ(round_trip<double>({2, 3}, {1, -2, 0.5, 1e300, -0.0, 3}).descr, "<f8");
  EXPECT_EQ(round_trip<float>({3}, {1, 2, 3.5f}).descr, "<f4");
  EXPECT_EQ(round_trip<std::int32_t>({1, 2, 1, 2}, {1, -1, 1 << 30, 7}).descr, "<i4");
  EXPECT_EQ(round_trip<std::int8_t>({4}, {-128, 127, 0, -1}).descr, "|i1");
  EXPECT_EQ(round_trip<double>({}, {4}).shape, std::vector<std::int64_t>{});
  EXPECT_EQ(round_trip<float>({0, 5}, {}).shape, (std::vector<std::int64_t>{0, 5}));
}

// The bytes that numpy.save writes for an int8 array of shape (3,).
TEST(Npy, BytesAreThoseOfNumPy) {
  const TemporaryDirectory d;
  const std::vector<std::int8_t> values = {1, 0, -1};
  write_npy(d / "a.npy", DType::i8, {3}, std::as_bytes(std::span(values)));
  std::string expected("\x93NUMPY\x01\x00\x76\x00", 10);
  expected += "{'descr': '|i1', 'fortran_order': False, 'shape': (3,), }";
  expected.resize(127, ' ');
  expected += "\n";
  expected += std::string("\x01\x00\xff", 3);
  EXPECT_EQ(read_text(d / "a.npy"), expected);
}

TEST(Npy, RefusesBytesOfAnotherSizeAndFilesThatExist) {
  const TemporaryDirectory d;
  const std::vector<float> values(6);
  const auto bytes = std::as_bytes(std::span(values));
  EXPECT_THROW(write_npy(d / "a.npy", DType::f32, {7}, bytes), Error);
  write_npy(d / "a.npy", DType::f32, {6}, bytes);
  EXPECT_THROW(write_npy(d / "a.npy", DType::f32, {6}, bytes), Error);
}

}  // namespace
}  // namespace tern
