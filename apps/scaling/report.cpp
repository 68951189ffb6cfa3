#include "apps/scaling/report.h"

#include <fmt/format.h>

#include <cmath>

#include "apps/console/terminal.h"
#include "runtime/quantities.h"

namespace tern {
namespace {

using Json = nlohmann::json;

// crossings: 0 and infinity are outside of the search
std::string flop_text(double flop) {
  if (flop == 0) return fmt::format("below {:.0f}", kLeastCrossing);
  if (std::isinf(flop)) return fmt::format("beyond {:.0e}", kMostCrossing);
  return fmt::format("{:.3g}", flop);
}

std::string percent(double share) {
  return fmt::format("{:.1f} %", 100 * share);
}

std::string name_of(const FamilyAnalysis& family) {
  return family.name.empty() ? "(all points)" : printable(family.name);
}

std::string interval_text(Interval interval) {
  return fmt::format("{:.5g} to {:.5g}", interval.low, interval.high);
}

const char* objective_text(LawKind kind) {
  if (kind == LawKind::chinchilla) return "sum of Huber losses of log L, delta 0.001";
  return kind == LawKind::linear ? "sum of squares of L" : "sum of squares of log L";
}

std::string values_table(const FamilyAnalysis& family) {
  std::string text =
      fmt::format("\n  {:<10} {:>12} {:>12}   {}\n", "value", "fit", "std error", "95 % interval");
  for (const auto& [name, e] : family.values)
    text += fmt::format("  {:<10} {:>12.5g} {:>12.3g}   {}\n", name, e.value, e.standard_error,
                        interval_text(e.interval));
  return text;
}

std::string held_out_table(const FamilyAnalysis& family) {
  if (family.held_out.empty()) return "\n  held out    nothing: too few points\n";
  std::size_t inside = 0;
  std::string rows;
  for (const HeldOutPoint& p : family.held_out) {
    const bool holds = p.interval.holds(p.point.loss);
    inside += holds;
    rows += fmt::format("  {:<10.3g} {:>10} {:>10} {:>10.4f} {:>10.4f}   {:.4f} to {:.4f}   {}\n",
                        p.point.flop(), count_text(p.point.parameters), count_text(p.point.tokens),
                        p.point.loss, p.predicted, p.interval.low, p.interval.high,
                        holds ? "inside" : "OUTSIDE");
  }
  const std::size_t count = family.held_out.size();
  return fmt::format(
             "\n  held out    {} with the most FLOP, predicted by a fit to the rest: {} of {} "
             "inside\n"
             "  {:<10} {:>10} {:>10} {:>10} {:>10}   {}\n",
             count == 1 ? "the point" : fmt::format("the {} points", count), inside, count, "FLOP",
             "parameters", "tokens", "loss", "predicted", "95 % interval") +
         rows;
}

std::string predictions_table(const FamilyAnalysis& family) {
  std::string text;
  for (const FlopPrediction& p : family.predictions) {
    text += fmt::format("\n  at {:.3g} FLOP{}\n", p.flop,
                        p.flop > family.flop.high  ? ", beyond the data"
                        : p.flop < family.flop.low ? ", below the data"
                                                   : "");
    const auto row = [&](const char* name, const Estimate& e) {
      text += fmt::format("  {:<10} {:>12.5g} {:>12.3g}   {}\n", name, e.value, e.standard_error,
                          interval_text(e.interval));
    };
    if (family.fit.law.kind == LawKind::chinchilla) {
      row("parameters", p.parameters);
      row("tokens", p.tokens);
    }
    row("loss", p.loss);
  }
  return text;
}

std::string family_text(const FamilyAnalysis& family) {
  std::string text =
      fmt::format("\n{}\n  points      {}, {:.3g} to {:.3g} FLOP\n  objective   {:.6g} ({})\n",
                  name_of(family), family.points.size(), family.flop.low, family.flop.high,
                  family.fit.objective, objective_text(family.fit.law.kind));
  if (!family.fit.converged)
    text += "  WARNING     the fit has not converged: its gradient is not zero\n";
  if (family.unusable > 0)
    text += fmt::format(
        "  left out    {} of {} samples: an exponent at or below 0, or a value out of range\n",
        family.unusable, family.samples.size());
  return text + values_table(family) + held_out_table(family) + predictions_table(family);
}

std::string crossing_text(const CrossingAnalysis& c, const ScalingAnalysis& analysis) {
  const auto& families = analysis.families;
  return fmt::format(
      "\ncrossing of {} and {}\n"
      "  fits        {} FLOP\n  median      {} FLOP\n  95 %        {} to {} FLOP\n"
      "  cross       in {} of {} pairs of samples\n  verdict     {}\n",
      name_of(families[c.first]), name_of(families[c.second]), flop_text(c.crossing.flop),
      flop_text(c.crossing.median), flop_text(c.crossing.interval.low),
      flop_text(c.crossing.interval.high), percent(c.crossing.probability), c.crossing.pairs,
      verdict_of(c, analysis));
}

Json interval_json(Interval interval) {
  return {interval.low, interval.high};
}

Json estimate_json(const Estimate& e) {
  return {{"value", e.value},
          {"standard_error", e.standard_error},
          {"interval", interval_json(e.interval)}};
}

Json point_json(const ScalingPoint& p) {
  return {{"parameters", p.parameters}, {"tokens", p.tokens}, {"flop", p.flop()}, {"loss", p.loss}};
}

Json held_out_json(const HeldOutPoint& p) {
  Json json = point_json(p.point);
  json["predicted"] = p.predicted;
  json["interval"] = interval_json(p.interval);
  json["inside"] = p.interval.holds(p.point.loss);
  return json;
}

Json prediction_json(const FlopPrediction& p, LawKind kind) {
  Json json = {{"flop", p.flop}, {"loss", estimate_json(p.loss)}};
  if (kind != LawKind::chinchilla) return json;
  json["parameters"] = estimate_json(p.parameters);
  json["tokens"] = estimate_json(p.tokens);
  return json;
}

Json family_json(const FamilyAnalysis& family) {
  Json json = {{"name", printable(family.name)},
               {"flop", {family.flop.low, family.flop.high}},
               {"objective", family.fit.objective},
               {"converged", family.fit.converged},
               {"unusable_samples", family.unusable}};
  for (const char* list : {"points", "held_out", "predictions"}) json[list] = Json::array();
  for (const ScalingPoint& p : family.points) json["points"].push_back(point_json(p));
  for (const auto& [name, e] : family.values) json["values"][name] = estimate_json(e);
  for (const HeldOutPoint& p : family.held_out) json["held_out"].push_back(held_out_json(p));
  for (const FlopPrediction& p : family.predictions)
    json["predictions"].push_back(prediction_json(p, family.fit.law.kind));
  return json;
}

// 0 and infinity, outside of the search, become "below" and "beyond"
Json crossing_flop_json(double flop) {
  if (flop == 0) return "below";
  if (std::isinf(flop)) return "beyond";
  return flop;
}

Json crossing_json(const CrossingAnalysis& c, const ScalingAnalysis& analysis) {
  return {
      {"overtaking", printable(analysis.families[c.overtaking()].name)},
      {"overtaken", printable(analysis.families[c.overtaken()].name)},
      {"data_flop", {c.data.low, c.data.high}},
      {"flop", crossing_flop_json(c.crossing.flop)},
      {"median", crossing_flop_json(c.crossing.median)},
      {"interval",
       {crossing_flop_json(c.crossing.interval.low), crossing_flop_json(c.crossing.interval.high)}},
      {"probability", c.crossing.probability},
      {"pairs", c.crossing.pairs},
      {"share_outside_data", c.crossing.outside},
      {"determinable", c.crossing.determinable()},
      {"verdict", verdict_of(c, analysis)}};
}

}  // namespace

const char* name_of(LawKind kind) {
  static constexpr const char* names[] = {"chinchilla", "linear", "power"};
  return names[std::size_t(kind)];
}

std::string verdict_of(const CrossingAnalysis& c, const ScalingAnalysis& analysis) {
  const std::string ours = name_of(analysis.families[c.overtaking()]),
                    theirs = name_of(analysis.families[c.overtaken()]);
  const Interval flop = c.crossing.interval;
  if (std::isinf(flop.low) || flop.high == 0)
    return fmt::format(
        "no crossing: {} has the lower loss from {:.0f} to {:.0e} FLOP in {} of the "
        "samples",
        flop.high == 0 ? ours : theirs, kLeastCrossing, kMostCrossing,
        percent(1 - c.crossing.probability));
  if (c.crossing.determinable())
    return fmt::format("{} overtakes {} at {} FLOP (95 %: {} to {})", ours, theirs,
                       flop_text(c.crossing.median), flop_text(flop.low), flop_text(flop.high));
  if (flop.high > 10 * c.data.high)
    return fmt::format(
        "not determinable: the data end at {:.3g} FLOP, the 95 % interval reaches {} FLOP",
        c.data.high, flop_text(flop.high));
  return fmt::format(
      "not determinable: the data begin at {:.3g} FLOP, the 95 % interval begins {}{} FLOP",
      c.data.low, flop.low == 0 ? "" : "at ", flop_text(flop.low));
}

std::string scaling_report(const ScalingAnalysis& analysis) {
  const ScalingOptions& o = analysis.options;
  std::string text = fmt::format(
      "law         {}: {}\nintervals   95 %, {} samples: {}, seed {}\n", name_of(o.law),
      formula_of(o.law), o.bootstrap.samples,
      o.bootstrap.error > 0
          ? fmt::format("a uniform error within +-{:g} added to each loss", o.bootstrap.error)
          : "points drawn with replacement",
      o.bootstrap.seed);
  for (const FamilyAnalysis& family : analysis.families) text += family_text(family);
  for (const LeftOut& family : analysis.left_out)
    text += fmt::format("\n{}\n  left out    {}\n", printable(family.name), family.reason);
  for (const CrossingAnalysis& c : analysis.crossings) text += crossing_text(c, analysis);
  return text;
}

Json scaling_json(const ScalingAnalysis& analysis) {
  const ScalingOptions& o = analysis.options;
  Json json = {{"law", name_of(o.law)},          {"formula", formula_of(o.law)},
               {"samples", o.bootstrap.samples}, {"error", o.bootstrap.error},
               {"seed", o.bootstrap.seed},       {"families", Json::array()},
               {"left_out", Json::array()},      {"crossings", Json::array()}};
  for (const FamilyAnalysis& family : analysis.families)
    json["families"].push_back(family_json(family));
  for (const LeftOut& family : analysis.left_out)
    json["left_out"].push_back({{"name", printable(family.name)}, {"reason", family.reason}});
  for (const CrossingAnalysis& c : analysis.crossings)
    json["crossings"].push_back(crossing_json(c, analysis));
  return json;
}

}  // namespace tern
