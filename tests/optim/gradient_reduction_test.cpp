// Which buckets go to the other ranks, and when.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "core/cpu/cpu_backend.h"
#include "optim/rank_exchange.h"
#include "tests/support/complaint.h"

namespace tern {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

// Remembers what it is asked to add up, and what has been waited for.
class Recorder final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 2; }
  Pending all_reduce(const Tensor& t, Op) override {
    sent.emplace_back(t.data<double>() - start, t.elements());
    return Pending([this] { ++waited; });
  }
  Pending reduce(std::span<const Owned> parts, Op) override {
    calls.emplace_back();
    for (const auto& [t, owner] : parts)
      calls.back().push_back({t.data<double>() - start, t.elements(), owner});
    return Pending([this] { ++waited; });
  }
  Pending broadcast(std::span<const Owned>) override { return {}; }
  void abort() noexcept override {}

  const double* start = nullptr;
  std::vector<std::pair<Index, Index>> sent{};             // first element, elements
  std::vector<std::vector<std::array<Index, 3>>> calls{};  // first, elements, owner of each part
  int waited = 0;
};

class Reduction : public testing::Test {
 protected:
  Reduction() {
    for (int i = 0; i < 4; ++i) parameters_[i].name = "p" + std::to_string(i);
    for (Parameter& p : parameters_) p.shape = {60};  // 64 elements each, with the padding
    pack_ = std::make_unique<ParameterPack>(
        cpu_, std::vector{&parameters_[0], &parameters_[1], &parameters_[2], &parameters_[3]},
        PackOptions{.dtype = DType::f64});
    ranks_.start = pack_->gradients().data<double>();
  }
  void ready(GradientReduction& r, std::initializer_list<int> order) {
    for (const int i : order) r.ready(parameters_[i]);
  }
  CpuBackend cpu_{1 << 20};
  Parameter parameters_[4];
  std::unique_ptr<ParameterPack> pack_;
  Recorder ranks_;
};

constexpr std::size_t kTwo = 2 * 64 * sizeof(double);

TEST_F(Reduction, ABucketLeavesAsSoonAsItIsLargeEnough) {
  GradientReduction r(*pack_, ranks_, kTwo);
  ready(r, {3});
  EXPECT_THAT(ranks_.sent, IsEmpty());
  ready(r, {2});
  EXPECT_THAT(ranks_.sent, ElementsAre(Pair(128, 128)));
  ready(r, {1, 0});
  EXPECT_THAT(ranks_.sent, ElementsAre(Pair(128, 128), Pair(0, 128)));
  EXPECT_EQ(ranks_.waited, 0);
  r.finish();
  EXPECT_EQ(ranks_.sent.size(), 2u);
  EXPECT_EQ(ranks_.waited, 2);
}

TEST_F(Reduction, WhatIsLeftGoesAtTheEnd) {
  GradientReduction r(*pack_, ranks_, kTwo);
  ready(r, {0, 2, 1});  // 0 and 2 lie apart until 1 joins them
  EXPECT_THAT(ranks_.sent, ElementsAre(Pair(0, 192)));
  r.finish();
  EXPECT_THAT(ranks_.sent, ElementsAre(Pair(0, 192), Pair(192, 64)));
  EXPECT_EQ(ranks_.waited, 2);
  ready(r, {3, 2});  // the next step
  EXPECT_EQ(ranks_.sent.size(), 3u);
}

TEST_F(Reduction, WhatLiesBeforeABucketGoesToo) {
  GradientReduction r(*pack_, ranks_, kTwo);
  ready(r, {3, 2, 0});
  r.finish();
  EXPECT_THAT(ranks_.sent, ElementsAre(Pair(128, 128), Pair(0, 128)));
}

TEST_F(Reduction, EverythingOnceThoughNothingWasReady) {
  GradientReduction r(*pack_, ranks_, kTwo);
  r.finish();
  EXPECT_THAT(ranks_.sent, ElementsAre(Pair(0, 256)));
}

TEST_F(Reduction, AGradientIsCompleteOnce) {
  GradientReduction r(*pack_, ranks_, kTwo);
  ready(r, {3});
  EXPECT_THAT(complaint([&] { ready(r, {3}); }), HasSubstr("p3: complete for the second time"));
  ready(r, {2});
  EXPECT_THAT(complaint([&] { ready(r, {2}); }), HasSubstr("p2: complete for the second time"));
}

// Four matrices of a piece each, two owners: 0 has the first and the third, which lie together.
class ReductionToOwners : public testing::Test {
 protected:
  using Parts = std::vector<std::array<Index, 3>>;
  ReductionToOwners() {
    for (int i = 0; i < 4; ++i) matrices_[i].name = "m" + std::to_string(i);
    for (Parameter& p : matrices_) {
      p.shape = {1, kPiece}, p.ternary = true, p.sharding = Sharding::whole;
      p.alignment = kSumPiece;
    }
    vector_.shape = {64};
    pack_ = std::make_unique<ParameterPack>(
        cpu_, std::vector{&matrices_[0], &matrices_[1], &matrices_[2], &matrices_[3], &vector_},
        PackOptions{.dtype = DType::f64, .shard = {0, 2}});
    ranks_.start = pack_->gradients().data<double>();
  }
  static constexpr Index kPiece = kSumPiece;
  CpuBackend cpu_{1 << 24};
  Parameter matrices_[4], vector_;
  std::unique_ptr<ParameterPack> pack_;
  Recorder ranks_;
};

TEST_F(ReductionToOwners, ABucketHasPartsOfAllOwners) {
  GradientReduction r(*pack_, ranks_, 2 * kPiece * sizeof(double));
  r.ready(vector_);
  r.ready(matrices_[3]);
  EXPECT_THAT(ranks_.calls, IsEmpty());
  r.ready(matrices_[2]);
  EXPECT_THAT(ranks_.calls, ElementsAre(Parts{{kPiece, kPiece, 0}, {3 * kPiece, kPiece, 1}}));
  r.ready(matrices_[1]);
  r.finish();
  EXPECT_THAT(ranks_.calls.back(), ElementsAre(std::array{Index(0), kPiece, Index(0)},
                                               std::array{2 * kPiece, kPiece, Index(1)}));
  EXPECT_THAT(ranks_.sent, ElementsAre(Pair(4 * kPiece, 64)));  // what all hold: for all
  EXPECT_EQ(ranks_.waited, 3);
}

}  // namespace
}  // namespace tern
