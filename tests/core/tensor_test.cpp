#include "core/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/backend.h"
#include "core/cpu/cpu_backend.h"
#include "core/dry/dry_backend.h"
#include "core/parameter_pack.h"
#include "tests/support/complaint.h"

namespace tern {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

class TensorTest : public testing::Test {
 protected:
  Tensor counted(const Shape& shape, DType dtype = DType::f64) {
    const Tensor t(cpu_, shape, dtype);
    std::vector<double> v(std::size_t(t.elements()), 0);
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = double(i);
    upload_real(t, v);
    return t;
  }
  CpuBackend cpu_{1 << 20};
};

TEST_F(TensorTest, ViewsShareTheMemoryOfTheirSource) {
  const Tensor t = counted({4, 3}), rows = t.slice(1, 2), flat = rows.reshape({6});
  EXPECT_EQ(rows.shape(), (Shape{2, 3}));
  EXPECT_THAT(download_real(rows), ElementsAre(3, 4, 5, 6, 7, 8));
  EXPECT_THAT(download_real(flat.slice(2, 2).reshape({1, 2, 1})), ElementsAre(5, 6));
  cpu_.fill(flat.slice(0, 1), 42);
  EXPECT_EQ(download_real(t)[3], 42);
  EXPECT_THAT(download_real(t.slice(4, 0)), ElementsAre());
}

TEST_F(TensorTest, MemoryGoesBackWithTheLastView) {
  Tensor view;
  {
    const Tensor t = counted({1000});
    view = t.slice(10, 1);
    EXPECT_EQ(cpu_.pool().used(), 8192u);
  }
  EXPECT_EQ(cpu_.pool().used(), 8192u);
  EXPECT_EQ(download_real(view)[0], 10);
  view = {};
  EXPECT_EQ(cpu_.pool().used(), 0u);
}

TEST_F(TensorTest, ABackendWithoutRoomLeavesNothingBehind) {
  EXPECT_THAT(complaint([&] {
                Tensor(cpu_, {1 << 20, 1 << 10}, DType::f64);
              }),
              HasSubstr("out of memory: requested 8589934592 B"));
  EXPECT_EQ(cpu_.pool().used(), 0u);
}

TEST_F(TensorTest, PointersAreTyped) {
  const Tensor t = counted({2}, DType::f32);
  EXPECT_EQ(t.data<float>()[1], 1.0f);
  EXPECT_THAT(complaint([&] { t.data<double>(); }),
              HasSubstr("[Tensor] asked for f64, tensor is (2) f32"));
  EXPECT_THAT(complaint([&] { Tensor().raw(); }), HasSubstr("expected a tensor, got nothing"));
  EXPECT_THAT(complaint([&] { Tensor().backend(); }), HasSubstr("expected a tensor, got nothing"));
}

TEST_F(TensorTest, ShapesHaveUpToFourDimensions) {
  EXPECT_EQ((Shape{2, 3, 4, 5}.elements()), 120);
  EXPECT_EQ((Shape{2, 3, 4, 5}.product(1, 3)), 12);
  EXPECT_EQ(Shape{}.elements(), 1);
  EXPECT_THAT(complaint([] { Shape{1, 1, 1, 1, 1}; }), HasSubstr("expected rank <= 4"));
  EXPECT_THAT(complaint([] { Shape{2, -1}; }), HasSubstr("expected dimensions >= 0, got -1"));
  EXPECT_THAT(complaint([&] { dims<2>(counted({3}), "[op] x"); }),
              HasSubstr("[op] x: expected rank 2, got (3) f64"));
  EXPECT_THAT(complaint([] { dims<2>({}, "[op] x"); }), HasSubstr("rank 2, got nothing"));
}

TEST_F(TensorTest, HostValuesTakeTheTensorsPrecision) {
  const Tensor t(cpu_, {2}, DType::f32);
  upload_real(t, {0.1, 1e-50});
  EXPECT_THAT(download_real(t), ElementsAre(double(0.1f), 0));
  EXPECT_THAT(complaint([&] {
                upload_real(t, {1, 2, 3});
              }),
              HasSubstr("expected 3 real elements, got (2) f32"));
  EXPECT_THAT(complaint([&] {
                upload_ids(cpu_, {3}, {1, 2});
              }),
              HasSubstr("expected 3 ids, got 2"));
}

TEST_F(TensorTest, CopyAndFillOfEveryType) {
  for (const DType dtype : {DType::f64, DType::f32, DType::i32, DType::i8}) {
    const Tensor a(cpu_, {3}, dtype), b(cpu_, {3}, dtype);
    cpu_.fill(a, -2), cpu_.copy(b, a);
    std::vector<std::byte> x(a.bytes()), y(a.bytes());
    cpu_.download(x.data(), a), cpu_.download(y.data(), b);
    EXPECT_EQ(x, y);
    EXPECT_NE(x[0] | x[a.bytes() - 1], std::byte{0});
  }
  EXPECT_THAT(complaint([&] { cpu_.copy(counted({2}), counted({3})); }),
              HasSubstr("[copy] expected equal sizes, got (2) f64 and (3) f64"));
}

TEST(GradBuffer, FirstWriterOverwritesLaterOnesAdd) {
  CpuBackend cpu(1 << 16);
  GradBuffer g{.tensor = Tensor(cpu, {10}, DType::f64)};
  cpu.fill(g.tensor, 7);
  EXPECT_FALSE(g.claim(2, 4));
  EXPECT_FALSE(g.claim(6, 8));
  EXPECT_THAT(g.written, ElementsAre(std::pair(2, 4), std::pair(6, 8)));
  EXPECT_THAT(download_real(g.tensor), Each(7));  // claiming alone costs no pass over memory
  EXPECT_TRUE(g.claim(3, 9));                     // its gaps are zeroed, written parts stay
  EXPECT_THAT(g.written, ElementsAre(std::pair(2, 9)));
  EXPECT_THAT(download_real(g.tensor), ElementsAre(7, 7, 7, 7, 0, 0, 7, 7, 0, 7));
  EXPECT_FALSE(g.claim(0, 2));  // next to a written part, not in it
  EXPECT_THAT(g.written, ElementsAre(std::pair(0, 9)));
  g.fill_unwritten();
  EXPECT_EQ(download_real(g.tensor)[9], 0);
  EXPECT_TRUE(g.claim(9, 10));
}

TEST(Tensor, BorrowsMemoryAndKeepsItsOwner) {
  CpuBackend cpu(1 << 16);
  auto values = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3, 4, 5, 6});
  const std::weak_ptr<void> alive = values;
  {
    const Tensor t = Tensor::borrow(cpu, {3, 2}, DType::f32, values->data(), values);
    values.reset();
    const Tensor row = t.slice(1, 1);
    EXPECT_THAT(download_real(row), ElementsAre(3, 4));
    EXPECT_EQ(cpu.pool().used(), 0u);
    EXPECT_FALSE(alive.expired());
  }
  EXPECT_TRUE(alive.expired());
}

struct PackTest : testing::Test {
  PackTest() {
    shape(norm, "norm", {65}, false), shape(w, "w", {3, 5}, true), shape(b, "b", {64}, false),
        shape(v, "v", {2, 100}, true);
  }
  static void shape(Parameter& p, const char* name, Shape s, bool matrix) {
    p.name = name, p.shape = s;
    if (matrix) p.sharding = Sharding::whole, p.alignment = kSumPiece;
  }
  CpuBackend cpu{1 << 20};
  Parameter norm, w, b, v;
};

TEST_F(PackTest, MatricesComeFirstEachAtItsAlignment) {
  ParameterPack pack(cpu, {&norm, &w, &b, &v});
  EXPECT_THAT(pack.parameters(), ElementsAre(&w, &v, &norm, &b));
  EXPECT_EQ(pack.values().shape(), (Shape{8192 + 128 + 64}));
  const auto at = [&](const Tensor& t, const Tensor& flat) {
    return t.data<float>() - flat.data<float>();
  };
  EXPECT_EQ(at(w.value, pack.values()), 0);
  EXPECT_EQ(at(v.value, pack.values()), 4096);
  EXPECT_EQ(at(norm.value, pack.values()), 8192);
  EXPECT_EQ(at(b.value, pack.values()), 8192 + 128);
  EXPECT_EQ(at(b.grad.tensor, pack.gradients()), 8192 + 128);
  EXPECT_EQ(v.value.shape(), (Shape{2, 100}));
  EXPECT_THAT(download_real(pack.values()), Each(0));
}

TEST_F(PackTest, ViewsSeeOtherBuffersLikeTheirParameter) {
  ParameterPack pack(cpu, {&norm, &w, &b, &v}, {.dtype = DType::f64});
  const Tensor moment(cpu, pack.values().shape(), DType::f64);
  EXPECT_EQ(pack.view(moment, norm).data<double>(), moment.data<double>() + 8192);
  Parameter stranger{.name = "stranger"};
  EXPECT_THAT(complaint([&] { pack.view(moment, stranger); }),
              HasSubstr("[ParameterPack] stranger is not in this pack"));
}

TEST_F(PackTest, GradientsThatNobodyWroteAreZeroAndThePaddingStaysZero) {
  ParameterPack pack(cpu, {&norm, &w, &b, &v}, {.dtype = DType::f64});
  for (int step = 0; step < 2; ++step) {
    pack.begin_step();
    EXPECT_FALSE(w.grad.claim(0, 15));
    cpu.fill(w.grad.tensor, 3);
    if (step == 0) norm.grad.claim(0, 65), cpu.fill(norm.grad.tensor, 5);
    pack.finish_gradients();
    std::vector<double> want(8192 + 192, 0);
    std::fill_n(want.begin(), 15, 3);
    if (step == 0) std::fill_n(want.begin() + 8192, 65, 5);
    EXPECT_EQ(download_real(pack.gradients()), want) << step;
  }
}

}  // namespace
}  // namespace tern
