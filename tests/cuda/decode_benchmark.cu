// What a token in one kernel is made of, on Hopper: the exchange of a vector among all blocks by
// itself, by a counter and by words that are their own flags; then every part of the decode
// kernel's stages by the clock of one block, with random codes; then the graph of kernels for one
// sequence and several. Prints Markdown.
#define TERN_DECODE_TIMES
#include <cstdio>
#include <vector>

#include "cuda/decode/decode_graph.h"
#include "cuda/decode/decode_kernel_hopper.cu"

namespace tern::cuda {
namespace {

constexpr int kExchanges = 3000, kTokens = 200, kRounds = 7;

template <class T>
T* device_array(const std::vector<T>& values) {
  T* p = nullptr;
  cuda_check(cudaMalloc(&p, values.size() * sizeof(T)), "[benchmark] memory");
  cuda_check(cudaMemcpy(p, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice),
             "[benchmark] upload");
  return p;
}

// the median of kRounds, in microseconds
template <class Work>
double microseconds_of(Work&& work, cudaStream_t stream = nullptr) {
  cudaEvent_t begin, end;
  cudaEventCreate(&begin), cudaEventCreate(&end);
  std::vector<float> all(kRounds);
  for (float& ms : all) {
    cudaEventRecord(begin, stream);
    work();
    cudaEventRecord(end, stream);
    cuda_check(cudaEventSynchronize(end), "[benchmark]");
    cudaEventElapsedTime(&ms, begin, end);
  }
  std::sort(all.begin(), all.end());
  return 1e3 * all[kRounds / 2];
}

// --- the exchange alone: each block writes its panels, then all read everything ---

__device__ void wait_for_counter(unsigned* counter, unsigned value) {
  __syncthreads();
  if (threadIdx.x == 0) {
    asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(counter) : "memory");
    unsigned now;
    do {
      asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(counter) : "memory");
    } while (now < value);
  }
  __syncthreads();
}

template <bool counted>
__global__ void __launch_bounds__(kThreads, 1)
    exchange_kernel(ExchangeWord* buffer, unsigned* counter, int columns, unsigned first,
                    float* sink) {
  const int words = columns / 2, panels = columns / kPanelRows;
  float carry = 1;
  for (int i = 0; i < kExchanges; ++i) {
    const unsigned step = first + i + 1;
    ExchangeWord* now = buffer + (step & 1) * words;
    for (int p = blockIdx.x; p < panels; p += gridDim.x)
      if (threadIdx.x < kPanelWords)
        store_word(now + p * kPanelWords + threadIdx.x, {carry, carry, 0, step});
    if (counted) wait_for_counter(counter, gridDim.x * step);
    float sum = 0;
    for (int w = threadIdx.x; w < words; w += kThreads) {
      ExchangeWord word;
      do word = load_word(now + w);
      while (word.step != step);
      sum += word.a;
    }
    carry = fminf(sum, 1.f);  // what is sent next depends on it
    __syncthreads();
  }
  if (carry == 2) *sink = carry;
}

template <bool counted>
double exchange_time(int columns, int blocks) {
  ExchangeWord* buffer = device_array(std::vector<ExchangeWord>(std::size_t(columns)));
  unsigned* counter = device_array(std::vector<unsigned>(1));
  float* sink = device_array(std::vector<float>(1));
  unsigned first = 0;
  const double time = microseconds_of([&] {
    void* arguments[] = {&buffer, &counter, &columns, &first, &sink};
    cuda_check(cudaLaunchCooperativeKernel(reinterpret_cast<void*>(exchange_kernel<counted>),
                                           blocks, kThreads, arguments),
               "[benchmark] exchange");
    first += kExchanges;
  });
  return 1e3 * time / kExchanges;
}

void print_exchanges(int blocks) {
  std::printf("| exchange, ns | 1024 | 2560 | 6912 |\n|---|---|---|---|\n| counter |");
  for (const int columns : {1024, 2560, 6912})
    std::printf(" %.0f |", exchange_time<true>(columns, blocks));
  std::printf("\n| words |");
  for (const int columns : {1024, 2560, 6912})
    std::printf(" %.0f |", exchange_time<false>(columns, blocks));
  std::printf("\n\n");
}

// --- the kernel ---

__global__ void fill_codes(unsigned* tiles, std::size_t n) {
  for (std::size_t i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    unsigned x = unsigned(i) * 2654435761u;
    x ^= x >> 15, x *= 2246822519u, x ^= x >> 13;
    tiles[i] = x & ~(x & x << 1 & 0xaaaaaaaau);  // a code of 3 becomes 1
  }
}

struct Size {
  const char* name;
  int width, hidden, layers;
};

class RandomModel {
 public:
  explicit RandomModel(const Size& size, int streams = 1) : size_(size) {
    const int D = size.width, H = size.hidden;
    for (int l = 0; l < size.layers; ++l) {
      add({codes(D, D), codes(D, D), codes(D, D)}, ones(3 * D), ones(2 * D));
      for (float*& state : stages_.back().state)
        state = device_array(std::vector<float>(std::size_t(D) * streams));
      add({codes(D, D)}, ones(D), ones(D));
      char* gate = codes(2 * H, D);
      add({gate, gate + std::size_t(H) * D / 4}, ones(D), nullptr);
      add({codes(D, H)}, ones(H), ones(D));
    }
    add({codes(kVocabulary, D)}, ones(D), nullptr);
    arguments_ = {.width = D,
                  .hidden = H,
                  .layers = size.layers,
                  .vocabulary = kVocabulary,
                  .eps = 1e-6f,
                  .stages = device_array(stages_),
                  .first_norm = ones(D),
                  .table = ones(D),
                  .exchange = device_array(std::vector<char>(decode_exchange_bytes(D, H))),
                  .id = device_array(std::vector<int>(streams)),
                  .logits = device_array(std::vector<float>(std::size_t(kVocabulary) * streams))};
  }

  void run(int blocks, long long* times = nullptr) {
    arguments_.times = times;
    launch_decode(arguments_, blocks, nullptr);
    arguments_.step += decode_steps(size_.layers);
    arguments_.from ^= 1;
  }
  void run(const DecodeGraph& graph, cudaStream_t stream) {
    graph.launch(arguments_, stream);
    arguments_.from ^= 1;
  }

  const DecodeArguments& arguments() const { return arguments_; }
  const std::vector<DecodeStage>& stages() const { return stages_; }

 private:
  static constexpr int kVocabulary = 32'000;

  static char* codes(int rows, int columns) {
    const std::size_t bytes = std::size_t(rows) * columns / 4;
    unsigned* p = nullptr;
    cuda_check(cudaMalloc(&p, bytes), "[benchmark] memory");
    fill_codes<<<1024, 256>>>(p, bytes / 4);
    return reinterpret_cast<char*>(p);
  }
  static float* ones(int n) { return device_array(std::vector<float>(n, 1.f)); }
  void add(const std::vector<const void*>& tiles, const float* into, const float* beside) {
    DecodeStage stage{.into = into, .beside = beside};
    for (std::size_t m = 0; m < tiles.size(); ++m)
      stage.tiles[m] = tiles[m], stage.inverse_scale[m] = 0.02f;
    stages_.push_back(stage);
  }

  const Size size_;
  std::vector<DecodeStage> stages_{};
  DecodeArguments arguments_{};
};

// Of each kind of stage, the mean over layers but the first, in cycles.
void print_stages(const std::vector<long long>& times, int layers) {
  constexpr int kStamps = 9;
  std::printf(
      "| cycles of one block | norms | wait for the vector | sums | barrier | codes | barrier | "
      "products | "
      "meet "
      "| result, send |\n|---|---|---|---|---|---|---|---|---|---|\n");
  const char* names[] = {"i, f, g", "o", "gate", "down"};
  for (int kind = 0; kind < 4; ++kind) {
    std::printf("| %s |", names[kind]);
    for (int k = 0; k < kStamps; ++k) {
      double sum = 0;
      for (int l = 1; l < layers; ++l) {
        const long long* at = &times[std::size_t((l * 4 + kind) * kStamps + k)];
        sum += double(at[0] - at[-1]);
      }
      std::printf(" %.0f |", sum / (layers - 1));
    }
    std::printf("\n");
  }
  std::printf("\n");
}

void measure(const Size& size, int blocks) {
  RandomModel model(size);
  const double time = microseconds_of([&] {
                        for (int t = 0; t < kTokens; ++t) model.run(blocks);
                      }) /
                      kTokens;
  std::printf("%s: %.1f us a token, %.0f tokens/s, with readings of the clock\n\n", size.name, time,
              1e6 / time);
  std::vector<long long> times(16'384);
  long long* on_device = device_array(times);
  model.run(blocks, on_device);
  model.run(blocks, on_device);
  cuda_check(
      cudaMemcpy(times.data(), on_device, times.size() * sizeof(long long), cudaMemcpyDeviceToHost),
      "[benchmark] times");
  print_stages(times, size.layers);
}

// The graph of kernels, for so many sequences.
void measure_graph(const Size& size, int blocks) {
  std::printf("| sequences, %s | us a token of all | tokens/s | times one |\n|---|---|---|---|\n",
              size.name);
  cudaStream_t stream = nullptr;
  cuda_check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "[benchmark] stream");
  double one = 0;
  for (const int streams : {1, 8, 16, 32, 64, 128, 256}) {
    RandomModel model(size, streams);
    void* memory =
        device_array(std::vector<char>(decode_rows_bytes(size.width, size.hidden, streams)));
    const DecodeGraph graph(model.arguments(), model.stages(), streams, blocks, memory, stream);
    const double time = microseconds_of(
                            [&] {
                              for (int t = 0; t < kTokens; ++t) model.run(graph, stream);
                            },
                            stream) /
                        kTokens;
    const double rate = 1e6 * streams / time;
    if (streams == 1) one = rate;
    std::printf("| %d | %.1f | %.0f | %.1f |\n", streams, time, rate, rate / one);
  }
  std::printf("\n");
}

void measure_all() {
  cudaDeviceProp device{};
  cuda_check(cudaGetDeviceProperties(&device, 0), "[benchmark] device");
  const int blocks = device.multiProcessorCount;
  std::printf("%s, %d blocks\n\n", device.name, blocks);
  print_exchanges(blocks);
  for (const Size& size :
       {Size{"370M", 1024, 2816, 24}, Size{"1.3B", 2048, 5632, 24}, Size{"2.7B", 2560, 6912, 32}}) {
    measure(size, blocks);
    measure_graph(size, blocks);
  }
}

}  // namespace
}  // namespace tern::cuda

int main() {
  try {
    tern::cuda::measure_all();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
