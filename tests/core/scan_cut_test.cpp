// How the scan over time is divided on a device, by hand for the H200: 132 multiprocessors, 227 KB
// of shared memory to a block.
#include <gtest/gtest.h>

#include "core/dry/dry_backend.h"
#include "core/workspace.h"

namespace tern {
namespace {

class ScanCutTest : public testing::Test {
 protected:
  ScanCut cut(Index B, Index T, Index D, const ScanShape& shape = kScanForward) {
    return scan_cut(Tensor(dry_, {B, T, D}, DType::bf16), shape, device_);
  }
  DeviceTraits device_ = DeviceTraits::h200();
  DryBackend dry_{device_};
};

TEST_F(ScanCutTest, CountsChunksAndColumns) {
  const ScanCut forward = cut(3, 1000, 72);
  EXPECT_EQ(forward.columns, 6);  // 64 channels and 8, three times
  EXPECT_EQ(forward.chunks, 16);  // of 8 warps * 8 steps
  EXPECT_EQ(forward.blocks, 2);   // with 3 groups that take two turns each
  EXPECT_EQ(forward.groups, 3);
}

TEST_F(ScanCutTest, ManyColumnsAreWalkedByABlockToAMultiprocessorIfThatFillsThem) {
  const auto is = [&](Index B, Index T, Index D, Index groups, Index blocks) {
    const ScanCut got = cut(B, T, D);
    EXPECT_EQ(got.groups, groups) << B << ' ' << T << ' ' << D;
    EXPECT_EQ(got.blocks, blocks) << B << ' ' << T << ' ' << D;
  };
  is(32, 2048, 1024, 3, 1);  // 512 columns of 528 in four waves
  is(16, 2048, 2048, 3, 1);
  is(8, 2048, 2560, 1, 2);  // 320 of 396
  is(133, 2048, 64, 1, 2);  // 133 of 264
  is(237, 2048, 64, 1, 2);
  is(238, 2048, 64, 3, 1);  // nine tenths
  is(256, 704, 64, 1, 2);   // 11 chunks: less than four turns a group
  is(256, 768, 64, 3, 1);
  is(128, 256, 1024, 1, 2);
}

TEST_F(ScanCutTest, FewColumnsByClustersThatAreAllResident) {
  const auto blocks_of = [&](Index columns) { return cut(columns, 32768, 64).blocks; };
  EXPECT_EQ(blocks_of(132), 1);
  EXPECT_EQ(blocks_of(67), 1);
  EXPECT_EQ(blocks_of(66), 2);  // 132 blocks
  EXPECT_EQ(blocks_of(30), 2);
  EXPECT_EQ(blocks_of(29), 4);  // 116
  EXPECT_EQ(blocks_of(15), 4);
  EXPECT_EQ(blocks_of(14), 8);  // 112
  EXPECT_EQ(blocks_of(1), 8);
  EXPECT_EQ(cut(1, 32768, 1024).groups, 3);
  EXPECT_EQ(cut(1, 32768, 1024, kScanBackward).groups, 3);
  EXPECT_EQ(cut(1, 32768, 64, kScanBackward).groups, 2);  // with the links of 8, three do not fit
}

TEST_F(ScanCutTest, ADeviceWithoutClustersGetsBlocksAlone) {
  device_.clusters = false;
  EXPECT_EQ(cut(1, 32768, 1024).blocks, 1);
  EXPECT_EQ(cut(1, 32768, 1024).groups, 3);
  EXPECT_EQ(cut(16, 2048, 1024).blocks, 1);
  EXPECT_EQ(cut(16, 2048, 1024).groups, 2);
  device_.shared_bytes = 99 << 10;  // sm_89
  EXPECT_EQ(cut(1, 32768, 1024).groups, 2);
}

TEST_F(ScanCutTest, EveryGroupHasTwoTurnsAndFits) {
  for (const ScanShape& shape : {kScanForward, kScanBackward})
    for (const Index D : {1, 64, 300, 1024, 2560})
      for (const Index B : {1, 2, 7, 33})
        for (const Index T : {1, 48, 64, 65, 200, 700, 2048, 32768}) {
          const ScanCut c = cut(B, T, D, shape);
          const Index workers = c.groups * c.blocks;
          EXPECT_TRUE(workers == 1 || 2 * workers <= c.chunks) << B << ' ' << T << ' ' << D;
          EXPECT_LE(scan_shared_bytes(shape, c.groups, c.blocks), device_.shared_bytes);
        }
}

TEST_F(ScanCutTest, SharedMemoryByHand) {
  // 2 stages of 2 tensors * 64 steps * 64 channels in bf16; 8 warps' links; a barrier; states
  EXPECT_EQ(scan_shared_bytes(kScanForward, 1, 1), 2 * 2 * 64 * 64 * 2 + 8 * 64 * 8 + 8 + 64 * 4);
  // and two places for the links of four blocks, with their barriers
  EXPECT_EQ(scan_shared_bytes(kScanForward, 1, 4) - scan_shared_bytes(kScanForward, 1, 1),
            2 * (4 * 64 * 8 + 8));
}

TEST_F(ScanCutTest, TheBoundsGradientHasAPartForEachBlock) {
  const auto tensor = [&](const Shape& shape) { return Tensor(dry_, shape, DType::f32); };
  MlgruBackward a{.h = Tensor(dry_, {1, 32768, 1024}, DType::bf16)};
  EXPECT_EQ(workspace_bytes(a, device_), 0u);
  a.dbound = {tensor({1024})};
  EXPECT_EQ(workspace_bytes(a, device_), 4u * 1024 * sizeof(float));
}

}  // namespace
}  // namespace tern
