// For examples worked on paper: tensors from lists, values and gradients as lists, in f64.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "autograd/tape.h"
#include "core/backend.h"
#include "core/cpu/cpu_backend.h"

namespace tern {

class ByHand : public testing::Test {
 protected:
  using Numbers = std::vector<double>;

  Tensor tensor(const Shape& shape, const Numbers& values) {
    const Tensor t(cpu_, shape, DType::f64);
    upload_real(t, values);
    return t;
  }
  // a value whose gradient is wanted
  Var input(const Shape& shape, const Numbers& values) {
    inputs_.push_back({.value = tensor(shape, values)});
    inputs_.back().grad.tensor = Tensor(cpu_, shape, DType::f64);
    const Var x = tape_.leaf(inputs_.back());
    by_slot_[x.slot] = &inputs_.back();
    return x;
  }
  // runs backward from y with dL/dy
  void backward(const Var& y, const Numbers& dy) {
    tape_.backward(std::vector{y}, std::vector{tensor(y.value.shape(), dy)});
  }
  void expect_gradient(const Var& x, const Numbers& want) {
    Parameter& p = *by_slot_.at(x.slot);
    p.grad.fill_unwritten();
    expect(download_real(p.grad.tensor), want);
  }
  std::vector<int> codes(const Tensor& t) {
    std::vector<std::int8_t> q(std::size_t(t.elements()), 0);
    cpu_.download(q.data(), t);
    return {q.begin(), q.end()};
  }
  static void expect(const Numbers& got, const Numbers& want) {
    EXPECT_THAT(got, testing::Pointwise(testing::DoubleNear(1e-14), want));
  }
  static void expect(const Var& got, const Numbers& want) {
    expect(download_real(got.value), want);
  }

  CpuBackend cpu_{1 << 20};
  std::deque<Parameter> inputs_{};
  std::map<int, Parameter*> by_slot_{};
  Tape tape_{};
};

}  // namespace tern
