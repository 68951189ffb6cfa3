// How a GPU's library divides attention's backward pass, and what it takes: shapes decide.
#include <gtest/gtest.h>

#include "core/dry/dry_backend.h"

namespace tern {
namespace {

class AttentionWorkspace : public testing::Test {
 protected:
  AttentionBackward backward(Index B, Index T, Index heads, Index d, DType dtype = DType::bf16) {
    const Tensor rows(dry_, {B, T, heads * d}, dtype), packed(dry_, {B, T, 3 * heads * d}, dtype);
    return {.dqkv = {packed}, .dout = rows, .out = rows, .qkv = packed, .heads = heads};
  }
  DeviceTraits h200_ = DeviceTraits::h200();
  DryBackend dry_{h200_};
};

TEST_F(AttentionWorkspace, PartsAreSequencesOrHeadsOfOne) {
  const auto parts = [&](Index B, Index T, Index heads) {
    const AttentionParts p = attention_parts(backward(B, T, heads, 64));
    return std::pair(p.sequences, p.heads);
  };
  using P = std::pair<Index, Index>;
  EXPECT_EQ(parts(1, 64, 1), P(1, 1));
  EXPECT_EQ(parts(32, 2048, 8), P(32, 8));  // 2048^2 x 2 B = 8 MiB a head, 256 of them at a time
  EXPECT_EQ(parts(33, 2048, 8), P(17, 8));  // equal parts
  EXPECT_EQ(parts(16, 2048, 20), P(8, 20));
  EXPECT_EQ(parts(2, 8192, 20), P(1, 10));  // 16 heads fit: equal parts of twenty
  EXPECT_EQ(parts(2, 16'384, 3), P(1, 3));
  EXPECT_EQ(parts(2, 32'768, 3), P(1, 1));
}

TEST_F(AttentionWorkspace, IsBoundedAndTheSameForMoreSequences) {
  const std::size_t one_part = workspace_bytes(backward(32, 2048, 8, 128), h200_);
  EXPECT_GE(one_part, std::size_t(256) * 2048 * 2048 * 2);
  EXPECT_LE(one_part, kAttentionSlopes + (std::size_t(8) << 20));
  EXPECT_EQ(workspace_bytes(backward(64, 2048, 8, 128), h200_), one_part);
}

TEST_F(AttentionWorkspace, PlainKernelsTakeSumsOfRows) {
  const std::size_t sums = 2 * 3 * 100 * sizeof(float);
  DeviceTraits plain = h200_;
  plain.attention_library = false;
  EXPECT_EQ(workspace_bytes(backward(2, 100, 3, 64), plain), sums);
  EXPECT_EQ(workspace_bytes(backward(2, 100, 3, 64, DType::f32), h200_), sums);
  EXPECT_EQ(workspace_bytes(backward(2, 100, 3, 63), h200_), sums);
  EXPECT_EQ(workspace_bytes(backward(2, 100, 3, 136), h200_), sums);
  EXPECT_EQ(workspace_bytes(backward(2, 63, 3, 64), h200_), std::size_t(2 * 3 * 63 * 4));
  EXPECT_EQ(workspace_bytes(backward(1, 32'769, 1, 64), h200_), std::size_t(32'769 * 4));
  EXPECT_EQ(workspace_bytes(backward(2, 100, 3, 64), DeviceTraits{}), 0u);
  AttentionBackward adds = backward(2, 100, 3, 64);
  EXPECT_GT(workspace_bytes(adds, h200_), sums);
  adds.dqkv.add = true;
  EXPECT_EQ(workspace_bytes(adds, h200_), sums);
}

TEST_F(AttentionWorkspace, FewQueriesShareTheirKeysAmongBlocks) {
  const auto splits = [&](Index B, Index heads, Index T, Index C) {
    const Index D = heads * 64;
    const Attention a{.out = Tensor(dry_, {B, T, D}, DType::bf16),
                      .earlier = Tensor(dry_, {B, C, 2 * D}, DType::bf16),
                      .seen = C,
                      .heads = heads};
    const Index count = key_splits(a, h200_);
    const std::size_t parts = count > 1 ? std::size_t(B * heads * T * count * 66 * 4) : 0;
    EXPECT_EQ(workspace_bytes(a, h200_), parts);
    EXPECT_EQ(workspace_bytes(a, DeviceTraits{}), 0u);
    return count;
  };
  EXPECT_EQ(splits(1, 8, 1, 2048), 16);    // of 128 keys
  EXPECT_EQ(splits(1, 8, 1, 65'536), 33);  // two blocks for each of 132 multiprocessors
  EXPECT_EQ(splits(1, 8, 1, 100), 1);
  EXPECT_EQ(splits(32, 8, 1, 2048), 1);
  EXPECT_EQ(splits(1, 8, 5, 4096), 6);
}

}  // namespace
}  // namespace tern
