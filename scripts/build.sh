#!/usr/bin/env bash
# Configures and builds.     scripts/build.sh BUILD_DIRECTORY [CMAKE_ARGUMENT...]
# PREFIX=DIR: libraries and tools are looked for in DIR and DIR/usr first. TARGET=NAME: that and what it needs.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
shift

if [ -n "${PREFIX:-}" ]; then
  [ -d "$PREFIX" ] || { echo "build: PREFIX=$PREFIX: expected a directory" >&2; exit 2; }
  prefix=$(realpath "$PREFIX")
  export PATH="$prefix/usr/bin:$prefix/bin:$PATH"
  set -- "-DCMAKE_PREFIX_PATH=$prefix;$prefix/usr" "$@"
fi
for tool in "${CXX:-c++}" cmake ninja; do
  command -v "${tool%% *}" >/dev/null && continue
  echo "build: no '$tool' on this machine: expected g++ 12 or clang 19 or newer (CXX=...), cmake 3.25 or" \
    "newer, and ninja; on Debian 12: scripts/install_packages.sh" >&2
  exit 2
done

# headers for attention by cuDNN, where the GPU backend may be built; it is built without them, too
if command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; then
  python3 scripts/fetch_cudnn_headers.py || true
fi

# what was found in another prefix is forgotten
[ "$(cat "$build/prefix" 2>/dev/null)" = "${prefix:-}" ] || set -- --fresh "$@"
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release "$@"
printf '%s' "${prefix:-}" >"$build/prefix"
cmake --build "$build" --parallel "$(nproc)" --target "${TARGET:-all}"
