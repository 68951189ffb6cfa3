#pragma once

#include "core/decode_step.h"
#include "core/rng.h"
#include "layers/model.h"

namespace tern {

struct Sampling {
  double temperature = 1;  // 0: always the most likely token
  std::int64_t top_k = 0;  // only the k most likely; 0: all
  double top_p = 1;        // only the most likely whose probabilities sum to p; at least one
  std::uint64_t seed = 0;
};

// Sequences that go on together, token by token, each drawn on the device. Where the device has a
// DecodeStep for this model and number of sequences, all of a token is computed at once, and, if it
// is asynchronous, the next one while the host looks at the last.
class Decoding {
 public:
  // state: of B sequences. Both must outlive this. Others may change the state's values after
  // settle(), but put other tensors there only if the device has no DecodeStep.
  Decoding(Model& model, ModelState& state, const Sampling& sampling);
  ~Decoding() { settle(); }
  Decoding(const Decoding&) = delete;
  Decoding& operator=(const Decoding&) = delete;

  // Reads a token of each sequence (B) and draws what follows it, with the random numbers of draw
  // number `drawn`. Fault::diverged for a logit that is not finite.
  std::vector<std::int32_t> next(std::span<const std::int32_t> ids, std::uint64_t drawn);
  // Takes back what was computed ahead: the state is the one after what next() read last.
  void settle();

 private:
  void launch(const Tensor& ids, std::uint64_t drawn);
  Tensor next_logits(const Tensor& ids);
  void change_states(Index steps);

  Model& model_;
  ModelState& state_;
  const Sampling sampling_;
  const Rng rng_;
  std::vector<Tensor> other_{};         // of each layer, what the step writes next
  std::unique_ptr<DecodeStep> step_{};  // or null
  int from_ = 0;
  Tensor numbers_{};                        // (B) f64, random ones if the temperature is not 0
  Tensor drawn_{};                          // (B) i32, of the last launch
  std::unique_ptr<Snapshot> on_its_way_{};  // those on the host
  std::vector<std::int32_t> last_{};        // that next() returned
  bool ahead_ = false;                      // launched, not returned yet
};

}  // namespace tern
