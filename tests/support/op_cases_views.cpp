// Views, joins and look-ups: ops that move elements.
#include "autograd/ops.h"
#include "core/backend.h"
#include "tests/support/op_cases.h"

namespace tern {
namespace {

const OpInput kX{.name = "x", .shape = {5, 3}}, kZ{.name = "z", .shape = {2, 3}};

std::vector<OpCase> slices() {
  return {
      {.name = "slice",
       .inputs = {kX},
       .apply = [](auto in) { return Vars{silu(slice(in[0], 1, 3))}; }},
      {.name = "slice_of_slice",
       .inputs = {kX},
       .apply = [](auto in) { return Vars{silu(slice(slice(in[0], 1, 4), 2, 1))}; }},
      {.name = "slices_that_overlap",
       .inputs = {kX},
       .apply =
           [](auto in) {
             return Vars{silu(slice(in[0], 0, 3)), exp(slice(in[0], 2, 3)), slice(in[0], 1, 1)};
           },
       .adds_up = true},
      {.name = "neighbours_of_a_vector",  // overlapping views as two inputs of one op
       .inputs = {{.name = "x", .shape = {9}}},
       .apply = [](auto in) { return Vars{multiply(slice(in[0], 0, 8), slice(in[0], 1, 8))}; },
       .adds_up = true},
      {.name = "reshape",
       .inputs = {kX},
       .apply =
           [](auto in) {
             return Vars{softmax(reshape(in[0], {3, 5}), 0)};
           }},
      {.name = "slice_of_reshape",
       .inputs = {kX},
       .apply = [](auto in) { return Vars{exp(slice(reshape(in[0], {15}), 4, 7))}; }},
      {.name = "view_of_an_intermediate",
       .inputs = {kX},
       .apply =
           [](auto in) {
             const Var y = silu(in[0]);
             return Vars{exp(slice(y, 0, 2)), slice(y, 4, 1)};  // rows 2 and 3 have no gradient
           }},
  };
}

std::vector<OpCase> joins() {
  return {
      {.name = "concatenate",
       .inputs = {kX, kZ},
       .apply =
           [](auto in) {
             return Vars{silu(concatenate({in[0], in[1], in[0]}))};
           },
       .adds_up = true},
      {.name = "concatenate_one",
       .inputs = {kZ},
       .apply = [](auto in) { return Vars{concatenate({in[0]})}; }},
      {.name = "concatenate_vectors",
       .inputs = {{.name = "a", .shape = {4}}, {.name = "b", .shape = {1}}},
       .apply =
           [](auto in) {
             return Vars{concatenate({in[1], in[0]})};
           }},
  };
}

std::vector<OpCase> look_ups() {
  return {
      embedding_case(7, 5, 3),
      embedding_case(40, 4, 67),
      {.name = "embedding_of_a_batch",
       .inputs = {{.name = "table", .shape = {4, 3}}},
       .apply =
           [](auto in) {
             return Vars{embedding(in[0], upload_ids(in[0].value.backend(), {2, 2}, {3, 0, 3, 3}))};
           }},
  };
}

}  // namespace

OpCase embedding_case(Index N, Index V, Index D) {
  std::vector<std::int32_t> ids;
  for (Index n = 0; n < N; ++n) ids.push_back(std::int32_t(n * n % V));  // repeats; some unused
  return {.name = "embedding_" + std::to_string(N) + "_of_" + std::to_string(V),
          .inputs = {{.name = "table", .shape = {V, D}}},
          .apply = [ids, N](auto in) {
            return Vars{embedding(in[0], upload_ids(in[0].value.backend(), {N}, ids))};
          }};
}

std::vector<OpCase> view_cases() {
  std::vector<OpCase> all;
  for (const auto& cases : {slices(), joins(), look_ups()})
    all.insert(all.end(), cases.begin(), cases.end());
  return all;
}

}  // namespace tern
