#include "core/parameter_pack.h"

#include <algorithm>

#include "core/backend.h"

namespace tern {
namespace {

Index padded_size(const Parameter& p) {
  return sum_pieces(p.shape.elements(), p.alignment) * p.alignment;
}

// The order of kinds in the buffers.
int kind_of(const Parameter& p) {
  if (p.ternary) return 0;
  if (p.sharding == Sharding::whole) return p.working_copy ? 1 : 2;
  return p.sharding == Sharding::rows ? 3 : 4;
}

// What ownership and the sums of |w| take for granted.
void check_kind(const Parameter& p, Shard shard) {
  check(!p.ternary || (p.sharding == Sharding::whole && p.alignment % kSumPiece == 0),
        "[ParameterPack] ", p.name, ": a ternary matrix has one owner and begins a piece of ",
        kSumPiece, " elements, got alignment ", p.alignment);
  check(!p.working_copy || (!p.ternary && p.sharding == Sharding::whole), "[ParameterPack] ",
        p.name, ": expected a working copy of a dense matrix with one owner");
  check(shard.alone() || p.sharding != Sharding::whole || p.ternary, "[ParameterPack] ", p.name,
        ": has one owner and no copy that other ranks could read");
}

Tensor filled(Backend& on, const Shape& shape, DType dtype) {
  const Tensor t(on, shape, dtype);
  on.fill(t, 0);
  return t;
}

template <class T>
Tensor table(Backend& on, const std::vector<T>& values) {
  const Tensor t(on, {Index(values.size())}, dtype_of<T>);
  on.upload(t, values.data());
  return t;
}

TernaryLayout layout_of(Backend& on, std::span<const TernaryCopies::Matrix> matrices,
                        Index pieces) {
  std::vector<std::int32_t> first, matrix;
  std::vector<double> elements;
  for (const TernaryCopies::Matrix& range : matrices) {
    check(range.first % kSumPiece == 0 && range.first >= Index(matrix.size()) * kSumPiece,
          "[TernaryCopies] expected matrices in order, each at the start of a piece of ", kSumPiece,
          ", got one at ", range.first);
    first.push_back(std::int32_t(range.first / kSumPiece));
    elements.push_back(double(range.count));
    matrix.resize(std::size_t(first.back() + sum_pieces(range.count)),
                  std::int32_t(first.size() - 1));
  }
  check(Index(matrix.size()) == pieces, "[TernaryCopies] expected matrices that fill ", pieces,
        " pieces, got ", matrix.size());
  first.push_back(std::int32_t(pieces));
  return {.first = table(on, first), .elements = table(on, elements), .matrix = table(on, matrix)};
}

}  // namespace

ParameterPack::ParameterPack(Backend& backend, std::vector<Parameter*> parameters,
                             const PackOptions& options)
    : declared_(std::move(parameters)), parameters_(declared_), shard_(options.shard) {
  for (const Parameter* p : parameters_) check_kind(*p, shard_);
  std::stable_sort(
      parameters_.begin(), parameters_.end(),
      [](const Parameter* a, const Parameter* b) { return kind_of(*a) < kind_of(*b); });
  lay_out();
  allocate(backend, options);
  make_ternary_copies();
  if (options.working) allocate_working_copies(*options.working);
}

ParameterPack::~ParameterPack() {
  for (Parameter* p : parameters_) p->value = {}, p->copy = {}, p->working = {}, p->grad = {};
}

// Matrices in order of their owners (ternary before dense ones), then those with rows for all, then
// the others.
void ParameterPack::lay_out() {
  const auto matrices = std::find_if_not(parameters_.begin(), parameters_.end(),
                                         [](auto* p) { return p->sharding == Sharding::whole; });
  std::vector<Index> sizes;
  for (auto p = parameters_.begin(); p != matrices; ++p) sizes.push_back((*p)->shape.elements());
  const std::vector<int> owners = owners_of_matrices(sizes, shard_.size);
  std::vector<Parameter*> sorted;
  for (int r = 0; r < shard_.size; ++r)
    for (std::size_t i = 0; i < owners.size(); ++i)
      if (owners[i] == r) {
        sorted.push_back(parameters_[i]);
        owners_.push_back(r);
      }
  std::copy(sorted.begin(), sorted.end(), parameters_.begin());
  Index total = 0;
  for (const Parameter* p : parameters_) {
    ranges_.push_back({total, p->shape.elements()});
    total += padded_size(*p);
    if (p->ternary) ternary_elements_ = total;
  }
  shared_ = {total, 0};
  lay_out_owned();
}

void ParameterPack::add_segment(Range all, Index at, const Parameter& p) {
  if (all.count == 0) return;
  if (!segments_.empty()) {
    Segment& last = segments_.back();
    if (last.weight_decay == p.weight_decay && last.ternary == p.ternary &&
        last.all.end() == all.first && last.at + last.all.count == at) {
      last.all.count += all.count;
      return;
    }
  }
  segments_.push_back({.all = all, .at = at, .weight_decay = p.weight_decay, .ternary = p.ternary});
}

void ParameterPack::lay_out_owned() {
  matrices_of_.resize(std::size_t(shard_.size));
  rows_of_.resize(std::size_t(shard_.size));
  Index at = 0;
  const auto hold = [&](const Parameter& p, Range rows, Range padded) {
    if (rows.count > 0) local_rows_.push_back({&p, rows.first, rows.count, at});
    add_segment(padded, at, p);
    at += padded.count;
  };
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const Parameter& p = *parameters_[i];
    const Range padded{ranges_[i].first, padded_size(p)};
    if (p.sharding == Sharding::whole) {
      Range& of_owner = matrices_of_[std::size_t(owners_[i])];
      if (of_owner.count == 0) of_owner.first = padded.first;
      of_owner.count += padded.count;
      if (owners_[i] == shard_.rank) hold(p, {0, p.shape[0]}, padded);
    } else if (p.sharding == Sharding::rows && !shard_.alone()) {
      check(!row_sharded_, "[ParameterPack] ", p.name,
            ": expected one parameter whose rows ranks share, got a second one");
      row_sharded_ = &p;
      const Index row = p.shape.product(1, p.shape.rank());
      const std::vector<Range> shards = divide_rows(p.shape[0], row, shard_.size);
      for (std::size_t r = 0; r < shards.size(); ++r) {
        const Index first = padded.first + shards[r].first * row;
        const bool last = r + 1 == shards.size();
        rows_of_[r] = {first, last ? padded.end() - first : shards[r].count * row};
        if (int(r) == shard_.rank) hold(p, shards[r], rows_of_[r]);
      }
    } else {
      shared_.first = std::min(shared_.first, padded.first);
      shared_.count = padded.end() - shared_.first;
      hold(p, {0, p.shape[0]}, padded);
    }
  }
}

void ParameterPack::allocate(Backend& backend, const PackOptions& options) {
  const DType dtype = options.dtype;
  const DType stored = options.gradients.value_or(dtype), table = options.table.value_or(dtype);
  check(stored == dtype || (stored == DType::bf16 && dtype == DType::f32),
        "[ParameterPack] expected gradients in ", dtype, ", or in bf16 with f32 parameters, got ",
        stored);
  const Index held = segments_.empty() ? 0 : segments_.back().at + segments_.back().all.count;
  const Index total =
      parameters_.empty() ? 0 : ranges_.back().first + padded_size(*parameters_.back());
  values_ = filled(backend, {held}, dtype);
  gradients_ = filled(backend, {total}, stored);
  for (const LocalRows& local : local_rows_)
    if (local.whole()) parameters_[index_of(*local.parameter)]->value = view(values_, local);
  for (Parameter* p : parameters_) {
    if (p == row_sharded_) p->value = table_ = filled(backend, p->shape, table);
    const Range at = range(*p);
    p->grad = {.tensor = gradients_.slice(at.first, at.count).reshape(p->shape)};
  }
}

std::size_t ParameterPack::index_of(const Parameter& p) const {
  const auto at = std::find(parameters_.begin(), parameters_.end(), &p);
  check(at != parameters_.end(), "[ParameterPack] ", p.name, " is not in this pack");
  return std::size_t(at - parameters_.begin());
}

Range ParameterPack::range(const Parameter& p) const {
  return ranges_[index_of(p)];
}

Tensor ParameterPack::view(const Tensor& flat, const LocalRows& local) const {
  const Shape& whole = local.parameter->shape;
  Shape shape{local.rows};
  for (int i = 1; i < whole.rank(); ++i) shape.push_back(whole[i]);
  return flat.slice(local.at, shape.elements()).reshape(shape);
}

Tensor ParameterPack::view(const Tensor& flat, const Parameter& p) const {
  const Range at = range(p);
  const auto found = std::find_if(local_rows_.begin(), local_rows_.end(),
                                  [&](const LocalRows& local) { return local.parameter == &p; });
  check(found != local_rows_.end() && found->whole(), "[ParameterPack] ", p.name, ": its ",
        at.count, " elements are not all held here");
  return view(flat, *found);
}

Range ParameterPack::matrix_indices(int rank) const {
  const auto [begin, end] = std::equal_range(owners_.begin(), owners_.end(), rank);
  return {Index(begin - owners_.begin()), Index(end - begin)};
}

Range ParameterPack::padded_range(const Parameter& p) const {
  return {range(p).first, padded_size(p)};
}

void ParameterPack::make_ternary_copies() {
  if (ternary_elements_ == 0) return;
  Backend& on = values_.backend();
  const Index M =
      std::count_if(parameters_.begin(), parameters_.end(), [](auto* p) { return p->ternary; });
  // of matrices; a rank alone may have dense ones behind the ternary ones
  Range own = matrices_of_[std::size_t(shard_.rank)], indices = matrix_indices(shard_.rank);
  own.count = std::min(own.end(), ternary_elements_) - own.first;
  indices.count = std::min(indices.end(), M) - indices.first;
  codes_ = filled(on, {ternary_elements_}, DType::i8);
  scales_ = filled(on, {M}, values_.dtype());
  stats_ = filled(on, {M, 2}, DType::f64);
  std::vector<TernaryCopies::Matrix> matrices;
  for (const LocalRows& local : local_rows_)
    if (local.parameter->ternary)
      matrices.push_back({.first = local.at, .count = local.parameter->shape.elements()});
  ternary_ = std::make_unique<TernaryCopies>(
      values_.slice(0, own.count), matrices,
      TernaryCopies::Buffers{.t = codes_.slice(own.first, own.count),
                             .scales = scales_.slice(indices.first, indices.count),
                             .stats = stats_.slice(indices.first, indices.count)});
  for (Index m = 0; m < M; ++m) {
    Parameter& p = *parameters_[std::size_t(m)];
    const Range at = range(p);
    p.copy = {.t = codes_.slice(at.first, at.count).reshape(p.shape), .scale = scales_.slice(m, 1)};
  }
}

// Those with a working copy lie together, behind the ternary ones.
void ParameterPack::allocate_working_copies(DType dtype) {
  check(dtype == DType::bf16 && values_.dtype() == DType::f32,
        "[ParameterPack] expected working copies in bf16 of f32 parameters, got ", dtype, " of ",
        values_.dtype());
  Range all{};
  for (const LocalRows& local : local_rows_) {
    if (!local.parameter->working_copy) continue;
    if (all.count == 0) all.first = local.at;
    all.count = local.at + padded_size(*local.parameter) - all.first;
  }
  if (all.count == 0) return;
  working_values_ = values_.slice(all.first, all.count);
  working_ = filled(values_.backend(), {all.count}, dtype);
  for (const LocalRows& local : local_rows_)
    if (local.parameter->working_copy)
      parameters_[index_of(*local.parameter)]->working =
          working_.slice(local.at - all.first, local.parameter->shape.elements())
              .reshape(local.parameter->shape);
}

void ParameterPack::make_working_copies() {
  if (!working_) return;
  working_.backend().run(Accumulate{.to = {working_}, .x = working_values_});
}

void ParameterPack::quantize(bool count) {
  make_working_copies();
  if (!ternary_) return;
  ternary_->sum_magnitudes();
  ternary_->quantize(count);
}

std::vector<TernaryStats> ParameterPack::ternary_stats() const {
  std::vector<TernaryStats> out;
  if (!ternary_) return out;
  const std::vector<double> counts = download_real(stats_);  // (M, 2)
  const std::vector<double> scales = download_real(scales_);
  for (const Parameter* p : declared_) {
    if (!p->ternary) continue;
    const std::size_t m = index_of(*p);
    const double n = double(p->shape.elements());
    out.push_back({.name = p->name.substr(0, p->name.rfind('.')),
                   .elements = p->shape.elements(),
                   .zero_share = counts[2 * m] / n,
                   .flip_rate = counts[2 * m + 1] / n,
                   .scale = scales[m]});
  }
  return out;
}

std::size_t ParameterPack::copy_bytes() const {
  std::size_t sum = ternary_ ? ternary_->bytes() : 0;
  for (const Tensor* t : {&codes_, &scales_, &stats_, &table_, &working_})
    if (*t) sum += t->bytes();
  return sum;
}

void ParameterPack::begin_step() {
  for (Parameter* p : parameters_) p->grad.written.clear();
}

void ParameterPack::finish_gradients() {
  for (Parameter* p : parameters_) p->grad.fill_unwritten();
}

TernaryCopies::TernaryCopies(const Tensor& weights, std::span<const Matrix> matrices,
                             const Buffers& buffers)
    : buffers_(buffers),
      weights_(weights),
      sums_(weights.backend(), {sum_pieces(weights.elements())}, DType::f64),
      layout_(layout_of(weights.backend(), matrices, sums_.elements())) {
  weights.backend().fill(sums_, 0);
}

std::size_t TernaryCopies::bytes() const {
  std::size_t sum = 0;
  for (const Tensor* t : {&sums_, &layout_.first, &layout_.elements, &layout_.matrix})
    sum += t->bytes();
  return sum;
}

void TernaryCopies::sum_magnitudes() {
  if (weights_.elements() == 0) return;
  weights_.backend().run(SumMagnitudes{.sums = sums_, .w = weights_});
}

void TernaryCopies::quantize(bool count) {
  if (weights_.elements() == 0) return;
  weights_.backend().run(QuantizeTernary{.y = {.t = buffers_.t, .scale = buffers_.scales},
                                         .stats = count ? buffers_.stats : Tensor{},
                                         .w = weights_,
                                         .magnitudes = sums_,
                                         .layout = layout_});
}

}  // namespace tern
