#!/usr/bin/env bash
# Installs what scripts/packages.txt lists, and further packages named here, as far as this Debian
# machine lacks it; as root or with sudo.     scripts/install_packages.sh [PACKAGE...]
# With PREFIX=DIR the libraries are in DIR: nothing is installed.
set -euo pipefail
cd "$(dirname "$0")"

if [ -n "${PREFIX:-}" ]; then
  echo "packages: taken from $PREFIX, nothing is installed"
  exit 0
fi

mapfile -t wanted < packages.txt
wanted+=("$@")
missing=()
for package in "${wanted[@]}"; do
  state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} = 0 ]; then
  echo "packages: all ${#wanted[@]} are installed"
  exit 0
fi

as_root=()
if [ "$(id -u)" != 0 ]; then
  as_root=(sudo)
  [ -t 0 ] || as_root=(sudo -n)
fi
if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
  cat >&2 <<END
packages: cannot install, this needs Debian's apt-get and root or sudo. Missing:
  ${missing[*]}
Without root: unpack them into a directory of your own and build against that:
  scripts/unpack_packages.sh \$HOME/tern-packages
  make test PREFIX=\$HOME/tern-packages
END
  exit 2
fi
echo "packages: installing ${missing[*]}"
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300)
"${apt[@]}" -qq update || echo "packages: the list could not be renewed, going on with the old one" >&2
"${apt[@]}" -qq install -y --no-install-recommends "${missing[@]}"
