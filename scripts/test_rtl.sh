#!/usr/bin/env bash
# Builds the SystemVerilog units and the core with Verilator, compares them with the specification, with every planted bug
# as well, and proves the small ones.     scripts/test_rtl.sh BUILD_DIRECTORY [CMAKE_ARGUMENT...]
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
shift

cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DTERN_RTL=ON -DTERN_APPS=OFF -DTERN_CUDA=OFF \
  -DTERN_TESTS=OFF "$@"
cmake --build "$build" --parallel "$(nproc)" --target rtl_unit_tests rtl_core_tests
# registers and stalls begin with other random numbers each time
for seed in 0 1 2; do
  TERN_RTL_SEED=$seed ctest --test-dir "$build" --output-on-failure --no-tests=error -j "$(nproc)" -L '^rtl$'
done
scripts/prove_rtl.sh
