#include "data/text/splits.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/rng.h"

namespace tern {

std::string_view name_of(Split split) {
  return split == Split::train ? "train" : "validation";
}

SplitRule::SplitRule(double fraction, const std::vector<SourceFile>& sources, bool separated)
    : fraction_(fraction) {
  require(fraction >= 0 && fraction < 1, Fault::usage,
          "--validation: expected a fraction from 0 to less than 1, got ", fraction);
  if (fraction == 0) return;
  by_document_ = double(sources.size()) * fraction >= 2 ||
                 std::any_of(sources.begin(), sources.end(), [&](const SourceFile& s) {
                   return s.format == SourceFormat::json_lines ||
                          (separated && s.format == SourceFormat::text);
                 });
  if (by_document_) return;
  for (const SourceFile& source : sources) {
    require(
        source.path != "-", Fault::usage,
        "--validation cannot divide standard input: its size is not known; give it as a file, or "
        "divide it into documents with --separator");
    const double size = double(decompressed_bytes(source));
    tails_.push_back(std::uint64_t(std::floor(size * (1 - fraction))));
  }
}

Split SplitRule::of_document(std::uint64_t n) const {
  if (!by_document_) return Split::train;
  const Rng places(stream_of("validation"));
  // Stratum k holds the documents from k / fraction to (k + 1) / fraction.
  const auto first = std::uint64_t(double(n) * fraction_);
  for (std::uint64_t k = first > 0 ? first - 1 : 0; k <= first + 1; ++k)
    if (std::uint64_t((double(k) + places.uniform(k)) / fraction_) == n) return Split::validation;
  return Split::train;
}

std::uint64_t SplitRule::tail_begin(std::size_t source) const {
  return tails_.empty() ? kNoTail : tails_[source];
}

}  // namespace tern
