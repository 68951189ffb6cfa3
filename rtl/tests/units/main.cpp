// Runs the tests of the units. An assertion of the SystemVerilog that fails is a failed
// expectation, unless the test expects it.
#include "rtl/tests/units/bench.h"

void vl_stop(const char* file, int line, const char* unit) {
  ++tern::rtl::assertions.failed;
  if (!tern::rtl::assertions.expected)
    ADD_FAILURE() << file << ':' << line << ": an assertion failed in " << unit;
}

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
