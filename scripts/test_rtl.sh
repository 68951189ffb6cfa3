#!/usr/bin/env bash
# Builds the SystemVerilog units and the core with Verilator in a build that may have the rest of tern already, compares
# them with the specification, with every planted bug as well, runs `tern rtl run`, and proves the small units.
#   scripts/test_rtl.sh BUILD_DIRECTORY [CMAKE_ARGUMENT...]
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
shift

TARGET=rtl_programs scripts/build.sh "$build" -DTERN_RTL=ON "$@"
# registers and stalls begin with other random numbers each time; tern rtl run has none
for seed in 0 1 2; do
  [ $seed = 0 ] && without='^$' || without='^(RtlRun|RtlSimulation|Fault325Simulation)[.]'
  TERN_RTL_SEED=$seed ctest --test-dir "$build" --output-on-failure --no-tests=error -j "$(nproc)" -L '^verilog$' -E "$without"
done
scripts/prove_rtl.sh
