// A CSV table of points for a scaling law.
#include <cmath>

#include "apps/scaling/table.h"
#include "tests/fuzz/fuzz.h"

namespace tern::fuzz {

void run(std::string_view input) {
  ScalingTable table;
  if (!works({Fault::input}, [&] { table = parse_table(input, "t.csv"); })) return;
  expect(!table.families.empty(), "a table without points");
  for (const ScalingFamily& family : table.families) {
    expect(!family.points.empty(), "a family without points");
    for (const ScalingPoint& p : family.points) {
      expect(p.parameters > 0 && p.tokens > 0 && p.loss > 0, "a number that is not positive");
      expect(std::isfinite(p.flop()) && p.flop() > 0, "FLOP out of range");
    }
  }
}

}  // namespace tern::fuzz
