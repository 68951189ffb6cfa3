// One step as one line, made of parts that give way one after the other where the line is narrow:
// step 1200/20000  6.0%  loss 3.912  mean 3.950  ppl 50.0  lr 3.8e-03  ...  eta 1h07m
// docs/metrics.md names them all.
#pragma once

#include <string>
#include <vector>

#include "apps/run/reports.h"

namespace tern {

struct LinePart {
  std::string before{}, value{}, after{};  // "loss ", "3.912", ""
  int gives_way = 0;                       // the highest goes first; 0 stays
  bool alarming = false;

  std::string text() const { return before + value + after; }
};

std::vector<LinePart> step_parts(const StepReport& report);

// "[=====>              ]", for the live line: there it matters more than norm and perplexity
LinePart progress_bar(double share);

// what is left of the parts in so many columns, two spaces between them
std::vector<LinePart> fitting(std::vector<LinePart> parts, int columns);

std::string joined(const std::vector<LinePart>& parts);

}  // namespace tern
