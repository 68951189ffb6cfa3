#!/usr/bin/env bash
# Fuzz targets of tests/fuzz under AddressSanitizer and UBSan, with clang 19 and libFuzzer.
#   scripts/fuzz.sh [SECONDS [TARGET...]]     60 s for each of all targets
# What a run learns is kept in build-fuzz/corpus and serves the next; tests/fuzz/corpus stays as it
# is. Inputs that fail are written to build-fuzz/findings, and the exit code is 1. To repeat one:
#   build-fuzz/bin/fuzz_TARGET build-fuzz/findings/FILE
# CLANG: the compiler. JOBS: targets that run at a time, one for each processor by default.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
build=build-fuzz
jobs=${JOBS:-$(nproc)}

CXX=${CLANG:-clang++-19} cmake -S . -B $build -G Ninja -DCMAKE_BUILD_TYPE=None \
  "-DCMAKE_CXX_FLAGS=-O1 -g1" -DTERN_FUZZ=ON -DTERN_TESTS=OFF >$build.log || { cat $build.log >&2; exit 2; }
mv $build.log $build/configure.log
[ $# -gt 0 ] || { mapfile -t targets < <(cd tests/fuzz && printf '%s\n' *.cpp | sed 's/\.cpp$//'); set -- "${targets[@]}"; }
cmake --build $build --parallel "$(nproc)" --target "${@/#/fuzz_}"

mkdir -p $build/findings $build/logs
room=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")")  # many small files
trap 'rm -rf "$room"' EXIT
export TMPDIR=$room UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=detect_stack_use_after_return=0

fuzz() { # TARGET
  local log=$build/logs/$1 code=0 dictionary=()
  grep -qF '":' tests/fuzz/corpus/"$1"/* && dictionary=(-dict=tests/fuzz/json.dict)
  mkdir -p $build/corpus/"$1"
  $build/bin/fuzz_"$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
    -artifact_prefix=$build/findings/"$1"- "${dictionary[@]}" $build/corpus/"$1" tests/fuzz/corpus/"$1" >"$log" 2>&1 || code=$?
  awk -v name="$1" '
    /^stat::number_of_executed_units/ { runs = $2 }
    /^stat::average_exec_per_sec/ { pace = $2 }
    { for (i = 1; i < NF; ++i) { if ($i == "cov:") cov = $(i + 1); if ($i == "corp:") corpus = $(i + 1) } }
    END { printf "%-20s %9d executions  %6d/s  coverage %5d  corpus %s\n", name, runs, pace, cov, corpus }' "$log"
  [ $code = 0 ] && return
  { grep -aE '^finding:|^==[0-9]+== *ERROR|ERROR:|runtime error:|terminate called|what\(\):|Test unit written' "$log" ||
    tail -20 "$log"; } | sed "s/^/$1: /"
  return 1
}

failed=0
running=0
for target in "$@"; do
  if [ $running = "$jobs" ]; then
    wait -n || failed=1
    running=$((running - 1))
  fi
  fuzz "$target" &
  running=$((running + 1))
done
for ((; running > 0; --running)); do wait -n || failed=1; done
exit $failed
