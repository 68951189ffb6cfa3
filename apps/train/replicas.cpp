#include "apps/train/replicas.h"

#include "data/io/hash.h"

namespace tern {

std::string replica_hash(const ParameterPack& pack) {
  Hash hash;
  const auto add = [&](const Tensor& t) {
    if (!t) return;
    std::vector<std::byte> bytes(t.bytes());
    t.backend().download(bytes.data(), t);
    hash.update(bytes);
  };
  add(pack.codes());
  add(pack.scales());
  for (const Parameter* p : pack.parameters())
    if (!p->ternary) add(p->value), add(p->working);
  return hash.hex();
}

std::string ranks_that_differ(const std::vector<std::string>& hashes) {
  const auto votes = [&](const std::string& h) { return std::ranges::count(hashes, h); };
  const auto most = std::ranges::max_element(
      hashes, [&](const auto& a, const auto& b) { return votes(a) < votes(b); });
  std::string ranks;
  int odd = 0;
  for (std::size_t r = 0; r < hashes.size(); ++r)
    if (hashes[r] != *most) {
      ranks += (odd++ ? ", " : "") + std::to_string(r);
    }
  if (odd == 0) return {};
  return (odd > 1 ? "ranks " : "rank ") + ranks + (odd > 1 ? " hold" : " holds") +
         " copies of the model that differ from those of rank " +
         std::to_string(most - hashes.begin()) +
         ": memory or the network has changed bits; resume from a checkpoint";
}

void share_weights(OpenedRun& opened, Trainer& trainer) {
  if (opened.info.size == 1) return;
  AdamWOptimizer& optimizer = trainer.optimizer();
  if (opened.shards_saved()) return optimizer.all_gather_copies();
  const Owned all[] = {{.t = trainer.pack().values()},
                       {.t = optimizer.first_moment()},
                       {.t = optimizer.second_moment()}};
  opened.ranks->communicator().broadcast(all).wait();
  trainer.pack().quantize();
}

TrainingState broadcast_state(ControlPlane& control, const TrainingState& state) {
  const std::string text = control.broadcast(to_json(state).dump());
  return training_state(parse_json(text, "rank 0"), "rank 0");
}

void end_by_rank_zero(ControlPlane& control, Fault fault, const std::string& why) {
  if (!control.first()) control.all_gather({});  // rank 0 ends us
  fail(fault, why);
}

}  // namespace tern
