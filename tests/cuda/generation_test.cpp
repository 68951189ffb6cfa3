// A text read in parts on the GPU: the state of every family carries all that came before.
#include <gtest/gtest.h>

#include "core/parameter_pack.h"
#include "core/rng.h"
#include "layers/model.h"
#include "tests/cuda/gpu.h"

namespace tern {
namespace {

constexpr Index kBatch = 2, kSteps = 150, kVocabulary = 251;

using CudaGeneration = GpuTest;

struct Form {
  std::string type;
  Quantize quantize = Quantize::none;
  AttentionKind attention = AttentionKind::dense;
  double tolerance = 1e-5;  // dense: orders of sums; where activations are rounded a code may flip
};

// The parts cross the capacity of a Transformer's first cache, and of the next.
TEST_F(CudaGeneration, ASequenceInPartsGivesTheLogitsOfTheWhole) {
  CudaBackend& on = gpu(std::size_t(256) << 20);
  for (const Form& form :
       {Form{"transformer"}, Form{"transformer", Quantize::ternary, AttentionKind::dense, 0.05},
        Form{"transformer", Quantize::ternary, AttentionKind::ternary, 0.1}, Form{"matmulfree"},
        Form{"matmulfree", Quantize::ternary, AttentionKind::dense, 0.05}}) {
    SCOPED_TRACE(form.type + " " + std::to_string(int(form.quantize)) +
                 std::to_string(int(form.attention)));
    Model model({.type = form.type,
                 .vocab_size = kVocabulary,
                 .width = 64,
                 .layers = 2,
                 .attention = form.attention,
                 .quantize = form.quantize},
                {});
    ParameterPack pack(on, model.parameters(), {});
    pack.initialize(3);
    const Rng rng(5, stream_of("text"));
    std::vector<std::int32_t> ids;
    for (Index i = 0; i < kBatch * kSteps; ++i)
      ids.push_back(std::int32_t(rng.uniform(std::uint64_t(i)) * kVocabulary));
    const auto logits = [&](const std::vector<std::int32_t>& of, Index steps, ModelState* state) {
      return download_real(model.logits({}, upload_ids(on, {kBatch, steps}, of), state));
    };
    const std::vector<double> whole = logits(ids, kSteps, nullptr);
    std::vector<double> joined(whole.size());
    ModelState state = model.new_state(kBatch);
    Index from = 0;
    for (const Index to : {3, 4, 64, 65, 140, 150}) {
      std::vector<std::int32_t> part;
      for (Index b = 0; b < kBatch; ++b)
        part.insert(part.end(), &ids[b * kSteps + from], &ids[b * kSteps] + to);
      const std::vector<double> got = logits(part, to - from, &state);
      const Index row = (to - from) * kVocabulary;
      for (Index b = 0; b < kBatch; ++b)
        std::copy_n(&got[b * row], row, &joined[(b * kSteps + from) * kVocabulary]);
      from = to;
    }
    EXPECT_LE(distance(joined, whole), form.tolerance);
    EXPECT_GT(distance(logits(ids, kSteps, &state), whole), 10 * 1e-5);  // the state counts
  }
}

}  // namespace
}  // namespace tern
