// Element-wise ops and those along one axis.
#include "autograd/ops.h"
#include "tests/support/op_cases.h"

namespace tern {
namespace {

using Op1 = Var (*)(const Var&);
using Op2 = Var (*)(const Var&, const Var&);
using AlongAxis = Var (*)(const Var&, int);

OpCase unary_case(const char* name, Op1 f, const Shape& shape, double low, double high) {
  return {.name = name,
          .inputs = {{.name = "x", .shape = shape, .low = low, .high = high}},
          .apply = [f](auto in) { return Vars{f(in[0])}; }};
}

OpCase binary_case(const std::string& name, Op2 f, const Shape& a, const Shape& b) {
  return {.name = name,
          .inputs = {{.name = "a", .shape = a}, {.name = "b", .shape = b}},
          .apply = [f](auto in) { return Vars{f(in[0], in[1])}; }};
}

OpCase axis_case(const std::string& name, AlongAxis f, const Shape& shape, int axis) {
  return {.name = name, .inputs = {{.name = "x", .shape = shape}}, .apply = [f, axis](auto in) {
            return Vars{f(in[0], axis)};
          }};
}

void add_axis_cases(std::vector<OpCase>& to, const std::string& name, AlongAxis f) {
  to.push_back(axis_case(name + "_first", f, {3, 2, 5}, 0));
  to.push_back(axis_case(name + "_middle", f, {3, 4, 5}, 1));
  to.push_back(axis_case(name + "_last", f, {3, 2, 7}, 2));
  to.push_back(axis_case(name + "_negative", f, {3, 4, 5}, -2));
  to.push_back(axis_case(name + "_vector", f, {9}, -1));
  to.push_back(axis_case(name + "_of_one", f, {4, 1, 3}, 1));
  to.push_back(axis_case(name + "_many_lines", f, {130, 3, 67}, 1));
}

}  // namespace

std::vector<OpCase> element_cases() {
  std::vector<OpCase> cases{
      unary_case("exp", exp, {3, 5}, -2, 2),
      unary_case("sigmoid", sigmoid, {3, 5}, -4, 4),
      unary_case("silu", silu, {3, 5}, -4, 4),
      unary_case("reciprocal", reciprocal, {3, 5}, 0.5, 2),
      unary_case("silu_one_element", silu, {1}, -4, 4),
      unary_case("sigmoid_several_chunks", sigmoid, {33001}, -4, 4),
      {.name = "scale",
       .inputs = {{.name = "x", .shape = {2, 3, 2, 2}}},
       .apply = [](auto in) { return Vars{scale(in[0], -2.5)}; }},
  };
  const std::pair<const char*, Op2> binaries[] = {
      {"add", add}, {"subtract", subtract}, {"multiply", multiply}};
  for (const auto& [name, f] : binaries) {
    const std::string op = name;
    cases.push_back(binary_case(op, f, {4, 3}, {4, 3}));
    cases.push_back(binary_case(op + "_row", f, {4, 3}, {3}));
    cases.push_back(binary_case(op + "_matrix", f, {5, 2, 3}, {2, 3}));
    cases.push_back(binary_case(op + "_one_element", f, {4, 3}, {1}));
    cases.push_back(binary_case(op + "_one_by_one", f, {5}, {1, 1}));
    cases.push_back(binary_case(op + "_long_row", f, {37, 515}, {515}));
  }
  add_axis_cases(cases, "sum", sum);
  add_axis_cases(cases, "softmax", softmax);
  add_axis_cases(cases, "cumsum", cumsum);
  return cases;
}

}  // namespace tern
