// Log-likelihoods of continuations after their contexts. A context that several requests share is
// read once, and each continuation goes on from a copy of its state.
#pragma once

#include "layers/model.h"

namespace tern {

struct LikelihoodRequest {
  std::vector<std::int32_t> context{}, continuation{};  // ids, at least one each
};

struct Likelihood {
  double log_likelihood = 0;  // natural log of the continuation's probability, summed in f64
  bool greedy = false;        // every token is the likeliest, of equals the one with the lowest id
};

class LikelihoodScorer {
 public:
  // tokens: computed at once, of contexts or of continuations; a longer one is computed alone
  LikelihoodScorer(std::vector<LikelihoodRequest> requests, Index tokens);

  // The largest and every other shape of batch, once: what run() needs of memory.
  void rehearse(Model& model) const;

  // In the order of the requests. progress: the share that is done, after each batch.
  // Fault::diverged if a log-likelihood is not finite.
  std::vector<Likelihood> run(Model& model,
                              const std::function<void(double share)>& progress) const;

 private:
  // Continuations of about the same length, padded on the right: what comes later changes nothing.
  struct Group {
    std::vector<std::size_t> requests{};
    std::vector<Index> contexts{};  // of each: which sequence of the batch
    Index steps = 0;                // of the longest
    Index tokens() const { return steps * Index(requests.size()); }
  };
  // Different contexts of equal length: a recurrent state takes no padding on the left.
  struct Batch {
    std::vector<std::size_t> firsts{};  // of each context: a request that has it
    Index steps = 0;                    // of the contexts, but for their last ids
    std::vector<Group> groups{};
    std::vector<Index> shape() const;
    // all but the last id of each context
    ModelState read_contexts(Model& model, const std::vector<LikelihoodRequest>& requests) const;
  };

  Batch next_batch(std::span<const std::size_t>& order) const;
  void add_groups(Batch& batch, std::vector<std::pair<std::size_t, Index>> members) const;
  void score(Model& model, const Batch& batch, std::span<Likelihood> out) const;
  void score(Model& model, const Group& group, const ModelState& contexts,
             std::span<Likelihood> out) const;

  const std::vector<LikelihoodRequest> requests_;
  const Index tokens_;
  std::vector<Batch> batches_{};  // the longest contexts first
};

}  // namespace tern
