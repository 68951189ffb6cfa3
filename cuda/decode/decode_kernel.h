// One token through a MatMul-free model in one kernel that fills the GPU: its arguments.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

namespace tern::cuda {

// A product, or three of one input, and what is computed before and after it. Pointers to the
// device; weights of norms are f32.
struct DecodeStage {
  // as tiles of DType::t2, and 1 / scale: i, f, g; o; both halves of gate; down; the head
  const void* tiles[3]{};
  float inverse_scale[3]{};
  // (1 or 3, inputs) for each matrix with an input of its own: the weights of the norms in front of
  // it, the block's times its own
  const float* into = nullptr;
  // of i, f, g: (2, D) g_norm and the bound of the forget gate; of o and down: (D) the block's norm
  // that comes next
  const float* beside = nullptr;
  float* state[2]{};  // (D) of the recurrence, in i, f, g
};

struct DecodeArguments {
  int width = 0, hidden = 0, layers = 0, vocabulary = 0;
  float eps = 0;
  const DecodeStage* stages = nullptr;  // (4 layers + 1) on the device
  const float* first_norm = nullptr;    // (D) of the first block
  const void* table = nullptr;          // (V, D) f32, bf16 or i8
  const float* row_scale = nullptr;     // (V) of i8
  int table_bytes = 4;                  // of an element
  void* exchange = nullptr;             // decode_exchange_bytes(), zeros at first
  const int* id = nullptr;              // (1); a negative one is read as 0
  int from = 0;                         // the state that is read; the other is written
  float* logits = nullptr;              // (V)
  unsigned step = 0;  // the number of its first stage, goes on from call to call, modulo 2^32
  long long* times = nullptr;  // of a benchmark
};

// exchanges of one token, by which DecodeArguments::step goes on
constexpr unsigned decode_steps(int layers) {
  return 4 * unsigned(layers);
}

// Whether there is a kernel for these sizes on a GPU of so many multiprocessors.
bool can_decode(int width, int hidden, int layers, int vocabulary, int multiprocessors);
std::size_t decode_exchange_bytes(int width, int hidden);
void launch_decode(const DecodeArguments& arguments, int multiprocessors, cudaStream_t stream);

}  // namespace tern::cuda
