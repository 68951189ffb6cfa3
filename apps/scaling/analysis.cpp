#include "apps/scaling/analysis.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/console/terminal.h"
#include "core/check.h"

namespace tern {
namespace {

constexpr std::size_t kLeastToDraw = 6;  // points; fewer have no spread to draw from

std::string named(const ScalingFamily& family, const std::string& where) {
  return family.name.empty() ? where : where + ": family '" + printable(family.name) + "'";
}

// Why a family's points cannot determine the law; empty: they can.
std::string reason_against(const ScalingFamily& family, LawKind kind) {
  const std::size_t least = least_points(kind), points = family.points.size();
  const bool chinchilla = kind == LawKind::chinchilla;
  if (points < least)
    return fmt::format("expected at least {} points for this law, got {}{}", least, points,
                       chinchilla ? "; --law power takes few points" : "");
  if (determine(kind, weighted(family.points))) return {};
  return chinchilla
             ? "expected at least 3 different numbers of parameters and 3 of tokens, got fewer"
             : "expected at least 2 different amounts of FLOP, got 1";
}

void require_errors(const ScalingFamily& family, const ScalingOptions& options,
                    const std::string& where) {
  const std::size_t points = family.points.size();
  const double error = options.bootstrap.error;
  require(error > 0 || points >= kLeastToDraw, Fault::usage, named(family, where),
          ": expected --error X (how exactly a loss is known, nats) for fewer than ", kLeastToDraw,
          " points, got ", points, " points without it");
  for (const ScalingPoint& p : family.points)
    require(p.loss > error, Fault::usage, "--error: expected less than every loss, got ", error,
            " and a loss of ", p.loss);
}

std::vector<ScalingPoint> by_flop(std::vector<ScalingPoint> points) {
  std::stable_sort(points.begin(), points.end(), [](const ScalingPoint& x, const ScalingPoint& y) {
    return x.flop() < y.flop();
  });
  return points;
}

bool can_do_without(LawKind kind, std::span<const ScalingPoint> sorted, std::size_t held_out) {
  if (held_out + least_points(kind) > sorted.size()) return false;
  return determine(kind, weighted(sorted.first(sorted.size() - held_out)));
}

// points to hold out
std::size_t held_out_count(const ScalingFamily& family, std::span<const ScalingPoint> sorted,
                           const ScalingOptions& options, const std::string& where) {
  if (!options.hold_out) {
    // a fit that goes through every point says nothing about the next one
    const std::size_t tenth = std::max<std::size_t>(1, sorted.size() / 10);
    return can_do_without(options.law, sorted, tenth + 1) ? tenth : 0;
  }
  const std::size_t count = *options.hold_out;
  require(can_do_without(options.law, sorted, count), Fault::usage, named(family, where),
          ": --hold-out: expected to leave points that can determine the law, at least ",
          least_points(options.law), "; got ", count, " of ", sorted.size(), " points held out");
  return count;
}

std::vector<HeldOutPoint> check_held_out(std::span<const ScalingPoint> sorted, std::size_t count,
                                         const ScalingOptions& options,
                                         BootstrapOptions bootstrapping) {
  if (count == 0) return {};
  const auto rest = sorted.first(sorted.size() - count);
  const LawFit fit = fit_law(options.law, weighted(rest));
  const std::vector<ScalingLaw> samples = bootstrap(fit, rest, bootstrapping);
  std::vector<HeldOutPoint> held_out;
  for (const ScalingPoint& p : sorted.last(count))
    held_out.push_back({p, fit.law.loss(p.parameters, p.tokens),
                        central_interval(predicted_losses(p, fit, samples, rest, bootstrapping))});
  return held_out;
}

std::vector<NamedEstimate> value_estimates(const FamilyAnalysis& family) {
  std::vector<NamedEstimate> all;
  const auto names = value_names(family.fit.law.kind);
  for (std::size_t i = 0; i < names.size(); ++i)
    all.push_back({names[i], estimate(family.fit.law, family.samples,
                                      [i](const ScalingLaw& law) { return law.values[i]; })});
  if (family.fit.law.kind == LawKind::chinchilla)
    all.push_back({"a", estimate(family.fit.law, family.samples,
                                 [](const ScalingLaw& law) { return law.share_of_parameters(); })});
  return all;
}

FlopPrediction predict(const FamilyAnalysis& family, double flop) {
  FlopPrediction p{.flop = flop};
  const ScalingLaw& law = family.fit.law;
  p.loss = estimate(law, family.samples,
                    [flop](const ScalingLaw& sample) { return sample.loss_of_flop(flop); });
  if (law.kind != LawKind::chinchilla) return p;
  p.parameters = estimate(law, family.samples, [flop](const ScalingLaw& sample) {
    return sample.optimum(flop).parameters;
  });
  p.tokens = estimate(law, family.samples,
                      [flop](const ScalingLaw& sample) { return sample.optimum(flop).tokens; });
  return p;
}

FamilyAnalysis analyse_family(const ScalingFamily& family, std::size_t index,
                              const ScalingOptions& options, const std::string& where) {
  FamilyAnalysis a{.name = family.name, .points = by_flop(family.points)};
  const std::size_t held_out = held_out_count(family, a.points, options, where);
  a.flop = {a.points.front().flop(), a.points.back().flop()};
  a.fit = fit_law(options.law, weighted(a.points));
  require(a.fit.law.usable(), Fault::input, named(family, where),
          ": no fit of this law has exponents above 0: the loss does not fall with parameters and "
          "tokens");
  BootstrapOptions bootstrapping = options.bootstrap;
  bootstrapping.stream = 2 * index;
  a.samples = bootstrap(a.fit, a.points, bootstrapping);
  a.unusable = std::size_t(std::count_if(a.samples.begin(), a.samples.end(),
                                         [](const ScalingLaw& law) { return !law.usable(); }));
  a.values = value_estimates(a);
  bootstrapping.stream = 2 * index + 1;
  a.held_out = check_held_out(a.points, held_out, options, bootstrapping);
  for (const double flop : options.flop) a.predictions.push_back(predict(a, flop));
  return a;
}

}  // namespace

ScalingAnalysis analyse(const ScalingTable& table, const ScalingOptions& options,
                        const std::string& where) {
  ScalingAnalysis analysis{.options = options};
  std::vector<const ScalingFamily*> determined;
  for (const ScalingFamily& family : table.families) {  // before the work
    if (const std::string reason = reason_against(family, options.law); !reason.empty()) {
      analysis.left_out.push_back({.name = family.name, .reason = reason});
      continue;
    }
    require_errors(family, options, where);
    held_out_count(family, by_flop(family.points), options, where);
    determined.push_back(&family);
  }
  require(!determined.empty(), Fault::input, named(table.families[0], where), ": ",
          analysis.left_out.empty() ? "" : analysis.left_out[0].reason);
  for (std::size_t i = 0; i < determined.size(); ++i)
    analysis.families.push_back(analyse_family(*determined[i], i, options, where));
  const auto& families = analysis.families;
  for (std::size_t i = 0; i < families.size(); ++i)
    for (std::size_t j = i + 1; j < families.size(); ++j) {
      const FamilyAnalysis &x = families[i], &y = families[j];
      const FlopRange data = {std::min(x.flop.low, y.flop.low), std::max(x.flop.high, y.flop.high)};
      analysis.crossings.push_back(
          {i, j, data, find_crossing({x.fit.law, x.samples}, {y.fit.law, y.samples}, data)});
    }
  return analysis;
}

}  // namespace tern
