#include "runtime/saved_model.h"

#include <algorithm>
#include <cmath>

#include "core/backend.h"
#include "data/io/real_numbers.h"
#include "runtime/memory_plan.h"
#include "runtime/trainer.h"

namespace tern {
namespace {

std::string text_of(const std::vector<std::uint64_t>& shape) {
  std::string text;
  for (const std::uint64_t n : shape) text += (text.empty() ? "" : ", ") + std::to_string(n);
  return "(" + text + ")";
}

// What is wrong with the saved tensor of a parameter's shape; empty: nothing.
std::string problem_of(const WeightSource& source, const std::string& name, const Shape& shape) {
  const auto found = source.find(name);
  if (!found) return "no tensor '" + name + "'";
  if (found->shape == stored_shape(shape) && is_real(found->type)) return {};
  return "tensor '" + name + "': expected " + text_of(stored_shape(shape)) +
         " of a real type, got " + text_of(found->shape) + ' ' + std::string(name_of(found->type));
}

// The rows that are held here of a saved tensor of a parameter's shape into `to`; another real
// dtype is converted, to nearest.
void load(const WeightSource& source, const std::string& name, const LocalRows& local,
          const Tensor& to) {
  const std::string problem = problem_of(source, name, local.parameter->shape);
  require(problem.empty(), Fault::input, source.path.string(), ": ", problem);
  const StoredType type = source.find(name)->type;
  const Tensor flat = to.reshape({to.elements()});
  std::vector<float> single;
  std::vector<double> real;
  const auto upload = [&](std::uint64_t offset, std::span<const std::byte> block) {
    const std::size_t item = item_bytes(type), count = block.size() / item;
    const Tensor part = flat.slice(Index(offset / item), Index(count));
    if (type == stored_type(to.dtype())) return to.backend().upload(part, block.data());
    if (to.dtype() == DType::f32) {
      single.resize(count);
      read_reals(type, block, std::span(single));
      return to.backend().upload(part, single.data());
    }
    real.resize(count);
    read_reals(type, block, std::span(real));
    upload_real(part, real);
  };
  source.read_rows(name, std::uint64_t(local.first_row), std::uint64_t(local.rows), upload);
}

}  // namespace

std::vector<std::uint64_t> stored_shape(const Shape& shape) {
  std::vector<std::uint64_t> out;
  for (int i = 0; i < shape.rank(); ++i) out.push_back(std::uint64_t(shape[i]));
  return out;
}

WeightSource weights_of(const Checkpoint& checkpoint) {
  const auto shared = std::make_shared<const Checkpoint>(checkpoint);
  return {.path = checkpoint.path(),
          .find = [shared](const std::string& name) -> std::optional<WeightSource::Facts> {
            const StoredTensor* found = shared->find(name);
            if (!found) return std::nullopt;
            return WeightSource::Facts{found->type, found->shape};
          },
          .read_rows =
              [shared](const std::string& name, std::uint64_t first, std::uint64_t count,
                       const WeightSource::Take& take) {
                shared->read_rows(name, first, count, take);
              }};
}

void read_rows_as(const WeightSource& source, StoredType type, const std::string& name,
                  std::uint64_t first, std::uint64_t count,
                  const std::function<void(std::span<const std::byte>)>& take) {
  const StoredType stored = source.find(name)->type;
  std::vector<std::byte> converted;
  source.read_rows(name, first, count, [&](std::uint64_t, std::span<const std::byte> block) {
    if (stored == type) return take(block);
    converted.resize(block.size() / item_bytes(stored) * item_bytes(type));
    convert_reals(stored, block, type, converted);
    take(converted);
  });
}

void require_weights(const WeightSource& source, const Model& model, bool moments) {
  std::vector<std::string> problems;
  const auto look_at = [&](const std::string& name, const Shape& shape) {
    const std::string problem = problem_of(source, name, shape);
    if (!problem.empty()) problems.push_back(problem);
  };
  for (const Parameter* p : model.parameters()) look_at(p->name, p->shape);
  const std::string where = source.path.string() + ": ";
  if (moments) {
    const std::string first = kFirstMoment + model.parameters()[0]->name;
    require(source.find(first).has_value(), Fault::input, where,
            "holds weights alone, without AdamW's moments: set init_from.moments = false");
    for (const Parameter* p : model.parameters())
      for (const char* moment : {kFirstMoment, kSecondMoment}) look_at(moment + p->name, p->shape);
  }
  require_none(problems, Fault::input, where);
}

void require_finite(const WeightSource& source, const Model& model) {
  std::vector<float> values;
  for (const Parameter* p : model.parameters()) {
    const StoredType type = source.find(p->name)->type;
    source.read_rows(p->name, 0, std::uint64_t(p->shape[0]),
                     [&](std::uint64_t offset, std::span<const std::byte> block) {
                       values.resize(block.size() / item_bytes(type));
                       read_reals(type, block, std::span(values));
                       for (std::size_t i = 0; i < values.size(); ++i)
                         require(std::isfinite(values[i]), Fault::input, source.path.string(),
                                 ": tensor '", p->name, "': element ",
                                 offset / item_bytes(type) + i, " is ", values[i],
                                 ": expected finite numbers");
                     });
  }
}

void load_weights(const WeightSource& source, ParameterPack& pack) {
  for (const LocalRows& local : pack.local_rows())
    load(source, local.parameter->name, local, pack.view(pack.values(), local));
  pack.quantize();
}

void load_weights(const WeightSource& source, InferenceWeights& weights) {
  for (Parameter* p : weights.parameters())
    weights.set(*p, [&](const Tensor& values) {
      load(source, p->name, {.parameter = p, .rows = p->shape[0]}, values);
    });
}

void load_moments(const WeightSource& source, Trainer& trainer) {
  const ParameterPack& pack = trainer.pack();
  const AdamWOptimizer& adam = trainer.optimizer();
  for (const LocalRows& local : pack.local_rows()) {
    const std::string& name = local.parameter->name;
    load(source, kFirstMoment + name, local, pack.view(adam.first_moment(), local));
    load(source, kSecondMoment + name, local, pack.view(adam.second_moment(), local));
  }
}

namespace {

// Documents begin and end with what the tokenizer has.
void keep_tokenizer(SavedModel& saved, Tokenizer tokenizer) {
  saved.documents.bos = saved.documents.bos && tokenizer.bos_id() >= 0;
  saved.documents.eos = saved.documents.eos && tokenizer.eos_id() >= 0;
  saved.tokenizer = std::move(tokenizer);
}

}  // namespace

void set_own_tokenizer(SavedModel& saved, Tokenizer tokenizer, std::string_view where) {
  const std::int64_t vocabulary = saved.config.model.vocab_size;
  require(tokenizer.vocab_size() == vocabulary, Fault::input, where, ": vocab_size: expected ",
          tokenizer.vocab_size(), ", the size of its tokenizer, got ", vocabulary);
  keep_tokenizer(saved, std::move(tokenizer));
}

void set_tokenizer(SavedModel& saved, const Tokenizer& tokenizer) {
  const std::int64_t vocabulary = saved.config.model.vocab_size;
  require(!saved.tokenizer || saved.tokenizer->hash() == tokenizer.hash(), Fault::usage,
          saved.path.string(), ": has a tokenizer, and this is another one (hash ",
          saved.tokenizer ? saved.tokenizer->hash() : "", ", got ", tokenizer.hash(), ")");
  require(tokenizer.vocab_size() == vocabulary, Fault::usage, saved.path.string(),
          ": expected a tokenizer of ", vocabulary, " pieces, got ", tokenizer.vocab_size());
  keep_tokenizer(saved, tokenizer);
}

const Tokenizer& require_tokenizer(const SavedModel& saved) {
  require(saved.tokenizer.has_value(), Fault::usage, saved.path.string(),
          ": this model has no tokenizer: name one with --tokenizer");
  return *saved.tokenizer;
}

void require_latent_weights(const SavedModel& saved, std::string_view what) {
  require(!saved.mapped, Fault::input, saved.path.string(), ": expected latent weights, which ",
          what,
          " needs, got a packed file, which has ternary codes alone: give the checkpoint or "
          "the folder that it was made of");
}

namespace {

// Binds a parameter to the memory where it lies: a CPU reads it there, another device gets a copy.
void bind_mapped(const MappedWeights& from, Parameter& p, InferenceWeights& to) {
  Backend& on = to.backend();
  const auto place = [&](const Shape& shape, DType type, const void* data) {
    if (!on.traits().is_gpu())
      return Tensor::borrow(on, shape, type, const_cast<void*>(data), from.owner);  // only read
    const Tensor copy(on, shape, type);
    on.upload(copy, data);
    return copy;
  };
  const auto place_real = [&](const Shape& shape, const float* data) {
    if (to.dtype() == DType::f32) return place(shape, DType::f32, data);
    const Tensor wide(on, shape, to.dtype());
    upload_real(wide, {data, data + shape.elements()});
    return wide;
  };
  const auto& [type, data, scale] = from.weights.at(p.name);
  if (type == DType::t2)
    to.bind(p, TernaryWeight{.t = place(p.shape, type, data), .scale = place_real({1}, scale)});
  else if (type == DType::i8)
    to.bind(p, Quantized{.q = place(p.shape, type, data),
                         .row_scale = place_real({p.shape[0]}, scale)});
  else if (type == DType::bf16)
    to.bind(p, place(p.shape, type, data));
  else
    to.bind(p, place_real(p.shape, static_cast<const float*>(data)));
}

// Whether dense matrices are in bf16 in the files: then they are kept so, with the same values.
bool stored_in_half(const SavedModel& saved) {
  if (saved.mapped) return false;
  const Model model(saved.config.model, {});
  return std::ranges::all_of(model.parameters(), [&](const Parameter* p) {
    if (!p->working_copy) return true;
    const auto facts = saved.weights.find(p->name);
    return facts && facts->type == StoredType::bf16;
  });
}

}  // namespace

LoadedModel load_model(const SavedModel& saved, const Device& device,
                       const std::function<void(Model&)>& use) {
  const ModelConfig& config = saved.config.model;
  const ModelOptions options = model_options(saved.config, device.facts().traits);
  const bool on_cpu = !device.facts().traits.is_gpu();
  const bool half = options.activations == DType::bf16 ||
                    (on_cpu && options.dtype == DType::f32 && stored_in_half(saved));
  const std::optional<DType> working = half ? std::optional(DType::bf16) : std::nullopt;
  constexpr DType codes = DType::t2;  // a quarter of the bytes to read for each token
  auto backend = make_backend(device, [&](Backend& on) {
    Model model(config, options);
    InferenceWeights weights(on, model.parameters(), options.dtype, working, codes);
    for (Parameter* p : weights.parameters())
      saved.mapped ? bind_mapped(*saved.mapped, *p, weights)
                   : weights.set(*p, [](const Tensor&) {});
    model.keep_gate_bounds();
    use(model);
  });
  backend->let_grow();  // what is done may differ from the rehearsal: a prompt of another length
  auto model = std::make_unique<Model>(config, options);
  auto weights = std::make_unique<InferenceWeights>(*backend, model->parameters(), options.dtype,
                                                    working, codes);
  if (saved.mapped)
    for (Parameter* p : weights->parameters()) bind_mapped(*saved.mapped, *p, *weights);
  else
    load_weights(saved.weights, *weights);
  model->keep_gate_bounds();
  return {.backend = std::move(backend), .model = std::move(model), .weights = std::move(weights)};
}

}  // namespace tern
