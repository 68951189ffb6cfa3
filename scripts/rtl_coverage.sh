#!/usr/bin/env bash
# The lines of rtl/*.sv that the tests of units and core reach, by Verilator; prints the others, and fails below 95 %.
#   scripts/rtl_coverage.sh BUILD_DIRECTORY [CMAKE_ARGUMENT...]
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
least=95  # percent
shift

cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DTERN_RTL=ON -DTERN_APPS=OFF -DTERN_CUDA=OFF \
  -DTERN_TESTS=OFF -DTERN_RTL_COVERAGE=ON "$@"
cmake --build "$build" --parallel "$(nproc)" --target rtl_unit_tests rtl_core_tests
rm -f "$build"/coverage/*
find "$build" -type f -name 'rtl_*_tests' -exec {} --gtest_brief=1 \;
verilator_coverage --write-info "$build/coverage/lines" "$build"/coverage/*.dat
awk -F '[:,]' -v least=$least '
  $1 == "SF" { file = $2; sub(".*/", "", file) }
  $1 == "DA" && file ~ /[.]sv$/ {
    lines++
    if ($3 > 0) reached++
    else print "not reached: " file ":" $2
  }
  END {
    printf "line coverage: %d of %d, %.1f %%\n", reached, lines, 100 * reached / lines
    exit 100 * reached < least * lines
  }' "$build/coverage/lines"
