// Who owns what, and what owners send of their matrices.
#include "core/ownership.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/cpu/cpu_backend.h"
#include "core/parameter_pack.h"
#include "tests/support/complaint.h"

namespace tern {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

auto range(Index first, Index count) {
  return testing::AllOf(testing::Field(&Range::first, first), testing::Field(&Range::count, count));
}

TEST(Ownership, TheLargestMatrixToWhoeverHasLeast) {
  const Index sizes[] = {10, 40, 10, 30, 10};
  EXPECT_THAT(owners_of_matrices(sizes, 2), ElementsAre(1, 0, 0, 1, 1));  // 50 and 50
  EXPECT_THAT(owners_of_matrices(sizes, 1), ElementsAre(0, 0, 0, 0, 0));
  const Index equal[] = {5, 5, 5};
  EXPECT_THAT(owners_of_matrices(equal, 3), ElementsAre(0, 1, 2));
}

TEST(Ownership, PartsDifferByOneAtMost) {
  EXPECT_THAT(even_part(7, {0, 3}), range(0, 2));
  EXPECT_THAT(even_part(7, {1, 3}), range(2, 2));
  EXPECT_THAT(even_part(7, {2, 3}), range(4, 3));
}

TEST(Ownership, RowsInWholeGroupsOf64Elements) {
  EXPECT_THAT(divide_rows(320, 16, 3),
              ElementsAre(range(0, 104), range(104, 108), range(212, 108)));
  EXPECT_THAT(divide_rows(10, 64, 4),
              ElementsAre(range(0, 2), range(2, 3), range(5, 2), range(7, 3)));
  EXPECT_THAT(divide_rows(3, 1, 2), ElementsAre(range(0, 0), range(0, 3)));  // less than a group
}

// Two matrices of one size, a table and a vector, as one of two ranks holds them.
class OwnedPack : public testing::Test {
 protected:
  OwnedPack() {
    for (Parameter* p : {&first_, &second_}) {
      p->shape = {8, 32}, p->alignment = kSumPiece;
      p->weight_decay = p->ternary = true, p->sharding = Sharding::whole;
    }
    table_.shape = {8, 16}, table_.sharding = Sharding::rows;
    vector_.shape = {10};
    first_.name = "first", second_.name = "second", table_.name = "table", vector_.name = "vector";
  }
  ParameterPack pack(Shard shard, std::vector<Parameter*> of) {
    return ParameterPack(cpu_, std::move(of), {.shard = shard});
  }
  std::vector<Parameter*> all() { return {&vector_, &first_, &table_, &second_}; }
  CpuBackend cpu_{1 << 20};
  Parameter first_, second_, table_, vector_;
};

TEST_F(OwnedPack, HoldsItsOwnAndWhatIsShared) {
  const Index piece = kSumPiece;
  const ParameterPack p = pack({1, 2}, all());
  EXPECT_EQ(p.gradients().elements(), 2 * piece + 128 + 64);
  EXPECT_EQ(p.values().elements(), piece + 64 + 64);  // a matrix, half the table, the vector
  EXPECT_THAT(p.matrices_of_ranks(), ElementsAre(range(0, piece), range(piece, piece)));
  EXPECT_THAT(p.rows_of_ranks(), ElementsAre(range(2 * piece, 64), range(2 * piece + 64, 64)));
  EXPECT_THAT(p.shared(), range(2 * piece + 128, 64));
  ASSERT_EQ(p.local_rows().size(), 3u);
  EXPECT_EQ(p.local_rows()[0].parameter, &second_);
  EXPECT_EQ(p.local_rows()[1].parameter, &table_);
  EXPECT_EQ(p.local_rows()[1].first_row, 4);
  EXPECT_EQ(p.local_rows()[2].parameter, &vector_);
  EXPECT_FALSE(first_.value);
  EXPECT_EQ(table_.value.shape(), Shape({8, 16}));  // the copy of all rows
  EXPECT_THAT(complaint([&] { p.view(p.values(), first_); }), HasSubstr("first: its 256 elements"));
}

TEST_F(OwnedPack, AloneEverythingIsHeld) {
  const ParameterPack p = pack({}, all());
  EXPECT_EQ(p.values().elements(), p.gradients().elements());
  EXPECT_EQ(p.segments().size(), 2u);  // what decays, and what does not
}

TEST_F(OwnedPack, ARankMayOwnNoMatrix) {
  ParameterPack p = pack({2, 3}, all());
  EXPECT_THAT(p.matrices_of_ranks()[2], range(0, 0));
  EXPECT_EQ(p.local_rows()[0].parameter, &table_);
  p.quantize(true);
  EXPECT_EQ(p.codes().elements(), p.ternary_elements());  // the others' are seen all the same
}

TEST(PackedTernary, FourCodesAByteAndBack) {
  CpuBackend cpu(1 << 16);
  std::vector<std::int8_t> codes(32);
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = std::int8_t(int(i * 7 % 3) - 1);
  codes[0] = 0, codes[1] = 1, codes[2] = -1, codes[3] = 1;
  const Tensor t(cpu, {32}, DType::i8), packed(cpu, {8}, DType::i8), back(cpu, {32}, DType::i8);
  cpu.upload(t, codes.data());
  cpu.run(PackTernary{.packed = packed, .t = t});
  EXPECT_EQ(std::uint8_t(packed.data<std::int8_t>()[0]), 0b01'11'01'00);
  cpu.run(UnpackTernary{.t = back, .packed = packed});
  EXPECT_TRUE(std::equal(codes.begin(), codes.end(), back.data<std::int8_t>()));
}

}  // namespace
}  // namespace tern
