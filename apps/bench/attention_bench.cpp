#include "apps/bench/bench.h"
#include "core/dry/dry_backend.h"
#include "core/rng.h"

namespace tern {
namespace {

// Random rows, repeated: the kernels' times do not depend on where.
void fill_randomly(const Tensor& t, std::uint64_t stream) {
  constexpr Index kRows = 61;
  const Index columns = t.shape().last(), rows = t.elements() / columns;
  const Rng rng(1, stream);
  std::vector<double> values(std::size_t(std::min(rows, kRows) * columns));
  rng.normals(0, values);
  const Tensor flat = t.reshape({rows, columns});
  for (Index row = 0; row < rows; row += kRows) {
    const Index count = std::min(kRows, rows - row);
    values.resize(std::size_t(count * columns));
    upload_real(flat.slice(row, count), values);
  }
}

struct Layer {
  Layer(Backend& on, const AttentionSize& s, DType real)
      : size(s),
        qkv(on, {s.batch, s.context, 3 * s.heads * s.head_width}, real),
        rotated(on, qkv.shape(), real),
        dqkv(on, qkv.shape(), real),
        out(on, {s.batch, s.context, s.heads * s.head_width}, real),
        dout(on, out.shape(), real),
        log_sum(on, {s.batch, s.heads, s.context}, accumulator(real)),
        ab(on, {s.batch * s.context, 2 * s.hidden}, real),
        dab(on, ab.shape(), real),
        y(on, {s.batch * s.context, s.hidden}, real),
        dy(on, y.shape(), real),
        cache(on, {s.batch, s.context, 2 * s.heads * s.head_width}, real),
        step(on, {s.batch, 1, 3 * s.heads * s.head_width}, real),
        step_out(on, {s.batch, 1, s.heads * s.head_width}, real) {}

  void fill() const {
    std::uint64_t stream = 0;
    for (const Tensor& t : {qkv, dout, ab, dy, cache, step}) fill_randomly(t, ++stream);
  }
  void run(Backend& on) const {
    const Index heads = size.heads;
    on.run(Rotary{.qkv = rotated, .q = qkv, .heads = heads});
    on.run(Attention{.out = out, .log_sum = log_sum, .qkv = rotated, .heads = heads});
    on.run(AttentionBackward{.dqkv = {dqkv},
                             .dout = dout,
                             .out = out,
                             .log_sum = log_sum,
                             .qkv = rotated,
                             .heads = heads});
    on.run(RotaryBackward{.dq = {rotated}, .dqkv = dqkv, .heads = heads});
    on.run(Swiglu{.y = y, .ab = ab});
    on.run(SwigluBackward{.dab = {dab}, .dy = dy, .ab = ab});
    on.run(Attention{
        .out = step_out, .qkv = step, .earlier = cache, .seen = size.context - 1, .heads = heads});
  }

  AttentionSize size;
  Tensor qkv, rotated, dqkv, out, dout, log_sum, ab, dab, y, dy;
  Tensor cache, step, step_out;
};

}  // namespace

OpsBench bench_attention(Backend& backend, const AttentionSize& size, DType activations,
                         int passes) {
  OpsBench out{.copy = copy_rate(backend)};
  const SquareProduct product(backend, activations, activations == DType::bf16 ? 8192 : 1024);
  const Layer layer(backend, size, activations);
  layer.fill();
  layer.run(backend);  // whatever happens once
  TimedBackend timed(backend);
  Samples products;
  for (int pass = 0; pass < passes; ++pass) {
    products.add(product.flops() / product.seconds());
    layer.run(timed);
  }
  out.product = products.median();
  out.kernels = timed.kernels();
  for (const KernelTimes& k : out.kernels) out.step += k.seconds.sum() / passes;
  return out;
}

std::size_t attention_bytes(const AttentionSize& size, DType activations,
                            const DeviceTraits& device) {
  DryBackend dry(device);
  copy_rate(dry);
  const SquareProduct product(dry, activations, activations == DType::bf16 ? 8192 : 1024);
  const Layer layer(dry, size, activations);
  layer.run(dry);
  product.seconds();
  return dry.pool().high_water();
}

}  // namespace tern
