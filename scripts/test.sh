#!/usr/bin/env bash
# Every test. Where there is no NVIDIA GPU its tests are counted in one line, not listed one by one.
#   scripts/test.sh BUILD_DIRECTORY
set -euo pipefail
build=$1
skipped=0
only=()
if ! "$build/bin/tern" info | grep -q '^GPU [0-9]'; then
  skipped=$(ctest --test-dir "$build" -N -L '^cuda$' | sed -n 's/^Total Tests: //p')
  only=(-LE '^cuda$')
fi
code=0
ctest --test-dir "$build" --output-on-failure --no-tests=error -j2 "${only[@]}" || code=$?
[ "$skipped" = 0 ] || echo "$skipped tests of the GPU backend left out: no NVIDIA GPU here (make test-gpu names them)"
exit $code
