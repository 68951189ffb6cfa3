// Everything that `tern scaling fit` finds out about a table of points.
#pragma once

#include <optional>

#include "apps/scaling/crossing.h"

namespace tern {

struct ScalingOptions {
  LawKind law = LawKind::chinchilla;
  BootstrapOptions bootstrap{};
  std::optional<std::size_t> hold_out{};  // points; by default a tenth, at least 1 where possible
  std::vector<double> flop{};             // to predict
};

struct NamedEstimate {
  const char* name = "";
  Estimate estimate{};
};

struct HeldOutPoint {
  ScalingPoint point{};
  double predicted = 0;
  Interval interval{};  // 95 %, of the loss of one such point
};

struct FlopPrediction {
  double flop = 0;
  Estimate parameters{}, tokens{};  // compute-optimal, of chinchilla
  Estimate loss{};
};

struct FamilyAnalysis {
  std::string name{};
  std::vector<ScalingPoint> points{};
  FlopRange flop{};
  LawFit fit{};
  std::vector<ScalingLaw> samples{};
  std::size_t unusable = 0;             // of the samples, left out of every interval
  std::vector<NamedEstimate> values{};  // of the law; for chinchilla also a = beta / (alpha + beta)
  std::vector<HeldOutPoint> held_out{};  // by FLOP
  std::vector<FlopPrediction> predictions{};
};

// A family whose points cannot determine the law.
struct LeftOut {
  std::string name{}, reason{};
};

struct CrossingAnalysis {
  std::size_t first = 0, second = 0;  // families
  FlopRange data{};                   // of both
  Crossing crossing{};

  std::size_t overtaking() const { return crossing.overtaking == 0 ? first : second; }
  std::size_t overtaken() const { return crossing.overtaking == 0 ? second : first; }
};

struct ScalingAnalysis {
  ScalingOptions options{};
  std::vector<FamilyAnalysis> families{};
  std::vector<LeftOut> left_out{};
  std::vector<CrossingAnalysis> crossings{};  // of every pair
};

// where: the table's name, for messages. Fault::input: points that cannot determine the law, of
// every family; if only some cannot, they are left out.
// Fault::usage: a hold-out that leaves too few points; no reading error where one is needed.
ScalingAnalysis analyse(const ScalingTable& table, const ScalingOptions& options,
                        const std::string& where);

}  // namespace tern
