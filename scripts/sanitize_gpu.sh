#!/usr/bin/env bash
# Every kernel at odd sizes under compute-sanitizer: addresses, then races in shared memory. Not
# cuBLASLt's own (nvjet_*): racecheck takes their barriers for races.
#   scripts/sanitize_gpu.sh BUILD_DIRECTORY
set -euo pipefail
tests=$1/bin/cuda_tests
for tool in memcheck racecheck; do
  compute-sanitizer --tool $tool --error-exitcode 1 --print-limit 20 \
    --kernel-name-exclude kernel_substring=nvjet \
    "$tests" --gtest_brief=1 --gtest_filter='*SinglePrecision*:*HalfPrecision*:*.HaveTheCpusCodes'
done
