#!/usr/bin/env bash
# Without root: downloads the libraries of scripts/packages.txt as .deb files and unpacks them.
#   scripts/unpack_packages.sh DIR;  make test PREFIX=DIR
# g++, make, cmake, ninja and gnuplot are programs that must be on the machine.
set -euo pipefail
[ $# = 1 ] || { echo "usage: scripts/unpack_packages.sh DIR" >&2; exit 2; }
mkdir -p "$1/debs"
prefix=$(realpath "$1")
packages=$(realpath "$(dirname "$0")/packages.txt")
cd "$prefix/debs"
grep -E '^(lib|zlib|nlohmann)' "$packages" | xargs apt-get download
for deb in *.deb; do
  dpkg -x "$deb" "$prefix"
done
rm -r "$prefix/debs"
echo "unpacked into $prefix: make test PREFIX=$prefix"
