// One token of several sequences as a graph of short kernels, two for each stage: one quantises
// what the stage reads, one multiplies and leaves what the next stage reads. The arithmetic is that
// of the one kernel (decode_kernel.h), so a sequence has the same bits in both and among others.
#pragma once

#include <vector>

#include "cuda/decode/decode_kernel.h"

namespace tern::cuda {

// Whether there are kernels for these sizes, on a GPU of compute capability 9.0.
bool can_decode_rows(int width, int hidden, int streams);
std::size_t decode_rows_bytes(int width, int hidden, int streams);

// The two graphs of a model, from either of its states to the other, captured once.
class DecodeGraph {
 public:
  // stages: (4 layers + 1), states (streams, D); memory: decode_rows_bytes(), zeros at first
  DecodeGraph(const DecodeArguments& a, std::vector<DecodeStage> stages, int streams,
              int multiprocessors, void* memory, cudaStream_t stream);
  ~DecodeGraph();
  DecodeGraph(const DecodeGraph&) = delete;
  DecodeGraph& operator=(const DecodeGraph&) = delete;

  // a: as to the constructor, but for id (streams), from and logits (streams, V)
  void launch(const DecodeArguments& a, cudaStream_t stream) const;

 private:
  void capture(DecodeArguments a, cudaStream_t stream);
  void quantize(const DecodeArguments& a, std::size_t stage, bool early, cudaStream_t stream) const;
  void multiply(const DecodeArguments& a, std::size_t stage, bool early, cudaStream_t stream) const;

  const std::vector<DecodeStage> stages_;
  const int streams_, multiprocessors_;
  void* const memory_;
  cudaGraphExec_t graphs_[2]{};
};

}  // namespace tern::cuda
