#include "runtime/likelihood.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "core/backend.h"

namespace tern {
namespace {

// Of the sequences of a batch, whose states take memory, too: a Transformer's has all positions.
constexpr Index kMostSequences = 256, kMostPositions = 16'384;

Index most_sequences(Index positions) {
  return std::clamp<Index>(kMostPositions / std::max<Index>(1, positions), 1, kMostSequences);
}

}  // namespace

LikelihoodScorer::LikelihoodScorer(std::vector<LikelihoodRequest> requests, Index tokens)
    : requests_(std::move(requests)), tokens_(tokens) {
  for (const LikelihoodRequest& r : requests_)
    check(!r.context.empty() && !r.continuation.empty(),
          "[LikelihoodScorer] expected at least one id of context and of continuation");
  std::vector<std::size_t> order(requests_.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const auto &x = requests_[a].context, &y = requests_[b].context;
    return x.size() != y.size() ? x.size() > y.size() : x < y;  // equal contexts side by side
  });
  for (std::span<const std::size_t> rest = order; !rest.empty();)
    batches_.push_back(next_batch(rest));
}

// Takes the requests of the first contexts of one length off the front.
LikelihoodScorer::Batch LikelihoodScorer::next_batch(std::span<const std::size_t>& order) const {
  Batch batch{.steps = Index(requests_[order[0]].context.size()) - 1};
  const std::size_t most = std::size_t(
      std::clamp<Index>(tokens_ / std::max<Index>(1, batch.steps), 1, most_sequences(batch.steps)));
  std::vector<std::pair<std::size_t, Index>> members;
  std::size_t taken = 0;
  for (; taken < order.size(); ++taken) {
    const auto& context = requests_[order[taken]].context;
    const bool known = !batch.firsts.empty() && context == requests_[batch.firsts.back()].context;
    if (!known) {
      if (batch.firsts.size() == most || Index(context.size()) != batch.steps + 1) break;
      batch.firsts.push_back(order[taken]);
    }
    members.emplace_back(order[taken], Index(batch.firsts.size()) - 1);
  }
  order = order.subspan(taken);
  add_groups(batch, std::move(members));
  return batch;
}

// No continuation is padded to more than four thirds of its length.
void LikelihoodScorer::add_groups(Batch& batch,
                                  std::vector<std::pair<std::size_t, Index>> members) const {
  const auto length = [&](std::size_t request) {
    return Index(requests_[request].continuation.size());
  };
  std::stable_sort(members.begin(), members.end(),
                   [&](const auto& a, const auto& b) { return length(a.first) > length(b.first); });
  for (const auto& [request, context] : members) {
    Group* last = batch.groups.empty() ? nullptr : &batch.groups.back();
    if (!last || 4 * length(request) < 3 * last->steps || last->tokens() + last->steps > tokens_ ||
        Index(last->requests.size()) == most_sequences(batch.steps + last->steps))
      last = &batch.groups.emplace_back(Group{.steps = length(request)});
    last->requests.push_back(request);
    last->contexts.push_back(context);
  }
}

std::vector<Index> LikelihoodScorer::Batch::shape() const {
  std::vector<Index> out{Index(firsts.size()), steps};
  for (const Group& g : groups) out.insert(out.end(), {Index(g.requests.size()), g.steps});
  return out;
}

ModelState LikelihoodScorer::Batch::read_contexts(
    Model& model, const std::vector<LikelihoodRequest>& requests) const {
  Index longest = 0;
  for (const Group& group : groups) longest = std::max(longest, group.steps);
  ModelState state = model.new_state(Index(firsts.size()), steps + longest);
  if (steps == 0) return state;
  std::vector<std::int32_t> ids;
  for (const std::size_t request : firsts)
    ids.insert(ids.end(), requests[request].context.begin(), requests[request].context.end() - 1);
  model.advance({}, upload_ids(model.backend(), {Index(firsts.size()), steps}, ids), state);
  return state;
}

void LikelihoodScorer::score(Model& model, const Group& group, const ModelState& contexts,
                             std::span<Likelihood> out) const {
  const Shape shape{Index(group.requests.size()), group.steps};
  const auto begin_of = [&](std::size_t row) { return std::ptrdiff_t(row) * group.steps; };
  std::vector<std::int32_t> ids(std::size_t(group.tokens()), 0),
      targets(std::size_t(group.tokens()), kIgnoreIndex);
  for (std::size_t row = 0; row < group.requests.size(); ++row) {
    const LikelihoodRequest& request = requests_[group.requests[row]];
    const auto& k = request.continuation;
    ids[std::size_t(begin_of(row))] = request.context.back();
    std::copy(k.begin(), k.end() - 1, ids.begin() + begin_of(row) + 1);
    std::copy(k.begin(), k.end(), targets.begin() + begin_of(row));
  }
  ModelState state = select(contexts, group.contexts);
  Backend& on = model.backend();
  const TokenScores scores =
      model.score({}, upload_ids(on, shape, ids), upload_ids(on, shape, targets), &state);
  const std::vector<double> losses = download_real(scores.losses);
  std::vector<std::int32_t> likeliest(losses.size());
  on.download(likeliest.data(), scores.likeliest);
  for (std::size_t row = 0; row < group.requests.size(); ++row) {
    Likelihood& result = out[group.requests[row]] = {.greedy = true};
    const std::size_t begin = std::size_t(begin_of(row));
    for (std::size_t i = begin; i < begin + requests_[group.requests[row]].continuation.size();
         ++i) {
      require(std::isfinite(losses[i]), Fault::diverged, "the model's log-likelihood of token ",
              targets[i], " is ", -losses[i], ": expected a finite number: its training diverged, ",
              "or its weights are damaged (tern inspect --verify)");
      result.log_likelihood -= losses[i];
      result.greedy = result.greedy && likeliest[i] == targets[i];
    }
  }
}

void LikelihoodScorer::score(Model& model, const Batch& batch, std::span<Likelihood> out) const {
  const ModelState contexts = batch.read_contexts(model, requests_);
  for (const Group& group : batch.groups) score(model, group, contexts, out);
}

void LikelihoodScorer::rehearse(Model& model) const {
  std::vector<Likelihood> out(requests_.size());
  std::set<std::vector<Index>> done;
  for (const Batch& batch : batches_)
    if (done.insert(batch.shape()).second) score(model, batch, out);
}

std::vector<Likelihood> LikelihoodScorer::run(
    Model& model, const std::function<void(double share)>& progress) const {
  const ParameterCount count = model.count();
  const auto work = [&](const Batch& batch) {
    double read = double(batch.steps) * double(batch.firsts.size()), scored = 0;
    for (const Group& group : batch.groups) scored += double(group.tokens());
    return double(count.body()) * (read + scored) + double(count.head) * scored;
  };
  double all = 0, done = 0;
  for (const Batch& batch : batches_) all += work(batch);
  std::vector<Likelihood> out(requests_.size());
  for (const Batch& batch : batches_) {
    score(model, batch, out);
    done += work(batch);
    if (progress) progress(done / all);
  }
  return out;
}

}  // namespace tern
